"""Intervals against closed forms, and how often they cover the truth."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from windtunnel.statistics import bootstrap, mean, proportion, wilson, worst_case


def covers(estimate, truth):
    return estimate.low <= truth <= estimate.high


def assert_coverage(hits, trials, level=0.95, slack=0.0):
    """The number of hits is one that a true coverage of `level` (less `slack`) gives with 99.9 % probability."""
    low = stats.binom.ppf(0.0005, trials, level - slack)
    high = stats.binom.ppf(0.9995, trials, level)
    assert low <= hits <= high, (hits, low, high)


def test_students_interval_is_the_textbook_one():
    data = [2.0, 4.0, 6.0, 9.0]
    estimate = mean(data)
    low, high = stats.t.interval(0.95, 3, loc=5.25, scale=stats.sem(data))
    assert (estimate.value, estimate.low, estimate.high) == pytest.approx((5.25, low, high))


def test_students_interval_covers_as_it_says():
    generator = np.random.default_rng(0)
    hits = sum(covers(mean(generator.normal(1.0, 2.0, size=5)), 1.0) for _ in range(1000))
    assert_coverage(hits, 1000)


@pytest.mark.parametrize(("successes", "trials"), [(0, 10), (3, 10), (10, 10), (1, 1)])
def test_the_exact_interval_solves_its_defining_equations(successes, trials):
    estimate = proportion(successes, trials)
    if successes > 0:
        assert stats.binom.sf(successes - 1, trials, estimate.low) == pytest.approx(0.025)
    else:
        assert estimate.low == 0
    if successes < trials:
        assert stats.binom.cdf(successes, trials, estimate.high) == pytest.approx(0.025)
    else:
        assert estimate.high == 1


@pytest.mark.parametrize("truth", [0.02, 0.3, 0.9])
def test_the_exact_interval_never_covers_too_rarely(truth):
    coverage = sum(stats.binom.pmf(count, 40, truth) for count in range(41) if covers(proportion(count, 40), truth))
    assert coverage >= 0.95


def test_wilsons_interval_is_the_textbook_one():
    z = stats.norm.ppf(0.975)
    centre = (0.3 + z**2 / 20) / (1 + z**2 / 10)
    half = z * np.sqrt(0.3 * 0.7 / 10 + z**2 / 400) / (1 + z**2 / 10)
    estimate = wilson(3, 10)
    assert (estimate.low, estimate.high) == pytest.approx((centre - half, centre + half))


def test_the_bootstrap_covers_about_as_it_says_even_when_skewed():
    generator = np.random.default_rng(1)
    hits = 0
    for _ in range(300):
        data = generator.exponential(2.0, size=40)
        hits += covers(bootstrap(data, generator=generator, resamples=500), 2.0)
    assert_coverage(hits, 300, slack=0.04)


def test_the_bootstrap_agrees_with_the_normal_interval_where_that_is_right():
    data = np.random.default_rng(2).normal(size=400)
    estimate = bootstrap(data, generator=np.random.default_rng(0))
    exact = mean(data)
    assert estimate.value == exact.value
    assert estimate.low == pytest.approx(exact.low, abs=0.01)
    assert estimate.high == pytest.approx(exact.high, abs=0.01)


def test_clusters_widen_the_interval_and_cover_where_single_samples_do_not():
    generator = np.random.default_rng(3)
    clustered = alone = 0
    for _ in range(200):
        centres = generator.normal(size=30)
        data = np.repeat(centres, 10) + 0.1 * generator.normal(size=300)
        names = np.repeat(np.arange(30), 10)
        clustered += covers(bootstrap(data, generator=generator, clusters=names, resamples=300), 0.0)
        alone += covers(bootstrap(data, generator=generator, resamples=300), 0.0)
    assert_coverage(clustered, 200, slack=0.05)
    assert alone < 140


def test_the_same_generator_gives_the_same_interval():
    data = np.arange(30.0)
    first = bootstrap(data, generator=np.random.default_rng(5))
    assert first == bootstrap(data, generator=np.random.default_rng(5))
    assert first != bootstrap(data, generator=np.random.default_rng(6))


def test_another_statistic():
    data = np.random.default_rng(0).normal(size=200)
    estimate = bootstrap(data, generator=np.random.default_rng(0), statistic=np.median)
    assert estimate.value == np.median(data)
    assert covers(estimate, 0.0)


def test_what_little_data_can_say():
    generator = np.random.default_rng(0)
    assert mean([3.0]).interval == (-np.inf, np.inf)
    assert bootstrap([3.0], generator=generator).interval == (-np.inf, np.inf)
    assert bootstrap([3.0, 3.0, 3.0], generator=generator).interval == (3.0, 3.0)
    assert bootstrap([1.0, 2.0], generator=generator, clusters=["a", "a"]).interval == (-np.inf, np.inf)


@pytest.mark.parametrize("values", [[], [1.0, np.nan], [np.inf]])
def test_nothing_and_not_a_number_are_refused(values):
    with pytest.raises(ValueError, match="an interval needs"):
        mean(values)
    with pytest.raises(ValueError, match="an interval needs"):
        bootstrap(values, generator=np.random.default_rng(0))


def test_counts_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="is not a proportion"):
        proportion(3, 2)
    with pytest.raises(ValueError, match="is not a proportion"):
        proportion(0, 0)
    with pytest.raises(ValueError, match="do not fit"):
        worst_case(5, 6, 10)
    with pytest.raises(ValueError, match="one per value"):
        bootstrap([1.0, 2.0], generator=np.random.default_rng(0), clusters=["a"])


@given(st.integers(0, 50), st.integers(0, 50), st.integers(0, 50))
def test_failed_samples_stay_in_the_denominator(right, wrong, missing):
    if right + wrong + missing == 0:
        return
    low, high = worst_case(right, missing, right + wrong + missing)
    assert 0 <= low <= right / max(right + wrong, 1) <= 1 or right + wrong == 0
    assert high - low == pytest.approx(missing / (right + wrong + missing))
