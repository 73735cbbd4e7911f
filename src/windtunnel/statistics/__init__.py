"""Numbers with intervals."""

from typing import TYPE_CHECKING

from windtunnel.statistics.estimates import Estimate

if TYPE_CHECKING:
    from windtunnel.statistics.comparisons import (
        Comparison,
        correlation,
        difference_of_proportions,
        holm,
        mcnemar,
        paired_difference,
    )
    from windtunnel.statistics.intervals import bootstrap, mean, proportion, wilson, worst_case

__all__ = [
    "Comparison",
    "Estimate",
    "bootstrap",
    "correlation",
    "difference_of_proportions",
    "holm",
    "mcnemar",
    "mean",
    "paired_difference",
    "proportion",
    "wilson",
    "worst_case",
]


def __getattr__(name: str) -> object:
    """Import what is used when it is used, so that reading an `Estimate` loads no NumPy."""
    if name in __all__:
        from windtunnel.statistics import comparisons, intervals

        return getattr(intervals, name, None) or getattr(comparisons, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
