"""A training mix: rows from several sources in given shares, each source without replacement within an epoch.

Brown et al. (2020, Section 2.2) sample sources not in proportion to their size: good ones are seen two or three times,
others less than once. Row i of a mix is a pure function of the seed and i, as for every source.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from windtunnel.data.sources import Rows, Source, derived_seed
from windtunnel.laboratory.errors import UsageError

PERIOD = 1_000
"""Rows in which the shares come out exactly, up to one row of a source."""


class Mix:
    """Rows of several sources.

    In every `PERIOD` rows each source has the same whole number of rows, in an order of their own. The rows of a source
    come in its own order, so that a source of finite size (a `PackedSource`, say) is gone through without replacement,
    epoch by epoch.

    Args:
        sources: By name, over one vocabulary and context.
        weights: Of each name; shares are weights over their sum.
        seed: Decides the order.
        period: Rows in which shares come out.

    Attributes:
        vocabulary: Token types.
        context: Tokens a model reads.
        names: Of the sources.
        shares: As they are realised.

    Raises:
        UsageError: Names, vocabularies or contexts do not agree, or a source's share is less than half a row of the
            period.
    """

    def __init__(
        self, sources: Mapping[str, Source], weights: Mapping[str, float], seed: int, period: int = PERIOD
    ) -> None:
        self.names = list(sources)
        if not sources or set(sources) != set(weights):
            raise UsageError(
                f"Weights are for {', '.join(weights)} and sources are {', '.join(sources)}; name the same."
            )
        first = next(iter(sources.values()))
        self.vocabulary, self.context = first.vocabulary, first.context
        if any((each.vocabulary, each.context) != (self.vocabulary, self.context) for each in sources.values()):
            raise UsageError("The sources of a mix must have one vocabulary and one context; prepare them alike.")
        counts = apportion([weights[name] for name in self.names], period)
        if 0 in counts:
            name = self.names[counts.index(0)]
            raise UsageError(f"The weight of {name} gives it no row in {period}; raise it, or lengthen the period.")
        self.shares = {name: count / period for name, count in zip(self.names, counts, strict=True)}
        self.seed, self.period = seed, period
        self._sources = [sources[name] for name in self.names]
        self._counts = counts
        self._slots = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
        self._drawn: tuple[int, Tensor, Tensor] | None = None

    def places(self, start: int, count: int) -> list[tuple[int, int]]:
        """Of rows `start` to `start + count - 1`: the number of the source, and which of its rows.

        Raises:
            UsageError: `start` is below 0.
        """
        if start < 0:
            raise UsageError(f"Row {start} does not exist; rows count from 0.")
        return [self._place(row) for row in range(start, start + count)]

    def rows(self, start: int, count: int) -> Rows:
        """Rows `start` to `start + count - 1`; what only some sources say of their rows is filled in for the others."""
        places = self.places(start, count)
        found = [self._sources[source].rows(row, 1) for source, row in places]
        result = {"tokens": torch.cat([row["tokens"] for row in found])}
        if any("documents" in row for row in found):
            none = torch.zeros_like(found[0]["tokens"])
            result["documents"] = torch.cat([row.get("documents", none) for row in found])
        if any("mask" in row for row in found):
            everything = torch.ones_like(found[0]["tokens"], dtype=torch.bool)
            result["mask"] = torch.cat([row.get("mask", everything) for row in found])
        return result

    def epochs(self, rows: int) -> dict[str, float | None]:
        """How often each source is gone through in so many rows; None of a source without an end."""
        found: dict[str, float | None] = {}
        for name, source in zip(self.names, self._sources, strict=True):
            epoch = getattr(source, "epoch", None)
            found[name] = None if epoch is None else rows * self.shares[name] / epoch
        return found

    def _place(self, row: int) -> tuple[int, int]:
        block, offset = divmod(row, self.period)
        if self._drawn is None or self._drawn[0] != block:
            generator = torch.Generator().manual_seed(derived_seed(self.seed, "mix", block))
            order = self._slots[torch.randperm(self.period, generator=generator)]
            ranks = torch.empty_like(order)
            for source, count in enumerate(self._counts):
                ranks[order == source] = torch.arange(count)
            self._drawn = (block, order, ranks)
        source = int(self._drawn[1][offset])
        return source, block * self._counts[source] + int(self._drawn[2][offset])


def apportion(weights: Sequence[float], seats: int) -> list[int]:
    """Whole numbers in the proportion of the weights that add up to `seats`: by largest remainders.

    Raises:
        UsageError: A weight is not positive.
    """
    if not weights or min(weights) <= 0:
        raise UsageError(f"Weights of a mix are above 0, not {list(weights)}; leave a source out instead.")
    quotas = [weight / sum(weights) * seats for weight in weights]
    counts = [int(quota) for quota in quotas]
    by_remainder = sorted(range(len(weights)), key=lambda place: (counts[place] - quotas[place], place))
    for place in by_remainder[: seats - sum(counts)]:
        counts[place] += 1
    return counts


@dataclass(frozen=True)
class Ingredient:
    """A row of the paper's table of its training mix.

    Attributes:
        name: Of the data set.
        tokens: Its size.
        weight: Share of the training tokens, as printed.
        epochs: How often it is seen in training, as printed.
    """

    name: str
    tokens: float
    weight: float
    epochs: float

    def computed_epochs(self, trained: float) -> float:
        """How often it is seen in so many training tokens by its size and weight."""
        return trained * self.weight / self.tokens


GPT3_TOKENS = 300e9
"""Tokens that every model of the paper is trained on."""

GPT3_MIX = (
    Ingredient("Common Crawl (filtered)", 410e9, 0.60, 0.44),
    Ingredient("WebText2", 19e9, 0.22, 2.9),
    Ingredient("Books1", 12e9, 0.08, 1.9),
    Ingredient("Books2", 55e9, 0.08, 0.43),
    Ingredient("Wikipedia", 3e9, 0.03, 3.4),
)
"""Table 2.2 of Brown et al. (2020). Its weights add up to 1.01, and of WebText2 and Wikipedia the printed epochs are
not those of the printed sizes and weights (3.5 and 3.0)."""
