"""Profile-likelihood intervals: for every value of one parameter, how well the rest of the law can still be fitted.

Of a constant beside a power law, over less than a decade or two, this is the interval to read: it is as lopsided as the
data make it, and open where they do not bound it.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from windtunnel.laboratory.errors import UsageError
from windtunnel.scaling.fitting import Fit
from windtunnel.scaling.laws.interface import Floats
from windtunnel.scaling.optimization import HuberObjective, minimize
from windtunnel.statistics.intervals import checked

REACH = 6.0
"""How far from the fit ends are looked for: e-folds of a positive parameter, multiples of any other (at least 1)."""

GRID, PARTS, ROUNDS, STARTS = 24, 11, 3, 3
"""Places tried at once in each direction, into how many parts the step past the end is divided, how often, and starts
of each place."""


@dataclass(frozen=True)
class Profile:
    """A parameter with its interval.

    Attributes:
        symbol: The parameter.
        value: As fitted.
        low: Lower end; 0, or minus infinity, if the data do not bound it within `REACH` of the fit.
        high: Upper end; infinite if the data do not bound it within `REACH`.
        level: Coverage aimed at.
    """

    symbol: str
    value: float
    low: float
    high: float
    level: float

    def report(self) -> dict[str, Any]:
        """Ready for JSON; an open end is null."""
        ends = [end if math.isfinite(end) else None for end in (self.low, self.high)]
        return {"symbol": self.symbol, "value": self.value, "interval": ends, "level": self.level}


def profile(fitted: Fit, symbol: str | None = None, *, level: float | None = None) -> Profile:
    """The values of one parameter at which the rest of the law can still be fitted about as well.

    Twice the rise of the summed loss, times E ψ' / E ψ² of the residuals (what makes a loss a likelihood; Huber and
    Ronchetti, 2009, section 13.6, a likelihood ratio for M-estimates), is held against the F distribution with 1 and
    rows − parameters degrees of freedom. Rows are taken as independent: of checkpoints the interval is too short.

    Args:
        fitted: A fit made here; one read from a file has not kept what was minimised.
        symbol: The parameter; by default the law's irreducible loss.
        level: Coverage aimed at; by default the fit's.

    Raises:
        UsageError: The law has no such parameter, or it was held at a value, or nothing is left to profile.
    """
    from scipy.stats import f as f_distribution

    law, problem = type(fitted.law), fitted.problem
    name = law.irreducible if symbol is None else symbol
    level = checked(fitted.level if level is None else level)
    if problem is None:
        raise UsageError("A fit that was read from a file has no profile; fit the law again.")
    if name is None or name not in law.symbols():
        raise UsageError(f"The law {law.name} has no parameter {name!r} to profile; it has {', '.join(law.symbols())}.")
    place = law.symbols().index(name)
    freedom = len(fitted.residuals) - int(problem.free.sum())
    if not problem.free[place] or freedom < 1:
        raise UsageError(f"The parameter {name} was held at a value, or no row is left to judge it by; free it.")
    best = problem.to_free(fitted.law.vector())
    held = HuberObjective(
        *(law, problem.variables, np.exp(problem.target), problem.weights, problem.delta),
        fixed=(*np.flatnonzero(~problem.free).tolist(), place),
    )
    begins = _begins(fitted, problem, best)
    allowed = float(f_distribution.ppf(level, 1, freedom)) / (2 * _precision(fitted, freedom / len(fitted.residuals)))

    def inside(places: Floats) -> NDArray[np.bool_]:
        starts = np.tile(begins, (len(places), 1))
        starts[:, place] = np.repeat(places, len(begins))
        values = minimize(held, starts, tolerance=1e-10).values.reshape(len(places), len(begins))
        least = np.where(np.isnan(values), np.inf, values).min(1)
        return np.asarray(least - fitted.objective <= allowed)

    reach = REACH if law.positive()[place] else REACH * max(1.0, abs(float(best[place])))
    lowest = float(best[place])
    if name == law.irreducible:  # a constant that vanished in the fit is e-folds below where the data could tell
        lowest = max(lowest, float(problem.target.min()) - 2 * REACH)
    down = _end(lambda distance: inside(best[place] - distance), reach)
    up = _end(lambda distance: inside(lowest + distance), reach + (2 * REACH if lowest > best[place] else 0.0))
    low, high = float(best[place]) - down, lowest + up
    if law.positive()[place]:
        low, high = math.exp(low), math.exp(high)
    return Profile(name, fitted.parameters[name], low, high, level)


def _begins(fitted: Fit, problem: HuberObjective, best: Floats) -> Floats:
    """Where each search begins [STARTS, parameters]: the fit, and the best of the law's own starts."""
    observed = np.exp(problem.target)
    grid = problem.to_free(type(fitted.law).starts(problem.variables, observed))
    grid[:, ~problem.free] = best[~problem.free]
    values = problem(grid, np.arange(len(grid)))[0] if len(problem.weights) == 1 else np.zeros(len(grid))
    return np.concatenate([best[None], grid[np.argsort(values)[: STARTS - 1]]])


def _end(inside: Callable[[Floats], NDArray[np.bool_]], reach: float) -> float:
    """How far one may go and still be inside: infinite if all of the reach is."""
    grid = np.concatenate([[0.0], np.geomspace(1e-4, 1.0, GRID)]) * reach
    for _ in range(1 + ROUNDS):
        outside = np.flatnonzero(~inside(grid[1:]))
        if not len(outside):
            return math.inf if grid[-1] == reach else float(grid[-2])
        first = int(outside[0])
        grid = np.linspace(grid[first], grid[first + 1], PARTS + 1)
    return float(grid[0])


def _precision(fitted: Fit, free_share: float) -> float:
    """E ψ' / E ψ² of the residuals, per unit of the loss.

    The density of residuals within ±delta, which E ψ' is for a small delta, is counted over a window wide enough to
    hold many of them.
    """
    residuals, objective = fitted.residuals, fitted.problem
    if objective is None:
        raise UsageError("A fit that was read from a file has no profile; fit the law again.")
    weights: Floats = objective.weights[0] / objective.weights[0].mean()
    unit = float(objective.weights[0].mean())
    spread = 1.4826 * float(np.median(np.abs(residuals)))
    window = max(objective.delta, 1.5 * spread * len(residuals) ** -0.2)
    if not math.isfinite(window):
        curvature = float(weights.mean())
    else:
        curvature = float((weights * (np.abs(residuals) <= window)).mean()) * min(1.0, objective.delta / window)
    slopes = weights * np.clip(residuals, -objective.delta, objective.delta)
    return curvature / max(float((slopes**2).mean()) / max(free_share, 1e-9), 1e-300) / unit
