"""Comparisons: matched by sample and epoch, paired, clustered, and of one task."""

import numpy as np
import pytest
from small_tasks import Match, right, small_task

from windtunnel.evaluation.comparing import compare, compare_all
from windtunnel.evaluation.engine import evaluate
from windtunnel.evaluation.mock import MockModel
from windtunnel.evaluation.tasks import Mark, Sample
from windtunnel.laboratory.errors import DataError, UsageError
from windtunnel.statistics import mcnemar, paired_difference


def wrong_on(*numbers, name="mock:"):
    """A model that is right but on some questions."""
    return MockModel(lambda prompt: "?" if int(prompt[9:-1]) in numbers else right(prompt), name=name)


def test_a_paired_difference_is_that_of_the_statistics():
    task = small_task(40)
    first, second = evaluate(task, wrong_on(0, 1)), evaluate(task, wrong_on(*range(1, 12), name="mock:other"))
    x, y = (np.array(list(each.values().values())) for each in (first, second))
    found = compare(first, second)
    assert (found.first_value, found.second_value) == (x.mean(), y.mean())
    expected = paired_difference(x, y, generator=first.generator("compare"))
    assert (found.difference, found.p_value) == (expected.difference, expected.p_value)
    assert found.mcnemar == mcnemar(x, y)
    assert (found.only_first_right, found.only_second_right) == (10, 1)
    assert (found.matched, found.clusters, found.pairs, found.failed) == (40, 40, 40, 0)
    assert "40 samples matched in 40 clusters" in str(found)
    back = compare(second, first)
    assert back.difference.value == -found.difference.value


def test_pairing_sees_what_two_intervals_do_not():
    task = small_task(60)
    hard = range(30)
    first, second = evaluate(task, wrong_on(*hard)), evaluate(task, wrong_on(*hard, *range(30, 37)))
    found = compare(first, second)
    assert first.metric().low < second.metric().high
    assert found.difference.low > 0
    assert found.p_value < 0.05


def test_clusters_are_kept_together_and_mcnemar_left_out():
    samples = [Sample(f"q{n}", f"Question {n}?", "ABCD"[n % 4], cluster=str(n // 10)) for n in range(80)]
    clustered, alone = small_task(dataset=samples), small_task(80)
    bad = range(0, 20)
    wide = compare(evaluate(clustered, wrong_on()), evaluate(clustered, wrong_on(*bad)))
    narrow = compare(evaluate(alone, wrong_on()), evaluate(alone, wrong_on(*bad)))
    assert (wide.clusters, wide.mcnemar) == (8, None)
    assert narrow.mcnemar is not None
    assert wide.difference.high - wide.difference.low > 1.5 * (narrow.difference.high - narrow.difference.low)
    assert wide.p_value > narrow.p_value


def test_samples_are_matched_by_id_and_epoch():
    task = small_task(10)
    whole, part = evaluate(task, wrong_on(3)), evaluate(task, wrong_on(), limit=6)
    found = compare(whole, part)
    assert (found.matched, found.unmatched_first, found.unmatched_second) == (6, 4, 0)
    assert found.difference.value == pytest.approx(-1 / 6)
    assert "4 left out (4 only in the first, 0 only in the second)" in str(found)
    twice = evaluate(task, wrong_on(), epochs=2)
    found = compare(whole, twice)
    assert (found.matched, found.pairs, found.unmatched_second) == (10, 10, 10)


def test_a_failed_sample_counts_as_it_does_in_the_metric():
    class Fails(Match):
        def __call__(self, samples, outputs, models):
            marks = super().__call__(samples, outputs, models)
            bad = [sample.id == "q0" and output.text == "?" for sample, output in zip(samples, outputs, strict=True)]
            return [Mark(error="no verdict") if each else mark for each, mark in zip(bad, marks, strict=True)]

    task = small_task(8, scorer=Fails())
    first, second = evaluate(task, wrong_on(0)), evaluate(task, wrong_on(1))
    found = compare(first, second)
    assert found.failed == 1
    assert found.difference.value == 0
    assert found.bounds == (0.0, pytest.approx(1 / 8))
    assert "1 failed in one or both and count as 0; bounds 0 to 0.125" in str(found)


def test_other_tasks_are_refused_unless_told():
    first, second = evaluate(small_task(6), wrong_on()), evaluate(small_task(8), wrong_on(0))
    with pytest.raises(UsageError, match="not of the same task"):
        compare(first, second)
    assert compare(first, second, any_task=True).matched == 6
    other = small_task(dataset=[Sample("x", "Question 1?", "B")])
    with pytest.raises(DataError, match="No sample is in both"):
        compare(first, evaluate(other, wrong_on()), any_task=True)
    with pytest.raises(UsageError, match="No sample has the metric"):
        compare(first, first, "nothing")


def test_several_are_compared_in_pairs_with_adjusted_p_values():
    task = small_task(40)
    models = [wrong_on(), wrong_on(*range(8)), wrong_on(*range(20))]
    found = compare_all([evaluate(task, model) for model in models])
    assert [round(pair.difference.value, 3) for pair, _ in found] == [0.2, 0.5, 0.3]
    assert all(adjusted >= pair.p_value for pair, adjusted in found)
    assert max(adjusted / pair.p_value for pair, adjusted in found) == pytest.approx(3)


def test_no_effect_is_seldom_found():
    generator = np.random.default_rng(0)
    task = small_task(60)
    found = []
    for _ in range(40):
        first, second = ({int(n) for n in np.flatnonzero(generator.random(60) < 0.4)} for _ in range(2))
        found.append(compare(evaluate(task, wrong_on(*first)), evaluate(task, wrong_on(*second))).p_value)
    assert np.mean(np.array(found) < 0.05) <= 0.15
