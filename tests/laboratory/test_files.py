import json
import math
import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from windtunnel.laboratory import files, stages
from windtunnel.laboratory.errors import DataError, WindtunnelError


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path, monkeypatch):
    path = tmp_path / "x.json"
    files.write_json(path, {"a": 1})

    def full_disk(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(WindtunnelError, match=r"No space left on device.*--resume"):
        files.write_json(path, {"a": 2})
    monkeypatch.undo()
    assert files.read_json(path) == {"a": 1}
    assert [entry.name for entry in tmp_path.iterdir()] == ["x.json"]


def test_a_directory_in_the_way_is_explained(tmp_path):
    (tmp_path / "x").write_text("a file, not a directory")
    with pytest.raises(WindtunnelError, match="Cannot write"):
        files.write_json(tmp_path / "x" / "y.json", {})


def test_strict_json_has_no_nan():
    value = {"a": [math.nan, math.inf, 1.0], "b": np.float64(2.0), "c": (np.arange(2),)}
    assert files.strict(value) == {"a": [None, None, 1.0], "b": 2.0, "c": [[0, 1]]}


@given(st.lists(st.dictionaries(st.text(max_size=5), st.integers(), max_size=3), max_size=6), st.integers(0, 400))
def test_a_log_cut_anywhere_keeps_its_whole_lines_and_takes_new_ones(tmp_path_factory, rows, cut):
    path = tmp_path_factory.mktemp("log") / "metrics.jsonl"
    for row in rows:
        files.append_line(path, json.dumps(row))
    if path.exists():
        data = path.read_bytes()[:cut]
        path.write_bytes(data)
        whole = data.count(b"\n")
    else:
        whole = 0
    assert files.read_lines(path) == rows[:whole]
    files.append_line(path, json.dumps({"new": 1}))
    assert files.read_lines(path) == [*rows[:whole], {"new": 1}]


def test_a_line_broken_in_the_middle_is_named(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"a": 1}\n{"a":\n{"a": 3}\n')
    with pytest.raises(DataError, match="line 2"):
        files.read_lines(path)


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=4), values, max_size=4))
def test_a_stored_result_comes_back_the_same(tmp_path_factory, value):
    stem = tmp_path_factory.mktemp("stage") / "result"
    assert stages.store(stem, value) == value
    assert stages.fetch(stem) == value


def test_arrays_come_back_bit_for_bit(tmp_path):
    arrays = {
        "x": np.random.default_rng(0).normal(size=(3, 4)),
        "deep": [{"y": np.arange(5, dtype=np.int32)}],
    }
    back = stages.store(tmp_path / "result", {**arrays, "scalar": np.float32(0.5)})
    again = stages.fetch(tmp_path / "result")
    for got in (back, again):
        np.testing.assert_array_equal(got["x"], arrays["x"])
        np.testing.assert_array_equal(got["deep"][0]["y"], arrays["deep"][0]["y"])
        assert got["deep"][0]["y"].dtype == np.int32
        assert got["scalar"] == 0.5


def test_an_unstorable_result_is_refused(tmp_path):
    with pytest.raises(TypeError, match="not set"):
        stages.store(tmp_path / "result", {"a": {1, 2}})
    assert not stages.stored(tmp_path / "result")


@given(st.binary(max_size=200))
def test_a_damaged_result_is_one_clear_error(tmp_path_factory, noise):
    stem = tmp_path_factory.mktemp("stage") / "result"
    stages.store(stem, {"x": np.arange(10)})
    stem.with_name("result.safetensors").write_bytes(noise)
    with pytest.raises(DataError, match="delete"):
        stages.fetch(stem)


@given(st.binary(max_size=100).filter(lambda data: not data.strip().isdigit()))
def test_noise_for_json_is_one_clear_error(tmp_path_factory, noise):
    path = tmp_path_factory.mktemp("json") / "x.json"
    path.write_bytes(noise)
    try:
        files.read_json(path)
    except DataError as error:
        assert "x.json" in str(error)
