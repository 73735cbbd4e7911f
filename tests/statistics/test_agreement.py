"""Agreement against published examples, by its definition, and where it is not defined."""

import itertools

import numpy as np
import pytest

from windtunnel.laboratory.errors import DataError, UsageError
from windtunnel.statistics.agreement import cohen_kappa, fleiss_kappa, krippendorff_alpha, percent_agreement
from windtunnel.statistics.comparisons import benjamini_hochberg

FLEISS = [
    (0, 0, 0, 0, 14),
    (0, 2, 6, 4, 2),
    (0, 0, 3, 5, 6),
    (0, 3, 9, 2, 0),
    (2, 2, 8, 1, 1),
    (7, 7, 0, 0, 0),
    (3, 2, 6, 3, 0),
    (2, 5, 3, 2, 2),
    (6, 5, 2, 1, 0),
    (0, 2, 2, 3, 7),
]
"""Ratings by category of ten subjects by fourteen raters: the worked example of kappa = 0.210."""

X = None
KRIPPENDORFF = [
    (1, 1, X, 1),
    (2, 2, 3, 2),
    (3, 3, 3, 3),
    (3, 3, 3, 3),
    (2, 2, 2, 2),
    (1, 2, 3, 4),
    (4, 4, 4, 4),
    (1, 1, 2, 1),
    (2, 2, 2, 2),
    (X, 5, 5, 5),
    (X, X, 1, 1),
    (X, X, 3, X),
]
"""Four observers, twelve units (Krippendorff, 2011, section C)."""


@pytest.fixture
def generator():
    return np.random.default_rng(0)


def spread(counts):
    return [[category for category, times in enumerate(row) for _ in range(times)] for row in counts]


def test_fleiss_example(generator):
    found = fleiss_kappa(spread(FLEISS), generator=generator)
    assert found.value == pytest.approx(0.20993, abs=1e-4)
    assert found.low < found.value < found.high


@pytest.mark.parametrize(("scale", "expected"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849)])
def test_krippendorff_example(scale, expected, generator):
    assert krippendorff_alpha(KRIPPENDORFF, scale, generator=generator).value == pytest.approx(expected, abs=6e-4)


def test_cohen_example(generator):
    """Fifty proposals: both yes 20, both no 15, differing 5 and 10: kappa 0.4."""
    first = ["yes"] * 25 + ["no"] * 25
    second = ["yes"] * 20 + ["no"] * 5 + ["yes"] * 10 + ["no"] * 15
    found = cohen_kappa(first, second, generator=generator)
    assert found.value == pytest.approx(0.4)
    assert 0.1 < found.low < 0.3 < 0.5 < found.high < 0.7


def test_percent_agreement_counts_pairs(generator):
    rows = [(1, 1, 2), (1, 1, 1), (2, 1, X)]
    alike = [np.mean([a == b for a, b in itertools.combinations([r for r in row if r], 2)]) for row in rows]
    assert percent_agreement(rows, generator=generator).value == pytest.approx(np.mean(alike))


def test_independent_raters_agree_by_chance_and_intervals_cover_it(generator):
    inside = 0
    for seed in range(60):
        rows = np.random.default_rng(seed).integers(3, size=(60, 3)).tolist()
        found = krippendorff_alpha(rows, generator=generator, resamples=300)
        inside += found.low <= 0 <= found.high
    assert inside >= 52


def test_raters_who_agree_have_one(generator):
    rows = [(value, value, value) for value in (0, 1, 1, 0, 2, 1, 0)]
    for statistic in (percent_agreement, fleiss_kappa, krippendorff_alpha):
        assert statistic(rows, generator=generator).interval == pytest.approx((1, 1))


def test_what_is_not_defined_is_said(generator):
    with pytest.raises(DataError, match="not defined"):
        fleiss_kappa([(1, 1), (1, 1)], generator=generator)
    assert percent_agreement([(1, 1), (1, 1)], generator=generator).interval == (1, 1)
    with pytest.raises(DataError, match="two ratings"):
        krippendorff_alpha([(1, None), (None, 2)], generator=generator)
    with pytest.raises(DataError, match="krippendorff_alpha"):
        fleiss_kappa([(1, 2, None), (1, 1, 2)], generator=generator)
    with pytest.raises(DataError, match="needs numbers"):
        krippendorff_alpha([("a", "b"), ("a", "a")], "ordinal", generator=generator)
    with pytest.raises(DataError, match="several types"):
        percent_agreement([("a", 1)], generator=generator)
    with pytest.raises(UsageError, match="one-to-one"):
        cohen_kappa([1], [1, 2], generator=generator)


def test_benjamini_and_hochberg():
    """Their own example of fifteen p-values: at 0.05 the first four are found."""
    values = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262, 0.5719, 0.6528]
    values += [0.7590, 1.0]
    adjusted = benjamini_hochberg(values)
    assert sum(value <= 0.05 for value in adjusted) == 4
    shuffled = np.random.default_rng(0).permutation(15)
    assert np.allclose(benjamini_hochberg([values[place] for place in shuffled]), np.array(adjusted)[shuffled])
    from scipy.stats import false_discovery_control

    assert adjusted == pytest.approx(false_discovery_control(values))
    with pytest.raises(DataError, match="between 0 and 1"):
        benjamini_hochberg([1.5])
