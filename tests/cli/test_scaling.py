"""The verb `fit`: what people and programs read, the file it leaves, and what is wrong with a request."""

import json

import numpy as np
import pytest

from windtunnel.cli import main
from windtunnel.scaling.laws import LAWS
from windtunnel.scaling.laws.chinchilla import Chinchilla
from windtunnel.scaling.saving import load_law

LAW = Chinchilla(1.8172, 482.01, 2085.43, 0.3478, 0.3658)


def told(capsys, *arguments):
    with pytest.raises(SystemExit) as stopped:
        main(["fit", *map(str, arguments)])
    return stopped.value.code, capsys.readouterr()


@pytest.fixture
def table(tmp_path):
    """Forty runs that follow the law, and two that were far too short."""
    generator = np.random.default_rng(0)
    n, d = 10 ** generator.uniform(5, 9, 40), 10 ** generator.uniform(9, 12, 40)
    n, d = np.append(n, [1e9, 2e9]), np.append(d, [1e8, 2e8])
    loss = LAW.predict(parameters=n, tokens=d) * np.exp(0.005 * generator.normal(size=42))
    rows = [f"{a},{b},{c},run {place}" for place, (a, b, c) in enumerate(zip(n, d, loss, strict=True))]
    path = tmp_path / "runs.csv"
    path.write_text("\n".join(["params,training tokens,val_loss,run", *rows]))
    return path


def test_json_has_everything(table, capsys):
    code, streams = told(capsys, "chinchilla", "--data", table, "--bootstrap", 20, "--clusters", "run", "--json")
    assert code == 0
    found = json.loads(streams.out)
    assert found["parameters"]["alpha"] == pytest.approx(LAW.alpha, rel=0.05)
    assert set(found["intervals"]) == set(LAW.symbols())
    assert found["runs"] == 40
    assert found["data"]["left_out"] == 2
    assert found["data"]["columns"] == {"parameters": "params", "tokens": "training tokens", "loss": "val_loss"}
    assert found["all_runs"]["runs"] == 42
    low, high = found["profile"]["interval"]
    assert low < LAW.E < high
    assert "2 of 42 runs are left out" in found["warnings"][0]
    assert found["settings"]["resampled"] == 40


def test_people_read_the_same(table, capsys):
    code, streams = told(
        capsys, "chinchilla", "--data", table, "--bootstrap", 0, "--against", "kaplan-parameters-tokens"
    )
    assert code == 0
    for part in ("40 of 42 rows", "irreducible loss", "Profile interval of E", "Laws by their error", "of optimal"):
        assert part in streams.out
    assert "warning: 2 of 42 runs are left out" in streams.err


def test_all_options_are_obeyed(table, tmp_path, capsys):
    out = tmp_path / "law.json"
    arguments = ("--min-tokens-per-parameter", 0, "--fixed", "alpha=0.3478", "--delta", "inf", "--reduce", "mean")
    more = ("--tolerance", "1e-10", "--level", 0.8, "--bootstrap", 5, "--seed", 3, "--out", out)
    code, streams = told(capsys, "chinchilla", "--data", table, *arguments, *more, "--json")
    assert code == 0
    found = json.loads(streams.out)
    assert found["runs"] == 42
    assert found["level"] == 0.8
    assert found["settings"]["delta"] is None
    assert found["settings"]["fixed"] == {"alpha": 0.3478}
    assert (found["settings"]["reduction"], found["settings"]["tolerance"]) == ("mean", 1e-10)
    assert (found["settings"]["bootstrap"], found["settings"]["seed"]) == (5, 3)
    assert load_law(out).parameters == found["parameters"]


def test_runs_of_the_lowest_ratio_are_left_out_by_number(table, capsys):
    code, streams = told(capsys, "chinchilla", "--data", table, "--drop-lowest-ratio", 1, "--bootstrap", 0, "--json")
    assert code == 0
    assert json.loads(streams.out)["runs"] == 41


