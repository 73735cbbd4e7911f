"""The bootstrap of statistics that are sums in an order: a resample is a whole number of times each item is counted.

Sorting is what costs in calibration and ranking, and a resample keeps the order. So items are sorted once, and every
resample is a row of weights: ten thousand items are resampled two thousand times in about a second.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from windtunnel.statistics.estimates import Estimate
from windtunnel.statistics.intervals import Floats, checked, numbered, widened

Weighted = Callable[[Floats], Floats]
"""From weights [resample, item] to the statistic of each resample, [resample]; NaN where it is not defined."""

BATCH = 2**21
"""Weights held at once."""


def resampled(
    units: int, member: NDArray[np.intp] | None, generator: np.random.Generator, resamples: int
) -> Iterator[Floats]:
    """How often each item is drawn when as many units as there are are drawn with replacement.

    Args:
        units: Items, or clusters of them.
        member: The cluster of each item; None: every item is its own.
        generator: Source of the draws.
        resamples: How many rows in all.

    Yields:
        Weights [some resamples, item].
    """
    items = units if member is None else len(member)
    size = max(1, BATCH // max(items, units))
    for start in range(0, resamples, size):
        rows = min(size, resamples - start)
        drawn = generator.integers(units, size=(rows, units))
        drawn += units * np.arange(rows)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=rows * units).reshape(rows, units)
        yield (counts if member is None else counts[:, member]).astype(np.float64)


def replicates(
    statistic: Weighted,
    items: int,
    *,
    generator: np.random.Generator,
    clusters: Sequence[Any] | ArrayLike | None = None,
    order: NDArray[np.intp] | None = None,
    resamples: int = 2_000,
) -> tuple[Floats, int]:
    """The statistic of every resample, and how many units were resampled.

    Args:
        statistic: Of weights in the sorted order.
        items: How many there are.
        generator: Source of the resampling.
        clusters: The question of each item, in the order in which items were given; they stay together.
        order: How items were sorted, that clusters may follow them.
        resamples: How many.
    """
    member = None if clusters is None else numbered(clusters, items)
    if member is not None and order is not None:
        member = member[order]
    units = items if member is None else int(member.max()) + 1
    found = [statistic(weights) for weights in resampled(units, member, generator, resamples)]
    return np.concatenate(found), units


def percentile(
    value: float, found: Floats, units: int, level: float, limits: tuple[float, float] = (-np.inf, np.inf)
) -> Estimate:
    """The percentile interval of replicates, at a level widened for few units as in `intervals.bootstrap`.

    Replicates in which the statistic is not defined (no positive item was drawn) are left out; with one unit, or with
    none that is defined, the interval is everything the statistic can be.
    """
    kept = found[~np.isnan(found)]
    if units == 1 or len(kept) == 0 or np.isnan(value):
        return Estimate(value, *limits, checked(level))
    wide = widened(checked(level), units)
    low, high = np.quantile(kept, [0.5 - wide / 2, 0.5 + wide / 2])
    return Estimate(value, float(min(low, value)), float(max(high, value)), level)


def estimate(
    statistic: Weighted,
    items: int,
    *,
    generator: np.random.Generator,
    clusters: Sequence[Any] | ArrayLike | None = None,
    order: NDArray[np.intp] | None = None,
    resamples: int = 2_000,
    level: float = 0.95,
    limits: tuple[float, float] = (-np.inf, np.inf),
) -> Estimate:
    """The statistic of all items, each counted once, with its percentile interval; arguments as for the two above."""
    value = float(statistic(np.ones((1, items)))[0])
    found, units = replicates(
        statistic, items, generator=generator, clusters=clusters, order=order, resamples=resamples
    )
    return percentile(value, found, units, level, limits)
