"""Fits: the public Chinchilla points, planted laws with noise, intervals, profiles, selection, warnings, files."""

import os
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import minimize as scipy_minimize

from windtunnel.laboratory.errors import DataError, UsageError
from windtunnel.scaling import compare, fit, load_law, profile, save_law
from windtunnel.scaling.laws.chinchilla import Chinchilla
from windtunnel.scaling.laws.kaplan import LossOfParametersAndTokens
from windtunnel.scaling.optimization import HuberObjective, minimize
from windtunnel.scaling.reports import report_fit
from windtunnel.scaling.tables import read_table

LAW = Chinchilla(1.8172, 482.0, 2085.0, 0.3478, 0.3658)
KAPLAN = LossOfParametersAndTokens(6.4e13, 0.076, 1.8e13, 0.103)


@pytest.fixture(scope="module")
def points():
    place = Path(os.environ.get("WINDTUNNEL_DATA", "")) / "chinchilla-points.csv"
    if not os.environ.get("WINDTUNNEL_DATA") or not place.is_file():
        pytest.skip("needs chinchilla-points.csv in WINDTUNNEL_DATA")
    return place


def runs(law=LAW, noise=0.01, seed=0, count=40):
    generator = np.random.default_rng(seed)
    n = np.exp(generator.uniform(np.log(1e6), np.log(1e10), count))
    d = n * np.exp(generator.uniform(np.log(1), np.log(300), count))
    loss = law.predict(parameters=n, tokens=d) * np.exp(noise * generator.standard_normal(count))
    return {"parameters": n, "tokens": d, "loss": loss}


@pytest.mark.data
def test_public_points(points):
    found, document = report_fit("chinchilla", points, bootstrap=200)
    assert document["runs"] == 240
    assert found.parameters["E"] == pytest.approx(1.817, abs=0.01)
    assert found.parameters["alpha"] == pytest.approx(0.347, abs=0.005)
    assert found.parameters["beta"] == pytest.approx(0.367, abs=0.01)
    exponent = document["optimal_parameters_exponent"]
    assert exponent["value"] == pytest.approx(0.514, abs=0.01)
    assert 0.015 <= exponent["deviation"] <= 0.025
    whole = document["all_runs"]["parameters"]
    assert (whole["E"], whole["B"], whole["beta"]) == pytest.approx((1.891, 12846, 0.453), rel=2e-3)
    assert "5 of 245" in document["warnings"][0]
    low, high = document["profile"]["interval"]
    assert 1.7 < low < 1.817 < high < 1.9


@pytest.mark.data
def test_the_published_artefact_is_reproduced_and_warned_of(points):
    loose, _ = report_fit("chinchilla", points, reduction="mean", tolerance="loose")
    assert abs(float(loose.optimum(1e21).exponent) - 0.514) > 0.02
    assert any("loose tolerance" in warning for warning in loose.warnings)
    strict, _ = report_fit("chinchilla", points, reduction="mean")
    summed, _ = report_fit("chinchilla", points)
    assert float(strict.optimum(1e21).exponent) == pytest.approx(float(summed.optimum(1e21).exponent), abs=1e-3)


def test_minima_agree_with_scipy():
    data = runs()
    variables = (data["parameters"], data["tokens"])
    for delta in (1e-3, np.inf):
        objective = HuberObjective(Chinchilla, variables, data["loss"], np.ones((1, 40)), delta)
        starts = objective.to_free(Chinchilla.starts(variables, data["loss"]))
        ours = minimize(objective, starts).values.min()
        best = min(
            scipy_minimize(
                lambda point, of=objective: tuple(part[0] for part in of(point[None], np.array([0]))),
                start,
                jac=True,
                method="BFGS",
                options={"gtol": 1e-12, "maxiter": 2000},
            ).fun
            for start in starts[::5]
        )
        assert ours <= best * (1 + 1e-6)


