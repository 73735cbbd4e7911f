"""The irreducible loss of L(x) = L_∞ + (x_0 / x)^α with an interval from the profile over L_∞ (Henighan et al., 2020).

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

    L_∞ is the constant at which that line is straightest (R² largest; the sums of squares of different constants are
    in different units). The interval holds every constant at which the line is not significantly bent: at which the
    derivative of ln(L − L_∞) by L_∞, beside constant and slope, explains no more than the F test with 1 and n − 3
    degrees of freedom allows. It assumes noise in proportion to the reducible loss; if all losses are as noisy, the
    interval is somewhat short.

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
    line = centres[:, None] + slopes[:, None] * log_x
    gaps = log_reducible - line
    sums = (gaps**2).sum(1)
    curved = 1 - slopes**2 * (log_x**2).sum() / ((log_reducible - centres[:, None]) ** 2).sum(1)  # 1 − R²
    best = int(np.argmin(np.where(slopes < 0, curved, np.inf)))
    centre, alpha = float(constants[best]), float(-slopes[best])
    if alpha <= 0:
        raise DataError("The losses do not fall as x grows, so there is no power law to fit; check the columns.")
    log_scale = np.clip(centres[best] / alpha + np.log(places).mean(), -600, 600)
    law = PowerLawPlusConstant(centre, float(np.exp(log_scale)), alpha)
    freedom = len(losses) - 3
    if freedom > 0:
        bend = np.exp(-line)  # the derivative of ln(L − L_∞) by L_∞ along the line, cleared of constant and slope
        bend -= bend.mean(1, keepdims=True)
        bend -= ((bend * log_x).sum(1) / (log_x**2).sum())[:, None] * log_x
        explained = (bend * gaps).sum(1) ** 2 / (bend**2).sum(1)
        ratio = freedom * explained / np.maximum(sums - explained, 1e-300)
        inside = constants[(ratio <= float(f_distribution.ppf(level, 1, freedom))) & (slopes < 0)]
        low, high = min(float(inside.min(initial=centre)), centre), max(float(inside.max(initial=centre)), centre)
    else:
        low, high = 0.0, float(losses.min())
    r_squared = 1 - float(curved[best])
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
