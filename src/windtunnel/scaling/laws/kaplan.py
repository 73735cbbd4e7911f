"""The laws of Kaplan et al. (2020; arXiv:2001.08361). N counts no embeddings; compute is in FLOPs, not PF-days."""

# ruff: noqa: RUF009, N815  (parameters are fields, named as the paper's symbols)

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from windtunnel.scaling.laws.interface import Floats, Law, Optimum, Variable, checked_positive, parameter
from windtunnel.scaling.laws.power import PowerLaw
from windtunnel.scaling.laws.starting import EXPONENTS, Separation, projected, root

PF_DAY = 8.64e19
"""FLOPs in a petaflop/s-day."""

PARAMETERS, TOKENS = Variable("parameters", "non-embedding parameters"), Variable("tokens", "tokens")


@dataclass(frozen=True)
class _One(Law):
    """(scale / x)^exponent, whatever the two are called."""

    def formula(self, x: Any) -> Any:
        scale, exponent = self.parameters.values()
        return (scale / x) ** exponent

    @classmethod
    def starts(cls, variables: tuple[Floats, ...], observed: Floats) -> Floats:
        return PowerLaw.starts(variables, observed)


@dataclass(frozen=True)
class LossOfParameters(_One):
    """L(N) = (N_c / N)^α_N, of models trained to convergence on enough data (equation 1.1)."""

    N_c: Any = parameter("non-embedding parameters", "scale")
    alpha_N: Any = parameter("1", "exponent")
    name: ClassVar[str] = "kaplan-parameters"
    variables: ClassVar[tuple[Variable, ...]] = (PARAMETERS,)


@dataclass(frozen=True)
class LossOfTokens(_One):
    """L(D) = (D_c / D)^α_D, of large models stopped early (equation 1.2)."""

    D_c: Any = parameter("tokens", "scale")
    alpha_D: Any = parameter("1", "exponent")
    name: ClassVar[str] = "kaplan-tokens"
    variables: ClassVar[tuple[Variable, ...]] = (TOKENS,)


@dataclass(frozen=True)
class LossOfFlops(_One):
    """L(C) = (C_c / C)^α_C, of the best model at each budget C = 6 N B S of one fixed batch (section 3.3)."""

    C_c: Any = parameter("FLOPs", "scale")
    alpha_C: Any = parameter("1", "exponent")
    name: ClassVar[str] = "kaplan-flops"
    variables: ClassVar[tuple[Variable, ...]] = (Variable("flops", "FLOPs"),)


@dataclass(frozen=True)
class LossOfMinimumFlops(_One):
    """L(C_min) = (C_c^min / C_min)^α_C^min, with compute corrected to batches far below critical (equation 1.3)."""

    C_c_min: Any = parameter("FLOPs", "scale")
    alpha_C_min: Any = parameter("1", "exponent")
    name: ClassVar[str] = "kaplan-minimum-flops"
    variables: ClassVar[tuple[Variable, ...]] = (Variable("minimum_flops", "FLOPs"),)


@dataclass(frozen=True)
class CriticalBatch(Law):
    """B_crit(L) = B_* / L^(1/α_B): the batch at which steps and tokens are both twice their least (equation 1.4)."""

    B_star: Any = parameter("tokens", "critical batch at a loss of 1 nat per token")
    alpha_B: Any = parameter("1", "exponent")

    name: ClassVar[str] = "kaplan-critical-batch"
    variables: ClassVar[tuple[Variable, ...]] = (Variable("loss", "nats per token"),)
    output: ClassVar[Variable] = Variable("critical_batch", "tokens")

    def formula(self, loss: Any) -> Any:
        """Equation 1.4."""
        return self.B_star * loss ** (-1 / self.alpha_B)

    @classmethod
    def starts(cls, variables: tuple[Floats, ...], observed: Floats) -> Floats:
        """The straight line in logarithms."""
        steepness, intercept = np.polyfit(np.log(variables[0]), np.log(observed), 1)
        return np.array([[np.exp(intercept), 1 / max(-steepness, 1e-2)]])


