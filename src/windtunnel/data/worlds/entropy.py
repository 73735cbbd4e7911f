"""Worlds whose entropy is known exactly: the loss below which no model can go, in nats per token.

A model's loss on any row can be held against the best possible predictor of that row, so that what remains to learn is
known to the last digit, at every position of the context.
"""

from abc import abstractmethod

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from windtunnel.data.sources import BlockSource
from windtunnel.laboratory.errors import UsageError


class KnownSource(BlockSource):
    """A source that knows the probability of every row.

    Attributes:
        entropy_rate: Nats per token that the best predictor loses in the long run; nan where no closed form is known.
    """

    entropy_rate: float

    @abstractmethod
    def log_probabilities(self, tokens: Int[Tensor, "row token"]) -> Float[Tensor, "row token"]:
        """Log-probability in nats of each token given those before it, under the source itself, in float64.

        Their negation is the loss of the best possible predictor (entry 0 is of the first token, which models that
        read it are not asked for).
        """


class Unigram(KnownSource):
    """Independent tokens: there is nothing to learn but their frequencies.

    Args:
        probabilities: Of each token type, or in proportion to them (counts, say).
        context: Tokens a model reads.
        seed: Decides every row.

    Raises:
        UsageError: A probability is negative or not finite, or all are zero.
    """

    def __init__(self, probabilities: Float[Tensor, " token"], context: int, seed: int) -> None:
        super().__init__(len(probabilities), context, seed)
        self.probabilities = _normalised(probabilities)
        self.entropy_rate = _entropy(self.probabilities)
        self._cumulative = self.probabilities.cumsum(0)

    def draw(self, count: int, generator: torch.Generator) -> Int[Tensor, "row token"]:
        """Draw rows."""
        return _inverse(self._cumulative, torch.rand(count, self.context + 1, generator=generator, dtype=torch.float64))

    def log_probabilities(self, tokens: Int[Tensor, "row token"]) -> Float[Tensor, "row token"]:
        """Log-probability of each token: of its type."""
        return self.probabilities.log()[tokens]


class MarkovChain(KnownSource):
    """Each token depends on the one before; rows begin in the stationary distribution.

    The entropy rate is the mean over the stationary distribution of the entropy of a state's successors
    (Cover and Thomas, Elements of Information Theory, Theorem 4.2.4).

    Args:
        transition: Probability of each next token (second axis) after each token (first).
        context: Tokens a model reads.
        seed: Decides every row.

    Attributes:
        stationary: The stationary distribution.

    Raises:
        UsageError: The matrix is not square, has a negative entry or an empty row, or has no unique stationary
            distribution.
    """

    def __init__(self, transition: Float[Tensor, "token next"], context: int, seed: int) -> None:
        super().__init__(len(transition), context, seed)
        self.transition = _normalised(transition)
        self.stationary = stationary(self.transition)
        self.entropy_rate = float((self.stationary * _entropies(self.transition)).sum())
        self._first, self._cumulative = self.stationary.cumsum(0), self.transition.cumsum(1)

    def draw(self, count: int, generator: torch.Generator) -> Int[Tensor, "row token"]:
        """Draw rows."""
        return _chain(self._first, self._cumulative, count, self.context + 1, generator)

    def log_probabilities(self, tokens: Int[Tensor, "row token"]) -> Float[Tensor, "row token"]:
        """Log-probability of each token given the one before."""
        first = self.stationary.log()[tokens[:, :1]]
        return torch.cat([first, self.transition.log()[tokens[:, :-1], tokens[:, 1:]]], dim=1)


