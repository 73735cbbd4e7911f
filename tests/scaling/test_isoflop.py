"""IsoFLOP minima: where the parabola is right, where it is not, and variable projection beside it."""

import numpy as np
import pytest

from windtunnel.laboratory.errors import DataError, UsageError
from windtunnel.scaling.isoflop import budgets, isoflop_parabolas, variable_projection
from windtunnel.scaling.laws.chinchilla import Chinchilla

SYMMETRIC = Chinchilla(1.7, 400.0, 900.0, 0.35, 0.35)
LOPSIDED = Chinchilla(1.7, 6.3e4, 50.0, 0.6, 0.2)  # alpha / beta = 3


def grid(law, flops, shares):
    """Runs at shares of the best size at each budget."""
    best = law.optimum(np.asarray(flops)).parameters
    parameters = (best[:, None] * np.asarray(shares)).ravel()
    spent = np.repeat(flops, len(shares))
    tokens = spent / 6 / parameters
    return parameters, tokens, spent, law.formula(parameters, tokens)


def ladder(law, flops, sizes):
    """Runs of the same sizes at every budget, as they are trained in practice."""
    parameters, spent = np.tile(sizes, len(flops)), np.repeat(flops, len(sizes))
    tokens = spent / 6 / parameters
    return parameters, tokens, spent, law.formula(parameters, tokens)


def test_a_parabola_is_exact_where_the_bowl_is_symmetric():
    flops = np.geomspace(1e18, 1e21, 4)
    found = isoflop_parabolas(*grid(SYMMETRIC, flops, np.geomspace(1 / 8, 8, 7)))
    assert found.exponent == pytest.approx(0.5, abs=1e-9)
    assert found.warnings == []
    best = SYMMETRIC.optimum(flops)
    assert [m.parameters for m in found.minima] == pytest.approx(list(best.parameters), rel=1e-9)
    assert [m.tokens for m in found.minima] == pytest.approx(list(best.tokens), rel=1e-9)
    assert [m.flops for m in found.minima] == pytest.approx(list(flops), rel=1e-9)
    assert float(found.parameters(1e20)) == pytest.approx(float(SYMMETRIC.optimum(1e20).parameters), rel=1e-6)


def test_on_a_lopsided_surface_the_parabola_is_biased_and_variable_projection_is_exact():
    runs = ladder(LOPSIDED, np.geomspace(1e19, 1e21, 5), np.geomspace(1e8, 1e10, 9))
    parabola = isoflop_parabolas(*runs)
    assert [m.edge for m in parabola.minima] == [""] * 5
    assert abs(parabola.exponent - LOPSIDED.exponent) > 0.01
    surface = variable_projection(runs[0], runs[1], runs[3])
    assert surface.exponent == pytest.approx(LOPSIDED.exponent, abs=1e-6)
    assert surface.vector() == pytest.approx(LOPSIDED.vector(), rel=1e-6)


@pytest.mark.parametrize(
    "law", [SYMMETRIC, Chinchilla(0.9, 30.0, 8e3, 1.0, 1.1), Chinchilla(1.8, 482, 2085, 0.35, 0.37)]
)
def test_variable_projection_recovers_other_surfaces(law):
    parameters, tokens, _, loss = ladder(law, np.geomspace(1e12, 1e14, 4), np.geomspace(1e4, 1e6, 6))
    assert variable_projection(parameters, tokens, loss).vector() == pytest.approx(law.vector(), rel=1e-5)
    near = Chinchilla(1, 1, 1, law.alpha * 1.2, law.beta * 0.9)
    assert variable_projection(parameters, tokens, loss, near=near).vector() == pytest.approx(law.vector(), rel=1e-5)


def test_minima_at_the_edge_are_named_and_left_out():
    sizes = np.geomspace(1e8, 1.6e9, 6)
    found = isoflop_parabolas(*ladder(SYMMETRIC, np.geomspace(1e18, 1e22, 13), sizes))
    edges = [m.edge for m in found.minima]
    assert edges[0] == "smallest"
    assert edges[-1] == "largest"
    assert edges.count("") >= 2
    assert sum("extrapolation" in warning for warning in found.warnings) == sum(edge != "" for edge in edges)


def test_with_fewer_than_two_inner_minima_the_exponent_says_so():
    found = isoflop_parabolas(*ladder(SYMMETRIC, np.geomspace(1e22, 1e24, 3), np.geomspace(1e8, 1.6e9, 6)))
    assert any("rests on extrapolations" in warning for warning in found.warnings)


def test_budgets_are_told_apart_by_gaps():
    assert list(budgets([1e20, 1.03e18, 1e18, 3e19, 1.01e20])) == [2, 0, 0, 1, 2]


def test_the_same_minima_are_read_in_another_count():
    parameters, tokens, flops, loss = grid(SYMMETRIC, np.geomspace(1e18, 1e21, 4), np.geomspace(1 / 8, 8, 7))
    bare = parameters**1.2 / 100
    found = isoflop_parabolas(bare, tokens, 6 * bare * tokens, loss, budget=budgets(flops))
    best = SYMMETRIC.optimum(np.geomspace(1e18, 1e21, 4)).parameters
    assert [m.parameters for m in found.minima] == pytest.approx(list(best**1.2 / 100), rel=1e-9)


@pytest.mark.parametrize(
    ("columns", "error", "said"),
    [
        (([1e8, 1e9], [1e9, 1e9], [1e18, 1e18], [3.0, 2.9]), DataError, "fewer than the 3 sizes"),
        (([1e8, 2e8, 4e8], [1e9] * 3, [1e18] * 3, [3.0, 3.1, 3.0]), DataError, "no minimum"),
        (([1e8, 2e8], [1e9], [1e18, 1e18], [3.0, 3.0]), UsageError, "one-to-one"),
        (([1e8, -2e8], [1e9, 1e9], [1e18, 1e18], [3.0, 3.0]), DataError, "positive"),
    ],
)
def test_what_cannot_be_read_is_explained(columns, error, said):
    with pytest.raises(error, match=said):
        isoflop_parabolas(*columns)


def test_a_surface_needs_enough_runs():
    with pytest.raises(DataError, match="3 amounts"):
        variable_projection([1e8, 2e8, 3e8, 1e8, 2e8, 3e8], [1e9] * 6, [3.0, 2.9, 2.8, 3.0, 2.9, 2.8])
