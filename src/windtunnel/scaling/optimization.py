"""Many fits of one law at once: batched quasi-Newton minimisation of the summed Huber loss of log residuals.

A bootstrap is a thousand fits of the same formula to the same points with other weights, and a multi-start is dozens
of fits with the same weights. Both are one batch here, so that each step costs a few array operations for all of them.
Checked against `scipy.optimize.minimize` in the tests.
"""

from copy import copy
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from windtunnel.scaling.laws.interface import Floats, Law

CURVATURE, DECREASE = 0.9, 1e-4
"""Of the weak Wolfe conditions."""


class Objective(Protocol):
    """A function that is minimised for many points at once."""

    def __call__(self, points: Floats, rows: np.ndarray) -> tuple[Floats, Floats]:
        """Values [batch] and gradients [batch, p] at points [batch, p] of those rows of the batch."""
        ...


@dataclass(frozen=True)
class Minima:
    """Where a batch of minimisations ended.

    Attributes:
        points: [batch, parameters]
        values: The objective there [batch].
        converged: Whether it fell no more, before the iterations ran out [batch].
    """

    points: Floats
    values: Floats
    converged: np.ndarray


class HuberObjective:
    """Summed, weighted Huber loss of ln(predicted) − ln(observed), over free coordinates of a law.

    The free coordinates are the logarithms of positive parameters and the others as they are.

    Args:
        law: The law's class.
        variables: One array [runs] per variable.
        observed: [runs]
        weights: [batch, runs], or [1, runs] for all.
        delta: Where the loss turns from quadratic to linear; infinite for least squares.
        fixed: Parameters that are held where they begin, by place.
    """

    def __init__(
        self,
        law: type[Law],
        variables: tuple[Floats, ...],
        observed: Floats,
        weights: Floats,
        delta: float,
        fixed: tuple[int, ...] = (),
    ) -> None:
        self.law, self.variables, self.target, self.weights, self.delta = (
            law,
            variables,
            np.log(observed),
            weights,
            delta,
        )
        self.positive = law.positive()
        self.free = np.ones(len(self.positive), dtype=bool)
        self.free[list(fixed)] = False

    def reweighted(self, weights: Floats) -> "HuberObjective":
        """The same objective with other weights [batch, runs]."""
        other = copy(self)
        other.weights = weights
        return other

    def to_free(self, values: Floats) -> Floats:
        """Free coordinates of parameters."""
        with np.errstate(all="ignore"):
            return np.where(self.positive, np.log(values), values)

    def to_parameters(self, points: Floats) -> Floats:
        """Parameters of free coordinates."""
        with np.errstate(all="ignore"):
            return np.where(self.positive, np.exp(points), points)

    def residuals(self, points: Floats) -> tuple[Floats, Floats]:
        """Log residuals [batch, runs] and their slopes along the free coordinates [batch, parameters, runs]."""
        values = self.to_parameters(points)
        predicted, slopes = self.law.log_gradient(values, self.variables)
        with np.errstate(all="ignore"):
            slopes *= np.where(self.positive, values, 1.0)[..., None]
        slopes[:, ~self.free] = 0.0
        return predicted - self.target, slopes

    def __call__(self, points: Floats, rows: np.ndarray) -> tuple[Floats, Floats]:
        """Values [batch] and gradients [batch, parameters]; infinite and flat where the law has no value."""
        residuals, slopes = self.residuals(points)
        weights = self.weights if len(self.weights) == 1 else self.weights[rows]
        bounded = np.clip(residuals, -self.delta, self.delta)
        with np.errstate(all="ignore"):
            losses = (weights * bounded * (residuals - bounded / 2)).sum(1)
            gradients = np.matmul(slopes, (weights * bounded)[..., None])[..., 0]
        broken = ~np.isfinite(losses) | ~np.isfinite(gradients).all(1)
        return np.where(broken, np.inf, losses), np.where(broken[:, None], 0.0, gradients)

    def metric(self, points: Floats) -> Floats:
        """A positive-definite guess of the inverse Hessian: that of the quadratic that lies above the Huber loss."""
        residuals, slopes = self.residuals(points)
        with np.errstate(all="ignore"):
            weights = self.weights * np.minimum(1.0, self.delta / np.maximum(np.abs(residuals), 1e-12))
            curvature = np.matmul(slopes * weights[:, None, :], np.swapaxes(slopes, 1, 2))
        curvature[~np.isfinite(curvature).all((1, 2))] = np.eye(points.shape[1])
        diagonal = np.einsum("bii->bi", curvature)
        diagonal += 1e-4 * diagonal + 1e-10 * diagonal.max(1, keepdims=True) + 1e-300
        diagonal[:, ~self.free] = 1.0
        return np.linalg.inv(curvature)


