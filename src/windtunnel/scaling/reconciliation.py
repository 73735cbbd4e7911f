"""Why Kaplan et al. and Hoffmann et al. disagree: what counting does to one law.

Pearce and Song (2024; arXiv:2406.12907) draw training curves from Chinchilla's law and read them as Kaplan et al. did,
in parameters and FLOPs without embeddings.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from windtunnel.scaling.envelope import Frontier, curves, frontier
from windtunnel.scaling.laws.chinchilla import Chinchilla
from windtunnel.scaling.laws.interface import Floats

EMBEDDING = 47_491.0
"""Pearce and Song's N_T = N_nonE + 47491 N_nonE^(1/3), from the shapes of Hoffmann et al.'s models."""

KAPLAN_SIZES = tuple(np.logspace(2.9, 9.2, 20))
"""Twenty sizes over Kaplan et al.'s range, without embeddings."""


@dataclass(frozen=True)
class Counting:
    """The same training curves in two counts.

    Attributes:
        total: The frontier in all parameters and 6 N_T D.
        non_embedding: The frontier in parameters without embeddings and 6 N_nonE D.
    """

    total: Frontier
    non_embedding: Frontier


def count_twice(
    law: Chinchilla, non_embedding: ArrayLike = KAPLAN_SIZES, *, embedding: float = EMBEDDING, points: int = 400
) -> Counting:
    """Training curves of a law in total parameters, read in both counts by the envelope.

    Args:
        law: L(N_T, D).
        non_embedding: Sizes without embeddings.
        embedding: ω of N_T = N_nonE + ω N_nonE^(1/3).
        points: Budgets of each frontier, and tokens of each curve.
    """
    bare = np.asarray(non_embedding, dtype=np.float64)
    total = total_parameters(bare, embedding)
    best = law.B * law.beta / (law.A * law.alpha) * total**law.alpha  # of D^β, where D is the best for that size
    tokens = np.geomspace((best ** (1 / law.beta)).min() / 1e3, (best ** (1 / law.beta)).max() * 1e3, points)
    shape = (len(bare), points)
    seen = np.broadcast_to(tokens, shape)
    loss = law.formula(total[:, None], seen)
    run = np.repeat(np.arange(len(bare)), points)

    def read(sizes: Floats) -> Frontier:
        count = np.broadcast_to(sizes[:, None], shape)
        found = curves(count.ravel(), seen.ravel(), (6 * count * seen).ravel(), loss.ravel(), run, points=points)
        return frontier(found)

    return Counting(read(total), read(bare))


def total_parameters(non_embedding: ArrayLike, embedding: float = EMBEDDING) -> Floats:
    """N_T = N_nonE + ω N_nonE^(1/3): the width, and so the embedding, grows with the cube root of a fixed shape."""
    bare = np.asarray(non_embedding, dtype=np.float64)
    return np.asarray(bare + embedding * np.cbrt(bare))


def best_non_embedding_flops(law: Chinchilla, non_embedding: ArrayLike, *, embedding: float = EMBEDDING) -> Floats:
    """The budget 6 N_nonE D at which each size is the best, in closed form: what `count_twice` reads off curves.

    Its local slope runs from β / (α / 3 + β) for small models, whose parameters are mostly embeddings, to
    β / (α + β) for large ones.
    """
    bare = np.asarray(non_embedding, dtype=np.float64)
    total = total_parameters(bare, embedding)
    slope = 1 + embedding / 3 * np.cbrt(bare) / bare
    powered = law.alpha * law.A * total ** (-law.alpha - 1) * slope * bare / (law.beta * law.B)
    return np.asarray(6 * bare * powered ** (-1 / law.beta))
