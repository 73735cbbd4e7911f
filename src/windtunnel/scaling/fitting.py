"""Fitting a law to runs: Huber loss of log residuals, summed, from many starts, with a bootstrap over whole runs."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from windtunnel.laboratory.errors import DataError, UsageError
from windtunnel.scaling.laws import find_law
from windtunnel.scaling.laws.interface import Floats, Law, Optimum, checked_positive
from windtunnel.scaling.optimization import HuberObjective, Minima, minimize, minimize_loosely
from windtunnel.scaling.pitfalls import pitfalls
from windtunnel.scaling.resampling import percentile_interval, refit, student, widening
from windtunnel.statistics.intervals import checked, numbered

DELTA = 1e-3
"""Where the Huber loss of log residuals turns linear (Hoffmann et al., 2022): at 0.1 %, so it is nearly absolute."""

TOLERANCE = 1e-12
"""A fit ends when steps lower the loss by less than this share."""


@dataclass(frozen=True)
class Fit:
    """A law fitted to runs.

    Attributes:
        law: With the fitted parameters.
        columns: What was fitted: an array [rows] for each variable and for the output.
        objective: The weighted Huber loss at the minimum; NaN if the law was written by hand.
        residuals: ln(observed) − ln(predicted) [rows].
        warnings: What a reader should know before trusting the numbers, a sentence each.
        replicates: One law that holds the batch of bootstrap refits, or none.
        level: Coverage the intervals aim at.
        inflation: By how much deviations of replicates are widened for the few runs they came from.
        settings: How it was fitted, ready for JSON.
        problem: What was minimised, for profiles.
    """

    law: Law
    columns: dict[str, Floats]
    objective: float
    residuals: Floats
    warnings: list[str] = field(default_factory=list)
    replicates: Law | None = None
    level: float = 0.9
    inflation: float = 1.0
    settings: dict[str, Any] = field(default_factory=dict)
    problem: HuberObjective | None = field(default=None, repr=False)

    @property
    def parameters(self) -> dict[str, float]:
        """The fitted parameters by symbol."""
        return {symbol: float(value) for symbol, value in self.law.parameters.items()}

    @property
    def intervals(self) -> dict[str, tuple[float, float]]:
        """Bootstrap interval of each parameter; empty without a bootstrap."""
        if self.replicates is None:
            return {}
        low, high = self.interval(lambda law: law.vector())
        return {symbol: (float(a), float(b)) for symbol, a, b in zip(self.law.symbols(), low, high, strict=True)}

    def predict(self, **variables: ArrayLike) -> Floats:
        """The law's value: one number or array per variable of the law."""
        return self.law.predict(**variables)

    def predict_interval(self, **variables: ArrayLike) -> tuple[Any, Any]:
        """Lower and upper end of the law's value there (of the curve, without the scatter of single runs)."""
        return self.interval(lambda law: law.predict(**variables))

    def interval(self, function: Callable[[Any], Any]) -> tuple[Any, Any]:
        """Bootstrap interval of anything that follows from the law.

        Args:
            function: From a law to a number or an array, such as `lambda law: law.optimum(1e21).tokens`.

        Raises:
            UsageError: The fit has no bootstrap.
        """
        if self.replicates is None:
            raise UsageError("This fit has no bootstrap, so no interval; fit with bootstrap=200 or more.")
        drawn = np.array([function(type(self.law)(*row)) for row in self.replicates.vector()], dtype=np.float64)
        return percentile_interval(drawn, self.level, self.inflation)

    def deviation(self, function: Callable[[Any], Any]) -> Any:
        """Bootstrap standard error of anything that follows from the law (see `interval`)."""
        if self.replicates is None:
            raise UsageError("This fit has no bootstrap, so no standard error; fit with bootstrap=200 or more.")
        drawn = np.array([function(type(self.law)(*row)) for row in self.replicates.vector()], dtype=np.float64)
        return np.nanstd(drawn, axis=0, ddof=1)

    def optimum(self, flops: ArrayLike) -> Optimum:
        """The compute-optimal split of a budget in FLOPs.

        Raises:
            UsageError: The law has none.
        """
        if not hasattr(self.law, "optimum"):
            raise UsageError(f"The law {self.law.name} has no compute-optimal split; fit chinchilla, for example.")
        found: Optimum = self.law.optimum(flops)
        return found

    def report(self) -> dict[str, Any]:
        """All of it that is worth printing, ready for JSON."""
        document: dict[str, Any] = {
            "law": self.law.name,
            "parameters": self.parameters,
            "intervals": {symbol: list(ends) for symbol, ends in self.intervals.items()},
            "level": self.level,
            "inflation": self.inflation,
            "units": self.law.units(),
            "meanings": self.law.meanings(),
            "runs": len(self.residuals),
            "objective": self.objective if np.isfinite(self.objective) else None,
            "median_absolute_residual": float(np.median(np.abs(self.residuals))) if len(self.residuals) else None,
            "settings": self.settings,
            "warnings": self.warnings,
        }
        if hasattr(self.law, "optimum"):
            exponent: dict[str, Any] = {"value": float(self.optimum(1e21).exponent)}
            if self.replicates is not None:
                exponent["interval"] = list(self.interval(lambda law: law.optimum(1e21).exponent))
                exponent["deviation"] = float(self.deviation(lambda law: law.optimum(1e21).exponent))
            document["optimal_parameters_exponent"] = exponent
        return document