def test_columns_can_be_named(table, capsys):
    code, streams = told(
        capsys, "power-law", "--data", table, "--x", "training tokens", "--loss", "val_loss", "--bootstrap", 0, "--json"
    )
    assert code == 0
    assert json.loads(streams.out)["data"]["columns"] == {"x": "training tokens", "loss": "val_loss"}
    code, streams = told(
        capsys, "growth", "--data", table, "--column", "y=params", "--x", "training tokens", "--bootstrap", 0, "--json"
    )
    assert code == 0
    assert json.loads(streams.out)["data"]["columns"]["y"] == "params"


def test_the_law_can_be_planned_with(table, tmp_path, capsys):
    out = tmp_path / "law.json"
    code, streams = told(capsys, "chinchilla", "--data", table, "--bootstrap", 20, "--out", out)
    assert code == 0
    assert f"windtunnel plan --flops 1e21 --law {out}" in streams.out
    with pytest.raises(SystemExit) as stopped:
        main(["plan", "--flops", "1e18", "--law", str(out), "--json"])
    assert stopped.value.code == 0
    assert json.loads(capsys.readouterr().out)


def test_the_list_describes_every_law(capsys):
    code, streams = told(capsys, "--list")
    assert code == 0
    assert all(name in streams.out for name in LAWS)
    found = json.loads(told(capsys, "--list", "--json")[1].out)
    assert {item["law"] for item in found} == set(LAWS)
    assert all(item["formula"] and item["columns"] and item["parameters"] for item in found)


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ((), "Name a law to fit"),
        (("chinchila", "--data", "TABLE"), "chinchila"),
        (("chinchilla",), "--data"),
        (("chinchilla", "--data", "TABLE", "--tokens", "words"), "no column 'words'"),
        (("chinchilla", "--data", "TABLE", "--column", "loss"), "NAME=VALUE"),
        (("chinchilla", "--data", "TABLE", "--column", "depth=run"), "knows no variable 'depth'"),
        (("chinchilla", "--data", "TABLE", "--clusters", "seed"), "no column 'seed'"),
        (("chinchilla", "--data", "TABLE", "--tolerance", "tight"), "takes a number"),
        (("chinchilla", "--data", "TABLE", "--fixed", "alpha=steep"), "takes a number"),
        (("chinchilla", "--data", "TABLE", "--fixed", "gamma=1"), "no parameter 'gamma'"),
        (("chinchilla", "--data", "TABLE", "--reduce", "median"), "sum or mean"),
        (("chinchilla", "--data", "TABLE", "--level", "2"), "level"),
        (("chinchilla", "--data", "TABLE", "--delta", "-1"), "delta must be positive"),
        (("chinchilla", "--data", "TABLE", "--bootstrap", "-1"), "bootstrap"),
        (("chinchilla", "--data", "TABLE", "--drop-lowest-ratio", "1", "--min-tokens-per-parameter", "1"), "not both"),
        (("power-law", "--data", "TABLE", "--x", "params", "--drop-lowest-ratio", "1"), "Tokens per parameter"),
        (("chinchilla", "--data", "TABLE", "--against", "nothing"), "nothing"),
        (("chinchilla", "--data", "TABLE", "--wrong"), "--wrong"),
    ],
)
def test_wrong_usage_is_one_sentence(arguments, word, table, capsys):
    code, streams = told(capsys, *(str(table) if argument == "TABLE" else argument for argument in arguments))
    assert code == 2
    assert word in streams.err
    assert "Traceback" not in streams.err


@pytest.mark.parametrize(
    ("content", "word"),
    [
        ("", "is empty"),
        ("N,D,loss\n", "has no rows"),
        ("N,D,loss\n1e6,1e8,low\n", "no number"),
        ("N,D,loss\n1e6,1e8,-1\n", "positive"),
        ("N,D,loss\n1e9,1e6,3\n", "No run of"),
        ("N,D,loss\n1e6,1e8,3\n", "1 rows"),
    ],
)
def test_a_wrong_table_is_one_sentence(content, word, tmp_path, capsys):
    path = tmp_path / "runs.csv"
    path.write_text(content)
    code, streams = told(capsys, "chinchilla", "--data", path)
    assert code == 1
    assert word in streams.err
    assert streams.err.count("\n") == 1