@dataclass(frozen=True)
class LossOfParametersAndTokens(Law):
    """L(N, D) = [(N_c / N)^(α_N / α_D) + D_c / D]^α_D, with early stopping (equation 1.5)."""

    N_c: Any = parameter("non-embedding parameters", "scale of size")
    alpha_N: Any = parameter("1", "exponent of size")
    D_c: Any = parameter("tokens", "scale of data")
    alpha_D: Any = parameter("1", "exponent of data")

    name: ClassVar[str] = "kaplan-parameters-tokens"
    variables: ClassVar[tuple[Variable, ...]] = (PARAMETERS, TOKENS)

    def formula(self, parameters: Any, tokens: Any) -> Any:
        """Equation 1.5."""
        return ((self.N_c / parameters) ** (self.alpha_N / self.alpha_D) + self.D_c / tokens) ** self.alpha_D

    def overfitting(self, parameters: ArrayLike, tokens: ArrayLike) -> Floats:
        """δL = L(N, D) / L(N, ∞) − 1, a function of N^(α_N / α_D) / D only (equation 4.3)."""
        n, d = checked_positive(parameters, "parameters"), checked_positive(tokens, "tokens")
        return np.asarray((1 + (n / self.N_c) ** (self.alpha_N / self.alpha_D) * self.D_c / d) ** self.alpha_D - 1)

    def enough_tokens(self, parameters: ArrayLike, overfitting: float = 0.02) -> Floats:
        """Fewest tokens for which overfitting costs less than this share of the loss (equation 4.4).

        Kaplan et al. take 0.02, the spread between seeds, and round to 5e3 N^0.74.
        """
        n = checked_positive(parameters, "parameters")
        share = (1 + overfitting) ** (1 / self.alpha_D) - 1
        return np.asarray(self.D_c / share * (n / self.N_c) ** (self.alpha_N / self.alpha_D))

    def optimum(self, flops: ArrayLike) -> Optimum:
        """The split of 6 N D FLOPs that has the lowest L(N, D), in closed form.

        The parameters grow with FLOPs^(1 / (1 + α_N / α_D)) = C^0.575. Kaplan et al.'s 0.73 is of the other law,
        L(N, S_min) with the critical batch.
        """
        budget, ratio = checked_positive(flops, "flops"), self.alpha_N / self.alpha_D
        exponent = 1 / (1 + ratio)
        parameters = (ratio * self.N_c**ratio * budget / (6 * self.D_c)) ** exponent
        tokens = budget / 6 / parameters
        return Optimum(parameters, tokens, self.formula(parameters, tokens), exponent)

    @classmethod
    def starts(cls, variables: tuple[Floats, ...], observed: Floats) -> Floats:
        """L^(1 / α_D) is linear in N^(−α_N / α_D) and 1 / D."""
        n, d = variables
        return projected(
            lambda ratio, alpha: np.stack([n**-ratio, 1 / d], axis=1),
            lambda ratio, alpha: observed ** (1 / alpha),
            lambda found, ratio, alpha: [root(found[0], ratio), ratio * alpha, found[1], alpha],
            ((0.3, 0.6, 1.0, 1.6), EXPONENTS),
        )


@dataclass(frozen=True)
class LossOfParametersAndSteps(Law):
    """L(N, S_min) = (N_c / N)^α_N + (S_c / S_min)^α_S, after warm-up (equation 1.6)."""

    N_c: Any = parameter("non-embedding parameters", "scale of size")
    alpha_N: Any = parameter("1", "exponent of size")
    S_c: Any = parameter("steps", "scale of steps")
    alpha_S: Any = parameter("1", "exponent of steps")

    name: ClassVar[str] = "kaplan-parameters-steps"
    variables: ClassVar[tuple[Variable, ...]] = (PARAMETERS, Variable("minimum_steps", "steps"))

    def formula(self, parameters: Any, minimum_steps: Any) -> Any:
        """Equation 1.6."""
        return (self.N_c / parameters) ** self.alpha_N + (self.S_c / minimum_steps) ** self.alpha_S

    def earliest_stop(self, gap: ArrayLike) -> Floats:
        """Fewest steps before a run on D tokens may stop: S_c / [L(N, D) − L(N, ∞)]^(1 / α_S) (equation 5.7).

        Args:
            gap: L(N, D) − L(N, ∞), nats per token.
        """
        return np.asarray(self.S_c * checked_positive(gap, "gap") ** (-1 / self.alpha_S))

    @classmethod
    def separation(cls, variables: tuple[Floats, ...]) -> Separation:
        """Linear in N_c^α_N and S_c^α_S."""
        n, s = variables
        return Separation(
            lambda size, steps: np.stack([n**-size, s**-steps], axis=1),
            lambda found, size, steps: [root(found[0], size), size, root(found[1], steps), steps],
            (EXPONENTS, (0.2, 0.5, 0.8, 1.2)),
        )


def compute_exponent(alpha_S: float, alpha_B: float, alpha_N: float) -> float:  # noqa: N803
    """α_C^min = 1 / (1/α_S + 1/α_B + 1/α_N), which the other laws imply (equation 6.4)."""
    return 1 / (1 / alpha_S + 1 / alpha_B + 1 / alpha_N)


def minimum_steps(steps: ArrayLike, batch: ArrayLike, critical_batch: ArrayLike) -> Floats:
    """S_min = S / (1 + B_crit / B): what a run of S steps would have taken with a huge batch (equation 5.4)."""
    steps, batch, critical = (np.asarray(value, dtype=np.float64) for value in (steps, batch, critical_batch))
    return np.asarray(steps / (1 + critical / batch))


def minimum_flops(flops: ArrayLike, batch: ArrayLike, critical_batch: ArrayLike) -> Floats:
    """C_min = C / (1 + B / B_crit): what a run of C FLOPs would have cost with a tiny batch (equation 5.5)."""
    flops, batch, critical = (np.asarray(value, dtype=np.float64) for value in (flops, batch, critical_batch))
    return np.asarray(flops / (1 + batch / critical))
