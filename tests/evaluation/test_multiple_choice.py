"""Multiple choice: log-probabilities equal brute force, and every metric is the argmax it says it is."""

import itertools
import math

import numpy as np
import pytest
import torch

from tests.models.texts import bpe
from windtunnel.data.tokenizers import ByteTokenizer
from windtunnel.evaluation.mock import MockModel
from windtunnel.evaluation.multiple_choice import choice_scorer, multiple_choice, normalised
from windtunnel.evaluation.prompting import PARENTHESISED, Format, few_shot
from windtunnel.evaluation.tasks import Models, Output, Sample
from windtunnel.laboratory.errors import DataError, Unsupported, UsageError
from windtunnel.models.interface import from_module
from windtunnel.models.transformer import Transformer, TransformerConfig

CAPITALS = [
    Sample(f"c{number}", f"The capital of {land} is", number % 3, choices)
    for number, (land, choices) in enumerate(
        [
            ("France", ("Paris", "a large town", "Rome")),
            ("Italy", ("Oslo", "Rome", "Lyon or so")),
            ("Perú", ("Bogotá", "no", "Lima")),
            ("Spain", ("Madrid", "Cádiz", "Rome")),
        ]
    )
]


@pytest.fixture(scope="module")
def model():
    config = TransformerConfig(vocabulary=259, context=512, layers=2, width=32, heads=2, embedding_scale=1.0)
    return from_module(Transformer(config, torch.Generator().manual_seed(0)), ByteTokenizer())


@torch.no_grad()
def brute_force(model, prompt, continuation):
    """One row at a time, in double precision."""
    start = [] if model.tokenizer.bos is None else [model.tokenizer.bos]
    before = model.tokenizer.encode(prompt)
    ids = (before or start) + model.tokenizer.encode(continuation)
    double = model.module.double()
    rows = double(torch.tensor([ids]))[0].log_softmax(-1)
    model.module.float()
    return sum(float(rows[place - 1, ids[place]]) for place in range(len(before), len(ids)))


def ask(solver, model, samples=CAPITALS):
    return solver(samples, Models(subject=model), [0] * len(samples))


@pytest.mark.parametrize("shots", [0, 2])
def test_every_option_equals_brute_force(model, shots):
    solver = multiple_choice(Format("{input}"), shots=few_shot(CAPITALS, shots), unconditional="Answer:")
    for sample, output in zip(CAPITALS, ask(solver, model), strict=True):
        assert output.prompt.endswith(sample.input)
        assert output.prompt.count("\n\n") == shots
        assert (shots == 0) == (output.prompt == sample.input)
        for place, choice in enumerate(sample.choices):
            expected = brute_force(model, output.prompt, " " + choice)
            assert output.option_logprobs[place] == pytest.approx(expected, abs=1e-4)
            assert output.option_tokens[place] == len((" " + choice).encode())
            expected = brute_force(model, "Answer:", " " + choice)
            assert output.unconditional_logprobs[place] == pytest.approx(expected, abs=1e-4)


def test_letters_are_compared_after_the_prompt_that_shows_them(model):
    output = ask(multiple_choice(letters=True), model)[0]
    assert output.prompt == "The capital of France is\nA. Paris\nB. a large town\nC. Rome\nAnswer:"
    assert output.option_logprobs[1] == pytest.approx(brute_force(model, output.prompt, " B"), abs=1e-4)
    forced = ask(multiple_choice(PARENTHESISED, letters=True), model)[0]
    assert forced.prompt.endswith("\n(C) Rome\nAnswer: (")
    assert forced.option_logprobs[2] == pytest.approx(brute_force(model, forced.prompt, "C"), abs=1e-4)
    assert forced.option_tokens == (1, 1, 1)


@pytest.mark.parametrize(("orders", "count"), [("cyclic", 3), ("all", 6)])
def test_orders_are_averaged_over_probabilities_in_the_samples_own_order(model, orders, count):
    sample = CAPITALS[1]
    output = ask(multiple_choice(letters=True, orders=orders), model, [sample])[0]
    chances = []
    for order in [order for order in itertools.permutations(range(3)) if orders == "all" or order in CYCLES]:
        shown = "\n".join(f"{letter}. {sample.choices[place]}" for letter, place in zip("ABC", order, strict=True))
        prompt = f"{sample.input}\n{shown}\nAnswer:"
        chances.append([math.exp(brute_force(model, prompt, " " + "ABC"[order.index(place)])) for place in range(3)])
    assert len(chances) == count == len(output.extra["orders"])
    assert np.exp(output.option_logprobs) == pytest.approx(np.mean(chances, axis=0), rel=1e-3)


CYCLES = [(0, 1, 2), (1, 2, 0), (2, 0, 1)]


def test_a_model_that_always_says_a_is_told_by_orders():
    biased = MockModel(logprob=lambda before, after: -0.1 if after == " A" else -3.0)
    for orders, expected in (("given", 1.0), ("cyclic", 1 / 3)):
        output = ask(multiple_choice(letters=True, orders=orders), biased, CAPITALS[:1])[0]
        assert normalised(output.option_logprobs)[0] == pytest.approx(expected, abs=0.1)


