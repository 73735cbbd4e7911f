"""Runs: exclusive, resumable after a kill at any moment, honest about a used directory."""

import json
import os
import pickle
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import tiny_study

from windtunnel.laboratory.errors import UsageError, WindtunnelError
from windtunnel.laboratory.run import Run
from windtunnel.laboratory.study import execute

HERE = Path(__file__).parents[1]
SCRIPT = """
import sys
import tiny_study
from windtunnel.laboratory.study import execute
execute(tiny_study.STUDY, settings={"pause": 0.05}, out=sys.argv[1], resume=True)
"""


def start(directory):
    environment = {**os.environ, "PYTHONPATH": str(HERE), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen([sys.executable, "-c", SCRIPT, str(directory)], env=environment, stderr=subprocess.PIPE)


def numbers(directory):
    findings = json.loads((directory / "findings.json").read_text())
    return [(claim["id"], claim["value"], claim["interval"], claim["verdict"]) for claim in findings["claims"]]


def test_a_run_killed_at_random_moments_ends_with_the_same_numbers(tmp_path):
    straight = tmp_path / "straight"
    execute(tiny_study.STUDY, settings={"pause": 0.05}, out=straight)
    chance = random.Random(7)
    for trial in range(3):
        killed = tmp_path / f"killed-{trial}"
        kills = 0
        while not (killed / "findings.json").exists():
            process = start(killed)
            try:
                process.wait(timeout=chance.uniform(0.4, 1.1) if kills < 4 else 60)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                process.wait(timeout=30)
                kills += 1
            finally:
                process.stderr.close()
        assert kills >= 1
        assert numbers(killed) == numbers(straight)
        assert (killed / "report.html").read_text().count("<article") == 1
        steps = [row["step"] for row in Run(killed).metrics]
        assert sorted(set(steps)) == list(range(6))


def test_a_second_process_is_refused(tmp_path):
    process = start(tmp_path / "run")
    try:
        deadline = time.monotonic() + 30
        while not (tmp_path / "run" / "config.json").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        with pytest.raises(WindtunnelError, match="in use by another windtunnel process"):
            execute(tiny_study.STUDY, settings={"pause": 0.05}, out=tmp_path / "run", resume=True)
    finally:
        process.wait(timeout=60)
        process.stderr.close()
    assert process.returncode == 0


def test_a_used_directory_is_kept_unless_resumed(tmp_path):
    execute(tiny_study.STUDY, out=tmp_path / "run")
    before = numbers(tmp_path / "run")
    with pytest.raises(UsageError, match="already holds a run; add --resume"):
        execute(tiny_study.STUDY, out=tmp_path / "run")
    with pytest.raises(UsageError, match="stages is 6 and this asks for 7"):
        execute(tiny_study.STUDY, settings={"stages": 7}, out=tmp_path / "run", resume=True)
    with pytest.raises(UsageError, match="null is False and this asks for True"):
        execute(tiny_study.STUDY, null=True, out=tmp_path / "run", resume=True)
    assert numbers(tmp_path / "run") == before


def test_a_full_disk_loses_nothing_finished(tmp_path, monkeypatch):
    real, written = os.fsync, []

    def fills_up(handle):
        written.append(handle)
        if len(written) > 8:
            raise OSError(28, "No space left on device")
        real(handle)

    monkeypatch.setattr(os, "fsync", fills_up)
    with pytest.raises(WindtunnelError, match="No space left on device"):
        execute(tiny_study.STUDY, out=tmp_path / "run")
    monkeypatch.undo()
    kept = {path.name: path.read_bytes() for path in (tmp_path / "run" / "artifacts").glob("draw-*.json")}
    assert kept
    execute(tiny_study.STUDY, out=tmp_path / "run", resume=True)
    assert all((tmp_path / "run" / "artifacts" / name).read_bytes() == data for name, data in kept.items())
    execute(tiny_study.STUDY, out=tmp_path / "straight")
    assert numbers(tmp_path / "run") == numbers(tmp_path / "straight")


def test_an_unwritable_place_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(WindtunnelError, match="Cannot write"):
        execute(tiny_study.STUDY, out=tmp_path / "file" / "run")


def test_a_damaged_config_is_one_sentence(tmp_path):
    execute(tiny_study.STUDY, out=tmp_path / "run")
    (tmp_path / "run" / "config.json").write_text("[1, 2]")
    with pytest.raises(UsageError, match="cannot be resumed"):
        execute(tiny_study.STUDY, out=tmp_path / "run", resume=True)


def test_seeds_are_stable_and_differ_by_name(tmp_path):
    run = Run(tmp_path, seed=3)
    assert run.seed_for("a") == Run(tmp_path / "elsewhere", seed=3).seed_for("a")
    assert len({run.seed_for("a"), run.seed_for("b"), run.seed_for("a", 1), Run(tmp_path, seed=4).seed_for("a")}) == 4
    assert all(0 <= run.seed_for(index) < 2**31 for index in range(100))


def test_a_child_travels_to_another_process(tmp_path):
    run = Run(tmp_path, seed=1)
    child = pickle.loads(pickle.dumps(run.child("two-layers")))
    assert child.directory == tmp_path / "runs" / "two-layers"
    assert child.seed == run.seed_for("two-layers")
    assert child.stage("x", lambda: {"y": 1}) == {"y": 1}
    with pytest.raises(RuntimeError, match="own run"):
        child.section("not here")


def test_rewinding_drops_later_metrics(tmp_path):
    run = Run(tmp_path)
    for step in range(5):
        run.log(step, loss=float(step))
    run.rewind(2)
    assert [row["step"] for row in run.metrics] == [0, 1, 2]


def test_undeclared_claims_are_refused_and_untouched_ones_are_not_tested(tmp_path):
    run = Run(tmp_path, claims=tiny_study.CLAIMS)
    with pytest.raises(UsageError, match="No claim 'other'"):
        run.conclude("other", 1.0)
    assert [finding.verdict for finding in run.ledger] == ["not tested"] * 3
