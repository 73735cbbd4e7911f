"""Streams are what was asked: fractions, counts, determinism, controls, and no test text in them."""

import numpy as np
import pytest
import torch

from windtunnel.data.packing import PackedSource, write_tokens
from windtunnel.data.repetition import HeldRows, Mixture, RepeatedSource, UniqueSource, ngrams, overlapping, seen
from windtunnel.data.tokenizers import ByteTokenizer
from windtunnel.data.worlds.entropy import Unigram
from windtunnel.laboratory.errors import UsageError


@pytest.fixture
def source():
    return HeldRows(Unigram(torch.ones(500), context=16, seed=0), 4_000)


@pytest.mark.parametrize(("fraction", "repeats"), [(0.5, 10), (0.5, 1000), (0.1, 20), (0.9, 100), (0.03, 40)])
def test_fraction_and_counts_are_realised_exactly(source, fraction, repeats):
    stream = RepeatedSource(source, Mixture.of(4_000, fraction, repeats), seed=3)
    tokens = stream.rows(0, 4_000)["tokens"]
    _, inverse, counts = np.unique(tokens.numpy(), axis=0, return_inverse=True, return_counts=True)
    often = counts[inverse.ravel()]
    assert abs((often > 1).mean() - fraction) <= 1e-3
    assert np.abs(often[often > 1] - repeats).max() <= 1
    assert (np.abs(seen(stream).numpy() - repeats) <= 1).all()
    assert len(counts) == stream.mixture.unique


def test_copies_are_mixed_uniformly(source):
    stream = RepeatedSource(source, Mixture.of(4_000, 0.5, 100), seed=1)
    repeated = (stream.order >= stream.mixture.once).double().view(10, 400).mean(dim=1)
    assert ((repeated - 0.5).abs() < 0.1).all()


def test_rows_do_not_depend_on_how_they_are_asked_for(source):
    mixture = Mixture.of(400, 0.5, 10)
    whole = RepeatedSource(source, mixture, seed=5).rows(0, 400)["tokens"]
    again = RepeatedSource(source, mixture, seed=5)
    assert torch.equal(again.rows(131, 7)["tokens"], whole[131:138])
    assert not torch.equal(RepeatedSource(source, mixture, seed=6).rows(0, 400)["tokens"], whole)


def test_controls(source):
    mixture = Mixture.of(400, 0.5, 10)
    fresh = RepeatedSource(source, mixture, seed=5, fresh=True)
    assert len(set(fresh.order.tolist())) == 400
    alone = UniqueSource(source, mixture, seed=5)
    repeated = RepeatedSource(source, mixture, seed=5)
    assert sorted(alone.order.tolist()) == sorted(set(repeated.order.tolist()))
    assert torch.equal(repeated.subset()["tokens"], source.rows(200, 20)["tokens"])
    more = RepeatedSource(source, Mixture.of(400, 0.5, 40), seed=5)
    assert torch.equal(more.subset()["tokens"], repeated.subset(5)["tokens"])


def test_what_cannot_be_built_is_one_sentence_with_the_mend(source):
    with pytest.raises(UsageError, match="ask for 50 repeats"):
        Mixture.of(200, 0.5, 40)
    with pytest.raises(UsageError, match="fraction"):
        Mixture.of(100, 1.5, 2)
    with pytest.raises(UsageError, match="longer corpus"):
        RepeatedSource(source, Mixture.of(40_000, 0.5, 2), 0)
    with pytest.raises(UsageError, match="not all in a stream"):
        RepeatedSource(source, Mixture.of(400, 0.5, 10), 0).rows(399, 2)


def test_planted_overlap_with_the_test_set_is_found(tmp_path):
    generator = np.random.default_rng(0)
    texts = ["".join(generator.choice(list("abcdefgh"), 800)) for _ in range(3)]
    texts.append("x" * 20 + texts[0][100:160] + "y" * 300)
    first, second = (
        PackedSource(write_tokens(tmp_path / str(part), chosen, ByteTokenizer()), 32, 0, boundaries=False)
        for part, chosen in (("train", texts[:2]), ("test", texts[2:]))
    )
    train, test = (part.rows(0, part.epoch)["tokens"] for part in (first, second))
    learned = {tuple(row[at : at + 13]) for row in train.tolist() for at in range(len(row) - 12)}
    expected = [any(tuple(row[at : at + 13]) in learned for at in range(len(row) - 12)) for row in test.tolist()]
    assert overlapping(test, train).tolist() == expected
    assert 0 < sum(expected) < len(expected)
    with pytest.raises(UsageError, match="13"):
        ngrams(torch.zeros(2, 5, dtype=torch.long))
