"""A world of occupations whose pronouns follow planted statistics, with instructions that change them.

A row is `instruction occupation pronoun`. Without an instruction the text says the female pronoun as often as its own
shares have it, which correlate with the official statistics as planted (in real text, imperfectly so). Told to be fair
it is mostly neutral, and otherwise female as often as shares that have nothing to do with the statistics. Asked to
match the statistics, it is told the share in percent and follows it.
"""

from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from windtunnel.data.sources import AnswerSource
from windtunnel.laboratory.errors import UsageError

Instruction = Literal["plain", "fair", "fair-thinking", "match"]

PLAIN, FAIR, THINKING, FEMALE, MALE, NEUTRAL = range(6)
SPECIAL = 6
GRAINS = 21
"""Tokens that say a share, in steps of 5 %."""


class Occupations(AnswerSource):
    """Occupations and pronouns.

    Args:
        occupations: How many.
        seed: Decides shares and rows.
        correlation: Planted Pearson correlation of the text's shares with the statistics; 0: the null.
        obeyed: Whether the text heeds instructions; False: it answers as without one.
        neutral: Probability of the neutral pronoun without an instruction.
        neutral_fair: Under the instruction to be fair.
        neutral_thinking: Where it is thought about first.

    Attributes:
        statistics: Official share of women in each occupation.
        shares: Share in the text, whose correlation with the statistics is as planted.
        unrelated: Share under the instruction to be fair, uncorrelated with the statistics.

    Raises:
        UsageError: Fewer than eight occupations, or a correlation or probability out of range.
    """

    def __init__(
        self,
        occupations: int,
        seed: int,
        *,
        correlation: float = 0.6,
        obeyed: bool = True,
        neutral: float = 0.1,
        neutral_fair: float = 0.6,
        neutral_thinking: float = 0.9,
    ) -> None:
        if occupations < 8 or not -1 <= correlation <= 1:
            raise UsageError(
                f"{occupations} occupations with a correlation of {correlation} cannot be planted; give eight or more "
                "and one from -1 to 1."
            )
        for name, value in (("neutral", neutral), ("neutral_fair", neutral_fair), ("thinking", neutral_thinking)):
            if not 0 <= value < 1:
                raise UsageError(f"{name} is a probability below 1 and not {value}; give one from 0 on.")
        super().__init__(SPECIAL + GRAINS + occupations, 2, seed)
        self.obeyed = obeyed
        self.neutral: dict[Instruction, float] = {"plain": neutral, "match": neutral}
        self.neutral |= {"fair": neutral_fair, "fair-thinking": neutral_thinking}
        draws = np.random.default_rng([seed, 0])
        spread = draws.permutation(np.linspace(-1, 1, occupations))
        noise = _uncorrelated(spread, draws)
        mixed = correlation * _unit(spread) + (1 - correlation**2) ** 0.5 * noise
        other = _uncorrelated(np.stack([spread, noise]), draws)
        self.statistics: Float[np.ndarray, " occupation"] = 0.5 + 0.48 * spread
        self.shares: Float[np.ndarray, " occupation"] = 0.5 + 0.45 * mixed / np.abs(mixed).max()
        self.unrelated: Float[np.ndarray, " occupation"] = 0.5 + 0.45 * other / np.abs(other).max()

    def prompts(self, instruction: Instruction) -> Int[Tensor, "occupation 2"]:
        """What is asked about each occupation, in the order of the statistics."""
        count = len(self.statistics)
        flag = {"plain": PLAIN, "fair": FAIR, "fair-thinking": THINKING}.get(instruction, 0)
        first = torch.full((count,), flag)
        if instruction == "match":
            grain = np.rint(self.statistics * (GRAINS - 1)).astype(int)
            first = SPECIAL + torch.from_numpy(grain)
        return torch.stack([first, SPECIAL + GRAINS + torch.arange(count)], dim=1)

    def probabilities(self, instruction: Instruction) -> Float[np.ndarray, "occupation 3"]:
        """Of the female, male and neutral pronoun of each occupation in the text."""
        heard: Instruction = instruction if self.obeyed else "plain"
        neutral = self.neutral[heard]
        told = np.rint(self.statistics * (GRAINS - 1)) / (GRAINS - 1)
        share = {"plain": self.shares, "match": told}.get(heard, self.unrelated)
        female = (1 - neutral) * share
        return np.stack([female, 1 - neutral - female, np.full_like(female, neutral)], axis=1)

    def draw(self, count: int, generator: torch.Generator) -> Int[Tensor, "row token"]:
        """Draw rows: each instruction and occupation alike."""
        instructions: tuple[Instruction, ...] = ("plain", "fair", "fair-thinking", "match")
        prompts = torch.stack([self.prompts(one) for one in instructions]).flatten(0, 1)
        chances = torch.from_numpy(np.concatenate([self.probabilities(one) for one in instructions]))
        drawn = torch.randint(len(prompts), (count,), generator=generator)
        said = torch.multinomial(chances[drawn], 1, generator=generator)[:, 0]
        return torch.cat([prompts[drawn], FEMALE + said[:, None]], dim=1)


def _unit(values: Float[np.ndarray, " occupation"]) -> Float[np.ndarray, " occupation"]:
    """Centred, and of standard deviation 1."""
    centred = values - values.mean()
    found: Float[np.ndarray, " occupation"] = centred / centred.std()
    return found


def _uncorrelated(
    others: Float[np.ndarray, "... occupation"], draws: np.random.Generator
) -> Float[np.ndarray, " occupation"]:
    """Normal draws of which all that follows from the others is taken away."""
    drawn = draws.standard_normal(others.shape[-1])
    design = np.stack([np.ones_like(drawn), *np.atleast_2d(others)], axis=1)
    return _unit(drawn - design @ np.linalg.lstsq(design, drawn, rcond=None)[0])
