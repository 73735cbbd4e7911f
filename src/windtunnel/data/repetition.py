"""Streams in which a small subset of the windows is seen again and again (Hernandez et al., 2022; arXiv:2205.10487).

Of T tokens, (1 − f) T are seen once and f T are repeats of a subset of f T / r tokens, each of whose windows is seen r
times; all are mixed uniformly. Two controls go with it: all T tokens unique, and only what the stream has that is
unique, (1 − f) T + f T / r tokens.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from numpy.typing import NDArray
from torch import Tensor

from windtunnel.data.sources import Rows, Source, derived_seed
from windtunnel.laboratory.errors import UsageError

TOLERANCE = 0.001
"""By how much the share of repeated rows may differ from what was asked."""

NGRAM = 13
"""Tokens in a row that count as an overlap of training and test."""

_ODD = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class Mixture:
    """How many rows of a stream are what.

    Attributes:
        rows: Of the whole stream.
        repeated: Of them, those of the subset, each counted as often as it is seen.
        windows: Different rows in the subset.
    """

    rows: int
    repeated: int
    windows: int

    @classmethod
    def of(cls, rows: int, fraction: float, repeats: int) -> "Mixture":
        """The mixture of so many rows in which `fraction` are repeats of windows that are each seen `repeats` times.

        Raises:
            UsageError: A value is out of range, or whole windows cannot give that fraction within 0.1 % and each
                window so often, give or take one.
        """
        if rows < 1 or not 0 < fraction < 1 or repeats < 1:
            raise UsageError(
                f"A stream of {rows} rows, {fraction:g} of them repeated {repeats} times, cannot be built; "
                "the fraction lies between 0 and 1, and rows and repeats are at least 1."
            )
        repeated = round(fraction * rows)
        windows = max(round(repeated / repeats), 1)
        mixture = cls(rows, repeated, windows)
        if abs(mixture.fraction - fraction) > TOLERANCE or abs(mixture.repeats - repeats) > 1:
            raise UsageError(
                f"{repeats} repeats in a fraction {fraction:g} of {rows} rows do not come out in whole windows: "
                f"{windows} of them would be seen {mixture.repeats:.1f} times in a fraction of {mixture.fraction:.4f}; "
                f"ask for {max(round(mixture.repeats), 1)} repeats, or for more rows."
            )
        return mixture

    @property
    def fraction(self) -> float:
        """Share of the rows that are of the subset."""
        return self.repeated / self.rows

    @property
    def repeats(self) -> float:
        """How often a window of the subset is seen on average."""
        return self.repeated / self.windows

    @property
    def once(self) -> int:
        """Rows that are seen once."""
        return self.rows - self.repeated

    @property
    def unique(self) -> int:
        """Different rows in the stream."""
        return self.once + self.windows


class RepeatedSource:
    """A stream with a repeated subset, over any source whose rows differ.

    What is seen once are the source's rows 0 to `mixture.once` − 1, the subset the `mixture.windows` rows after them:
    with the same source and fraction, streams of more repeats have a part of the subset of those of fewer. Row i is a
    pure function of the seed, the mixture and i. The stream ends after `mixture.rows` rows.

    Args:
        source: Where rows come from; one with an `epoch` must have as many rows as are needed.
        mixture: How many rows are what.
        seed: Decides the order.
        fresh: Every copy after the first is a new row of the source instead: the same stream without repetition, the
            first control.

    Attributes:
        vocabulary: Token types.
        context: Tokens a model reads.
        mixture: How many rows are what.
        order: Which row of the source each row of the stream is.

    Raises:
        UsageError: The source has too few different rows.
    """

    def __init__(self, source: Source, mixture: Mixture, seed: int, *, fresh: bool = False) -> None:
        needed, available = mixture.rows if fresh else mixture.unique, getattr(source, "epoch", None)
        if available is not None and needed > available:
            raise UsageError(
                f"The stream needs {needed} different rows of {source.context} tokens and the source has {available}; "
                "use a longer corpus or a smaller budget."
            )
        self.vocabulary = source.vocabulary
        self.context = source.context
        self.mixture = mixture
        self._source = source
        copies = torch.arange(mixture.repeated)
        subset = mixture.once + (copies if fresh else copies % mixture.windows)
        self.order = _shuffled(torch.cat([torch.arange(mixture.once), subset]), seed)

    def rows(self, start: int, count: int) -> Rows:
        """Rows `start` to `start + count - 1`.

        Raises:
            UsageError: They go beyond the end of the stream.
        """
        if start < 0 or start + count > len(self.order):
            raise UsageError(
                f"Rows {start} to {start + count - 1} are not all in a stream of {len(self.order)}; train for fewer "
                "steps, or build a longer stream."
            )
        return _gathered(self._source, self.order[start : start + count])

    def subset(self, count: int | None = None) -> Rows:
        """The windows of the subset, each once, or the first `count` of them."""
        wanted = self.mixture.windows if count is None else min(count, self.mixture.windows)
        return self._source.rows(self.mixture.once, wanted)


class UniqueSource:
    """The second control: what a stream has that is unique, each row once, in an order of its own.

    Args:
        source: That of the stream.
        mixture: That of the stream.
        seed: Decides the order.

    Attributes:
        vocabulary: Token types.
        context: Tokens a model reads.
        order: Which row of the source each row is; there are `mixture.unique`.
    """

    def __init__(self, source: Source, mixture: Mixture, seed: int) -> None:
        self.vocabulary = source.vocabulary
        self.context = source.context
        self._source = source
        self.order = _shuffled(torch.arange(mixture.unique), seed)

    def rows(self, start: int, count: int) -> Rows:
        """Rows `start` to `start + count - 1`.

        Raises:
            UsageError: They go beyond the end of the stream.
        """
        if start < 0 or start + count > len(self.order):
            raise UsageError(f"Rows {start} to {start + count - 1} are not all in a stream of {len(self.order)}.")
        return _gathered(self._source, self.order[start : start + count])


class HeldRows:
    """The first rows of a source in memory, for streams that read a world's rows in any order.

    Args:
        source: Where they come from.
        count: How many; the rows hold nothing but tokens.

    Attributes:
        vocabulary: Token types.
        context: Tokens a model reads.
        epoch: How many rows there are.
    """

    def __init__(self, source: Source, count: int) -> None:
        available = getattr(source, "epoch", count)
        if count > available:
            raise UsageError(f"{count} different rows are needed and the source has {available}; use a longer corpus.")
        self.vocabulary = source.vocabulary
        self.context = source.context
        self.epoch = count
        self._tokens = torch.cat([source.rows(at, min(256, count - at))["tokens"] for at in range(0, count, 256)])

    def rows(self, start: int, count: int) -> Rows:
        """Rows `start` to `start + count - 1`."""
        return {"tokens": self._tokens[start : start + count]}


def seen(source: RepeatedSource) -> Int[Tensor, " window"]:
    """How often each window of the subset is in the stream, counted in its order."""
    of_subset = source.order[source.order >= source.mixture.once] - source.mixture.once
    return torch.bincount(of_subset, minlength=source.mixture.windows)


def ngrams(tokens: Int[Tensor, "row token"], length: int = NGRAM) -> NDArray[np.uint64]:
    """A 64-bit hash of each run of `length` tokens, [row, token − length + 1].

    Raises:
        UsageError: Rows are shorter than a run.
    """
    table = tokens.numpy().astype(np.uint64)
    places = table.shape[1] - length + 1
    if places < 1:
        raise UsageError(f"Rows of {table.shape[1]} tokens hold no run of {length}; use a longer context.")
    hashed: NDArray[Any] = np.zeros((len(table), places), np.uint64)
    for offset in range(length):
        hashed = (hashed + table[:, offset : offset + places] + np.uint64(1)) * _ODD
        hashed ^= hashed >> np.uint64(29)
    return hashed


def overlapping(
    test: Int[Tensor, "row token"], train: Int[Tensor, "other token"], length: int = NGRAM
) -> NDArray[np.bool_]:
    """Which test rows share a run of `length` tokens with a training row.

    Equal runs are always found; different ones are taken for equal about once in 10^19 pairs.
    """
    return np.asarray(np.isin(ngrams(test, length), ngrams(train, length)).any(axis=1))


def _shuffled(order: Tensor, seed: int) -> Int[Tensor, " row"]:
    generator = torch.Generator().manual_seed(derived_seed(seed, "mixing"))
    return order[torch.randperm(len(order), generator=generator)]


def _gathered(source: Source, places: Tensor) -> Rows:
    rows = [source.rows(place, 1) for place in places.tolist()]
    return {name: torch.cat([row[name] for row in rows]) for name in rows[0]}
