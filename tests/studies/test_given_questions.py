"""What a given model is asked: arithmetic, or a ready task that is answered on one line in words."""

import json

import pytest

from tests.evaluation.library.published import write
from windtunnel.laboratory.errors import UsageError
from windtunnel.laboratory.run import Run
from windtunnel.studies.self_knowledge import Config, given


@pytest.fixture
def run(tmp_path, monkeypatch):
    write(tmp_path / "data")
    rows = [{"question": f"who is number {n}", "answer": [f"Ann {n}", f"Bob {n}"]} for n in range(60)]
    for path in (tmp_path / "data").rglob("NQ-open.dev.jsonl"):
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    monkeypatch.setenv("WINDTUNNEL_DATA", str(tmp_path / "data"))
    return Run(tmp_path / "run")


def test_arithmetic_is_made_and_examples_are_others(run):
    asked = given.questions(Config(), run)
    assert len(asked.samples) == 40
    assert len(asked.pool) >= 8
    assert not {sample.id for sample in asked.samples} & {sample.id for sample in asked.pool}


def test_a_ready_task_is_asked_by_its_own_scorer(run):
    asked = given.questions(Config(given_task="nq-open"), run)
    assert len(asked.samples) == 40
    assert len(asked.pool) == 8
    assert len({sample.input for sample in [*asked.samples, *asked.pool]}) == 48
    assert asked.scorer.accept == "normalised"
    assert asked.samples[0].target[0].startswith("Ann ")
    assert asked.samples == given.questions(Config(given_task="nq-open"), run).samples


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"given_task": "nq-open", "given_questions": 60}, "set given_questions to 52"),
        ({"given_task": "piqa"}, "not answered on one line in words"),
        ({"given_task": "gsm8k"}, "not answered on one line in words"),
        ({"given_task": "nothing"}, "no task 'nothing'"),
    ],
)
def test_what_cannot_be_asked_is_told(settings, said, run):
    with pytest.raises(UsageError, match=said):
        given.questions(Config(**settings), run)
