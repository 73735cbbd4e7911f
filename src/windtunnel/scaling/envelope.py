"""The frontier of training curves: the lowest loss at each budget (approach 1), hulls, and quantile lines."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import linprog

from windtunnel.laboratory.errors import DataError, UsageError
from windtunnel.scaling.isoflop import together
from windtunnel.scaling.laws.interface import Floats
from windtunnel.scaling.laws.power import PowerLawPlusConstant
from windtunnel.statistics.intervals import numbered


@dataclass(frozen=True)
class Frontier:
    """The best run at each of several budgets.

    Attributes:
        flops: The budgets [budgets].
        parameters: Of the run with the lowest loss there.
        tokens: That it has seen there.
        loss: Its loss there, nats per token.
        run: Its number, in order of first appearance.
        inner: Whether neither the smallest nor the largest size is the best there: elsewhere a size that was not
            trained might have been better, and the frontier bends to the grid.
        exponent: a of parameters ∝ FLOPs^a over the inner budgets (over all, if fewer than two sizes are inner).
        coefficient: k of parameters = k FLOPs^a.
        warnings: What a reader should know before trusting the exponent, a sentence each.
    """

    flops: Floats
    parameters: Floats
    tokens: Floats
    loss: Floats
    run: NDArray[np.intp]
    inner: NDArray[np.bool_]
    exponent: float
    coefficient: float
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Curves:
    """Training curves, each interpolated at the same budgets (linearly, in logarithms).

    Attributes:
        flops: The budgets [budgets].
        parameters: Of each run [runs].
        loss: [runs, budgets]; infinite where a run was not at that budget.
        tokens: [runs, budgets]
    """

    flops: Floats
    parameters: Floats
    loss: Floats
    tokens: Floats


def curves(
    parameters: ArrayLike,
    tokens: ArrayLike,
    flops: ArrayLike,
    loss: ArrayLike,
    runs: Sequence[Any] | ArrayLike,
    *,
    points: int = 200,
) -> Curves:
    """Training curves at log-spaced budgets.

    Args:
        parameters: Of the run of each row; a row is a checkpoint.
        tokens: Seen until then.
        flops: Spent until then.
        loss: Nats per token.
        runs: The run of each row.
        points: Budgets, from the smallest to the largest at which at least two sizes were.

    Raises:
        DataError: No two curves of different sizes overlap in FLOPs.
        UsageError: The columns are not one-to-one.
    """
    n, d, c, values = together(parameters=parameters, tokens=tokens, flops=flops, loss=loss)
    member = numbered(runs, len(n))
    rows = [np.flatnonzero(member == run) for run in range(int(member.max()) + 1)]
    rows = [row[np.argsort(c[row], kind="stable")] for row in rows]
    size = np.array([n[row[0]] for row in rows])
    low, high = np.array([c[row[0]] for row in rows]), np.array([c[row[-1]] for row in rows])
    ends = np.unique(np.concatenate([low, high]))
    shared = [end for end in ends if len(np.unique(size[(low <= end) & (end <= high)])) >= 2]
    if not shared or shared[0] == shared[-1]:
        raise DataError(
            "No two training curves of different sizes overlap in FLOPs, so there is no frontier; give checkpoints of "
            "each run, or finished runs of each size at several budgets."
        )
    budgets = np.geomspace(shared[0], shared[-1], points)
    budgets[0], budgets[-1] = shared[0], shared[-1]
    losses, seen = np.full((len(rows), points), np.inf), np.full((len(rows), points), np.nan)
    for run, row in enumerate(rows):
        there = (budgets >= low[run]) & (budgets <= high[run])
        for table, column in ((losses, values), (seen, d)):
            table[run, there] = np.exp(np.interp(np.log(budgets[there]), np.log(c[row]), np.log(column[row])))
    return Curves(budgets, size, losses, seen)


def frontier(found: Curves, *, drawn: NDArray[np.intp] | None = None) -> Frontier:
    """The lowest loss at each budget and the power law of the size that reaches it (Hoffmann et al., approach 1).

    Args:
        found: From `curves`.
        drawn: Runs to use, for a bootstrap; all by default.

    Raises:
        DataError: One size is best at all budgets.
    """
    chosen = np.arange(len(found.parameters)) if drawn is None else np.unique(drawn)
    losses = found.loss[chosen]
    there = np.isfinite(losses).any(axis=0)
    flops, losses = found.flops[there], losses[:, there]
    run = chosen[np.argmin(losses, axis=0)]
    parameters = found.parameters[run]
    sizes = found.parameters[chosen]
    inner = (parameters > sizes.min()) & (parameters < sizes.max())
    warnings = []
    used = inner
    if len(np.unique(parameters[inner])) < 2:
        used = np.ones_like(inner)
        warnings.append("Fewer than 2 inner sizes are ever the best, so that the exponent rests on the edges.")
    elif not inner.all():
        warnings.append(
            f"At {1 - inner.mean():.0%} of the budgets the smallest or the largest size is the best; the power law "
            "leaves them out."
        )
    if len(np.unique(parameters[used])) < 2:
        raise DataError("One size has the lowest loss at every budget, so that no exponent follows; train other sizes.")
    exponent, intercept = np.polyfit(np.log(flops[used]), np.log(parameters[used]), 1)
    place = np.flatnonzero(there)
    return Frontier(
        flops,
        parameters,
        found.tokens[run, place],
        losses.min(axis=0),
        run,
        inner,
        float(exponent),
        float(np.exp(intercept)),
        warnings,
    )


def lower_hull(flops: ArrayLike, loss: ArrayLike, irreducible: float = 0.0) -> NDArray[np.intp]:
    """Corners of the lower convex hull of ln(loss − irreducible) over ln FLOPs, from the cheapest, while it falls.

    Henighan et al. (2020; arXiv:2010.14701, section 2.4) take the size of the run at each corner for the optimum.

    Args:
        flops: Of each point, of any runs.
        loss: Nats per token.
        irreducible: Subtracted before the logarithm.

    Returns:
        Indices of points.

    Raises:
        UsageError: The irreducible loss is not below all losses.
    """
    c, losses = together(flops=flops, loss=loss)
    if not irreducible < losses.min():
        raise UsageError(
            f"The irreducible loss {irreducible} must lie below all losses, the lowest being {losses.min()}."
        )
    x, y = np.log(c), np.log(losses - irreducible)
    hull: list[int] = []
    for point in np.lexsort((y, x)):
        if hull and x[hull[-1]] == x[point]:
            continue  # the lower of equal budgets came first
        while len(hull) > 1 and _turn(x, y, hull[-2], hull[-1], int(point)) <= 0:
            hull.pop()
        hull.append(int(point))
    lowest = int(np.argmin(y[hull]))
    return np.array(hull[: lowest + 1], dtype=np.intp)


def quantile_line(x: ArrayLike, y: ArrayLike, quantile: float = 0.05) -> tuple[float, float]:
    """Intercept and slope of the line below which this share of points lies (quantile regression).

    With quantile 0 it is the highest line below every point, as Henighan et al. draw their frontiers.

    Raises:
        UsageError: The quantile is not from 0 to 1, or the two are not one-to-one.
        DataError: Fewer than two places.
    """
    places, values = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if not 0 <= quantile <= 1:
        raise UsageError(f"A quantile is from 0 to 1, not {quantile}.")
    if places.shape != values.shape or places.ndim != 1:
        raise UsageError(f"Points must be one-to-one, not {places.shape} and {values.shape}.")
    if len(np.unique(places)) < 2 or not np.isfinite(places).all() or not np.isfinite(values).all():
        raise DataError("A line needs finite points at two places or more.")
    count, middle = len(places), places.mean()
    # minimise quantile · (above) + (1 − quantile) · (below), with value = intercept + slope · x + above − below
    ones = np.ones((count, 1))
    equations = np.hstack([ones, (places - middle)[:, None], np.eye(count), -np.eye(count)])
    costs = np.concatenate([[0, 0], np.full(count, max(quantile, 1 / count)), np.full(count, 1 - quantile)])
    below = (0, 0) if quantile == 0 else (0, None)
    bounds = [(None, None)] * 2 + [(0, None)] * count + [below] * count
    found = linprog(costs, A_eq=equations, b_eq=values, bounds=bounds, method="highs")
    intercept, slope = found.x[:2]
    return float(intercept - slope * middle), float(slope)


def envelope_law(
    flops: ArrayLike, loss: ArrayLike, *, quantile: float = 0.0, irreducible: float | None = None
) -> PowerLawPlusConstant:
    """L(C) = L_∞ + (C_0 / C)^α along the lower edge of many training curves.

    ln(L − L_∞) is a line over ln C below which a share `quantile` of points lies; L_∞ is the one from a grid whose
    curve lies closest to the points, by the same loss of ln L. Give the corners of the hull or the frontier, not
    whole training curves, unless the quantile is above 0.

    Args:
        flops: Of each point.
        loss: Nats per token.
        quantile: 0 for a curve below all points.
        irreducible: L_∞, if it is known.

    Raises:
        DataError: Fewer than four points, or losses that do not fall with FLOPs.
    """
    c, losses = together(flops=flops, loss=loss)
    if len(c) < 4:
        raise DataError(f"An envelope needs at least 4 points, not {len(c)}; give more budgets.")
    share = max(quantile, 1 / len(c))
    grid = losses.min() * (1 - np.geomspace(1, 1e-3, 60)) if irreducible is None else np.array([irreducible])
    best: tuple[float, PowerLawPlusConstant] | None = None
    for constant in grid:
        if not constant < losses.min():
            raise UsageError(
                f"The irreducible loss {constant} must lie below all losses, the lowest being {losses.min()}."
            )
        intercept, slope = quantile_line(np.log(c), np.log(losses - constant), quantile)
        if slope >= 0:
            continue
        law = PowerLawPlusConstant(float(constant), float(np.exp(np.clip(-intercept / slope, -600, 600))), -slope)
        gap = np.log(losses) - np.log(law.predict(x=c))
        cost = float(np.where(gap >= 0, share * gap, (share - 1) * gap).sum())
        if best is None or cost < best[0]:
            best = (cost, law)
    if best is None:
        raise DataError("The losses do not fall with FLOPs, so there is no envelope; check the columns.")
    return best[1]


def _turn(x: Floats, y: Floats, a: int, b: int, c: int) -> float:
    """Positive where a → b → c turns left."""
    return float((x[b] - x[a]) * (y[c] - y[a]) - (y[b] - y[a]) * (x[c] - x[a]))
