import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from windtunnel.data.packing import PackedSource, TokenFile, write_tokens
from windtunnel.data.tokenizers import ByteTokenizer
from windtunnel.laboratory.errors import DataError, UsageError

BYTES = ByteTokenizer()
TEXTS = ["first document", "the second, a little longer", "3", "and the fourth of them all"]


class Wide:
    """A tokenizer with a large vocabulary, that adds its own BOS."""

    vocabulary = 70_000
    bos, eos, pad = 0, None, None

    def encode(self, text):
        return [0, *(69_900 + ord(letter) % 100 for letter in text)]

    def decode(self, ids):
        raise NotImplementedError

    def save(self, directory):
        pass


@pytest.fixture
def file(tmp_path):
    return write_tokens(tmp_path / "tokens", TEXTS, BYTES)


def whole(texts=TEXTS):
    return [token for text in texts for token in (BYTES.bos, *text.encode(), BYTES.eos)]


def test_a_file_holds_every_document_between_its_marks(file):
    assert file.tokens.tolist() == whole()
    assert file.tokens.dtype == np.uint16
    assert [file.tokens[start] for start in file.starts] == [BYTES.bos] * 4
    assert file.header.documents == 4
    assert file.counts().tolist() == np.bincount(whole(), minlength=BYTES.vocabulary).tolist()
    again = TokenFile.open(file.path)
    assert again.header == file.header
    assert sorted(path.name for path in file.path.parent.iterdir()) == ["tokens"]


def test_the_fingerprint_is_of_the_content(file, tmp_path):
    assert write_tokens(tmp_path / "same", iter(TEXTS), BYTES).header.fingerprint == file.header.fingerprint
    assert write_tokens(tmp_path / "joined", ["".join(TEXTS)], BYTES).header.fingerprint != file.header.fingerprint


def test_a_large_vocabulary_and_a_tokenizer_that_adds_bos(tmp_path):
    file = write_tokens(tmp_path / "wide", ["ab", "c"], Wide())
    assert file.tokens.tolist() == [0, 69_997, 69_998, 0, 69_999]
    assert file.starts.tolist() == [0, 3]


def test_one_epoch_gives_every_row_once_and_the_next_in_another_order(file):
    source = PackedSource(file, 5, seed=1)
    tokens = whole()
    expected = sorted(tokens[start : start + 6] for start in range(0, source.epoch * 5, 5))
    first = source.rows(0, source.epoch)["tokens"].tolist()
    second = source.rows(source.epoch, source.epoch)["tokens"].tolist()
    assert len(tokens) - 6 < source.epoch * 5 < len(tokens)
    assert sorted(first) == expected == sorted(second)
    assert first != second
    assert first != PackedSource(file, 5, seed=2).rows(0, source.epoch)["tokens"].tolist()


@given(start=st.integers(0, 60), count=st.integers(1, 40))
def test_rows_do_not_depend_on_how_they_are_asked_for(tmp_path_factory, start, count):
    path = tmp_path_factory.getbasetemp() / "shared-tokens"
    file = TokenFile.open(path) if path.exists() else write_tokens(path, TEXTS, BYTES)
    one_go = PackedSource(file, 7, seed=3).rows(0, start + count)
    resumed = PackedSource(file, 7, seed=3).rows(start, count)
    assert resumed["tokens"].shape == (count, 8)
    for key in ("tokens", "documents"):
        assert torch.equal(one_go[key][start:], resumed[key])


def test_documents_are_numbered_where_they_begin(file):
    rows = PackedSource(file, 9, seed=0).rows(0, 40)
    begins = rows["tokens"] == BYTES.bos
    begins[:, 0] = False
    assert torch.equal(rows["documents"], begins.long().cumsum(1))
    assert begins.any()
    assert set(PackedSource(file, 9, seed=0, boundaries=False).rows(0, 2)) == {"tokens"}


