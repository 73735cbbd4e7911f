"""Fits: what was planted is found and covered; the public points give what was published; every warning fires."""

import csv
import json
import os
from pathlib import Path

import numpy as np
import pytest

from windtunnel.laboratory.errors import DataError, UsageError
from windtunnel.scaling.fitting import fit
from windtunnel.scaling.laws.chinchilla import Chinchilla
from windtunnel.scaling.laws.kaplan import LossOfParametersAndTokens
from windtunnel.scaling.pitfalls import pitfalls
from windtunnel.scaling.reports import report_fit
from windtunnel.scaling.resampling import percentile_interval, student, widening

LAW = Chinchilla(1.8172, 482.01, 2085.43, 0.3478, 0.3658)
TABLE_2 = LossOfParametersAndTokens(6.4e13, 0.076, 1.8e13, 0.103)


def planted(law=LAW, rows=40, noise=0.01, seed=0, size=(5, 10), data=(7, 12)):
    """Runs of sizes and data drawn evenly in logarithms."""
    generator = np.random.default_rng(seed)
    n, d = 10 ** generator.uniform(*size, rows), 10 ** generator.uniform(*data, rows)
    d = np.maximum(d, n)  # no run too short to lie on a law
    loss = law.predict(parameters=n, tokens=d) * np.exp(noise * generator.normal(size=rows))
    return {"parameters": n, "tokens": d, "loss": loss}


def exponents(law):
    return {symbol: value for symbol, value in law.parameters.items() if symbol.startswith(("alpha", "beta"))}


@pytest.mark.parametrize("law", [LAW, TABLE_2])
def test_exponents_of_forty_noisy_runs(law):
    found = fit(type(law), **planted(law), bootstrap=100)
    for symbol, value in exponents(law).items():
        assert found.parameters[symbol] == pytest.approx(value, rel=0.05)
        low, high = found.intervals[symbol]
        assert low < found.parameters[symbol] < high
    assert found.warnings == []


@pytest.mark.parametrize("law", [LAW, pytest.param(TABLE_2, marks=pytest.mark.slow)])
def test_intervals_cover_the_truth_as_often_as_they_say(law):
    hits = dict.fromkeys(exponents(law), 0)
    missed = {symbol: [] for symbol in hits}
    for seed in range(50):
        found = fit(type(law), **planted(law, seed=seed), bootstrap=100, seed=seed)
        for symbol, value in exponents(law).items():
            low, high = found.intervals[symbol]
            hits[symbol] += low <= value <= high
            missed[symbol].append(abs(found.parameters[symbol] / value - 1))
    for symbol in hits:
        assert np.median(missed[symbol]) < 0.05
        assert 40 <= hits[symbol] <= 48, hits  # 80 % to 97 % of 50, at a level of 90 %


def test_the_seed_decides():
    runs = planted()
    one, same, other = (fit("chinchilla", **runs, bootstrap=20, seed=seed) for seed in (1, 1, 2))
    assert one.intervals == same.intervals
    assert one.intervals != other.intervals
    assert one.parameters == other.parameters


def test_checkpoints_are_resampled_by_run():
    generator = np.random.default_rng(0)
    sizes = np.repeat(10 ** generator.uniform(6, 9, 12), 8)
    d = np.tile(np.geomspace(1e9, 1e12, 8), 12)
    run = np.repeat(np.arange(12), 8)
    shared = 0.02 * generator.normal(size=12)[run]  # each run is better or worse all along
    loss = LAW.predict(parameters=sizes, tokens=d) * np.exp(shared + 0.001 * generator.normal(size=96))
    runs = {"parameters": sizes, "tokens": d, "loss": loss}
    by_row = fit("chinchilla", **runs, bootstrap=60)
    by_run = fit("chinchilla", **runs, bootstrap=60, clusters=[f"run {place}" for place in run])
    assert by_run.parameters == by_row.parameters
    assert by_run.settings["resampled"] == 12
    widths = [np.log(found.intervals["alpha"][1] / found.intervals["alpha"][0]) for found in (by_row, by_run)]
    assert widths[1] > 1.5 * widths[0]
    assert any("give the run of each row as clusters" in line for line in by_row.warnings)
    assert not any("as clusters" in line for line in by_run.warnings)


def test_a_weight_of_two_is_a_row_twice():
    runs = planted(rows=20)
    twice = {name: np.concatenate([values, values[:10]]) for name, values in runs.items()}
    weighted = fit("chinchilla", **runs, weights=np.repeat([2.0, 1.0], 10), delta=np.inf)
    assert weighted.parameters == pytest.approx(fit("chinchilla", **twice, delta=np.inf).parameters, rel=1e-3)


def test_sum_and_mean_have_one_minimum():
    runs = planted()
    mean = fit("chinchilla", **runs, reduction="mean")
    assert mean.parameters == pytest.approx(fit("chinchilla", **runs).parameters, rel=1e-3)
    assert any("averaged and not summed: harmless" in line for line in mean.warnings)


