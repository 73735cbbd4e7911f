"""Allocation after Kaplan et al. (2020; arXiv:2001.08361): from L(N, S_min) and the critical batch to a whole plan.

Kept for what it explains, not as advice: sections 6 and appendix B as functions of any fitted laws. Parameters are
without embeddings; compute is in FLOPs, corrected to batches far below critical (C_min). A run at the critical batch
takes twice the fewest steps, reads twice the fewest tokens and so costs 2 C_min.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from windtunnel.laboratory.errors import DataError, UsageError
from windtunnel.scaling.laws.interface import Floats, checked_positive
from windtunnel.scaling.laws.kaplan import (
    PF_DAY,
    CriticalBatch,
    LossOfMinimumFlops,
    LossOfParametersAndSteps,
    LossOfParametersAndTokens,
    LossOfTokens,
    compute_exponent,
)
from windtunnel.scaling.laws.power import Growth


@dataclass(frozen=True)
class EfficientRun:
    """The compute-efficient run of a budget.

    Attributes:
        minimum_flops: C_min.
        parameters: Without embeddings.
        loss: Expected, nats per token.
        critical_batch: B_crit at that loss, tokens.
        minimum_steps: S_min, approached by batches far above critical; twice as many at the critical batch.
        minimum_tokens: E_min, approached by batches far below critical; twice as many at the critical batch.
    """

    minimum_flops: Any
    parameters: Any
    loss: Any
    critical_batch: Any
    minimum_steps: Any
    minimum_tokens: Any


@dataclass(frozen=True)
class Allocation:
    """Power laws of the budget for everything about its efficient run (Table 6), with x in FLOPs.

    Attributes:
        parameters: N_opt.
        critical_batch: B_crit, tokens.
        minimum_steps: S_min.
        tokens: D_opt, the data that the paper says are needed.
        loss: L(C_min).
    """

    parameters: Growth
    critical_batch: Growth
    minimum_steps: Growth
    tokens: Growth
    loss: LossOfMinimumFlops

    def run(self, minimum_flops: ArrayLike) -> EfficientRun:
        """The efficient run at a budget C_min in FLOPs."""
        x = checked_positive(minimum_flops, "minimum_flops")
        batch, steps = self.critical_batch.predict(x=x), self.minimum_steps.predict(x=x)
        return EfficientRun(
            x, self.parameters.predict(x=x), self.loss.predict(minimum_flops=x), batch, steps, batch * steps
        )


CAVEAT = (
    "Kaplan et al.'s allocation gives far too little data: no irreducible loss, no unembedding in the FLOPs, one long "
    "warm-up for all sizes (Hoffmann et al., 2022; Porian et al., 2024). Plan with besiroglu-2024 or your own fit."
)


def published_plan(minimum_flops: float) -> dict[str, Any]:
    """What the paper itself would advise for a budget C_min, ready for JSON; half of what a run at B_crit costs."""
    run = PUBLISHED.run(minimum_flops)
    return {
        "flops": float(run.minimum_flops),
        "law": {"name": "kaplan-2020", "source": "Kaplan et al. (2020; arXiv:2001.08361), Table 6"},
        "counts": "non-embedding",
        "parameters": float(run.parameters),
        "loss": float(run.loss),
        "critical_batch": float(run.critical_batch),
        "minimum_steps": float(run.minimum_steps),
        "minimum_tokens": float(run.minimum_tokens),
        "tokens": float(PUBLISHED.tokens.predict(x=minimum_flops)),
        "learning_rate": float(published_learning_rate(run.parameters)) if run.parameters <= 1e10 else None,
        "warnings": [CAVEAT],
    }


def _of_pf_days(k: float, gamma: float) -> Growth:
    return Growth(k * PF_DAY**-gamma, gamma)


PUBLISHED = Allocation(
    parameters=_of_pf_days(1.3e9, 0.73),
    critical_batch=_of_pf_days(2.0e6, 0.24),
    minimum_steps=_of_pf_days(5.4e3, 0.03),
    tokens=_of_pf_days(2e10, 0.27),
    loss=LossOfMinimumFlops(3.1e8 * PF_DAY, 0.050),
)
"""Table 6 of the paper, for B far below B_crit. Its D_opt is nearly twice B_crit × S_min, of which 6 N D = C_min."""

PUBLISHED_AT_FIXED_BATCH = _of_pf_days(1.6e9, 0.88)
"""N_opt over plain FLOPs C = 6 N B S at the fixed batch of 2^19 tokens (figure 14), without correction."""


def published_learning_rate(parameters: ArrayLike) -> Floats:
    """Peak learning rate ≈ 0.003239 − 0.0001395 ln N (appendix D.6), which turns negative beyond N = 1e10.

    Raises:
        DataError: A size of more than 1e10 parameters, for which the rule does not hold.
    """
    n = checked_positive(parameters, "parameters")
    if (n > 1e10).any():
        raise DataError(f"The rule holds up to 1e10 parameters, not {n.max():.3g}; use another learning-rate law.")
    return np.asarray(0.003239 - 0.0001395 * np.log(n))


def efficient_run(law: LossOfParametersAndSteps, batch: CriticalBatch, minimum_flops: ArrayLike) -> EfficientRun:
    """The efficient run of a budget, from fitted laws (appendix B).

    At a given loss, N S_min B_crit is least where N's part of the loss is 1 / (1 + α_N / α_S) of it; then
    C_min = 6 N B_crit S_min is a power of the loss, which is solved for the budget.

    Args:
        law: L(N, S_min).
        batch: B_crit(L).
        minimum_flops: C_min.
    """
    budget = checked_positive(minimum_flops, "minimum_flops")
    share = law.alpha_N / law.alpha_S

    def at_loss(loss: Any) -> tuple[Any, Any, Any]:
        parameters = law.N_c * (loss / (1 + share)) ** (-1 / law.alpha_N)
        steps = law.S_c * (loss * share / (1 + share)) ** (-1 / law.alpha_S)
        return parameters, batch.formula(loss), steps

    n, b, s = at_loss(1.0)
    loss = (6 * n * b * s / budget) ** compute_exponent(law.alpha_S, batch.alpha_B, law.alpha_N)
    n, b, s = at_loss(loss)
    return EfficientRun(budget, n, loss, b, s, b * s)


def exponents(law: LossOfParametersAndSteps, batch: CriticalBatch) -> dict[str, float]:
    """How everything grows with C_min: L ∝ C^−α_C^min, N ∝ C^(α_C / α_N), B ∝ C^(α_C / α_B), S ∝ C^(α_C / α_S)."""
    alpha = compute_exponent(law.alpha_S, batch.alpha_B, law.alpha_N)
    return {
        "loss": -float(alpha),
        "parameters": float(alpha / law.alpha_N),
        "critical_batch": float(alpha / batch.alpha_B),
        "minimum_steps": float(alpha / law.alpha_S),
    }


def minimum_steps_to(law: LossOfParametersAndSteps, parameters: ArrayLike, loss: float) -> Floats:
    """S_min(N, L): fewest steps in which a size reaches a loss; infinite for sizes that never do (figure 19)."""
    n = checked_positive(parameters, "parameters")
    left = loss - (law.N_c / n) ** law.alpha_N
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(left > 0, law.S_c * np.where(left > 0, left, 1.0) ** (-1 / law.alpha_S), np.inf)


def minimum_tokens_to(
    law: LossOfParametersAndSteps, batch: CriticalBatch, parameters: ArrayLike, loss: float
) -> Floats:
    """E_min(N, L) = B_crit(L) S_min(N, L): fewest tokens in which a size reaches a loss (figure 19)."""
    return np.asarray(batch.predict(loss=loss) * minimum_steps_to(law, parameters, loss))


def suboptimal_size(law: LossOfParametersAndSteps, ratio: ArrayLike) -> tuple[Floats, Floats]:
    """What a model of `ratio` times the efficient size costs to reach the same loss (figure 12).

    Returns:
        C(N) / C(N_opt) and S(N) / S(N_opt); infinite for sizes that never reach the loss.
    """
    k, share = checked_positive(ratio, "ratio"), law.alpha_S / law.alpha_N
    left = 1 + share * (1 - k**-law.alpha_N)
    steps = np.where(left > 0, np.where(left > 0, left, 1.0) ** (-1 / law.alpha_S), np.inf)
    return np.asarray(k * steps), np.asarray(steps)


def efficient_stop(law: LossOfParametersAndSteps) -> float:
    """How far above its converged loss an efficient run stops, as a share: α_N / α_S, about 10 % (appendix B)."""
    return float(law.alpha_N / law.alpha_S)


@dataclass(frozen=True)
class StopComparison:
    """One way of stopping against another that reaches the same loss.

    Attributes:
        parameters: Ratio of sizes.
        steps: Ratio of fewest steps.
        flops: Ratio of compute.
    """

    parameters: float
    steps: float
    flops: float


def compare_stops(law: LossOfParametersAndSteps, above: float, reference: float = 0.02) -> StopComparison:
    """A run that stops a share `above` its converged loss against one that stops `reference` above (appendix B).

    Raises:
        UsageError: A share is not positive.
    """
    if not (above > 0 and reference > 0):
        raise UsageError(f"A run stops above its converged loss, so by a positive share, not {above} and {reference}.")
    parameters = ((1 + above) / (1 + reference)) ** (1 / law.alpha_N)
    steps = ((above / (1 + above)) / (reference / (1 + reference))) ** (-1 / law.alpha_S)
    return StopComparison(float(parameters), float(steps), float(parameters * steps))


def earliest_stop(
    of_tokens: LossOfParametersAndTokens, of_steps: LossOfParametersAndSteps, parameters: ArrayLike, tokens: ArrayLike
) -> Floats:
    """Fewest steps before a run on a finite set may be stopped (equation 5.7, figure 16).

    S_stop ≥ S_c / [L(N, D) − L(N, ∞)]^(1 / α_S), in steps at a batch far above critical.
    """
    gap = of_tokens.predict(parameters=parameters, tokens=tokens) - (of_tokens.N_c / np.asarray(parameters)) ** (
        of_tokens.alpha_N
    )
    return of_steps.earliest_stop(gap)


@dataclass(frozen=True)
class Intersection:
    """Where the laws contradict each other.

    Attributes:
        flops: C_min.
        parameters: Of the efficient run there.
        tokens: That it reads.
        loss: At which the laws must break down before, nats per token.
    """

    flops: float
    parameters: float
    tokens: float
    loss: float


def contradiction(
    of_flops: LossOfMinimumFlops, of_tokens: LossOfTokens, tokens: Growth, parameters: Growth
) -> Intersection:
    """Where L(C_min) falls below L(D) of the data that the efficient run reads (section 6.3, figure 15).

    The loss of a budget cannot be lower than what its data allow, but its exponent is larger. The place depends
    exponentially on the exponents: read it as an order of magnitude.

    Args:
        of_flops: L(C_min).
        of_tokens: L(D).
        tokens: D of C_min in FLOPs.
        parameters: N of C_min in FLOPs.

    Raises:
        DataError: The laws do not cross, since L(C_min) does not fall faster.
    """
    slower = of_tokens.alpha_D * tokens.gamma
    if not of_flops.alpha_C_min > slower:
        raise DataError(
            f"The laws do not contradict each other: L(C_min) falls with exponent {of_flops.alpha_C_min:.3g} and the "
            f"data allow {slower:.3g}."
        )
    logarithm = of_flops.alpha_C_min * np.log(of_flops.C_c_min) - of_tokens.alpha_D * np.log(of_tokens.D_c / tokens.k)
    flops = float(np.exp(logarithm / (of_flops.alpha_C_min - slower)))
    return Intersection(
        flops,
        float(parameters.predict(x=flops)),
        float(tokens.predict(x=flops)),
        float(of_flops.predict(minimum_flops=flops)),
    )
