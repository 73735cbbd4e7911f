import pytest

from windtunnel.data.preparation import prepare
from windtunnel.laboratory.errors import DataError, UsageError

LINES = [f"document {number} of the corpus says {number * 7} things about the wind" for number in range(200)]


@pytest.fixture
def corpus(tmp_path):
    path = tmp_path / "corpus.jsonl"
    path.write_text("\n".join(f'{{"body": "{line}"}}' for line in LINES))
    return path


def test_a_corpus_is_made_ready_once(corpus, tmp_path):
    prepared = prepare(corpus, tmp_path / "ready", 300, field="body")
    assert prepared.tokenizer.vocabulary <= 300
    texts = prepared.tokenizer.decode(prepared.train.tokens.tolist())
    assert LINES[0] in texts
    assert LINES[-1] not in texts
    assert LINES[-1] in prepared.tokenizer.decode(prepared.test.tokens.tolist())
    total = len(prepared.train.tokens) + len(prepared.test.tokens)
    assert len(prepared.test.tokens) == pytest.approx(0.05 * total, rel=0.3)
    corpus.unlink()  # no longer needed
    again = prepare(corpus, tmp_path / "ready", 300, field="body")
    assert again.train.tokens.tolist() == prepared.train.tokens.tolist()


def test_an_interrupted_preparation_goes_on(corpus, tmp_path, monkeypatch):
    def stop(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("windtunnel.data.preparation.write_tokens", stop)
        with pytest.raises(KeyboardInterrupt):
            prepare(corpus, tmp_path / "ready", 300, field="body")
    prepared = prepare(corpus, tmp_path / "ready", 300, field="body")
    assert prepared.train.tokens.tolist() == prepare(corpus, tmp_path / "new", 300, field="body").train.tokens.tolist()


def test_a_corpus_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / "binary.txt").write_bytes(b"\x00\x01")
    (tmp_path / "empty.txt").write_text(" ")
    for name, error in (("binary.txt", DataError), ("empty.txt", DataError), ("gone.txt", UsageError)):
        with pytest.raises(error, match=name.partition(".")[0]):
            prepare(tmp_path / name, tmp_path / f"ready-{name}", 300)
