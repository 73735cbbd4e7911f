"""Arithmetic problems, character by character, whose answers alone count; their difficulty is the number of digits.

A row is a string of problems such as `37+58=95;` one after another, as in Henighan et al. (2020), Section "Math", which
packs problems of the mathematics data set of Saxton et al. (2019). Answers follow from the questions, so that the loss
below which no model can go is 0.
"""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from windtunnel.data.sources import BlockSource, Rows
from windtunnel.laboratory.errors import UsageError

MODULES = ("add", "larger", "digit")
"""Kinds of problems: `37+58=95;`, `L37,58=58;` (the larger of two), `D2,358=5;` (the second digit from the left)."""

CHARACTERS = "0123456789+=;,LD"


class Arithmetic(BlockSource):
    """Rows of problems, with a mask that counts the characters of answers (their `;` included).

    Args:
        context: Characters a model reads.
        digits: Least and most digits of the numbers of a problem; all numbers of a problem have as many.
        seed: Decides every row.
        modules: Kinds of problems, drawn alike.
        reversed_sums: Write sums from their last digit, as the carry runs.
        answered: False: each answer is that of another problem of the kind and difficulty, so that nothing follows.

    Raises:
        UsageError: An unknown kind of problem, digits out of range, or a context that holds no problem.
    """

    def __init__(
        self,
        context: int,
        digits: tuple[int, int],
        seed: int,
        *,
        modules: tuple[str, ...] = MODULES,
        reversed_sums: bool = False,
        answered: bool = True,
    ) -> None:
        if not modules or not set(modules) <= set(MODULES):
            raise UsageError(f"There are no problems {', '.join(modules)!r}; choose among {', '.join(MODULES)}.")
        if not 1 <= digits[0] <= digits[1] <= 18:
            raise UsageError(f"Numbers of {digits[0]} to {digits[1]} digits are not set; choose from 1 to 18.")
        if context < 3 * digits[1] + 4:
            raise UsageError(f"A context of {context} holds no problem of {digits[1]} digits; lengthen it.")
        super().__init__(len(CHARACTERS), context, seed)
        self.digits, self.modules, self.reversed_sums, self.answered = digits, modules, reversed_sums, answered

    def draw(self, count: int, generator: torch.Generator) -> Int[Tensor, "row token"]:
        """Draw rows of problems; the last of a row may be cut."""
        draws = np.random.default_rng(int(torch.randint(2**62, (1,), generator=generator)))
        rows = []
        for _ in range(count):
            text = ""
            while len(text) <= self.context:
                question, answer = self.problem(draws)
                text += question + (answer if self.answered else self.problem_like(question, draws)[1])
            rows.append(encode(text[: self.context + 1]))
        return torch.stack(rows)

    def rows(self, start: int, count: int) -> Rows:
        """Rows `start` to `start + count - 1`, with the mask of answers."""
        found = super().rows(start, count)
        return {**found, "mask": answers(found["tokens"])}

    def problem(
        self, draws: np.random.Generator, module: str | None = None, digits: int | None = None
    ) -> tuple[str, str]:
        """A question up to its `=`, and its answer with `;`.

        Args:
            draws: Source of the numbers.
            module: Kind of problem; None: drawn.
            digits: Of its numbers; None: drawn.
        """
        module = self.modules[int(draws.integers(len(self.modules)))] if module is None else module
        digits = int(draws.integers(self.digits[0], self.digits[1] + 1)) if digits is None else digits
        least = 0 if digits == 1 else 10 ** (digits - 1)
        first, second = (int(draws.integers(least, 10**digits)) for _ in range(2))
        if module == "add":
            total = str(first + second)
            return f"{first}+{second}=", (total[::-1] if self.reversed_sums else total) + ";"
        if module == "larger":
            return f"L{first},{second}=", f"{max(first, second)};"
        place = int(draws.integers(1, digits + 1))
        return f"D{place},{first}=", f"{str(first)[place - 1]};"

    def problem_like(self, question: str, draws: np.random.Generator) -> tuple[str, str]:
        """Another problem of the same kind and difficulty."""
        module = {"L": "larger", "D": "digit"}.get(question[0], "add")
        digits = len(question.strip("L=").replace("+", ",").split(",")[-1])
        return self.problem(draws, module, digits)


def encode(text: str) -> Int[Tensor, " character"]:
    """Token ids of a text of problems."""
    return torch.tensor([CHARACTERS.index(character) for character in text])


def decode(tokens: Sequence[int] | Int[Tensor, " character"]) -> str:
    """The text of token ids."""
    return "".join(CHARACTERS[int(token)] for token in tokens)


def answers(tokens: Int[Tensor, "row token"]) -> Bool[Tensor, "row token"]:
    """Which tokens belong to an answer: those after an `=` up to and with the next `;`."""
    place = torch.arange(1, tokens.shape[1] + 1)
    last = [
        torch.where(tokens == CHARACTERS.index(mark), place.to(tokens.device), 0).cummax(dim=1).values for mark in "=;"
    ]
    begun, ended = (torch.cat([torch.zeros_like(one[:, :1]), one[:, :-1]], dim=1) for one in last)
    return begun > ended
