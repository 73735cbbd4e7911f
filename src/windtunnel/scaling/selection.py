"""Which law? Laws compared by how well they extrapolate from small runs to large ones, and by information criteria."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from windtunnel.laboratory.errors import DataError, UsageError
from windtunnel.scaling.fitting import Fit, arranged, fit
from windtunnel.scaling.laws import find_law
from windtunnel.scaling.laws.interface import Floats, Law


@dataclass(frozen=True)
class Scored:
    """A law's row of the table.

    Attributes:
        law: Its name.
        parameters: How many are fitted.
        extrapolation_error: Root mean square of ln(observed) − ln(predicted) of the largest runs, which were left out.
        worst: The largest of those deviations.
        median_absolute_residual: Of all runs, in the fit to all.
        aicc: Akaike's criterion, corrected for few runs; comparable between laws of one table only.
        bic: Schwarz's criterion.
        held_out: Runs left out.
        fitted: The fit to all runs.
    """

    law: str
    parameters: int
    extrapolation_error: float
    worst: float
    median_absolute_residual: float
    aicc: float
    bic: float
    held_out: int
    fitted: Fit

    def report(self) -> dict[str, Any]:
        """The row and the fitted parameters, ready for JSON."""
        row = {name: value for name, value in asdict(self).items() if name != "fitted"}
        return row | {"fitted": self.fitted.parameters, "warnings": self.fitted.warnings}


def compare(
    laws: Sequence[str | type[Law]],
    *,
    hold_out: float = 0.2,
    scale: ArrayLike | None = None,
    columns: Mapping[str, ArrayLike],
    **options: Any,
) -> list[Scored]:
    """Fit several laws to the same runs and rank them by their error on the largest, which the fit does not see.

    This leave-largest-out error asks what a law is for (Alabdulmohsin et al., 2022; arXiv:2209.06640, section 3).
    The criteria take the residuals as Laplace distributed where the Huber loss is all but absolute, and as normal
    elsewhere.

    Args:
        laws: Of one output.
        hold_out: Share of runs that are left out: those of the largest scale, and all that share the least of them.
        scale: Size of each run; by default its FLOPs, or 6 × parameters × tokens, or the product of the variables.
        columns: The columns of all laws; each takes its own. For a law of `x`, give `x`.
        **options: Of `fit`.

    Returns:
        A row per law, the best extrapolation first.

    Raises:
        UsageError: Laws of several outputs, a share out of range, or a column is missing.
        DataError: Too few runs are left to fit.
    """
    kinds = [find_law(law) if isinstance(law, str) else law for law in laws]
    if len({kind.output for kind in kinds}) != 1:
        raise UsageError("Only laws of one output can be compared; choose one law or more, all of the loss, say.")
    if not 0 < hold_out < 1:
        raise UsageError(f"The share of runs left out is between 0 and 1, not {hold_out}; 0.2 is usual.")
    names = [[variable.name for variable in (*kind.variables, kind.output)] for kind in kinds]
    for kind, wanted in zip(kinds, names, strict=True):
        missing = [name for name in wanted if name not in columns]
        if missing:
            raise UsageError(f"The law {kind.name} needs the column {missing[0]}, which is not among those given.")
    own = [{name: np.asarray(columns[name], dtype=np.float64) for name in wanted} for wanted in names]
    variables, observed = arranged(kinds[0], own[0])
    sizes = np.asarray(scale, dtype=np.float64) if scale is not None else _scale(columns, variables)
    if sizes.shape != observed.shape:
        raise UsageError(f"The scale has {sizes.size} values for {len(observed)} runs; give one a run.")
    largest = sizes >= np.sort(sizes)[-max(1, math.ceil(hold_out * len(sizes)))]
    if largest.all():
        raise DataError("All runs have the same scale, so that none is the largest; give another scale.")
    rows = [_scored(kind, own_, largest, options) for kind, own_ in zip(kinds, own, strict=True)]
    return sorted(rows, key=lambda row: row.extrapolation_error)


def select(
    laws: Sequence[str | type[Law]],
    *,
    hold_out: float = 0.2,
    scale: ArrayLike | None = None,
    columns: Mapping[str, ArrayLike],
    **options: Any,
) -> Fit:
    """The law that extrapolates best, fitted to all runs (see `compare`)."""
    return compare(laws, hold_out=hold_out, scale=scale, columns=columns, **options)[0].fitted


def _scale(columns: Mapping[str, ArrayLike], variables: tuple[Floats, ...]) -> Floats:
    if "flops" in columns:
        return np.asarray(columns["flops"], dtype=np.float64)
    if "parameters" in columns and "tokens" in columns:
        return 6 * np.asarray(columns["parameters"], dtype=np.float64) * np.asarray(columns["tokens"], dtype=np.float64)
    product: Floats = np.prod(np.stack(variables), axis=0)
    return product


def _scored(
    kind: type[Law], columns: dict[str, Floats], largest: NDArray[np.bool_], options: Mapping[str, Any]
) -> Scored:
    per_row = {name: np.asarray(options[name]) for name in ("weights", "clusters") if options.get(name) is not None}
    kept: dict[str, Any] = {name: values[~largest] for name, values in {**per_row, **columns}.items()}
    small = fit(kind, **{**options, "bootstrap": 0, **kept})
    inputs = {variable.name: columns[variable.name][largest] for variable in kind.variables}
    missed = np.log(columns[kind.output.name][largest]) - np.log(small.predict(**inputs))
    whole = fit(kind, **{**options, **columns})
    free = len(kind.symbols()) - len(whole.settings["fixed"])
    count = len(whole.residuals)
    delta = whole.settings["delta"]
    absolute = np.abs(whole.residuals)
    if delta is not None and delta < np.median(absolute):
        fit_term, fitted_numbers = 2 * count * math.log(max(float(absolute.mean()), 1e-300)), free + 1
    else:
        fit_term, fitted_numbers = count * math.log(max(float((absolute**2).mean()), 1e-300)), free + 1
    spare = count - fitted_numbers - 1
    correction = 2 * fitted_numbers * (fitted_numbers + 1) / spare if spare > 0 else math.inf
    return Scored(
        kind.name,
        free,
        float(np.sqrt((missed**2).mean())),
        float(np.abs(missed).max()),
        float(np.median(absolute)),
        fit_term + 2 * fitted_numbers + correction,
        fit_term + fitted_numbers * math.log(count),
        int(largest.sum()),
        whole,
    )
