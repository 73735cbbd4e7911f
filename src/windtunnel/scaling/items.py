"""Laws of single items: how the loss of each test image falls with size, and that of each percentile of them.

Henighan et al. (2020), Figs. 10, 17 and 20: percentiles of the losses of 1,000 images all follow a power law plus a
constant, and images differ in how much larger models gain on them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from windtunnel.laboratory.errors import UsageError
from windtunnel.scaling.irreducible import Irreducible, irreducible_loss

Losses = Float[NDArray[np.float64], "size item"]

PERCENTILES = (1, 5, 20, 50, 80, 95, 99)
"""Those of Fig. 20."""


@dataclass(frozen=True)
class Improvement:
    """What a larger model gains on each item over a smaller one.

    Attributes:
        ratio: Loss of the larger over that of the smaller [item].
        difference: Smaller minus larger, nats [item].
    """

    ratio: NDArray[np.float64]
    difference: NDArray[np.float64]

    def order(self, by: str = "difference") -> NDArray[np.intp]:
        """Items from the most improved to the least, by `difference` or `ratio`.

        Raises:
            UsageError: Another order.
        """
        if by not in ("difference", "ratio"):
            raise UsageError(f"Items are ordered by difference or ratio, not {by!r}.")
        return np.argsort(-self.difference if by == "difference" else self.ratio, kind="stable")


def percentile_curves(losses: Losses, percentiles: Sequence[float] = PERCENTILES) -> NDArray[np.float64]:
    """Percentiles over items of the losses of each size [percentile, size]."""
    return np.percentile(losses, percentiles, axis=1)


def percentile_laws(
    sizes: Sequence[float], losses: Losses, percentiles: Sequence[float] = PERCENTILES
) -> list[Irreducible]:
    """A power law plus constant of each percentile over sizes; at least four sizes.

    Raises:
        UsageError: There is not one row of losses per size.
    """
    if len(sizes) != len(losses):
        raise UsageError(f"{len(losses)} rows of losses were given for {len(sizes)} sizes; give one row a size.")
    return [irreducible_loss(sizes, curve) for curve in percentile_curves(losses, percentiles)]


def improvement(losses: Losses) -> Improvement:
    """What the last row's model gains over the first's."""
    return Improvement(losses[-1] / losses[0], losses[0] - losses[-1])
