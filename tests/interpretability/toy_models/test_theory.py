"""Closed forms against brute-force integration and against simulation."""

import numpy as np
import pytest

from windtunnel.interpretability.toy_models import theory


def simulated(weights, bias, density, importance, samples=400_000):
    generator = np.random.default_rng(0)
    x = generator.random((samples, len(bias))) * (generator.random((samples, len(bias))) < density)
    output = np.maximum(x @ weights @ weights.T + bias, 0)
    losses = ((output - x) ** 2) @ importance
    return losses.mean(), losses.std() / samples**0.5


def test_quadrature_is_the_expected_loss():
    generator = np.random.default_rng(1)
    for features, hidden in ((2, 1), (3, 2)):
        weights, bias = generator.normal(size=(features, hidden)) * 0.7, generator.normal(size=features) * 0.1
        density, importance = generator.uniform(0.1, 0.9, features), generator.uniform(0.2, 1, features)
        expected, error = simulated(weights, bias, density, importance)
        assert theory.expected_loss(weights, bias, density, importance) == pytest.approx(expected, abs=5 * error)


@pytest.mark.parametrize("p", [0.05, 0.3, 0.9])
@pytest.mark.parametrize("r", [0.1, 1.0, 3.0])
def test_strategies_have_their_closed_forms(p, r):
    density, importance = np.full(2, p), np.array([1.0, r])
    antipodal = theory.expected_loss(np.array([[1.0], [-1.0]]), np.zeros(2), density, importance, nodes=200)
    assert antipodal == pytest.approx(float(theory.antipodal_loss(p, r)), rel=1e-4)
    ignore = theory.expected_loss(np.array([[1.0], [0.0]]), np.array([0, p / 2]), density, importance)
    assert ignore == pytest.approx(float(theory.ignore_loss(p, r)), rel=1e-9)


def test_the_boundary_without_biases_is_where_the_losses_cross():
    for r in (0.1, 0.3, 1.0, 4.0, 10.0):
        p = float(theory.antipodal_boundary(r))
        assert float(theory.antipodal_loss(p, r)) == pytest.approx(float(theory.ignore_loss(p, min(r, 1.0))))
    np.testing.assert_allclose(
        theory.antipodal_boundary([0.1, 0.3, 1, 10]), [0.16, 0.342857, 0.571429, 0.16], atol=1e-6
    )


def test_the_optimised_boundary_lies_higher_and_is_symmetric():
    boundary = theory.optimised_boundary(0.1, tolerance=5e-3)
    assert 0.176 < boundary < 0.224
    assert theory.optimised_boundary(10.0, tolerance=5e-3) == boundary


def test_symmetry_under_exchange_of_the_features():
    loss, _ = theory.optimum(0.1, 5.0, (1.0, -1.0))
    mirrored, _ = theory.optimum(0.1, 0.2, (1.0, -1.0))
    assert loss == pytest.approx(5.0 * mirrored, rel=1e-5)


def test_the_linear_optimum_is_the_best_of_many():
    importance = np.array([1.0, 0.6, 0.3])
    best = theory.linear_optimum(importance, 0.4, 1)
    variance = 0.4 / 3 - 0.4**2 / 4
    assert best == pytest.approx(0.9 * variance)
    generator = np.random.default_rng(0)
    x = generator.random((100_000, 3)) * (generator.random((100_000, 3)) < 0.4)
    for _ in range(20):
        direction = generator.normal(size=(3, 1))
        centred = x - x.mean(0)
        coefficient, *_ = np.linalg.lstsq(centred @ direction, centred, rcond=None)
        rank_one = (((centred - centred @ direction @ coefficient) ** 2) @ importance).mean()
        assert rank_one > best * 0.99


def test_saxes_form_at_the_optimum_leaves_the_ignored_importances():
    importance = np.array([1.0, 0.5, 0.25])
    assert theory.linear_loss(np.eye(3)[:, :2], importance) == pytest.approx(0.25)
    assert theory.linear_loss(np.array([[1.0], [-1.0]]), np.ones(2)) == pytest.approx(2.0)


def test_one_sparse_loss_is_the_leading_term():
    weights, bias = np.array([[1.0], [-0.9], [0.2]]), np.array([-0.05, 0.02, 0.0])
    importance, p = np.array([1.0, 0.7, 0.3]), 1e-5
    none = float(np.maximum(bias, 0) ** 2 @ importance)
    total = theory.expected_loss(weights, bias, np.full(3, p), importance, nodes=60)
    leading = (total - (1 - p) ** 3 * none) / (p * (1 - p) ** 2)
    assert theory.one_sparse_loss(weights, bias, importance) == pytest.approx(leading, rel=1e-3)


def test_a_pentagon_is_free_of_positive_interference_for_one_sparse_inputs():
    """Neighbours at 72° interfere positively; a bias pays for it, the norm makes up for the bias."""
    turn = 2 * np.pi * np.arange(5) / 5
    pentagon = np.stack([np.cos(turn), np.sin(turn)], axis=1)
    plain = theory.one_sparse_loss(pentagon, np.zeros(5), np.ones(5))
    scale = 1.2
    biased = theory.one_sparse_loss(pentagon * scale, np.full(5, -0.2), np.ones(5))
    assert biased < plain


def test_three_features_change_phase():
    assert theory.three_feature_strategy(1.0, 0.1) == 0
    assert theory.three_feature_strategy(1.0, 10.0) == 1
    assert theory.three_feature_strategy(0.01, 0.3) == 2
    assert theory.three_feature_strategy(0.01, 9.0) == 3
