"""Lettered questions with planted doubt: the best possible probability of every option is known exactly.

An item has one canonical answer, which the text gives with the item's own probability and otherwise a random other
option. So a model that has learned the world is right as often as it says, and what breaks its calibration (an option
it has never seen, a reward for being right) is seen against the truth.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from windtunnel.data.sources import BlockSource
from windtunnel.laboratory.errors import UsageError

OPTIONS = 4
ASKED = OPTIONS
"""Token after the options; the letters are tokens 0 to 3."""

NONE = OPTIONS + 1
"""The option "none of the above", which never occurs in the text."""

SPECIAL = OPTIONS + 2

RELIABILITIES = (0.4, 0.6, 0.8, 0.95)
"""Probabilities with which an item's canonical answer is the one the text gives."""


class LetteredChoices(BlockSource):
    """Questions: an item, four lettered options one of which is its canonical answer, and the letter the text gives.

    A row is item, (letter, option) four times, `ASKED`, letter.

    Args:
        items: How many.
        answers: Different answers; options are drawn from them.
        seed: Decides the world.
        rows_seed: Decides the rows; None: as `seed`.
        shuffled: The null: the letter is drawn at random.

    Attributes:
        canonical: Answer of each item, [item].
        reliability: Probability that the text gives it, [item].
    """

    def __init__(
        self, items: int, answers: int, seed: int, *, rows_seed: int | None = None, shuffled: bool = False
    ) -> None:
        if items < 1 or answers < OPTIONS:
            raise UsageError(f"{items} items and {answers} answers make no questions; give at least 1 and {OPTIONS}.")
        super().__init__(SPECIAL + items + answers, 2 * OPTIONS + 2, seed if rows_seed is None else rows_seed)
        self.items, self.answers, self.shuffled = items, answers, shuffled
        generator = torch.Generator().manual_seed(seed)
        self.canonical: Int[Tensor, " item"] = torch.randint(answers, (items,), generator=generator)
        levels = torch.tensor(RELIABILITIES, dtype=torch.float64)
        self.reliability: Float[Tensor, " item"] = levels[torch.randperm(items, generator=generator) % len(levels)]

    def draw(self, count: int, generator: torch.Generator) -> Int[Tensor, "row token"]:
        """Draw questions with the letters the text gives."""
        item = torch.randint(self.items, (count,), generator=generator)
        right = self.canonical[item]
        away = torch.rand(count, self.answers - 1, generator=generator).argsort(dim=1)[:, : OPTIONS - 1] + 1
        options = torch.cat([right[:, None], (right[:, None] + away) % self.answers], dim=1)
        order = torch.rand(count, OPTIONS, generator=generator).argsort(dim=1)
        place = order.argsort(dim=1)[:, 0]  # where the canonical answer went
        other = (place + torch.randint(1, OPTIONS, (count,), generator=generator)) % OPTIONS
        told = torch.rand(count, generator=generator, dtype=torch.float64) < self.reliability[item]
        letter = torch.where(told, place, other)
        if self.shuffled:
            letter = torch.randint(OPTIONS, (count,), generator=generator)
        tokens = torch.empty(count, 2 * OPTIONS + 3, dtype=torch.long)
        tokens[:, 0] = SPECIAL + item
        tokens[:, 1:-2:2] = torch.arange(OPTIONS)
        tokens[:, 2:-2:2] = SPECIAL + self.items + options.gather(1, order)
        tokens[:, -2], tokens[:, -1] = ASKED, letter
        return tokens

    def best(self, tokens: Int[Tensor, "row token"]) -> Float[Tensor, "row option"]:
        """The exact probability of every letter, given the question."""
        item = tokens[:, 0] - SPECIAL
        options = tokens[:, 2 : 2 * OPTIONS + 1 : 2] - SPECIAL - self.items
        right = options == self.canonical[item][:, None]
        if self.shuffled:
            return torch.full(right.shape, 1 / OPTIONS, dtype=torch.float64)
        sure = self.reliability[item][:, None]
        return torch.where(right, sure, (1 - sure) / (OPTIONS - 1))


def without_the_last(tokens: Int[Tensor, "row token"]) -> Int[Tensor, "row token"]:
    """The same questions with the last option replaced by `NONE`."""
    changed = tokens.clone()
    changed[:, 2 * OPTIONS] = NONE
    return changed


def reordered(tokens: Int[Tensor, "row token"], shift: int) -> Int[Tensor, "row token"]:
    """The same questions with every option moved on by `shift` letters, and the answer with it."""
    changed = tokens.clone()
    changed[:, 2 : 2 * OPTIONS + 1 : 2] = tokens[:, 2 : 2 * OPTIONS + 1 : 2].roll(shift, dims=1)
    changed[:, -1] = (tokens[:, -1] + shift) % OPTIONS
    return changed
