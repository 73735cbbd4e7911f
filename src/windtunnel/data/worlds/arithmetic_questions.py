"""Arithmetic in words: the ten tasks of Brown et al. (2020; Section 3.9.1, Table 3.9) and the four beside them.

`Q: What is 48 plus 76?` with numbers uniform below a power of ten. Where the paper's words and the released files
differ, the files are followed: the brackets of `single_digit_three_ops` are around the first two of its digits, which
are 1 to 9, and no question occurs twice.
"""

import operator
from collections.abc import Callable

import numpy as np

from windtunnel.data.worlds.questions import Question
from windtunnel.laboratory.errors import UsageError
from windtunnel.laboratory.study import nearest

PAPER = (
    "two_digit_addition",
    "two_digit_subtraction",
    "three_digit_addition",
    "three_digit_subtraction",
    "four_digit_addition",
    "four_digit_subtraction",
    "five_digit_addition",
    "five_digit_subtraction",
    "two_digit_multiplication",
    "single_digit_three_ops",
)
"""The ten tasks of Table 3.9, by the names of the released files."""

RELEASED = (*PAPER, "six_digit_addition", "six_digit_subtraction", "sum_of_digits")
"""All tasks of which a file was released."""

_DIGITS = {"two": 2, "three": 3, "four": 4, "five": 5, "six": 6}
_WORDS: dict[str, tuple[str, Callable[[int, int], int]]] = {
    "addition": ("plus", operator.add),
    "subtraction": ("minus", operator.sub),
    "multiplication": ("times", operator.mul),
}
_SIGNS: dict[str, Callable[[int, int], int]] = {"+": operator.add, "-": operator.sub, "*": operator.mul}


def arithmetic_questions(task: str, count: int, generator: np.random.Generator) -> list[Question]:
    """Different questions of a task.

    Args:
        task: One of `RELEASED`.
        count: How many; the paper asks 2,000.
        generator: Source of the numbers.

    Raises:
        UsageError: There is no such task, or it has not so many different questions.
    """
    if task not in RELEASED:
        raise UsageError(f"There are no arithmetic questions {task!r}; {nearest(task, RELEASED)}")
    size = _size(task)
    if not 0 < count <= size // 2:
        raise UsageError(f"{count} different questions of {task} cannot be drawn; ask for 1 to {size // 2}.")
    found: dict[str, Question] = {}
    while len(found) < count:
        asked, answer = _problem(task, generator)
        found.setdefault(asked, Question(f"\n\nQ: What is {asked}?\n\nA:", f" {answer}"))
    return list(found.values())


def _problem(task: str, generator: np.random.Generator) -> tuple[str, int]:
    if task == "sum_of_digits":
        number = int(generator.integers(10**4))
        return f"the sum of the digits of the number {number}", sum(map(int, str(number)))
    if task == "single_digit_three_ops":
        a, b, c = (int(digit) for digit in generator.integers(1, 10, size=3))
        first, second = (list(_SIGNS)[place] for place in generator.integers(3, size=2))
        return f"({a} {first} {b}) {second} {c}", _SIGNS[second](_SIGNS[first](a, b), c)
    digits, _, kind = task.split("_")
    word, operation = _WORDS[kind]
    a, b = (int(number) for number in generator.integers(10 ** _DIGITS[digits], size=2))
    return f"{a} {word} {b}", operation(a, b)


def _size(task: str) -> int:
    """How many different questions there are."""
    if task == "sum_of_digits":
        return 10**4
    return 9**4 if task == "single_digit_three_ops" else 10 ** (2 * _DIGITS[task.split("_")[0]])
