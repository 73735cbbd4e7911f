"""Two forms of the loss after fine-tuning, of pre-training and fine-tuning data at one size of model."""

# ruff: noqa: RUF009, N815  (parameters are fields, named as the papers' symbols)

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from windtunnel.scaling.laws.interface import Floats, Law, Variable, parameter
from windtunnel.scaling.laws.starting import projected

PRETRAINING, FINETUNING = Variable("pretraining_data", "tokens"), Variable("finetuning_data", "tokens")


@dataclass(frozen=True)
class TransferGap(Law):
    """L = (A p^−α + G) f^−β + E of pre-training data p and fine-tuning data f (Barnett, 2024; arXiv:2408.16947)."""

    A: Any = parameter("nats × tokens^(alpha + beta)", "scale of pre-training")
    alpha: Any = parameter("1", "exponent of pre-training data")
    G: Any = parameter("nats × tokens^beta", "transfer gap: what no pre-training closes")
    beta: Any = parameter("1", "exponent of fine-tuning data")
    E: Any = parameter("nats per token", "irreducible loss")

    name: ClassVar[str] = "transfer-gap"
    variables: ClassVar[tuple[Variable, ...]] = (PRETRAINING, FINETUNING)

    def formula(self, pretraining_data: Any, finetuning_data: Any) -> Any:
        """Barnett's equation."""
        return (self.A * pretraining_data**-self.alpha + self.G) * finetuning_data**-self.beta + self.E

    @classmethod
    def starts(cls, variables: tuple[Floats, ...], observed: Floats) -> Floats:
        """Linear in A, G and E at each pair of exponents."""
        p, f = variables
        return projected(
            lambda alpha, beta: np.stack([p**-alpha * f**-beta, f**-beta, np.ones_like(f)], axis=1),
            lambda alpha, beta: observed,
            lambda found, alpha, beta: [found[0], alpha, found[1], beta, found[2]],
            ((0.1, 0.3, 0.6), (0.05, 0.1, 0.2, 0.4)),
        )


@dataclass(frozen=True)
class EffectiveDataLoss(Law):
    """L = [S + c / (f^α p^γ)]^α_D: the unified law at one size, its k growing with the pre-training as p^γ."""

    S: Any = parameter("nats^(1 / alpha_D)", "what size alone leaves")
    c: Any = parameter("tokens^(alpha + gamma)", "scale of data over scale of transfer")
    alpha: Any = parameter("1", "exponent of fine-tuning data in the data transferred")
    gamma: Any = parameter("1", "exponent of pre-training data in the data transferred")
    alpha_D: Any = parameter("1", "exponent of data, from scratch")

    name: ClassVar[str] = "effective-data-loss"
    variables: ClassVar[tuple[Variable, ...]] = (PRETRAINING, FINETUNING)

    def formula(self, pretraining_data: Any, finetuning_data: Any) -> Any:
        """Section 6.1 at one N."""
        transferred = finetuning_data**self.alpha * pretraining_data**self.gamma
        return (self.S + self.c / transferred) ** self.alpha_D

    @classmethod
    def starts(cls, variables: tuple[Floats, ...], observed: Floats) -> Floats:
        """L^(1 / α_D) is linear in 1 and 1 / (f^α p^γ)."""
        p, f = variables
        return projected(
            lambda alpha, gamma, alpha_d: np.stack([np.ones_like(f), f**-alpha * p**-gamma], axis=1),
            lambda alpha, gamma, alpha_d: observed ** (1 / alpha_d),
            lambda found, alpha, gamma, alpha_d: [found[0], found[1], alpha, gamma, alpha_d],
            ((0.1, 0.3, 0.7), (0.1, 0.3, 0.7), (0.1, 0.3, 0.8)),
        )
