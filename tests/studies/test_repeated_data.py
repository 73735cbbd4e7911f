"""The study end to end at a small size, and its null control."""

import json

import pytest

from tests.studies.outcomes import effects_replicated, verdicts
from windtunnel.laboratory.errors import UsageError
from windtunnel.laboratory.study import configure, execute
from windtunnel.studies import find
from windtunnel.studies.repeated_data import PRESETS
from windtunnel.studies.repeated_data.text import bump

STUDY = find("repeated-data")

TINY = {
    "experiments": ["instruments", "text", "fine-tuning", "canaries", "mitigation", "copying"],
    "canary_repeats": [1, 8],
    "canaries_each": 2,
    "seeds": 1,
    "vocabulary": 300,
    "widths": [16],
    "control_widths": [8],
    "rows": 800,
    "repeats": [10, 40],
    "long_repeats": 40,
    "tuning_repeats": 40,
    "evaluations": 3,
    "warmup_steps": 5,
    "test_rows": 32,
    "tuning_rows": 32,
    "copying_seeds": 1,
    "copying_width": 16,
    "copying_controls": [8],
    "copying_rows": 256,
    "copying_repeats": [16],
    "passages": 4,
    "draws": 40,
}
"""Every part runs, little is learned."""


@pytest.mark.parametrize("null", [False, True])
def test_every_experiment_runs_and_is_read_back(packages, tmp_path, null):
    run = execute(STUDY, settings=TINY, out=tmp_path / "run", workers=1, null=null)
    found = verdicts(run)
    identities = {"band-edges", "band-place", "stream", "inversion", "break-even"}
    assert {name for name in identities if found[name] == "replicated"} == identities
    assert found["band-falls"] == "not tested"
    if null:
        assert not effects_replicated(run)
    contents = json.loads((run.directory / "contents.json").read_text())
    figures = {item["name"] for item in contents if item["kind"] == "figure"}
    assert figures == {"regression", "repeats", "time", "copies", "passage", "canaries"}
    tables = {item["name"] for item in contents if item["kind"] == "table"}
    assert tables >= {"streams", "effective-sizes", "fine-tuning", "copying", "mitigation"}
    again = execute(STUDY, settings=TINY, out=tmp_path / "run", workers=1, null=null, resume=True)
    assert verdicts(again) == found


def test_repeats_harm_and_fresh_copies_do_not(packages, tmp_path):
    settings = {**TINY, "experiments": ["text"], "widths": [32], "rows": 1600, "learning_rate": 8e-3}
    run = execute(STUDY, settings=settings, out=tmp_path / "run", workers=1)
    null = execute(STUDY, settings=settings, out=tmp_path / "null", workers=1, null=True)
    worst, fresh = (
        next(finding.value for finding in each.ledger if finding.id == "memorising-pays") for each in (run, null)
    )
    assert worst > 0.1 > fresh
    assert not effects_replicated(null)


def test_a_band_is_read_from_several_sizes(packages, tmp_path):
    settings = {**TINY, "experiments": ["text"], "widths": [8, 16], "repeats": [4, 10, 40], "rows": 160, "seeds": 1}
    settings |= {"long_repeats": 36, "long_fraction": 0.9, "repeats": [4, 10, 40], "tuning_repeats": 40}
    run = execute(STUDY, settings=settings, out=tmp_path / "run", workers=1)
    finding = next(finding for finding in run.ledger if finding.id == "band-falls")
    assert finding.value is not None or "edges" in finding.note or "damage" in finding.note


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_the_quick_null_replicates_no_effect(tmp_path):
    assert not effects_replicated(execute(STUDY, out=tmp_path / "null", null=True))


def test_a_bump_is_the_lesser_of_rise_and_fall():
    assert bump([5, 4, 3]) == 0
    assert bump([5, 3, 4, 3.5]) == pytest.approx(0.5)
    assert bump([5, 3, 4, 1]) == pytest.approx(1)


def test_presets_grow_and_what_cannot_be_built_is_refused():
    assert PRESETS["quick"].rows < PRESETS["full"].rows < PRESETS["paper"].rows
    for settings, word in (({"repeats": [10, 1999]}, "repeats"), ({"experiments": ["fine-tuning"]}, "text")):
        with pytest.raises(UsageError, match=word):
            configure(PRESETS["quick"], settings)
