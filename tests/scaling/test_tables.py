"""Tables of runs: every format, columns guessed and named, what follows from others, and one sentence for the rest."""

import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from windtunnel.laboratory.errors import DataError, UsageError, WindtunnelError
from windtunnel.models.configuration import TransformerConfig
from windtunnel.scaling.laws.chinchilla import Chinchilla
from windtunnel.scaling.laws.deployment import OverTraining
from windtunnel.scaling.laws.power import PowerLaw
from windtunnel.scaling.tables import NAMES, Table, read_table

N, D, L = [1e6, 2e6, 4e6], [1e8, 3e8, 9e8], [4.5, 4.0, 3.5]


def lines(separator=","):
    rows = [("N", "D", "loss"), *zip(N, D, L, strict=True)]
    return "\n".join(separator.join(map(str, row)) for row in rows)


def records():
    return [{"N": n, "D": d, "loss": loss} for n, d, loss in zip(N, D, L, strict=True)]


def write(path, kind):
    if kind == "parquet":
        pyarrow = pytest.importorskip("pyarrow", reason="needs the data extra")
        from pyarrow import parquet

        parquet.write_table(pyarrow.Table.from_pylist(records()), path)
        return
    text = {
        "csv": lines(),
        "bom": "\ufeff" + lines(),
        "crlf": lines().replace("\n", "\r\n"),
        "tsv": lines("\t"),
        "semicolons": lines(";"),
        "jsonl": "\n".join(map(json.dumps, records())),
        "json": json.dumps(records()),
    }[kind]
    path.write_bytes(text.encode())


@pytest.mark.parametrize("kind", ["csv", "bom", "crlf", "tsv", "semicolons", "jsonl", "json", "parquet"])
def test_every_format_is_the_same_table(kind, tmp_path):
    path = tmp_path / f"runs.{kind}"
    write(path, kind)
    table = read_table(path)
    assert len(table) == 3
    chosen = table.choose(Chinchilla)
    for name, values in (("parameters", N), ("tokens", D), ("loss", L)):
        assert chosen.columns[name].tolist() == values
    assert chosen.sources == {"parameters": "N", "tokens": "D", "loss": "loss"}
    assert chosen.left_out == 0


@pytest.mark.parametrize("variable", ["parameters", "tokens", "loss"])
def test_columns_are_known_by_all_their_names_whatever_the_case(variable):
    for name in NAMES[variable]:
        for written in (name, name.upper(), name.replace("_", " ").title(), name.replace("_", "-")):
            assert Table("runs", {"other": [1], written: [2]}).find(variable, {}) == written


def test_the_public_points_headings_are_understood():
    table = Table("points", {"x": [1.0], "Model Size": ["2e9"], "Training FLOP": ["1.2e20"], "loss": ["2.5"]})
    chosen = table.choose(Chinchilla)
    assert chosen.columns["tokens"][0] == pytest.approx(1e10)
    assert chosen.sources["tokens"] == "flops / (6 × parameters)"


@pytest.mark.parametrize(
    ("columns", "tokens"),
    [
        ({"n": [1e6], "tokens": [7e8], "flops": [1], "loss": [3]}, 7e8),
        ({"n": [1e6], "steps": [1e3], "batch": [5e5], "flops": [1], "loss": [3]}, 5e8),
        ({"n": [1e6], "C": [6e15], "loss": [3]}, 1e9),
        ({"flops": [6e15], "tokens": [1e9], "loss": [3]}, 1e9),
    ],
)
def test_what_follows_from_other_columns_is_computed(columns, tokens):
    chosen = Table("runs", columns).choose(Chinchilla)
    assert chosen.columns["tokens"][0] == pytest.approx(tokens)
    assert chosen.columns["parameters"][0] == pytest.approx(1e6)


def test_tokens_per_parameter_and_flops_follow_too():
    chosen = Table("runs", {"n": [1e6], "d": [2e7], "loss": [3]}).choose(OverTraining)
    assert chosen.columns["flops"][0] == pytest.approx(1.2e14)
    assert chosen.columns["tokens_per_parameter"][0] == pytest.approx(20)


def test_a_named_column_goes_before_a_guess(tmp_path):
    table = Table("runs", {"size": [1.0, 2], "n": [3.0, 4], "score": [5.0, 6], "run": ["a", "b"]})
    chosen = table.choose(PowerLaw, {"x": "size", "loss": "score"}, clusters="run")
    assert chosen.columns["x"].tolist() == [1, 2]
    assert chosen.columns["loss"].tolist() == [5, 6]
    assert chosen.clusters == ["a", "b"]


def test_incomplete_rows_are_left_out_and_counted():
    table = Table("runs", {"x": ["1", "", "3", "NaN"], "loss": ["1_000.5", "2", None, "n"], "unused": ["a"] * 4})
    with pytest.raises(DataError, match="Row 4 of column 'loss' in runs holds 'n'"):
        table.choose(PowerLaw)
    table = Table("runs", {"x": ["1", "", "3", "NaN"], "loss": ["1_000.5", "2", None, "3"]})
    chosen = table.choose(PowerLaw)
    assert (chosen.rows, chosen.left_out) == ([0], 3)
    assert chosen.columns["loss"].tolist() == [1000.5]


