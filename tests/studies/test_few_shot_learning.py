"""The study end to end at a small size, and its null control."""

import json

import numpy as np
import pytest

from tests.studies.outcomes import effects_replicated, verdicts
from windtunnel.data.worlds.episodes import in_context_slope
from windtunnel.laboratory.errors import UsageError
from windtunnel.laboratory.study import configure, execute
from windtunnel.studies import find
from windtunnel.studies.few_shot_learning import GIVEN, IDENTITIES, PRESETS
from windtunnel.studies.few_shot_learning.organism import residual, steeper_beyond_chance

STUDY = find("few-shot-learning")

TINY = {
    "shots": 4,
    "named": 4,
    "widths": [16, 32],
    "shallow_width": 16,
    "seeds": 1,
    "steps": 30,
    "batch_size": 8,
    "evaluations": 2,
    "test_episodes": 60,
    "questions": 40,
    "leak_copies": 3,
    "leak_documents": 60,
    "leak_steps": 10,
    "leak_width": 16,
    "vocabulary": 300,
    "context": 32,
    "text_widths": [8, 12, 16],
    "text_steps": 10,
    "text_batch": 4,
    "mix_width": 8,
    "crawl_characters": 80_000,
    "good_share": 0.4,
    "reference_characters": 30_000,
    "test_rows": 20,
    "participants": 8,
    "articles": 8,
    "repetitions": 10,
}
"""Every part runs, little is learned."""


@pytest.mark.parametrize("null", [False, True])
def test_every_experiment_runs_and_is_read_back(packages, tmp_path, null):
    parts = ["organism", "contamination", "text", "detection"]
    settings = TINY if not null else {**TINY, "experiments": parts}
    run = execute(STUDY, settings=settings, out=tmp_path / "run", workers=1, null=null)
    found = verdicts(run)
    assert found["detection-table"] == "replicated"
    assert all(found[claim.id] == "not tested" for claim in GIVEN)
    if null:
        assert not effects_replicated(run)
        assert found["leak-found"] == found["near-best"] == "not tested"
    else:
        assert [claim.id for claim in IDENTITIES if found[claim.id] != "replicated"] == []
        assert found["leak-found"] == "replicated"
        assert found["detection-control"] == "replicated"
    contents = json.loads((run.directory / "contents.json").read_text())
    figures = {item["name"] for item in contents if item["kind"] == "figure"}
    assert figures == {"curves", "sizes", "training", "leak", "text", "detection"}
    tables = {item["name"] for item in contents if item["kind"] == "table"}
    assert tables >= {"contamination", "filter", "detection", "sizes"}
    settings = {**settings, "experiments": settings.get("experiments", ["identities", *parts])}
    again = execute(STUDY, settings=settings, out=tmp_path / "run", workers=1, null=null, resume=True)
    assert verdicts(again) == found


ORGANISM = {**TINY, "experiments": ["organism"], "widths": [16, 64], "named": 16, "test_episodes": 300, "shots": 16}
ORGANISM |= {"steps": 300, "batch_size": 32, "learning_rate": 3e-3}


def test_examples_teach_where_they_are_of_the_task_and_not_where_they_are_of_others(tmp_path):
    run = execute(STUDY, settings=ORGANISM, out=tmp_path / "run", workers=1)
    values = {finding.id: finding.value for finding in run.ledger}
    assert values["few-shot-gain"] > 0.25
    assert values["name-helps"] > 0.25
    null = execute(STUDY, settings={**ORGANISM, "steps": 60}, out=tmp_path / "null", workers=1, null=True)
    assert abs({finding.id: finding.value for finding in null.ledger}["few-shot-gain"]) < 0.1
    assert not effects_replicated(null)


def test_a_leak_is_worth_something_to_who_read_it(tmp_path):
    settings = {**TINY, "experiments": ["contamination"], "questions": 80, "leak_copies": 30, "leak_documents": 300}
    settings |= {"leak_steps": 120, "leak_width": 32, "learning_rate": 1e-2}
    run = execute(STUDY, settings=settings, out=tmp_path / "run", workers=1)
    values = {finding.id: finding.value for finding in run.ledger}
    assert values["leak-found"] == 1.0
    assert values["dirty-is-better"] > 0.3
    assert abs(values["no-memory"]) < 0.5


@pytest.mark.smollm
@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.data
def test_a_given_model_is_asked(tmp_path):
    settings = {"given_limit": 4, "given_tasks": ["arithmetic/two_digit_addition", "piqa"], "given_shots": [0, 2]}
    settings |= {"given_texts": 2}
    run = execute(STUDY, settings=settings, out=tmp_path / "run", model="smollm2-135m", workers=1)
    found = verdicts(run)
    assert found["given-piqa"] != "not tested"
    assert found["given-reversed"] == found["few-shot-gain"] == "not tested"
    null = execute(STUDY, settings=settings, out=tmp_path / "null", model="smollm2-135m", workers=1, null=True)
    assert not effects_replicated(null)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_the_quick_null_replicates_no_effect(tmp_path):
    assert not effects_replicated(execute(STUDY, out=tmp_path / "null", null=True))


def test_a_curve_that_falls_is_not_monotone():
    assert residual(np.array([0.1, 0.2, 0.5])) == pytest.approx(0)
    assert residual(np.array([0.5, 0.3])) == pytest.approx(0.1)


def test_a_slope_of_chance_is_not_steeper():
    draw = np.random.default_rng(0)
    flat, rising = (
        {"right": (draw.random((400, 5)) < shares).astype(float)} for shares in (0.2, 0.2 + 0.15 * np.arange(5))
    )
    other = {"right": (draw.random((400, 5)) < 0.2).astype(float)}
    assert steeper_beyond_chance(flat, rising, np.random.default_rng(1))
    assert not steeper_beyond_chance(rising, flat, np.random.default_rng(1))
    assert not steeper_beyond_chance(flat, other, np.random.default_rng(1))
    assert in_context_slope(rising["right"].mean(axis=0)) > in_context_slope(flat["right"].mean(axis=0))


def test_presets_grow_and_what_cannot_be_built_is_refused():
    assert len(PRESETS["quick"].widths) < len(PRESETS["full"].widths) < len(PRESETS["paper"].widths)
    for settings, word in (
        ({"widths": [32, 16]}, "smallest"),
        ({"layers": [1, 2, 3, 4]}, "depths"),
        ({"shallow_width": 40}, "multiple"),
        ({"experiments": []}, "experiments"),
    ):
        with pytest.raises(UsageError, match=word):
            configure(PRESETS["quick"], settings)
