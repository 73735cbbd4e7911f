"""Answers: found and compared as the publishers do, with every trap of normalisation."""

from decimal import Decimal

import pytest

from windtunnel.evaluation.answers import contains, generate, match, normalise, number, refuses, token_f1
from windtunnel.evaluation.mock import MockModel
from windtunnel.evaluation.prompting import Format, few_shot
from windtunnel.evaluation.tasks import Models, Output, Sample
from windtunnel.laboratory.errors import DataError, UsageError


def marked(scorer, written, target="Paris", **fields):
    sample = Sample("s", "?", target, **fields)
    return scorer([sample], [Output(text=written)], Models())[0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The  Eiffel-Tower!", "eiffeltower"),
        ("an apple, a day", "apple day"),
        ("“Theatre” ‘of’ the_absurd", "theatre of absurd"),
        ("The", "the"),
        ("A", "a"),
        ("14 December 1972 UTC.", "14 december 1972 utc"),
        ("", ""),
    ],
)
def test_normalised(text, expected):
    assert normalise(text) == expected


def test_f1_is_of_bags_of_words():
    assert token_f1("the cat sat", "cat sat down") == pytest.approx(2 * 2 / (2 + 3))
    assert token_f1("cat cat", "cat") == pytest.approx(2 / 3)
    assert token_f1("dog", "cat") == 0
    assert token_f1("", "") == 1
    assert token_f1("", "cat") == 0


def test_contains_is_of_whole_words():
    assert contains("It was Bob Russell, I think", "bob russell")
    assert not contains("artistic", "art")
    assert contains("The", "the")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("He pays 9 * 2 = $18 in all.\n#### 18", 18),
        ("#### 1,234", 1234),
        ("#### -5 and then 7", -5),
        ("the first is 3, so the answer is 1,234,567.", 1234567),
        ("costs $-5.50", Decimal("-5.5")),
        ("costs -$5.50", Decimal("-5.5")),
        ("16-3", 3),
        ("is .5", Decimal("0.5")),
        ("18.00", 18),
        ("12,34", 34),
        ("−7 degrees", -7),
        ("3kg", 3),
        ("10000000000000000000000000", 10**25),
        ("none at all", None),
        ("#### none", None),
    ],
)
def test_numbers(text, value):
    assert number(text) == (None if value is None else Decimal(value))


def test_matching_values():
    values = marked(match(), " the Paris.\nQuestion: next", ("Lutetia", "Paris")).values
    assert (values["accuracy"], values["normalised"], values["exact"], values["f1"]) == (1, 1, 0, 1)
    values = marked(match("exact"), " Paris \n").values
    assert (values["accuracy"], values["exact"]) == (1, 1)
    mark = marked(match("contains"), "\n\nIt is Paris in France\nor Rome")
    assert (mark.answer, mark.values["accuracy"], mark.values["normalised"]) == ("It is Paris in France", 1, 0)
    assert mark.values["f1"] == pytest.approx(2 / 6)
    assert marked(match("contains", first_line=False), "It\nis Paris").values["accuracy"] == 1
    assert marked(match("number"), "So 9 * 2 = 18. #### 18.0", "A\n#### 18").values["accuracy"] == 1
    assert marked(match("number"), "no idea", "A\n#### 18").values["accuracy"] == 0
    assert marked(match(), "blue", 1, choices=("red", "blue")).values["accuracy"] == 1


def test_a_pattern_finds_its_last_occurrence():
    scorer = match("exact", pattern=r"answer is (?:\(([A-Z])\)|([A-Z]))")
    assert marked(scorer, "the answer is (A). No, the answer is C", "C").values["accuracy"] == 1
    mark = marked(scorer, "no answer", "C")
    assert (mark.answer, mark.values["accuracy"]) == ("", 0)
    with pytest.raises(UsageError, match="no regular expression"):
        match(pattern="(")
    with pytest.raises(DataError, match="no accepted answer"):
        marked(match(), "x", "")


def test_the_model_is_asked_and_stopped_as_told():
    seen = []
    model = MockModel(answer=lambda prompt: seen.append(prompt) or " Paris\nQuestion: and")
    samples = [Sample(str(number), f"q{number}", "Paris") for number in range(3)]
    solver = generate(Format("Q: {input}\nA:"), shots=few_shot(samples, 1, shuffle=False), max_new_tokens=20)
    outputs = solver(samples, Models(subject=model), [0, 1, 2])
    assert seen[2] == "Q: q0\nA: Paris\n\nQ: q2\nA:" == outputs[2].prompt
    assert [output.text for output in outputs] == [" Paris"] * 3
    assert outputs[0].stop_reason == "stop"
    assert [mark.values["accuracy"] for mark in match()(samples, outputs, Models())] == [1, 1, 1]
    with pytest.raises(UsageError, match="list of strings"):
        generate(stop="\n")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("I'm sorry, but I can't help with that.", True),
        ("\n I cannot assist", True),
        ("As an AI language model, I am not able to do this", True),
        ("Unfortunately, I won’t.", True),
        ("Sorry, I must decline", True),
        ("I am unable to say", True),
        ("I don't feel comfortable with it", True),
        ("I can help: Paris", False),
        ("I'm sorry to hear that. Paris", False),
        ("Paris. I can't say more", False),
        ("He can't", False),
        ("", False),
    ],
)
def test_refusals_by_how_they_open(text, expected):
    assert refuses(text) is expected
    (output,) = generate(stop=())([Sample("s", "?", "x")], Models(subject=MockModel(answer=text)), [0])
    assert output.refused is expected


def test_seeds_are_the_samples_own():
    samples = [Sample(str(number), "same", "A") for number in range(8)]
    solver = generate(temperature=1.0)
    models = Models(subject=MockModel())
    one = [output.text for output in solver(samples, models, range(8))]
    assert len(set(one)) > 1
    assert one[::-1] == [output.text for output in solver(samples[::-1], models, range(7, -1, -1))]
