"""Sparse synthetic features (Elhage et al., 2022, "Demonstrating Superposition"): the data that toy models compress.

Each feature is 0 with probability 1 - density and otherwise uniform. A bank of models draws for all its models at
once, each from a generator of its own, so that what a model sees does not depend on its company.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from windtunnel.laboratory.errors import UsageError

Dependence = Literal["independent", "correlated", "anticorrelated"]


class SparseFeatures:
    """Batches of sparse features for a bank of models.

    Args:
        density: Probability that a feature is not zero, by model and feature (the paper's 1 - S); [model, feature].
        dependence: `independent`; `correlated`: features of a set are zero together; `anticorrelated`: when a set is
            active, exactly one of its features is.
        set_size: Features per set, for dependent features; consecutive features form a set.
        signed: Values uniform on [-1, 1] instead of [0, 1] (for absolute values).

    Raises:
        UsageError: A density outside (0, 1], or features that do not divide into sets.
    """

    def __init__(
        self,
        density: Float[Tensor, "model feature"],
        *,
        dependence: Dependence = "independent",
        set_size: int = 1,
        signed: bool = False,
    ) -> None:
        if not bool(((density > 0) & (density <= 1)).all()):
            raise UsageError("The density of a feature must be above 0 and at most 1; 1 makes it dense.")
        if density.shape[1] % set_size:
            raise UsageError(f"{density.shape[1]} features do not divide into sets of {set_size}.")
        self.density = density
        self.models, self.features = density.shape
        self.dependence = dependence
        self.set_size = set_size
        self.signed = signed
        self._inverse = (1 / density)[:, None, :]

    def draw(
        self, samples: int, generators: Sequence[torch.Generator], out: Tensor | None = None
    ) -> Float[Tensor, "model sample feature"]:
        """Draw a batch for every model.

        Args:
            samples: Per model.
            generators: One per model.
            out: A tensor to reuse, or None.
        """
        x = torch.empty(self.models, samples, self.features) if out is None else out
        for row, generator in zip(x, generators, strict=True):
            row.uniform_(generator=generator)
        if self.dependence == "independent":
            # One draw serves twice: u < p happens with probability p, and u / p is then uniform again.
            x.mul_(self._inverse)
            active = x < 1
        else:
            active = self._active(samples, generators)
        if self.signed:
            x.mul_(2).sub_(1)
        return x.mul_(active)

    def _active(self, samples: int, generators: Sequence[torch.Generator]) -> Tensor:
        """Which features of dependent sets are active."""
        sets = self.features // self.set_size
        u = torch.stack([torch.rand(samples, sets, generator=generator) for generator in generators])
        scaled = u * self._inverse[:, :, :: self.set_size]  # below 1 where the set is active, and uniform there
        on = (scaled < 1)[..., None]
        if self.dependence == "anticorrelated":
            chosen = (scaled * self.set_size).long()[..., None]
            on = on & (chosen == torch.arange(self.set_size))
        return on.expand(-1, -1, -1, self.set_size).reshape(self.models, samples, self.features)
