"""Trends over a family: least squares by hand, coverage, false alarms, and the sign test."""

import math

import numpy as np
import pytest

from windtunnel.evaluation.behaviour import Measured, sign_test, slope_over_questions, trend, trends
from windtunnel.laboratory.errors import DataError, UsageError

SIZES = np.repeat([1e3, 1e4, 1e5, 1e6], 3)


@pytest.fixture
def generator():
    return np.random.default_rng(0)


def test_the_slope_is_that_of_least_squares_per_decade(generator):
    values = np.array([0.5, 0.52, 0.51, 0.6, 0.58, 0.62, 0.7, 0.73, 0.69, 0.8, 0.79, 0.83])
    found = trend(SIZES, values, generator=generator)
    slope, _ = np.polyfit(np.log10(SIZES), values, 1)
    assert found.slope.value == pytest.approx(slope)
    from scipy.stats import linregress, t

    line = linregress(np.log10(SIZES), values)
    assert found.slope.high - found.slope.value == pytest.approx(t.ppf(0.975, 10) * line.stderr)
    assert found.rises()
    assert not found.falls()
    linear = trend(SIZES, values, generator=generator, axis="linear")
    assert linear.slope.value == pytest.approx(np.polyfit(SIZES, values, 1)[0])


def test_few_runs_are_permuted_exactly(generator):
    found = trend([10, 100, 1_000, 10_000], [0.1, 0.2, 0.3, 0.4], generator=generator)
    assert found.p_value == pytest.approx(2 / math.factorial(4))
    assert found.rank_correlation == pytest.approx(1)


def test_intervals_cover_and_permutations_keep_their_rate():
    rng, truth, inside, alarms = np.random.default_rng(1), 0.05, 0, 0
    for _ in range(300):
        noise = rng.normal(0, 0.05, len(SIZES))
        inside += _covers(trend(SIZES, truth * np.log10(SIZES) + noise, generator=rng, permutations=99), truth)
        alarms += trend(SIZES, noise, generator=rng, permutations=99).p_value <= 0.05
    assert 0.91 <= inside / 300 <= 0.985
    assert alarms / 300 <= 0.085


def _covers(found, truth):
    return found.slope.low <= truth <= found.slope.high


def test_behaviours_that_change_are_found_among_many_that_do_not():
    rng = np.random.default_rng(2)
    rows = []
    for number in range(40):
        slope = 0.08 if number < 10 else 0.0
        values = 0.5 + slope * np.log10(SIZES) + rng.normal(0, 0.03, len(SIZES))
        rows += [Measured(f"b{number}", x, value) for x, value in zip(SIZES, values, strict=True)]
    found = trends(rows, generator=rng, permutations=2_000)
    rising = {each.behaviour for each in found if each.rises()}
    assert {f"b{number}" for number in range(10)} <= rising
    assert len(rising) <= 12
    assert all(each.adjusted >= each.p_value for each in found)


def test_signs_are_counted(generator):
    up = [trend([1, 10, 100], [1, 2, 3], generator=generator)] * 8
    down = [trend([1, 10, 100], [3, 2, 1], generator=generator)] * 2
    flat = [trend([1, 10, 100], [1, 1, 1], generator=generator)]
    found = sign_test([*up, *down, *flat])
    assert (found.rising, found.falling) == (8, 2)
    assert found.p_value == pytest.approx(2 * sum(math.comb(10, k) for k in (8, 9, 10)) / 2**10)
    assert flat[0].p_value == 1
    with pytest.raises(DataError, match="nothing to count"):
        sign_test(flat)


def test_over_questions_the_models_are_held_fixed(generator):
    values = np.array([[0, 0, 1, 1], [0, 1, 1, 1], [1, 1, 1, 1]], dtype=float)
    found = slope_over_questions([1, 10, 100], values, generator=generator)
    assert found.value == pytest.approx(np.polyfit([0, 1, 2], values.mean(1), 1)[0])
    assert found.low <= found.value <= found.high
    same = slope_over_questions([1, 10, 100], values, generator=generator, clusters=["a"] * 4)
    assert same.interval == (-math.inf, math.inf)


@pytest.mark.parametrize(
    ("x", "values", "error"),
    [([1, 10], [0, 1], DataError), ([5, 5, 5], [0, 1, 2], DataError), ([0, 1, 2], [0, 1, 2], DataError)],
)
def test_what_has_no_trend_is_refused(x, values, error, generator):
    with pytest.raises(error):
        trend(x, values, generator=generator)


def test_words_that_mean_nothing_are_refused(generator):
    with pytest.raises(UsageError, match="axis"):
        trend([1, 2, 3], [1, 2, 3], generator=generator, axis="log")
    with pytest.raises(UsageError, match="row for each"):
        slope_over_questions([1, 2], np.zeros((3, 2)), generator=generator)
