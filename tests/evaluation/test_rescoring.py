"""Rescoring: stored answers, new marks, and a subject that is not asked."""

import pytest
from small_tasks import Ask, Match, small_task

from windtunnel.evaluation.comparing import compare
from windtunnel.evaluation.engine import evaluate
from windtunnel.evaluation.mock import MockModel
from windtunnel.evaluation.rescoring import rescore
from windtunnel.evaluation.results import Results
from windtunnel.evaluation.tasks import Mark, Output
from windtunnel.laboratory.errors import DataError, UsageError


class Judged(Match):
    """A judge says yes or no, or nothing."""

    def __call__(self, samples, outputs, models):
        asked = [f"{sample.input} {output.text}" for sample, output in zip(samples, outputs, strict=True)]
        said = [each.text for each in models["judge"].generate(asked)]
        return [
            Mark({"accuracy": float(each == "yes")}) if each in ("yes", "no") else Mark(error=f"verdict {each!r}")
            for each in said
        ]

    def describe(self):
        return {"scorer": "judged"}


def test_another_judge_judges_the_same_answers(tmp_path):
    judge = MockModel(lambda prompt: "yes" if prompt.endswith("A") else "no", name="mock:strict")
    task = small_task(12, scorer=Judged())
    first = evaluate(task, MockModel(), out=tmp_path / "first", roles={"judge": "mock:yes"}, epochs=2)
    again = rescore(tmp_path / "first", Judged(), out=tmp_path / "again", roles={"judge": judge})
    assert [record["output"] for record in again.records] == [record["output"] for record in first.records]
    assert [record["sample"] for record in again.records] == [record["sample"] for record in first.records]
    expected = {(record["id"], record["epoch"]): float(record["output"]["text"] == "A") for record in first.records}
    assert again.values() == expected
    assert again.header["models"]["judge"]["name"] == "mock:strict"
    assert again.header["models"]["subject"] == first.header["models"]["subject"]
    assert again.header["rescored_from"] == str(tmp_path / "first")
    assert Results.load(tmp_path / "again").records == again.records
    found = compare(first, again)
    assert (found.matched, found.first_value) == (12, 1.0)
    assert found.second_value == again.metric().value


def test_another_scorer_makes_another_task(tmp_path):
    first = evaluate(small_task(6), MockModel(), out=tmp_path)
    again = rescore(first, Judged(), roles={"judge": "mock:no"})
    assert again.metric().value == 0
    assert again.header["digest"] != first.header["digest"]
    same = rescore(first, Match())
    assert same.header["digest"] == first.header["digest"]
    assert same.records == first.records
    with pytest.raises(UsageError, match="--model-role judge=MODEL"):
        rescore(first, Judged())


def test_a_judge_without_a_verdict_is_a_failure_that_is_asked_again(tmp_path):
    first = evaluate(small_task(6), MockModel())
    silent = MockModel(lambda prompt: "" if "3" in prompt else "yes")
    again = rescore(first, Judged(), roles={"judge": silent}, out=tmp_path)
    assert again.counts["failed"] == 1
    assert again.metric().value == pytest.approx(5 / 6)
    assert again.bounds() == (pytest.approx(5 / 6), 1.0)
    again = rescore(first, Judged(), roles={"judge": MockModel("no")}, out=tmp_path)
    assert again.values() == {("q3", 1): 0.0} | {(f"q{n}", 1): 1.0 for n in (0, 1, 2, 4, 5)}


def test_failed_answers_stay_failed():
    class Fails(Ask):
        def __call__(self, samples, models, seeds):
            outputs = super().__call__(samples, models, seeds)
            return [Output(error="too long"), *outputs[1:]]

    first = evaluate(small_task(4, solver=Fails()), MockModel())
    again = rescore(first, Judged(), roles={"judge": "mock:yes"})
    assert again.counts == {"planned": 4, "scored": 3, "refused": 0, "failed": 1, "unasked": 0}
    assert again.records[0]["output"] == {"error": "too long"}


def test_a_scorer_that_asks_the_subject_is_told(tmp_path):
    class Asks(Match):
        def __call__(self, samples, outputs, models):
            return [Mark({"accuracy": 1.0}) for _ in models["subject"].generate([s.input for s in samples])]

    first = evaluate(small_task(3), MockModel())
    with pytest.raises(UsageError, match="asks the subject itself"):
        rescore(first, Asks())


def test_other_answers_are_not_mixed_in(tmp_path):
    rescore(evaluate(small_task(4), MockModel("A")), Match(), out=tmp_path)
    with pytest.raises(UsageError, match="holds another evaluation"):
        rescore(evaluate(small_task(4), MockModel("B", name="mock:")), Match(), out=tmp_path)


def test_nothing_to_judge_is_told(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        evaluate(small_task(4, solver=Stop()), MockModel(), out=tmp_path)
    with pytest.raises(DataError, match="no finished sample to judge"):
        rescore(tmp_path, Match())


class Stop(Ask):
    def __call__(self, samples, models, seeds):
        raise KeyboardInterrupt
