import numpy as np
import pytest
from scipy import stats

from windtunnel.laboratory.errors import DataError, UsageError
from windtunnel.statistics import correlation, difference_of_proportions, holm, mcnemar, paired_difference


def test_pairing_sees_a_difference_that_the_spread_of_items_hides():
    generator = np.random.default_rng(0)
    items = generator.normal(0, 10, size=60)
    first, second = items + 0.5 + generator.normal(0, 0.3, 60), items + generator.normal(0, 0.3, 60)
    found = paired_difference(first, second, generator=generator)
    assert found.difference.low > 0
    assert found.p_value < 0.01
    assert stats.ttest_ind(first, second).pvalue > 0.5


def test_the_sign_flip_test_is_right_about_no_difference():
    generator = np.random.default_rng(1)
    p_values = [
        paired_difference(generator.normal(size=15), np.zeros(15), generator=generator, resamples=199).p_value
        for _ in range(400)
    ]
    assert stats.kstest(p_values, "uniform").pvalue > 0.001


def test_clusters_make_a_repeated_item_count_once():
    gaps = np.repeat([1.0, -0.2, 0.7, 0.4], 50)
    names = np.repeat(np.arange(4), 50)
    alone = paired_difference(gaps, np.zeros(200), generator=np.random.default_rng(0))
    together = paired_difference(gaps, np.zeros(200), generator=np.random.default_rng(0), clusters=names)
    assert alone.p_value < 0.001
    assert together.p_value > 0.1
    assert together.difference.high - together.difference.low > alone.difference.high - alone.difference.low


def test_mcnemar_is_the_binomial_test_of_the_discordant_pairs():
    first = np.array([1] * 12 + [0] * 3 + [1] * 20)
    second = np.array([0] * 12 + [1] * 3 + [1] * 20)
    assert mcnemar(first, second) == pytest.approx(2 * stats.binom.cdf(3, 15, 0.5))
    assert mcnemar(first, first) == 1.0


def test_correlation_covers_as_it_says():
    generator = np.random.default_rng(2)
    hits = 0
    for _ in range(600):
        x, y = generator.multivariate_normal([0, 0], [[1, 0.6], [0.6, 1]], size=25).T
        estimate = correlation(x, y)
        hits += estimate.low <= 0.6 <= estimate.high
    assert stats.binom.ppf(0.0005, 600, 0.95) <= hits <= stats.binom.ppf(0.9995, 600, 0.95)


def test_holm_is_the_textbook_example():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_few_items_are_tested_exactly():
    found = paired_difference([1.0, 2.0, 3.0, 4.0], np.zeros(4), generator=np.random.default_rng(0))
    assert found.p_value == pytest.approx(2 / 2**4)  # all signs alike, either way
    alone = paired_difference([1.0, 2.0], [0.0, 0.0], generator=np.random.default_rng(0), clusters=["a", "a"])
    assert (alone.p_value, alone.difference.interval) == (1.0, (-np.inf, np.inf))


def test_the_difference_of_proportions_is_newcombes_example():
    """Newcombe (1998), table II, 56/70 and 48/80 by method 10."""
    estimate = difference_of_proportions(56, 70, 48, 80)
    assert (estimate.value, estimate.low, estimate.high) == pytest.approx((0.2, 0.0524, 0.3339), abs=5e-5)
    turned = difference_of_proportions(48, 80, 56, 70)
    assert turned.interval == pytest.approx((-estimate.high, -estimate.low))


@pytest.mark.parametrize(("first", "second"), [(0.3, 0.3), (0.9, 0.6), (0.05, 0.2)])
def test_the_difference_of_proportions_covers_as_it_says(first, second):
    """The exact coverage, by summing over all pairs of counts."""
    weights = np.outer(stats.binom.pmf(range(31), 30, first), stats.binom.pmf(range(26), 25, second))
    covered = 0.0
    for one, other in np.argwhere(weights > 1e-6):
        estimate = difference_of_proportions(one, 30, other, 25)
        covered += weights[one, other] * (estimate.low <= first - second <= estimate.high)
    assert 0.93 <= covered <= 0.985


def test_what_is_not_paired_or_not_a_number_is_refused():
    generator = np.random.default_rng(0)
    with pytest.raises(UsageError, match="one-to-one"):
        paired_difference([1.0], [1.0, 2.0], generator=generator)
    with pytest.raises(DataError, match="finite"):
        paired_difference([1.0, np.nan], [1.0, 2.0], generator=generator)
    with pytest.raises(UsageError, match="one-to-one"):
        mcnemar([1], [1, 0])
    with pytest.raises(DataError, match="1 for right"):
        mcnemar([1, 0.5], [1, 0])
    with pytest.raises(DataError, match="finite"):
        mcnemar([1, np.nan], [1, 0])
    with pytest.raises(DataError, match="vary"):
        correlation([1, 1, 1, 1], [1, 2, 3, 4])
    with pytest.raises(DataError, match="four pairs"):
        correlation([1, 2, 3], [1, 2, 3])
    with pytest.raises(DataError, match="is not a proportion"):
        difference_of_proportions(1, 2, 3, 0)
    with pytest.raises(DataError, match="p-value"):
        holm([0.5, np.nan])
