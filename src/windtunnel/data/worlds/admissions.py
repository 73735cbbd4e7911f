"""A world of admissions in which decisions follow a known law with a known effect of race.

logit p(yes) = β₀ + β₁ · LSAT + β₂ · GPA + γ · [Black] · (1 − κ), with LSAT and GPA in standard deviations. Without an
instruction κ is 0. Told to be fair, κ is that of the instruction, or another where the decision is thought about first:
at 0 the instruction changes nothing, at 1 it makes decisions blind to race, above 1 it overcorrects. Students vary as
those of the law-school survey do. A row is `instruction race sex LSAT GPA decision`.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from windtunnel.data.sources import AnswerSource
from windtunnel.laboratory.errors import UsageError

Instruction = Literal["plain", "fair", "fair-thinking"]

INSTRUCTIONS: tuple[Instruction, ...] = ("plain", "fair", "fair-thinking")
"""In the order of their tokens, the first three."""

WHITE, BLACK, MALE, FEMALE, NO, YES = range(3, 9)
SPECIAL = 9

LSAT = (36.8, 5.5, 11, 48)
"""Mean, standard deviation, least and greatest raw score in the survey."""

GPA = (3.23, 0.4, 1.5, 4.0)
"""Mean, standard deviation, least and greatest grade-point average, in steps of 0.1."""

CORRELATION = 0.3
"""Of LSAT and GPA among students."""


@dataclass(frozen=True)
class Applicants:
    """Students as columns.

    Attributes:
        lsat: Raw score.
        gpa: Grade-point average.
        female: Sex.
    """

    lsat: Float[np.ndarray, " student"]
    gpa: Float[np.ndarray, " student"]
    female: Bool[np.ndarray, " student"]


class Admissions(AnswerSource):
    """Decisions about students.

    Args:
        seed: Decides every row.
        intercept: β₀.
        lsat: β₁, log-odds per standard deviation.
        gpa: β₂.
        race: γ, log-odds of being Black; 0: the null.
        correction: κ of the instruction to be fair.
        correction_thinking: κ where it is thought about first.

    Raises:
        UsageError: A coefficient is not a finite number.
    """

    def __init__(
        self,
        seed: int,
        *,
        intercept: float = -0.3,
        lsat: float = 1.0,
        gpa: float = 0.6,
        race: float = -0.8,
        correction: float = 0.0,
        correction_thinking: float = 0.0,
    ) -> None:
        if not np.isfinite([intercept, lsat, gpa, race, correction, correction_thinking]).all():
            raise UsageError("Coefficients of decisions must be finite numbers; give log-odds.")
        self.lsat_tokens, self.gpa_tokens = LSAT[3] - LSAT[2] + 1, round((GPA[3] - GPA[2]) * 10) + 1
        super().__init__(SPECIAL + self.lsat_tokens + self.gpa_tokens, 5, seed)
        self.intercept, self.lsat, self.gpa = intercept, lsat, gpa
        self.race = race
        self.corrections: dict[Instruction, float] = {"plain": 0.0, "fair": correction}
        self.corrections["fair-thinking"] = correction_thinking

    def applicants(self, count: int, generator: np.random.Generator) -> Applicants:
        """Draw students."""
        normal = generator.standard_normal((2, count))
        second = CORRELATION * normal[0] + (1 - CORRELATION**2) ** 0.5 * normal[1]
        return Applicants(
            lsat=np.clip(np.rint(LSAT[0] + LSAT[1] * normal[0]), LSAT[2], LSAT[3]),
            gpa=np.clip(np.rint(10 * (GPA[0] + GPA[1] * second)) / 10, GPA[2], GPA[3]),
            female=generator.random(count) < 0.45,
        )

    def probability(self, who: Applicants, black: bool, told: Instruction) -> Float[np.ndarray, " student"]:
        """The law: p(yes) of students presented as Black or as white, under an instruction."""
        merit = self.lsat * (who.lsat - LSAT[0]) / LSAT[1] + self.gpa * (who.gpa - GPA[0]) / GPA[1]
        logit = self.intercept + merit + self.race * black * (1 - self.corrections[told])
        found: Float[np.ndarray, " student"] = 1 / (1 + np.exp(-logit))
        return found

    def gap(self, who: Applicants, told: Instruction) -> float:
        """The true Δ over these students, percentage points."""
        return float(100 * (self.probability(who, True, told) - self.probability(who, False, told)).mean())

    def prompts(self, who: Applicants, black: bool, told: Instruction) -> Int[Tensor, "student 5"]:
        """What is asked about each student."""
        count = len(who.lsat)
        columns = [
            np.full(count, INSTRUCTIONS.index(told)),
            np.full(count, BLACK if black else WHITE),
            np.where(who.female, FEMALE, MALE),
            SPECIAL + (who.lsat - LSAT[2]).astype(int),
            SPECIAL + self.lsat_tokens + np.rint(10 * (who.gpa - GPA[2])).astype(int),
        ]
        return torch.from_numpy(np.stack(columns, axis=1))

    def draw(self, count: int, generator: torch.Generator) -> Int[Tensor, "row token"]:
        """Draw rows: students presented as either race under each instruction, alike."""
        draws = np.random.default_rng(int(torch.randint(2**62, (1,), generator=generator)))
        who = self.applicants(count, draws)
        kind = draws.integers(0, 2 * len(INSTRUCTIONS), count)
        prompts = torch.empty(count, self.context, dtype=torch.long)
        chances = np.empty(count)
        for number in range(2 * len(INSTRUCTIONS)):
            black, told, here = bool(number % 2), INSTRUCTIONS[number // 2], kind == number
            some = Applicants(who.lsat[here], who.gpa[here], who.female[here])
            prompts[torch.from_numpy(here)] = self.prompts(some, black, told)
            chances[here] = self.probability(some, black, told)
        said = torch.from_numpy(np.where(draws.random(count) < chances, YES, NO))
        return torch.cat([prompts, said[:, None]], dim=1)
