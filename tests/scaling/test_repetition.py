"""Planted sizes and bands are recovered; the regression's closed form agrees with simulation and with what is exact."""

import numpy as np
import pytest

from windtunnel.laboratory.errors import DataError, UsageError
from windtunnel.scaling.repetition.band import HERNANDEZ, fit_band, half_maximum
from windtunnel.scaling.repetition.calculator import predict, predict_corpus, worst_multiplier
from windtunnel.scaling.repetition.duplicates import DuplicatedRegression
from windtunnel.scaling.repetition.effective_size import ControlLadder

SIZES = np.geomspace(1e6, 1e9, 7)


def falling(size):
    return 1.7 + (1.5e7 / size) ** 0.3


def rising(size):
    return 0.8 - 0.5 * (1e6 / size) ** 0.25


@pytest.mark.parametrize("metric", [falling, rising])
@pytest.mark.parametrize("multiplier", [0.1, 0.5, 0.9])
def test_planted_multipliers_are_recovered(metric, multiplier):
    ladder = ControlLadder.fit(SIZES, metric(SIZES))
    for size in (2e7, 3e8, 8e8):
        found = ladder.invert(metric(size * multiplier), size)
        assert found.multiplier == pytest.approx(multiplier, rel=0.05)
        assert found.censored is None


def test_beyond_the_ladder_is_a_bound():
    for metric in (falling, rising):
        ladder = ControlLadder.fit(SIZES, metric(SIZES))
        below, above = ladder.invert(metric(1e5), 1e8), ladder.invert(metric(1e11), 1e8)
        assert (below.censored, above.censored) == ("below", "above")
        assert below.multiplier == pytest.approx(0.01)
        assert above.multiplier == pytest.approx(10)


def test_noisy_controls_become_monotone_and_a_flat_metric_is_refused():
    noisy = ControlLadder.fit([1e6, 1e6, 1e7, 1e8, 1e9], [4.0, 4.2, 3.0, 3.2, 2.0])
    assert (np.diff(noisy.values) < 0).all()
    assert len(noisy.values) == 3
    with pytest.raises(DataError, match="does not change"):
        ControlLadder.fit([1e6, 1e7, 1e8], [2.0, 2.0, 2.0])
    with pytest.raises(DataError, match="two or more sizes"):
        ControlLadder.fit([1e6, 1e6], [2.0, 2.1])
    with pytest.raises(DataError, match="no effective size"):
        noisy.invert(float("nan"), 1e6)


def test_half_maximum_is_interpolated_and_says_where_it_was_not_measured():
    half = half_maximum([1, 10, 100, 1000], [0.0, 0.5, 1.0, 0.0])
    assert (half.peak, half.left) == (100, pytest.approx(10))
    assert half.right == pytest.approx(10**2.5)
    assert half_maximum([1, 10, 100], [0.9, 1.0, 0.1]).left is None
    with pytest.raises(DataError, match="no band"):
        half_maximum([1, 10, 100], [0.0, -0.1, -0.2])


def test_a_planted_band_is_recovered_with_intervals():
    generator = np.random.default_rng(0)
    repeats = np.geomspace(1, 1e5, 41)
    damage = {}
    for size in (1e4, 1e5, 1e6, 1e7):
        centre, half_width = np.log(3e4) - 0.5 * np.log(size), np.log(6.0)
        bell = np.exp(-np.log(2) * ((np.log(repeats) - centre) / half_width) ** 2)
        damage[size] = bell * (1 + 0.1 * generator.standard_normal((4, 1))) + 0.01 * generator.standard_normal((4, 41))
    found = fit_band(repeats, damage, generator=generator, resamples=200)
    assert found.band.left.gamma == pytest.approx(-0.5, abs=0.05)
    assert found.band.right.gamma == pytest.approx(-0.5, abs=0.05)
    low, high = found.intervals["left.gamma"]
    assert low <= found.band.left.gamma <= high
    assert found.resamples == 200
    with pytest.raises(DataError, match="Two or more sizes"):
        fit_band(repeats, {1e6: damage[1e6]}, generator=generator)


def test_published_band():
    assert HERNANDEZ.edges(8e8) == pytest.approx((43, 1800), rel=0.02)
    assert HERNANDEZ.edges(1e11) == pytest.approx((2.9, 161), rel=0.02)


def test_prediction_of_a_stream():
    found = predict(8e8, 1e11, 0.1, 100)
    assert found.place == "inside"
    assert not found.warnings
    assert found.subset_tokens == pytest.approx(1e8)
    assert found.unique_share == pytest.approx(0.901)
    assert 0.9e11 < found.effective_tokens < 0.92e11
    assert found.worst_multiplier == pytest.approx(0.5)
    assert (predict(8e8, 1e11, 0.1, 4).place, predict(8e8, 1e11, 0.1, 1e4).place) == ("below", "above")
    assert len(predict(1e12, 1e13, 0.01, 4).warnings) == 3
    assert predict(8e8, 1e11, 0.5, 1).effective_tokens == pytest.approx(1e11)
    with pytest.raises(UsageError, match="fraction"):
        predict(8e8, 1e11, 0.0, 4)


def test_worst_multiplier_falls_with_the_fraction():
    shares = np.linspace(0, 1, 60)
    values = [worst_multiplier(share) for share in shares]
    assert (np.diff(values) <= 0).all()
    assert worst_multiplier(0.9) == pytest.approx(1 / 73)


def test_prediction_of_a_corpus():
    found = predict_corpus({1: 900, 100: 1}, 8e8, 1e11)
    assert found.inside_share == found.repeated_share == pytest.approx(0.1)
    assert found.unique_share == pytest.approx(0.901)
    assert [row["place"] for row in found.clusters] == ["below", "inside"]
    assert predict_corpus({1: 10}, 8e8, 1e11).effective_share == pytest.approx(1)
    assert predict_corpus({1: 10}, 8e8, 1e11, epochs=100).inside_share == 1
    with pytest.raises(DataError, match="histogram"):
        predict_corpus({}, 8e8, 1e11)


@pytest.mark.parametrize("fraction", [0.5, 0.1])
def test_regression_closed_form_agrees_with_simulation(fraction):
    model = DuplicatedRegression(fraction=fraction)
    generator = np.random.default_rng(0)
    for repeats in (1, 4, 16, 40):
        risks = model.simulate(repeats, generator, draws=150)
        assert risks.mean() == pytest.approx(model.risk(repeats), rel=0.03)


def test_regression_without_copies_is_the_known_one():
    model = DuplicatedRegression(rows=4_000, features=500)
    assert model.risk(1) == pytest.approx(2 + 3 * 500 / 3_500, rel=1e-6)
    with pytest.raises(UsageError, match="do not determine"):
        DuplicatedRegression(rows=60, features=50).risk(20)


def test_regression_peaks_inside():
    model = DuplicatedRegression()
    assert model.risk(16) / model.risk(1) == pytest.approx(1.42, abs=0.08)
    assert model.risk(200) < model.risk(16)
