"""How a budget is split between size and data: the three approaches side by side on the same runs.

Hoffmann et al. (2022; arXiv:2203.15556) name them: the envelope of training curves (1), IsoFLOP parabolas (2), and a
parametric surface (3); beside them stands a surface by variable projection. Each is read in every count of parameters
(total, or without embeddings) and of FLOPs (6 N D, or all that a training step computes) that the data allow, since
the count alone moves the exponent from Chinchilla's towards Kaplan et al.'s (Pearce and Song, 2024; arXiv:2406.12907;
Porian et al., 2024; arXiv:2406.19146).
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from windtunnel.laboratory.errors import DataError, UsageError, WindtunnelError
from windtunnel.scaling.envelope import curves, frontier
from windtunnel.scaling.fitting import fit
from windtunnel.scaling.isoflop import budgets, isoflop_parabolas, together, variable_projection
from windtunnel.scaling.laws.chinchilla import Chinchilla
from windtunnel.scaling.laws.interface import Floats
from windtunnel.scaling.resampling import percentile_interval, widening
from windtunnel.statistics.estimates import Estimate
from windtunnel.statistics.intervals import numbered

APPROACHES = ("envelope", "parabola", "projection", "parametric")
"""Approaches 1, 2 and 3 of Hoffmann et al., with the surface by variable projection before the third."""

Draw = Callable[[NDArray[np.intp]], NDArray[np.intp]]
"""From the stratum of each run to runs drawn with replacement, as many of each stratum as it has."""

T = TypeVar("T")

FEWEST_REFITS = 0.8
"""Share of refits that must succeed for an interval to be given."""


@dataclass(frozen=True)
class Counted:
    """The rows in one count of parameters and FLOPs.

    Attributes:
        name: For example `non-embedding, 6 N D`.
        parameters: Of each row.
        flops: Spent until then.
    """

    name: str
    parameters: Floats
    flops: Floats


@dataclass(frozen=True)
class Allocation:
    """What one approach says in one count.

    Attributes:
        approach: One of `APPROACHES`.
        count: Name of the count.
        exponent: a of parameters ∝ FLOPs^a; the interval is unbounded without a bootstrap, None if there is no answer.
        flops: Budgets at which it names a best size.
        parameters: That size.
        reliable: Whether each of them is inside what was trained.
        warnings: What a reader should know, or why there is no answer, a sentence each.
    """

    approach: str
    count: str
    exponent: Estimate | None = None
    flops: Floats = field(default_factory=lambda: np.empty(0))
    parameters: Floats = field(default_factory=lambda: np.empty(0))
    reliable: NDArray[np.bool_] = field(default_factory=lambda: np.empty(0, dtype=bool))
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Runs:
    """Rows of runs, and which of them are what.

    Attributes:
        tokens: Seen until each row.
        loss: Nats per token.
        curve: Of which curve each row is a point: its run, or its size where every run has one row.
        final: The last row of each run.
        budget: The budget of each final row.
    """

    tokens: Floats
    loss: Floats
    curve: NDArray[np.intp]
    final: NDArray[np.intp]
    budget: NDArray[np.intp]


def compare(
    *,
    tokens: ArrayLike,
    loss: ArrayLike,
    parameters: ArrayLike | None = None,
    non_embedding: ArrayLike | None = None,
    flops: ArrayLike | None = None,
    runs: Sequence[Any] | ArrayLike | None = None,
    bootstrap: int = 200,
    level: float = 0.9,
    seed: int = 0,
) -> list[Allocation]:
    """All approaches in all counts that the columns allow.

    A row is a checkpoint or a finished run. Parabolas and surfaces read the last row of each run, the envelope all
    rows; where every run has one row, runs of one size at several budgets serve as its curve (which is sounder than
    intermediate checkpoints of a schedule that has not ended).

    Args:
        tokens: Seen until the row.
        loss: Nats per token.
        parameters: With embeddings.
        non_embedding: Without.
        flops: All that training computed, with attention and the unembedding; 6 N D is worked out here.
        runs: The run of each row; by default every row is a run.
        bootstrap: Refits to resampled runs, from which intervals come; 0 for none.
        level: Coverage of the intervals.
        seed: Of the resampling.

    Returns:
        One per count and approach, also where an approach has no answer.

    Raises:
        UsageError: No column of parameters is given, or columns are not one-to-one.
        DataError: A value is not positive and finite.
    """
    given = {"parameters": parameters, "non_embedding": non_embedding, "flops": flops}
    columns = together(
        tokens=tokens, loss=loss, **{name: values for name, values in given.items() if values is not None}
    )
    table = dict(
        zip(("tokens", "loss", *(name for name, values in given.items() if values is not None)), columns, strict=True)
    )
    counts = counted(table)
    rows = arrange(table, runs, counts[0])
    projection, parametric = (_read_surface(make, bootstrap, level, seed) for make in (_projection, _parametric))
    return [
        found
        for count in counts
        for found in (
            _envelope(count, rows, bootstrap, level, seed),
            _parabola(count, rows, bootstrap, level, seed),
            projection(count, rows),
            parametric(count, rows),
        )
    ]


def counted(table: dict[str, Floats]) -> list[Counted]:
    """Every count of parameters and FLOPs that the columns allow, total before non-embedding.

    Raises:
        UsageError: There is no column of parameters.
    """
    names = {"parameters": "total", "non_embedding": "non-embedding"}
    found = []
    for column, name in names.items():
        if column in table:
            found.append(Counted(f"{name}, 6 N D", table[column], 6 * table[column] * table["tokens"]))
            if "flops" in table:
                found.append(Counted(f"{name}, all FLOPs", table[column], table["flops"]))
    if not found:
        raise UsageError("There is no column of parameters; give parameters, non_embedding or both.")
    return found


def arrange(table: dict[str, Floats], runs: Sequence[Any] | ArrayLike | None, first: Counted) -> Runs:
    """Which rows end runs, which are curves, and which runs share a budget (of all FLOPs, else of the first count)."""
    tokens, loss = table["tokens"], table["loss"]
    member = np.arange(len(tokens)) if runs is None else numbered(runs, len(tokens))
    last = np.lexsort((tokens, member))
    final = last[np.append(np.diff(member[last]) > 0, True)]
    alone = len(final) == len(tokens)
    curve = np.unique(first.parameters, return_inverse=True)[1] if alone else member
    return Runs(tokens, loss, curve, final, budgets(table.get("flops", first.flops)[final]))


def optimal_sizes(law: Chinchilla, parameters: Floats, cost: Floats, flops: Floats) -> Floats:
    """The best size at each budget, where a token costs what it costs at each size instead of 6 N.

    With c(N) FLOPs a token and s = d ln c / d ln N, L is least at C = c(N) D where α A N^−α = s β B D^−β. The cost is
    a curve of second degree in logarithms through the given sizes, and a power law beyond them.

    Args:
        law: The surface.
        parameters: Sizes at which the cost is known.
        cost: FLOPs per token at those.
        flops: Budgets.

    Raises:
        DataError: The loss does not fall with parameters, or not with tokens, within any size near those given.
    """
    flat = "The surface hardly falls with one of parameters and tokens, so no size near those trained is best."
    if min(law.A, law.B, law.alpha, law.beta) <= 0:
        raise DataError(flat)
    x, y = np.log(parameters), np.log(cost)
    curve = np.polyfit(x, y, min(2, len(np.unique(x)) - 1))
    grid = np.linspace(x.min() - 12, x.max() + 12, 1_000)
    inside = np.clip(grid, x.min(), x.max())
    slope = np.maximum(np.polyval(np.polyder(curve), inside), 1e-3)
    spent = np.polyval(curve, inside) + slope * (grid - inside)
    log_tokens = (law.alpha * grid - np.log(law.alpha * law.A / (slope * law.beta * law.B))) / law.beta
    budget = np.maximum.accumulate(spent + log_tokens)
    if np.log(flops).min() < budget[0] or np.log(flops).max() > budget[-1]:
        raise DataError(flat)
    return np.asarray(np.exp(np.interp(np.log(flops), budget, grid)))


def _envelope(count: Counted, rows: Runs, bootstrap: int, level: float, seed: int) -> Allocation:
    try:
        found = curves(count.parameters, rows.tokens, count.flops, rows.loss, rows.curve)
        best = frontier(found)
    except WindtunnelError as error:
        return Allocation("envelope", count.name, warnings=[str(error)])
    total = len(found.parameters)
    drawn = _refits(lambda draw: frontier(found, drawn=draw(np.zeros(total, int))).exponent, bootstrap, seed)
    exponent, more = _estimate(best.exponent, drawn, bootstrap, level, widening(total, 2, level))
    return Allocation(
        "envelope", count.name, exponent, best.flops, best.parameters, best.inner, [*best.warnings, *more]
    )


def _parabola(count: Counted, rows: Runs, bootstrap: int, level: float, seed: int) -> Allocation:
    columns = [values[rows.final] for values in (count.parameters, rows.tokens, count.flops, rows.loss)]
    try:
        found = isoflop_parabolas(*columns, budget=rows.budget)
    except WindtunnelError as error:
        return Allocation("parabola", count.name, warnings=[str(error)])

    def refit(draw: Draw) -> float:
        chosen = draw(rows.budget)
        return isoflop_parabolas(*(column[chosen] for column in columns), budget=rows.budget[chosen]).exponent

    spent = 3 * len(found.minima)
    exponent, more = _estimate(
        found.exponent, _refits(refit, bootstrap, seed), bootstrap, level, widening(len(rows.final), spent, level)
    )
    return Allocation(
        "parabola",
        count.name,
        exponent,
        np.array([minimum.flops for minimum in found.minima]),
        np.array([minimum.parameters for minimum in found.minima]),
        np.array([not minimum.edge for minimum in found.minima]),
        [*found.warnings, *more],
    )


@dataclass(frozen=True)
class _Surface:
    """A surface fitted in one count of parameters, whatever FLOPs are counted, with its refits."""

    approach: str
    law: Chinchilla
    refits: list[Chinchilla]
    inflation: float
    warnings: list[str]


def _projection(parameters: Floats, rows: Runs, bootstrap: int, level: float, seed: int) -> _Surface:
    n, d, loss = (values[rows.final] for values in (parameters, rows.tokens, rows.loss))
    law = variable_projection(n, d, loss)

    def refit(draw: Draw) -> Chinchilla:
        chosen = draw(np.zeros(len(n), int))
        return variable_projection(n[chosen], d[chosen], loss[chosen], near=law)

    return _Surface("projection", law, _refits(refit, bootstrap, seed), widening(len(n), 5, level), [])


def _parametric(parameters: Floats, rows: Runs, bootstrap: int, level: float, seed: int) -> _Surface:
    n, d, loss = (values[rows.final] for values in (parameters, rows.tokens, rows.loss))
    found = fit("chinchilla", parameters=n, tokens=d, loss=loss, bootstrap=bootstrap, level=level, seed=seed)
    again = [] if found.replicates is None else [Chinchilla(*row) for row in found.replicates.vector()]
    return _Surface("parametric", Chinchilla(*found.law.vector()), again, found.inflation, found.warnings)


def _read_surface(
    make: Callable[[Floats, Runs, int, float, int], _Surface], bootstrap: int, level: float, seed: int
) -> Callable[[Counted, Runs], Allocation]:
    """The best sizes that a surface implies over the budgets of the runs; it is fitted once per count of parameters."""
    kept: dict[int, _Surface | WindtunnelError] = {}

    def read(count: Counted, rows: Runs) -> Allocation:
        name = make.__name__.removeprefix("_")
        key = id(count.parameters)
        if key not in kept:
            try:
                kept[key] = make(count.parameters, rows, bootstrap, level, seed)
            except WindtunnelError as error:
                kept[key] = error
        surface = kept[key]
        if isinstance(surface, WindtunnelError):
            return Allocation(name, count.name, warnings=[str(surface)])
        n, d, spent = (values[rows.final] for values in (count.parameters, rows.tokens, count.flops))
        flops = np.geomspace(spent.min(), max(spent.max(), 2 * spent.min()), 9)

        def exponent(law: Chinchilla) -> float:
            return float(np.polyfit(np.log(flops), np.log(optimal_sizes(law, n, spent / d, flops)), 1)[0])

        try:
            sizes = optimal_sizes(surface.law, n, spent / d, flops)
        except DataError as error:
            return Allocation(name, count.name, warnings=[str(error), *surface.warnings])
        inside = (sizes >= n.min()) & (sizes <= n.max())
        warnings = [] if inside.all() else ["The surface's best sizes leave the range of sizes trained."]
        drawn = []
        for law in surface.refits:
            with suppress(DataError):
                drawn.append(exponent(law))
        found, more = _estimate(exponent(surface.law), drawn, bootstrap, level, surface.inflation)
        return Allocation(name, count.name, found, flops, sizes, inside, [*warnings, *surface.warnings, *more])

    return read


def _refits(refit: Callable[[Draw], T], count: int, seed: int) -> list[T]:
    """Refits to runs drawn with replacement, within each stratum; failed refits are left out."""
    generator = np.random.default_rng(seed)

    def draw(strata: NDArray[np.intp]) -> NDArray[np.intp]:
        places = [np.flatnonzero(strata == stratum) for stratum in np.unique(strata)]
        return np.concatenate([generator.choice(place, len(place)) for place in places])

    found = []
    for _ in range(count):
        try:
            found.append(refit(draw))
        except DataError:
            continue
    return found


def _estimate(
    value: float, drawn: list[float], count: int, level: float, inflation: float
) -> tuple[Estimate, list[str]]:
    """The exponent with the interval of its refits, if enough of them succeeded."""
    if not count:
        return Estimate(value, -np.inf, np.inf, level), []
    if len(drawn) < FEWEST_REFITS * count:
        return Estimate(value, -np.inf, np.inf, level), [
            f"Only {len(drawn)} of {count} refits to resampled runs gave an exponent, so that it has no interval."
        ]
    low, high = percentile_interval(np.array(drawn), level, inflation)
    return Estimate(value, float(low), float(high), level), []
