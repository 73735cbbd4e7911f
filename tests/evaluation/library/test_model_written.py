"""The model-written evaluations as ready tasks."""

import pytest

from tests.evaluation.library.published import write
from windtunnel.evaluation.engine import evaluate
from windtunnel.evaluation.library import model_written
from windtunnel.evaluation.mock import MockModel


@pytest.fixture
def sets(tmp_path):
    """A few rows of every published format, none of them published."""
    return write(tmp_path) / "anthropic-evals"


@pytest.mark.parametrize(
    ("name", "options", "count"),
    [
        ("persona", {}, 4),
        ("persona", {"part": "bold", "each": 1}, 2),
        ("ai_risk", {}, 2),
        ("ai_risk", {"orders": "given", "each": 1}, 2),
        ("sycophancy", {"part": "nlp_survey", "count": 1}, 2),
        ("winogenerated", {}, 2),
    ],
)
def test_ready_tasks_are_asked(sets, name, options, count):
    task = getattr(model_written, name)(sets, **options)
    results = evaluate(task, MockModel())
    assert results.counts["scored"] == len(task.dataset) == count
    assert {"matching", "said_first", "mass", "probability"} <= set(results.metrics)
    assert task.digest == getattr(model_written, name)(sets, **options).digest


def test_samples_of_one_question_are_one_cluster(sets):
    assert len({sample.cluster for sample in model_written.sycophancy(sets).dataset}) == 1
