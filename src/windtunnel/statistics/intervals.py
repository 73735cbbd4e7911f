"""Intervals of means and proportions: exact where there is a closed form, bootstrap elsewhere."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from windtunnel.statistics.estimates import Estimate

Floats = NDArray[np.float64]
Statistic = Callable[..., Any]
"""A function such as `np.mean`: from an array and an `axis` to the statistic along it."""


def mean(values: ArrayLike, *, level: float = 0.95) -> Estimate:
    """Mean with Student's t interval: exact for normal values, sound for many others from about ten on.

    Raises:
        ValueError: There are no values, or one is not a number.
    """
    from scipy.stats import t

    data = _finite(values)
    centre = float(data.mean())
    if len(data) == 1:
        return Estimate(centre, -np.inf, np.inf, level)
    half = float(t.ppf(0.5 + level / 2, len(data) - 1)) * float(data.std(ddof=1)) / len(data) ** 0.5
    return Estimate(centre, centre - half, centre + half, level)


def proportion(successes: int, trials: int, *, level: float = 0.95) -> Estimate:
    """Share of successes with the exact interval of Clopper and Pearson (1934).

    Raises:
        ValueError: There are no trials, or more successes than trials.
    """
    from scipy.stats import binomtest

    interval = binomtest(_count(successes, trials), trials).proportion_ci(level, method="exact")
    return Estimate(successes / trials, float(interval.low), float(interval.high), level)


def wilson(successes: int, trials: int, *, level: float = 0.95) -> Estimate:
    """Share of successes with Wilson's score interval (1927): shorter than the exact one, right on average.

    Raises:
        ValueError: There are no trials, or more successes than trials.
    """
    from scipy.stats import binomtest

    interval = binomtest(_count(successes, trials), trials).proportion_ci(level, method="wilson")
    return Estimate(successes / trials, float(interval.low), float(interval.high), level)


def worst_case(successes: int, missing: int, trials: int) -> tuple[float, float]:
    """Bounds of a success rate when `missing` of `trials` samples failed to be scored: none or all would succeed.

    Raises:
        ValueError: The counts do not fit together.
    """
    if not 0 <= successes <= trials - missing or missing < 0 or trials < 1:
        raise ValueError(f"{successes} successes and {missing} missing do not fit {trials} trials")
    return successes / trials, (successes + missing) / trials


def bootstrap(
    values: ArrayLike,
    *,
    generator: np.random.Generator,
    statistic: Statistic = np.mean,
    clusters: Sequence[Any] | ArrayLike | None = None,
    level: float = 0.95,
    resamples: int = 2_000,
) -> Estimate:
    """A statistic with its bootstrap interval (BCa; percentile where clusters are resampled).

    Args:
        values: One number per sample.
        generator: Source of the resampling.
        statistic: Takes an array and `axis`.
        clusters: The question, conversation or seed of each sample: samples of one cluster are resampled together.
        level: Coverage aimed at.
        resamples: How many.

    Raises:
        ValueError: There are no values, one is not a number, or clusters are not one per value.
    """
    data = _finite(values)
    value = float(statistic(data, axis=-1))
    if clusters is not None:
        return _clustered(data, np.asarray(clusters), statistic, value, generator, level, resamples)
    if len(data) == 1 or np.ptp(data) == 0:
        spread = (-np.inf, np.inf) if len(data) == 1 else (value, value)
        return Estimate(value, *spread, level)
    from scipy.stats import bootstrap as scipy_bootstrap

    found = scipy_bootstrap(
        (data,),
        statistic,
        confidence_level=level,
        n_resamples=resamples,
        rng=generator,
        method="BCa",
        vectorized=True,
        batch=max(1, 2**22 // len(data)),
    )
    interval = found.confidence_interval
    if np.isnan(interval.low) or np.isnan(interval.high):  # BCa has no answer where the jackknife is constant
        low, high = np.quantile(found.bootstrap_distribution, [0.5 - level / 2, 0.5 + level / 2])
        return Estimate(value, float(low), float(high), level)
    return Estimate(value, float(interval.low), float(interval.high), level)


def _clustered(
    data: Floats,
    clusters: NDArray[Any],
    statistic: Statistic,
    value: float,
    generator: np.random.Generator,
    level: float,
    resamples: int,
) -> Estimate:
    if clusters.shape != data.shape:
        raise ValueError(f"{len(clusters)} clusters were given for {len(data)} values; give one per value")
    _, member = np.unique(clusters, return_inverse=True)
    groups = [data[member == index] for index in range(member.max() + 1)]
    if len(groups) == 1:
        return Estimate(value, -np.inf, np.inf, level)
    drawn = np.empty(resamples)
    for index in range(resamples):
        chosen = generator.integers(len(groups), size=len(groups))
        drawn[index] = statistic(np.concatenate([groups[group] for group in chosen]), axis=-1)
    low, high = np.quantile(drawn, [0.5 - level / 2, 0.5 + level / 2])
    return Estimate(value, float(low), float(high), level)


def _finite(values: ArrayLike) -> Floats:
    data = np.asarray(values, dtype=np.float64).ravel()
    if len(data) == 0:
        raise ValueError("an interval needs at least one value, and there is none")
    if not np.isfinite(data).all():
        raise ValueError("an interval needs finite values; decide what a failed sample counts as, and pass that")
    return data


def _count(successes: int, trials: int) -> int:
    if trials < 1 or not 0 <= successes <= trials:
        raise ValueError(f"{successes} successes in {trials} trials is not a proportion")
    return int(successes)
