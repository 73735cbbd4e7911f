"""Comparisons: paired where two models saw the same items, clustered where items belong together."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from windtunnel.laboratory.errors import DataError, UsageError
from windtunnel.statistics.estimates import Estimate
from windtunnel.statistics.intervals import Floats, bootstrap, checked, finite, numbered, wilson


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
    share of random sign flips whose mean is at least as far from 0, the observed one included; of all sign patterns,
    where there are no more of them than `resamples`.

    Args:
        first: One number per item.
        second: The same items measured otherwise.
        generator: Source of the resampling.
        clusters: The question, conversation or seed of each item: items of one cluster are kept together.
        level: Coverage aimed at.
        resamples: How many.

    Raises:
        DataError: There are no items, or a value is not a finite number.
        UsageError: The two, or the clusters, are not one-to-one.
    """
    from scipy.stats import permutation_test

    one, other = paired(first, second)
    gaps = one - other
    estimate = bootstrap(gaps, generator=generator, clusters=clusters, level=level, resamples=resamples)
    sums = gaps if clusters is None else np.bincount(numbered(clusters, len(gaps)), weights=gaps)
    if len(sums) == 1:
        return Comparison(estimate, 1.0)  # a sign alone has no improbable outcome
    flips = permutation_test(
        (sums,),
        np.sum,
        permutation_type="samples",
        vectorized=True,
        n_resamples=resamples,
        batch=max(1, 2**22 // len(sums)),
        rng=generator,
    )
    return Comparison(estimate, float(flips.pvalue))


def mcnemar(first: ArrayLike, second: ArrayLike) -> float:
    """Exact two-sided p-value of McNemar's test: whether two models are right on the same items equally often.

    The size of the difference, with its interval, is `paired_difference` of the same numbers.

    Args:
        first: 1 where the first model was right and 0 where it was not, by item.
        second: The same of the second.

    Raises:
        DataError: There are no items, or a value is neither 0 nor 1.
        UsageError: The two are not one-to-one.
    """
    from scipy.stats import binomtest

    one, other = paired(first, second)
    if not np.isin(np.concatenate([one, other]), (0.0, 1.0)).all():
        raise DataError("McNemar's test compares right with wrong; give 1 for right and 0 for wrong.")
    only_first, only_second = int((one > other).sum()), int((other > one).sum())
    if only_first + only_second == 0:
        return 1.0
    return float(binomtest(only_first, only_first + only_second).pvalue)


def difference_of_proportions(
    first_successes: int, first_trials: int, second_successes: int, second_trials: int, *, level: float = 0.95
) -> Estimate:
    """First minus second share, of unrelated samples, with Newcombe's interval (1998, method 10, from Wilson's).

    Where both saw the same items, `paired_difference` is far sharper.

    Raises:
        DataError: Counts that are no proportion.
    """
    one = wilson(first_successes, first_trials, level=level)
    other = wilson(second_successes, second_trials, level=level)
    value = one.value - other.value
    below = np.hypot(one.value - one.low, other.high - other.value)
    above = np.hypot(one.high - one.value, other.value - other.low)
    return Estimate(value, float(value - below), float(value + above), level)


def correlation(x: ArrayLike, y: ArrayLike, *, level: float = 0.95) -> Estimate:
    """Pearson's correlation with Fisher's z interval.

    Raises:
        DataError: Fewer than four pairs, one of the two is constant, or a value is not a finite number.
        UsageError: The two are not one-to-one.
    """
    from scipy.stats import pearsonr

    one, other = paired(x, y)
    if len(one) < 4:
        raise DataError(f"A correlation with an interval needs at least four pairs, not {len(one)}; measure more.")
    if np.ptp(one) == 0 or np.ptp(other) == 0:
        raise DataError("A correlation needs values that vary, and one of the two is constant.")
    found = pearsonr(one, other)
    interval = found.confidence_interval(checked(level))
    return Estimate(float(found.statistic), float(interval.low), float(interval.high), level)


def paired(first: ArrayLike, second: ArrayLike) -> tuple[Floats, Floats]:
    """Two rows of numbers, one pair per item.

    Raises:
        DataError: There are none, or one is not finite.
        UsageError: They are not one-to-one.
    """
    shapes = np.shape(first), np.shape(second)
    if shapes[0] != shapes[1]:
        raise UsageError(f"Paired values must be one-to-one, not {shapes[0]} and {shapes[1]}; match them by item.")
    return finite(first), finite(second)


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values adjusted for their number by Holm's method (1979), in the order given.

    Raises:
        DataError: One is not between 0 and 1.
    """
    for p_value in p_values:
        if not 0 <= p_value <= 1:
            raise DataError(f"A p-value is between 0 and 1, not {p_value}; a test that was not done has none.")
    order = np.argsort(p_values)
    adjusted = np.empty(len(p_values))
    worst = 0.0
    for place, index in enumerate(order):
        worst = max(worst, min(1.0, p_values[index] * (len(p_values) - place)))
        adjusted[index] = worst
    return [float(value) for value in adjusted]


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """P-values adjusted for the false discovery rate (Benjamini and Hochberg, 1995), in the order given.

    Taking as found what is at most q here, the expected share of false ones among the found is at most q, for tests
    that are independent or positively dependent.

    Raises:
        DataError: One is not between 0 and 1.
    """
    for p_value in p_values:
        if not 0 <= p_value <= 1:
            raise DataError(f"A p-value is between 0 and 1, not {p_value}; a test that was not done has none.")
    adjusted = np.empty(len(p_values))
    least = 1.0
    for place, index in enumerate(np.argsort(p_values)[::-1]):
        least = min(least, p_values[index] * len(p_values) / (len(p_values) - place))
        adjusted[index] = least
    return [float(value) for value in adjusted]