def fit(
    law: str | type[Law],
    *,
    bootstrap: int = 0,
    clusters: Sequence[Any] | ArrayLike | None = None,
    weights: ArrayLike | None = None,
    delta: float = DELTA,
    reduction: Literal["sum", "mean"] = "sum",
    tolerance: float | Literal["loose"] = TOLERANCE,
    start: Mapping[str, float] | None = None,
    fixed: Mapping[str, float] | None = None,
    level: float = 0.9,
    seed: int = 0,
    **columns: ArrayLike,
) -> Fit:
    """Fit a law to runs.

    Args:
        law: Its name or its class.
        bootstrap: Refits to resampled runs, from which intervals come; 0 for none.
        clusters: The run of each row, where rows are checkpoints: rows of one run are resampled together.
        weights: Of each row.
        delta: Where the Huber loss of log residuals turns from quadratic to linear; infinite for least squares.
        reduction: Whether the loss is summed or averaged over rows: the same minimum, but a small loss stops a search
            that has an absolute tolerance early.
        tolerance: A search ends when steps lower the loss by less than this share. `loose` is scipy's L-BFGS-B as it
            comes, from a grid that does not look at the data: with `mean`, how the Chinchilla fit was first published.
        start: Begin here only, and not on a grid that is fitted to the data.
        fixed: Parameters that are held at a value.
        level: Coverage of the intervals.
        seed: Of the resampling.
        **columns: The law's variables and its output: `parameters=`, `tokens=`, `loss=` ...

    Raises:
        UsageError: An unknown law, column or option.
        DataError: Values that no law can be fitted to, or fewer rows than parameters.
    """
    kind = find_law(law) if isinstance(law, str) else law
    variables, observed = arranged(kind, columns)
    rows, held = len(observed), dict(fixed or {})
    free = len(kind.symbols()) - len(held)
    _check_options(kind, held, reduction, delta, tolerance, bootstrap, start)
    checked(level)
    if rows <= free:
        raise DataError(
            f"The law {kind.name} has {free} parameters to fit and the data have {rows} rows; give more runs, or fix "
            "parameters."
        )
    weight = np.ones(rows) if weights is None else checked_positive(weights, "weights")
    if weight.shape != (rows,):
        raise UsageError(f"{weight.size} weights were given for {rows} rows; give one a row.")
    weight = weight / rows if reduction == "mean" else weight
    member = np.arange(rows) if clusters is None else numbered(clusters, rows)
    places = tuple(kind.symbols().index(symbol) for symbol in held)
    objective = HuberObjective(kind, variables, observed, weight[None], delta, places)

    def search(problem: HuberObjective, begin: Floats) -> Minima:
        if tolerance == "loose":
            return minimize_loosely(problem, begin)
        return minimize(problem, begin, tolerance=float(tolerance))

    starts = _starts(kind, variables, observed, start, tolerance == "loose")
    starts[:, list(places)] = list(held.values())
    found = search(objective, objective.to_free(starts))
    values = np.where(np.isnan(found.values), np.inf, found.values)
    best = int(np.argmin(values))
    if not np.isfinite(values[best]):
        raise DataError(f"No start of the law {kind.name} gives finite predictions for these data; check their units.")
    replicates, inflation, failed = None, 1.0, 0.0
    if bootstrap:
        again = refit(objective, found.points[best], member, weight, bootstrap, seed, search)
        replicates = kind.of(objective.to_parameters(again.points))
        nearly_absolute = delta < np.median(np.abs(objective.residuals(found.points[best][None])[0]))
        inflation = (student if nearly_absolute else widening)(int(member.max()) + 1, free, level)
        failed = float(1 - again.converged.mean())
    fitted = Fit(
        kind.of(objective.to_parameters(found.points[best])),
        {**{v.name: x for v, x in zip(kind.variables, variables, strict=True)}, kind.output.name: observed},
        float(found.values[best]),
        -objective.residuals(found.points[best][None])[0][0],
        replicates=replicates,
        level=level,
        inflation=inflation,
        settings={
            "delta": None if np.isinf(delta) else delta,
            "reduction": reduction,
            "tolerance": tolerance,
            "fixed": held,
            "bootstrap": bootstrap,
            "seed": seed,
            "resampled": int(member.max()) + 1,
            "starts": len(starts),
            "starts_that_agree": int((values <= values[best] * (1 + 1e-6) + 1e-15).sum()),
            "converged": bool(found.converged[best]),
            "refits_not_converged": failed,
        },
        problem=objective,
    )
    strict = None
    if tolerance == "loose":
        begin = kind.starts(variables, observed)
        begin[:, list(places)] = list(held.values())
        exact = minimize(objective, objective.to_free(begin), tolerance=TOLERANCE)
        strict = kind.of(objective.to_parameters(exact.points[int(np.nanargmin(exact.values))]))
    fitted.warnings.extend(pitfalls(fitted, clustered=clusters is not None, one_start=start is not None, strict=strict))
    return fitted


