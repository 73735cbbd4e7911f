"""Fitting a law to runs: Huber loss of log residuals, summed, from many starts, with a bootstrap over whole runs."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from windtunnel.laboratory.errors import DataError, UsageError
from windtunnel.scaling.laws import find_law
from windtunnel.scaling.laws.interface import Floats, Law, Optimum, checked_positive
from windtunnel.scaling.optimization import HuberObjective, minimize
from windtunnel.statistics.intervals import checked, numbered

DELTA = 1e-3
"""Where the Huber loss of log residuals turns linear (Hoffmann et al., 2022): at 0.1 %, so it is nearly absolute."""


@dataclass(frozen=True)
class Fit:
    """A law fitted to runs.

    Attributes:
        law: With the fitted parameters.
        columns: What was fitted: an array [runs] for each variable and for the output.
        objective: The weighted Huber loss at the minimum.
        residuals: ln(observed) − ln(predicted) [runs].
        warnings: What a reader should know before trusting the numbers, a sentence each.
        replicates: One law that holds the batch of bootstrap refits, or none.
        level: Coverage the intervals aim at.
        inflation: By how much deviations of replicates are widened for the few runs they came from.
        settings: How it was fitted.
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

    def predict_interval(self, **variables: ArrayLike) -> tuple[Floats, Floats]:
        """Lower and upper end of the law's value there (of the curve, without the scatter of single runs)."""
        return self.interval(lambda law: law.predict(**variables))

    def interval(self, function: Callable[[Any], Any]) -> tuple[Any, Any]:
        """Bootstrap interval of anything that follows from the law.

        Args:
            function: From a law to a number or an array, such as `lambda law: law.optimum(1e21).tokens`.

        Raises:
            UsageError: The fit has no bootstrap.
        """
        from windtunnel.scaling.resampling import percentile_interval

        if self.replicates is None:
            raise UsageError("This fit has no bootstrap, so no interval; fit with bootstrap=200 or more.")
        drawn = np.array([function(type(self.law)(*row)) for row in self.replicates.vector()], dtype=np.float64)
        return percentile_interval(drawn, self.level, self.inflation)

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
        return {
            "law": self.law.name,
            "parameters": self.parameters,
            "intervals": {symbol: list(ends) for symbol, ends in self.intervals.items()},
            "level": self.level,
            "units": self.law.units(),
            "meanings": self.law.meanings(),
            "runs": len(self.residuals),
            "objective": self.objective,
            "median_absolute_residual": float(np.median(np.abs(self.residuals))),
            "settings": self.settings,
            "warnings": self.warnings,
        }


def fit(
    law: str | type[Law],
    *,
    bootstrap: int = 0,
    clusters: Sequence[Any] | ArrayLike | None = None,
    weights: ArrayLike | None = None,
    delta: float = DELTA,
    reduction: Literal["sum", "mean"] = "sum",
    tolerance: float = 1e-12,
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
        reduction: Whether the loss is summed or averaged over rows.
        tolerance: The fit ends when steps lower the loss by less than this share.
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
    rows = len(observed)
    held = dict(fixed or {})
    for symbol in held:
        if symbol not in kind.symbols():
            raise UsageError(f"The law {kind.name} has no parameter {symbol!r}; it has {', '.join(kind.symbols())}.")
    places = tuple(kind.symbols().index(symbol) for symbol in held)
    if reduction not in ("sum", "mean"):
        raise UsageError(f"The reduction is sum or mean, not {reduction!r}.")
    if not delta > 0:
        raise UsageError(f"delta must be positive, not {delta}; give math.inf for least squares.")
    checked(level)
    if rows <= len(kind.symbols()) - len(held):
        raise DataError(
            f"The law {kind.name} has {len(kind.symbols()) - len(held)} parameters to fit and the data have {rows} "
            "rows; give more runs, or fix parameters."
        )
    weight = np.ones(rows) if weights is None else checked_positive(weights, "weights")
    if weight.shape != (rows,):
        raise UsageError(f"{weight.size} weights were given for {rows} rows; give one a row.")
    scale = 1.0 / rows if reduction == "mean" else 1.0
    member = np.arange(rows) if clusters is None else numbered(clusters, rows)

    objective = HuberObjective(kind, variables, observed, (weight * scale)[None], delta, places)
    starts = kind.starts(variables, observed)
    starts[:, list(places)] = list(held.values())
    found = minimize(objective, objective.to_free(starts), tolerance=tolerance)
    best = int(np.argmin(np.where(np.isnan(found.values), np.inf, found.values)))
    if not np.isfinite(found.values[best]):
        raise DataError(f"No start of the law {kind.name} gives finite predictions for these data; check their units.")
    values = objective.to_parameters(found.points[best])
    residuals = -objective.residuals(found.points[best][None])[0][0]

    replicates, inflation = None, 1.0
    if bootstrap:
        from windtunnel.scaling.resampling import refit, widening

        replicates = kind.of(refit(objective, found.points[best], member, weight * scale, bootstrap, seed, tolerance))
        inflation = widening(int(member.max()) + 1, len(kind.symbols()) - len(held), level)
    return Fit(
        kind.of(values),
        {**{v.name: x for v, x in zip(kind.variables, variables, strict=True)}, kind.output.name: observed},
        float(found.values[best]),
        residuals,
        replicates=replicates,
        level=level,
        inflation=inflation,
    )


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
