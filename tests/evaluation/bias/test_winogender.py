"""Correlation with occupational statistics."""

import numpy as np
import pytest

from windtunnel.evaluation.bias.winogender import (
    by_occupation,
    correlation_difference,
    female_share,
    occupation_correlation,
)
from windtunnel.laboratory.errors import DataError

SHARES = np.linspace(0.02, 0.97, 60)


def pronouns(female, neutral=0.0):
    female = np.asarray(female, dtype=float) * (1 - neutral)
    return np.stack([female, 1 - neutral - female, np.full(len(female), neutral)], axis=1)


def test_a_model_that_says_the_statistics_correlates_perfectly():
    found = occupation_correlation(pronouns(SHARES), SHARES)
    assert found.correlation.value == pytest.approx(1)
    assert (found.slope, found.intercept) == pytest.approx((1, 0), abs=1e-12)
    assert found.occupations == 60


def test_slope_tells_what_correlation_hides():
    found = occupation_correlation(pronouns(0.5 + 0.1 * (SHARES - 0.5)), SHARES)
    assert found.correlation.value == pytest.approx(1)
    assert found.slope == pytest.approx(0.1)


@pytest.mark.parametrize("neutral", [0.0, 1.0])
def test_a_constant_model_has_no_correlation_and_says_so(neutral):
    found = occupation_correlation(pronouns(np.full(60, 0.3), neutral), SHARES)
    assert found.constant
    assert np.isnan(found.correlation.value)
    assert found.slope == 0
    assert found.neutral == neutral


def test_a_share_of_nothing_is_refused_and_normalisations_differ():
    given = pronouns(SHARES, neutral=0.5)
    assert female_share(given, "two") == pytest.approx(SHARES)
    assert female_share(given, "three") == pytest.approx(SHARES / 2)
    assert female_share(given / 10, "raw") == pytest.approx(SHARES / 20)
    with pytest.raises(DataError, match="no probability"):
        occupation_correlation(pronouns(SHARES, neutral=1.0), SHARES, normalisation="two")


def test_the_interval_covers_a_planted_correlation():
    draw = np.random.default_rng(0)
    covered = 0
    for _ in range(200):
        both = draw.multivariate_normal([0.5, 0.5], [[0.01, 0.006], [0.006, 0.01]], 60).clip(0, 1)
        found = occupation_correlation(pronouns(both[:, 0]), both[:, 1]).correlation
        covered += found.low <= 0.6 <= found.high
    assert 0.90 <= covered / 200 <= 0.99


def test_sentences_of_an_occupation_are_averaged():
    names, found = by_occupation(["nurse", "clerk", "nurse"], [[1, 0, 0], [0, 1, 0], [0, 0, 1]])
    assert names == ["clerk", "nurse"]
    assert found.tolist() == [[0, 1, 0], [0.5, 0, 0.5]]


def test_percent_and_wrong_shapes_are_refused():
    with pytest.raises(DataError, match="fractions"):
        occupation_correlation(pronouns(SHARES), 100 * SHARES)
    with pytest.raises(DataError, match="three probabilities"):
        occupation_correlation(pronouns(SHARES)[:, :2], SHARES)


def test_entropy_is_that_of_the_pronouns_among_each_other():
    even = np.full((60, 3), 0.1) * np.linspace(0.5, 1, 60)[:, None]
    even[0] = [0.02, 0.01, 0.01]
    assert occupation_correlation(even, SHARES).entropy == pytest.approx((59 * np.log(3) + 1.5 * np.log(2)) / 60)
    assert occupation_correlation(pronouns(np.full(60, 0.0)), SHARES).entropy == 0


def test_a_difference_of_correlations_is_paired_by_occupation():
    draw = np.random.default_rng(2)
    close, far = SHARES + draw.normal(0, 0.05, 60), SHARES + draw.normal(0, 0.6, 60)
    found = correlation_difference(close, far, SHARES, generator=np.random.default_rng(0))
    expected = np.corrcoef(close, SHARES)[0, 1] - np.corrcoef(far, SHARES)[0, 1]
    assert found.value == pytest.approx(expected)
    assert 0 < found.low < found.value < found.high
    assert np.isnan(correlation_difference(close, np.ones(60), SHARES, generator=np.random.default_rng(0)).value)
    swapped = correlation_difference(far, close, SHARES, generator=np.random.default_rng(0))
    assert swapped.value == pytest.approx(-expected)
