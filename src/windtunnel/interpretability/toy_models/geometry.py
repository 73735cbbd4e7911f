"""The geometry of features in superposition: how much of a dimension each has, and which polytopes they form.

W has one row per feature (the authors' code); the paper writes features as columns.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

Matrix = Float[NDArray[np.float64], "feature hidden"]

SMALLEST_NORM = 1e-6
"""Norms are not taken below this, so that a feature that was not learned has dimensionality 0 and not 0/0."""

FRACTIONS = {
    "tetrahedron": 3 / 4,
    "triangle": 2 / 3,
    "digon": 1 / 2,
    "pentagon": 2 / 5,
    "square antiprism": 3 / 8,
}
"""Dimensions per feature of the polytopes named in the paper ("The Geometry of Superposition")."""


def norms(weights: Matrix) -> Float[NDArray[np.float64], " feature"]:
    """‖W_i‖: about 1 for a represented feature, about 0 for one that is not."""
    sizes: NDArray[np.float64] = np.linalg.norm(weights, axis=-1)
    return sizes


def directions(weights: Matrix) -> Matrix:
    """Ŵ_i: each feature's unit vector."""
    unit: NDArray[np.float64] = weights / np.maximum(norms(weights), SMALLEST_NORM)[..., None]
    return unit


def superposition(weights: Matrix) -> Float[NDArray[np.float64], " feature"]:
    """Σ_{j≠i} (Ŵ_i · W_j)²: how much other features lie in a feature's direction."""
    overlap = (directions(weights) @ np.swapaxes(weights, -1, -2)) ** 2
    others: NDArray[np.float64] = overlap.sum(-1) - np.diagonal(overlap, axis1=-2, axis2=-1)
    return others


def dimensions_per_feature(weights: Matrix) -> float:
    """D* = m / ‖W‖²_F: hidden dimensions per feature of unit norm."""
    return float(weights.shape[-1] / (weights**2).sum())


def dimensionality(weights: Matrix) -> Float[NDArray[np.float64], " feature"]:
    """D_i = ‖W_i‖² / Σ_j (Ŵ_i · W_j)²: the share of a dimension that each feature has; at most 1."""
    overlap = (directions(weights) @ np.swapaxes(weights, -1, -2)) ** 2
    share: NDArray[np.float64] = norms(weights) ** 2 / np.maximum(overlap.sum(-1), SMALLEST_NORM**2)
    return share


def angles(weights: Matrix, smallest: float = 0.3) -> Float[NDArray[np.float64], " gap"]:
    """Gaps in degrees between neighbouring features of a two-dimensional model, going round; they sum to 360.

    Args:
        weights: [feature, 2].
        smallest: Features with a norm below it are not represented and left out.
    """
    kept = weights[norms(weights) > smallest]
    turned = np.sort(np.degrees(np.arctan2(kept[:, 1], kept[:, 0])))
    return np.diff(np.append(turned, turned[:1] + 360.0))


def polygon(corners: int) -> Matrix:
    """A regular polygon in the plane; a digon (2) is an antipodal pair in one dimension. D_i = 2/k (digon: 1/2)."""
    if corners == 2:
        return np.array([[1.0], [-1.0]])
    turn = 2 * np.pi * np.arange(corners) / corners
    return np.stack([np.cos(turn), np.sin(turn)], axis=1)


def simplex(corners: int) -> Matrix:
    """A regular simplex of k + 1 corners in k dimensions: D_i = k / (k + 1)."""
    centred = np.eye(corners) - 1 / corners
    basis = np.linalg.svd(centred)[2][: corners - 1]
    made = centred @ basis.T
    corners_at: NDArray[np.float64] = made / norms(made)[:, None]
    return corners_at


def square_antiprism() -> Matrix:
    """Eight corners on the unit sphere, two squares turned by 45°; at height 1/√3 a tight frame: D_i = 3/8."""
    turn = 2 * np.pi * np.arange(4) / 4
    height, radius = 1 / np.sqrt(3), np.sqrt(2 / 3)
    squares = [
        np.stack([radius * np.cos(turn + shift), radius * np.sin(turn + shift), np.full(4, sign * height)], axis=1)
        for sign, shift in ((1.0, 0.0), (-1.0, np.pi / 4))
    ]
    return np.concatenate(squares)


def tegum(*parts: Matrix) -> Matrix:
    """The tegum product: polytopes in orthogonal subspaces, side by side; each keeps its dimensionalities."""
    width = sum(part.shape[1] for part in parts)
    rows, offset = [], 0
    for part in parts:
        rows.append(np.pad(part, ((0, 0), (offset, width - offset - part.shape[1]))))
        offset += part.shape[1]
    return np.concatenate(rows)


@dataclass(frozen=True)
class Line:
    """Whether features gather at one dimensionality.

    Attributes:
        fraction: The dimensionality.
        count: Features within the tolerance of it.
        flanks: Features in equally wide windows to either side.
    """

    fraction: float
    count: int
    flanks: tuple[int, int]

    @property
    def present(self) -> bool:
        """At least ten features, and at least twice as many as in either flank."""
        return self.count >= 10 and self.count >= 2 * max(self.flanks)


def line_test(values: Float[NDArray[np.float64], " feature"], fraction: float, width: float = 0.005) -> Line:
    """Count features within ± width of a dimensionality, and in windows of the same size 2.5 widths to either side.

    The share of all features at the named fractions is no test: most lie between them in the authors' run too.
    """

    def within(centre: float) -> int:
        return int((np.abs(values - centre) <= width).sum())

    return Line(fraction, within(fraction), (within(fraction - 2.5 * width), within(fraction + 2.5 * width)))


def clusters(weights: Matrix, smallest: float = 0.3, overlap: float = 0.1) -> list[list[int]]:
    """Groups of features connected by overlaps |Ŵ_i · Ŵ_j| above a threshold; represented features only."""
    from scipy.sparse.csgraph import connected_components

    kept = np.flatnonzero(norms(weights) > smallest)
    unit = directions(weights)[kept]
    _, label = connected_components(np.abs(unit @ unit.T) > overlap, directed=False)
    groups = [kept[label == index].tolist() for index in range(label.max() + 1)] if len(kept) else []
    return sorted(groups, key=lambda group: (-len(group), group))


def name_polytope(weights: Matrix, group: Sequence[int], tolerance: float = 0.05) -> str:
    """The polytope that a group of features forms, by its number of corners, dimension and dimensionalities."""
    part = weights[list(group)]
    unit = directions(part)
    singular = np.linalg.svd(unit, compute_uv=False)
    rank = int((singular > 0.25 * singular[0]).sum())
    mean = float(dimensionality(part).mean())
    known = {
        (1, 1): ("dedicated dimension", 1.0),
        (2, 1): ("digon", 1 / 2),
        (3, 2): ("triangle", 2 / 3),
        (4, 3): ("tetrahedron", 3 / 4),
        (5, 2): ("pentagon", 2 / 5),
        (8, 3): ("square antiprism", 3 / 8),
    }
    name, expected = known.get((len(part), rank), (f"{len(part)} features in {rank} dimensions", mean))
    return name if abs(mean - expected) <= tolerance else f"{len(part)} features in {rank} dimensions"