def test_what_is_held_stays_and_the_rest_is_fitted():
    found = fit("chinchilla", **planted(noise=0), fixed={"alpha": 0.3478, "E": 1.8172}, bootstrap=10)
    assert found.parameters["alpha"] == pytest.approx(0.3478, rel=1e-12)
    assert found.parameters["beta"] == pytest.approx(0.3658, rel=1e-3)
    assert np.ptp(found.replicates.alpha) < 1e-12


def test_intervals_of_anything_that_follows_from_a_law():
    found = fit("chinchilla", **planted(), bootstrap=60)
    low, high = found.interval(lambda law: law.optimum(1e21).tokens)
    assert low < float(found.optimum(1e21).tokens) < high
    lows, highs = found.predict_interval(parameters=1e9, tokens=np.array([1e10, 1e11]))
    assert (lows < found.predict(parameters=1e9, tokens=np.array([1e10, 1e11]))).all()
    assert lows.shape == highs.shape == (2,)
    assert found.deviation(lambda law: law.alpha) > 0
    assert json.loads(json.dumps(found.report(), allow_nan=False))["optimal_parameters_exponent"]["interval"]
    wider = fit("chinchilla", **planted(), bootstrap=60, level=0.99)
    assert wider.intervals["alpha"][0] < found.intervals["alpha"][0]


def test_few_runs_widen_and_many_do_not():
    assert student(12, 5, 0.9) == pytest.approx(1.8946 / 1.6449, rel=1e-3)
    assert widening(100_000, 5, 0.9) == pytest.approx(1, abs=1e-3)
    assert widening(12, 5, 0.9) == pytest.approx((12 / 7) ** 0.5 * 1.8946 / 1.6449, rel=1e-3)
    drawn = np.random.default_rng(0).normal(size=20_000)
    plain, wide = percentile_interval(drawn, 0.9), percentile_interval(drawn, 0.9, 1.2)
    assert plain == (pytest.approx(-1.645, abs=0.05), pytest.approx(1.645, abs=0.05))
    assert wide[1] == pytest.approx(1.2 * 1.645, abs=0.06)


@pytest.mark.parametrize(
    ("options", "error", "word"),
    [
        ({"loss": [1.0, 2.0]}, UsageError, "one value a row"),
        ({"x": [1.0]}, UsageError, "is fitted to the columns parameters, tokens, loss"),
        ({"fixed": {"gamma": 1}}, UsageError, "no parameter 'gamma'"),
        ({"fixed": {"alpha": -1}}, UsageError, "must be positive"),
        ({"start": {"alpha": 1}}, UsageError, "A start of chinchilla gives"),
        ({"reduction": "median"}, UsageError, "sum or mean"),
        ({"delta": 0.0}, UsageError, "delta must be positive"),
        ({"tolerance": "tight"}, UsageError, "tolerance"),
        ({"tolerance": 2.0}, UsageError, "tolerance"),
        ({"bootstrap": 1}, UsageError, "at least 2 refits"),
        ({"level": 1.5}, UsageError, "level"),
        ({"weights": [1.0]}, UsageError, "one a row"),
        ({"weights": np.zeros(40)}, DataError, "weights must be positive"),
        ({"loss": np.full(40, np.nan)}, DataError, "loss must be positive and finite"),
        ({"clusters": ["a"] * 40, "bootstrap": 5}, UsageError, "at least 2 runs"),
        ({"parameters": [], "tokens": [], "loss": []}, DataError, "no rows"),
    ],
)
def test_wrong_usage_is_one_sentence(options, error, word):
    with pytest.raises(error, match=word) as told:
        fit("chinchilla", **{**planted(), **options})
    assert "\n" not in str(told.value)


def test_as_many_runs_as_parameters_are_too_few():
    with pytest.raises(DataError, match="5 parameters to fit and the data have 5 rows"):
        fit("chinchilla", **planted(rows=5))
    with pytest.raises(UsageError, match="no bootstrap"):
        fit("chinchilla", **planted()).interval(lambda law: law.E)
    with pytest.raises(UsageError, match="no compute-optimal split"):
        fit("power-law", x=[1.0, 2, 3], loss=[3.0, 2, 1.5]).optimum(1e20)


def outlying():
    runs = planted()
    runs["loss"][3] *= 1.5
    return runs


def short():
    runs = planted()
    runs["tokens"][:2] = runs["parameters"][:2] * 0.1
    return runs


def rounded():
    runs = planted()
    return runs | {"loss": np.round(runs["loss"], 1)}


def unlimited():
    """Data so plenty that it limits nothing."""
    return planted(data=(40, 45), noise=0)


