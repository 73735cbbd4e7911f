"""Numbers with intervals."""

from typing import TYPE_CHECKING

from windtunnel.statistics.estimates import Estimate

if TYPE_CHECKING:
    from windtunnel.statistics.calibration import (
        brier,
        brier_parts,
        calibration_error,
        calibration_floor,
        reliability,
    )
    from windtunnel.statistics.comparisons import (
        Comparison,
        correlation,
        difference_of_proportions,
        holm,
        mcnemar,
        paired_difference,
    )
    from windtunnel.statistics.intervals import bootstrap, mean, proportion, wilson, worst_case
    from windtunnel.statistics.selection import (
        area_under_risk,
        auroc,
        normalised_accuracy,
        risk_coverage,
        selective_accuracy,
    )
    from windtunnel.statistics.temperature import fit_temperature, softened

__all__ = [
    "Comparison",
    "Estimate",
    "area_under_risk",
    "auroc",
    "bootstrap",
    "brier",
    "brier_parts",
    "calibration_error",
    "calibration_floor",
    "correlation",
    "difference_of_proportions",
    "fit_temperature",
    "holm",
    "mcnemar",
    "mean",
    "normalised_accuracy",
    "paired_difference",
    "proportion",
    "reliability",
    "risk_coverage",
    "selective_accuracy",
    "softened",
    "wilson",
    "worst_case",
]


def __getattr__(name: str) -> object:
    """Import what is used when it is used, so that reading an `Estimate` loads no NumPy."""
    if name in __all__:
        from windtunnel.statistics import calibration, comparisons, intervals, selection, temperature

        modules = (intervals, comparisons, calibration, selection, temperature)
        return next(getattr(module, name) for module in modules if hasattr(module, name))
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
