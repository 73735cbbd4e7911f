"""The critical batch size, twice: from scans over batches, and from the noise of gradients.

McCandlish et al. (2018; arXiv:1812.06162) and Kaplan et al. (2020; arXiv:2001.08361, section 5.1): reaching a loss with
batches of B tokens takes S steps and E = B S tokens with (S / S_min − 1)(E / E_min − 1) = 1, which is the same as
S = S_min + E_min / B. The critical batch B_crit = E_min / S_min needs twice the least of both.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from windtunnel.laboratory.errors import DataError, UsageError
from windtunnel.scaling.laws.interface import Floats, checked_positive
from windtunnel.statistics.estimates import Estimate
from windtunnel.statistics.intervals import checked


@dataclass(frozen=True)
class Tradeoff:
    """Steps against tokens for reaching one loss.

    Attributes:
        minimum_steps: S_min, with huge batches.
        minimum_tokens: E_min, with tiny batches.
        critical_batch: B_crit = E_min / S_min, tokens.
        residuals: ln(observed steps) − ln(fitted) of each batch.
    """

    minimum_steps: Estimate
    minimum_tokens: Estimate
    critical_batch: Estimate
    residuals: Floats

    def steps(self, batch: ArrayLike) -> Floats:
        """Steps that a batch of so many tokens needs."""
        return np.asarray(self.minimum_steps.value + self.minimum_tokens.value / np.asarray(batch, dtype=np.float64))


def steps_to_loss(steps: ArrayLike, losses: ArrayLike, level: float) -> float:
    """Steps after which a learning curve first reaches a loss, between points by straight lines in ln(steps).

    Returns:
        NaN where the curve never gets there, or is below it from its first point on (which only bounds the steps).
    """
    at, found = checked_positive(steps, "steps"), np.asarray(losses, dtype=np.float64)
    below = np.flatnonzero(found <= level)
    if not len(below) or below[0] == 0:
        return float("nan")
    after = below[0]
    share = (found[after - 1] - level) / (found[after - 1] - found[after])
    logs = np.log(at[after - 1 : after + 1])
    return float(np.exp(logs[0] + share * (logs[1] - logs[0])))


def tradeoff(batches: ArrayLike, steps: ArrayLike, *, level: float = 0.95) -> Tradeoff:
    """Fit (S / S_min − 1)(E / E_min − 1) = 1 to the steps that batches of several sizes need for one loss.

    Least squares in ln(steps); intervals are Student's t on the logarithms of S_min, E_min and B_crit, with the
    Jacobian's covariance.

    Args:
        batches: Tokens per step.
        steps: Steps to the loss; batches that did not reach it (NaN) are left out.
        level: Coverage of the intervals.

    Raises:
        UsageError: Not one number of steps per batch.
        DataError: Fewer than three different batches reached the loss.
    """
    from scipy.optimize import least_squares
    from scipy.stats import t

    sizes, taken = np.asarray(batches, dtype=np.float64), np.asarray(steps, dtype=np.float64)
    if sizes.shape != taken.shape:
        raise UsageError(f"{taken.size} numbers of steps were given for {sizes.size} batches; give one a batch.")
    reached = ~np.isnan(taken)
    b, s = checked_positive(sizes[reached], "batches"), checked_positive(taken[reached], "steps")
    if len(np.unique(b)) < 3:
        raise DataError(
            f"{len(np.unique(b))} batch sizes reached the loss, and a critical batch needs three; train longer or "
            "ask for a higher loss."
        )

    def residuals(logs: Floats) -> Floats:
        return np.asarray(np.log(s) - np.logaddexp(logs[0], logs[1] - np.log(b)))

    start = np.log([s.min(), (b * s).min()])
    found = least_squares(residuals, start, xtol=1e-14, ftol=1e-14, gtol=1e-14)
    freedom = max(len(b) - 2, 1)
    variance = 2 * found.cost / freedom
    covariance = np.linalg.pinv(found.jac.T @ found.jac) * variance
    width = float(t.ppf(0.5 + checked(level) / 2, freedom))

    def estimate(direction: Sequence[float]) -> Estimate:
        weights = np.array(direction)
        centre = float(weights @ found.x)
        half = width * float(np.sqrt(max(weights @ covariance @ weights, 0.0)))
        value, low, high = (float(np.exp(np.clip(x, -700, 700))) for x in (centre, centre - half, centre + half))
        return Estimate(value, low, high, level)

    return Tradeoff(estimate((1, 0)), estimate((0, 1)), estimate((-1, 1)), np.asarray(found.fun))


# --- the noise of gradients ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class GradientNoise:
    """The gradient noise scale.

    Attributes:
        squared_gradient: |G|², of the expected loss, unbiased.
        noise: tr(Σ), the summed variance of a single row's gradient, unbiased.
        scale: B_simple = tr(Σ) / |G|² in rows, with its interval; infinite where the gradient drowns in the noise.
    """

    squared_gradient: float
    noise: float
    scale: Estimate


def noise_from_norms(small_batch: float, small_norm: float, big_batch: float, big_norm: float) -> tuple[float, float]:
    """|G|² and tr(Σ) from the expected squared gradient norms at two batch sizes, both unbiased.

    E|G_B|² = |G|² + tr(Σ) / B (McCandlish et al., 2018, appendix A.1, equation A.2).
    """
    squared = (big_batch * big_norm - small_batch * small_norm) / (big_batch - small_batch)
    noise = (small_norm - big_norm) / (1 / small_batch - 1 / big_batch)
    return squared, noise


def gradient_noise(gradients: Tensor, batch: int, *, level: float = 0.95) -> GradientNoise:
    """The noise scale from gradients of several small batches, whose mean is that of one big batch.

    The interval is Student's t on ln(B_simple), by jackknife over the small batches.

    Args:
        gradients: [small batch, parameter], each the gradient of a mean loss.
        batch: Rows in a small batch.
        level: Coverage of the interval.

    Raises:
        DataError: Fewer than three small batches.
    """
    from scipy.stats import t

    count = len(gradients)
    if count < 3:
        raise DataError(f"The noise of gradients needs at least three small batches, not {count}; measure more.")
    # All inner products once: leaving a batch out then costs no pass over the parameters.
    products = (gradients @ gradients.T).double().cpu().numpy()

    def estimates(kept: np.ndarray) -> tuple[float, float]:
        inner = products[np.ix_(kept, kept)]
        return noise_from_norms(batch, float(np.diag(inner).mean()), batch * len(kept), float(inner.mean()))

    every = np.arange(count)
    squared, noise = estimates(every)
    value = noise / squared if squared > 0 else float("inf")
    left_out = [estimates(np.delete(every, index)) for index in range(count)]
    if squared <= 0 or noise <= 0 or any(a <= 0 or b <= 0 for a, b in left_out):
        return GradientNoise(squared, noise, Estimate(value, 0.0, float("inf"), level))
    logs = np.log([b / a for a, b in left_out])
    spread = float(np.sqrt((count - 1) / count * ((logs - logs.mean()) ** 2).sum()))
    factor = float(np.exp(np.clip(t.ppf(0.5 + checked(level) / 2, count - 1) * spread, 0, 700)))
    return GradientNoise(squared, noise, Estimate(value, value / factor, value * factor, level))


def measure_noise(
    model: nn.Module,
    objective: Callable[[Any, dict[str, Tensor]], tuple[Tensor, Tensor]],
    rows: dict[str, Tensor],
    *,
    small: int = 4,
    level: float = 0.95,
) -> GradientNoise:
    """The noise scale of a model where it stands; the weights and their gradients are left as they were.

    Call it from `evaluate` of the training loop to follow the scale during training.

    Args:
        model: Any module the objective takes.
        objective: As in `training.loop`.
        rows: Fresh rows; cut into small batches.
        small: Rows in a small batch.
        level: Coverage of the interval.

    Raises:
        DataError: The rows make fewer than three small batches.
    """
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    total = len(next(iter(rows.values())))
    gradients = []
    with torch.enable_grad():
        for start in range(0, total - small + 1, small):
            loss, count = objective(model, {name: value[start : start + small] for name, value in rows.items()})
            found = torch.autograd.grad(loss / count, parameters)
            gradients.append(torch.cat([gradient.detach().flatten() for gradient in found]))
    return gradient_noise(torch.stack(gradients) if gradients else torch.empty(0, 1), small, level=level)
