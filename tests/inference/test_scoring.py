import pytest
import torch
from hypothesis import given, settings, strategies

from tests.inference import plain
from windtunnel.inference.scoring import encode_pair, score
from windtunnel.inference.sharing import Row, Run
from windtunnel.laboratory.errors import UsageError

ROWS = strategies.lists(strategies.integers(0, 12), min_size=1, max_size=12)
PAIRS = strategies.lists(
    strategies.tuples(ROWS, strategies.lists(strategies.integers(0, 12), max_size=8)), min_size=1, max_size=6
)


@settings(max_examples=25, deadline=None)
@given(PAIRS, strategies.integers(1, 4), strategies.sampled_from(["learned", "rotary", "sinusoidal_qk"]))
def test_equals_one_row_and_one_token_at_a_time(pairs, batch_size, positions):
    model = plain.decoder(positions=positions, smeared_keys=positions == "sinusoidal_qk")
    scores = score(model, pairs, batch_size=batch_size)
    assert len(scores) == len(pairs)
    for (prompt, continuation), result in zip(pairs, scores, strict=True):
        assert result.token_ids == continuation
        assert result.token_logprobs == pytest.approx(plain.score(model, prompt, continuation), abs=1e-5)
        assert result.logprob == pytest.approx(sum(result.token_logprobs))
        assert result.is_greedy == (plain.greedy(model, prompt, len(continuation)) == continuation)


BEGINNINGS = strategies.lists(strategies.integers(0, 12), max_size=6)
OPTIONS = strategies.lists(strategies.lists(strategies.integers(0, 3), max_size=4), min_size=2, max_size=5)


@settings(max_examples=25, deadline=None)
@given(ROWS, BEGINNINGS, OPTIONS, strategies.sampled_from(["learned", "rotary", "sinusoidal_qk"]))
def test_what_all_options_begin_with_changes_nothing(prompt, beginning, options, positions):
    model = plain.decoder(positions=positions, smeared_keys=positions == "sinusoidal_qk")
    for option, result in zip(options, score(model, [(prompt, beginning + option) for option in options]), strict=True):
        assert result.token_logprobs == pytest.approx(plain.score(model, prompt, beginning + option), abs=1e-5)
        assert result.is_greedy == (plain.greedy(model, prompt, len(beginning + option)) == beginning + option)


def test_what_all_options_begin_with_is_laid_once():
    row = Row((1, 2), ((0, (5, 6, 7)), (1, (5, 6, 8, 9)), (2, (5, 6))))
    assert (row.beginning, row.columns) == ((5,), 2 + 1 + 1 + 2 + 0)
    assert Row((1,), ((0, (5, 6, 7)),)).columns == 3
    assert Row((1,), ((0, (5, 6)), (1, (5, 6)))).beginning == (5,)
    assert Row((1,), ((0, (5,)), (1, (5, 6)))).beginning == ()


def test_all_next_tokens_sum_to_one():
    model = plain.decoder()
    scores = score(model, [([3, 1, 4], [token]) for token in range(13)])
    assert sum(torch.tensor([s.logprob for s in scores]).exp()).item() == pytest.approx(1.0, abs=1e-5)
    assert sum(s.is_greedy for s in scores) == 1


def test_the_longest_pair_that_fits_is_scored_and_the_next_refused():
    model = plain.decoder()
    [whole] = score(model, [([1] * 20, [2] * 13)])  # 32 inputs: the last token is only predicted
    assert len(whole.token_logprobs) == 13
    with pytest.raises(UsageError, match="context of 32"):
        score(model, [([1] * 20, [2] * 14)])
    with pytest.raises(UsageError, match="BOS"):
        score(model, [([], [2])])


class Pairs:
    """A tokenizer whose tokens are letters, except that "ab" is one token wherever it stands."""

    vocabulary, bos, eos, pad = 256, 1, 2, None

    def encode(self, text):
        ids, at = [], 0
        while at < len(text):
            step = 2 if text[at : at + 2] == "ab" else 1
            ids.append(200 if step == 2 else ord(text[at]))
            at += step
        return ids

    def decode(self, ids):
        return "".join("ab" if i == 200 else chr(i) for i in ids)


@pytest.mark.parametrize(
    ("prompt", "continuation", "expected"),
    [
        ("xy", "z", ([120, 121], [122])),
        ("xa", "bz", ([120], [200, 122])),  # the straddling token is scored with the continuation
        ("a", "b", ([1], [200])),  # nothing is left of the prompt: BOS stands for it
        ("", "ab", ([1], [200])),
        ("xy", "", ([120, 121], [])),
    ],
)
def test_prompt_and_continuation_are_tokenised_jointly(prompt, continuation, expected):
    assert encode_pair(Pairs(), prompt, continuation) == expected


def test_without_bos_and_eos_an_empty_prompt_is_refused():
    codec = Pairs()
    codec.bos = None
    assert encode_pair(codec, "", "x") == ([2], [120])
    codec.eos = None
    with pytest.raises(UsageError, match="BOS"):
        encode_pair(codec, "", "x")


def test_a_short_row_is_not_padded_to_a_long_one():
    rows = [Row((1,) * length, ((place, (2,)),)) for place, length in enumerate([100, 95, 60, 55, 20, 20, 20])]
    run = Run(0, tuple(rows))

    def lengths(enough):
        return [[row.columns for row in batch] for batch in run.batches(16, 8192, 8192, enough)]

    assert lengths(enough=150) == [[100, 95], [60, 55, 20], [20, 20]]
    assert lengths(enough=110) == [[100, 95], [60, 55], [20, 20, 20]]
    assert lengths(enough=8192) == [[100, 95, 60, 55, 20, 20, 20]]
