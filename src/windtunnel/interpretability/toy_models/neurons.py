"""Neurons of toy models with a privileged basis: how many features each one serves (Elhage et al., 2022)."""

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

DOMINANCE = 0.8
"""A neuron is monosemantic when one feature holds at least this share of its squared input weights."""


def active(weights: Float[NDArray[np.float64], "feature neuron"], smallest: float = 0.1) -> NDArray[np.bool_]:
    """Which neurons are used: those whose input weights have at least this share of the largest neuron's norm."""
    size = np.linalg.norm(weights, axis=0)
    used: NDArray[np.bool_] = size >= smallest * max(float(size.max()), 1e-12)
    return used


def dominance(weights: Float[NDArray[np.float64], "feature neuron"]) -> Float[NDArray[np.float64], " neuron"]:
    """The largest share of a neuron's squared input weights that one feature holds, for the active neurons."""
    squared = weights[:, active(weights)] ** 2
    share: NDArray[np.float64] = squared.max(0) / squared.sum(0)
    return share


def monosemantic_fraction(weights: Float[NDArray[np.float64], "feature neuron"]) -> float:
    """Share of active neurons in which one feature dominates."""
    return float((dominance(weights) >= DOMINANCE).mean())