def test_metrics_are_the_argmax_they_say():
    choices = ("éééé", "abc", "x" * 40)
    sample = Sample("s", "?", 1, choices)
    output = Output(
        option_logprobs=(-6.0, -4.0, -44.0), option_tokens=(1, 4, 50), unconditional_logprobs=(-9.0, -2.0, -44.0)
    )
    mark = choice_scorer()([sample], [output], Models())[0]
    assert mark.values["accuracy"] == 1.0
    assert mark.answer == "abc"
    assert mark.values["accuracy_normalised"] == 0.0  # per byte: -0.75, -1.33, -1.1
    assert mark.values["accuracy_by_characters"] == 0.0  # per character: -1.5, -1.33, -1.1
    assert mark.values["accuracy_by_tokens"] == 0.0  # per token: -6, -1, -0.88
    assert mark.values["accuracy_unconditional"] == 0.0  # gained: 3, -2, 0
    weights = np.exp([-6.0, -4.0, -44.0])
    assert mark.values["probability"] == pytest.approx(weights[1] / weights.sum())
    assert mark.values["chance"] == pytest.approx(1 / 3)
    by = {
        name: choice_scorer()([Sample("s", "?", 0, choices)], [output], Models())[0].values[name]
        for name in mark.values
    }
    assert (by["accuracy_normalised"], by["accuracy_unconditional"], by["accuracy"]) == (1.0, 1.0, 0.0)


def test_lengths_do_not_count_where_letters_are_compared():
    output = Output(option_logprobs=(-2.0, -1.0), option_tokens=(1, 1), extra={"letters": True})
    values = choice_scorer()([Sample("s", "?", 1, ("a long option", "b"))], [output], Models())[0].values
    assert set(values) == {"accuracy", "probability", "chance"}


TALK = "{% for m in messages %}<s>{{ m['role'] }}: {{ m['content'] }}</s>{% endfor %}<s>assistant: "


@torch.no_grad()
def test_a_conversation_is_scored_after_the_models_own_template():
    config = TransformerConfig(vocabulary=300, context=256, layers=1, width=32, heads=2, embedding_scale=1.0)
    codec = bpe(adds_bos=True, template=TALK)
    model = from_module(Transformer(config, torch.Generator().manual_seed(0)), codec)
    solver = multiple_choice(PARENTHESISED, letters=True, chat=True, shots=few_shot(CAPITALS[:1], 1))
    (output,) = ask(solver, model, CAPITALS[1:2])
    assert output.prompt == (
        "<s>user: The capital of France is\n(A) Paris\n(B) a large town\n(C) Rome\nAnswer:</s><s>assistant: (A)</s>"
        "<s>user: The capital of Italy is\n(A) Oslo\n(B) Rome\n(C) Lyon or so\nAnswer:</s><s>assistant: ("
    )
    ids = codec.encode_rendered(output.prompt + "B")
    assert ids.count(0) == 4  # the template's own, and none that the tokenizer would add
    rows = model.module(torch.tensor([ids]))[0].log_softmax(-1)
    start = len(codec.encode_rendered(output.prompt))
    expected = sum(float(rows[place - 1, ids[place]]) for place in range(start, len(ids)))
    assert output.option_logprobs[1] == pytest.approx(expected, abs=1e-4)


def test_a_server_is_asked_the_same_and_keeps_its_template_to_itself(model):
    from tests.serving import serving
    from windtunnel.models.interface import load
    from windtunnel.web.model_server import application

    solver = multiple_choice(Format("{input}"), unconditional="Answer:")
    with serving(application(model, "tiny")) as url:
        remote = load(f"openai:tiny@{url}")
        for here, there in zip(ask(solver, model, CAPITALS[:2]), ask(solver, remote, CAPITALS[:2]), strict=True):
            assert there.option_logprobs == pytest.approx(here.option_logprobs, abs=1e-3)
            assert there.option_tokens == here.option_tokens
            assert there.unconditional_logprobs == pytest.approx(here.unconditional_logprobs, abs=1e-3)
        with pytest.raises(Unsupported, match="ask without chat"):
            ask(multiple_choice(letters=True, chat=True), remote)


def test_impossible_options_and_samples_are_told():
    with pytest.raises(UsageError, match="cyclic"):
        multiple_choice(orders="cyclic")
    with pytest.raises(UsageError, match="full text"):
        multiple_choice(letters=True, unconditional="Answer:")
    with pytest.raises(DataError, match="'open' has no choices"):
        ask(multiple_choice(), MockModel(), [Sample("open", "?", "free")])
    with pytest.raises(UsageError, match="use cyclic"):
        ask(multiple_choice(letters=True, orders="all"), MockModel(), [Sample("six", "?", 0, tuple("abcdef"))])
    with pytest.raises(DataError, match="index"):
        choice_scorer()([Sample("s", "?", "a", ("a", "b"))], [Output(option_logprobs=(0.0, -1.0))], Models())
    assert normalised([-math.inf, -math.inf]).tolist() == [0.5, 0.5]