def test_a_split_is_between_documents_and_loses_nothing(file):
    train, test = file.split(0.3)
    assert train.tokens.tolist() + test.tokens.tolist() == whole()
    assert test.tokens.tolist() == whole(TEXTS[-1:])
    assert test.starts.tolist() == [0]
    assert train.starts.tolist() == file.starts.tolist()[:3]
    rows = PackedSource(test, 4, seed=0)
    assert not rows.rows(0, rows.epoch)["documents"].any()


def test_one_document_is_split_inside(tmp_path):
    train, test = write_tokens(tmp_path / "one", ["x" * 98], BYTES).split(0.1)
    assert (len(train.tokens), len(test.tokens)) == (90, 10)
    assert train.starts.tolist() == test.starts.tolist() == [0]
    for share in (0, 1, -0.1):
        with pytest.raises(UsageError, match="not between 0 and 1"):
            train.split(share)


def test_what_cannot_be_packed_is_refused(file, tmp_path):
    length = len(file.tokens)
    PackedSource(file, length - 1, seed=0).rows(0, 3)
    with pytest.raises(UsageError, match=f"context of {length} is too long for the {length} tokens"):
        PackedSource(file, length, seed=0)
    with pytest.raises(UsageError, match="at least 1"):
        PackedSource(file, 0, seed=0)
    with pytest.raises(UsageError, match="Row -1"):
        PackedSource(file, 3, seed=0).rows(-1, 2)
    with pytest.raises(UsageError, match="exists already"):
        write_tokens(file.path, TEXTS, BYTES)
    with pytest.raises(DataError, match="no text to write"):
        write_tokens(tmp_path / "none", [""], BYTES)
    assert not (tmp_path / "none").exists()


def test_a_stream_that_fails_leaves_nothing(tmp_path):
    def failing():
        yield "fine"
        raise DataError("line 2")

    with pytest.raises(DataError, match="line 2"):
        write_tokens(tmp_path / "tokens", failing(), BYTES)
    assert list(tmp_path.iterdir()) == []


def test_writing_where_nothing_can_be_written_is_explained(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(Exception, match="Cannot write"):
        write_tokens(tmp_path / "file" / "tokens", TEXTS, BYTES)


@pytest.mark.parametrize("name", ["tokens.bin", "documents.bin"])
def test_a_truncated_or_missing_file_is_named(file, name):
    path = file.path / name
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError, match=rf"{name} has \d+ bytes where its header says \d+"):
        TokenFile.open(file.path)
    path.unlink()
    with pytest.raises(DataError, match=f"{name} cannot be read"):
        TokenFile.open(file.path)


def test_tokens_outside_the_vocabulary_are_noticed(file):
    path = file.path / "tokens.bin"
    path.write_bytes(b"\xff" * path.stat().st_size)
    with pytest.raises(DataError, match="token 65535 outside its vocabulary of 259"):
        PackedSource(TokenFile.open(file.path), 5, seed=0).rows(0, 1)


VALUES = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.lists(st.integers()))


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_any_other_header_is_an_explained_error(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("header") / "tokens"
    good = write_tokens(path, TEXTS, BYTES).header.model_dump()
    key = data.draw(st.sampled_from(sorted(good)))
    kind = data.draw(st.sampled_from(["value", "missing", "extra", "cut", "bytes", "other"]))
    text = json.dumps(good)
    if kind == "value":
        value = data.draw(VALUES.filter(lambda value: value != good[key] or isinstance(value, bool)))
        text = json.dumps(good | {key: value})
    elif kind == "missing":
        text = json.dumps({name: value for name, value in good.items() if name != key})
    elif kind == "extra":
        text = json.dumps(good | {"compression": "none"})
    elif kind == "cut":
        text = text[: data.draw(st.integers(0, len(text) - 1))]
    elif kind == "other":
        text = json.dumps(data.draw(VALUES))
    (path / "header.json").write_bytes(data.draw(st.binary(max_size=40)) if kind == "bytes" else text.encode())
    try:
        again = TokenFile.open(path)
    except DataError as error:
        assert "\n" not in str(error)
    else:  # what the header alone cannot show to be wrong
        assert kind == "value"
        assert key in ("vocabulary", "tokenizer", "fingerprint")
        assert len(again.tokens) == len(whole())
