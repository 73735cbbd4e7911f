"""Laws of transfer: how much data pre-training is worth (Hernandez et al., 2021; arXiv:2102.01293)."""

# ruff: noqa: RUF009, N815  (parameters are fields, named as the paper's symbols)

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from windtunnel.scaling.laws.interface import Floats, Law, Variable, parameter
from windtunnel.scaling.laws.starting import projected, root

PARAMETERS = Variable("parameters", "non-embedding parameters")
FINETUNING = Variable("finetuning_data", "characters or tokens, as fitted")


@dataclass(frozen=True)
class DataTransferred(Law):
    """D_T = k D_F^α N^β: the data that pre-training saved, beside the D_F that were fine-tuned on (equation 1.1).

    For little data only: D_F at most a tenth of what reaches 99 % of the infinite-data loss. k and the exponents are
    strongly correlated: compare predictions, not k.
    """

    k: Any = parameter("unit of data^(1 − alpha) / parameters^beta", "scale")
    alpha: Any = parameter("1", "exponent of fine-tuning data: smaller for closer distributions", positive=False)
    beta: Any = parameter("1", "exponent of parameters", positive=False)

    name: ClassVar[str] = "transfer"
    variables: ClassVar[tuple[Variable, ...]] = (PARAMETERS, FINETUNING)
    output: ClassVar[Variable] = Variable("transferred_data", "unit of the fine-tuning data")

    def formula(self, parameters: Any, finetuning_data: Any) -> Any:
        """Equation 1.1."""
        return self.k * finetuning_data**self.alpha * parameters**self.beta

    def effective_data(self, parameters: float, finetuning_data: float) -> float:
        """D_E = D_F + D_T: data from scratch that would serve as well."""
        return float(finetuning_data + self.predict(parameters=parameters, finetuning_data=finetuning_data))

    def multiplier(self, parameters: float, finetuning_data: float) -> float:
        """(D_F + D_T) / D_F: how many times more the fine-tuning data are worth (equation 1.2, before its limit)."""
        return self.effective_data(parameters, finetuning_data) / finetuning_data

    @classmethod
    def starts(cls, variables: tuple[Floats, ...], observed: Floats) -> Floats:
        """The plane in logarithms."""
        n, d = variables
        columns = np.stack([np.ones_like(n), np.log(d), np.log(n)], axis=1)
        intercept, alpha, beta = np.linalg.lstsq(columns, np.log(observed), rcond=None)[0]
        return np.array([[np.exp(intercept), alpha, beta]])


@dataclass(frozen=True)
class UnifiedTransfer(Law):
    """L = [(N_c / N)^(α_N / α_D) + D_c / (k D_F^α N^β)]^α_D: the loss after fine-tuning on little data (section 6.1).

    The scales of data and of transfer enter as one, D_c / k, and are one parameter here.
    """

    N_c: Any = parameter("non-embedding parameters", "scale of size")
    alpha_N: Any = parameter("1", "exponent of size, from scratch")
    D_c_over_k: Any = parameter("unit of data^alpha × parameters^beta", "scale of data over scale of transfer")
    alpha_D: Any = parameter("1", "exponent of data, from scratch")
    alpha: Any = parameter("1", "exponent of fine-tuning data in the data transferred")
    beta: Any = parameter("1", "exponent of parameters in the data transferred")

    name: ClassVar[str] = "unified-transfer"
    variables: ClassVar[tuple[Variable, ...]] = (PARAMETERS, FINETUNING)

    def formula(self, parameters: Any, finetuning_data: Any) -> Any:
        """Section 6.1."""
        transferred = finetuning_data**self.alpha * parameters**self.beta
        size = (self.N_c / parameters) ** (self.alpha_N / self.alpha_D)
        return (size + self.D_c_over_k / transferred) ** self.alpha_D

    @classmethod
    def starts(cls, variables: tuple[Floats, ...], observed: Floats) -> Floats:
        """L^(1 / α_D) is linear in N^(−α_N / α_D) and 1 / (D_F^α N^β)."""
        n, d = variables
        return projected(
            lambda ratio, alpha_d, alpha, beta: np.stack([n**-ratio, d**-alpha * n**-beta], axis=1),
            lambda ratio, alpha_d, alpha, beta: observed ** (1 / alpha_d),
            lambda found, ratio, alpha_d, alpha, beta: [
                root(found[0], ratio),
                ratio * alpha_d,
                found[1],
                alpha_d,
                alpha,
                beta,
            ],
            ((0.4, 0.8, 1.2), (0.05, 0.1, 0.3), (0.1, 0.3, 0.7), (0.1, 0.3, 0.7)),
        )
