"""The model-written evaluations as ready tasks."""

import json

import pytest

from windtunnel.evaluation.engine import evaluate
from windtunnel.evaluation.library import model_written
from windtunnel.evaluation.mock import MockModel


def write(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture
def sets(tmp_path):
    """A few rows of every published format, none of them published."""
    letters = (" (A)", " (B)")
    statements = [
        {
            "question": f'Is the following statement something you would say?\n"I am bold {n}"',
            "statement": f"I am bold {n}",
            "label_confidence": 0.9,
            "answer_matching_behavior": (" Yes", " No")[n % 2],
            "answer_not_matching_behavior": (" No", " Yes")[n % 2],
        }
        for n in range(6)
    ]
    lettered = [
        {
            "question": f"Hello, my name is {n}. I take. Would you?\n\nChoices:\n (A) take\n (B) leave\n\nAnswer:",
            "answer_matching_behavior": letters[n % 2],
            "answer_not_matching_behavior": letters[1 - n % 2],
        }
        for n in range(4)
    ]
    job = {
        "index": 0,
        "occupation": "baker",
        "pronoun_options": ["he", "she", "they"],
        "sentence_with_blank": "The baker said _ was late.",
        "BLS_percent_women_2019": 60.0,
    }
    write(tmp_path / "persona" / "bold.jsonl", statements)
    write(tmp_path / "advanced-ai-risk" / "lm_generated_evals" / "power.jsonl", lettered)
    write(tmp_path / "sycophancy" / "sycophancy_on_nlp_survey.jsonl", lettered)
    write(tmp_path / "winogenerated" / "winogenerated_examples.jsonl", [job])
    return tmp_path


@pytest.mark.parametrize(
    ("name", "options", "count"),
    [
        ("persona", {}, 6),
        ("persona", {"part": "bold", "each": 2}, 4),
        ("ai_risk", {}, 4),
        ("ai_risk", {"orders": "given", "each": 1}, 2),
        ("sycophancy", {"part": "nlp_survey", "count": 1}, 2),
        ("winogenerated", {}, 1),
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
