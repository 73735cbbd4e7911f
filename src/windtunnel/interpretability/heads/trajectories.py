"""Models over training: principal components of per-token losses, and the window of the phase change."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from windtunnel.laboratory.errors import UsageError
from windtunnel.statistics.estimates import Estimate


@dataclass(frozen=True)
class LossTrajectories:
    """Snapshots in the plane of the two main directions in which per-token losses differ.

    Attributes:
        coordinates: One [snapshots, 2] array per model.
        explained: Share of the variance on each of the two components.
    """

    coordinates: list[NDArray[np.float64]]
    explained: tuple[float, float]


def loss_trajectories(losses: Sequence[ArrayLike]) -> LossTrajectories:
    """Joint principal components of the per-token losses of all snapshots of all models.

    Args:
        losses: Per model [snapshots, tokens], the same tokens for all (the paper: one token each of 10,000 examples).

    Raises:
        UsageError: The models were measured on different numbers of tokens, or all losses are equal.
    """
    tables = [np.asarray(table, dtype=np.float64) for table in losses]
    if len({table.shape[1] for table in tables}) != 1:
        raise UsageError("The models' losses are of different numbers of tokens; measure all on the same tokens.")
    stacked = np.concatenate(tables)
    centred = stacked - stacked.mean(axis=0)
    left, singular, _ = np.linalg.svd(centred, full_matrices=False)
    variance = singular**2
    if variance.sum() == 0:
        raise UsageError("All snapshots have the same losses, so there is no direction of change.")
    share = variance / variance.sum()
    points = np.zeros((len(stacked), 2))
    points[:, : min(2, len(singular))] = (left * singular)[:, :2]
    second = float(share[1]) if len(share) > 1 else 0.0
    ends = np.cumsum([len(table) for table in tables])[:-1]
    return LossTrajectories(np.split(points, ends), (float(share[0]), second))


def turning_angles(points: ArrayLike) -> NDArray[np.float64]:
    """Angle in radians by which a trajectory turns at each snapshot; 0 at the two ends and where it stands still."""
    steps = np.diff(np.asarray(points, dtype=np.float64), axis=0)
    lengths = np.linalg.norm(steps, axis=1)
    products = lengths[:-1] * lengths[1:]
    cosines = np.divide((steps[:-1] * steps[1:]).sum(axis=1), products, out=np.ones_like(products), where=products > 0)
    return np.concatenate(([0.0], np.arccos(np.clip(cosines, -1, 1)), [0.0]))


def pivot(points: ArrayLike, reach: int) -> int:
    """The snapshot where a trajectory turns most, between the `reach` snapshots before it and the `reach` after.

    Each side is summed up by the chord to the snapshot `reach` before or after (fewer at the ends), so that the noise
    of single steps does not decide; weighted by the shorter chord, so that jitter around a standstill is no turn.
    """
    path = np.asarray(points, dtype=np.float64)
    turns = np.zeros(len(path))
    for index in range(1, len(path) - 1):
        before = path[index] - path[max(index - reach, 0)]
        after = path[min(index + reach, len(path) - 1)] - path[index]
        shorter = min(np.linalg.norm(before), np.linalg.norm(after))
        product = np.linalg.norm(before) * np.linalg.norm(after)
        if product > 0:
            turns[index] = shorter * np.arccos(np.clip(before @ after / product, -1, 1))
    return int(turns.argmax())


@dataclass(frozen=True)
class PhaseWindow:
    """The steps between which a curve changes fast.

    Attributes:
        start: First step of the window.
        end: Last step.
        share: Share of the curve's whole change, from its first to its last point, that falls inside.
    """

    start: float
    end: float
    share: float


def phase_window(steps: ArrayLike, values: ArrayLike, *, least_change: float, smoothing: int = 3) -> PhaseWindow | None:
    """The phase change of a falling curve such as the in-context-learning score, from its derivative (Olsson et al.).

    The window is the run of steps around the steepest fall in which the smoothed curve falls at a fifth of that rate or
    faster.

    Args:
        steps: Increasing steps of the snapshots.
        values: The curve; negate a rising one.
        least_change: There is no phase change unless the curve falls by this much from its highest point before the
            steepest fall to its lowest after.
        smoothing: Snapshots in the moving average (odd) taken before differentiating.

    Returns:
        The window, or None where there is no phase change.

    Raises:
        UsageError: Fewer than four snapshots.
    """
    grid, curve = np.asarray(steps, dtype=np.float64), np.asarray(values, dtype=np.float64)
    if len(grid) < 4:
        raise UsageError(f"A phase window needs at least four snapshots, not {len(grid)}; keep more of them.")
    smooth = moving_average(curve, smoothing)
    fall = -np.diff(smooth) / np.diff(grid)
    steepest = int(fall.argmax())
    if curve[: steepest + 1].max() - curve[steepest + 1 :].min() < least_change:
        return None
    fast = fall >= fall[steepest] / 5
    first = steepest
    while first > 0 and fast[first - 1]:
        first -= 1
    last = steepest
    while last < len(fall) - 1 and fast[last + 1]:
        last += 1
    whole = curve[0] - curve[-1]
    share = float((curve[first] - curve[last + 1]) / whole) if whole > 0 else float("nan")
    return PhaseWindow(float(grid[first]), float(grid[last + 1]), share)


def moving_average(curve: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    """Centred moving average; at the ends over what there is."""
    kernel = np.ones(width)
    return np.asarray(np.convolve(curve, kernel, "same") / np.convolve(np.ones_like(curve), kernel, "same"))


def phase_window_interval(
    steps: ArrayLike,
    curves: ArrayLike,
    *,
    least_change: float,
    generator: np.random.Generator,
    resamples: int = 500,
    level: float = 0.95,
) -> tuple[Estimate, Estimate] | None:
    """Start and end of the phase window with bootstrap intervals over the evaluation sequences.

    Args:
        steps: Steps of the snapshots.
        curves: [snapshots, sequences], a falling curve of every sequence; their mean is the curve.
        least_change: As for `phase_window`.
        generator: Draws the resamples.
        resamples: How many.
        level: Coverage of the intervals.

    Returns:
        The two estimates, or None where the mean curve shows no phase change. Resamples without one are left out.
    """
    table = np.asarray(curves, dtype=np.float64)
    window = phase_window(steps, table.mean(axis=1), least_change=least_change)
    if window is None:
        return None
    drawn = []
    for _ in range(resamples):
        chosen = generator.integers(table.shape[1], size=table.shape[1])
        again = phase_window(steps, table[:, chosen].mean(axis=1), least_change=least_change)
        if again is not None:
            drawn.append((again.start, again.end))
    tails = (1 - level) / 2
    low, high = np.quantile(np.array(drawn or [(window.start, window.end)]), (tails, 1 - tails), axis=0)
    starts = Estimate(window.start, min(float(low[0]), window.start), max(float(high[0]), window.start), level)
    ends = Estimate(window.end, min(float(low[1]), window.end), max(float(high[1]), window.end), level)
    return starts, ends


def onset(steps: ArrayLike, values: ArrayLike, threshold: float) -> float | None:
    """The step at which a rising curve first reaches a threshold, interpolated between snapshots; None if never."""
    grid, curve = np.asarray(steps, dtype=np.float64), np.asarray(values, dtype=np.float64)
    reached = np.flatnonzero(curve >= threshold)
    if reached.size == 0:
        return None
    index = int(reached[0])
    if index == 0:
        return float(grid[0])
    before, after = curve[index - 1], curve[index]
    return float(grid[index - 1] + (grid[index] - grid[index - 1]) * (threshold - before) / (after - before))
