"""One temperature for all logits: the repair of sharpened probabilities (Kadavath et al., 2022, Section 3.3)."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from windtunnel.laboratory.errors import DataError, UsageError
from windtunnel.statistics.estimates import Estimate
from windtunnel.statistics.intervals import Floats
from windtunnel.statistics.weights import percentile, replicates

LOW, HIGH = 0.25, 10.0
"""The range of temperatures that is searched."""

GRID = 400
"""Temperatures at which resamples are compared; their minimum is refined by a parabola."""


def softened(logits: ArrayLike, temperature: float = 1.0) -> Floats:
    """Probabilities of options at a temperature, p ∝ exp(l / T), [question, option]; minus infinity is no option.

    Raises:
        DataError: Logits that are not [question, option], a question without options, or no finite numbers.
        UsageError: A temperature that is not above 0.
    """
    if not temperature > 0:
        raise UsageError(f"A temperature is above 0, not {temperature}.")
    given = _checked(logits) / temperature
    weights = np.exp(given - given.max(axis=1, keepdims=True))
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def fit_temperature(
    logits: ArrayLike,
    answers: ArrayLike,
    *,
    generator: np.random.Generator,
    clusters: Sequence[Any] | ArrayLike | None = None,
    level: float = 0.95,
    resamples: int = 1_000,
) -> Estimate:
    """The temperature from 0.25 to 10 at which the answers are most probable.

    Fit it on other questions than those on which calibration is reported. An end of the range as a value means that
    the range was too short.

    Args:
        logits: Or log-probabilities, of the options, [question, option]; minus infinity where there is no option.
        answers: Index of the right option of each question.
        generator: Source of the resampling.
        clusters: The passage or person of each question.
        level: Coverage of the interval.
        resamples: How many.

    Raises:
        DataError: Logits that are not [question, option], or an answer that is none of the options.
    """
    from scipy.optimize import minimize_scalar

    given, right = _checked(logits), np.asarray(answers)
    if right.shape != given.shape[:1] or not np.issubdtype(right.dtype, np.integer):
        raise DataError(f"{right.size} answers were given for {len(given)} questions; give the index of each.")
    if ((right < 0) | (right >= given.shape[1])).any() or np.isinf(given[np.arange(len(given)), right]).any():
        raise DataError("An answer is none of its question's options; leave that question out.")

    def losses(temperature: float) -> Floats:
        return np.asarray(-np.log(np.maximum(softened(given, temperature)[np.arange(len(given)), right], 1e-300)))

    logs = np.linspace(np.log(LOW), np.log(HIGH), GRID)
    grid = np.stack([losses(float(np.exp(each))) for each in logs], axis=1)  # [question, temperature]
    best = int(grid.sum(axis=0).argmin())
    around = logs[max(best - 1, 0)], logs[min(best + 1, GRID - 1)]
    found = minimize_scalar(lambda log: losses(float(np.exp(log))).sum(), bounds=around, method="bounded")
    value = float(np.exp(found.x)) if 0 < best < GRID - 1 else float(np.exp(logs[best]))

    def lowest(weights: Floats) -> Floats:
        sums = weights @ grid
        at = np.clip(sums.argmin(axis=1), 1, GRID - 2)
        rows = np.arange(len(sums))
        before, here, after = sums[rows, at - 1], sums[rows, at], sums[rows, at + 1]
        bend = np.maximum(before - 2 * here + after, 1e-300)
        offset = np.clip((before - after) / (2 * bend), -1, 1)
        return np.asarray(np.exp(logs[at] + offset * (logs[1] - logs[0])))

    resampled, units = replicates(lowest, len(given), generator=generator, clusters=clusters, resamples=resamples)
    return percentile(value, resampled, units, level, (LOW, HIGH))


def _checked(logits: ArrayLike) -> Floats:
    given = np.asarray(logits, dtype=np.float64)
    if given.ndim != 2 or not given.size or np.isnan(given).any() or np.isinf(given).all(axis=1).any():
        raise DataError(f"Logits of shape {given.shape} must be [question, option], with an option in every row.")
    if (given == np.inf).any():
        raise DataError("A logit is plus infinity; give finite ones, and minus infinity where there is no option.")
    return given
