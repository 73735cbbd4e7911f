"""Runs of words shared with a corpus, against brute force; and what is cut out of a training corpus."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from windtunnel.data import overlap
from windtunnel.data.decontamination import Removal
from windtunnel.data.overlap import Overlap, plain_words, runs_of_words
from windtunnel.laboratory.errors import UsageError


def plainly(text):
    """The rule as it reads: small letters, only letters and digits, words between white space."""
    kept = "".join(
        " " if letter.isspace() else letter for letter in _lower(text) if letter.isalnum() or letter.isspace()
    )
    return kept.split()


def _lower(text):
    return "".join(letter.lower() for letter in text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("The  Cat's\tmat, THE\nend.", "the cats mat the end"),
        ("“Élan” – naïve_café… ", "élan naïvecafé"),
        ("don’t\u00a0stop\u2003now", "dont stop now"),
        ("--- ... !!!", ""),
        ("", ""),
        ("x\x1cy 3.14", "x y 314"),
    ],
)
def test_words_are_plain(text, words):
    assert plain_words(text).decode() == words


letters = st.text(st.sampled_from("aB .,\n’É\u3000_-7"), max_size=40)


@given(letters)
def test_words_are_plain_by_the_rule(text):
    assert plain_words(text).decode().split() == plainly(text)
    assert b"  " not in plain_words(text)


def test_runs_are_all_runs_or_all_words():
    assert runs_of_words(b"a b c d", 3) == [b"a b c", b"b c d"]
    assert runs_of_words(b"a b", 3) == [b"a b"]
    assert runs_of_words(b"", 3) == []


def counted(runs, documents):
    """Documents that hold each run, by looking at every place."""
    plain = [f" {' '.join(plainly(text))} " for text in documents]
    return {run: [number for number, text in enumerate(plain) if f" {run.decode()} " in text] for run in runs}


@pytest.mark.parametrize("chunk", [8, 40, 2**18])
def test_every_shared_run_is_found_and_no_other(chunk, monkeypatch):
    monkeypatch.setattr(overlap, "CHUNK", chunk)
    draw = np.random.default_rng(chunk)
    words = ["a", "bb", "C,", "d’d", "ée", "f"]
    documents = [" ".join(draw.choice(words, draw.integers(0, 60))) for _ in range(60)]
    texts = [" ".join(draw.choice(words, 8)) for _ in range(40)]
    runs = [run for text in texts for length in (2, 4, 6) for run in runs_of_words(plain_words(text), length)]
    found = Overlap(runs).scan(documents[:25]).scan(documents[25:])
    expected = counted(found.runs, documents)
    assert sum(bool(places) for places in expected.values()) > 20
    for number, run in enumerate(found.runs):
        assert found.documents[number] == len(expected[run])
        assert found.first[number] == (expected[run][0] if expected[run] else -1)
    assert found.read == 60
    for text in documents[:10]:
        inside = counted(found.runs, [text])
        assert found.found_in(text).tolist() == [number for number, run in enumerate(found.runs) if inside[run]]


def test_a_run_does_not_reach_over_the_end_of_a_document():
    found = Overlap([b"one two three"]).scan(["zero one two", "three four", "three one two"])
    assert found.documents.tolist() == [0]


def test_equal_hashes_of_other_words_are_no_find(monkeypatch):
    monkeypatch.setattr(overlap._Wanted, "candidates", lambda self, hashes: np.arange(len(hashes)))
    assert Overlap([b"b c"]).scan(["a b c d", "a b d c"]).documents.tolist() == [1]


def test_a_corpus_larger_than_what_is_held():
    def stream():
        for number in range(300):
            yield f"document {number} " + "filler words that say nothing " * 200 + f"key {number % 7} of the lock"

    found = Overlap([f"key {number} of the lock".encode() for number in range(8)]).scan(stream())
    assert found.documents.tolist() == [43, 43, 43, 43, 43, 43, 42, 0]
    assert found.bytes_read > 1_500_000


def test_nothing_to_look_for_is_explained():
    with pytest.raises(UsageError, match="no words"):
        Overlap([b""])


def prose(count, seed):
    draw = np.random.default_rng(seed)
    return " ".join("".join(draw.choice(list("abcdefgh"), 5)) for _ in range(count))


def test_what_is_shared_is_cut_out_with_its_margin():
    test = prose(20, 1)
    training = prose(100, 2) + ", " + test.title() + "! " + prose(100, 3)
    removal = Removal.of([test])
    removal.overlap.scan([training, prose(50, 4)])
    first, second = removal.pieces(training)
    begin = training.index(test.title())
    assert first == training[: begin - 200]
    assert second == training[begin + len(test) + 1 + 200 :]  # the last word as it stands has its exclamation mark
    assert list(removal.clean([prose(50, 4)])) == [prose(50, 4)]
    assert removal.pieces(test + " short rest") == []


def test_phrases_of_many_documents_stay_and_shreds_are_dropped():
    test = prose(13, 1)
    common = [prose(60, 10 + number) + " " + test for number in range(11)]
    removal = Removal.of([test])
    removal.overlap.scan(common)
    assert list(removal.clean(common)) == common
    strict = Removal(removal.overlap, frequent=None)
    assert all(test not in piece for piece in strict.clean(common))
    shredded = " ".join(prose(100, 30 + number) + " " + test for number in range(11))
    assert strict.pieces(shredded) == []
    assert len(strict.pieces(" ".join([shredded.split(test)[0], test, prose(100, 50)]))) == 2
