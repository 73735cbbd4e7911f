"""Laws of models that are used: trained past the compute optimum, judged by downstream error, and served."""

# ruff: noqa: RUF009  (parameters are fields, named as the paper's symbols)

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from windtunnel.laboratory.errors import UsageError
from windtunnel.scaling.laws.chinchilla import Chinchilla
from windtunnel.scaling.laws.interface import Floats, Law, Variable, checked_positive, parameter
from windtunnel.scaling.laws.starting import Separation


@dataclass(frozen=True)
class OverTraining(Law):
    """L(C, M) = E + (a M^η + b M^−η) C^−η, with M = D / N tokens per parameter and C = 6 N D.

    Gadre et al. (2024; arXiv:2403.08540, equation 4): a Chinchilla law of equal exponents, written so that the slope
    over FLOPs does not depend on how far past the optimum a model is trained.
    """

    E: Any = parameter("nats per token", "irreducible loss")
    a: Any = parameter("nats per token × FLOPs^eta", "scale of what is lost to finite size")
    b: Any = parameter("nats per token × FLOPs^eta", "scale of what is lost to finite data")
    eta: Any = parameter("1", "exponent of FLOPs")

    name: ClassVar[str] = "over-training"
    irreducible: ClassVar[str | None] = "E"
    variables: ClassVar[tuple[Variable, ...]] = (
        Variable("flops", "FLOPs"),
        Variable("tokens_per_parameter", "tokens per parameter"),
    )

    def formula(self, flops: Any, tokens_per_parameter: Any) -> Any:
        """Equation 4 of Gadre et al."""
        tilt = tokens_per_parameter**self.eta
        return self.E + (self.a * tilt + self.b / tilt) * flops**-self.eta

    @property
    def best_tokens_per_parameter(self) -> Any:
        """M* = (b / a)^(1 / 2η), the compute optimum at every budget."""
        return (self.b / self.a) ** (1 / (2 * self.eta))

    @classmethod
    def separation(cls, variables: tuple[Floats, ...]) -> Separation:
        """Linear in E, a and b."""
        c, m = variables
        return Separation(
            lambda eta: np.stack([np.ones_like(c), m**eta * c**-eta, m**-eta * c**-eta], axis=1),
            lambda found, eta: [*found, eta],
            ((0.03, 0.06, 0.1, 0.15, 0.2, 0.3, 0.5),),
        )


@dataclass(frozen=True)
class DownstreamError(Law):
    """Err(L) = ε − k e^(−γ L): average top-1 error of tasks as a function of the loss (Gadre et al., equation 5)."""

    epsilon: Any = parameter("share", "error of a model that knows nothing")
    k: Any = parameter("share", "scale of what is learned")
    gamma: Any = parameter("1 / nats per token", "how fast the error falls with the loss")

    name: ClassVar[str] = "downstream-error"
    variables: ClassVar[tuple[Variable, ...]] = (Variable("loss", "nats per token"),)
    output: ClassVar[Variable] = Variable("error", "share")

    def formula(self, loss: Any) -> Any:
        """Equation 5 of Gadre et al."""
        return self.epsilon - self.k * np.exp(-self.gamma * loss)

    @classmethod
    def starts(cls, variables: tuple[Floats, ...], observed: Floats) -> Floats:
        """ε and k by least squares on a grid of the rate."""
        (loss,) = variables
        found = []
        for gamma in (0.1, 0.3, 0.6, 1.0, 2.0, 4.0):
            columns = np.stack([np.ones_like(loss), -np.exp(-gamma * loss)], axis=1)
            epsilon, k = np.linalg.lstsq(columns, observed, rcond=None)[0]
            if epsilon > 0 and k > 0:
                found.append([epsilon, k, gamma])
        return np.array(found or [[float(observed.max()), float(np.ptp(observed)) + 1e-6, 0.5]])


@dataclass(frozen=True)
class ServedModel:
    """A model sized for its training and its use together.

    Attributes:
        parameters: N.
        tokens: D trained on.
        loss: Nats per token.
        training_flops: 6 N D.
        inference_flops: 2 N D_inference.
    """

    parameters: Any
    tokens: Any
    loss: Any
    training_flops: Any
    inference_flops: Any


def inference_aware(
    law: Chinchilla, inference_tokens: ArrayLike, *, flops: ArrayLike | None = None, loss: ArrayLike | None = None
) -> ServedModel:
    """The model whose training and use together, 6 N D + 2 N D_inference FLOPs, are best spent.

    Either the lowest loss for a total of `flops`, or the lowest total for a `loss` (Sardana et al., 2023;
    arXiv:2401.00448, equation 3). In both, α A N^−α = (1 + D_inference / 3 D) β B D^−β, which is solved by bisection.

    Args:
        law: Of parameters and tokens; may hold a batch.
        inference_tokens: Read and written over the model's life.
        flops: Training and inference in all.
        loss: To be reached, nats per token.

    Raises:
        UsageError: Neither or both of `flops` and `loss` are given, or the loss is below the irreducible one.
    """
    served = np.asarray(inference_tokens, dtype=np.float64)
    if not (np.isfinite(served) & (served >= 0)).all():
        raise UsageError(f"The inference tokens must be 0 or more, not {inference_tokens!r}.")
    if (flops is None) == (loss is None):
        raise UsageError("Give flops to spend or a loss to reach: one of them.")

    def best_size(tokens: Any) -> Any:
        wedge = 1 + served / (3 * tokens)
        return (law.alpha * law.A * tokens**law.beta / (wedge * law.beta * law.B)) ** (1 / law.alpha)

    if flops is not None:
        budget = checked_positive(flops, "flops")

        def too_many(tokens: Any) -> Any:
            return best_size(tokens) * (6 * tokens + 2 * served) > budget
    else:
        wanted = checked_positive(loss, "loss")
        if (wanted <= law.E).any():
            raise UsageError(f"No model reaches a loss of {loss!r}: its irreducible loss is {law.E}; ask for more.")

        def too_many(tokens: Any) -> Any:
            return law.formula(best_size(tokens), tokens) < wanted

    shape = np.broadcast_shapes(
        *(np.shape(value) for value in (*law.parameters.values(), served, flops, loss) if value is not None)
    )
    low, high = np.zeros(shape), np.full(shape, np.log(1e40))
    for _ in range(100):
        middle = (low + high) / 2
        over = too_many(np.exp(middle))
        low, high = np.where(over, low, middle), np.where(over, middle, high)
    tokens = np.exp((low + high) / 2)
    parameters = best_size(tokens)
    return ServedModel(
        parameters, tokens, law.formula(parameters, tokens), 6 * parameters * tokens, 2 * parameters * served
    )