@pytest.mark.parametrize(
    ("name", "law"), [("chinchilla", LAW), pytest.param("kaplan-parameters-tokens", KAPLAN, marks=pytest.mark.slow)]
)
def test_planted_exponents_and_coverage(name, law):
    exponents = [symbol for symbol in law.symbols() if symbol.startswith(("alpha", "beta"))]
    covered, middle = [], []
    for seed in range(50):
        found = fit(name, bootstrap=200, seed=seed, **runs(law, seed=seed))
        truth = law.parameters
        middle.append([found.parameters[symbol] / truth[symbol] for symbol in exponents])
        ends = found.intervals
        covered += [ends[symbol][0] <= truth[symbol] <= ends[symbol][1] for symbol in exponents]
    assert np.abs(np.median(middle, axis=0) - 1).max() < 0.05
    assert 0.8 <= np.mean(covered) <= 0.97


def test_clusters_widen_and_fixed_parameters_stay():
    data = runs(count=20)
    rows = {name: np.repeat(values, 10) for name, values in data.items()}
    alone = fit("chinchilla", bootstrap=200, **rows)
    together = fit("chinchilla", bootstrap=200, clusters=np.repeat(np.arange(20), 10), **rows)
    width = [np.ptp(found.intervals["alpha"]) for found in (alone, together)]
    assert width[1] > 2 * width[0]
    held = fit("chinchilla", fixed={"E": 1.7}, bootstrap=50, **data)
    assert held.parameters["E"] == pytest.approx(1.7)
    assert held.intervals["E"] == pytest.approx((1.7, 1.7))


def test_seeds_decide_replicates_and_predictions_have_intervals():
    first, second = (fit("chinchilla", bootstrap=100, seed=3, **runs()) for _ in range(2))
    assert first.intervals == second.intervals
    low, high = first.predict_interval(parameters=[1e8, 1e9], tokens=1e10)
    assert (low < LAW.predict(parameters=[1e8, 1e9], tokens=1e10)).all()
    assert (high > low).all()
    with pytest.raises(UsageError, match="no bootstrap"):
        fit("chinchilla", **runs()).interval(lambda law: law.E)


def test_the_profile_is_the_f_test_of_least_squares():
    x = np.geomspace(1e3, 1e6, 12)
    y = (2.0 + (50 / x) ** 0.4) * np.exp(0.003 * np.random.default_rng(1).standard_normal(12))
    found = fit("power-law-plus-constant", x=x, loss=y, delta=np.inf)
    shown = profile(found)
    for end in (shown.low, shown.high):
        held = fit("power-law-plus-constant", x=x, loss=y, delta=np.inf, fixed={"L_inf": end})
        from scipy.stats import f as f_distribution

        statistic = (held.objective / found.objective - 1) * 9
        assert statistic == pytest.approx(f_distribution.ppf(0.9, 1, 9), rel=0.02)


def test_the_law_that_is_true_extrapolates_best():
    data = runs(noise=0.003, count=80)
    data["flops"] = 6 * data["parameters"] * data["tokens"]
    rows = compare(["kaplan-flops", "chinchilla", "kaplan-parameters-tokens"], columns=data)
    assert rows[0].law == "chinchilla"
    assert min(rows, key=lambda row: row.aicc).law == "chinchilla"
    assert rows[0].held_out == 16


@pytest.mark.parametrize(
    ("change", "options", "said"),
    [
        (lambda d: d | {"tokens": d["tokens"] / d["tokens"].max() * d["parameters"].min()}, {}, "tokens per parameter"),
        (lambda d: d, {"reduction": "mean"}, "averaged"),
        (lambda d: d, {"tolerance": 1e-3}, "loose"),
        (lambda d: d, {"start": LAW.parameters}, "one place"),
        (lambda d: {k: v[d["parameters"] > 3e9] for k, v in d.items()}, {}, "decades of parameters"),
        (lambda d: {k: v[:8] for k, v in d.items()}, {}, "little to judge"),
        (lambda d: d | {"loss": np.where(np.arange(200) == 7, 2 * d["loss"], d["loss"])}, {}, "robust standard"),
        (lambda d: d | {"loss": np.round(d["loss"], 1)}, {}, "significant digits"),
        (lambda d: d, {"bootstrap": 20}, "refits are few"),
    ],
)
def test_pitfalls_are_said(change, options, said):
    found = fit("chinchilla", **options, **change(runs(count=200)))
    assert any(said in warning for warning in found.warnings), found.warnings


