import os

import pytest
import sweep_functions

from windtunnel.laboratory.errors import UsageError, WindtunnelError
from windtunnel.laboratory.run import Run
from windtunnel.laboratory.sweeps import sweep, values

BACKENDS = ["in-process", "processes"]


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    here = os.path.dirname(sweep_functions.__file__)
    monkeypatch.setenv("PYTHONPATH", here)


@pytest.mark.parametrize("backend", BACKENDS)
def test_results_come_in_order(backend):
    outcomes = sweep(sweep_functions.square, range(7), backend=backend, workers=2)
    assert values(outcomes) == [0, 1, 4, 9, 16, 25, 36]
    assert [outcome.item for outcome in outcomes] == list(range(7))


@pytest.mark.parametrize("backend", BACKENDS)
def test_failures_are_told_and_the_rest_kept(backend):
    outcomes = sweep(sweep_functions.odd_fails, range(4), backend=backend, workers=2)
    assert [outcome.value for outcome in outcomes] == [0, None, 2, None]
    assert outcomes[1].error.endswith("ValueError: 1 is odd")
    with pytest.raises(WindtunnelError, match=r"2 of 4 items failed.*1 is odd.*--resume"):
        values(outcomes)


def test_a_killed_worker_costs_its_item_only():
    outcomes = sweep(sweep_functions.two_dies, range(6), workers=2)
    assert [outcome.value for outcome in outcomes] == [0, 1, None, 3, 4, 5]
    assert "died with exit code -9" in outcomes[2].error


def test_workers_use_one_thread_and_leave_the_environment_alone(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert values(sweep(sweep_functions.threads, [0], workers=1)) == ["1"]
    assert os.environ["OMP_NUM_THREADS"] == "3"


def test_a_result_that_cannot_travel_is_that_items_failure():
    (outcome,) = sweep(sweep_functions.unsendable, [0], workers=1)
    assert "cannot be sent back" in outcome.error


def test_sub_runs_travel_and_keep_their_results(tmp_path):
    run = Run(tmp_path, seed=1)
    children = [run.child("one"), run.child("two")]
    found = values(sweep(sweep_functions.record, children, workers=2))
    assert found == [{"seed": run.seed_for("one")}, {"seed": run.seed_for("two")}]
    assert run.child("one").stage("value", lambda: {"seed": -1}) == found[0]
    assert run.child("two").metrics == [{"step": 1, "value": 1.0}]


def test_nothing_to_do_and_bad_requests():
    assert sweep(sweep_functions.square, []) == []
    with pytest.raises(UsageError, match="at least one worker"):
        sweep(sweep_functions.square, [1], workers=0)
    with pytest.raises(UsageError, match="no sweep backend 'threads'"):
        sweep(sweep_functions.square, [1], backend="threads")


def test_ray_gives_the_same_results_and_failures():
    pytest.importorskip("ray")
    over_ray = sweep(sweep_functions.odd_fails, range(4), backend="ray", workers=2)
    here = sweep(sweep_functions.odd_fails, range(4), backend="in-process")
    assert [(outcome.item, outcome.value) for outcome in over_ray] == [
        (outcome.item, outcome.value) for outcome in here
    ]
    assert over_ray[1].error.endswith("ValueError: 1 is odd")
