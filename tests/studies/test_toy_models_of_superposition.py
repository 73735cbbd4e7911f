"""The study end to end at a small size, its null control, and a telling part of its quick preset."""

import json

import pytest

from tests.studies.outcomes import verdicts
from windtunnel.laboratory.study import execute
from windtunnel.studies import find
from windtunnel.studies.toy_models_of_superposition import CLAIMS, EVERY, PRESETS
from windtunnel.studies.toy_models_of_superposition.measurements import EXPERIMENTS
from windtunnel.studies.toy_models_of_superposition.presentation import SECTIONS

SMALL = {
    "seeds": 3,
    "steps": 40,
    "batch": 64,
    "basics_steps": 20,
    "basics_densities": [1.0, 0.1],
    "basics_seeds": 2,
    "phase_cells": 4,
    "phase_seeds": 2,
    "phase_steps": 20,
    "phase_batch": 32,
    "geometry_features": 12,
    "geometry_hidden": 4,
    "geometry_levels": 4,
    "geometry_steps": 20,
    "perturbed_ratios": [0.5, 1.0],
    "adversarial_features": 8,
    "adversarial_hidden": 3,
    "adversarial_densities": [1.0, 0.5, 0.2, 0.1],
    "adversarial_steps": 20,
    "privileged_models": 3,
    "privileged_steps": 20,
    "absolute_steps": 5,
}


def test_every_experiment_is_measured_and_shown():
    assert set(EVERY) == set(EXPERIMENTS) == set(SECTIONS)


def test_every_experiment_runs_small_and_every_claim_is_concluded(tmp_path):
    run = execute(
        find("toy-models-of-superposition"),
        settings={**SMALL, "experiments": list(EVERY)},
        out=tmp_path / "run",
        workers=1,
    )
    assert "not tested" not in verdicts(run).values()
    contents = json.loads((tmp_path / "run" / "contents.json").read_text())
    figures = [item["name"] for item in contents if item["kind"] == "figure"]
    assert len(figures) == 13
    assert all((tmp_path / "run" / "figures" / f"{name}.svg").stat().st_size > 2_000 for name in figures)
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "run" / "runs").glob("*/artifacts/*.json")}
    again = execute(
        find("toy-models-of-superposition"),
        settings={**SMALL, "experiments": list(EVERY)},
        out=tmp_path / "run",
        workers=1,
        resume=True,
    )
    assert verdicts(again) == verdicts(run)
    assert before == {
        path.name: path.stat().st_mtime_ns for path in (tmp_path / "run" / "runs").glob("*/artifacts/*.json")
    }


def test_untrained_models_replicate_no_effect(tmp_path):
    settings = {**SMALL, "experiments": list(EVERY), "seeds": 8, "phase_cells": 10, "phase_seeds": 4, "basics_seeds": 5}
    settings |= {"geometry_features": 200, "geometry_hidden": 20, "adversarial_features": 60, "adversarial_hidden": 12}
    run = execute(find("toy-models-of-superposition"), settings=settings, out=tmp_path / "null", workers=1, null=True)
    effects = {claim.id for claim in CLAIMS if claim.effect}
    replicated = {name for name, verdict in verdicts(run).items() if verdict == "replicated"}
    assert replicated <= {claim.id for claim in CLAIMS} - effects


def test_the_pentagon_and_its_phase_boundary_replicate(tmp_path):
    settings = {"experiments": ["polytopes", "introduction"], "seeds": 6}
    found = verdicts(execute(find("toy-models-of-superposition"), settings=settings, out=tmp_path / "run", workers=1))
    for claim in ("polytope-identities", "dense-pair", "pentagon", "pentagon-dimensionality"):
        assert found[claim] == "replicated"
    assert found["linear-is-pca"] == "not tested"


@pytest.mark.slow
def test_the_quick_null_replicates_no_effect(tmp_path):
    run = execute(find("toy-models-of-superposition"), out=tmp_path / "null", null=True)
    effects = {claim.id for claim in CLAIMS if claim.effect}
    assert not effects & {name for name, verdict in verdicts(run).items() if verdict == "replicated"}


def test_presets_differ_in_size_only():
    assert set(PRESETS["full"].experiments) == set(EVERY)
    assert set(PRESETS["quick"].experiments) < set(EVERY)
