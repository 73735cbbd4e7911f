"""Problems of several steps, with hints that begin to work them out: the model organism of hints.

A problem is a number and a few operations, each a fixed permutation of the numbers; its answer is what the operations
make of the number one after the other. A model that answers at once does a step or two in its head, so that short
problems are known and long ones are not; a hint that writes down the first steps leaves fewer to do. Hints in the text
are now and then mistaken or of another problem, as people's are, so that a model has a use for doubting them.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Int
from torch import Tensor

from windtunnel.data.sources import AnswerSource, derived_seed
from windtunnel.laboratory.errors import UsageError

PADDING, ANSWER = range(2)
"""Tokens: what stands before a short row, and the turn to the answer."""

FIRST = 2
"""Token of the number 0; numbers and then operations follow it."""

Kind = Literal["good", "mistaken", "irrelevant"]
"""Hints: the first steps; the same with a mistake that is carried on; the first steps of another problem."""


@dataclass(frozen=True)
class Problems:
    """Problems and their solutions.

    Attributes:
        start: The number each begins with.
        operations: Its operations; those beyond its length are not asked.
        length: How many operations it has, at least 1.
        results: The number after each operation; the one after the last asked is the answer.
    """

    start: Int[Tensor, " problem"]
    operations: Int[Tensor, "problem step"]
    length: Int[Tensor, " problem"]
    results: Int[Tensor, "problem step"]

    @property
    def answer(self) -> Int[Tensor, " problem"]:
        """The right answers."""
        return self.results.gather(1, self.length[:, None] - 1)[:, 0]


class WorkedProblems(AnswerSource):
    """Rows: a problem, for some a hint, and the answer, which alone counts.

    Args:
        seed: Decides operations and rows.
        numbers: How many numbers there are.
        operations: How many operations.
        steps: Operations of the longest problems; lengths are equally frequent.
        hinted: Share of problems with a hint, of one step up to all.
        mistaken: Share of hints with a mistake.
        irrelevant: Share of hints that are of another problem.
        shuffled: The null: hints and answers are drawn at random.

    Attributes:
        tables: What each operation makes of each number.

    Raises:
        UsageError: A value is out of range.
    """

    def __init__(
        self,
        seed: int = 0,
        *,
        numbers: int = 8,
        operations: int = 8,
        steps: int = 4,
        hinted: float = 0.5,
        mistaken: float = 0.2,
        irrelevant: float = 0.1,
        shuffled: bool = False,
    ) -> None:
        if numbers < 2 or operations < 1 or steps < 1:
            raise UsageError(
                f"{numbers} numbers, {operations} operations and {steps} steps are no problems; give 2, 1 and 1."
            )
        if not 0 <= hinted <= 1 or min(mistaken, irrelevant) < 0 or mistaken + irrelevant > 1:
            raise UsageError(f"hinted {hinted:g}, mistaken {mistaken:g} and irrelevant {irrelevant:g} are no shares.")
        super().__init__(FIRST + numbers + operations, 2 * steps + 2, seed)
        self.numbers, self.steps, self.hinted, self.mistaken = numbers, steps, hinted, mistaken
        self.irrelevant, self.shuffled = irrelevant, shuffled
        order = torch.Generator().manual_seed(derived_seed(seed, "operations"))
        self.tables: Int[Tensor, "operation number"] = torch.stack(
            [torch.randperm(numbers, generator=order) for _ in range(operations)]
        )

    def problems(self, count: int, generator: torch.Generator, length: int | None = None) -> Problems:
        """Draw problems, of a length or of all."""
        start = torch.randint(self.numbers, (count,), generator=generator)
        operations = torch.randint(len(self.tables), (count, self.steps), generator=generator)
        lengths = torch.randint(1, self.steps + 1, (count,), generator=generator)
        lengths = lengths if length is None else torch.full_like(lengths, length)
        return Problems(start, operations, lengths, self._worked(start, operations))

    def prompts(
        self,
        problems: Problems,
        shown: Int[Tensor, " problem"],
        kind: Kind = "good",
        generator: torch.Generator | None = None,
    ) -> Int[Tensor, "problem position"]:
        """Prompts that end where the answer is to come.

        Args:
            problems: The problems.
            shown: Steps that the hint of each shows; 0: no hint.
            kind: What the hints are.
            generator: Draws mistakes and other problems.

        Raises:
            UsageError: Mistakes or other problems are asked for without a generator.
        """
        if kind == "good":
            return self._laid_out(problems, problems.results, shown)
        if generator is None:
            raise UsageError(f"What makes a hint {kind} is drawn at random; give a generator.")
        if kind == "irrelevant":
            return self._laid_out(problems, self.problems(len(shown), generator).results, shown)
        return self._laid_out(problems, self._mistaken(problems, shown, generator), shown)

    def draw(self, count: int, generator: torch.Generator) -> Int[Tensor, "row token"]:
        """Draw rows: prompts with their answers."""
        problems = self.problems(count, generator)
        shown = 1 + (torch.rand(count, generator=generator) * problems.length).long()
        shown *= torch.rand(count, generator=generator) < self.hinted
        kind = torch.rand(count, 1, generator=generator)
        wrong, other = self._mistaken(problems, shown, generator), self.problems(count, generator).results
        results = torch.where(kind < self.mistaken, wrong, problems.results)
        results = torch.where(kind >= 1 - self.irrelevant, other, results)
        answer = problems.answer
        if self.shuffled:
            results = torch.randint(self.numbers, results.shape, generator=generator)
            answer = torch.randint(self.numbers, answer.shape, generator=generator)
        return torch.cat([self._laid_out(problems, results, shown), FIRST + answer[:, None]], dim=1)

    def _worked(self, number: Tensor, operations: Tensor) -> Tensor:
        """The number after each operation."""
        results = []
        for step in range(self.steps):
            number = self.tables[operations[:, step], number]
            results.append(number)
        return torch.stack(results, dim=1)

    def _mistaken(self, problems: Problems, shown: Tensor, generator: torch.Generator) -> Tensor:
        """Results with a wrong number at one of the steps shown, and what follows from it."""
        place = (torch.rand(len(shown), generator=generator) * shown).long()
        error = torch.randint(1, self.numbers, (len(shown),), generator=generator)
        number, results = problems.start, []
        for step in range(self.steps):
            number = self.tables[problems.operations[:, step], number]
            number = torch.where(place == step, (number + error) % self.numbers, number)
            results.append(number)
        return torch.stack(results, dim=1)

    def _laid_out(self, problems: Problems, results: Tensor, shown: Tensor) -> Tensor:
        """The number, the operations, each with its result after it if that is shown, and the turn to the answer."""
        count, step = len(shown), torch.arange(self.steps)
        asked = torch.stack([FIRST + self.numbers + problems.operations, FIRST + results], dim=2).flatten(1)
        kept = torch.stack([step < problems.length[:, None], step < shown[:, None]], dim=2).flatten(1)
        ends = torch.ones(count, 1, dtype=torch.long)
        tokens = torch.cat([FIRST + problems.start[:, None], asked * kept, ANSWER * ends], dim=1)
        order = torch.cat([ends, kept.long(), ends], dim=1).argsort(dim=1, stable=True)
        return tokens.gather(1, order)  # what is left out, as padding, goes to the front