@pytest.mark.parametrize(
    ("runs", "options", "sentence"),
    [
        (planted(), {"reduction": "mean", "tolerance": "loose"}, "stops the search before the minimum"),
        (planted(), {"reduction": "mean"}, "averaged and not summed"),
        (planted(), {"tolerance": 1e-3}, "is loose; 1e-12 costs little"),
        (planted(), {"reduction": "mean", "tolerance": 1e-3}, "is loose; 1e-12 costs little"),
        (planted(), {"start": LAW.parameters}, "began at one place"),
        (planted(size=(8, 8.5)), {}, "decades of parameters, fewer than"),
        (planted(data=(9, 11), size=(7, 9)), {}, "The reducible loss spans"),
        (short(), {}, "2 of 40 runs saw fewer than 0.45 tokens per parameter"),
        (planted(rows=8), {}, "8 rows for 5 parameters"),
        (outlying(), {}, "1 of 40 rows lie more than 6 robust"),
        (rounded(), {}, "has 3 significant digits"),
        (unlimited(), {}, "is at an edge"),
        (planted(), {"bootstrap": 10}, "10 refits are few"),
        (planted(rows=9), {"bootstrap": 100}, "Only 9 runs are resampled"),
    ],
)
def test_each_warning_fires(runs, options, sentence):
    assert any(sentence in line for line in fit("chinchilla", **runs, **options).warnings)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"starts": 30, "starts_that_agree": 1}, "Only 1 of 30 starts reached this minimum"),
        ({"converged": False}, "ran out of iterations"),
        ({"bootstrap": 200, "refits_not_converged": 0.1}, "10% of the bootstrap refits did not converge"),
    ],
)
def test_warnings_of_the_search(settings, sentence):
    found = fit("chinchilla", **planted())
    assert pitfalls(found) == []
    found.settings.update(settings)
    assert [line for line in pitfalls(found) if sentence in line]


def points():
    """The public points of Hoffmann et al.: tokens are FLOPs / 6 N."""
    path = Path(os.environ["WINDTUNNEL_DATA"]) / "chinchilla-points.csv"
    if not path.exists():
        pytest.skip("needs chinchilla-points.csv in WINDTUNNEL_DATA")
    rows = list(csv.DictReader(path.open()))
    n, c, loss = (np.array([float(row[name]) for row in rows]) for name in ("Model Size", "Training FLOP", "loss"))
    return {"parameters": n, "tokens": c / 6 / n, "loss": loss}


def without_the_shortest(runs):
    kept = np.argsort(runs["tokens"] / runs["parameters"])[5:]
    return {name: values[kept] for name, values in runs.items()}


@pytest.mark.data
def test_the_public_points_give_the_published_refit():
    found = fit("chinchilla", **without_the_shortest(points()), bootstrap=100)
    assert found.parameters["E"] == pytest.approx(1.817, abs=0.01)
    assert found.parameters["alpha"] == pytest.approx(0.347, abs=0.005)
    assert found.parameters["beta"] == pytest.approx(0.367, abs=0.01)
    assert float(found.law.exponent) == pytest.approx(0.514, abs=0.01)
    assert 0.015 <= float(found.deviation(lambda law: law.exponent)) <= 0.025


@pytest.mark.data
def test_the_report_leaves_the_shortest_out_and_says_what_they_do():
    points()
    path = Path(os.environ["WINDTUNNEL_DATA"]) / "chinchilla-points.csv"
    found, document = report_fit("chinchilla", path)
    assert found.parameters == pytest.approx(fit("chinchilla", **without_the_shortest(points())).parameters, rel=1e-3)
    assert (document["runs"], document["all_runs"]["runs"]) == (240, 245)
    assert document["all_runs"]["parameters"]["beta"] == pytest.approx(0.453, abs=0.002)
    assert "5 of 245 runs are left out" in document["warnings"][0]
    low, high = document["profile"]["interval"]
    assert 1.7 < low < 1.817 < high < 1.9


@pytest.mark.data
def test_all_public_points_give_the_other_published_fit():
    found = fit("chinchilla", **points())
    assert found.parameters["E"] == pytest.approx(1.891, abs=0.002)
    assert found.parameters["B"] == pytest.approx(12846, rel=0.01)
    assert found.parameters["beta"] == pytest.approx(0.453, abs=0.002)
    assert any("5 of 245 runs saw fewer than" in line for line in found.warnings)


@pytest.mark.data
def test_the_first_publication_is_an_early_end_of_the_search():
    runs = without_the_shortest(points())
    loose = fit("chinchilla", **runs, reduction="mean", tolerance="loose")
    assert abs(float(loose.law.exponent) - 0.514) > 0.02
    assert any("stops the search before the minimum" in line for line in loose.warnings)
    strict, plain = fit("chinchilla", **runs, reduction="mean"), fit("chinchilla", **runs)
    assert float(strict.law.exponent) == pytest.approx(float(plain.law.exponent), abs=1e-3)
