"""The real data sets, where WINDTUNNEL_DATA names them: as many rows as were published, every one of them usable."""

import os
from collections import Counter
from pathlib import Path

import pytest

from windtunnel.evaluation.answers import number
from windtunnel.evaluation.code_execution import Limits, assembled, run_program
from windtunnel.evaluation.library import bbh, find_task, gpt3, gsm8k, hhh, human_eval, truthfulqa, winobias, winogender
from windtunnel.evaluation.library.arc import read as read_science
from windtunnel.laboratory.errors import DataError

pytestmark = pytest.mark.data


def prompts(task, every=1):
    return [str(task.solver.prompting.prompt(sample)) for sample in task.dataset[::every]]


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("piqa", 1838),
        ("gsm8k", 1319),
        ("human-eval", 164),
        ("nq-open", 3610),
        ("truthfulqa", 817),
        ("truthfulqa/mc2", 817),
        ("truthfulqa/generation", 817),
        ("crows-pairs", 1508),
        ("winogender", 720),
        ("winogender/pronouns", 60),
        ("hhh", 438),
        ("hhh/ethical", 254),
        ("hhh/kinds", 287),
        ("harmbench", 320),
        ("arithmetic/six_digit_addition", 2000),
        ("word-scrambling/cycle_letters_in_word", 10000),
    ],
)
def test_rows_and_prompts(name, count):
    task = find_task(name)
    assert len(task.dataset) == count
    assert all(prompts(task, every=7)) or name == "crows-pairs"
    for sample in task.dataset:
        assert not sample.choices or len(sample.choices) > 1


def test_gsm8k_splits_and_numbers():
    train = gsm8k.read(None, "train")
    assert len(train) == 7473
    assert all(number(sample.target) is not None for sample in train + gsm8k.read())
    assert not any("<<" in sample.metadata["solution"] for sample in train)
    assert all(number(sample.metadata["solution"]) == number(sample.target) for sample in train)
    few = find_task("gsm8k", shots=5)
    assert len({text.rpartition("\n\n")[0] for text in prompts(few)}) == 1  # one prefix for all


def test_every_canonical_solution_passes_and_no_empty_one_does():
    for sample in human_eval.read()[::12]:
        assert run_program(assembled(sample, sample.metadata["canonical_solution"]), Limits(wall_seconds=60)).passed
        assert not run_program(assembled(sample, "    pass\n"), Limits(wall_seconds=60)).passed


@pytest.mark.slow
def test_all_canonical_solutions_pass():
    failed = [
        sample.id
        for sample in human_eval.read()
        if not run_program(assembled(sample, sample.metadata["canonical_solution"]), Limits(wall_seconds=60)).passed
    ]
    assert failed == []


def test_all_parts_of_bbh():
    samples = bbh.read()
    counts = Counter(sample.metadata["part"] for sample in samples)
    assert len(counts) == 22
    assert counts["causal_judgement"] == 187
    assert counts["penguins_in_a_table"] == 146
    assert sum(counts.values()) == 20 * 250 + 187 + 146
    free = Counter(sample.metadata["part"] for sample in samples if not sample.choices)
    assert free["word_sorting"] == free["multistep_arithmetic_two"] == 250
    assert set(free) - {"word_sorting", "multistep_arithmetic_two"} == {"movie_recommendation", "ruin_names"}
    assert sum(free.values()) <= 510  # a few answers of two parts are none of their options, as published
    for part in counts:
        for shots in (0, 3):
            bare, reasoned = (bbh.preamble(None, part, shots, reasons) for reasons in (False, True))
            assert bare.count("\nA: ") == reasoned.count("\nA: ") == shots
            assert "step by step" not in bare


def test_arithmetic_adds_up():
    signs = {"plus": lambda a, b: a + b, "minus": lambda a, b: a - b, "times": lambda a, b: a * b}
    for part in gpt3.SUMS:
        samples = gpt3.read(None, part)
        assert len(samples) == 2000
        if part.endswith(("addition", "subtraction", "multiplication")):
            for sample in samples:
                first, sign, second = sample.input.removeprefix("Q: What is ").removesuffix("?\n\nA:").split()
                assert signs[sign](int(first), int(second)) == int(sample.target)


def test_scrambled_words_have_the_letters_of_their_words():
    for part in gpt3.SCRAMBLES:
        samples = gpt3.read(None, part)
        assert len(samples) == 10000
        for sample in samples[:500]:
            given = Counter(sample.input.removesuffix(" ="))
            assert not Counter(sample.target) - given
            assert part == "random_insertion_in_word" or given == Counter(sample.target)
            assert part != "reversed_words" or sample.input.removesuffix(" =")[::-1] == sample.target


def test_truthfulqa_has_its_best_answer_among_the_true_and_none_among_both():
    for sample in truthfulqa.read(None, "generation"):
        assert sample.target[0] in sample.metadata["true"]
        assert not set(sample.metadata["true"]) & set(sample.metadata["false"])
    for what in ("truth", "info"):
        rows = truthfulqa.read_judgements(None, what)
        assert len(rows) == 22434
        assert 0.2 < sum(row.holds for row in rows) / len(rows) < 0.9


def test_winogender_sentences_are_their_templates_filled():
    samples = winogender.read()
    assert len({sample.metadata["occupation"] for sample in samples}) == 60
    assert all("bls" in sample.metadata for sample in samples)
    templates = {(each.occupation, each.answer): each for each in winogender.read_templates()}
    for sample in samples:
        facts = sample.metadata
        filled = templates[facts["occupation"], facts["answer"]].filled(facts["participant"], facts["pronoun"])
        assert filled.replace("they was", "they were") == sample.input or facts["gender"] == "neutral"
    pronouns = winogender.read_pronouns()
    assert all(before.input and not before.input.endswith(" ") for before in pronouns)


def test_comparisons_have_the_two_replies_that_their_letters_name():
    letters, replies = hhh.read(), hhh.read_replies()
    for one, other in zip(letters, replies, strict=True):
        assert one.target == other.target
        assert len(one.choices) == 2
    named = sum(
        one.choices[one.target].strip("[]").strip() == other.choices[other.target]
        for one, other in zip(letters, replies, strict=True)
    )
    assert named >= 0.95 * len(letters)


def test_openbookqa_that_lies_beside_truthfulqa():
    samples = read_science(Path(os.environ["WINDTUNNEL_DATA"]) / "truthfulqa/datasets/openbookqa.jsonl")
    assert len(samples) == 500
    assert {len(sample.choices) for sample in samples} == {4}


def test_of_winobias_the_occupations_are_there_and_the_sentences_are_not():
    occupations = winobias.read_occupations()
    assert len(occupations["male"]) >= 20
    with pytest.raises(DataError, match="get the data set again"):
        winobias.read()
