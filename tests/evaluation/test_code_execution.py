"""Programs under test: what passes, what is stopped, and what they cannot do."""

import contextlib
import itertools
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from windtunnel.evaluation.code_execution import (
    SCRIPT,
    Limits,
    attempts_of,
    confinement,
    pass_at_k,
    pass_at_k_of,
    run_program,
    unit_tests,
)
from windtunnel.evaluation.tasks import Models, Output, Sample
from windtunnel.laboratory.errors import DataError, UsageError

pytestmark = pytest.mark.skipif(os.name != "posix", reason="code runs on Unix only")


def test_what_reaches_its_end_passes_and_nothing_else():
    found = run_program("print('hello')\nassert 1 + 1 == 2")
    assert (found.passed, found.reason, found.output) == (True, "passed", "hello\n")
    for program in (
        "assert 1 == 2",
        "import sys; sys.exit(0)",
        "import os; os._exit(0)",
        "def f(:",
        "raise SystemExit",
    ):
        assert (run_program(program).passed, run_program(program).reason) == (False, "failed")
    assert "AssertionError" in run_program("assert 1 == 2").output
    assert "confined" not in run_program("assert 1 == 2").output


def test_time_is_limited_by_the_clock_and_by_the_processor():
    began = time.monotonic()
    assert run_program("import time; time.sleep(60)", Limits(wall_seconds=0.5)).reason == "timeout"
    assert run_program("while True: pass", Limits(cpu_seconds=1, wall_seconds=60)).reason == "timeout"
    assert time.monotonic() - began < 50


def test_memory_files_and_output_are_limited():
    assert "MemoryError" in run_program("x = bytearray(2**31)").output
    assert run_program("open('f', 'w').write('x' * 10)").passed
    assert "File too large" in run_program("open('f', 'w').write('x' * 10**7)").output
    found = run_program("print('x' * 10**6)\nprint('end')", Limits(output=1000))
    assert found.passed
    assert found.output == "x" * 1000


def test_environment_and_directory_are_its_own(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    found = run_program("import os; print(sorted(os.environ)); print(os.getcwd()); open('left', 'w').close()")
    assert "OPENAI_API_KEY" not in found.output
    assert not os.path.exists(found.output.splitlines()[1])
    assert "EOFError" in run_program("input()").output


def test_what_it_started_does_not_outlive_it():
    name = f"windtunnel-test-{os.getpid()}"
    spawn = (
        f"import subprocess, sys\nsubprocess.Popen([{sys.executable!r}, '-c', 'import time; time.sleep(60)', {name!r}])"
    )
    assert run_program(f"{spawn}\nimport time; time.sleep(60)", Limits(wall_seconds=2)).reason == "timeout"
    assert run_program(spawn).passed
    if confinement().get("namespaces"):  # there also what left its group
        assert run_program(spawn.replace("])", "], start_new_session=True)")).passed
    deadline = time.monotonic() + 10
    while any(name in line for line in command_lines()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not [line for line in command_lines() if name in line]


def command_lines():
    if not Path("/proc/self/cmdline").exists():
        return subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout.splitlines()
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            found.append(path.read_text(errors="replace"))
    return found


CONNECT = "import socket; s = socket.socket(); s.settimeout(2); s.connect(('127.0.0.1', {port}))"


def test_there_is_no_network():
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert not run_program(CONNECT.format(port=port)).passed
        plain = subprocess.run([sys.executable, "-c", CONNECT.format(port=port)], check=False)
        assert plain.returncode == 0  # the same program outside does connect


def test_the_guard_without_namespaces_refuses_sockets():
    program = "import confined, socket; confined.refuse_sockets(); socket.create_connection(('127.0.0.1', 9))"
    found = subprocess.run(
        [sys.executable, "-c", program], cwd=SCRIPT.parent, capture_output=True, text=True, check=False
    )
    assert "has no network" in found.stderr


def test_files_of_others_are_out_of_reach_where_landlock_is(tmp_path):
    if not confinement().get("files"):
        pytest.skip("this kernel has no Landlock")
    secret = tmp_path / "secret"
    secret.write_text("secret")
    for program in (
        f"open({str(secret)!r}).read()",
        f"open({str(tmp_path / 'new')!r}, 'w')",
        "open('/etc/passwd').read()",
    ):
        assert "PermissionError" in run_program(program).output
    assert run_program(
        "import json, re, math, collections, datetime, tempfile, unittest, ctypes; tempfile.mkstemp()"
    ).passed


def test_other_processes_are_out_of_sight_where_namespaces_are():
    if not confinement().get("namespaces"):
        pytest.skip("this kernel allows no namespaces")
    assert run_program("import os; assert os.getpid() == 2").passed
    assert not run_program(f"import os; os.kill({os.getpid()}, 0)").passed


SAMPLE = Sample(
    "double",
    "",
    metadata={
        "prompt": "def double(x):\n",
        "test": "def check(f):\n    assert f(2) == 4\n    assert f(-3) == -6\n",
        "entry_point": "double",
    },
)


def test_code_is_assembled_and_scored():
    written = [
        "    return 2 * x\n",
        "    return x * x\n",
        "    while True: pass\n",
        "    return 2 * x\n\nraise SystemExit(0)\n",
    ]
    outputs = [Output(text=text) for text in written]
    marks = unit_tests(Limits(wall_seconds=3, cpu_seconds=1))([SAMPLE] * 4, outputs, Models())
    assert [mark.values["accuracy"] for mark in marks] == [1, 0, 0, 0]
    assert [mark.values["timeout"] for mark in marks] == [0, 0, 1, 0]
    assert "AssertionError" in marks[1].explanation
    assert marks[3].explanation.startswith("failed")
    with pytest.raises(DataError, match="'test'"):
        unit_tests()([Sample("x", "", metadata={"prompt": ""})], [Output(text="")], Models())
    with pytest.raises(UsageError, match="workers"):
        unit_tests(workers=0)


def test_pass_at_k_equals_all_choices_of_attempts():
    for attempts, passed, k in [(5, 2, 1), (5, 2, 3), (6, 0, 2), (6, 6, 6), (4, 1, 4)]:
        outcomes = [True] * passed + [False] * (attempts - passed)
        choices = [any(chosen) for chosen in itertools.combinations(outcomes, k)]
        assert pass_at_k(attempts, passed, k) == pytest.approx(sum(choices) / len(choices))
    with pytest.raises(UsageError, match="pass@3"):
        pass_at_k(2, 1, 3)


def test_pass_at_k_of_problems_has_an_interval_that_none_or_all_do_not_close():
    generator = np.random.default_rng(0)
    none = pass_at_k_of([(1, 0)] * 164, 1, generator=generator)
    assert none.value == 0
    assert none.high == pytest.approx(1 - 0.025 ** (1 / 164))
    some = pass_at_k_of([(4, 2), (4, 0), (4, 4), (4, 1)] * 10, 2, generator=generator)
    assert some.value == pytest.approx(np.mean([5 / 6, 0, 1, 1 / 2]))
    assert 0 < some.low < some.value < some.high < 1
    values = {("a", 1): 1.0, ("b", 1): 0.0, ("a", 2): 0.0, ("b", 2): 0.0}
    assert attempts_of(values) == [(2, 1), (2, 0)]
    with pytest.raises(DataError, match="at least one problem"):
        pass_at_k_of([], 1, generator=generator)
