"""One loss as a function of another: other data, other domains (Henighan et al., 2020, Fig. 32; Brandfonbrener et al.).

Models of different sizes that reach the same loss on what they were trained on reach the same loss elsewhere, too: the
other loss is a shifted power law of the first (Brandfonbrener et al., 2024; arXiv:2411.12925, equation 1).
"""

# ruff: noqa: RUF009  (parameters are fields, named as the paper's symbols)

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from windtunnel.scaling.laws.interface import Floats, Law, Variable, parameter


@dataclass(frozen=True)
class LossToLoss(Law):
    """L_i = K (L_k − E_k)^κ + E_i."""

    K: Any = parameter("unit of the loss", "other reducible loss where the first is 1")
    kappa: Any = parameter("1", "exponent")
    E_k: Any = parameter("unit of the loss", "irreducible first loss")
    E_i: Any = parameter("unit of the loss", "irreducible other loss")

    name: ClassVar[str] = "loss-to-loss"
    variables: ClassVar[tuple[Variable, ...]] = (Variable("first", "nats per token"),)

    def formula(self, first: Any) -> Any:
        """Equation 1 of Brandfonbrener et al.; nan below E_k, where it says nothing."""
        above = np.where(np.real(first - self.E_k) > 0, first - self.E_k, np.nan)
        return self.K * above**self.kappa + self.E_i

    @classmethod
    def starts(cls, variables: tuple[Floats, ...], observed: Floats) -> Floats:
        """K and E_i by linear least squares, on a grid of E_k and κ."""
        (first,) = variables
        found = []
        for share in (0.2, 0.6, 0.9, 0.98):
            for kappa in (0.5, 1.0, 1.5):
                constant = share * first.min()
                basis = np.stack([(first - constant) ** kappa, np.ones_like(first)], axis=1)
                scale, limit = np.linalg.lstsq(basis, observed, rcond=None)[0]
                found.append([max(scale, 1e-6), kappa, constant, np.clip(limit, 1e-6, observed.min() * 0.999)])
        return np.array(found)
