"""The band of repeats in which a repeated subset does at least half its greatest harm, as a function of model size.

For each size the band is read from the damage measured at several repeats; both of its edges are then fitted by power
laws of the size (Hernandez et al., 2022; arXiv:2205.10487, figure 4).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from windtunnel.laboratory.errors import DataError
from windtunnel.scaling.laws.interface import checked_positive
from windtunnel.scaling.laws.repetition import DamageBand, DamageBoundary

Floats = NDArray[np.float64]

HERNANDEZ = DamageBand(left=DamageBoundary(k=4.2e6, gamma=-0.56), right=DamageBoundary(k=5.1e7, gamma=-0.50))
"""The paper's band, for 100 billion tokens of 1.6 to 800 million parameters."""


@dataclass(frozen=True)
class HalfMaximum:
    """Where damage is at least half its maximum.

    Attributes:
        peak: Repeats of the most damage measured.
        damage: That damage.
        left: Fewest repeats of the band; None if the fewest measured are inside it already.
        right: Most repeats of the band; None if the most measured are inside it still.
    """

    peak: float
    damage: float
    left: float | None
    right: float | None


def half_maximum(repeats: ArrayLike, damage: ArrayLike) -> HalfMaximum:
    """The band around the greatest damage, its edges interpolated in ln(repeats).

    Raises:
        DataError: Fewer than three repeats, repeats that are not increasing, or no damage anywhere.
    """
    r, harm = checked_positive(repeats, "repeats"), np.asarray(damage, dtype=np.float64)
    if len(r) < 3 or harm.shape != r.shape or (np.diff(r) <= 0).any() or not np.isfinite(harm).all():
        raise DataError("A band needs a finite damage at three or more increasing repeats; measure more of them.")
    top = int(harm.argmax())
    if harm[top] <= 0:
        raise DataError("No repeats do damage here, so there is no band; measure more of them, or a larger fraction.")
    inside = harm >= harm[top] / 2
    left = next((place for place in range(top, -1, -1) if not inside[place]), None)
    right = next((place for place in range(top, len(r)) if not inside[place]), None)

    def crossing(outer: int, inner: int) -> float:
        share = (harm[top] / 2 - harm[outer]) / (harm[inner] - harm[outer])
        return float(np.exp(np.log(r[outer]) + share * (np.log(r[inner]) - np.log(r[outer]))))

    return HalfMaximum(
        peak=float(r[top]),
        damage=float(harm[top]),
        left=None if left is None else crossing(left, left + 1),
        right=None if right is None else crossing(right, right - 1),
    )


@dataclass(frozen=True)
class BandFit:
    """A fitted band.

    Attributes:
        band: The two boundaries.
        intervals: Of `left.k`, `left.gamma`, `right.k`, `right.gamma`, over resampled seeds.
        halves: The band of each size, over the mean of its seeds.
        resamples: How many of the resamples had both edges at two sizes or more, and so count.
    """

    band: DamageBand
    intervals: dict[str, tuple[float, float]]
    halves: dict[float, HalfMaximum]
    resamples: int


def fit_band(
    repeats: ArrayLike,
    damage: Mapping[float, ArrayLike],
    *,
    generator: np.random.Generator,
    resamples: int = 500,
    level: float = 0.9,
) -> BandFit:
    """Fit both edges of the band by power laws of the size, by least squares in logarithms.

    Args:
        repeats: [repeats], increasing.
        damage: By size (parameters), the damage [seeds, repeats].
        generator: Draws the seeds of each size anew.
        resamples: How often.
        level: Of the intervals.

    Raises:
        DataError: Fewer than two sizes have that edge inside what was measured, in the means over seeds.
    """
    table = {size: np.atleast_2d(np.asarray(rows, dtype=np.float64)) for size, rows in sorted(damage.items())}
    halves = {size: half_maximum(repeats, rows.mean(axis=0)) for size, rows in table.items()}
    band = _band(halves)
    if band is None:
        raise DataError("Two or more sizes must have both edges of their band measured; measure more repeats or sizes.")
    drawn = []
    for _ in range(resamples):
        again = {}
        for size, rows in table.items():
            chosen = rows[generator.integers(len(rows), size=len(rows))].mean(axis=0)
            if chosen.max() > 0:
                again[size] = half_maximum(repeats, chosen)
        found = _band(again)
        if found is not None:
            drawn.append(_numbers(found))
    tails = ((1 - level) / 2, (1 + level) / 2)
    names = ("left.k", "left.gamma", "right.k", "right.gamma")
    ends = np.quantile(np.array(drawn or [_numbers(band)]), tails, axis=0).T
    return BandFit(
        band, {name: (float(a), float(b)) for name, (a, b) in zip(names, ends, strict=True)}, halves, len(drawn)
    )


def _band(halves: Mapping[float, HalfMaximum]) -> DamageBand | None:
    edges = []
    for side in ("left", "right"):
        known = [(size, getattr(half, side)) for size, half in halves.items() if getattr(half, side) is not None]
        if len(known) < 2:
            return None
        sizes, places = np.log(np.array(known)).T
        gamma, intercept = np.polyfit(sizes, places, 1)
        edges.append(DamageBoundary(k=float(np.exp(intercept)), gamma=float(gamma)))
    return DamageBand(*edges)


def _numbers(band: DamageBand) -> list[float]:
    return [band.left.k, band.left.gamma, band.right.k, band.right.gamma]
