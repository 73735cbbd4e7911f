"""Planted secrets: as many as asked, where they are, and nothing else changed."""

import pytest
import torch

from windtunnel.data.canaries import ALPHABET, PREFIX, SECRET, Canaries
from windtunnel.data.worlds.entropy import Unigram
from windtunnel.laboratory.errors import UsageError

ROWS, REPEATS = 60, (1, 3, 8)


def planted(hidden=False, seed=5):
    return Canaries(Unigram(torch.ones(100), 24, 0), ROWS, REPEATS, seed, hidden=hidden)


def seen(canaries, with_secret):
    """How often each canary's prefix is there, with its secret or whatever follows."""
    rows = canaries.rows(0, ROWS)["tokens"]
    found = []
    for prefix, secret in zip(canaries.prefixes, canaries.secrets, strict=True):
        whole = torch.cat([prefix, secret]) if with_secret else prefix
        windows = rows.unfold(1, len(whole), 1)
        found.append(int((windows == whole).all(-1).sum()))
    return tuple(found)


def test_each_is_there_so_often_and_its_secret_too():
    assert seen(planted(), False) == seen(planted(), True) == REPEATS


def test_hidden_ones_have_another_secret_every_time():
    assert seen(planted(hidden=True), False) == REPEATS
    assert sum(seen(planted(hidden=True), True)) == 0


def test_everything_else_is_the_source():
    canaries = planted()
    rows, source = canaries.rows(0, ROWS)["tokens"], Unigram(torch.ones(100), 24, 0).rows(0, ROWS)["tokens"]
    changed = (rows != source).any(1)
    assert int(changed.sum()) == sum(REPEATS)
    assert int((rows != source).sum(1).max()) <= PREFIX + SECRET


def test_rows_are_pure_functions_of_the_seed():
    assert torch.equal(planted().rows(7, 20)["tokens"], planted().rows(0, ROWS)["tokens"][7:27])
    assert not torch.equal(planted().secrets, planted(seed=6).secrets)
    assert set(planted().secrets.flatten().tolist()) <= set(planted().alphabet.tolist())
    assert len(planted().alphabet) == ALPHABET


def test_too_many_are_refused():
    with pytest.raises(UsageError, match="do not fit 5 rows"):
        Canaries(Unigram(torch.ones(100), 24, 0), 5, REPEATS, 0)
