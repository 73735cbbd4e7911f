import gzip
import json
import os
import subprocess
import sys

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from windtunnel.data import corpora
from windtunnel.data.corpora import documents
from windtunnel.laboratory.errors import DataError, UsageError

ROWS = [{"text": "one\nmore", "body": "a"}, {"text": "", "body": "b"}, {"text": "two ☃", "body": "c"}]


def write_lines(path, rows=ROWS):
    text = "\n".join(json.dumps(row) for row in rows) + "\n\n"
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


def write_table(path, columns):
    import pyarrow as pa
    import pyarrow.parquet

    pyarrow.parquet.write_table(pa.table(columns), path)
    return path


@pytest.mark.parametrize("name", ["a.txt", "a.md", "a.py", "A.TXT", "a.txt.gz", "a.py.gz"])
def test_a_text_file_is_one_document(tmp_path, name):
    raw = "\ufeffdéf f():\r\n\tpass\n".encode()
    (tmp_path / name).write_bytes(gzip.compress(raw) if name.endswith(".gz") else raw)
    assert list(documents(tmp_path / name)) == ["déf f():\r\n\tpass\n"]


def test_a_long_text_file_is_cut_between_lines(tmp_path, monkeypatch):
    monkeypatch.setattr(corpora, "LONGEST", 50)
    whole = "".join(f"line {number} of naïveté\n" for number in range(100))
    (tmp_path / "long.txt").write_text(whole)
    pieces = list(documents(tmp_path / "long.txt"))
    assert "".join(pieces) == whole
    assert len(pieces) > 20
    assert all(piece.endswith("\n") for piece in pieces)


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.jsonl.gz", "rows.ndjson"])
def test_lines_are_documents(tmp_path, name):
    path = write_lines(tmp_path / name)
    assert list(documents(path)) == ["one\nmore", "two ☃"]
    assert list(documents(path, field="body")) == ["a", "b", "c"]


def test_rows_of_a_table_are_documents(tmp_path):
    path = write_table(tmp_path / "t.parquet", {"text": ["one", "", "two"] * 500, "n": [1, 2, 3] * 500})
    assert list(documents(path)) == ["one", "two"] * 500


