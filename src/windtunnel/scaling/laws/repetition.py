"""Laws of repeated data: many epochs of few tokens, and the band in which repetition does most harm."""

# ruff: noqa: RUF009  (parameters are fields, named as the paper's symbols)

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from windtunnel.laboratory.errors import UsageError
from windtunnel.scaling.laws.chinchilla import PARAMETERS, TOKENS, Chinchilla
from windtunnel.scaling.laws.interface import Floats, Law, Variable, checked_positive, parameter
from windtunnel.scaling.laws.power import Growth


@dataclass(frozen=True)
class DataConstrained(Law):
    """L(N, D, U) = E + A / N'^α + B / D'^β, with repeated tokens and excess parameters worth ever less.

    Of D tokens seen, U are unique and the rest are repeats: D' = U + U R_D (1 − e^(−(D/U − 1) / R_D)). Of N parameters,
    those beyond the optimum for U tokens, U_N, decay alike: N' = U_N + U_N R_N (1 − e^(−(N/U_N − 1) / R_N))
    (Muennighoff et al., 2023; arXiv:2305.16264, equations 5 and 6).
    """

    E: Any = parameter("nats per token", "irreducible loss")
    A: Any = parameter("nats per token × parameters^alpha", "scale of what is lost to finite size")
    B: Any = parameter("nats per token × tokens^beta", "scale of what is lost to finite data")
    alpha: Any = parameter("1", "exponent of parameters")
    beta: Any = parameter("1", "exponent of tokens")
    R_D: Any = parameter("epochs", "decay of the worth of repeated tokens")
    R_N: Any = parameter("1", "decay of the worth of excess parameters")

    name: ClassVar[str] = "data-constrained"
    irreducible: ClassVar[str | None] = "E"
    variables: ClassVar[tuple[Variable, ...]] = (PARAMETERS, TOKENS, Variable("unique_tokens", "tokens"))

    def formula(self, parameters: Any, tokens: Any, unique_tokens: Any) -> Any:
        """Equation 6 of Muennighoff et al."""
        unique = np.minimum(tokens, unique_tokens)
        best = (self.alpha * self.A / (self.beta * self.B) * unique**self.beta) ** (1 / self.alpha)
        enough = np.where(np.real(best) < parameters, best, parameters)
        worth = self.base().formula(_worth(parameters, enough, self.R_N), _worth(tokens, unique, self.R_D))
        return worth

    def base(self) -> Chinchilla:
        """The law of unique tokens."""
        return Chinchilla(self.E, self.A, self.B, self.alpha, self.beta)

    def effective_tokens(self, tokens: ArrayLike, unique_tokens: ArrayLike) -> Floats:
        """D': the unique tokens that would serve as well as D tokens of which U are unique."""
        seen, unique = checked_positive(tokens, "tokens"), checked_positive(unique_tokens, "unique_tokens")
        return np.asarray(_worth(seen, np.minimum(seen, unique), self.R_D))

    @classmethod
    def starts(cls, variables: tuple[Floats, ...], observed: Floats) -> Floats:
        """Those of the law without repetition, with decays from 2 to 40."""
        base = Chinchilla.starts(variables[:2], observed)[::3]
        return np.array([[*row, data, size] for row in base for data in (2.0, 10.0, 40.0) for size in (2.0, 10.0)])


def _worth(all_: Any, first: Any, decay: Any) -> Any:
    """`first` and what lies beyond it, whose worth decays."""
    return first + first * decay * (1 - np.exp(-(all_ / first - 1) / decay))


@dataclass(frozen=True)
class DamageBoundary(Growth):
    """epochs(N) = k N^γ: one edge of the band in which a repeated subset does at least half its greatest harm.

    Hernandez et al. (2022; arXiv:2205.10487, figure 4), for 100 billion tokens in all.
    """

    name: ClassVar[str] = "damage-boundary"
    variables: ClassVar[tuple[Variable, ...]] = (PARAMETERS,)
    output: ClassVar[Variable] = Variable("epochs", "epochs of the repeated subset")


@dataclass(frozen=True)
class DamageBand:
    """The band between two boundaries.

    Attributes:
        left: Fewest harmful epochs.
        right: Most harmful epochs.
    """

    left: DamageBoundary
    right: DamageBoundary

    def edges(self, parameters: float) -> tuple[float, float]:
        """Fewest and most harmful epochs for a model of this size."""
        return float(self.left.predict(parameters=parameters)), float(self.right.predict(parameters=parameters))

    def holds(self, parameters: float, epochs: float) -> bool:
        """Whether so many epochs of a subset harm a model of this size at least half as much as any number could."""
        low, high = self.edges(parameters)
        return low <= epochs <= high


def break_even_share(loss: float, damaged_loss: float) -> float:
    """Share of repeated tokens from which memorising them pays: (L(μN) − L(N)) / L(μN).

    A model that gives a share of its capacity to memorising has `damaged_loss` on the rest and none on the repeated
    tokens (Hernandez et al., section 5.1).

    Raises:
        UsageError: The damaged loss is below the loss.
    """
    if not 0 < loss <= damaged_loss:
        raise UsageError(f"The damaged loss {damaged_loss} must be at least the loss {loss}, and both positive.")
    return (damaged_loss - loss) / damaged_loss
