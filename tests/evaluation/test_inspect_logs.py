"""Inspect's logs: ours come back whole, theirs are read, and inspect_ai itself reads ours."""

import json

import pytest
from small_tasks import Ask, small_task

from windtunnel.evaluation.comparing import compare
from windtunnel.evaluation.engine import evaluate
from windtunnel.evaluation.inspect_logs import read_inspect_log, write_inspect_log
from windtunnel.evaluation.mock import MockModel
from windtunnel.evaluation.results import Results
from windtunnel.evaluation.tasks import Output, Sample
from windtunnel.laboratory.errors import DataError, UsageError


class Various(Ask):
    """A refusal, a failure, and answers."""

    def __call__(self, samples, models, seeds):
        outputs = super().__call__(samples, models, seeds)
        changed = {"r": Output("p", "I will not", refused=True), "f": Output(error="too long <b>")}
        return [changed.get(sample.id, output) for sample, output in zip(samples, outputs, strict=True)]


def various(tmp_path, **options):
    samples = [
        Sample("a", "Which?", 1, ("x", "y"), {"kind": "choice"}, "cluster"),
        Sample(
            "b",
            ({"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hm \u2028 \x00?"}),
            ("A", "B"),
        ),
        Sample("r", "Refuse", "A"),
        Sample("f", "Fail", "A"),
    ]
    solver = Various()
    task = small_task(dataset=samples, solver=solver)
    model = MockModel(lambda prompt: "A")
    results = evaluate(task, _Turns(model), out=tmp_path, **options)
    assert results.counts["failed"] == options.get("epochs", 1)
    return results


class _Turns(MockModel):
    """Takes conversations as prompts too."""

    def __init__(self, model):
        super().__init__(model.answer)

    def _text(self, prompt):
        return prompt if isinstance(prompt, str) else prompt[-1]["content"]


def read_strictly(path):
    def refuse(constant):
        raise ValueError(constant)

    return json.loads(path.read_text(), parse_constant=refuse)


def test_an_evaluation_comes_back_whole(tmp_path):
    results = various(tmp_path, epochs=2)
    path = write_inspect_log(results)
    assert path.parent == tmp_path
    read_strictly(path)
    back = Results.load(path)
    assert (back.header, back.records) == (results.header, results.records)
    assert back.summary() == results.summary() | {"directory": None}
    assert compare(results, back).difference.value == 0
    with pytest.raises(UsageError, match=r"end in \.json"):
        write_inspect_log(results, tmp_path / "log.eval")


def test_the_log_says_in_inspects_words_what_happened(tmp_path):
    log = read_strictly(write_inspect_log(various(tmp_path)))
    samples = {sample["id"]: sample for sample in log["samples"]}
    assert (log["version"], log["status"]) == (2, "success")
    assert samples["a"]["target"] == "B"
    assert samples["a"]["choices"] == ["x", "y"]
    assert samples["a"]["scores"]["accuracy"]["value"] == 0
    assert samples["r"]["output"]["choices"][0]["stop_reason"] == "content_filter"
    assert samples["f"]["error"]["message"] == "too long <b>"
    assert samples["f"]["scores"] == {}
    score = next(score for score in log["results"]["scores"] if score["name"] == "accuracy")
    assert (score["scored_samples"], score["unscored_samples"]) == (3, 1)
    assert score["metrics"]["mean"]["value"] == 0.0


THEIRS = {
    "version": 2,
    "status": "success",
    "eval": {
        "created": "2026-11-25T00:55:24+00:00",
        "task": "capitals",
        "task_version": 0,
        "dataset": {"samples": 3, "sample_ids": [1, 2, 3]},
        "model": "openai/some-model",
        "config": {"epochs": 1},
        "packages": {"inspect_ai": "0.3.285"},
    },
    "plan": {"name": "plan", "steps": [{"solver": "generate", "params": {}}]},
    "results": {"total_samples": 3, "completed_samples": 3},
    "samples": [
        {
            "id": 1,
            "epoch": 1,
            "input": [{"role": "user", "content": [{"type": "text", "text": "Capital of France?"}]}],
            "choices": ["Rome", "Paris"],
            "target": "B",
            "messages": [{"role": "user", "content": "Capital of France?"}, {"role": "assistant", "content": "B"}],
            "output": {"model": "m", "choices": [{"message": {"content": "B"}, "stop_reason": "stop"}]},
            "scores": {"choice": {"value": "C", "answer": "B"}, "rubric": {"value": {"tone": 4, "note": "fine"}}},
            "metadata": {"continent": "Europe"},
        },
        {
            "id": 2,
            "epoch": 1,
            "input": "Capital of Italy?",
            "target": "Rome",
            "output": {"choices": [{"message": {"content": "no"}, "stop_reason": "content_filter"}]},
            "scores": {"choice": {"value": "I"}},
        },
        {"id": 3, "epoch": 1, "input": "?", "target": "", "error": {"message": "timeout", "traceback": ""}},
    ],
}


def test_logs_of_others_are_read(tmp_path):
    path = tmp_path / "theirs.json"
    path.write_text(json.dumps(THEIRS))
    results = read_inspect_log(path)
    assert results.counts == {"planned": 3, "scored": 2, "refused": 1, "failed": 1, "unasked": 0}
    assert results.values() == {("1", 1): 1.0, ("2", 1): 0.0}
    assert results.values("rubric/tone") == {("1", 1): 4.0}
    sample, output, mark = results.sample(results.records[0])
    assert (sample.input, sample.target, sample.choices) == (
        ({"role": "user", "content": "Capital of France?"},),
        1,
        ("Rome", "Paris"),
    )
    assert (output.text, mark.answer) == ("B", "B")
    assert results.records[2]["output"]["error"] == "timeout"
    other = json.loads(json.dumps(THEIRS))
    other["eval"]["model"] = "another"
    path.write_text(json.dumps(other))
    assert compare(results, read_inspect_log(path)).matched == 3


def test_half_a_surrogate_pair_does_not_break_a_log(tmp_path):
    results = evaluate(small_task(dataset=[Sample("a", "x \ud800")]), MockModel(lambda prompt: prompt), out=tmp_path)
    assert Results.load(write_inspect_log(results)).records[0]["output"]["text"] == "x ?"


@pytest.mark.parametrize("content", ["{}", '{"eval": {"task": "t"}, "samples": []}', "[]", '{"eval": []}'])
def test_what_is_no_log_is_told(tmp_path, content):
    path = tmp_path / "log.json"
    path.write_text(content)
    with pytest.raises(DataError, match="is no log of Inspect"):
        read_inspect_log(path)


def test_an_eval_file_needs_the_package(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "inspect_ai.log", None)
    with pytest.raises(UsageError, match="pip install inspect_ai"):
        read_inspect_log(tmp_path / "log.eval")


def test_inspect_reads_what_is_written(tmp_path):
    inspect_log = pytest.importorskip("inspect_ai.log", reason="needs pip install inspect_ai")
    results = various(tmp_path, epochs=2)
    log = inspect_log.read_eval_log(str(write_inspect_log(results)))
    assert (log.status, log.eval.task, log.eval.model) == ("success", "small", "mock:")
    assert [(str(sample.id), sample.epoch) for sample in log.samples] == [
        (record["id"], record["epoch"]) for record in results.records
    ]
    accuracy = next(score for score in log.results.scores if score.name == "accuracy")
    assert accuracy.metrics["mean"].value == results.metric().value
    assert log.samples[0].scores["accuracy"].value == 0
    inspect_log.write_eval_log(log, str(tmp_path / "log.eval"))
    assert Results.load(tmp_path / "log.eval").records == results.records
