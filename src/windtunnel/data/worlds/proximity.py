"""Two languages of known proximity: chains that share a known part of what follows what.

Whether data of one are worth anything for the other (Hernandez et al., 2021, "the exponent α measures the directed
proximity of the distributions") can then be held against the truth.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from windtunnel.data.worlds.entropy import MarkovChain, random_transition
from windtunnel.laboratory.errors import UsageError


@dataclass(frozen=True)
class Pair:
    """A source to pre-train on and a target to fine-tune on.

    Attributes:
        source: The first language.
        target: The second.
        shared: Which tokens are followed by the same distribution in both.
    """

    source: MarkovChain
    target: MarkovChain
    shared: Bool[Tensor, " token"]

    @property
    def proximity(self) -> float:
        """Share of the tokens whose successors are the same in both."""
        return float(self.shared.double().mean())

    @property
    def shared_time(self) -> float:
        """Share of the target's tokens that come after such a token."""
        return float(self.target.stationary[self.shared].sum())

    @property
    def distance(self) -> float:
        """Kullback-Leibler divergence rate of the target from the source, nats per token.

        What the best predictor of the source loses on the target above the target's entropy rate. Zero if all is
        shared; it never falls when less is.
        """
        target, source = self.target.transition, self.source.transition
        by_token = (target * (target.log() - source.log())).sum(dim=1)
        return float((self.target.stationary * by_token).sum())


def proximity_pair(
    vocabulary: int,
    proximity: float,
    context: int,
    seed: int,
    *,
    concentration: float = 0.3,
    smoothing: float = 0.1,
) -> Pair:
    """Two Markov chains that share the successors of a fraction of the tokens.

    The target depends on the seed only, not on the proximity; and what is shared at a lower proximity is shared at
    every higher one, so that the distance falls with the proximity.

    Args:
        vocabulary: Token types.
        proximity: Fraction of the tokens whose successors are shared, rounded to whole tokens.
        context: Tokens a model reads.
        seed: Decides both languages and their rows.
        concentration: Of the Dirichlet from which successors are drawn: the smaller, the less entropy.
        smoothing: Share of each distribution that is uniform, so that no distance is infinite.

    Raises:
        UsageError: The proximity is not from 0 to 1, or the smoothing not above 0 and at most 1.
    """
    if not 0 <= proximity <= 1:
        raise UsageError(f"A proximity of {proximity} is not from 0 to 1; give the fraction that is shared.")
    if not 0 < smoothing <= 1:
        raise UsageError(f"A smoothing of {smoothing} leaves distances infinite or is no share; give 0.1, say.")
    target, other, order = np.random.default_rng([seed, 0]).spawn(3)
    of_target, of_source = (
        (1 - smoothing) * random_transition(vocabulary, generator, concentration) + smoothing / vocabulary
        for generator in (target, other)
    )
    shared = torch.zeros(vocabulary, dtype=torch.bool)
    shared[torch.from_numpy(order.permutation(vocabulary))[: round(proximity * vocabulary)]] = True
    source = torch.where(shared[:, None], of_target, of_source)
    return Pair(MarkovChain(source, context, 2 * seed), MarkovChain(of_target, context, 2 * seed + 1), shared)
