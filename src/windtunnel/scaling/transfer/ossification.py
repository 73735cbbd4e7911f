"""Ossification: pre-training that harms, D_T < 0 beyond chance (Hernandez et al., figures 5 and 6)."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from windtunnel.scaling.transfer.surface import Curve, Runs
from windtunnel.statistics.estimates import Estimate
from windtunnel.statistics.intervals import mean


@dataclass(frozen=True)
class Ossification:
    """One cell (N, D_F), held against runs from scratch on the same data.

    Attributes:
        parameters: N.
        data: D_F.
        gap: Loss of the fine-tuned minus that of the models from scratch, nats per token.
        transferred: D_T with its interval, unbounded where the loss may be below all of the curve from scratch; where
            it is, the value is the lower bound.
        ossified: Whether D_T is below 0 with all of its interval.
    """

    parameters: float
    data: float
    gap: Estimate
    transferred: Estimate
    ossified: bool


def ossification(
    curves: Mapping[float, Curve], scratch: Runs, finetuned: Runs, *, level: float = 0.95
) -> list[Ossification]:
    """Test every cell that was trained both ways.

    The gap in loss is taken by seed, since runs of one seed share their data, with Student's interval; with one seed,
    from the noise between seeds of the curve. The curve from scratch then turns losses into data.

    Args:
        curves: The curve of each size.
        scratch: Runs from scratch.
        finetuned: Runs from one pre-training.
        level: Coverage of the intervals.
    """
    from scipy.stats import norm

    found = []
    for size, data in np.unique(np.stack([finetuned.parameters, finetuned.data]), axis=1).T:
        theirs = _by_seed(finetuned, size, data)
        ours = _by_seed(scratch, size, data)
        shared = sorted(theirs.keys() & ours.keys())
        if not shared or float(size) not in curves:
            continue
        curve = curves[float(size)]
        gaps = np.array([theirs[seed] - ours[seed] for seed in shared])
        gap = mean(gaps, level=level)
        if len(gaps) == 1:
            half = float(norm.ppf(0.5 + level / 2)) * curve.noise * 2**0.5 if np.isfinite(curve.noise) else np.inf
            gap = Estimate(gap.value, gap.value - half, gap.value + half, level)
        base = float(curve.loss_at(data))
        low, value, high = (_bounds(curve, base + each, data) for each in (gap.high, gap.value, gap.low))
        transferred = Estimate(value[0], min(low[0], value[0]), max(high[1], value[1]), level)
        found.append(Ossification(float(size), float(data), gap, transferred, gap.low > 0 and transferred.high < 0))
    return found


def _by_seed(runs: Runs, size: float, data: float) -> dict[float, float]:
    mine = (runs.parameters == size) & (runs.data == data)
    return {float(seed): float(runs.loss[mine & (runs.seed == seed)].mean()) for seed in np.unique(runs.seed[mine])}


def _bounds(curve: Curve, loss: float, data: float) -> tuple[float, float]:
    """Lower and upper bound of D_T at this loss; an unbounded loss says nothing of it."""
    if not np.isfinite(loss):
        return (-data, -data) if loss > 0 else (np.inf, np.inf)
    low, high = curve.data_for(loss)
    return float(low[0] - data), float(high[0] - data)
