"""Comparisons: paired where two models saw the same items, clustered where items belong together."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from windtunnel.statistics.estimates import Estimate
from windtunnel.statistics.intervals import bootstrap


@dataclass(frozen=True)
class Comparison:
    """A difference and how surprising it would be by chance.

    Attributes:
        difference: First minus second, with its interval.
        p_value: Two-sided, under no difference.
    """

    difference: Estimate
    p_value: float


def paired_difference(
    first: ArrayLike,
    second: ArrayLike,
    *,
    generator: np.random.Generator,
    clusters: Sequence[Any] | ArrayLike | None = None,
    level: float = 0.95,
    resamples: int = 2_000,
) -> Comparison:
    """Mean difference of two measurements of the same items, with bootstrap interval and sign-flip test.

    Under no difference, each item's (or cluster's) difference is as likely to have either sign; the p-value is the
    share of random sign flips whose mean is at least as far from 0, the observed one included.

    Raises:
        ValueError: The two are not one-to-one, or hold no finite values.
    """
    one, other = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if one.shape != other.shape:
        raise ValueError(f"paired values must be one-to-one, not {one.shape} and {other.shape}")
    gaps = (one - other).ravel()
    estimate = bootstrap(gaps, generator=generator, clusters=clusters, level=level, resamples=resamples)
    names = np.arange(len(gaps)) if clusters is None else np.asarray(clusters)
    _, member = np.unique(names, return_inverse=True)
    sums = np.bincount(member, weights=gaps)
    signs = generator.integers(0, 2, size=(resamples, len(sums))) * 2 - 1
    flipped = np.abs(signs @ sums)
    p_value = (1 + int((flipped >= abs(sums.sum()) - 1e-12).sum())) / (resamples + 1)
    return Comparison(estimate, p_value)


def mcnemar(first: ArrayLike, second: ArrayLike) -> float:
    """Exact two-sided p-value of McNemar's test: whether two models are right on the same items equally often.

    Args:
        first: Whether the first model was right, by item.
        second: The same of the second.

    Raises:
        ValueError: The two are not one-to-one.
    """
    from scipy.stats import binomtest

    one, other = np.asarray(first, dtype=bool), np.asarray(second, dtype=bool)
    if one.shape != other.shape:
        raise ValueError(f"paired values must be one-to-one, not {one.shape} and {other.shape}")
    only_first, only_second = int((one & ~other).sum()), int((other & ~one).sum())
    if only_first + only_second == 0:
        return 1.0
    return float(binomtest(only_first, only_first + only_second).pvalue)


def correlation(x: ArrayLike, y: ArrayLike, *, level: float = 0.95) -> Estimate:
    """Pearson's correlation with Fisher's z interval.

    Raises:
        ValueError: Fewer than four pairs, or one of the two is constant.
    """
    from scipy.stats import pearsonr

    one, other = np.asarray(x, dtype=np.float64).ravel(), np.asarray(y, dtype=np.float64).ravel()
    if len(one) != len(other) or len(one) < 4:
        raise ValueError(f"a correlation needs at least four pairs, not {len(one)} and {len(other)} values")
    if np.ptp(one) == 0 or np.ptp(other) == 0:
        raise ValueError("a correlation needs values that vary")
    found = pearsonr(one, other)
    interval = found.confidence_interval(level)
    return Estimate(float(found.statistic), float(interval.low), float(interval.high), level)


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values adjusted for their number by Holm's method (1979), in the order given."""
    order = np.argsort(p_values)
    adjusted = np.empty(len(p_values))
    worst = 0.0
    for place, index in enumerate(order):
        worst = max(worst, min(1.0, p_values[index] * (len(p_values) - place)))
        adjusted[index] = worst
    return [float(value) for value in adjusted]
