"""Sampling and scoring on every architecture, against the original library asked one row at a time."""

import pytest
import torch

from tests.models.kinds import KINDS, OURS, model, original, tokens
from windtunnel.inference import rows, scoring, sharing
from windtunnel.inference.scoring import score
from windtunnel.models.interface import LanguageModel
from windtunnel.models.pretrained import Pretrained

PREFIX = [5, 9, 2, 7, 7, 1, 30, 4]
QUESTIONS = [[3, 1], [3, 1, 4], [8], [11, 12, 13, 14, 2]]
OPTIONS = [[6], [6, 7, 8], [], [20, 21, 22, 23, 24, 25], [6, 7]]
PAIRS = [(PREFIX + question, option) for question in QUESTIONS for option in OPTIONS] + [([1, 2], [3, 4])]


@torch.no_grad()
def logprobs(kind, row):
    """Log-probabilities after each token of a row, by the library that the weights come from."""
    module = model(kind).module if kind in OURS else original(kind)
    result = module(torch.tensor([row]))
    return (result if kind in OURS else result.logits)[0].double().log_softmax(-1)


def check_scores(kind, scores):
    for (prompt, continuation), result in zip(PAIRS, scores, strict=True):
        table = logprobs(kind, prompt + continuation)[len(prompt) - 1 : -1]
        expected = [float(row[token]) for row, token in zip(table, continuation, strict=True)]
        assert result.token_ids == continuation
        assert result.token_logprobs == pytest.approx(expected, abs=1e-4)
        assert result.is_greedy == all(int(row.argmax()) == t for row, t in zip(table, continuation, strict=True))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("limits", ["one_prefix", "nothing_shared", "small_batches"])
def test_shared_prefixes_and_options_side_by_side_score_as_whole_rows_do(kind, limits, monkeypatch):
    monkeypatch.setattr(sharing, "LEAST_SHARED", {"one_prefix": 4, "nothing_shared": 99, "small_batches": 2}[limits])
    if limits == "small_batches":
        monkeypatch.setattr(sharing, "MOST_COLUMNS", 18)
        monkeypatch.setattr(scoring, "BATCH_TOKENS", 30)
        monkeypatch.setattr(scoring, "BATCH_LOGITS", 31 * 8)
    check_scores(kind, score(model(kind).backend, PAIRS, batch_size=3))


@pytest.mark.parametrize("kind", ["gpt2", "mistral", "gemma3", "ours_llama_like", "ours_attention_only"])
def test_little_passes_through_the_model(kind, monkeypatch):
    """The prefix once, each question once, each option once: that is what sharing is for."""
    monkeypatch.setattr(sharing, "LEAST_SHARED", 4)
    backend = model(kind).backend
    seen, logits = [], backend.logits

    def counting(batch, *arguments, **options):
        seen.append(batch.numel())
        return logits(batch, *arguments, **options)

    monkeypatch.setattr(backend, "logits", counting)
    score(backend, PAIRS, batch_size=1)
    laid = sum(len(option) - 1 for option in OPTIONS if option)
    if backend.branching:  # "3 1" is a prefix of "3 1 4": what it ends in is computed again for its prediction
        assert sum(seen) <= len(PREFIX) + sum(len(question) + laid + 1 for question in QUESTIONS) + 2 + 1
    else:
        assert sum(seen) < sum(len(prompt) + len(option) for prompt, option in PAIRS)


@pytest.mark.parametrize("kind", KINDS)
def test_greedy_tokens_are_those_of_a_plain_loop(kind):
    subject = model(kind)
    prompts = [tokens(1, length)[0].tolist() for length in (3, 9, 1, 9, 5)]
    samples = subject.generate(prompts, max_new_tokens=7, temperature=0, batch_size=2)
    for prompt, sample in zip(prompts, samples, strict=True):
        row = list(prompt)
        for _ in range(7):
            row.append(int(logprobs(kind, row)[-1].argmax()))
        assert sample.token_ids == row[len(prompt) :]


@pytest.mark.parametrize("kind", KINDS)
def test_what_sampling_reports_is_what_scoring_finds(kind):
    subject = model(kind)
    prompts = [tokens(1, length)[0].tolist() for length in (3, 9, 1, 9, 5)]
    samples = subject.generate(prompts, max_new_tokens=7, batch_size=3, samples_per_prompt=2)
    asked = [prompt for prompt in prompts for _ in range(2)]
    scores = subject.score(asked, [sample.token_ids for sample in samples])
    for sample, result in zip(samples, scores, strict=True):
        assert sample.token_logprobs == pytest.approx(result.token_logprobs, abs=1e-4)


def test_a_model_that_takes_no_cache_is_asked_for_whole_rows():
    module = original("llama")
    module.config.model_type = "unheard_of"
    subject = LanguageModel(Pretrained(module), None, "unheard of")
    check_scores("llama", score(subject.backend, PAIRS, batch_size=3))
    prompts, options = [[3, 1, 4], [1], [5, 9, 2, 6, 5]], {"max_new_tokens": 6, "batch_size": 2, "seed": 5}
    for mine, theirs in zip(
        subject.generate(prompts, **options), model("llama").generate(prompts, **options), strict=True
    ):
        assert mine.token_ids == theirs.token_ids
        assert mine.token_logprobs == pytest.approx(theirs.token_logprobs, abs=1e-5)


def test_a_prompt_that_rows_share_is_computed_once(monkeypatch):
    subject = model("ours_llama_like")
    seen, logits = [], subject.backend.logits

    def counting(batch, *arguments, **options):
        seen.append(tuple(batch.shape))
        return logits(batch, *arguments, **options)

    monkeypatch.setattr(subject.backend, "logits", counting)
    samples = subject.generate([[3, 1, 4, 1]], samples_per_prompt=5, max_new_tokens=3)
    assert seen == [(1, 4), (5, 1), (5, 1)]
    assert len({tuple(sample.token_ids) for sample in samples}) > 1
    monkeypatch.setattr(rows, "PROMPT_TOKENS", 4)
    seen.clear()
    again = subject.generate([[3, 1, 4, 1]] * 5, max_new_tokens=3)
    assert [sample.token_ids for sample in again] == [sample.token_ids for sample in samples]


def test_a_stream_gives_the_tokens_of_generate_and_leaves_the_model_to_its_reader_between_them():
    subject = model("llama")
    [whole] = subject.generate([[3, 1, 4]], max_new_tokens=6, seed=[11])
    found = []
    for step in subject.stream([3, 1, 4], max_new_tokens=6, seed=11):
        assert torch.is_grad_enabled()
        assert not any("forward" in part.__dict__ for part in subject.module.modules())
        found.append(step)
    assert [step.token for step in found] == whole.token_ids
    assert [step.sample for step in found[:-1]] == [None] * 5
    assert found[-1].sample.token_ids == whole.token_ids
