"""Profile intervals: as wide as the data make them, open where nothing bounds them, right as often as they say."""

import json

import numpy as np
import pytest
from scipy.stats import f

from windtunnel.laboratory.errors import UsageError
from windtunnel.scaling.fitting import fit
from windtunnel.scaling.laws.power import PowerLawPlusConstant
from windtunnel.scaling.profiling import profile
from windtunnel.scaling.saving import load_law, save_law

LAW = PowerLawPlusConstant(2.2, 80.0, 0.3)


def runs(seed=0, low=2, high=6, rows=16, noise=0.005):
    x = np.geomspace(10**low, 10**high, rows)
    return {"x": x, "loss": LAW.predict(x=x) * np.exp(noise * np.random.default_rng(seed).normal(size=rows))}


@pytest.mark.slow
@pytest.mark.parametrize("delta", [1e-3, np.inf])
def test_intervals_hold_the_planted_constant_about_as_often_as_they_say(delta):
    hits = 0
    for seed in range(30):
        found = profile(fit(PowerLawPlusConstant, **runs(seed), delta=delta))
        hits += found.low <= LAW.L_inf <= found.high
    assert hits >= 23  # 27 expected at a level of 0.9; fewer than 23 in one of forty such tests


def rise(data, fitted, value):
    """F statistic of holding the constant at a value, by two fits."""
    held = fit(PowerLawPlusConstant, **data, delta=np.inf, fixed={"L_inf": value})
    least = float((fitted.residuals**2).sum())
    return (float((held.residuals**2).sum()) - least) / (least / (len(data["x"]) - 3))


def test_least_squares_give_the_interval_of_the_likelihood_ratio():
    data = runs()
    fitted = fit(PowerLawPlusConstant, **data, delta=np.inf)
    found = profile(fitted)
    for end in (found.low, found.high):
        assert rise(data, fitted, end) == pytest.approx(f.ppf(0.9, 1, 13), rel=0.05)


def test_a_higher_level_is_wider_and_the_value_lies_within():
    fitted = fit(PowerLawPlusConstant, **runs())
    narrow, wide = profile(fitted, level=0.5), profile(fitted, level=0.95)
    assert wide.low < narrow.low < narrow.value < narrow.high < wide.high
    assert narrow.level == 0.5
    assert profile(fitted).level == fitted.level


def test_an_exponent_has_a_profile_too():
    found = profile(fit(PowerLawPlusConstant, **runs()), "alpha")
    assert found.low < LAW.alpha < found.high
    assert found.high / found.low < 1.3


def test_ends_are_open_where_nothing_bounds_them():
    found = profile(fit(PowerLawPlusConstant, **runs(seed=1, low=2, high=3, rows=8, noise=0.02)))
    assert found.low == 0.0  # the constant may be nothing at all
    assert LAW.L_inf < found.high < 3.0
    assert json.loads(json.dumps(found.report(), allow_nan=False))["interval"][0] == 0.0


def test_a_constant_that_vanished_in_the_fit_has_an_upper_end():
    data = runs(low=2, high=2.6, rows=16, noise=0.03)
    fitted = fit(PowerLawPlusConstant, **data, delta=np.inf)
    assert fitted.parameters["L_inf"] < 1e-6
    found = profile(fitted)
    assert found.low == 0.0
    assert rise(data, fitted, found.high) == pytest.approx(f.ppf(0.9, 1, 13), rel=0.05)


def test_what_has_no_profile_is_one_sentence(tmp_path):
    fitted = fit(PowerLawPlusConstant, **runs())
    with pytest.raises(UsageError, match="no parameter 'beta'"):
        profile(fitted, "beta")
    with pytest.raises(UsageError, match="held at a value"):
        profile(fit(PowerLawPlusConstant, **runs(), fixed={"L_inf": 2.0}))
    with pytest.raises(UsageError, match="no parameter None"):
        profile(fit("power-law", **runs()))
    save_law(fitted, tmp_path / "law.json")
    with pytest.raises(UsageError, match="read from a file"):
        profile(load_law(tmp_path / "law.json"))
