"""The irreducible loss of L(x) = L_∞ + (x_0 / x)^α with its profile-likelihood interval (Henighan et al., 2020).

Three parameters over few decades are ill-conditioned: a symmetric interval around the best fit would be far too short
on one side. The profile asks of every L_∞ how well the rest of the law can still be fitted.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from windtunnel.laboratory.errors import DataError
from windtunnel.scaling.laws.interface import Floats, checked_positive
from windtunnel.scaling.laws.power import PowerLawPlusConstant

DECADES = 1.5
"""Of the reducible loss's variable below which the paper's form is ill-conditioned."""


@dataclass(frozen=True)
class Irreducible:
    """A fitted law and how far its constant can be moved.

    Attributes:
        law: The best fit.
        low: Lower end of the interval of L_∞; 0 if even that is not excluded.
        high: Upper end; below the lowest loss.
        level: Coverage aimed at.
        r_squared: Share of the variance of ln(L − L_∞) that the line in ln x explains.
        warnings: What a reader should know, a sentence each.
    """

    law: PowerLawPlusConstant
    low: float
    high: float
    level: float
    r_squared: float
    warnings: tuple[str, ...] = ()

    @property
    def interval(self) -> tuple[float, float]:
        """The two ends as a pair."""
        return (self.low, self.high)


def irreducible_loss(x: ArrayLike, loss: ArrayLike, *, level: float = 0.9, points: int = 6_000) -> Irreducible:
    """Fit a power law plus constant as the paper does, a line of ln(L − L_∞) over ln x, and profile the constant.

    The interval holds every L_∞ whose best fit is no worse than an F test allows: with n points and three parameters
    the sum of squares may grow to S (1 + F / (n − 3)), F being the quantile of F(1, n − 3).

    Args:
        x: Parameters, FLOPs or tokens, one per run; at least three, and four for an interval.
        loss: Of each run.
        level: Coverage of the interval.
        points: Values of L_∞ tried, from 0 to the lowest loss.

    Raises:
        DataError: Fewer than three runs, values that are not positive, or losses that do not fall.
    """
    from scipy.stats import f as f_distribution

    places, losses = _checked(x, loss)
    constants = float(losses.min()) * (1 - np.geomspace(1, 1e-7, points))
    log_x = np.log(places) - np.log(places).mean()
    log_reducible = np.log(losses - constants[:, None])  # [constant, run]
    slopes = (log_reducible * log_x).sum(1) / (log_x**2).sum()
    centres = log_reducible.mean(1)
    sums = ((log_reducible - centres[:, None] - slopes[:, None] * log_x) ** 2).sum(1)
    best = int(np.argmin(sums))
    centre, alpha = float(constants[best]), float(-slopes[best])
    if alpha <= 0:
        raise DataError("The losses do not fall as x grows, so there is no power law to fit; check the columns.")
    log_scale = np.clip(centres[best] / alpha + np.log(places).mean(), -600, 600)
    law = PowerLawPlusConstant(centre, float(np.exp(log_scale)), alpha)
    freedom = len(losses) - 3
    slack = float(f_distribution.ppf(level, 1, freedom)) / freedom if freedom > 0 else math.inf
    inside = constants[sums <= sums[best] * (1 + slack) + 1e-18]
    low, high = float(inside.min()), float(inside.max())
    spread = ((log_reducible[best] - centres[best]) ** 2).sum()
    r_squared = 1 - float(sums[best] / spread)
    warnings = []
    if places.max() / places.min() < 10**DECADES:
        warnings.append(f"The runs span {math.log10(places.max() / places.min()):.1f} decades, fewer than {DECADES}.")
    if low == 0:
        warnings.append("A power law without a constant is not excluded.")
    return Irreducible(law, low, high, level, r_squared, tuple(warnings))


def _checked(x: ArrayLike, loss: ArrayLike) -> tuple[Floats, Floats]:
    places, losses = checked_positive(x, "x"), checked_positive(loss, "loss")
    if places.shape != losses.shape or places.ndim != 1 or len(places) < 3 or np.ptp(np.log(places)) == 0:
        raise DataError(
            f"A law with a constant needs at least 3 runs at different x, not {places.shape} and {losses.shape}; "
            "give one loss per run."
        )
    return places, losses
