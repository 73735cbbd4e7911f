"""Curves from scratch and their inverse; what is below, above and within them."""

import numpy as np
import pytest

from windtunnel.laboratory.errors import DataError
from windtunnel.scaling.laws.kaplan import LossOfParametersAndTokens
from windtunnel.scaling.transfer.effective import transfers
from windtunnel.scaling.transfer.surface import Runs, curve, surface

KAPLAN = LossOfParametersAndTokens(6.4e13, 0.076, 1.8e13, 0.103)
SIZES = np.array([1e6, 1e7, 1e8])


def runs_of(data, noise=0.0, seeds=1):
    n, d, seed = (each.ravel() for each in np.meshgrid(SIZES, data, np.arange(seeds), indexing="ij"))
    loss = KAPLAN.predict(parameters=n, tokens=d)
    return Runs.of(n, d, loss + noise * np.random.default_rng(0).normal(size=len(n)), seed)


def test_data_to_loss_to_data_is_a_round_trip():
    curves = surface(runs_of(np.geomspace(1e5, 1e10, 21)))
    between = np.geomspace(2e5, 5e9, 40)
    for size, found in curves.items():
        below = KAPLAN.enough_tokens(size) * 10
        wanted = between[between < below]  # beyond it the loss is flat, and no loss says how much data
        low, high = found.data_for(KAPLAN.predict(parameters=size, tokens=wanted))
        assert (low == high).all()
        assert np.abs(low / wanted - 1).max() < 0.02


def test_a_curve_falls_strictly_whatever_the_noise():
    data = np.repeat(np.geomspace(1e3, 1e6, 9), 2)
    loss = 3 - 0.2 * np.log10(data) + 0.2 * np.random.default_rng(1).normal(size=18)
    found = curve(data, loss)
    assert (np.diff(found.loss) < 0).all()
    assert (np.diff(found.log_data) > 0).all()
    assert (found.slope_at(np.geomspace(1e3, 1e6, 50)) <= 0).all()
    assert found.noise == pytest.approx(0.2, rel=0.6)


def test_pooled_sizes_are_one_knot_in_their_middle():
    found = curve([10, 100, 1000, 10_000], [3.0, 2.0, 2.2, 1.0])
    assert found.loss == pytest.approx([3.0, 2.1, 1.0])
    assert np.exp(found.log_data) == pytest.approx([10, 100**0.5 * 1000**0.5, 10_000])


def test_what_a_curve_does_not_reach_is_a_bound():
    found = curve([10, 100, 1000], [3.0, 2.0, 1.0])
    assert [float(end[0]) for end in found.data_for(0.9)] == [pytest.approx(1000), np.inf]
    assert [float(end[0]) for end in found.data_for(3.1)] == [0.0, pytest.approx(10)]
    assert [float(end[0]) for end in found.data_for(2.0)] == [pytest.approx(100), pytest.approx(100)]


def test_enough_data_is_where_the_loss_is_a_hundredth_above_the_least():
    found = curve(np.geomspace(1e2, 1e8, 13), 1 + np.geomspace(1e2, 1e8, 13) ** -0.5 * 10)
    exact = (10 / (float(found.loss[-1]) / 0.99 - 1)) ** 2
    assert found.enough() == pytest.approx(exact, rel=0.1)


def test_noise_between_seeds_becomes_spread_of_the_data():
    """The spread told is that which repeating the runs shows."""
    data, truth = np.geomspace(1e5, 1e8, 7), 3e6
    told, drawn = [], []
    for repeat in range(200):
        generator = np.random.default_rng(repeat)
        seeds = np.repeat(np.arange(2), 7)
        d = np.tile(data, 2)
        loss = KAPLAN.predict(parameters=np.full(14, 1e8), tokens=d) + 0.01 * generator.normal(size=14)
        mine = KAPLAN.predict(parameters=1e8, tokens=truth) + 0.01 * generator.normal()
        found = transfers(surface(Runs.of(np.full(14, 1e8), d, loss, seeds)), Runs.of([1e8], [1e5], [mine]))
        told.append(found.spread[0])
        drawn.append(np.log(found.low[0]))
    assert np.median(told) == pytest.approx(np.std(drawn), rel=0.35)


def test_transfers_are_signed_and_marked():
    scratch = Runs.of([1e3] * 4, [10, 100, 1000, 10_000], [4.0, 3.0, 2.0, 1.0])
    found = transfers(surface(scratch), Runs.of([1e3] * 4, [10, 100, 1000, 100], [2.0, 3.5, 0.5, 3.0]))
    assert found.exact.tolist() == [True, True, False, True]
    assert found.transferred[0] == pytest.approx(990)
    assert found.transferred[1] < 0
    assert found.transferred[2] == pytest.approx(9_000)
    assert found.transferred[3] == pytest.approx(0, abs=1e-9)
    assert found.multiplier[0] == pytest.approx(100)
    assert found.low_data.tolist() == [True, True, False, True]


@pytest.mark.parametrize(
    "act",
    [
        lambda: curve([10, 10], [1.0, 2.0]),
        lambda: curve([10, 100], [1.0, 2.0]),
        lambda: Runs.of([1.0], [1.0, 2.0], [1.0]),
        lambda: Runs.of([], [], []),
        lambda: Runs.of([1.0], [1.0], [float("nan")]),
        lambda: transfers({}, Runs.of([5.0], [1.0], [1.0])),
    ],
)
def test_what_gives_no_curve_is_one_sentence(act):
    with pytest.raises(DataError) as caught:
        act()
    assert "\n" not in str(caught.value)
