"""The bootstrap of fits: whole runs are drawn with replacement, and all refits are made as one batch."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from windtunnel.laboratory.errors import UsageError
from windtunnel.scaling.laws.interface import Floats
from windtunnel.scaling.optimization import HuberObjective, Minima


def refit(
    objective: HuberObjective,
    best: Floats,
    member: NDArray[np.intp],
    weights: Floats,
    count: int,
    seed: int,
    search: Callable[[HuberObjective, Floats], Minima],
) -> Minima:
    """Refits to resampled runs.

    Args:
        objective: Of all rows.
        best: Free coordinates of the fit to all rows [parameters], where each refit begins.
        member: The run of each row, from 0.
        weights: Of each row.
        count: How many refits.
        seed: Of the resampling.
        search: Minimises an objective from starts [count, parameters].

    Raises:
        UsageError: There are fewer than two runs.
    """
    runs = int(member.max()) + 1
    if runs < 2:
        raise UsageError(f"A bootstrap resamples at least 2 runs, not {runs}; give the run of each row as clusters.")
    generator = np.random.default_rng(seed)
    drawn = generator.multinomial(runs, np.full(runs, 1 / runs), size=count)[:, member] * weights
    return search(objective.reweighted(drawn), np.repeat(best[None], count, axis=0))


def student(runs: int, parameters: int, level: float) -> float:
    """How much wider than the replicates' spread an interval must be for few runs, by Student's quantiles.

    So for fits whose loss is all but absolute, whose replicates of few runs spread enough by themselves: corrected as
    in `widening`, 90 % intervals of planted exponents held 97 % of them.
    """
    from scipy.stats import norm, t

    return float(t.ppf(0.5 + level / 2, max(runs - parameters, 1)) / norm.ppf(0.5 + level / 2))


def widening(runs: int, parameters: int, level: float) -> float:
    """The same where the spread falls short, too: of least squares, of means, and of sizes read off few budgets.

    Resampling n runs of which p are spent on parameters shrinks the spread by about √((n − p) / n) (Hesterberg, 2015,
    "What teachers should know about the bootstrap").
    """
    return float((runs / max(runs - parameters, 1)) ** 0.5 * student(runs, parameters, level))


def percentile_interval(drawn: Floats, level: float, inflation: float = 1.0) -> tuple[Any, Any]:
    """Percentile interval of replicates [count, ...], at a level raised so that it is `inflation` times as wide."""
    from scipy.stats import norm

    tail = float(norm.sf(norm.ppf(0.5 + level / 2) * inflation))
    low, high = np.nanquantile(drawn, [tail, 1 - tail], axis=0)
    return (float(low), float(high)) if np.ndim(low) == 0 else (low, high)
