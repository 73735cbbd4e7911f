"""The study end to end at a small size, on a given model, its null control, and its resumption."""

import json

import pytest

from tests.studies.outcomes import effects_replicated, verdicts
from windtunnel.cli import main
from windtunnel.laboratory.study import execute
from windtunnel.studies import find
from windtunnel.studies.self_knowledge import GIVEN, HINTS, KNOWN, LETTERED, ORGANISMS, PRESETS

STUDY = find("self-knowledge")

TINY = {
    "organisms": 2,
    "entities": 40,
    "steps": 60,
    "width": 32,
    "tuning_steps": 10,
    "shuffles": 2,
    "hint_steps": 30,
    "hint_problems": 40,
    "lettered": 2,
    "lettered_widths": [8],
    "items": 8,
    "lettered_steps": 40,
    "reward_steps": 20,
    "lettered_questions": 500,
    "resamples": 50,
}
"""Every part runs, little is learned."""

LEARNED = {**TINY, "entities": 60, "steps": 250, "hint_steps": 200, "hint_problems": 100}
LEARNED |= {"lettered_steps": 100, "reward_steps": 60}
"""Enough for facts that are told often to be known, and for the null to be tempted."""


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return execute(STUDY, settings=TINY, out=tmp_path_factory.mktemp("knowledge") / "run", workers=1)


def test_every_part_is_measured_and_shown(tiny):
    found = verdicts(tiny)
    assert {claim.id for claim in GIVEN} <= {name for name, verdict in found.items() if verdict == "not tested"}
    assert all(found[claim.id] == "replicated" for claim in KNOWN)
    contents = json.loads((tiny.directory / "contents.json").read_text())
    figures = {item["name"] for item in contents if item["kind"] == "figure"}
    assert figures == {
        "knowledge",
        "sources",
        "hints",
        "own-knowledge",
        "judgements",
        "letters",
        "lettered-sizes",
        "source-length",
    }
    assert all((tiny.directory / "figures" / f"{name}.svg").stat().st_size > 2_000 for name in figures)
    tables = {item["name"]: item["rows"] for item in contents if item["kind"] == "table"}
    assert tables.keys() == {"table-1", "tables-2-and-3", "p-ik-metrics", "judgements", "formats"}
    assert len(tables["tables-2-and-3"]) == 2
    assert {row["condition"] for row in tables["formats"]} >= {"best possible", "lettered, over orders", "rewarded"}


def test_a_finished_run_is_read_back_and_a_killed_one_goes_on(tiny):
    (tiny.directory / "findings.json").unlink()
    part = tiny.directory / "runs" / "lettered-1" / "artifacts"
    for file in part.glob("asked.*"):
        file.unlink()
    again = execute(STUDY, settings=TINY, out=tiny.directory, workers=1, resume=True)
    assert [(row.id, row.value) for row in again.ledger] == [(row.id, row.value) for row in tiny.ledger]


def test_without_its_cause_no_effect_is_replicated(tmp_path):
    null = execute(STUDY, settings=LEARNED, out=tmp_path / "null", workers=1, null=True)
    assert not effects_replicated(null)
    assert verdicts(null)["shuffled-labels"] != "replicated"


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_quick_null_replicates_no_effect(tmp_path):
    assert not effects_replicated(execute(STUDY, out=tmp_path / "null", null=True))


@pytest.mark.slow
@pytest.mark.smollm
@pytest.mark.timeout(1800)
def test_smollm_is_asked_in_every_way_and_knows_nothing_of_shuffled_labels(tmp_path):
    few = {"given_questions": 40, "given_samples": 5, "given_judging_shots": 4, "resamples": 100}
    run = execute(STUDY, settings=few, model="smollm2-135m", out=tmp_path / "run")
    found = verdicts(run)
    assert {"given-letters", "given-nota"} <= {name for name, verdict in found.items() if verdict != "not tested"}
    contents = json.loads((run.directory / "contents.json").read_text())
    rows = next(item["rows"] for item in contents if item.get("name") == "given-baselines")
    assert len(rows) >= 8
    assert {claim.id for claim in [*ORGANISMS, *HINTS, *LETTERED]} <= {
        name for name, verdict in found.items() if verdict == "not tested"
    }
    null = execute(STUDY, settings=few, model="smollm2-135m", out=tmp_path / "null", null=True)
    assert not effects_replicated(null)


def test_presets_differ_in_size_only():
    quick, full, paper = (PRESETS[name] for name in ("quick", "full", "paper"))
    assert quick.entities < full.entities < paper.entities
    assert (full.given_questions, full.given_samples) == (200, 10)
    assert paper.draws == full.draws == quick.draws == 30


@pytest.mark.parametrize(
    ("setting", "word"),
    [
        ("organisms=1", "organisms"),
        ("heads=3", "divisible"),
        ("lettered_widths=[64]", "less than width"),
        ("entities=two", "entities"),
        ("depth=2", "depth"),
    ],
)
def test_bad_settings_are_one_sentence_and_usage(setting, word, tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["run", "self-knowledge", "--set", setting, "--out", str(tmp_path / "run")])
    assert stopped.value.code == 2
    assert word in capsys.readouterr().err