def minimize(objective: HuberObjective, starts: Floats, *, iterations: int = 400, tolerance: float = 1e-12) -> Minima:
    """Minimise from every start at once (BFGS with a weak Wolfe search, which also serves kinks; Lewis, Overton 2013).

    Args:
        objective: With one weight row, or one per start.
        starts: Free coordinates [batch, parameters].
        iterations: Most steps of each.
        tolerance: A minimisation ends when three steps running lower it by less than this share.
    """
    points = starts.copy()
    rows = np.arange(len(points))
    values, gradients = objective(points, rows)
    metrics = objective.metric(points)
    slack = np.zeros(len(points), dtype=int)
    converged = np.zeros(len(points), dtype=bool)
    active = rows[np.isfinite(values)]
    for _ in range(iterations):
        if not len(active):
            break
        direction = -np.matmul(metrics[active], gradients[active][..., None])[..., 0]
        descent = (direction * gradients[active]).sum(1)
        uphill = ~(descent < 0)
        direction[uphill], descent[uphill] = -gradients[active][uphill], -(gradients[active][uphill] ** 2).sum(1)
        step, value, gradient = _search(objective, active, points, values, gradients, direction, descent)
        moved = step[:, None] * direction
        change = gradient - gradients[active]
        metrics[active] = _updated(metrics[active], moved, change)
        gained = values[active] - value
        points[active] += moved
        values[active], gradients[active] = value, gradient
        slack[active] = np.where(gained <= tolerance * np.abs(value), slack[active] + 1, 0)
        ended = (slack[active] >= 3) | (value == 0)
        converged[active[ended]] = True
        active = active[~ended]
    return Minima(points, values, converged)


def minimize_loosely(objective: HuberObjective, starts: Floats) -> Minima:
    """Minimise from each start with scipy's L-BFGS-B as it comes: an absolute tolerance, for comparison only.

    It stops where a step lowers the loss by less than 2e-9 or the gradient is below 1e-5, which a Huber loss of small
    residuals is from the beginning.

    Args:
        objective: With one weight row, or one per start.
        starts: Free coordinates [batch, parameters].
    """
    from scipy.optimize import minimize as scipy_minimize

    points, values = starts.copy(), np.full(len(starts), np.inf)
    converged = np.zeros(len(starts), dtype=bool)
    for row, start in enumerate(starts):

        def value_and_gradient(point: Floats, row: int = row) -> tuple[float, Floats]:
            value, gradient = objective(point[None], np.array([row]))
            return float(value[0]), gradient[0]

        found = scipy_minimize(value_and_gradient, start, jac=True, method="L-BFGS-B")
        points[row], values[row], converged[row] = found.x, found.fun, found.success
    return Minima(points, values, converged)


def _search(
    objective: HuberObjective,
    active: np.ndarray,
    points: Floats,
    values: Floats,
    gradients: Floats,
    direction: Floats,
    descent: Floats,
) -> tuple[Floats, Floats, Floats]:
    """A step along each direction that meets the weak Wolfe conditions: by doubling, then by halving the bracket."""
    low, high = np.zeros(len(active)), np.full(len(active), np.inf)
    trial = np.ones(len(active))
    step = np.zeros(len(active))
    best, slope = values[active].copy(), gradients[active].copy()
    open_ = np.arange(len(active))
    for _ in range(25):
        rows = active[open_]
        value, gradient = objective(points[rows] + trial[open_, None] * direction[open_], rows)
        falls = value <= values[rows] + DECREASE * trial[open_] * descent[open_]
        steep = (gradient * direction[open_]).sum(1) < CURVATURE * descent[open_]
        fell = open_[falls]  # the furthest step so far that lowers the value enough
        step[fell], best[fell], slope[fell] = trial[fell], value[falls], gradient[falls]
        high[open_[~falls]] = trial[open_[~falls]]
        low[fell] = trial[fell]
        open_ = open_[~falls | steep]
        if not len(open_):
            break
        trial[open_] = np.where(np.isinf(high[open_]), 2 * low[open_], (low[open_] + high[open_]) / 2)
    return step, best, slope


def _updated(metrics: Floats, moved: Floats, change: Floats) -> Floats:
    """The BFGS update of inverse Hessians, where the curvature along the step is positive."""
    inner = (moved * change).sum(1)
    good = inner > 1e-300
    inner = np.where(good, inner, 1.0)
    turned = np.matmul(metrics, change[..., None])[..., 0]
    stretch = (1 + (change * turned).sum(1) / inner) / inner
    outer = moved[:, :, None] * turned[:, None, :]
    new = (
        metrics
        + stretch[:, None, None] * moved[:, :, None] * moved[:, None, :]
        - (outer + np.swapaxes(outer, 1, 2)) / inner[:, None, None]
    )
    return np.where((good & np.isfinite(new).all((1, 2)))[:, None, None], new, metrics)
