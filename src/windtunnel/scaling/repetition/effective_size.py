"""The size of the undamaged model that would measure the same (Hernandez et al., 2022; arXiv:2205.10487, section 2).

Models of several sizes, trained alike but without repetition, give the control ladder m₀(ln N) of a metric. A damaged
model of N parameters that measures m has the effective size N' = m₀⁻¹(m) and the multiplier N' / N.
"""

import itertools
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from windtunnel.laboratory.errors import DataError
from windtunnel.scaling.laws.interface import checked_positive

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class EffectiveSize:
    """A model's size as a metric sees it.

    Attributes:
        size: N', parameters; where censored, the end of the ladder that it lies beyond.
        multiplier: N' / N; where censored, a bound.
        censored: `below` if the model measures worse than the smallest of the ladder, `above` if better than the
            largest.
    """

    size: float
    multiplier: float
    censored: Literal["below", "above"] | None = None


@dataclass(frozen=True)
class ControlLadder:
    """A metric of undamaged models as a monotone function of their size.

    Attributes:
        log_sizes: ln N of the knots, increasing.
        values: The metric there, strictly falling or strictly rising.
    """

    log_sizes: Floats
    values: Floats

    @classmethod
    def fit(cls, sizes: ArrayLike, values: ArrayLike) -> "ControlLadder":
        """The monotone ladder nearest to what was measured: the mean of each size, then isotonic least squares.

        Whether the metric falls or rises is taken from its correlation with ln N. Sizes that isotonic regression pools
        become one knot at their mean.

        Args:
            sizes: Parameters of each control.
            values: The metric of each; several controls of a size are seeds.

        Raises:
            DataError: Fewer than two sizes, a value that is not finite, or a metric that does not change with size.
        """
        from scipy.optimize import isotonic_regression

        n = checked_positive(sizes, "sizes")
        measured = np.asarray(values, dtype=np.float64)
        if n.shape != measured.shape or n.ndim != 1 or not np.isfinite(measured).all():
            raise DataError("A control ladder needs one finite value per size; leave out the controls that failed.")
        distinct, member = np.unique(n, return_inverse=True)
        if len(distinct) < 2:
            raise DataError(f"A control ladder needs two or more sizes, and there is {len(distinct)}; train another.")
        count = np.bincount(member).astype(float)
        means = np.bincount(member, weights=measured) / count
        log_sizes = np.log(distinct)
        rises = bool(np.cov(log_sizes, means)[0, 1] > 0)
        found = isotonic_regression(means, weights=count, increasing=rises)
        blocks = np.asarray(found.blocks)
        knots = np.array([log_sizes[first:last].mean() for first, last in itertools.pairwise(blocks)])
        if len(knots) < 2:
            raise DataError("The metric does not change with the size of the controls, so no size can be read from it.")
        return cls(knots, np.asarray(found.x)[blocks[:-1]])

    @property
    def rises(self) -> bool:
        """Whether larger models have more of the metric."""
        return bool(self.values[-1] > self.values[0])

    def invert(self, value: float, parameters: float) -> EffectiveSize:
        """The effective size of a model of so many parameters that measures `value`.

        Between knots ln N is a monotone cubic of the metric.

        Raises:
            DataError: The value is not finite.
        """
        if not np.isfinite(value):
            raise DataError(f"A metric of {value} has no effective size; count the model as failed.")
        x, y = (self.values, self.log_sizes) if self.rises else (self.values[::-1], self.log_sizes[::-1])
        censored: Literal["below", "above"] | None = None
        if not x[0] <= value <= x[-1]:
            censored = "below" if (value < x[0]) == self.rises else "above"
        size = float(np.exp(_monotone(x, y)(np.clip(value, x[0], x[-1]))))
        return EffectiveSize(size, size / parameters, censored)


def _monotone(x: Floats, y: Floats) -> Any:
    from scipy.interpolate import PchipInterpolator

    return PchipInterpolator(x, y)
