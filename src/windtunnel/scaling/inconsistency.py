"""The inconsistency of L(C) and L(D) (Henighan et al., 2020, Section 6; Kaplan et al., 2020, Section 6.3).

Compute-optimal training of N_opt(C) parameters reads D = C / 6 N_opt(C) tokens. That D grows so slowly with C that the
loss promised by L(C) would fall below the best loss that so many tokens allow, L(D): one of the laws must bend before.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq

from windtunnel.scaling.laws.power import Growth, PowerLawPlusConstant

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Inconsistency:
    """Two laws that cannot both hold for ever.

    Attributes:
        of_compute: L(C).
        of_tokens: L(D), of models large enough not to matter.
        optimum: N_opt(C) = k C^β.
        unit: FLOPs in the unit of C (8.64e19 for PF-days).
    """

    of_compute: PowerLawPlusConstant
    of_tokens: PowerLawPlusConstant
    optimum: Growth
    unit: float = 1.0

    def tokens(self, compute: ArrayLike) -> Floats:
        """D(C): what compute-optimal training reads."""
        c = np.asarray(compute, dtype=np.float64)
        return c * self.unit / (6 * self.optimum.predict(x=c))

    @property
    def compute_law(self) -> Growth:
        """C(D) = k D^γ, the inverse of D(C): γ = 1 / (1 − β)."""
        return compute_of_tokens(self.optimum, self.unit)

    def gap(self, compute: ArrayLike) -> Floats:
        """L(C) − L(D(C)): negative where compute promises more than the data allow."""
        return self.of_compute.predict(x=compute) - self.of_tokens.predict(x=self.tokens(compute))

    def intersection(self, low: float, high: float) -> float | None:
        """The first compute from `low` to `high` at which L(C) falls below L(D(C)); None if it does not."""
        grid = np.geomspace(low, high, 2_000)
        below = np.flatnonzero(self.gap(grid) < 0)
        if not len(below):
            return None
        if below[0] == 0:
            return low
        ends = np.log(grid[[below[0] - 1, below[0]]])
        return float(np.exp(brentq(lambda log: float(self.gap(np.exp(log))), *ends)))

    def sensitivity(self, low: float, high: float, share: float = 0.05) -> list[float | None]:
        """Where the laws meet if the exponent of L(C) is smaller, as it is, and larger by this share.

        The altered law is turned about `low`, where its loss is kept.
        """
        found = []
        for factor in (1 - share, 1.0, 1 + share):
            law = self.of_compute
            alpha = law.alpha * factor
            scale = low * ((law.x_0 / low) ** law.alpha) ** (1 / alpha)
            altered = PowerLawPlusConstant(law.L_inf, scale, alpha)
            found.append(Inconsistency(altered, self.of_tokens, self.optimum, self.unit).intersection(low, high))
        return found


def compute_of_tokens(optimum: Growth, unit: float = 1.0) -> Growth:
    """C(D) = k D^γ of compute-optimal training, from N_opt(C): D = C · unit / 6 N_opt(C), inverted."""
    gamma = 1 / (1 - optimum.gamma)
    return Growth(float((6 * optimum.k / unit) ** gamma), float(gamma))
