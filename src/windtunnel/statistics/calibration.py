"""Calibration: whether what is said to be 80 % probable is right 80 % of the time (Kadavath et al., 2022, Section 2).

Probabilities stand beside outcomes, 1 where the event happened and 0 where it did not. Every number comes with an
interval by question, and every calibration error with its floor: what a perfect predictor with the same probabilities
would show with as few questions, since no measured error is 0.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from windtunnel.laboratory.errors import DataError, UsageError
from windtunnel.statistics.estimates import Estimate
from windtunnel.statistics.intervals import Floats, bootstrap, checked, numbered, widened
from windtunnel.statistics.weights import replicates

Scheme = Literal["equal-count", "equal-width"]
"""Bins of as many predictions each (the paper's), or of equal width in probability, which other tools use."""

Norm = Literal["mean", "root-mean-square", "maximum"]
"""How the errors of bins are put together: ECE, RMS calibration error, largest error."""

BINS = 10


@dataclass(frozen=True)
class Reliability:
    """A reliability diagram.

    Attributes:
        probability: Mean probability of each bin.
        frequency: Share of each bin's events that happened.
        count: Predictions in each bin.
        interval: Low and high end of each frequency, [2, bin], by resampling questions.
        floor: Where the frequencies of a perfect predictor with these probabilities lie, low and high, [2, bin].
    """

    probability: Floats
    frequency: Floats
    count: NDArray[np.intp]
    interval: Floats
    floor: Floats


@dataclass(frozen=True)
class Floor:
    """What a perfect predictor shows.

    Attributes:
        mean: Its mean calibration error over simulations.
        low: Lower end of the range that holds `level` of the simulations.
        high: Upper end.
        level: Their share.
    """

    mean: float
    low: float
    high: float
    level: float = 0.95


def reliability(
    probabilities: ArrayLike,
    outcomes: ArrayLike,
    *,
    generator: np.random.Generator,
    bins: int = BINS,
    scheme: Scheme = "equal-count",
    clusters: Sequence[Any] | ArrayLike | None = None,
    exclusive: bool = False,
    level: float = 0.95,
    resamples: int = 2_000,
) -> Reliability:
    """A reliability diagram of pooled predictions, by default in the paper's ten bins of equal count.

    Bins of equal count are cut from a stable sort as `numpy.array_split` cuts, so that ties cannot depend on the
    platform. Empty bins (of equal width) are left out.

    Args:
        probabilities: One per prediction.
        outcomes: 1 where it happened, else 0.
        generator: Source of the resampling and of the simulations.
        bins: How many.
        scheme: Equal count or equal width.
        clusters: The question of each prediction, whose options are resampled together.
        exclusive: Exactly one option of each question happens: the floor then draws one per question.
        level: Coverage of the intervals and share of the floor.
        resamples: How many, of each.

    Raises:
        DataError: A probability outside 0 to 1, an outcome that is neither 0 nor 1, or nothing at all.
        UsageError: They do not match one-to-one.
    """
    data = _Sorted(probabilities, outcomes, bins, scheme)
    value = data.bin_sums(np.ones((1, data.count)))
    counts = value[0][0]
    kept = counts > 0

    def frequencies(weights: Floats) -> Floats:
        size, _, happened = data.bin_sums(weights)
        with np.errstate(invalid="ignore", divide="ignore"):
            return happened / size

    found, units = replicates(
        frequencies, data.count, generator=generator, clusters=clusters, order=data.order, resamples=resamples
    )
    wide = widened(checked(level), units) if units > 1 else 1.0
    simulated = np.concatenate(
        [data.bin_shares(one) for one in data.simulated(generator, resamples, clusters, exclusive)]
    )
    tails = [(1 - level) / 2, (1 + level) / 2]
    with np.errstate(invalid="ignore", divide="ignore"):
        return Reliability(
            probability=(value[1][0] / counts)[kept],
            frequency=(value[2][0] / counts)[kept],
            count=np.rint(counts[kept]).astype(np.intp),
            interval=np.nanquantile(found[:, kept], [0.5 - wide / 2, 0.5 + wide / 2], axis=0),
            floor=np.nanquantile(simulated[:, kept], tails, axis=0),
        )


def calibration_error(
    probabilities: ArrayLike,
    outcomes: ArrayLike,
    *,
    generator: np.random.Generator,
    norm: Norm = "mean",
    bins: int = BINS,
    scheme: Scheme = "equal-count",
    clusters: Sequence[Any] | ArrayLike | None = None,
    level: float = 0.95,
    resamples: int = 2_000,
) -> Estimate:
    """Calibration error: of the top prediction of each question, the paper's ECE.

    The value is the plain one, which noise makes too large. The interval is of the error itself: the basic bootstrap
    (twice the value less the resampled one), which takes off what resampling adds; its lower end is 0 where the value
    is no larger than what a perfect predictor shows (`calibration_floor`).

    Args:
        probabilities: One per prediction.
        outcomes: 1 where it happened, else 0.
        generator: Source of the resampling.
        norm: `mean` (ECE), `root-mean-square` or `maximum`, over bins by their share of the predictions.
        bins: How many.
        scheme: Equal count or equal width.
        clusters: The question, passage or person of each prediction: they are resampled together.
        level: Coverage aimed at.
        resamples: How many.

    Raises:
        DataError: A probability outside 0 to 1, an outcome that is neither 0 nor 1, or nothing at all.
        UsageError: They do not match one-to-one.
    """
    data = _Sorted(probabilities, outcomes, bins, scheme)
    value = float(data.error(np.ones((1, data.count)), norm)[0])
    found, units = replicates(
        lambda weights: data.error(weights, norm),
        data.count,
        generator=generator,
        clusters=clusters,
        order=data.order,
        resamples=resamples,
    )
    if units == 1:
        return Estimate(value, 0.0, 1.0, checked(level))
    wide = widened(checked(level), units)
    least, most = np.quantile(found, [0.5 - wide / 2, 0.5 + wide / 2])
    low, high = max(2 * value - most, 0.0), min(max(2 * value - least, value), 1.0)
    floor = data.floor(norm, generator, max(resamples // 4, 200), level)
    if value <= floor.high:
        low, high = 0.0, max(high, floor.high)
    return Estimate(value, float(min(low, value)), float(high), level)


def calibration_floor(
    probabilities: ArrayLike,
    *,
    generator: np.random.Generator,
    norm: Norm = "mean",
    bins: int = BINS,
    scheme: Scheme = "equal-count",
    level: float = 0.95,
    simulations: int = 1_000,
) -> Floor:
    """The calibration error that a perfect predictor with these probabilities shows: outcomes are drawn from them.

    A measured error inside this range says nothing against the predictor.

    Raises:
        DataError: A probability outside 0 to 1, or none.
    """
    given = np.asarray(probabilities, dtype=np.float64).ravel()
    return _Sorted(given, np.zeros(len(given)), bins, scheme).floor(norm, generator, simulations, checked(level))


def brier(
    probabilities: ArrayLike,
    outcomes: ArrayLike,
    *,
    generator: np.random.Generator,
    clusters: Sequence[Any] | ArrayLike | None = None,
    level: float = 0.95,
    resamples: int = 2_000,
) -> Estimate:
    """Brier score: mean squared distance of probabilities from outcomes; 0.25 for always one half.

    Raises:
        DataError: A probability outside 0 to 1, an outcome that is neither 0 nor 1, or nothing at all.
        UsageError: They do not match one-to-one.
    """
    given, happened = checked_pair(probabilities, outcomes)
    squares = (given - happened) ** 2
    return bootstrap(squares, generator=generator, clusters=clusters, level=level, resamples=resamples)


@dataclass(frozen=True)
class BrierParts:
    """Where a Brier score comes from: reliability − resolution + uncertainty + within_bins, exactly.

    Attributes:
        reliability: Squared distance of the bins' probabilities from their frequencies (Murphy, 1973).
        resolution: Spread of the bins' frequencies about the overall one.
        uncertainty: Variance of the outcomes: the score of always saying their frequency.
        within_bins: Variance of probabilities within bins, less twice their covariance with the outcomes there
            (Stephenson et al., 2008); 0 where all of a bin is said alike.
    """

    reliability: Estimate
    resolution: Estimate
    uncertainty: Estimate
    within_bins: Estimate


def brier_parts(
    probabilities: ArrayLike,
    outcomes: ArrayLike,
    *,
    generator: np.random.Generator,
    bins: int = BINS,
    scheme: Scheme = "equal-count",
    clusters: Sequence[Any] | ArrayLike | None = None,
    level: float = 0.95,
    resamples: int = 2_000,
) -> BrierParts:
    """Decompose a Brier score by bins; the four parts sum to it exactly.

    Intervals are of the parts as they stand, noise included: as a calibration error, reliability has a floor above 0.

    Raises:
        DataError: A probability outside 0 to 1, an outcome that is neither 0 nor 1, or nothing at all.
        UsageError: They do not match one-to-one.
    """
    data = _Sorted(probabilities, outcomes, bins, scheme)
    values = data.brier_parts(np.ones((1, data.count)))[0]
    found, units = replicates(
        data.brier_parts, data.count, generator=generator, clusters=clusters, order=data.order, resamples=resamples
    )
    wide = widened(checked(level), units) if units > 1 else 1.0
    low, high = np.quantile(found, [0.5 - wide / 2, 0.5 + wide / 2], axis=0)
    if units == 1:
        low, high = np.full(4, -np.inf), np.full(4, np.inf)
    ends = zip(values, np.minimum(low, values), np.maximum(high, values), strict=True)
    return BrierParts(*(Estimate(float(value), float(least), float(most), level) for value, least, most in ends))


class _Sorted:
    """Predictions in order of probability, cut into bins; a resample is a row of weights."""

    def __init__(self, probabilities: ArrayLike, outcomes: ArrayLike, bins: int, scheme: Scheme) -> None:
        given, happened = checked_pair(probabilities, outcomes)
        if bins < 1 or scheme not in ("equal-count", "equal-width"):
            raise UsageError(
                f"{bins} bins of scheme {scheme!r} cannot be cut; give 1 or more, equal-count or equal-width."
            )
        self.order = np.argsort(given, kind="stable")
        self.given, self.happened = given[self.order], happened[self.order]
        self.count, self.bins, self.scheme = len(given), bins, scheme
        # the bins of equal width do not move with a resample
        self._fixed = np.minimum((self.given * bins).astype(np.intp), bins - 1)

    def bin_sums(self, weights: Floats) -> tuple[Floats, Floats, Floats]:
        """Counts, sums of probabilities and of outcomes by bin, each [resample, bin]."""
        parts = (weights, weights * self.given, weights * self.happened)
        if self.scheme == "equal-width":
            starts = np.searchsorted(self._fixed, np.arange(self.bins + 1))
            return tuple(_between(np.cumsum(part, axis=1), starts[None]) for part in parts)  # type: ignore[return-value]
        passed = np.cumsum(weights, axis=1)
        whole, extra = np.divmod(np.rint(passed[:, -1:]).astype(np.intp), self.bins)
        sizes = whole + (np.arange(self.bins) < extra)  # as array_split: the first bins take what is left over
        ends = np.concatenate([np.zeros((len(weights), 1)), np.cumsum(sizes, axis=1)], axis=1)
        return tuple(self._cut(part, weights, passed, ends) for part in parts)  # type: ignore[return-value]

    def _cut(self, part: Floats, weights: Floats, passed: Floats, ends: Floats) -> Floats:
        """Sums between places in the resampled row; an item drawn several times may stand on both sides of one."""
        sums = np.cumsum(part, axis=1)
        # the number of items wholly before each end: one search over all rows, each row moved past the one before it
        shift = (np.arange(len(part)) * (passed.max() + 1))[:, None]
        at = np.searchsorted((passed + shift).ravel(), (ends + shift).ravel(), side="left").reshape(ends.shape)
        at = np.minimum(at - np.arange(len(part))[:, None] * self.count, self.count - 1)
        rows = np.arange(len(part))[:, None]
        share = np.where(weights[rows, at] > 0, (ends - passed[rows, at]) / np.maximum(weights[rows, at], 1), 0.0)
        upto = sums[rows, at] + share * part[rows, at]
        return np.diff(upto, axis=1)

    def bin_shares(self, happened: Floats) -> Floats:
        """The frequency of each bin for other outcomes of the same predictions, [simulation, bin]."""
        sizes = self._sizes()
        starts = np.concatenate([[0], np.cumsum(sizes)])[None]
        with np.errstate(invalid="ignore", divide="ignore"):
            return _between(np.cumsum(happened, axis=1), starts) / sizes

    def _sizes(self) -> NDArray[np.intp]:
        if self.scheme == "equal-width":
            return np.bincount(self._fixed, minlength=self.bins)
        return self.count // self.bins + (np.arange(self.bins) < self.count % self.bins)

    def error(self, weights: Floats, norm: Norm) -> Floats:
        """The calibration error of every resample."""
        size, said, happened = self.bin_sums(weights)
        return _together(size, np.abs(said - happened), norm)

    def simulated(
        self,
        generator: np.random.Generator,
        simulations: int,
        clusters: Sequence[Any] | ArrayLike | None = None,
        exclusive: bool = False,
    ) -> list[Floats]:
        """Outcomes drawn from the probabilities, in batches [simulation, prediction]."""
        if exclusive and clusters is None:
            raise UsageError("Options that exclude each other need the question of each as clusters.")
        size = max(1, 2**21 // self.count)
        sizes = [min(size, simulations - start) for start in range(0, simulations, size)]
        if not exclusive:
            return [(generator.random((rows, self.count)) < self.given).astype(np.float64) for rows in sizes]
        question = numbered(clusters, self.count)[self.order]  # type: ignore[arg-type]
        by_question = np.argsort(question, kind="stable")
        sums = np.cumsum(self.given[by_question])
        first = np.searchsorted(question[by_question], question[by_question])
        before = np.where(first > 0, sums[np.maximum(first - 1, 0)], 0.0)
        ends, lasts = sums - before, question[by_question]
        drawn = []
        for rows in sizes:
            point = generator.random((rows, question.max() + 1))[:, lasts]
            happened = np.empty((rows, self.count))
            happened[:, by_question] = (point < ends) & (point >= ends - self.given[by_question])
            drawn.append(happened)
        return drawn

    def floor(self, norm: Norm, generator: np.random.Generator, simulations: int, level: float) -> Floor:
        """The calibration error of outcomes drawn from the probabilities."""
        size, said, _ = self.bin_sums(np.ones((1, self.count)))
        sizes = np.maximum(self._sizes(), 1)
        errors = np.concatenate(
            [
                _together(size, np.abs(said - np.nan_to_num(self.bin_shares(one)) * sizes), norm)
                for one in self.simulated(generator, simulations)
            ]
        )
        low, high = np.quantile(errors, [(1 - level) / 2, (1 + level) / 2])
        return Floor(float(errors.mean()), float(low), float(high), level)

    def brier_parts(self, weights: Floats) -> Floats:
        """Reliability, resolution, uncertainty and the rest, [resample, 4]."""
        size, said, happened = self.bin_sums(weights)
        total = size.sum(axis=1)
        base = happened.sum(axis=1) / total
        with np.errstate(invalid="ignore", divide="ignore"):
            mean, share = said / size, happened / size
            reliable = np.nansum(size * (mean - share) ** 2, axis=1) / total
            resolved = np.nansum(size * (share - base[:, None]) ** 2, axis=1) / total
        uncertain = base * (1 - base)
        whole = weights @ (self.given - self.happened) ** 2 / total
        return np.stack([reliable, resolved, uncertain, whole - reliable + resolved - uncertain], axis=1)


def _between(sums: Floats, starts: NDArray[np.intp]) -> Floats:
    """Sums between places, of cumulative sums [row, item] and places [1, place]."""
    padded = np.concatenate([np.zeros((len(sums), 1)), sums], axis=1)
    return np.diff(padded[:, starts[0]], axis=1)


def _together(size: Floats, gaps: Floats, norm: Norm) -> Floats:
    """Errors of bins put together; `gaps` are sums over the bin, not means."""
    total = size.sum(axis=1)
    if norm == "mean":
        return np.asarray(gaps.sum(axis=1) / total)
    each = gaps / np.maximum(size, 1)
    if norm == "maximum":
        return np.asarray(each.max(axis=1))
    if norm == "root-mean-square":
        return np.asarray((size * each**2).sum(axis=1) / total) ** 0.5
    raise UsageError(f"There is no norm {norm!r}; choose mean, root-mean-square or maximum.")


def checked_pair(probabilities: ArrayLike, outcomes: ArrayLike) -> tuple[Floats, Floats]:
    """Probabilities and outcomes as two rows of numbers.

    Raises:
        DataError: A probability outside 0 to 1, an outcome that is neither 0 nor 1, or nothing at all.
        UsageError: They do not match one-to-one.
    """
    given, happened = (np.asarray(each, dtype=np.float64).ravel() for each in (probabilities, outcomes))
    if len(given) != len(happened):
        raise UsageError(f"{len(given)} probabilities and {len(happened)} outcomes must be one-to-one.")
    if len(given) == 0:
        raise DataError("Calibration needs at least one prediction, and there is none.")
    if not ((given >= 0) & (given <= 1)).all():  # also False for NaN
        wrong = given[~((given >= 0) & (given <= 1))][0]
        raise DataError(f"A probability is from 0 to 1, and one is {wrong}; normalise them first.")
    if not np.isin(happened, (0.0, 1.0)).all():
        raise DataError("An outcome is 1 where it happened and 0 where not; give no other number.")
    return given, happened
