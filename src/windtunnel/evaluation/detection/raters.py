"""Simulated participants of known skill: the truth that estimators are checked against, and the power of a plan.

A rater feels evidence x for a machine: normal with variance 1 around + d/2 for a generated text and − d/2 for another,
shifted by the text (some look more like a machine's to everyone) and by the rater (some suspect machines everywhere).
Above a criterion they say machine, below its negative human, far out very likely so, and between the two that they do
not know. Now and then they choose blindly, and some look the texts up.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from windtunnel.evaluation.detection.ratings import Rating, Sheet
from windtunnel.laboratory.errors import UsageError


@dataclass(frozen=True)
class Raters:
    """What a population of raters is like.

    Attributes:
        skill: d, the distance between the evidence of the two kinds of texts.
        criterion: Evidence from which a side is taken.
        sure: Evidence from which it is very likely.
        text_spread: Standard deviation of the shift that a text has for everyone.
        bias_spread: Standard deviation of a rater's own shift.
        lapses: Share of choices made blindly among the five.
        cheats: Share of raters who look the texts up, choose rightly, and say so when asked.
    """

    skill: float
    criterion: float = 0.15
    sure: float = 1.0
    text_spread: float = 0.0
    bias_spread: float = 0.0
    lapses: float = 0.0
    cheats: float = 0.0

    @property
    def accuracy(self) -> float:
        """Right choices over choices that take a side, in a population without end of raters who do not cheat."""
        from scipy.stats import norm

        spread = (1 + self.text_spread**2 + self.bias_spread**2) ** 0.5
        right = float(norm.cdf((self.skill / 2 - self.criterion) / spread))
        wrong = float(norm.cdf((-self.skill / 2 - self.criterion) / spread))
        right, wrong = ((1 - self.lapses) * share + self.lapses * 0.4 for share in (right, wrong))
        return right / (right + wrong)


def skill_of_accuracy(accuracy: float, **population: float) -> float:
    """The skill of raters who are right so often; other facts about them as for `Raters`.

    Raises:
        UsageError: No skill between −8 and 8 gives that accuracy.
    """
    from scipy.optimize import brentq

    def gap(skill: float) -> float:
        return Raters(skill, **population).accuracy - accuracy

    if gap(-8) * gap(8) > 0:
        raise UsageError(f"No skill makes raters right in a share of {accuracy:g}; ask for one nearer to 0.5.")
    return float(brentq(gap, -8, 8, xtol=1e-12))


def simulate(key: Mapping[str, Any], raters: Mapping[str, Raters], generator: np.random.Generator) -> list[Sheet]:
    """What raters would hand in.

    Args:
        key: Of the material, as `write_material` returns it.
        raters: What the participants of each model are like.
        generator: Source of all draws.
    """
    shifts: dict[tuple[str, str, bool], float] = {}
    sheets = []
    for participant, shown in key["participants"].items():
        population = raters[shown["model"]]
        bias = population.bias_spread * generator.standard_normal()
        cheats = bool(generator.random() < population.cheats)
        choices = {}
        for code, text in shown["articles"].items():
            of_text = (shown["model"] if text["generated"] else "human", text["topic"], text["generated"])
            if of_text not in shifts:
                shifts[of_text] = float(generator.standard_normal())
            side = 1 if text["generated"] else -1
            evidence = side * population.skill / 2 + bias + population.text_spread * shifts[of_text]
            evidence += generator.standard_normal()
            choices[code] = _choice(float(evidence), population, generator, side if cheats else 0)
        sheets.append(Sheet(participant, choices, cheats))
    return sheets


def _choice(evidence: float, population: Raters, generator: np.random.Generator, known: int) -> int:
    if known:
        return 5 if known > 0 else 1
    if generator.random() < population.lapses:
        return int(generator.integers(1, 6))
    if abs(evidence) < population.criterion:
        return 3
    step = 2 if abs(evidence) >= population.sure else 1
    return 3 + step if evidence > 0 else 3 - step


def ratings_of(sheets: Sequence[Sheet], key: Mapping[str, Any]) -> list[Rating]:
    """All ratings, whoever gave them and however many they left out: what no rule of exclusion has seen."""
    return [
        Rating(
            sheet.participant,
            shown["articles"][code]["topic"],
            shown["articles"][code]["generated"],
            shown["model"],
            choice,
        )
        for sheet in sheets
        for shown in [key["participants"][sheet.participant]]
        for code, choice in sheet.choices.items()
    ]