def _check_options(
    kind: type[Law],
    held: Mapping[str, float],
    reduction: str,
    delta: float,
    tolerance: float | str,
    bootstrap: int,
    start: Mapping[str, float] | None,
) -> None:
    for symbol, value in held.items():
        if symbol not in kind.symbols():
            raise UsageError(f"The law {kind.name} has no parameter {symbol!r}; it has {', '.join(kind.symbols())}.")
        if not np.isfinite(value) or (kind.positive()[kind.symbols().index(symbol)] and value <= 0):
            raise UsageError(f"The parameter {symbol} of {kind.name} cannot be held at {value}; it must be positive.")
    if start is not None and set(start) != set(kind.symbols()):
        raise UsageError(f"A start of {kind.name} gives {', '.join(kind.symbols())}, not {', '.join(start)}.")
    if reduction not in ("sum", "mean"):
        raise UsageError(f"The reduction is sum or mean, not {reduction!r}.")
    if not delta > 0:
        raise UsageError(f"delta must be positive, not {delta}; give math.inf for least squares.")
    if tolerance != "loose" and (isinstance(tolerance, str) or not 0 < tolerance < 1):
        raise UsageError(f"The tolerance is a share between 0 and 1, or loose, not {tolerance!r}.")
    if bootstrap < 0 or bootstrap == 1:
        raise UsageError(f"A bootstrap needs at least 2 refits, and some hundred to say anything, not {bootstrap}.")


def _starts(
    kind: type[Law], variables: tuple[Floats, ...], observed: Floats, start: Mapping[str, float] | None, blind: bool
) -> Floats:
    """Where the search begins [starts, parameters]."""
    if start is not None:
        return np.array([[float(start[symbol]) for symbol in kind.symbols()]])
    grid = kind.blind_starts() if blind else None
    return kind.starts(variables, observed) if grid is None else grid


def arranged(kind: type[Law], columns: Mapping[str, ArrayLike]) -> tuple[tuple[Floats, ...], Floats]:
    """The law's variables, in its order, and its output, checked: arrays [rows].

    Raises:
        UsageError: A column is missing, unknown or of another length.
        DataError: A value is not positive and finite, or there is none.
    """
    wanted = [variable.name for variable in kind.variables] + [kind.output.name]
    if set(columns) != set(wanted):
        raise UsageError(
            f"The law {kind.name} is fitted to the columns {', '.join(wanted)}, not {', '.join(columns) or 'none'}."
        )
    arrays = [np.atleast_1d(checked_positive(columns[name], name)) for name in wanted]
    for name, array in zip(wanted, arrays, strict=True):
        if array.ndim != 1 or len(array) != len(arrays[-1]):
            raise UsageError(
                f"The column {name} has shape {array.shape} and {wanted[-1]} has {arrays[-1].shape}; one value a row."
            )
    if not len(arrays[-1]):
        raise DataError("There are no rows to fit; give one a finished run.")
    return tuple(arrays[:-1]), arrays[-1]
