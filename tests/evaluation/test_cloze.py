"""Cloze: log-probabilities of continuations equal the model's own; perplexity equals its closed form."""

import math

import numpy as np
import pytest
import torch

from windtunnel.data.tokenizers import ByteTokenizer
from windtunnel.evaluation.cloze import CONTINUE, FILL_IN, cloze, cloze_scorer, last_word, perplexity
from windtunnel.evaluation.prompting import Format, few_shot
from windtunnel.evaluation.tasks import Models, Sample
from windtunnel.laboratory.errors import DataError
from windtunnel.models.interface import from_module
from windtunnel.models.transformer import Transformer, TransformerConfig


@pytest.fixture(scope="module")
def model():
    config = TransformerConfig(vocabulary=259, context=256, layers=1, width=32, heads=2, embedding_scale=1.0)
    return from_module(Transformer(config, torch.Generator().manual_seed(0)), ByteTokenizer())


def marks(model, samples, **options):
    outputs = cloze(**options)(samples, Models(subject=model), [0] * len(samples))
    return outputs, cloze_scorer()(samples, outputs, Models())


def test_a_continuation_is_scored_with_its_space_and_by_every_unit(model):
    samples = [Sample("a", "the cat sat on the", ("mät", "big mat"))]
    (output,), (mark,) = marks(model, samples)
    assert output.prompt == "the cat sat on the"
    for place, text in enumerate((" mät", " big mat")):
        ids = model.tokenizer.encode("the cat sat on the" + text)
        with torch.no_grad():
            rows = model.module(torch.tensor([ids]))[0].log_softmax(-1)
        start = len(model.tokenizer.encode("the cat sat on the"))
        expected = sum(float(rows[index - 1, ids[index]]) for index in range(start, len(ids)))
        assert output.option_logprobs[place] == pytest.approx(expected, abs=1e-4)
    best = int(np.argmax(output.option_logprobs))
    assert mark.values["logprob"] == output.option_logprobs[best]
    assert (mark.values["tokens"], mark.values["bytes"], mark.values["words"]) == [(5, 5, 1), (8, 8, 2)][best]


def test_greedy_is_what_sampling_says(model):
    letter = model.generate(["the cat"], max_new_tokens=1, temperature=0)[0].text
    samples = [Sample("a", "the cat", letter), Sample("b", "the cat", "~~"), Sample("c", "the cat", ("~~", letter))]
    _, found = marks(model, samples, format=Format("{input}", lead=""))
    assert [mark.values["accuracy"] for mark in found] == [1, 0, 1]


def test_blanks_with_examples(model):
    pool = [Sample("e", "Alice went home. She was ____.", "tired")]
    asked = [Sample("a", "Bob met ____.", "Alice")]
    (output,), _ = marks(model, asked, format=FILL_IN, shots=few_shot(pool, 1))
    assert output.prompt == "Alice went home. She was ____. -> tired\n\nBob met ____. ->"
    assert output.extra["continuations"] == [" Alice"]


def test_last_words():
    assert last_word("and then he said hello to Gabriel.") == ("and then he said hello to", "Gabriel.")
    assert last_word(" she said  Ann\n") == ("she said ", "Ann")
    with pytest.raises(DataError, match="no last word"):
        last_word("word")


def test_perplexity_is_of_all_units_and_its_interval_of_samples():
    generator = np.random.default_rng(0)
    assert perplexity([-2.0, -4.0], [1, 5], generator=generator).value == pytest.approx(math.exp(1))
    uniform = perplexity(np.full(40, -math.log(7) * 3), np.full(40, 3), generator=generator)
    assert uniform.interval == pytest.approx((7, 7))
    with pytest.raises(DataError, match="above 0"):
        perplexity([-1.0], [0], generator=generator)
    covered = 0
    for trial in range(30):
        draw = np.random.default_rng((1, trial))
        counts = draw.integers(1, 9, 60)
        found = perplexity(-2 * counts + draw.normal(0, 1, 60), counts, generator=draw)
        covered += found.low <= math.exp(2) <= found.high
    assert 25 <= covered <= 30
    assert CONTINUE.question == "{input}"
