"""Joint laws of learning rate and batch size."""

# ruff: noqa: RUF009  (parameters are fields, named as the paper's symbols)

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from windtunnel.scaling.laws.chinchilla import PARAMETERS, TOKENS
from windtunnel.scaling.laws.interface import Floats, Law, Variable, parameter


@dataclass(frozen=True)
class _Plane(Law):
    """k N^p D^q."""

    k: Any = parameter("unit of the output", "scale")
    p: Any = parameter("1", "exponent of parameters, of either sign", positive=False)
    q: Any = parameter("1", "exponent of tokens, of either sign", positive=False)

    variables: ClassVar[tuple[Variable, ...]] = (PARAMETERS, TOKENS)

    def formula(self, parameters: Any, tokens: Any) -> Any:
        return self.k * parameters**self.p * tokens**self.q

    @classmethod
    def starts(cls, variables: tuple[Floats, ...], observed: Floats) -> Floats:
        n, d = variables
        columns = np.stack([np.ones_like(n), np.log(n), np.log(d)], axis=1)
        intercept, p, q = np.linalg.lstsq(columns, np.log(observed), rcond=None)[0]
        return np.array([[np.exp(intercept), p, q]])


@dataclass(frozen=True)
class LearningRate(_Plane):
    """η(N, D) = k N^p D^q: the best peak learning rate (Li et al., 2025; arXiv:2503.04715, the "Step Law").

    A law of FLOPs, k C^γ (Bi et al., 2024; arXiv:2401.02954, section 3.1), is the same with p = q = γ.
    """

    name: ClassVar[str] = "learning-rate"
    output: ClassVar[Variable] = Variable("learning_rate", "1")


@dataclass(frozen=True)
class BatchSize(_Plane):
    """B(N, D) = k N^p D^q: the best batch, in tokens (as `LearningRate`)."""

    name: ClassVar[str] = "batch-size"
    output: ClassVar[Variable] = Variable("batch", "tokens")
