"""How much one part of a row tells about another, measured by a model's losses (Henighan et al., 2020).

I(x; y) = E[L(y | blank)] − E[L(y | x)] with losses summed over the tokens of y, and InfoGain = I / L(y | blank). A
model that has never seen a blank takes it for a strange x, so that its loss there is too high: it is first fine-tuned
on rows of which half are blank. Without that the information comes out too large (the paper: about twice).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from windtunnel.laboratory.errors import UsageError
from windtunnel.statistics.estimates import Estimate
from windtunnel.statistics.intervals import mean
from windtunnel.training.objectives import token_losses

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Information:
    """What x tells about y.

    Attributes:
        nats: Mutual information per pair, with its interval over pairs.
        gain: InfoGain: its share of what y costs without x.
        ratio: Of the estimate to the exact information, with its interval; None where the truth is not known.
    """

    nats: Estimate
    gain: float
    ratio: Estimate | None = None


def information(
    told: ArrayLike,
    blank: ArrayLike,
    *,
    pointwise: ArrayLike | None = None,
    exact: float | None = None,
    level: float = 0.95,
) -> Information:
    """Mutual information from the losses of y with x told and with x blank.

    Args:
        told: Summed loss of y of each pair, x being given, in nats.
        blank: The same, x being blank.
        pointwise: Exact pointwise information of each pair. The estimate then is the exact mean plus the mean of what
            the model's differ by pair by pair, which varies far less than either.
        exact: Exact mutual information; needed with `pointwise`.
        level: Coverage of the intervals.

    Raises:
        UsageError: The arrays are not one-to-one, or only one of `pointwise` and `exact` is given.
        DataError: A loss is not finite.
    """
    one, other = np.asarray(told, dtype=np.float64), np.asarray(blank, dtype=np.float64)
    if one.shape != other.shape or one.ndim != 1:
        raise UsageError(f"Losses told and blank must be one-to-one, not {one.shape} and {other.shape}.")
    if (pointwise is None) != (exact is None):
        raise UsageError("Give the pointwise information of each pair together with its exact mean, or neither.")
    found = mean(other - one, level=level)
    if pointwise is None or exact is None:
        return Information(found, found.value / float(other.mean()))
    error = mean(other - one - np.asarray(pointwise, dtype=np.float64), level=level)
    nats = Estimate(exact + error.value, exact + error.low, exact + error.high, level)
    ratio = Estimate(nats.value / exact, nats.low / exact, nats.high / exact, level) if exact > 0 else None
    return Information(nats, nats.value / float(other.mean()), ratio)


@torch.no_grad()
def part_losses(
    model: nn.Module, rows: Int[Tensor, "row token"], part: slice, batch_size: int = 128
) -> Float[Tensor, " row"]:
    """The loss of some columns of each row, summed, in nats.

    Args:
        model: From tokens to logits.
        rows: Tokens, the first of which is never asked for.
        part: Columns asked for; not the first.
        batch_size: Rows at once.
    """
    model.eval()
    columns = slice(part.start - 1, part.stop - 1)
    pieces = [
        token_losses(model(piece[:, :-1])[:, columns], piece[:, 1:][:, columns]).double().sum(1)
        for piece in torch.split(rows, batch_size)
    ]
    return torch.cat(pieces)


def measured_information(
    model: nn.Module,
    rows: Int[Tensor, "row token"],
    asked: slice,
    blanked: Callable[[Tensor], Tensor],
    *,
    pointwise: ArrayLike | None = None,
    exact: float | None = None,
) -> Information:
    """What the given part of the rows tells a model about the part asked for.

    Args:
        model: Fine-tuned on rows of which about half are blank.
        rows: Held-out pairs.
        asked: Columns of y.
        blanked: From rows to the same rows with a blank x.
        pointwise: As in `information`.
        exact: As in `information`.
    """
    told, blank = part_losses(model, rows, asked), part_losses(model, blanked(rows), asked)
    return information(told.cpu().numpy(), blank.cpu().numpy(), pointwise=pointwise, exact=exact)


@dataclass(frozen=True)
class GainLaw:
    """InfoGain = λ ln(N / N_c), as the paper finds over its sizes (Section 4).

    Attributes:
        slope: λ, per e-fold of parameters.
        threshold: N_c, below which nothing is told; nan where gains do not grow.
        r_squared: Share of the variance of the gains that it explains.
    """

    slope: float
    threshold: float
    r_squared: float

    def parameters_for(self, gain: float) -> float:
        """The size at which the law reaches a gain."""
        return float(self.threshold * np.exp(gain / self.slope))


def gain_law(parameters: ArrayLike, gains: ArrayLike) -> GainLaw:
    """Fit it by least squares.

    Raises:
        UsageError: Fewer than three sizes.
    """
    x, y = np.log(np.asarray(parameters, dtype=np.float64)), np.asarray(gains, dtype=np.float64)
    if x.shape != y.shape or len(np.unique(x)) < 3:
        raise UsageError(f"A law of gains needs one gain for each of three sizes or more, not {x.shape} and {y.shape}.")
    slope, intercept = (float(value) for value in np.polyfit(x, y, 1))
    left = y - intercept - slope * x
    explained = 1 - float((left**2).sum() / ((y - y.mean()) ** 2).sum()) if np.ptp(y) > 0 else 0.0
    return GainLaw(slope, float(np.exp(-intercept / slope)) if slope > 0 else float("nan"), explained)


def text_loss(position: ArrayLike, limit: float, first: float, exponent: float) -> Floats:
    """L(t) = L(N) + (L_U − L(N)) / t^p: how the loss of a text model falls along its context (Appendix E).

    Args:
        position: t, counted from 1.
        limit: L(N), nats per token.
        first: L_U, the loss of the first token.
        exponent: p.
    """
    return limit + (first - limit) * np.asarray(position, dtype=np.float64) ** -exponent


def harmonic(count: int, exponent: float) -> float:
    """H_T^(p), the sum of t^−p for t from 1 to T."""
    return float((np.arange(1, count + 1, dtype=np.float64) ** -exponent).sum())


def context_information(length: int, limit: float, first: float, exponent: float) -> float:
    """What T tokens tell about the next T: (2 H_T^(p) − H_2T^(p)) (L_U − L(N)) nats (Appendix E).

    It is the loss of a second half read alone minus its loss read after the first half, both by `text_loss`.

    Args:
        length: T.
        limit: L(N), nats per token.
        first: L_U.
        exponent: p.
    """
    return (2 * harmonic(length, exponent) - harmonic(2 * length, exponent)) * (first - limit)


def context_gain(length: int, limit: float, first: float, exponent: float) -> float:
    """InfoGain of that: its share of what T tokens cost read alone (Appendix E, equation E.5)."""
    alone = length * limit + harmonic(length, exponent) * (first - limit)
    return context_information(length, limit, first, exponent) / alone
