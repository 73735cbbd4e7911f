"""Arithmetic, scrambled words, novel words and analogies: forms, distributions, and solvers that know the truth."""

import gzip
import json
import os
import re
from pathlib import Path

import numpy as np
import pytest

from windtunnel.data.worlds.arithmetic_questions import PAPER, RELEASED, arithmetic_questions
from windtunnel.data.worlds.invented_words import KINDS, Analogies, invent_words, novel_words
from windtunnel.data.worlds.learner_english import MISTAKES, SUBJECTS, VERBS, corrections
from windtunnel.data.worlds.questions import Question, write_questions
from windtunnel.data.worlds.scrambled_words import (
    LENGTHS,
    SYMBOLS,
    Unscrambler,
    frequent_words,
    scramble,
    scrambled_words,
)
from windtunnel.laboratory.errors import DataError, UsageError

WORDS = ["casino", "layers", "believed", "deleting", "truck", "bulletin", "vocabulary", "sisters", "better", "strand"]


def solved(question):
    """The answer by plain arithmetic, written apart from the generator."""
    asked = re.fullmatch(r"\n\nQ: What is (.*)\?\n\nA:", question.context)[1]
    if asked.startswith("the sum of the digits"):
        return sum(int(digit) for digit in asked.split()[-1])
    for word, sign in (("plus", "+"), ("minus", "-"), ("times", "*")):
        asked = asked.replace(f" {word} ", f" {sign} ")
    assert re.fullmatch(r"[\d+*() -]+", asked)
    return eval(asked)  # noqa: S307 - digits and signs only


@pytest.mark.parametrize("task", RELEASED)
def test_arithmetic_is_right_and_no_question_occurs_twice(task):
    questions = arithmetic_questions(task, 300, np.random.default_rng(0))
    assert len({question.context for question in questions}) == 300
    assert all(question.completion == f" {solved(question)}" for question in questions)


def test_the_paper_has_ten_tasks_and_numbers_are_uniform():
    assert len(set(PAPER)) == 10
    questions = arithmetic_questions("three_digit_addition", 2_000, np.random.default_rng(1))
    numbers = [int(number) for question in questions for number in re.findall(r"\d+", question.context)]
    assert min(numbers) >= 0
    assert max(numbers) < 1_000
    assert np.mean(numbers) == pytest.approx(499.5, abs=5 * 289 / 4_000**0.5)
    assert {len(str(number)) for number in numbers} == {1, 2, 3}
    forms = {
        re.sub(r"[1-9]", "d", question.context)
        for question in arithmetic_questions("single_digit_three_ops", 500, np.random.default_rng(2))
    }
    assert len(forms) == 9
    assert all("(d" in form and "d) " in form for form in forms)


def test_arithmetic_that_is_not_there_is_explained():
    with pytest.raises(UsageError, match="did you mean"):
        arithmetic_questions("two_digit_additions", 1, np.random.default_rng(0))
    with pytest.raises(UsageError, match="1 to 5000"):
        arithmetic_questions("two_digit_addition", 5_001, np.random.default_rng(0))


@pytest.mark.parametrize("task", LENGTHS)
def test_a_scrambled_word_can_be_put_right(task):
    solver = Unscrambler(WORDS)
    generator = np.random.default_rng(0)
    for question in scrambled_words(WORDS, task, generator):
        shown, word = question.context.removesuffix(" =").removeprefix("\n"), question.completion.removeprefix(" ")
        assert word in solver.answers(shown, task)
        assert LENGTHS[task][0] <= len(word) <= 15


def test_each_scrambling_keeps_its_rule():
    generator = np.random.default_rng(0)
    for _ in range(200):
        word = "".join(generator.choice(list("abcdefgh"), size=9))
        assert scramble(word, "reversed_words", generator)[::-1] == word
        inserted = scramble(word, "random_insertion_in_word", generator)
        assert inserted[::2] == word
        assert set(inserted[1::2]) <= set(SYMBOLS)
        cycled = scramble(word, "cycle_letters_in_word", generator)
        assert cycled in {word[place:] + word[:place] for place in range(1, 9)}
        for task, kept in (("mid_word_1_anagrams", 1), ("mid_word_2_anagrams", 2)):
            shown = scramble(word, task, generator)
            assert (shown[:kept], shown[-kept:]) == (word[:kept], word[-kept:])
            assert sorted(shown) == sorted(word)
            assert (shown == word) == (len(set(word[kept:-kept])) == 1)
    assert scramble("better", "mid_word_2_anagrams", generator) == "better"


def test_frequent_words_are_counted():
    texts = ["Stone stone bridge, stones; a1stone", "bridge bridge water water tiny it"]
    assert frequent_words(texts, 3) == ["bridge", "stone", "water"]
    with pytest.raises(DataError, match="has 4 words"):
        frequent_words(texts, 9)


def test_questions_are_written_as_they_were_released(tmp_path):
    write_questions(tmp_path / "file.jsonl", [Question("\nab =", " ba")])
    assert (tmp_path / "file.jsonl").read_text() == '{"context": "\\nab =", "completion": " ba"}\n'


def released(name):
    folder = Path(os.environ["WINDTUNNEL_DATA"]) / "gpt3-data" / "data"
    path = folder / f"{name}.jsonl"
    text = path.read_text() if path.exists() else gzip.decompress((folder / f"{name}.jsonl.gz").read_bytes()).decode()
    return [Question(**json.loads(line)) for line in text.splitlines()]


