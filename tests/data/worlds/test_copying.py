import pytest
import torch

from windtunnel.data.worlds.copying import PastedSegments, repeated_tokens, zipf
from windtunnel.laboratory.errors import UsageError


def test_rows_do_not_depend_on_how_they_are_asked_for():
    source = PastedSegments(seed=3)
    whole = source.rows(0, 600)["tokens"]
    parts = [PastedSegments(seed=3).rows(start, 100)["tokens"] for start in range(0, 600, 100)]
    assert torch.equal(whole, torch.cat(parts))
    assert whole.shape == (600, 65)
    assert not torch.equal(whole, PastedSegments(seed=4).rows(0, 600)["tokens"])


def test_without_pastes_the_bigrams_are_the_declared_ones():
    source = PastedSegments(vocabulary=12, seed=1, pastes=0)
    tokens = torch.cat([source.rows(start, 256)["tokens"] for start in range(0, 5120, 256)])
    pairs = torch.zeros(12, 12, dtype=torch.float64)
    pairs.index_put_((tokens[:, :-1].flatten(), tokens[:, 1:].flatten()), torch.ones(1, dtype=torch.float64), True)
    seen = pairs.sum(1, keepdim=True)
    error = (source.transition * (1 - source.transition) / seen).sqrt()
    assert ((pairs / seen - source.transition).abs() < 5 * error).all()
    torch.testing.assert_close(source.transition.sum(1), torch.ones(12, dtype=torch.float64))
    assert torch.equal(source.transition.sort(dim=1, descending=True).values[0], zipf(12, 1.2))


def copied(row, shortest):
    """Whether the row says some `shortest` tokens twice without overlap."""
    words = [tuple(row[start : start + shortest]) for start in range(len(row) - shortest + 1)]
    return any(word in words[start + shortest :] for start, word in enumerate(words))


def test_pasted_spans_are_there_as_often_as_declared():
    rows = PastedSegments(seed=0, pastes=1).rows(0, 1000)["tokens"].tolist()
    share = sum(copied(row, 12) for row in rows) / 1000
    assert abs(share - 0.8) < 0.05
    rows = PastedSegments(seed=0, pastes=0).rows(0, 1000)["tokens"].tolist()
    assert sum(copied(row, 12) for row in rows) <= 2


def test_the_probe_repeats_exactly_and_says_each_token_once_per_copy():
    rows = repeated_tokens(50, 48, torch.Generator().manual_seed(0), bos=0, exclude=2)
    assert rows.shape == (50, 101)
    assert (rows[:, 0] == 0).all()
    first = rows[:, 1:26]
    assert torch.equal(rows[:, 1:], first.repeat(1, 4))
    assert all(len(set(row)) == 25 for row in first.tolist())
    assert first.min() >= 2
    assert first.max() < 46


@pytest.mark.parametrize("spans", [(0, 5), (9, 5), (12, 32)])
def test_spans_that_do_not_fit_are_refused(spans):
    with pytest.raises(UsageError, match="do not fit twice"):
        PastedSegments(spans=spans)


def test_a_vocabulary_excluded_to_nothing_is_refused():
    with pytest.raises(UsageError, match="leaves no tokens"):
        repeated_tokens(1, 10, torch.Generator(), exclude=5)