def test_a_directory_is_read_in_the_order_of_its_paths(tmp_path):
    for name in ("b/2.txt", "b/1.txt", "a.txt", "c.bin", ".hidden.txt", ".git/x.txt", "empty.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("" if name == "empty.txt" else name)
    write_lines(tmp_path / "b" / "0.jsonl")
    assert list(documents(tmp_path)) == ["a.txt", "one\nmore", "two ☃", "b/1.txt", "b/2.txt"]


def test_nothing_is_read_before_it_is_asked_for(tmp_path):
    (tmp_path / "rows.jsonl").write_text('{"text": "good"}\nbroken\n')
    stream = documents(tmp_path)
    assert next(stream) == "good"
    with pytest.raises(DataError, match=r"rows\.jsonl line 2 is not JSON"):
        next(stream)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", b"", "holds no text"),
        ("a.txt", b" \n\n", "holds no text"),
        ("a.txt", b"fine\n\x00\x01", "line 2 holds a zero byte"),
        ("a.txt", b"fine\nfine\ncaf\xe9\n", "line 3 is not UTF-8"),
        ("a.txt.gz", b"plain text", "not a whole gzip file"),
        ("a.txt.gz", gzip.compress(b"plain text", mtime=0)[:-4], "not a whole gzip file"),
        ("a.jsonl", b'{"text": "a"}\n{"text": ', "line 2 is not JSON"),
        ("a.jsonl", b'{"text": "a"}\n{"body": "a", "title": "b"}', r"line 2 has no field 'text'.*'body', 'title'"),
        ("a.jsonl", b'"a"\n', "line 1 is not an object"),
        ("a.jsonl", b'{"text": 3}\n', "line 1 has int in field 'text'"),
        ("a.jsonl", b'{"text": "\\ud800"}\n', "line 1 holds half of a surrogate"),
        ("a.jsonl", b"[" * 100_000, "line 1 is not JSON"),
        ("a.parquet", b"PAR1 not really", "not whole parquet"),
    ],
)
def test_what_is_wrong_with_a_file_is_named(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        list(documents(tmp_path / name))
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_wrong_with_a_table_is_named(tmp_path):
    path = write_table(tmp_path / "t.parquet", {"body": ["a", None], "n": [1, 2]})
    with pytest.raises(DataError, match=r"has no field 'text'.*'body', 'n'"):
        list(documents(path))
    with pytest.raises(DataError, match="row 1 has int in field 'n'"):
        list(documents(path, field="n"))
    with pytest.raises(DataError, match="row 2 has NoneType"):
        list(documents(path, field="body"))


def test_what_is_not_there_or_not_read_is_refused(tmp_path):
    with pytest.raises(UsageError, match="no file or directory"):
        documents(tmp_path / "absent")
    with pytest.raises(UsageError, match="no file or directory"):
        documents("absent.txt")
    (tmp_path / "x.pdf").write_text("x")
    with pytest.raises(UsageError, match="not a kind of file"):
        documents(tmp_path / "x.pdf")
    with pytest.raises(DataError, match="has no files that are read"):
        documents(tmp_path)


@pytest.mark.parametrize(("module", "corpus"), [("pyarrow", "t.parquet"), ("datasets", "owner/name")])
def test_a_missing_package_is_named_with_its_extra(tmp_path, monkeypatch, module, corpus):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.parquet").write_bytes(b"PAR1")
    monkeypatch.setattr(corpora.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=rf"needs the package {module}; install it .*windtunnel\[data\]"):
        list(documents(corpus))


def test_without_the_hub_a_name_is_refused_soon():
    code = (
        "from windtunnel.data.corpora import documents\n"
        "from windtunnel.laboratory.errors import DataError\n"
        "try:\n    next(documents('owner/name'))\nexcept DataError as error:\n    print(error)\n"
    )
    environment = {**os.environ, "HF_ENDPOINT": "http://127.0.0.1:9", "HF_HUB_OFFLINE": "0"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120, check=True
    )
    assert "owner/name is no file or directory here, and the Hugging Face hub cannot be reached" in done.stdout


def test_rows_of_a_hub_data_set_are_documents(monkeypatch):
    import types

    def load_dataset(name, split, streaming):
        assert (name, split, streaming) == ("owner/name", "validation", True)
        yield from ROWS
        raise ConnectionError("reset\nby peer")

    monkeypatch.setitem(sys.modules, "datasets", types.SimpleNamespace(load_dataset=load_dataset))
    monkeypatch.setattr(corpora, "_require", lambda *_: None)
    monkeypatch.setattr(corpora, "_ask_hub", lambda name: None)
    stream = documents("owner/name", split="validation")
    assert [next(stream), next(stream)] == ["one\nmore", "two ☃"]
    with pytest.raises(DataError, match=r"cannot be read from the Hugging Face hub \(reset\)"):
        next(stream)
    with pytest.raises(DataError, match="owner/name row 1 has no field 'words'"):
        next(documents("owner/name", split="validation", field="words"))


PLAIN = st.one_of(st.binary(max_size=300), st.text(max_size=100).map(str.encode))
JSONS = st.recursive(
    st.one_of(st.none(), st.booleans(), st.floats(), st.text(max_size=20)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["text", "a"]), inner, max_size=2),
    max_leaves=5,
)
LINES = st.lists(JSONS.map(lambda row: json.dumps(row).encode()), max_size=4).map(b"\n".join)


@pytest.mark.parametrize("name", ["f.txt", "f.txt.gz", "f.jsonl", "f.jsonl.gz", "f.parquet"])
@settings(max_examples=60, deadline=None)
@given(content=st.one_of(PLAIN, LINES), compress=st.booleans(), cut=st.integers(0, 5))
@example(content=b"\xff\xfe", compress=False, cut=0)
@example(content=b"", compress=True, cut=0)
def test_any_bytes_give_text_or_one_explained_error(tmp_path_factory, name, content, compress, cut):
    path = tmp_path_factory.mktemp("fuzz") / name
    if compress:
        content = gzip.compress(content)
    path.write_bytes(content[: len(content) - cut])
    try:
        assert all(isinstance(text, str) and text.strip() for text in documents(path))
    except DataError as error:
        assert "\n" not in str(error)
        assert name in str(error)


@settings(max_examples=60, deadline=None)
@given(place=st.integers(0, 10_000), byte=st.integers(0, 255), cut=st.integers(0, 40))
def test_a_spoilt_table_gives_text_or_one_explained_error(tmp_path_factory, place, byte, cut):
    path = write_table(tmp_path_factory.mktemp("fuzz") / "t.parquet", {"text": ["one", "two"]})
    content = bytearray(path.read_bytes())
    content[place % len(content)] = byte
    path.write_bytes(content[: len(content) - cut])
    try:
        assert all(isinstance(text, str) for text in documents(path))
    except DataError as error:
        assert "\n" not in str(error)
