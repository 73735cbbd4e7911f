import importlib.util
import os
import signal
import subprocess
import sys
import threading
import time

import pytest
import sweep_functions

from windtunnel.laboratory.errors import Unsupported, UsageError, WindtunnelError
from windtunnel.laboratory.progress import Progress
from windtunnel.laboratory.run import Run
from windtunnel.laboratory.sweeps import sweep, values

BACKENDS = ["in-process", "processes"]


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    here = os.path.dirname(sweep_functions.__file__)
    monkeypatch.setenv("PYTHONPATH", here, prepend=os.pathsep)


@pytest.mark.parametrize("backend", BACKENDS)
def test_results_come_in_order(backend):
    outcomes = sweep(sweep_functions.square, range(7), backend=backend, workers=2)
    assert values(outcomes) == [0, 1, 4, 9, 16, 25, 36]
    assert [outcome.item for outcome in outcomes] == list(range(7))


@pytest.mark.parametrize("backend", BACKENDS)
def test_failures_are_told_and_the_rest_kept(backend):
    outcomes = sweep(sweep_functions.odd_fails, range(4), backend=backend, workers=2)
    assert [outcome.value for outcome in outcomes] == [0, None, 2, None]
    assert "in odd_fails\n    raise ValueError" in outcomes[1].error
    assert outcomes[1].error.endswith("ValueError: 1 is odd")
    with pytest.raises(WindtunnelError, match=r"2 of 4 items failed.*1 is odd.*--resume"):
        values(outcomes)


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_item_may_be_none_and_may_try_to_leave(backend):
    assert values(sweep(sweep_functions.kind, [None, 1, None], backend=backend, workers=1)) == [
        "NoneType",
        "int",
        "NoneType",
    ]
    (outcome,) = sweep(sweep_functions.gives_up, [0], backend=backend, workers=1)
    assert outcome.error.endswith("SystemExit: giving up")


def test_training_gives_the_same_bits_in_every_backend():
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        here = sweep(sweep_functions.descend, range(3), backend="in-process")
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert values(here) == values(sweep(sweep_functions.descend, range(3), workers=2))
    assert values(here)[0] != values(here)[1]


def test_a_killed_worker_costs_its_item_only():
    outcomes = sweep(sweep_functions.two_dies, range(6), workers=2)
    assert [outcome.value for outcome in outcomes] == [0, 1, None, 3, 4, 5]
    assert outcomes[2].error == "The worker process was killed by SIGKILL; a machine out of memory does that."
    (outcome,) = sweep(sweep_functions.leaves, [3])
    assert "ended with exit code 3" in outcome.error


def test_workers_use_one_thread_and_leave_the_environment_alone(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert values(sweep(sweep_functions.threads, [0], workers=1)) == ["1"]
    assert values(sweep(sweep_functions.torch_threads, [0], workers=1)) == [1]
    assert os.environ["OMP_NUM_THREADS"] == "3"


def test_what_cannot_travel_is_that_items_failure():
    (outcome,) = sweep(sweep_functions.unsendable, [0], workers=1)
    assert "cannot be sent back" in outcome.error
    outcomes = sweep(sweep_functions.kind, [1, threading.Lock(), 2], workers=1)
    assert [outcome.value for outcome in outcomes] == ["int", None, "int"]
    assert "cannot be sent to a worker" in outcomes[1].error
    with pytest.raises(UsageError, match="define it at the top of a module"):
        sweep(lambda number: number, [1])


def test_a_worker_may_sweep_too():
    assert values(sweep(sweep_functions.nested, [[1, 2], [3]], workers=2)) == [[1, 4], [9]]


def test_sub_runs_travel_and_keep_their_results(tmp_path):
    run = Run(tmp_path, seed=1)
    children = [run.child("one"), run.child("two")]
    found = values(sweep(sweep_functions.record, children, workers=2))
    assert found == [{"seed": run.seed_for("one")}, {"seed": run.seed_for("two")}]
    assert run.child("one").stage("value", lambda: {"seed": -1}) == found[0]
    assert run.child("two").metrics == [{"step": 1, "value": 1.0}]


def test_a_task_is_told_how_many_items_are_finished():
    with Progress("silent").task("items", 4) as task:
        sweep(sweep_functions.odd_fails, range(4), backend="in-process", task=task)
        assert task.done == 4


def wait_until(happened, seconds=30.0):
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.02)


