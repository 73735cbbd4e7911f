"""Contamination against planted leaks, its rules, and clean against dirty scores."""

import numpy as np
import pytest

from windtunnel.data.worlds.leaks import Leaks
from windtunnel.evaluation.contamination import (
    compare_clean,
    difference,
    find_contamination,
    run_length,
    sample_text,
)
from windtunnel.evaluation.engine import evaluate
from windtunnel.evaluation.mock import MockModel
from windtunnel.evaluation.multiple_choice import choice_scorer, multiple_choice
from windtunnel.evaluation.prompting import Format
from windtunnel.evaluation.tasks import Sample, Task
from windtunnel.laboratory.errors import DataError, UsageError
from windtunnel.statistics.comparisons import difference_of_proportions
from windtunnel.statistics.intervals import wilson


def task_of(world, name="leaks"):
    samples = [Sample(str(n), each.context, each.target, each.choices) for n, each in enumerate(world.questions)]
    return Task(name, samples, multiple_choice(Format("{input}", lead="")), choice_scorer())


@pytest.fixture(scope="module")
def world():
    return Leaks(300, 0.1, np.random.default_rng(0))


def test_a_planted_leak_is_found_and_nothing_else(world):
    documents = world.documents(400, 40, 3, np.random.default_rng(1))
    (found,) = find_contamination([task_of(world)], iter(documents))
    assert {int(name) for name in found.dirty} == world.leaked
    assert found.length == 13
    assert len(found.clean) == 270
    assert found.documents == 400
    for name, match in found.dirty.items():
        assert match.documents == 3
        assert match.words in documents[match.first]
        question = world.questions[int(name)]
        assert match.words in question.context + question.choices[question.target]
    report = found.report()
    assert (report["dirty"], report["clean_share"]) == (30, 0.9)


def test_a_changed_leak_is_found_by_what_remains_of_it(world):
    leaked = world.questions[0].context.split()
    task = task_of(world)
    exact = " ".join(leaked)
    broken = " ".join([*leaked[:6], "other", *leaked[6:]])
    assert set(find_contamination([task], [exact.upper() + " !"], length=8)[0].dirty) == {"0"}
    assert set(find_contamination([task], [broken], length=8)[0].dirty) == {"0"}
    assert not find_contamination([task], [broken])[0].dirty


def test_runs_of_many_documents_are_common_phrases_where_it_is_said_so(world):
    documents = world.documents(400, 40, 11, np.random.default_rng(1))
    (found,) = find_contamination([task_of(world)], documents)
    assert not found.dirty
    assert {int(name) for name in found.phrases} == world.leaked
    assert len(find_contamination([task_of(world)], documents, frequent=None)[0].dirty) == 30
    assert len(find_contamination([task_of(world)], documents, frequent=11)[0].dirty) == 30


@pytest.mark.parametrize(
    ("lengths", "expected"), [([3] * 100, 8), ([50] * 100, 13), ([10] * 100, 10), ([9] * 6 + [40] * 94, 9), ([2], 8)]
)
def test_a_run_has_as_many_words_as_the_rule_says(lengths, expected):
    assert run_length(lengths) == expected
    assert run_length([2], shortest=2) == 2


def test_a_short_sample_is_dirty_if_all_of_it_occurs():
    samples = [Sample("short", "Who wrote it?", "Mary Shelley"), Sample("long", " ".join("abcdefghijklmnop"), "q")]
    task = Task("t", samples, multiple_choice(), choice_scorer())
    assert set(find_contamination([task], ["… who wrote it — Mary Shelley."])[0].dirty) == {"short"}
    assert not find_contamination([task], ["who wrote it? Percy Shelley", "Mary Shelley"])[0].dirty


def test_several_tasks_are_looked_for_in_one_pass(world):
    other = Leaks(50, 0.2, np.random.default_rng(5))
    documents = world.documents(100, 40, 1, np.random.default_rng(1)) + other.documents(
        60, 40, 1, np.random.default_rng(2)
    )
    first, second = find_contamination([task_of(world), task_of(other, "others")], iter(documents))
    assert {int(name) for name in first.dirty} == world.leaked
    assert {int(name) for name in second.dirty} == other.leaked
    assert (first.task, second.task) == ("leaks", "others")


def test_the_text_of_a_sample_has_its_question_and_its_answer():
    assert sample_text(Sample("a", "Asked", 1, ("x", "right"))) == "Asked\nright"
    assert sample_text(Sample("a", "Asked", ("first", "second"))) == "Asked\nfirst"
    turns = ({"role": "user", "content": "One"}, {"role": "assistant", "content": "Two"})
    assert sample_text(Sample("a", turns, "three")) == "One\nTwo\nthree"
    assert sample_text(Sample("a", "Asked")) == "Asked\n"


def test_a_model_that_knows_the_leak_is_better_on_what_is_dirty(world):
    answers = {world.questions[n].context: world.questions[n] for n in world.leaked}

    def logprob(prompt, option):
        question = answers.get(prompt)
        return -1.0 if question is not None and option == question.choices[question.target] else -5.0

    task = task_of(world)
    results = evaluate(task, MockModel(logprob=logprob))
    (found,) = find_contamination([task], world.documents(100, 40, 1, np.random.default_rng(1)))
    scores = compare_clean(found, results)
    assert scores.dirty.value == 1.0
    assert scores.clean.value == pytest.approx(0.25, abs=0.1)
    assert scores.difference.low > 0.5
    assert scores.everything.value == pytest.approx(0.1 + 0.9 * scores.clean.value)
    assert scores.change.value == pytest.approx(scores.clean.value / scores.everything.value - 1)
    assert scores.change.low <= scores.change.value <= scores.change.high < 0
    nothing = compare_clean(find_contamination([task], ["no such words here"])[0], results)
    assert nothing.dirty is None
    assert nothing.difference is None
    assert nothing.clean == nothing.everything


def test_scores_of_another_task_are_refused(world):
    other = Leaks(20, 0.5, np.random.default_rng(9))
    samples = [Sample(f"x{n}", each.context, each.target, each.choices) for n, each in enumerate(other.questions)]
    results = evaluate(Task("x", samples, multiple_choice(), choice_scorer()), MockModel())
    with pytest.raises(DataError, match="20 samples"):
        compare_clean(find_contamination([task_of(world)], ["words"])[0], results)


def test_a_difference_of_wilson_s_intervals_is_newcombe_s():
    assert difference(wilson(9, 30), wilson(20, 50)) == difference_of_proportions(9, 30, 20, 50)


def test_what_cannot_be_looked_for_is_explained(world):
    with pytest.raises(UsageError, match="at least one task"):
        find_contamination([], ["text"])
    with pytest.raises(UsageError, match="at least one word"):
        find_contamination([task_of(world)], ["text"], length=0)
    empty = Task("empty", [Sample("a", "...", "!")], multiple_choice(), choice_scorer())
    with pytest.raises(DataError, match="no words"):
        find_contamination([empty], ["text"])