@pytest.mark.data
@pytest.mark.parametrize("task", RELEASED)
def test_released_arithmetic_is_of_the_same_form(task):
    questions = released(task)
    ours = arithmetic_questions(task, 2_000, np.random.default_rng(0))
    assert len(questions) == len({question.context for question in questions}) == 2_000
    assert all(question.completion == f" {solved(question)}" for question in questions)
    theirs, made = ({re.sub(r"\d+", "d", question.context) for question in each} for each in (questions, ours))
    assert theirs == made
    means = [
        np.mean([int(number) for question in each for number in re.findall(r"\d+", question.context)])
        for each in (questions, ours)
    ]
    assert means[0] == pytest.approx(means[1], rel=0.04)


@pytest.mark.data
@pytest.mark.parametrize("task", LENGTHS)
def test_released_scrambled_words_keep_the_same_rules(task):
    questions = released(task)
    words = [question.completion.removeprefix(" ") for question in questions]
    shortest, longest = LENGTHS[task]
    assert len(words) == len(set(words)) == 10_000
    assert {min(map(len, words)), max(map(len, words))} == {shortest, longest}
    solver = Unscrambler(words)
    several = 0
    for question, word in zip(questions, words, strict=True):
        shown = question.context.removeprefix("\n").removesuffix(" =")
        found = solver.answers(shown, task)
        assert word in found
        several += len(found) > 1
    if task in ("random_insertion_in_word", "reversed_words"):
        assert several == 0
    unchanged = sum(question.context == f"\n{word} =" for question, word in zip(questions, words, strict=True))
    ours = sum(
        question.context == f"\n{question.completion[1:]} ="
        for question in scrambled_words(words, task, np.random.default_rng(0))
    )
    assert unchanged == ours


def test_invented_words_are_new_and_different():
    words = invent_words(500, np.random.default_rng(0), known=["brado"])
    assert len(set(words)) == 500
    assert all(re.fullmatch(r"[a-z]{5,12}", word) for word in words)
    again = invent_words(500, np.random.default_rng(0), known=words[:1])
    assert words[0] not in again


def test_the_right_sentence_is_of_the_kind_that_was_defined():
    for question in novel_words(100, np.random.default_rng(0)):
        definition = re.search(r"is (.*?)\. An example", question.context)[1]
        kind = next(kind for kind, (definitions, _) in KINDS.items() if definition in definitions)
        word = re.search(r'A "(\w+)"', question.context)[1]
        right = [
            place
            for place, sentence in enumerate(question.choices)
            if sentence[1:] in [form.format(word=word) for form in KINDS[kind][1]]
        ]
        assert right == [question.target]


def test_one_choice_of_an_analogy_has_the_relation_asked_for():
    world = Analogies(4, 6, np.random.default_rng(0))
    assert len(world.facts()) == 24
    targets = []
    for question in world.questions(300, np.random.default_rng(1)):
        first, second = re.fullmatch(r"(\w+) is to (\w+) as", question.context).groups()
        relation = world.related(first, second)
        assert relation is not None
        found = [world.related(*re.fullmatch(r" (\w+) is to (\w+)", choice).groups()) for choice in question.choices]
        assert [place for place, other in enumerate(found) if other == relation] == [question.target]
        targets.append(question.target)
    assert np.bincount(targets).min() > 40


def test_what_cannot_be_made_is_explained():
    generator = np.random.default_rng(0)
    for act, said in (
        (lambda: scramble("word", "upside_down", generator), "upside_down"),
        (lambda: scrambled_words(["word"], "upside_down", generator), "upside_down"),
        (lambda: scramble("a", "reversed_words", generator), "too short"),
        (lambda: novel_words(1, generator, choices=9), "9 choices"),
        (lambda: corrections(3_000, generator), "up to 2,500"),
        (lambda: Analogies(1, 2, generator), "analogy"),
        (lambda: Analogies(2, 2, generator).questions(1, generator, choices=1), "choices"),
        (lambda: invent_words(10**9, generator), "cannot be invented"),
    ):
        with pytest.raises(UsageError, match=said):
            act()


def test_a_correction_differs_by_its_mistake_and_in_nothing_else():
    found = corrections(600, np.random.default_rng(0))
    assert len({each.right for each in found}) == 600
    assert {each.mistake for each in found} == {*MISTAKES, "none"}
    assert sum(each.mistake == "none" for each in found) / 600 == pytest.approx(0.15, abs=0.05)
    forms = {form: verb for verb in VERBS for form in verb}
    for each in found:
        wrong, right = each.wrong.rstrip(".").lower().split(), each.right.rstrip(".").lower().split()
        changed = [place for place in range(len(right)) if wrong[place] != right[place]]
        place = {
            "none": [],
            "agreement": [1],
            "tense": [1],
            "number": [3],
            "article": [2],
            "pronoun": [0],
            "order": [2, 3],
        }
        assert changed == place[each.mistake]
        assert right[0] in {subject.lower() for subject in SUBJECTS}
        expected = forms[right[1]][2] if right[-1] == "yesterday" else forms[right[1]][right[0] in ("he", "she")]
        assert right[1] == expected
        if right[2] in ("a", "an"):
            assert (right[2] == "an") == (right[3][0] in "aeiou")
        if each.mistake in ("agreement", "tense"):
            assert wrong[1] in forms[right[1]][:2]
