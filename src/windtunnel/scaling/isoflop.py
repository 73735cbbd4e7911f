"""IsoFLOP analysis: the best size at each budget, by a parabola per budget or by one surface for all of them.

A parabola in log size (Hoffmann et al., 2022; arXiv:2203.15556, approach 2) is the fashion, but a budget's losses are
not a parabola unless both exponents agree: on a ladder of the same sizes at every budget its exponent is biased even
without noise (Czech et al., 2026; arXiv:2603.22339). Variable projection fits L = E + A / N^α + B / D^β to all runs by
searching the two exponents only, since the other three follow by non-negative least squares.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import least_squares, nnls

from windtunnel.laboratory.errors import DataError, UsageError
from windtunnel.scaling.laws.chinchilla import Chinchilla
from windtunnel.scaling.laws.interface import Floats, checked_positive

SAME_BUDGET = 0.1
"""Runs whose FLOPs are this close (10 %) to the next belong to one budget."""

FEWEST = 3
"""Sizes that a parabola needs."""


@dataclass(frozen=True)
class Minimum:
    """The best model at one budget.

    Attributes:
        flops: At the minimum.
        parameters: Its size.
        tokens: What it is trained on there.
        loss: Nats per token.
        sizes: Different sizes that were tried.
        edge: `smallest` or `largest` where that size has the lowest loss of those tried, or the minimum lies beyond
            it, which makes it an extrapolation; else empty.
    """

    flops: float
    parameters: float
    tokens: float
    loss: float
    sizes: int
    edge: str = ""


@dataclass(frozen=True)
class IsoFlop:
    """Minima of several budgets and the power law through them.

    Attributes:
        minima: One a budget, from the smallest.
        exponent: a of parameters ∝ FLOPs^a, through the minima that are no extrapolations (through all, if those are
            fewer than two).
        coefficient: k of parameters = k FLOPs^a.
        warnings: What a reader should know before trusting the exponent, a sentence each.
    """

    minima: list[Minimum]
    exponent: float
    coefficient: float
    warnings: list[str] = field(default_factory=list)

    def parameters(self, flops: ArrayLike) -> Floats:
        """The best size at budgets, by the power law."""
        return np.asarray(self.coefficient * checked_positive(flops, "flops") ** self.exponent)


def budgets(flops: ArrayLike, tolerance: float = SAME_BUDGET) -> NDArray[np.intp]:
    """The budget to which each run belongs, from 0 for the smallest [runs].

    Args:
        flops: Of each run.
        tolerance: A gap of more than this share between neighbours in size begins another budget.
    """
    data = np.atleast_1d(checked_positive(flops, "flops"))
    order = np.argsort(data, kind="stable")
    begins = np.diff(np.log(data[order]), prepend=np.log(data[order[:1]])) > np.log1p(tolerance)
    member = np.empty(len(data), dtype=np.intp)
    member[order] = np.cumsum(begins)
    return member


def isoflop_parabolas(
    parameters: ArrayLike,
    tokens: ArrayLike,
    flops: ArrayLike,
    loss: ArrayLike,
    *,
    budget: ArrayLike | None = None,
) -> IsoFlop:
    """The best size at each budget by a parabola of loss over log parameters (Hoffmann et al., approach 2).

    Args:
        parameters: Of each finished run.
        tokens: Trained on.
        flops: Spent; equal within a budget up to `SAME_BUDGET`, unless `budget` says which runs belong together.
        loss: At the end, nats per token.
        budget: A number for each run, equal for runs of one budget: so the same runs can be read in another count of
            parameters and FLOPs, in which they are no longer equal.

    Raises:
        DataError: Fewer than two budgets have three sizes and a minimum; or a value is not positive.
        UsageError: The columns are not one-to-one.
    """
    n, d, c, losses = together(parameters=parameters, tokens=tokens, flops=flops, loss=loss)
    if budget is None:
        member = budgets(c)
    else:
        if np.shape(budget) != n.shape:
            raise UsageError(f"The budget names {np.size(budget)} runs and there are {len(n)}; one a run.")
        member = np.unique(np.asarray(budget), return_inverse=True)[1]
    minima: list[Minimum] = []
    left_out: dict[str, list[float]] = {}
    for number in range(int(member.max()) + 1):
        inside = member == number
        found = _parabola(n[inside], d[inside], c[inside], losses[inside])
        if isinstance(found, Minimum):
            minima.append(found)
        else:
            left_out.setdefault(found, []).append(float(np.median(c[inside])))
    explained = [
        f"{len(spent)} budget{'s are' if len(spent) > 1 else ' is'} left out ({min(spent):.3g} to {max(spent):.3g} "
        f"FLOPs): {reason}."
        for reason, spent in left_out.items()
    ]
    minima.sort(key=lambda minimum: minimum.flops)
    if len(minima) < 2:
        raise DataError(
            f"An IsoFLOP exponent needs at least 2 budgets, each with {FEWEST} sizes around a minimum, and the data "
            f"have {len(minima)}; train more sizes at more budgets. {' '.join(explained)}".strip()
        )
    inner = [minimum for minimum in minima if not minimum.edge]
    used = inner if len(inner) >= 2 else minima
    exponent, intercept = np.polyfit(
        np.log([minimum.flops for minimum in used]), np.log([minimum.parameters for minimum in used]), 1
    )
    return IsoFlop(minima, float(exponent), float(np.exp(intercept)), [*explained, *_edge_warnings(minima, used)])


def variable_projection(
    parameters: ArrayLike, tokens: ArrayLike, loss: ArrayLike, *, near: Chinchilla | None = None
) -> Chinchilla:
    """The surface L = E + A / N^α + B / D^β by searching (α, β) only (Czech et al., 2026, "VPNLS").

    E, A and B are non-negative and follow by linear least squares of the relative residuals at each pair of
    exponents. Least squares: for data with outliers, `fit("chinchilla", ...)` and its Huber loss serve better.

    Args:
        parameters: Of each run.
        tokens: Trained on.
        loss: At the end, nats per token.
        near: Begin at this law's exponents, as refits of a bootstrap do, instead of at the best of a grid.

    Raises:
        DataError: Fewer than six runs, or fewer than three sizes or amounts of tokens.
        UsageError: The columns are not one-to-one.
    """
    n, d, losses = together(parameters=parameters, tokens=tokens, loss=loss)
    if len(n) < 6 or len(np.unique(n)) < 3 or len(np.unique(d)) < 3:
        raise DataError(
            f"A surface of five parameters needs 6 runs of 3 sizes and 3 amounts of tokens, and the data have {len(n)}"
            f" of {len(np.unique(n))} and {len(np.unique(d))}; train more."
        )
    middle_n, middle_d = np.exp(np.log(n).mean()), np.exp(np.log(d).mean())  # columns near 1 keep the system well-posed

    def project(exponents: Floats) -> tuple[Floats, Floats]:
        columns = np.stack([np.ones_like(n), (n / middle_n) ** -exponents[0], (d / middle_d) ** -exponents[1]], axis=1)
        columns /= losses[:, None]
        coefficients = nnls(columns, np.ones_like(losses))[0]
        return coefficients, columns @ coefficients - 1

    if near is not None:
        starts = [np.array([near.alpha, near.beta])]
    else:
        grid = [np.array([a, b]) for a in np.geomspace(0.03, 1.5, 12) for b in np.geomspace(0.03, 1.5, 12)]
        starts = sorted(grid, key=lambda point: float((project(point)[1] ** 2).sum()))[:4]
    found = [
        least_squares(
            lambda point: project(point)[1], start, bounds=(1e-3, 4.0), x_scale=0.1, ftol=1e-15, xtol=1e-15, gtol=1e-15
        )
        for start in starts
    ]
    alpha, beta = min(found, key=lambda result: float(result.cost)).x
    irreducible, a, b = project(np.array([alpha, beta]))[0]
    return Chinchilla(
        float(irreducible), float(a * middle_n**alpha), float(b * middle_d**beta), float(alpha), float(beta)
    )


def together(**columns: ArrayLike) -> tuple[Floats, ...]:
    """Columns as arrays of numbers, one value a run.

    Raises:
        UsageError: They are not one-to-one.
        DataError: A value is not positive and finite, or there are none.
    """
    arrays = {name: np.atleast_1d(checked_positive(values, name)) for name, values in columns.items()}
    sizes = {name: array.shape for name, array in arrays.items()}
    if len(set(sizes.values())) > 1:
        raise UsageError(f"Columns must be one-to-one, not {sizes}; give one value a run in each.")
    if not next(iter(arrays.values())).size:
        raise DataError("There are no runs; give at least one row.")
    return tuple(arrays.values())


def _parabola(n: Floats, d: Floats, c: Floats, losses: Floats) -> Minimum | str:
    """The minimum of one budget, or why there is none."""
    sizes = np.unique(n)
    if len(sizes) < FEWEST:
        return f"fewer than the {FEWEST} sizes that a parabola needs"
    centre = np.log(n).mean()
    x = np.log(n) - centre
    bend, tilt, level = np.polyfit(x, losses, 2)
    if not bend > 0:
        return "the losses have no minimum"
    best = -tilt / (2 * bend)
    if abs(best) > np.ptp(x):
        return "the minimum lies far beyond the sizes tried"
    size = float(np.exp(best + centre))
    order = np.argsort(n)
    tokens, flops = (float(np.exp(_along(x[order], np.log(values[order]), best))) for values in (d, c))
    lowest = n[np.argmin(losses)]
    edge = "smallest" if min(size, lowest) <= sizes[0] else "largest" if max(size, lowest) >= sizes[-1] else ""
    return Minimum(flops, size, tokens, float(level - tilt**2 / (4 * bend)), len(sizes), edge)


def _along(x: Floats, y: Floats, place: float) -> float:
    """The value of y at a place, by a curve of second degree through the runs."""
    return float(np.polyval(np.polyfit(x, y, 2), place))


def _edge_warnings(minima: list[Minimum], used: list[Minimum]) -> list[str]:
    found = [
        f"The minimum at {minimum.flops:.3g} FLOPs lies at the {minimum.edge} size tried, so that it is an "
        "extrapolation and the power law leaves it out."
        for minimum in minima
        if minimum.edge and minimum not in used
    ]
    if any(minimum.edge for minimum in used):
        found.append("Fewer than 2 budgets have an inner minimum, so that the exponent rests on extrapolations.")
    if len(used) == 2:
        found.append("The exponent is a line through 2 budgets, which leaves nothing to check it by.")
    return found
