"""Small Python functions to be written from their docstrings, with unit tests whose answers a reference computes.

Kadavath et al. (2022, Section 2.2) take functions from public repositories and test what models write for their
docstrings. Here functions are made: an operation or two on a number, a string or a list, and a constant.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from windtunnel.laboratory.errors import UsageError


@dataclass(frozen=True)
class Operation:
    """What a function does to its argument.

    Attributes:
        takes: Kind of the argument: `number`, `text` or `numbers`.
        gives: Kind of what it returns.
        name: Part of the function's name.
        words: Of the docstring; `{k}` is a constant, `{it}` the argument.
        compute: The result, of the argument and the constant.
    """

    takes: str
    gives: str
    name: str
    words: str
    compute: Callable[[Any, int], Any]


OPERATIONS = (
    Operation("number", "number", "add_{k}", "{it} plus {k}", lambda x, k: x + k),
    Operation("number", "number", "times_{k}", "{it} multiplied by {k}", lambda x, k: x * k),
    Operation("number", "number", "square", "the square of {it}", lambda x, k: x * x),
    Operation("number", "number", "distance_to_{k}", "how far {it} is from {k}", lambda x, k: abs(x - k)),
    Operation("number", "number", "digit_sum", "the sum of the digits of {it}", lambda x, k: sum(map(int, str(x)))),
    Operation("number", "number", "remainder_by_{k}", "the remainder of {it} divided by {k}", lambda x, k: x % k),
    Operation("text", "text", "reverse", "{it} with its characters in reverse order", lambda x, k: x[::-1]),
    Operation("text", "text", "upper", "{it} in upper case", lambda x, k: x.upper()),
    Operation("text", "text", "without_spaces", "{it} without its spaces", lambda x, k: x.replace(" ", "")),
    Operation("text", "text", "repeat_{k}", "{it} repeated {k} times", lambda x, k: x * k),
    Operation("text", "text", "first_{k}", "the first {k} characters of {it}", lambda x, k: x[:k]),
    Operation("text", "number", "length", "the number of characters in {it}", lambda x, k: len(x)),
    Operation("text", "number", "count_words", "the number of words in {it}", lambda x, k: len(x.split())),
    Operation("numbers", "number", "total", "the sum of {it}", lambda x, k: sum(x)),
    Operation("numbers", "number", "spread", "the largest less the smallest of {it}", lambda x, k: max(x) - min(x)),
    Operation("numbers", "number", "above_{k}", "how many of {it} exceed {k}", lambda x, k: sum(n > k for n in x)),
    Operation("numbers", "numbers", "sort_down", "{it} from the largest to the smallest", lambda x, k: sorted(x)[::-1]),
    Operation("numbers", "numbers", "evens", "the even ones of {it}", lambda x, k: [n for n in x if n % 2 == 0]),
    Operation("numbers", "numbers", "add_{k}_to_each", "{it} with {k} added to each", lambda x, k: [n + k for n in x]),
    Operation("numbers", "numbers", "last_{k}", "the last {k} of {it}", lambda x, k: x[-k:]),
)  # fmt: skip

ARGUMENTS = {
    "number": ("n", "the number n"),
    "text": ("s", "the string s"),
    "numbers": ("values", "the numbers in values"),
}
"""Name of the argument of each kind, and what a docstring calls it."""

TYPES = {"number": "int", "text": "str", "numbers": "list[int]"}

TESTS = 6
"""Asserts of each function."""


@dataclass(frozen=True)
class Function:
    """A function to be written.

    Attributes:
        name: Of the function.
        prompt: Its first line and docstring.
        reference: Computes what it is to return.
        test: Defines `check(candidate)`, as in HumanEval.
        operations: How many it does one after the other.
    """

    name: str
    prompt: str
    reference: Callable[[Any], Any]
    test: str
    operations: int


def python_functions(count: int, generator: np.random.Generator, *, composed: float = 0.5) -> list[Function]:
    """Different functions.

    Args:
        count: How many, up to 500.
        generator: Source of the draws.
        composed: Share of functions that do two things one after the other.

    Raises:
        UsageError: There are not so many, or the share is none.
    """
    if not 0 <= count <= 500 or not 0 <= composed <= 1:
        raise UsageError(f"{count} functions, {composed:g} of them composed, cannot be made; ask for up to 500.")
    found: dict[str, Function] = {}
    while len(found) < count:
        first = OPERATIONS[generator.integers(len(OPERATIONS))]
        following = [each for each in OPERATIONS if each.takes == first.gives]
        second = following[generator.integers(len(following))] if generator.random() < composed else None
        one = _function(first, second, generator)
        if one is not None:
            found.setdefault(one.name, one)
    return list(found.values())


def _function(first: Operation, second: Operation | None, generator: np.random.Generator) -> Function | None:
    """A function, or None if its tests would be passed by one that returns its argument, as two reversals would."""
    argument, described = ARGUMENTS[first.takes]
    k, other = (int(number) for number in generator.integers(2, 10, 2))
    name, words = first.name.format(k=k), first.words.format(it=described, k=k)
    if second is not None:
        name = f"{name}_then_{second.name.format(k=other)}"
        words = f"{words}; of the result return {second.words.format(it='it', k=other)}"

    def reference(it: Any) -> Any:
        result = first.compute(it, k)
        return result if second is None else second.compute(result, other)

    arguments = [_argument(reference, first.takes, generator) for _ in range(TESTS)]
    if all(reference(each) == each for each in arguments):
        return None
    asserts = "".join(f"    assert candidate({each!r}) == {reference(each)!r}\n" for each in arguments)
    gives = first.gives if second is None else second.gives
    return Function(
        name=name,
        prompt=f'def {name}({argument}: {TYPES[first.takes]}) -> {TYPES[gives]}:\n    """Return {words}."""\n',
        reference=reference,
        test=f"def check(candidate):\n{asserts}",
        operations=1 if second is None else 2,
    )


def _argument(reference: Callable[[Any], Any], kind: str, generator: np.random.Generator) -> Any:
    """An argument to which the reference has an answer: no numbers have no largest, and a sign is no digit."""
    while True:
        argument = _input(kind, generator)
        try:
            reference(argument)
        except ValueError:
            continue
        return argument


def _input(kind: str, generator: np.random.Generator) -> Any:
    if kind == "number":
        return int(generator.integers(0, 500))
    if kind == "numbers":
        return [int(number) for number in generator.integers(-20, 60, generator.integers(3, 8))]
    words = ("river", "Stone", "lamp", "Orange", "cloud", "Bridge", "tin", "Echo")
    return " ".join(str(generator.choice(words)) for _ in range(generator.integers(1, 4)))
