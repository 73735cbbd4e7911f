"""Where fits begin: for given exponents most laws are linear in what is left (variable projection)."""

import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls

from windtunnel.scaling.laws.interface import Floats

EXPONENTS = (0.05, 0.1, 0.2, 0.35, 0.6, 1.0)
"""Of the grid of starts: from Kaplan et al.'s 0.05 to what tiny models show."""


@dataclass(frozen=True)
class Separation:
    """A law that is linear in some parameters once the others are given.

    Attributes:
        basis: From the other parameters to the columns [runs, coefficients].
        assemble: From the coefficients and the other parameters to the law's parameters.
        grids: Values of each of the other parameters to begin from.
    """

    basis: Callable[..., Floats]
    assemble: Callable[..., list[float]]
    grids: tuple[Iterable[float], ...]

    def starts(self, observed: Floats) -> Floats:
        """Starts of a fit to these values, one a point of the grid [starts, parameters]."""
        return projected(self.basis, lambda *point: observed, self.assemble, self.grids)


def projected(
    basis: Callable[..., Floats],
    target: Callable[..., Floats],
    assemble: Callable[..., list[float]],
    grids: Iterable[Iterable[float]],
) -> Floats:
    """Starts of a fit: non-negative linear least squares, relative to the target, at each point of a grid.

    Args:
        basis: From a point of the grid to the columns [runs, coefficients] in which the law is linear.
        target: From a point of the grid to what they sum to [runs].
        assemble: From the coefficients and the point to the law's parameters.
        grids: The values of each non-linear parameter.

    Returns:
        [starts, parameters]
    """
    found = []
    for point in itertools.product(*grids):
        wanted = target(*point)
        columns = basis(*point) / wanted[:, None]
        scale = np.linalg.norm(columns, axis=0)
        if not (np.isfinite(columns).all() and (scale > 0).all()):
            continue
        coefficients = nnls(columns / scale, np.ones(len(wanted)))[0]
        floor = 1e-3 * max(coefficients.max(), 1e-12)  # a coefficient of 0 has no logarithm to move from
        found.append(assemble(np.maximum(coefficients, floor) / scale, *point))
    return np.array(found)


def slope(x: Floats, y: Floats) -> tuple[float, float]:
    """Intercept and slope of the line through ln y over ln x."""
    steepness, intercept = np.polyfit(np.log(x), np.log(y), 1)
    return float(intercept), float(steepness)


def root(coefficient: float, exponent: float) -> float:
    """The scale x₀ of (x₀ / x)^α, from its coefficient x₀^α; kept where it has a floating-point value."""
    return float(np.exp(np.clip(np.log(coefficient) / exponent, -600, 600)))
