"""Aspect ratio: which width / layers is best at one number of parameters (Henighan et al., 2020, Fig. 4)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from windtunnel.laboratory.errors import DataError, UsageError


@dataclass(frozen=True)
class Proportion:
    """Layers and width.

    Attributes:
        layers: Blocks.
        width: Of the residual stream.
    """

    layers: int
    width: int

    @property
    def ratio(self) -> float:
        """Width / layers."""
        return self.width / self.layers


def proportions(
    parameters: float, ratios: Sequence[float], *, per_layer: float = 3.0, multiple: int = 8
) -> list[Proportion]:
    """Shapes of about the same size, one for each aspect ratio: `per_layer` · layers · width² parameters.

    Args:
        parameters: Non-embedding parameters wanted.
        ratios: Width / layers wanted.
        per_layer: Parameters of a layer over width²: 3 in the paper's shape, 12 in the usual one.
        multiple: The width is a multiple of it.

    Raises:
        UsageError: A shape would have no layer.
    """
    found = []
    for ratio in ratios:
        width = (parameters * ratio / per_layer) ** (1 / 3)
        layers = max(1, round(width / ratio))
        rounded = multiple * max(1, round((parameters / per_layer / layers) ** 0.5 / multiple))
        found.append(Proportion(layers, rounded))
    if len(set(found)) < len(found):
        raise UsageError(
            f"Two of the ratios {list(ratios)} give the same shape at {parameters:g} parameters; drop one."
        )
    return found


def best_ratio(ratios: ArrayLike, losses: ArrayLike) -> float:
    """The aspect ratio at the bottom of the parabola through the loss over ln ratio; an end if it has no bottom inside.

    Raises:
        DataError: Fewer than three ratios.
    """
    x, y = np.log(np.asarray(ratios, dtype=np.float64)), np.asarray(losses, dtype=np.float64)
    if len(x) < 3:
        raise DataError(f"An optimal aspect ratio needs at least three, not {len(x)}; train more shapes.")
    curvature, slope, _ = np.polyfit(x, y, 2)
    if curvature <= 0:
        return float(np.exp(x[np.argmin(y)]))
    return float(np.exp(np.clip(-slope / (2 * curvature), x.min(), x.max())))
