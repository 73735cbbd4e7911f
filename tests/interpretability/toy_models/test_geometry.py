import numpy as np
import pytest

from windtunnel.interpretability.toy_models import geometry as g


def turned(shape, seed=0):
    turn = np.linalg.qr(np.random.default_rng(seed).normal(size=(20, 20)))[0][: shape.shape[1]]
    return shape @ turn


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        (np.eye(3), 1.0),
        (g.polygon(2), 1 / 2),
        (g.polygon(3), 2 / 3),
        (g.polygon(5), 2 / 5),
        (g.polygon(7), 2 / 7),
        (g.simplex(4), 3 / 4),
        (g.simplex(6), 5 / 6),
        (g.square_antiprism(), 3 / 8),
        (g.tegum(g.polygon(2), g.polygon(2), g.polygon(2)), 1 / 2),
    ],
)
def test_polytopes_have_their_dimensionalities(shape, expected):
    np.testing.assert_allclose(g.dimensionality(turned(shape)), expected, atol=1e-12)
    np.testing.assert_allclose(g.norms(turned(shape)), 1.0, atol=1e-12)


def test_tegum_products_keep_their_parts():
    bipyramid = turned(g.tegum(g.polygon(3), g.polygon(2)))
    np.testing.assert_allclose(g.dimensionality(bipyramid), [2 / 3] * 3 + [1 / 2] * 2, atol=1e-12)
    assert g.dimensionality(bipyramid).sum() == pytest.approx(3)


def test_an_unlearned_feature_has_none_and_disturbs_nobody():
    weights = np.vstack([g.polygon(2), np.zeros((1, 1))])
    np.testing.assert_allclose(g.dimensionality(weights), [0.5, 0.5, 0.0])
    np.testing.assert_allclose(g.superposition(weights), [1.0, 1.0, 0.0])


def test_dimensions_per_feature():
    assert g.dimensions_per_feature(np.eye(4)) == 1.0
    assert g.dimensions_per_feature(g.polygon(5)) == pytest.approx(2 / 5)


def test_angles_go_round_once():
    gaps = g.angles(g.polygon(5))
    np.testing.assert_allclose(gaps, 72.0)
    assert g.angles(np.vstack([np.eye(2), [[0.01, 0.01]]])).sum() == pytest.approx(360.0)


def test_the_line_test_wants_a_peak_and_not_a_crowd():
    generator = np.random.default_rng(0)
    crowd = generator.uniform(0, 1, size=5_000)
    assert not g.line_test(crowd, 0.5).present
    peak = np.concatenate([crowd, np.full(100, 0.5)])
    assert g.line_test(peak, 0.5).present
    assert not g.line_test(np.full(9, 0.5), 0.5).present


@pytest.mark.parametrize(
    ("shape", "name"),
    [
        (g.polygon(2), "digon"),
        (g.polygon(3), "triangle"),
        (g.polygon(5), "pentagon"),
        (g.simplex(4), "tetrahedron"),
        (g.square_antiprism(), "square antiprism"),
        (np.eye(1), "dedicated dimension"),
        (g.polygon(6), "6 features in 2 dimensions"),
    ],
)
def test_polytopes_are_named(shape, name):
    weights = turned(shape)
    (group,) = g.clusters(weights, overlap=0.05)
    assert g.name_polytope(weights, group) == name


def test_groups_in_orthogonal_subspaces_are_told_apart():
    weights = turned(g.tegum(g.polygon(5), g.polygon(2), g.polygon(3)))
    names = sorted(g.name_polytope(weights, group) for group in g.clusters(weights))
    assert names == ["digon", "pentagon", "triangle"]
