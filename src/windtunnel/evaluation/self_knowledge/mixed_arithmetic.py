"""Mixed arithmetic in words (Kadavath et al., 2022, Table 4): questions of graded difficulty with one right number."""

from collections.abc import Callable, Sequence

import numpy as np

from windtunnel.evaluation.tasks import Sample
from windtunnel.laboratory.errors import UsageError

Operation = Callable[[int, int], int]

OPERATIONS: dict[str, Operation] = {
    "plus": lambda one, other: one + other,
    "minus": lambda one, other: one - other,
    "times": lambda one, other: one * other,
}


def mixed_arithmetic(
    count: int, seed: int, *, digits: tuple[int, int] = (1, 2), operations: Sequence[str] = tuple(OPERATIONS)
) -> list[Sample]:
    """Questions such as "What is 7,781 minus 5,071?", all different.

    Args:
        count: How many.
        seed: Decides them.
        digits: Fewest and most digits of an operand; both operands have as many.
        operations: Of `plus`, `minus` and `times`.

    Raises:
        UsageError: An unknown operation, digits below 1, or fewer questions than asked for.
    """
    unknown = [name for name in operations if name not in OPERATIONS]
    if unknown or not operations or not 1 <= digits[0] <= digits[1]:
        raise UsageError(f"Operations {operations} and digits {digits} make no questions; use plus, minus, times, 1-2.")
    draws = np.random.default_rng(seed)
    found: dict[str, Sample] = {}
    for _ in range(100 * count):
        if len(found) == count:
            break
        operation = operations[int(draws.integers(len(operations)))]
        length = int(draws.integers(digits[0], digits[1] + 1))
        low = 0 if length == 1 else 10 ** (length - 1)
        one, other = (int(draws.integers(low, 10**length)) for _ in range(2))
        text = f"What is {one:,} {operation} {other:,}?"
        answer = OPERATIONS[operation](one, other)
        facts = {"operation": operation, "digits": length}
        found.setdefault(text, Sample(f"{one} {operation} {other}", text, str(answer), metadata=facts))
    if len(found) < count:
        raise UsageError(f"There are fewer than {count} such questions; ask for fewer or allow more digits.")
    return list(found.values())


def with_choices(samples: Sequence[Sample], seed: int, *, options: int = 4) -> list[Sample]:
    """The same questions with wrong numbers close to the right one beside it, in random order."""
    made = []
    for place, sample in enumerate(samples):
        draws = np.random.default_rng([seed, place])
        right = int(str(sample.target))
        offsets = draws.choice([step for step in range(-10, 11) if step], size=options - 1, replace=False)
        choices = [right, *(right + int(step) for step in offsets)]
        order = draws.permutation(options)
        shown = tuple(str(choices[index]) for index in order)
        made.append(Sample(sample.id, sample.input, int(np.argmin(order)), shown, sample.metadata))
    return made