def test_a_ladder_is_read_by_its_table(tmp_path):
    (tmp_path / "ladder.csv").write_text(lines())
    assert len(read_table(tmp_path)) == 3


def test_finished_trainings_are_rows_and_others_are_not(tmp_path):
    shape = TransformerConfig(vocabulary=64, context=32, width=16, layers=2, heads=2)
    for name, evaluated in (("small", True), ("stopped", False)):
        run = tmp_path / name
        (run / "artifacts" / "evaluations").mkdir(parents=True)
        (run / "checkpoints" / "step-00000010").mkdir(parents=True)
        training = {"steps": 10, "batch_size": 4}
        (run / "config.json").write_text(json.dumps({"config": {"training": training}}))
        (run / "checkpoints" / "step-00000010" / "config.json").write_text(shape.model_dump_json())
        if evaluated:
            (run / "artifacts" / "evaluations" / "step-00000010.json").write_text(json.dumps({"test_loss": 3.25}))
    (tmp_path / "notes").mkdir()
    table = read_table(tmp_path)
    assert table.columns["name"] == ["small"]
    chosen = table.choose(Chinchilla)
    assert chosen.columns["loss"].tolist() == [3.25]
    assert chosen.columns["tokens"].tolist() == [10 * 4 * 32]


@pytest.mark.parametrize(
    ("name", "content", "word"),
    [
        ("runs.csv", b"", "is empty"),
        ("runs.csv", b" \n\n", "is empty"),
        ("runs.csv", b"\x1c", "is empty"),
        ("runs.csv", bytes(range(256)), "is binary"),
        ("runs.csv", b"N,D,loss\0", "is binary"),
        ("runs.csv", b"N,D,loss\n", "has no rows"),
        ("runs.csv", b'"', "has no rows"),
        ("runs.csv", b"N,D,loss\n1,2\n", "Line 2 of .* has 2 values for 3 columns"),
        ("runs.csv", b"N,N,loss\n1,2,3\n", "two columns named 'N'"),
        ("runs.jsonl", b"{\n", "no JSON that can be read"),
        ("runs.jsonl", b"1\n2\n", "no JSON objects"),
        ("runs.json", b'{"N": 1}', "no JSON objects"),
        ("runs.json", b"[]", "has no rows"),
        ("runs.json", b"[" * 100_000, "no JSON that can be read"),
        ("runs.parquet", b"PAR1 and nothing more", "cannot be read as Parquet"),
    ],
)
def test_what_is_no_table_is_one_sentence(name, content, word, tmp_path):
    if content.startswith(b"PAR1"):
        pytest.importorskip("pyarrow", reason="needs the data extra")
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DataError, match=word) as told:
        read_table(path)
    assert "\n" not in str(told.value)


def test_what_is_not_there_is_one_sentence(tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        read_table(tmp_path / "runs.csv")
    with pytest.raises(DataError, match="holds neither"):
        read_table(tmp_path)
    table = Table("runs.csv", {"a": [1.0], "loss": [None]})
    with pytest.raises(UsageError, match=r"no column for parameters; its columns are a, loss.*--column parameters="):
        table.choose(Chinchilla)
    with pytest.raises(UsageError, match="no column 'b'"):
        table.choose(PowerLaw, {"x": "b"})
    with pytest.raises(UsageError, match="knows no variable 'y'"):
        table.choose(PowerLaw, {"y": "a"})
    with pytest.raises(UsageError, match="no column 'run'"):
        table.choose(PowerLaw, {"x": "a"}, clusters="run")
    with pytest.raises(DataError, match=r"No row of runs\.csv"):
        table.choose(PowerLaw, {"x": "a"})


def fuzzed(path, content):
    path.write_bytes(content)
    try:
        chosen = read_table(path).choose(Chinchilla)
    except WindtunnelError as error:
        assert str(error)
        return
    assert all(np.isfinite(values).all() for values in chosen.columns.values())


AGAIN = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@AGAIN
@given(st.binary(max_size=60), st.sampled_from(["csv", "tsv", "json", "jsonl", "parquet", "txt"]))
def test_no_bytes_end_in_a_traceback(tmp_path, content, suffix):
    fuzzed(tmp_path / f"runs.{suffix}", content)


CELL = st.one_of(st.floats().map(repr), st.sampled_from(["", "NA", "1e9", "x", '"', "'", "1,2", "\t", "∞", "true"]))


@AGAIN
@given(
    st.lists(st.lists(CELL, min_size=2, max_size=4), max_size=4), st.sampled_from(["N,D,loss", "n;d;loss", "N\tD\tl"])
)
def test_no_cells_end_in_a_traceback(tmp_path, rows, header):
    separator = header[1]
    fuzzed(tmp_path / "runs.csv", "\n".join([header, *(separator.join(row) for row in rows)]).encode())


VALUE = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=4,
)


@AGAIN
@given(st.lists(st.dictionaries(st.sampled_from(["N", "D", "loss", "flops"]), VALUE) | VALUE, max_size=4))
def test_no_json_ends_in_a_traceback(tmp_path, found):
    fuzzed(tmp_path / "runs.json", json.dumps(found).encode())
    fuzzed(tmp_path / "runs.jsonl", "\n".join(map(json.dumps, found)).encode())
