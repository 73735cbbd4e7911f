"""Intervals against closed forms, and how often they cover the truth."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import stats

from windtunnel.laboratory.errors import DataError, UsageError
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


@pytest.mark.parametrize(
    ("draw", "truth"),
    [(lambda generator: generator.normal(size=8), 0.0), (lambda generator: generator.exponential(2.0, size=40), 2.0)],
    ids=["few", "skewed"],
)
def test_the_bootstrap_covers_as_it_says(draw, truth):
    generator = np.random.default_rng(1)
    hits = sum(covers(bootstrap(draw(generator), generator=generator, resamples=300), truth) for _ in range(1000))
    assert_coverage(hits, 1000, slack=0.01)  # it is right in the limit only; a plain one covers 89 % of the few


def test_the_bootstrap_is_as_wide_as_students_interval_for_few_values():
    data = np.random.default_rng(4).normal(size=10)
    exact, estimate = mean(data), bootstrap(data, generator=np.random.default_rng(0), resamples=20_000)
    assert estimate.high - estimate.low == pytest.approx(exact.high - exact.low, rel=0.1)


def test_the_bootstrap_agrees_with_the_normal_interval_where_that_is_right():
    data = np.random.default_rng(2).normal(size=400)
    estimate = bootstrap(data, generator=np.random.default_rng(0))
    exact = mean(data)
    assert estimate.value == exact.value
    assert estimate.low == pytest.approx(exact.low, abs=0.01)
    assert estimate.high == pytest.approx(exact.high, abs=0.01)


@pytest.mark.parametrize("statistic", [np.mean, np.median], ids=["mean", "median"])
def test_clusters_cover_where_single_samples_do_not(statistic):
    generator = np.random.default_rng(3)
    names = np.repeat(np.arange(15), 10)
    replicates = 400 if statistic is np.mean else 60
    clustered = alone = 0
    for _ in range(replicates):
        data = np.repeat(generator.normal(size=15), 10) + 0.1 * generator.normal(size=150)
        options = {"generator": generator, "statistic": statistic, "resamples": 300}
        clustered += covers(bootstrap(data, clusters=names, **options), 0.0)
        alone += covers(bootstrap(data, **options), 0.0)
    assert_coverage(clustered, replicates, slack=0.02)
    assert alone < 0.7 * replicates


def test_clusters_of_one_are_samples_and_their_order_does_not_matter():
    data = np.random.default_rng(0).exponential(size=30)
    alone = bootstrap(data, generator=np.random.default_rng(5))
    assert bootstrap(data, generator=np.random.default_rng(5), clusters=np.arange(30)).interval == pytest.approx(
        alone.interval
    )
    names = np.array(list("abcdefghijkl")).repeat([1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4])
    shuffled = np.random.default_rng(1).permutation(30)
    first = bootstrap(data, generator=np.random.default_rng(5), clusters=names)
    second = bootstrap(data[shuffled], generator=np.random.default_rng(5), clusters=names[shuffled])
    assert first.interval == pytest.approx(second.interval)
    slow = bootstrap(data, generator=np.random.default_rng(5), clusters=names, statistic=lambda x, axis: x.mean(axis))
    assert first.interval == pytest.approx(slow.interval)


def test_the_work_for_many_samples_grows_with_their_number_only():
    """The acceleration of a hundred thousand samples would take their square."""
    numbers = 0

    def counted(data, axis):
        nonlocal numbers
        numbers += np.size(data)
        return np.mean(data, axis=axis)

    data = np.random.default_rng(0).normal(size=100_000)
    bootstrap(data, generator=np.random.default_rng(0), statistic=counted, resamples=100)
    assert numbers <= 110 * len(data)


def test_a_median_that_no_single_sample_moves_has_an_interval():
    estimate = bootstrap([0, 0, 0, 0, 0, 1, 1, 1], generator=np.random.default_rng(0), statistic=np.median)
    assert (estimate.value, estimate.low, estimate.high) == (0, 0, 1)


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
    assert bootstrap([1.0, 5.0, 2.0], generator=generator).interval == (1.0, 5.0)
    assert bootstrap([0.1] * 7, generator=generator, clusters=[1, 1, 2, 2, 2, 3, 3]).interval == pytest.approx(
        (0.1, 0.1)
    )


@pytest.mark.parametrize("values", [[], [1.0, np.nan], [np.inf]])
def test_nothing_and_not_a_number_are_refused(values):
    with pytest.raises(DataError, match="An interval needs"):
        mean(values)
    with pytest.raises(DataError, match="An interval needs"):
        bootstrap(values, generator=np.random.default_rng(0))


@pytest.mark.parametrize("level", [0.0, 1.0, 95, float("nan")])
def test_a_level_is_a_share(level):
    for estimate in (
        lambda: mean([1.0, 2.0], level=level),
        lambda: mean([1.0], level=level),
        lambda: proportion(1, 2, level=level),
        lambda: bootstrap([1.0, 2.0], generator=np.random.default_rng(0), level=level),
    ):
        with pytest.raises(UsageError, match="between 0 and 1"):
            estimate()


@given(
    st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=12),
    st.sampled_from([0.5, 0.95, 0.999]),
    st.integers(0, 2**32),
    st.booleans(),
)
@example([-1.008903115526066e-112] * 2, 0.5, 0, False)
@settings(max_examples=60, deadline=None)
def test_every_sample_has_an_ordered_interval(values, level, seed, clustered):
    clusters = [index // 2 for index in range(len(values))] if clustered else None
    estimate = bootstrap(values, generator=np.random.default_rng(seed), clusters=clusters, level=level, resamples=200)
    assert estimate.value == np.mean(values)
    assert estimate.low <= estimate.high
    if np.isfinite(estimate.low):
        assert min(values) - 1e-6 <= estimate.low
        assert estimate.high <= max(values) + 1e-6


def test_counts_that_do_not_fit_are_refused():
    for successes, trials in [(3, 2), (0, 0), (-1, 4), (1.5, 4)]:
        with pytest.raises(DataError, match="is not a proportion"):
            proportion(successes, trials)
    with pytest.raises(DataError, match="do not fit"):
        worst_case(5, 6, 10)
    with pytest.raises(UsageError, match="one per value"):
        bootstrap([1.0, 2.0], generator=np.random.default_rng(0), clusters=["a"])


@given(st.integers(0, 50), st.integers(0, 50), st.integers(0, 50))
def test_failed_samples_stay_in_the_denominator(right, wrong, missing):
    if right + wrong + missing == 0:
        return
    low, high = worst_case(right, missing, right + wrong + missing)
    assert 0 <= low <= right / max(right + wrong, 1) <= 1 or right + wrong == 0
    assert high - low == pytest.approx(missing / (right + wrong + missing))


def test_reading_an_estimate_loads_no_numpy():
    code = "import sys; from windtunnel.statistics import Estimate; assert 'numpy' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