def test_checkpoints_taken_as_runs_are_noticed():
    generator = np.random.default_rng(0)
    n, d = (part.ravel() for part in np.meshgrid(np.geomspace(1e6, 1e9, 6), np.geomspace(1e9, 1e11, 12), indexing="ij"))
    loss = LAW.predict(parameters=n, tokens=d) * np.exp(np.repeat(0.02 * generator.standard_normal(6), 12))
    found = fit("chinchilla", parameters=n, tokens=d, loss=loss, delta=np.inf)
    assert any("checkpoints" in warning for warning in found.warnings)


def test_bad_input_is_said_in_one_sentence():
    with pytest.raises(UsageError, match="columns"):
        fit("chinchilla", parameters=[1.0], loss=[1.0])
    with pytest.raises(DataError, match="rows"):
        fit("chinchilla", parameters=[1.0], tokens=[1.0], loss=[1.0])
    with pytest.raises(UsageError, match="no parameter"):
        fit("chinchilla", fixed={"gamma": 1.0}, **runs())
    with pytest.raises(UsageError, match="tolerance"):
        fit("chinchilla", tolerance="tight", **runs())


def test_a_law_survives_its_file(tmp_path):
    found = fit("chinchilla", bootstrap=50, **runs())
    save_law(found, tmp_path / "law.json")
    again = load_law(tmp_path / "law.json")
    assert again.parameters == found.parameters
    assert again.intervals == found.intervals
    assert np.allclose(again.residuals, found.residuals)
    (tmp_path / "law.json").write_text("[]")
    with pytest.raises(DataError, match="no fitted law"):
        load_law(tmp_path / "law.json")


def test_tables_are_read_and_columns_guessed(tmp_path):
    (tmp_path / "a.csv").write_text("Model Size;Training FLOP;loss\n1e6;6e14;3.0\n2e6;;2.9\n3e6;9e15;2.8\n")
    chosen = read_table(tmp_path / "a.csv").choose(Chinchilla)
    assert chosen.columns["tokens"].tolist() == pytest.approx([1e8, 5e8])
    assert chosen.left_out == 1
    (tmp_path / "b.jsonl").write_text('{"N": 1e6, "D": 1e8, "val_loss": 3}\n')
    assert read_table(tmp_path / "b.jsonl").choose(Chinchilla).columns["loss"] == [3.0]
    (tmp_path / "c.tsv").write_text("n\td\tl\n1\t2\t3\n")
    assert read_table(tmp_path / "c.tsv").choose(Chinchilla).sources["tokens"] == "d"
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    parquet.write_table(pyarrow.table({"params": [1.0], "tokens": [2.0], "loss": [3.0]}), tmp_path / "d.parquet")
    assert read_table(tmp_path / "d.parquet").choose(Chinchilla).columns["parameters"] == [1.0]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "empty"),
        (b"a,b\n", "no rows"),
        (b"\x00\x01\x02\xff", "binary"),
        (b"n,d,loss\n1,2\n", "Line 2"),
        (b"n,d,loss\n1,two,3\n", "no number"),
        (b"n,n,loss\n1,2,3\n", "two columns"),
        (b"n,loss\n1,3\n", "no column for tokens"),
        (b"[1, 2]", "no JSON objects"),
        (b"PAR1 nonsense", "Parquet"),
    ],
)
def test_broken_files_are_said_in_one_sentence(tmp_path, content, said):
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises((DataError, UsageError), match=said):
        read_table(tmp_path / "t.csv").choose(Chinchilla)
    with pytest.raises(DataError, match="cannot be read"):
        read_table(tmp_path / "missing.csv")
