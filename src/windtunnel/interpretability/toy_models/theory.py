"""What theory says of toy models: closed forms, and the exact expected loss by quadrature (Elhage et al., 2022).

Here p is the density (the paper's 1 - S) and r the importance of the last feature, the others having importance 1.
"""

from collections.abc import Sequence
from functools import cache
from itertools import combinations, product

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike, NDArray

Vector = Float[NDArray[np.float64], " feature"]


def linear_loss(weights: Float[NDArray[np.float64], "feature hidden"], importance: Vector) -> float:
    """Saxe et al.'s form: Σ_i I_i (1 − ‖W_i‖²)² + Σ_{i≠j} I_j (W_j · W_i)², the linear model's loss up to a factor."""
    gram = weights @ weights.T
    benefit = importance * (1 - np.diag(gram)) ** 2
    interference = importance[None, :] * gram**2
    return float(benefit.sum() + interference.sum() - (importance * np.diag(gram) ** 2).sum())


def linear_optimum(importance: Vector, density: float, hidden: int) -> float:
    """The least loss of the linear model x' = WᵀWx + b: principal components, by the covariance of the features.

    Independent features have variance v = p/3 − p²/4 each; the m most important ones are kept and the bias gives
    the others their mean, so that Σ of the other importances times v is left.
    """
    variance = density / 3 - density**2 / 4
    return float(variance * np.sort(importance)[: len(importance) - hidden].sum())


def ignore_loss(density: ArrayLike, importance: ArrayLike = 1.0) -> NDArray[np.float64]:
    """Loss of a feature that is not represented: its variance p/3 − p²/4 (the bias outputs its mean)."""
    p = np.asarray(density)
    loss: NDArray[np.float64] = np.asarray(importance) * (p / 3 - p**2 / 4)
    return loss


def antipodal_loss(density: ArrayLike, importance: ArrayLike) -> NDArray[np.float64]:
    """Loss of two features on one dimension as W = [1, −1] with no bias: p²(1 + r)/6, from both being active."""
    return np.asarray(np.asarray(density) ** 2 * (1 + np.asarray(importance)) / 6)


def antipodal_boundary(importance: ArrayLike) -> NDArray[np.float64]:
    """The density below which [1, −1] without bias beats one dedicated feature: 4r/(2+5r) for r ≤ 1, else 4/(5+2r)."""
    r = np.asarray(importance, dtype=np.float64)
    return np.where(r <= 1, 4 * r / (2 + 5 * r), 4 / (5 + 2 * r))


def expected_loss(
    weights: Float[NDArray[np.float64], "feature hidden"],
    bias: Vector,
    density: Vector,
    importance: Vector,
    nodes: int = 24,
) -> float:
    """The exact expected loss of a ReLU-output model, Σ over which features are active (the paper's L_k terms).

    Args:
        weights: One row per feature.
        bias: Output biases.
        density: Probability that each feature is active.
        importance: Weight of each feature's error.
        nodes: Gauss–Legendre nodes per active feature; the cost is nodes^features.
    """
    count = len(bias)
    gram = weights @ weights.T
    total = 0.0
    for size in range(count + 1):
        values, mass = _quadrature(size, nodes)
        for active in combinations(range(count), size):
            chance = np.prod([density[i] if i in active else 1 - density[i] for i in range(count)])
            x = np.zeros((len(values), count))
            x[:, list(active)] = values
            output = np.maximum(x @ gram + bias, 0.0)
            total += float(chance) * float(mass @ ((output - x) ** 2 @ importance))
    return total


@cache
def _quadrature(size: int, nodes: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Gauss–Legendre points and weights on the unit cube of `size` dimensions."""
    points, quadrature = np.polynomial.legendre.leggauss(nodes)
    index = np.array(list(product(range(nodes), repeat=size)), dtype=int).reshape(nodes**size, size)
    return (points[index] + 1) / 2, np.prod(quadrature[index] / 2, axis=1)


STRATEGIES = ((1.0, 0.0), (0.0, 1.0), (1.0, -1.0))
"""For n = 2, m = 1: the first feature alone, the second alone, both antipodal."""


def optimum(density: float, importance: float, strategy: Sequence[float]) -> tuple[float, NDArray[np.float64]]:
    """The best model of n = 2, m = 1 near a strategy, weights and biases free: its loss and (w_1, w_2, b_1, b_2)."""
    from scipy.optimize import minimize

    p, weight = np.full(2, density), np.array([1.0, importance])

    def loss(parameters: NDArray[np.float64]) -> float:
        return expected_loss(parameters[:2, None], parameters[2:], p, weight)

    start = np.array([*strategy, *(0.0 if w else density / 2 for w in strategy)])
    found = minimize(loss, start, method="Nelder-Mead", options={"xatol": 1e-6, "fatol": 1e-10, "maxiter": 4000})
    return float(found.fun), found.x


def best_strategy(density: float, importance: float) -> int:
    """Which of `STRATEGIES` theory prefers, each at its own optimum; 2 (superposition) where optima coincide there."""
    losses = []
    for strategy in STRATEGIES:
        loss, parameters = optimum(density, importance, strategy)
        both = min(abs(parameters[0]), abs(parameters[1])) > 0.2
        losses.append((loss, strategy, both))
    loss, strategy, both = min(losses)
    return 2 if both else STRATEGIES.index(strategy)


def optimised_boundary(importance: float, tolerance: float = 1e-3) -> float:
    """The density below which superposition is the best of all models of n = 2, m = 1, by bisection.

    Exchanging the features and dividing the loss by r leaves the optimum in place, so r and 1/r share a boundary.
    """
    importance = min(importance, 1 / importance)
    low, high = 0.01, 1.0
    while high - low > tolerance:
        middle = (low + high) / 2
        if best_strategy(middle, importance) == 2:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def three_feature_strategy(density: float, importance: float) -> int:
    """For n = 3, m = 2, I = (1, 1, r), the cheapest of four closed forms without bias.

    Returns:
        0: the third feature ignored; 1: one of the first two ignored; 2: the third antipodal to one of the first two;
        3: the first two antipodal and the third with a dimension of its own.
    """
    p, r = density, importance
    losses = [ignore_loss(p, r), ignore_loss(p, 1.0), antipodal_loss(p, r), antipodal_loss(p, 1.0)]
    return int(np.argmin([float(loss) for loss in losses]))


def one_sparse_loss(
    weights: Float[NDArray[np.float64], "feature hidden"], bias: Vector, importance: Vector, nodes: int = 200
) -> float:
    """L_1 of the paper: expected loss when exactly one feature, any, is active, summed over which one.

    Σ_i ∫ I_i (x − ReLU(‖W_i‖² x + b_i))² dx + Σ_{i≠j} ∫ I_j ReLU(W_j · W_i x + b_j)² dx.
    """
    points, quadrature = np.polynomial.legendre.leggauss(nodes)
    x, mass = (points + 1) / 2, quadrature / 2
    gram = weights @ weights.T
    output = np.maximum(gram[:, :, None] * x + bias[None, :, None], 0.0)  # [active, output, x]
    target = np.eye(len(bias))[:, :, None] * x
    return float(((output - target) ** 2 @ mass * importance[None, :]).sum())
