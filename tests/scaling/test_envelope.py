"""Frontiers, hulls and quantile lines, against closed forms and other algorithms."""

import numpy as np
import pytest
from scipy.spatial import ConvexHull

from windtunnel.laboratory.errors import DataError, UsageError
from windtunnel.scaling.envelope import curves, envelope_law, frontier, lower_hull, quantile_line
from windtunnel.scaling.laws.chinchilla import Chinchilla
from windtunnel.scaling.laws.power import PowerLawPlusConstant

LAW = Chinchilla(1.8, 480.0, 2100.0, 0.35, 0.37)


def training_curves(law, sizes, points=300):
    parameters, run = np.repeat(sizes, points), np.repeat(np.arange(len(sizes)), points)
    tokens = np.tile(np.geomspace(1e7, 1e14, points), len(sizes))
    return parameters, tokens, 6 * parameters * tokens, law.formula(parameters, tokens), run


def test_the_frontier_of_a_laws_curves_has_the_laws_exponent():
    found = frontier(curves(*training_curves(LAW, np.geomspace(1e6, 1e10, 40))))
    assert found.exponent == pytest.approx(LAW.exponent, abs=0.01)
    place = np.flatnonzero(found.inner)[::20]
    best = LAW.optimum(found.flops[place])
    assert found.parameters[place] == pytest.approx(best.parameters, rel=0.2)  # the sizes are 27 % apart
    assert found.loss[place] == pytest.approx(best.loss, rel=1e-3)
    assert 6 * found.parameters * found.tokens == pytest.approx(found.flops, rel=1e-9)


def test_the_smallest_and_the_largest_size_do_not_bend_the_power_law():
    parameters, tokens, flops, loss, run = training_curves(LAW, np.geomspace(1e7, 1e9, 20))
    found = frontier(curves(parameters, tokens, flops, loss, run))
    assert not found.inner.all()
    assert any("leaves them out" in warning for warning in found.warnings)
    everywhere = np.polyfit(np.log(found.flops), np.log(found.parameters), 1)[0]
    assert abs(found.exponent - LAW.exponent) < 0.02 < abs(everywhere - LAW.exponent)


def test_a_run_left_out_is_not_on_the_frontier():
    all_ = curves(*training_curves(LAW, np.geomspace(1e6, 1e10, 9)))
    found = frontier(all_, drawn=np.array([0, 2, 2, 4, 6, 8]))
    assert set(found.run) <= {0, 2, 4, 6, 8}


def test_curves_that_do_not_meet_have_no_frontier():
    with pytest.raises(DataError, match="overlap"):
        curves([1e6, 1e6, 1e9, 1e9], [1e6, 2e6, 1e9, 2e9], [6e12, 12e12, 6e18, 12e18], [5, 4, 3, 2], [0, 0, 1, 1])


def test_the_lower_hull_is_scipys():
    generator = np.random.default_rng(0)
    flops = np.exp(generator.uniform(0, 10, 300))
    loss = 1 + flops**-0.2 * np.exp(generator.exponential(0.5, 300))
    found = lower_hull(flops, loss, irreducible=1.0)
    x, y = np.log(flops), np.log(loss - 1)
    whole = set(ConvexHull(np.stack([x, y], axis=1)).vertices)
    assert set(found) <= whole
    assert (np.diff(x[found]) > 0).all()
    assert (np.diff(np.diff(y[found]) / np.diff(x[found])) > 0).all()
    inside = (x >= x[found[0]]) & (x <= x[found[-1]])
    assert (y[inside] >= np.interp(x[inside], x[found], y[found]) - 1e-12).all()


def test_a_quantile_line_has_its_share_of_points_below():
    generator = np.random.default_rng(1)
    x = generator.uniform(0, 5, 500)
    y = 2 - 0.3 * x + generator.exponential(0.2, 500)
    for quantile in (0.05, 0.5, 0.9):
        intercept, slope = quantile_line(x, y, quantile)
        assert (y < intercept + slope * x - 1e-9).mean() == pytest.approx(quantile, abs=0.01)
        assert slope == pytest.approx(-0.3, abs=0.05)
    intercept, slope = quantile_line(x, y, 0)
    gaps = y - intercept - slope * x
    assert gaps.min() > -1e-9
    assert (gaps < 1e-9).sum() >= 2


@pytest.mark.parametrize("quantile", [0.0, 0.05])
def test_an_envelope_finds_the_constant_and_the_exponent(quantile):
    truth = PowerLawPlusConstant(2.2, 1e12, 0.13)
    flops = np.geomspace(1e12, 1e20, 60)
    above = np.exp(np.where(np.arange(60) % 3 == 0, 0.0, np.random.default_rng(2).exponential(0.05, 60)))
    found = envelope_law(flops, truth.predict(x=flops) * above, quantile=quantile)
    assert found.L_inf == pytest.approx(2.2, rel=0.03)
    assert found.alpha == pytest.approx(0.13, rel=0.15)
    exact = envelope_law(flops, truth.predict(x=flops), irreducible=2.2)
    assert exact.vector() == pytest.approx(truth.vector(), rel=1e-6)


def test_what_has_no_envelope_is_explained():
    with pytest.raises(DataError, match="do not fall"):
        envelope_law([1, 2, 3, 4], [1.0, 2.0, 3.0, 4.0])
    with pytest.raises(UsageError, match="quantile"):
        quantile_line([1, 2], [1, 2], 2)
    with pytest.raises(UsageError, match="irreducible"):
        lower_hull([1, 2], [1.0, 2.0], irreducible=1.5)
