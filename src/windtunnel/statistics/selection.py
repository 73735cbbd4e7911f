"""Ranking and selective prediction: whether the more probable is right more often, and what declining would gain."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from windtunnel.laboratory.errors import DataError, UsageError
from windtunnel.statistics.estimates import Estimate
from windtunnel.statistics.intervals import Floats, bootstrap, finite
from windtunnel.statistics.weights import estimate

Clusters = Sequence[Any] | ArrayLike | None


def auroc(
    scores: ArrayLike,
    outcomes: ArrayLike,
    *,
    generator: np.random.Generator,
    clusters: Clusters = None,
    level: float = 0.95,
    resamples: int = 2_000,
) -> Estimate:
    """Probability that what happened had a higher score than what did not; ties count one half.

    Not a number where nothing, or everything, happened; its interval is then 0 to 1.

    Args:
        scores: Any numbers, larger where it is thought more probable.
        outcomes: 1 where it happened, else 0.
        generator: Source of the resampling.
        clusters: The question of each score: they are resampled together.
        level: Coverage of the interval.
        resamples: How many.

    Raises:
        DataError: A score that is not finite, an outcome that is neither 0 nor 1, or nothing at all.
        UsageError: They do not match one-to-one.
    """
    given, happened, order = _ordered(scores, outcomes, descending=False)
    first = np.flatnonzero(np.r_[True, given[1:] != given[:-1]])  # where each run of equal scores begins

    def area(weights: Floats) -> Floats:
        positive = np.add.reduceat(weights * happened, first, axis=1)
        negative = np.add.reduceat(weights * (1 - happened), first, axis=1)
        below = np.cumsum(negative, axis=1) - negative / 2
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray((positive * below).sum(axis=1) / (positive.sum(axis=1) * negative.sum(axis=1)))

    return estimate(
        area,
        len(given),
        generator=generator,
        clusters=clusters,
        order=order,
        resamples=resamples,
        level=level,
        limits=(0.0, 1.0),
    )


@dataclass(frozen=True)
class RiskCoverage:
    """What is wrong among the questions answered, when the surest ones are answered first.

    Attributes:
        coverage: Share of the questions answered, from 1/n to 1.
        risk: Share of the answered that are wrong, at each.
    """

    coverage: Floats
    risk: Floats


def risk_coverage(scores: ArrayLike, correct: ArrayLike) -> RiskCoverage:
    """The risk at every coverage; among equal scores the order is random, so their risk is its expectation.

    Raises:
        DataError: A score that is not finite, an outcome that is neither 0 nor 1, or nothing at all.
        UsageError: They do not match one-to-one.
    """
    given, right, _ = _ordered(scores, correct, descending=True)
    answered = np.arange(1, len(given) + 1)
    return RiskCoverage(answered / len(given), np.cumsum(_evened(given, 1 - right)) / answered)


def area_under_risk(
    scores: ArrayLike,
    correct: ArrayLike,
    *,
    generator: np.random.Generator,
    excess: bool = False,
    clusters: Clusters = None,
    level: float = 0.95,
    resamples: int = 2_000,
) -> Estimate:
    """AURC: mean risk over all coverages; 0 if nothing is wrong, the error rate if scores say nothing.

    Args:
        scores: Larger where the answer is thought more probably right.
        correct: 1 where it is right, else 0.
        generator: Source of the resampling.
        excess: E-AURC: less what the best order of the same answers has (Geifman et al., 2019).
        clusters: The question of each answer: they are resampled together.
        level: Coverage of the interval.
        resamples: How many.

    Raises:
        DataError: A score that is not finite, an outcome that is neither 0 nor 1, or nothing at all.
        UsageError: They do not match one-to-one.
    """
    given, right, order = _ordered(scores, correct, descending=True)
    wrong = 1 - right
    first = np.flatnonzero(np.r_[True, given[1:] != given[:-1]])
    harmonic = np.r_[
        0.0, np.cumsum(1 / np.arange(1, 4 * len(given) + 1))
    ]  # clusters may draw more items than there are

    def area(weights: Floats) -> Floats:
        # Within a run of equal scores the wrong ones come at random: after b answered with v wrong, k more of which w
        # are wrong, the risk after j of them is (v + j w / k) / (b + j).
        size = np.rint(np.add.reduceat(weights, first, axis=1)).astype(np.intp)
        bad = np.add.reduceat(weights * wrong, first, axis=1)
        after = np.cumsum(size, axis=1)
        before, bad_before = after - size, np.cumsum(bad, axis=1) - bad
        with np.errstate(invalid="ignore", divide="ignore"):
            rate = np.where(size > 0, bad / size, 0.0)
        total = after[:, -1]
        top = _extended(harmonic, int(total.max()))
        inverse = top[after] - top[before]
        sums = (bad_before - rate * before) * inverse + rate * size
        value = np.asarray(sums.sum(axis=1) / total)
        if not excess:
            return value
        errors = np.rint(bad.sum(axis=1)).astype(np.intp)
        good = total - errors
        return np.asarray(np.maximum(value - (errors - good * (top[total] - top[good])) / total, 0.0))

    return estimate(
        area,
        len(given),
        generator=generator,
        clusters=clusters,
        order=order,
        resamples=resamples,
        level=level,
        limits=(0.0, 1.0),
    )


def selective_accuracy(
    scores: ArrayLike,
    correct: ArrayLike,
    coverage: float = 0.5,
    *,
    generator: np.random.Generator,
    clusters: Clusters = None,
    level: float = 0.95,
    resamples: int = 2_000,
) -> Estimate:
    """Accuracy among the surest share of the questions.

    Args:
        scores: Larger where the answer is thought more probably right.
        correct: 1 where it is right, else 0.
        coverage: Share answered, above 0 to 1; a question at the edge counts in part.
        generator: Source of the resampling.
        clusters: The question of each answer: they are resampled together.
        level: Coverage of the interval.
        resamples: How many.

    Raises:
        DataError: A score that is not finite, an outcome that is neither 0 nor 1, or nothing at all.
        UsageError: They do not match one-to-one, or a coverage outside 0 to 1.
    """
    if not 0 < coverage <= 1:
        raise UsageError(f"A coverage is above 0 and at most 1, not {coverage}; give 0.5 for half of the questions.")
    given, right, order = _ordered(scores, correct, descending=True)
    first = np.flatnonzero(np.r_[True, given[1:] != given[:-1]])

    def accuracy(weights: Floats) -> Floats:
        size = np.add.reduceat(weights, first, axis=1)
        good = np.add.reduceat(weights * right, first, axis=1)
        after = np.cumsum(size, axis=1)
        answered = coverage * after[:, -1:]
        with np.errstate(invalid="ignore", divide="ignore"):
            share = np.clip((answered - (after - size)) / size, 0.0, 1.0)
        return np.asarray((np.nan_to_num(share) * good).sum(axis=1) / answered[:, 0])

    return estimate(
        accuracy,
        len(given),
        generator=generator,
        clusters=clusters,
        order=order,
        resamples=resamples,
        level=level,
        limits=(0.0, 1.0),
    )


def normalised_accuracy(
    correct: ArrayLike,
    chance: ArrayLike,
    *,
    generator: np.random.Generator,
    clusters: Clusters = None,
    level: float = 0.95,
    resamples: int = 2_000,
) -> Estimate:
    """(accuracy − chance) / (1 − chance): 0 for guessing, 1 for always right (Kadavath et al., 2022, Section 3).

    Args:
        correct: 1 where the answer is right, else 0.
        chance: Accuracy of guessing: one number, or one per question (1 / its options).
        generator: Source of the resampling.
        clusters: The passage or person of each question: they are resampled together.
        level: Coverage of the interval.
        resamples: How many.

    Raises:
        DataError: Values that are not finite, or a chance outside 0 to below 1.
        UsageError: They do not match one-to-one.
    """
    right = finite(correct)
    guess = np.asarray(chance, dtype=np.float64)
    if guess.ndim and guess.shape != right.shape:
        raise UsageError(f"{guess.size} chances were given for {len(right)} questions; give one, or one each.")
    guess = np.broadcast_to(guess, right.shape)
    if not ((guess >= 0) & (guess < 1)).all():
        raise DataError("The chance of guessing right is from 0 to below 1; give 0.25 for four options.")
    room = 1 - float(guess.mean())
    found = bootstrap(right - guess, generator=generator, clusters=clusters, level=level, resamples=resamples)
    return Estimate(found.value / room, found.low / room, found.high / room, level)


def _ordered(scores: ArrayLike, outcomes: ArrayLike, descending: bool) -> tuple[Floats, Floats, NDArray[np.intp]]:
    given, happened = finite(scores), finite(outcomes)
    if len(given) != len(happened):
        raise UsageError(f"{len(given)} scores and {len(happened)} outcomes must be one-to-one.")
    if not np.isin(happened, (0.0, 1.0)).all():
        raise DataError("An outcome is 1 where it happened and 0 where not; give no other number.")
    order = np.argsort(-given if descending else given, kind="stable")
    return given[order], happened[order], order


def _evened(given: Floats, values: Floats) -> Floats:
    """Each value replaced by the mean over all of the same score."""
    _, run = np.unique(given, return_inverse=True)
    return np.asarray((np.bincount(run, weights=values) / np.bincount(run))[run])


def _extended(harmonic: Floats, length: int) -> Floats:
    """Harmonic numbers up to `length`."""
    return harmonic if length < len(harmonic) else np.r_[0.0, np.cumsum(1 / np.arange(1, length + 1))]
