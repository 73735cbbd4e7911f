"""The Chinchilla form, L = E + A / N^α + B / D^β (Hoffmann et al., 2022; arXiv:2203.15556, section 3.3)."""

# ruff: noqa: RUF009  (parameters are fields, named as the paper's symbols)

import itertools
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from windtunnel.scaling.laws.interface import Floats, Law, Optimum, Variable, checked_positive, parameter
from windtunnel.scaling.laws.starting import EXPONENTS, Separation

PARAMETERS, TOKENS = Variable("parameters", "parameters"), Variable("tokens", "tokens")


@dataclass(frozen=True)
class Chinchilla(Law):
    """L(N, D) = E + A / N^α + B / D^β.

    Whether N counts embeddings is decided by what is fitted; Hoffmann et al. count them.
    """

    E: Any = parameter("nats per token", "irreducible loss")
    A: Any = parameter("nats per token × parameters^alpha", "scale of what is lost to finite size")
    B: Any = parameter("nats per token × tokens^beta", "scale of what is lost to finite data")
    alpha: Any = parameter("1", "exponent of parameters")
    beta: Any = parameter("1", "exponent of tokens")

    name: ClassVar[str] = "chinchilla"
    irreducible: ClassVar[str | None] = "E"
    variables: ClassVar[tuple[Variable, ...]] = (PARAMETERS, TOKENS)

    def formula(self, parameters: Any, tokens: Any) -> Any:
        """Equation 2 of Hoffmann et al."""
        return self.E + self.A * parameters**-self.alpha + self.B * tokens**-self.beta

    @property
    def exponent(self) -> Any:
        """Of the optimal parameters ∝ FLOPs^a: a = β / (α + β) (equation 4)."""
        return self.beta / (self.alpha + self.beta)

    def optimum(self, flops: ArrayLike) -> Optimum:
        """The compute-optimal split of a budget of 6 N D FLOPs, in closed form (equation 4).

        Raises:
            DataError: The budget is not positive.
        """
        budget = checked_positive(flops, "flops")
        ratio = (self.alpha * self.A / (self.beta * self.B)) ** (1 / (self.alpha + self.beta))
        parameters = ratio * (budget / 6) ** self.exponent
        tokens = budget / 6 / parameters
        return Optimum(parameters, tokens, self.formula(parameters, tokens), self.exponent)

    @classmethod
    def separation(cls, variables: tuple[Floats, ...]) -> Separation:
        """Linear in E, A and B."""
        n, d = variables
        return Separation(
            lambda alpha, beta: np.stack([np.ones_like(n), n**-alpha, d**-beta], axis=1),
            lambda found, alpha, beta: [*found, alpha, beta],
            (EXPONENTS, EXPONENTS),
        )

    @classmethod
    def log_gradient(cls, values: Floats, variables: tuple[Floats, ...]) -> tuple[Floats, Floats]:
        """As the general one, by hand, since this is the law that is fitted most."""
        irreducible, a, b, alpha, beta = (column[:, None] for column in values.T)
        log_n, log_d = np.log(variables[0]), np.log(variables[1])
        slopes = np.empty((*values.shape, len(log_n)))
        with np.errstate(all="ignore"):
            np.exp(-alpha * log_n, out=slopes[:, 1])
            np.exp(-beta * log_d, out=slopes[:, 2])
            size, data = a * slopes[:, 1], b * slopes[:, 2]
            loss = irreducible + size + data
            np.multiply(size, -log_n, out=slopes[:, 3])
            np.multiply(data, -log_d, out=slopes[:, 4])
            slopes[:, 0] = 1
            slopes /= loss[:, None, :]
            return np.log(loss), slopes

    @classmethod
    def blind_starts(cls) -> Floats:
        """Every other value of the grid that Hoffmann et al. start from (appendix D.3), which looks at no data."""
        logs = itertools.product((-1, 0, 1), (0, 10, 20), (0, 10, 20), np.log([0.5, 1, 2]), np.log([0.5, 1, 2]))
        return np.asarray(np.exp(np.array(list(logs))))
