"""Beam search against enumeration in double precision, a greedy loop and another implementation."""

import itertools

import pytest
import torch

from tests.inference import plain
from windtunnel.inference.beams import Beams, beam_search
from windtunnel.inference.rows import CachedRows, WholeRows
from windtunnel.laboratory.errors import Unsupported, UsageError
from windtunnel.models.endpoint import connect
from windtunnel.models.huggingface import export
from windtunnel.models.interface import from_module
from windtunnel.models.transformer import Transformer, TransformerConfig


def letters(ids):
    return "".join(chr(97 + i) for i in ids)


def everything(model, prompt, longest, ends):
    """Every continuation that ends, with the log-probability of its tokens."""
    for length in range(1, longest + 1):
        for tokens in itertools.product(range(model.vocabulary), repeat=length):
            if any(token in ends for token in tokens[:-1]) or (length < longest and tokens[-1] not in ends):
                continue
            yield list(tokens), sum(plain.score(model, prompt, list(tokens)))


@pytest.mark.parametrize("penalty", [0.0, 0.6, 2.0])
@pytest.mark.parametrize("ends", [frozenset(), {0}, {0, 3}])
def test_with_enough_beams_it_is_the_best_of_all(penalty, ends):
    model, prompts = plain.decoder(vocabulary=4), [[3, 1], [2], [1, 1, 2]]
    settings = Beams(3, beams=64, length_penalty=penalty)
    found = beam_search(model, prompts, settings, ends=ends)
    for prompt, sample in zip(prompts, found, strict=True):
        best, logprob = max(
            everything(model, prompt, 3, ends), key=lambda each: each[1] / ((5 + len(each[0])) / 6) ** penalty
        )
        assert sample.token_ids == best
        assert sum(sample.token_logprobs) == pytest.approx(logprob, abs=1e-5)
        assert sample.stop_reason == ("end" if best[-1] in ends else "length")


def test_one_beam_is_greedy_and_more_are_likelier():
    model = plain.decoder()
    greedy = beam_search(model, plain.prompts(), Beams(9, beams=1))
    assert [sample.token_ids for sample in greedy] == [plain.greedy(model, each, 9) for each in plain.prompts()]
    sums = [
        sum(sum(sample.token_logprobs) for sample in beam_search(model, plain.prompts(), Beams(9, beams=beams)))
        for beams in (1, 4, 32)
    ]
    assert sums[0] < sums[1] <= sums[2]


@pytest.mark.parametrize("batch_size", [1, 8, 64])
def test_it_does_not_depend_on_the_batch(batch_size):
    model, settings = plain.decoder(positions="rotary"), Beams(7, beams=4)
    together = beam_search(model, plain.prompts(), settings, ends={5}, batch_size=batch_size)
    alone = [beam_search(model, [prompt], settings, ends={5})[0] for prompt in plain.prompts()]
    assert [each.token_ids for each in together] == [each.token_ids for each in alone]


def test_without_a_cache_it_finds_the_same(monkeypatch):
    model, settings = plain.decoder(), Beams(6, beams=3)
    cached = beam_search(model, plain.prompts(), settings, ends={2})
    monkeypatch.setattr(model, "caches", False)
    assert [each.token_ids for each in beam_search(model, plain.prompts(), settings, ends={2})] == [
        each.token_ids for each in cached
    ]


@torch.no_grad()
def test_rows_go_on_in_another_order():
    model, chosen = plain.decoder(), [2, 0, 2]
    prompts = [(1, 2, 3), (4, 5), (6,)]
    for rows in (CachedRows(model, 12), WholeRows(model)):
        rows.admit(prompts)
        rows.step(torch.tensor([7, 8, 9]))
        rows.take(chosen)
        logits = rows.step(torch.tensor([1, 2, 3])).double().log_softmax(-1)
        for place, (row, last) in enumerate(zip(chosen, [1, 2, 3], strict=True)):
            expected = plain.next_logprobs(model, [*prompts[row], 7 + row, last])
            assert torch.allclose(logits[place], expected, atol=1e-5)


def test_a_stop_string_ends_a_continuation_and_is_cut_off():
    model = plain.decoder()
    (free,) = beam_search(model, [[1, 2]], Beams(8, beams=1), decode=letters)
    (stopped,) = beam_search(model, [[1, 2]], Beams(8, beams=1, stop=(free.text[3:5],)), decode=letters)
    assert stopped.stop_reason == "stop"
    assert stopped.text == free.text[: free.text.find(free.text[3:5])]


def test_transformers_finds_the_same(tmp_path):
    from transformers import AutoModelForCausalLM

    config = TransformerConfig(
        vocabulary=50, context=32, layers=2, width=32, heads=4, mlp_ratio=8 / 3, activation="swiglu",
        normalization="rmsnorm", positions="rotary", embedding_scale=1.0,
    )  # fmt: skip
    module = Transformer(config, torch.Generator().manual_seed(0)).eval()
    export(module, tmp_path)
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path).eval()
    prompts = [[3, 1, 4, 1], [5, 9, 2, 6], [7, 7, 7, 7]]
    ours = from_module(module).beam_search(prompts, beams=4, length_penalty=0.0, max_new_tokens=10)
    generated = theirs.generate(
        torch.tensor(prompts), num_beams=4, length_penalty=0.0, max_new_tokens=10, do_sample=False, eos_token_id=None,
        pad_token_id=0,
    )  # fmt: skip
    assert [each.token_ids for each in ours] == generated[:, 4:].tolist()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"beams": 0}, "at least one"),
        ({"length_penalty": -1.0}, "length_penalty"),
        ({"stop": ("",)}, "stop string is empty"),
    ],
)
def test_settings_out_of_range_are_refused(settings, words):
    with pytest.raises(UsageError, match=words):
        Beams(**settings)


def test_prompts_that_cannot_be_continued_are_refused():
    with pytest.raises(UsageError, match="no token to continue"):
        beam_search(plain.decoder(), [[]], Beams(3))
    with pytest.raises(UsageError, match="do not fit"):
        beam_search(plain.decoder(context=8), [[1] * 6], Beams(4))


def test_a_server_has_no_beam_search():
    with pytest.raises(Unsupported, match="beam_search"):
        _ = connect("openai:m@http://127.0.0.1:9/v1").beam_search