class HiddenMarkov(KnownSource):
    """Tokens emitted by a hidden Markov chain: the best predictor has to keep a belief over all that it has read.

    The entropy rate has no closed form; `log_probabilities` is exact at every position all the same, by the forward
    algorithm (Rabiner, 1989, Section III.A).

    Args:
        transition: Probability of each next state after each state.
        emission: Probability of each token in each state.
        context: Tokens a model reads.
        seed: Decides every row.

    Raises:
        UsageError: As for `MarkovChain`; or the emissions are not of as many states.
    """

    entropy_rate = float("nan")

    def __init__(
        self,
        transition: Float[Tensor, "state next"],
        emission: Float[Tensor, "state token"],
        context: int,
        seed: int,
    ) -> None:
        if emission.ndim != 2 or len(emission) != len(transition):
            raise UsageError(
                f"Emissions of shape {tuple(emission.shape)} are not of the {len(transition)} states; give a row each."
            )
        super().__init__(emission.shape[1], context, seed)
        self.transition, self.emission = _normalised(transition), _normalised(emission)
        self.stationary = stationary(self.transition)
        self._first, self._cumulative = self.stationary.cumsum(0), self.transition.cumsum(1)
        self._emitted = self.emission.cumsum(1)

    def draw(self, count: int, generator: torch.Generator) -> Int[Tensor, "row token"]:
        """Draw rows: the states first, then what they emit."""
        states = _chain(self._first, self._cumulative, count, self.context + 1, generator)
        uniform = torch.rand(states.shape, generator=generator, dtype=torch.float64)
        return _inverse(self._emitted[states], uniform[..., None])[..., 0]

    def log_probabilities(self, tokens: Int[Tensor, "row token"]) -> Float[Tensor, "row token"]:
        """Log-probability of each token given all before it, the states summed out."""
        belief = self.stationary.expand(len(tokens), -1)
        found = []
        for position in range(tokens.shape[1]):
            joint = belief * self.emission[:, tokens[:, position]].T
            probability = joint.sum(dim=1, keepdim=True)
            found.append(probability.log())
            belief = (joint / probability.clamp(min=torch.finfo(torch.float64).tiny)) @ self.transition
        return torch.cat(found, dim=1)


def stationary(transition: Float[Tensor, "state next"]) -> Float[Tensor, " state"]:
    """The distribution that a chain's step leaves as it is: the solution of pT = p with sum one.

    Raises:
        UsageError: The matrix is not square, or more than one distribution is stationary.
    """
    states = len(transition)
    if transition.shape != (states, states):
        raise UsageError(f"A transition matrix of shape {tuple(transition.shape)} is not square.")
    equations = torch.cat([transition.T - torch.eye(states, dtype=transition.dtype), torch.ones(1, states)])
    if int(torch.linalg.matrix_rank(equations)) < states:
        raise UsageError("The chain falls into parts that never meet, so no one distribution is stationary; join them.")
    target = torch.zeros(states + 1, dtype=transition.dtype)
    target[-1] = 1
    found = torch.linalg.lstsq(equations, target[:, None]).solution[:, 0].clamp(min=0)
    return _normalised(found)


def random_transition(
    vocabulary: int, generator: np.random.Generator, concentration: float = 0.5
) -> Float[Tensor, "token next"]:
    """A random transition matrix with rows from a symmetric Dirichlet; the smaller the concentration, the less entropy.

    Args:
        vocabulary: Token types.
        generator: Source of randomness.
        concentration: Of the Dirichlet.
    """
    rows = generator.dirichlet(np.full(vocabulary, concentration), size=vocabulary).clip(min=1e-12)
    return _normalised(torch.from_numpy(rows))


def _normalised(probabilities: Tensor) -> Tensor:
    values = probabilities.double()
    if not bool(values.isfinite().all()) or bool((values < 0).any()) or not bool((values.sum(dim=-1) > 0).all()):
        raise UsageError("Probabilities must be finite and not negative, and not all zero; correct them.")
    shares: Tensor = values / values.sum(dim=-1, keepdim=True)
    return shares


def _entropies(probabilities: Tensor) -> Tensor:
    entropies: Tensor = -torch.special.xlogy(probabilities, probabilities).sum(dim=-1)
    return entropies


def _entropy(probabilities: Tensor) -> float:
    return float(_entropies(probabilities))


def _inverse(cumulative: Tensor, uniform: Tensor) -> Tensor:
    """Draws by inverting a cumulative distribution; the last sum may be a rounding below 1."""
    return torch.searchsorted(cumulative, uniform.contiguous(), right=True).clamp_(max=cumulative.shape[-1] - 1)


def _chain(first: Tensor, cumulative: Tensor, count: int, length: int, generator: torch.Generator) -> Tensor:
    uniform = torch.rand(count, length, generator=generator, dtype=torch.float64)
    states = torch.empty(count, length, dtype=torch.long)
    states[:, 0] = _inverse(first, uniform[:, 0])
    for position in range(1, length):
        states[:, position] = _inverse(cumulative[states[:, position - 1]], uniform[:, position, None])[:, 0]
    return states
