"""Which column counts what, and the verb that compares the approaches on a table."""

import csv
import json

import numpy as np
import pytest

from windtunnel import cli
from windtunnel.laboratory.errors import DataError, UsageError
from windtunnel.scaling.allocation_table import allocation_columns
from windtunnel.scaling.published import find_published
from windtunnel.scaling.reconciliation import total_parameters
from windtunnel.scaling.tables import Table, read_table

LAW = find_published("besiroglu-2024").law


def table(**columns):
    return Table("runs.csv", {name: list(values) for name, values in columns.items()})


@pytest.fixture
def file(tmp_path):
    """A ladder's table: `parameters` without embeddings beside `parameters_total`."""
    rows = []
    for flops in np.geomspace(1e17, 1e19, 4):
        for bare in np.geomspace(1e6, 3e8, 7):
            total = float(total_parameters(bare))
            tokens = flops / 6 / total
            rows.append([bare, total, tokens, 6 * bare * tokens, flops * 1.02, float(LAW.formula(total, tokens))])
    path = tmp_path / "ladder.csv"
    with path.open("w", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(["parameters", "parameters_total", "tokens", "flops", "flops_exact", "loss"])
        writer.writerows(rows)
    return path


def test_what_a_ladder_writes_is_read_in_both_counts(file):
    found = allocation_columns(read_table(file))
    assert found.sources == {
        "parameters": "parameters_total",
        "non_embedding": "parameters",
        "tokens": "tokens",
        "loss": "loss",
        "flops": "flops_exact",
    }
    assert (found.columns["parameters"] > found.columns["non_embedding"]).all()


def test_a_lone_column_of_parameters_is_the_total_unless_it_says_otherwise():
    runs = {"tokens": [1e9, 2e9], "loss": [3.0, 2.9]}
    assert set(allocation_columns(table(params=[1e8, 2e8], **runs)).columns) == {"parameters", "tokens", "loss"}
    bare = allocation_columns(table(non_embedding=[1e8, 2e8], **runs))
    assert set(bare.columns) == {"non_embedding", "tokens", "loss"}
    mapped = allocation_columns(table(params=[1e8, 2e8], **runs), {"non_embedding": "params"})
    assert set(mapped.columns) == {"non_embedding", "tokens", "loss"}


def test_tokens_follow_from_flops_and_rows_are_left_out_with_reason():
    found = allocation_columns(
        table(n=[1e8, 1e8, 1e8], flops=[6e16, 6e18, ""], loss=[4.0, 3.0, 2.0]), fewest_tokens_per_parameter=4
    )
    assert found.columns["tokens"] == pytest.approx([1e10])
    assert found.left_out == 2
    with pytest.raises(DataError, match="tokens per parameter"):
        allocation_columns(table(n=[1e8], tokens=[1e8], loss=[3.0]), fewest_tokens_per_parameter=20)


def test_unknown_roles_and_columns_are_explained():
    runs = table(n=[1e8], tokens=[1e9], loss=[3.0])
    with pytest.raises(UsageError, match="no role 'steps'"):
        allocation_columns(runs, {"steps": "n"})
    with pytest.raises(UsageError, match="no column 'bare'"):
        allocation_columns(runs, {"non_embedding": "bare"})
    with pytest.raises(UsageError, match="no column"):
        allocation_columns(table(tokens=[1e9], loss=[3.0]))


def call(capsys, *arguments):
    with pytest.raises(SystemExit) as stopped:
        cli.main(list(map(str, arguments)))
    out, err = capsys.readouterr()
    return stopped.value.code, out, err


def test_allocate_prints_every_exponent_and_draws(capsys, file, tmp_path):
    code, out, err = call(
        capsys, "allocate", "--data", file, "--bootstrap", 20, "--figures", tmp_path / "figures", "--json"
    )
    found = json.loads(out)
    assert (code, err) == (0, "")
    assert len(found["exponents"]) == 16
    by = {(row["count"], row["approach"]): row["exponent"] for row in found["exponents"]}
    assert by["total, 6 N D", "parametric"] == pytest.approx(LAW.exponent, abs=0.002)
    assert by["non-embedding, all FLOPs", "projection"] - by["total, all FLOPs", "projection"] > 0.1
    assert {path.name for path in (tmp_path / "figures").iterdir()} == {"sizes.svg", "exponents.svg"}


def test_allocate_shows_a_table_to_people(capsys, file):
    code, out, _ = call(capsys, "allocate", "--data", file, "--bootstrap", 0, "--min-tokens-per-parameter", 2)
    assert code == 0
    assert "parametric" in out
    assert "non_embedding: parameters" in out


@pytest.mark.parametrize("arguments", [["--column", "loss"], ["--column", "loss=missing"], ["--clusters", "missing"]])
def test_allocate_explains_bad_usage(capsys, file, arguments):
    code, out, err = call(capsys, "allocate", "--data", file, *arguments)
    assert (code, out) == (2, "")
    assert err.startswith("windtunnel: ")
