"""Overlap of words with several people's answers, and of spans with spans, against values found by hand."""

import itertools

import numpy as np
import pytest

from windtunnel.evaluation.answers import token_f1
from windtunnel.evaluation.overlap import PeopleF1, SpanF1, agreement, people_f1, span_f1
from windtunnel.evaluation.tasks import Output, Sample


def test_people_are_left_out_one_at_a_time():
    assert people_f1("red car", ["red car"]) == 1
    assert people_f1("red car", ["red car", "blue car"]) == pytest.approx((0.5 + 1) / 2)
    assert people_f1("red", ["red", "red", "blue"]) == 1  # whoever is left out, someone said red
    assert people_f1("blue", ["red", "red", "blue"]) == pytest.approx(2 / 3)


def test_a_person_among_the_others_is_measured_alike():
    answers = ["red car", "red car", "the blue car", "a bike"]
    found = np.mean(
        [max(token_f1(one, other) for other in answers[:n] + answers[n + 1 :]) for n, one in enumerate(answers)]
    )
    assert agreement(answers) == pytest.approx(found)
    assert agreement(["one"]) == 1


def test_spans_are_matched_one_to_one():
    assert span_f1(["Ann"], ["Ann"]) == (1, 1)
    assert span_f1(["Ann"], ["Ann", "Bob"]) == (0.5, 0)
    assert span_f1(["Bob", "Ann"], ["Ann", "Bob"]) == (1, 1)
    assert span_f1(["Ann", "Ann"], ["Ann", "Bob"]) == (0.5, 0)
    assert span_f1(["the red car"], ["red van"])[0] == pytest.approx(0.5)


def test_numbers_must_be_there_where_they_are_wanted():
    assert span_f1(["30 yards"], ["30 yards"]) == (1, 1)
    assert span_f1(["31 yards"], ["30 yards"]) == (0, 0)
    assert span_f1(["3.0"], ["3"]) == (1, 1)
    assert span_f1(["3,000"], ["3000"]) == (1, 1)
    assert span_f1(["3.5"], ["35"])[0] == 0
    assert span_f1(["long-haul"], ["long haul"]) == (1, 1)


def test_the_matching_is_the_best_of_all():
    given, wanted = ["a red car", "blue car today", "bike"], ["red bike", "blue van", "blue car"]
    pairs = [[span_f1([one], [other])[0] for other in wanted] for one in given]
    best = max(
        sum(pairs[row][column] for row, column in enumerate(order)) for order in itertools.permutations(range(3))
    )
    assert span_f1(given, wanted)[0] == pytest.approx(best / 3)


def test_marks_take_the_first_line_and_the_best_accepted_answer():
    sample = Sample("s", "Who?", ("Ann, Bob", "Bob"), metadata={"spans": [["Ann", "Bob"], ["Bob"]]})
    (mark,) = SpanF1()([sample], [Output(text=" Bob\nQuestion: more")], None)
    assert mark.values == {"f1": 1.0, "exact": 1.0}
    assert mark.answer == "Bob"
    (mark,) = PeopleF1()([Sample("c", "Who?", ("Ann", "Ann Lee"))], [Output(text="Ann")], None)
    assert mark.values == {"f1": pytest.approx((2 / 3 + 1) / 2), "exact": 0.5}
