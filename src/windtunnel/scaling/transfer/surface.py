"""The loss of models trained from scratch by size and data: monotone curves through the runs, and their inverse."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from windtunnel.laboratory.errors import DataError
from windtunnel.scaling.laws.interface import Floats, checked_positive

ENOUGH = 0.99
"""A data set is enough where the loss from infinite data would be this share of the loss (appendix A)."""


@dataclass(frozen=True)
class Runs:
    """Early-stopped runs, one entry each.

    Attributes:
        parameters: Non-embedding parameters N.
        data: Size of the data set that was trained on (for fine-tuned runs: fine-tuned on), characters or tokens.
        loss: Held-out loss at the best stop, nats per token.
        seed: What tells repetitions apart; runs from scratch and fine-tuned ones of one seed share their data.
    """

    parameters: Floats
    data: Floats
    loss: Floats
    seed: Floats

    @classmethod
    def of(cls, parameters: ArrayLike, data: ArrayLike, loss: ArrayLike, seed: ArrayLike | None = None) -> "Runs":
        """Runs of columns, checked.

        Raises:
            DataError: A value is not positive and finite, there are no runs, or columns differ in length.
        """
        found = (
            checked_positive(parameters, "parameters"),
            checked_positive(data, "data sizes"),
            checked_positive(loss, "losses"),
        )
        seeds = np.zeros(found[0].shape) if seed is None else np.asarray(seed, dtype=np.float64)
        if found[0].ndim != 1 or not len(found[0]) or len({len(column) for column in (*found, seeds)}) != 1:
            raise DataError("Runs need one row each of parameters, data and loss, and at least one row; complete them.")
        return cls(*found, seeds)

    def select(self, rows: np.ndarray) -> "Runs":
        """Some of the runs: a mask, or places, which may repeat."""
        return Runs(self.parameters[rows], self.data[rows], self.loss[rows], self.seed[rows])

    def __len__(self) -> int:
        return len(self.loss)


@dataclass(frozen=True)
class Curve:
    """L(D) from scratch at one size: PCHIP in (ln D, L) through isotonic means of the runs.

    Data sizes between which the runs show no fall (pooled by the isotonic regression) are one knot in their middle, so
    that the curve falls strictly and has an inverse.

    Attributes:
        log_data: Knots, ln D, ascending.
        loss: Loss there, falling.
        noise: Standard deviation of the loss of one run between seeds; nan where no cell was repeated.
        repeats: Runs per data size, on average.
        smallest: Smallest data size trained on.
        largest: Largest data size trained on.
    """

    log_data: Floats
    loss: Floats
    noise: float
    repeats: float
    smallest: float
    largest: float
    _pchip: object = field(repr=False, compare=False, default=None)

    def loss_at(self, data: ArrayLike) -> Floats:
        """Loss from scratch on so much data; held constant outside the knots."""
        return np.asarray(self._curve(np.clip(np.log(data), self.log_data[0], self.log_data[-1])), dtype=np.float64)

    def slope_at(self, data: ArrayLike) -> Floats:
        """Slope dL / d ln D, at most 0."""
        slopes: Floats = np.asarray(self._slope(np.clip(np.log(data), self.log_data[0], self.log_data[-1])))
        return np.minimum(slopes, 0.0)

    def data_for(self, loss: ArrayLike) -> tuple[Floats, Floats]:
        """Data from scratch that give this loss, as bounds: equal where the curve reaches it.

        A loss below the curve's lowest is reached by more than the last knot's data: the upper bound is infinite
        (right-censored). One above its highest is reached by less than the first's: the lower bound is 0.
        """
        losses = np.atleast_1d(np.asarray(loss, dtype=np.float64))
        low, high = np.empty(losses.shape), np.empty(losses.shape)
        for place, value in np.ndenumerate(losses):
            if value < self.loss[-1]:
                low[place], high[place] = np.exp(self.log_data[-1]), np.inf
            elif value > self.loss[0]:
                low[place], high[place] = 0.0, np.exp(self.log_data[0])
            else:
                low[place] = high[place] = self._inverse(float(value))
        return low, high

    def enough(self, share: float = ENOUGH) -> float:
        """D(N): data from scratch that reach `share` of the loss of infinite data (0.99 L(D(N)) = L(∞)).

        The lowest loss measured stands for L(∞), so that this is a lower bound of D(N); what is at most a tenth of it
        is in the low-data regime for certain. Where the least data are enough already, it is those.
        """
        low, _ = self.data_for(self.loss[-1] / share)
        return max(float(low[0]), float(np.exp(self.log_data[0])))

    def _curve(self, log_data: Floats) -> Floats:
        return self._pchip(log_data)  # type: ignore[operator,no-any-return]

    def _slope(self, log_data: Floats) -> Floats:
        return self._pchip(log_data, 1)  # type: ignore[operator,no-any-return]

    def _inverse(self, loss: float) -> float:
        from scipy.optimize import brentq

        place = int(np.searchsorted(-self.loss, -loss))  # the first knot at or below this loss
        if self.loss[place] == loss:
            return float(np.exp(self.log_data[place]))
        found = brentq(
            lambda at: float(self._curve(at)) - loss, self.log_data[place - 1], self.log_data[place], xtol=1e-12
        )
        return float(np.exp(found))


def curve(data: ArrayLike, loss: ArrayLike, noise: float | None = None) -> Curve:
    """The curve of runs at one size.

    Args:
        data: Data size of each run.
        loss: Loss of each.
        noise: Standard deviation between seeds; by default that of the runs, pooled over data sizes.

    Raises:
        DataError: There are fewer than two data sizes, or the loss does not fall anywhere.
    """
    from scipy.interpolate import PchipInterpolator
    from sklearn.isotonic import IsotonicRegression

    runs = Runs.of(np.ones(np.shape(data)), data, loss)
    sizes, member = np.unique(runs.data, return_inverse=True)
    counts = np.bincount(member)
    means = np.bincount(member, weights=runs.loss) / counts
    if len(sizes) < 2:
        raise DataError("A curve from scratch needs two data sizes or more at each size of model; train on more.")
    fitted = IsotonicRegression(increasing=False).fit_transform(np.log(sizes), means, sample_weight=counts)
    levels, block = np.unique(-fitted, return_inverse=True)
    middles = np.bincount(block, weights=np.log(sizes) * counts) / np.bincount(block, weights=counts)
    if len(levels) < 2:
        raise DataError("The loss from scratch does not fall with more data anywhere; train longer or on more data.")
    spare = len(runs) - len(sizes)
    if noise is None:
        noise = float(np.sqrt(((runs.loss - means[member]) ** 2).sum() / spare)) if spare else float("nan")
    return Curve(
        middles,
        -levels,
        noise,
        len(runs) / len(sizes),
        float(sizes[0]),
        float(sizes[-1]),
        PchipInterpolator(middles, -levels),
    )


def surface(scratch: Runs, noise: float | None = None) -> dict[float, Curve]:
    """The curve of each size of model.

    Args:
        scratch: Runs from scratch.
        noise: Standard deviation of a run's loss between seeds; by default pooled over all repeated cells.

    Raises:
        DataError: As for `curve`.
    """
    if noise is None:
        cells = np.unique(np.stack([scratch.parameters, scratch.data]), axis=1, return_inverse=True)[1].ravel()
        spare = len(scratch) - int(cells.max()) - 1
        means = np.bincount(cells, weights=scratch.loss) / np.bincount(cells)
        noise = float(np.sqrt(((scratch.loss - means[cells]) ** 2).sum() / spare)) if spare else float("nan")
    return {
        float(size): curve(scratch.data[mine], scratch.loss[mine], noise)
        for size in np.unique(scratch.parameters)
        for mine in [scratch.parameters == size]
    }