@pytest.mark.parametrize("end", ["interrupted from the keyboard", "killed"])
def test_workers_end_with_their_parent(end, tmp_path):
    """However the parent ends, no worker goes on writing where a resumed run would write."""
    files = [tmp_path / "one", tmp_path / "two"]
    parent = subprocess.Popen(
        [sys.executable, sweep_functions.__file__, *map(str, files)], stderr=subprocess.PIPE, start_new_session=True
    )
    wait_until(lambda: all(file.exists() and file.read_text() for file in files))
    if end == "killed":
        parent.kill()
    else:
        os.killpg(parent.pid, signal.SIGINT)  # as a terminal does: to parent and workers
    _, err = parent.communicate(timeout=30)
    assert parent.returncode != 0
    assert err.count(b"Traceback") == (0 if end == "killed" else 1)  # the parent's; workers stay quiet
    pids = [int(file.read_text().split()[0]) for file in files if file.read_text()]
    wait_until(lambda: not any(is_running(pid) for pid in pids), seconds=5.0)


def is_running(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_nothing_to_do_and_bad_requests():
    assert sweep(sweep_functions.square, []) == []
    with pytest.raises(UsageError, match="at least one worker"):
        sweep(sweep_functions.square, [1], workers=0)
    with pytest.raises(UsageError, match="no sweep backend 'threads'"):
        sweep(sweep_functions.square, [1], backend="threads")


def test_ray_that_is_not_installed_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(Unsupported, match=r"windtunnel\[ray\]"):
        sweep(sweep_functions.square, [1], backend="ray")


EVERYTHING = [
    ("square", 3),
    ("odd_fails", 1),
    ("two_dies", 2),
    ("descend", 0),
    ("descend", 1),
    ("threads", None),
    ("odd_fails", 2),
]

needs_ray = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="ray is not installed")


@needs_ray
def test_ray_gives_the_same_results_and_failures(monkeypatch, capfd):
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    over_ray = sweep(sweep_functions.call, [*EVERYTHING, ("ray_address", None)], backend="ray", workers=2)
    assert capfd.readouterr().out == ""
    over_processes = sweep(sweep_functions.call, EVERYTHING, workers=2)
    *over_ray, address = over_ray
    assert address.value == "127.0.0.1"
    assert [(outcome.item, outcome.value) for outcome in over_ray] == [
        (outcome.item, outcome.value) for outcome in over_processes
    ]
    assert [outcome.error is None for outcome in over_ray] == [True, False, False, True, True, True, True]
    assert [outcome.error is None for outcome in over_processes] == [outcome.error is None for outcome in over_ray]
    assert over_ray[1].error.endswith("ValueError: 1 is odd")
    assert "worker process was killed" in over_ray[2].error
    assert over_ray[5].value == "1"


@needs_ray
def test_a_ray_that_is_connected_is_used_and_stays(monkeypatch, tmp_path):
    from windtunnel.laboratory import sweeps

    sweeps._import_ray()
    import ray

    assert not ray.is_initialized()
    sweeps._connect(ray, 2)
    try:
        monkeypatch.setattr(sweeps, "_connect", None)  # a second start would fail
        assert max(values(sweep(sweep_functions.together, [(tmp_path, 60)] * 3, backend="ray"))) == 2
        (tmp_path / "met").unlink()
        assert max(values(sweep(sweep_functions.together, [(tmp_path, 0.3)] * 3, backend="ray", workers=1))) == 1
        assert ray.is_initialized()
        (outcome,) = sweep(sweep_functions.kind, [threading.Lock()], backend="ray")
        assert "cannot be sent to a worker" in outcome.error
    finally:
        ray.shutdown()
