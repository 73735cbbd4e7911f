"""Code with unit tests: every program runs in a process of its own, confined, limited, and killed with all it started.

What is guaranteed on every Unix: the program runs in another process, with an empty environment and a temporary
working directory that is removed; its processor time, memory, size of files and number of open files are limited; it
is killed at a wall-clock limit, and with it its process group; no more of its output is kept than a limit. A program
passes only if its end, after the last test, was reached: leaving early with status 0 is a failure.

On Linux, where the kernel allows it (unprivileged namespaces; most do, some containers do not): no network of any kind,
no sight of other processes, and nothing that it started outlives it. Where the kernel has Landlock (5.13 and later): it
writes nowhere but in its working directory and reads nothing but that and Python's own files. `confinement` says which
of the two are in force here, and every result records it.

What is not guaranteed: elsewhere a program can reach the network by other means than Python's `socket`, read whatever
the user can read, write (files up to the limit) where the user can write, and leave processes behind that left their
group. The tests share a process with the program, so one written to deceive can find out how success is told; a
program that means harm belongs in a virtual machine.
"""

import contextlib
import json
import math
import os
import secrets
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from windtunnel.evaluation.tasks import Mark, Models, Output, Sample
from windtunnel.laboratory.errors import DataError, Unsupported, UsageError
from windtunnel.statistics.estimates import Estimate
from windtunnel.statistics.intervals import bootstrap, proportion

SCRIPT = Path(__file__).with_name("confined.py")
"""What the process runs."""


@dataclass(frozen=True)
class Limits:
    """What a program may use.

    Attributes:
        wall_seconds: Until it is killed.
        cpu_seconds: Processor time of each process.
        memory: Bytes of address space of each process.
        file_size: Bytes of any file it writes.
        output: Bytes of its output that are kept.
    """

    wall_seconds: float = 10.0
    cpu_seconds: int = 5
    memory: int = 2**29
    file_size: int = 2**20
    output: int = 2**14


@dataclass(frozen=True)
class Execution:
    """How a program ended.

    Attributes:
        passed: Its end was reached.
        reason: `passed`, `failed` (an error, or left early), or `timeout` (of the clock or the processor).
        output: What it wrote, up to the limit.
        confined: What was in force: `namespaces` (no network, no other processes), `files` (Landlock).
    """

    passed: bool
    reason: str
    output: str
    confined: Mapping[str, bool] = field(default_factory=dict)


def run_program(program: str, limits: Limits | None = None) -> Execution:
    """Run a Python program of the standard library alone to its end, or to its limits.

    Raises:
        Unsupported: This system has no process groups (Windows).
    """
    if os.name != "posix":
        raise Unsupported("Code runs on Linux and macOS only; on Windows use the Linux subsystem.")
    limits = limits or Limits()
    word = secrets.token_hex(16)
    with tempfile.TemporaryDirectory(prefix="windtunnel-", ignore_cleanup_errors=True) as folder:
        reading, writing = os.pipe()
        order = {"program": program, "word": word, "report": writing, "folder": folder} | asdict(limits)
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-X", "utf8", str(SCRIPT)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env={"HOME": folder, "TMPDIR": folder, "PATH": "/usr/bin:/bin"},
            start_new_session=True,
            pass_fds=(writing,),
        )
        os.close(writing)
        try:
            _hand_over(process, json.dumps(order).encode())
            output, report, in_time = _watch(process, reading, limits)
        finally:
            _kill(process)
            os.close(reading)
    confined, _, ending = report.partition(b"\n")
    passed = in_time and ending == word.encode()
    too_long = not in_time or process.returncode in (-signal.SIGXCPU, 128 + signal.SIGXCPU)
    reason = "passed" if passed else "timeout" if too_long else "failed"
    return Execution(passed, reason, output.decode(errors="replace"), json.loads(confined) if confined else {})


def _hand_over(process: "subprocess.Popen[bytes]", order: bytes) -> None:
    with contextlib.suppress(BrokenPipeError):  # it has died already, which its report will show
        if process.stdin is not None:
            process.stdin.write(order)
            process.stdin.close()


def _watch(process: "subprocess.Popen[bytes]", reading: int, limits: Limits) -> tuple[bytes, bytes, bool]:
    """Output and report of a process until it ends or its time is up."""
    kept = {"output": b"", "report": b""}
    most = {"output": limits.output, "report": 4096}
    deadline = time.monotonic() + limits.wall_seconds
    with selectors.DefaultSelector() as selector:
        if process.stdout is not None:
            selector.register(process.stdout, selectors.EVENT_READ, "output")
        selector.register(reading, selectors.EVENT_READ, "report")
        while True:
            ended = _has_ended(process)  # asked before reading, so that what it wrote last is still read
            ready = selector.select(0 if ended else min(0.05, max(0.0, deadline - time.monotonic())))
            for key, _ in ready:
                data = os.read(key.fd, 2**16)
                kept[key.data] += data[: most[key.data] - len(kept[key.data])]
                if not data:
                    selector.unregister(key.fileobj)
            if ended and not any(True for _ in ready):
                return kept["output"], kept["report"], True
            if time.monotonic() > deadline:
                return kept["output"], kept["report"], ended
            if not selector.get_map() and not ended:
                time.sleep(0.01)


def _has_ended(process: "subprocess.Popen[bytes]") -> bool:
    """Whether it has ended, while its number stays taken, so that its group can still be killed."""
    if not hasattr(os, "waitid"):  # macOS
        return process.poll() is not None
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _kill(process: "subprocess.Popen[bytes]") -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):  # nothing is left of the group
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    if process.stdout is not None:
        process.stdout.close()


@cache
def confinement() -> Mapping[str, bool]:
    """What this system's kernel puts in force: `namespaces` and `files`, as the module says."""
    return run_program("pass", Limits(wall_seconds=60)).confined


def assembled(sample: Sample, completion: str) -> str:
    """A program from the metadata `prompt`, `test` and `entry_point`, as HumanEval has them.

    Raises:
        DataError: One is missing.
    """
    try:
        prompt, test, entry = (sample.metadata[name] for name in ("prompt", "test", "entry_point"))
    except KeyError as error:
        raise DataError(f"Sample {sample.id!r} has no {error} in its metadata, so its code has no tests.") from error
    return f"{prompt}{completion}\n\n{test}\n\ncheck({entry})\n"


@dataclass(frozen=True)
class UnitTests:
    """Runs what was written with its tests; see `unit_tests`."""

    limits: Limits = field(default_factory=Limits)
    assemble: Callable[[Sample, str], str] = assembled
    workers: int = 2

    def __call__(self, samples: Sequence[Sample], outputs: Sequence[Output], models: Models) -> list[Mark]:
        """One mark per output."""
        programs = [self.assemble(sample, output.text) for sample, output in zip(samples, outputs, strict=True)]
        with ThreadPoolExecutor(self.workers) as pool:
            found = list(pool.map(lambda program: run_program(program, self.limits), programs))
        return [
            Mark({"accuracy": float(each.passed), "timeout": float(each.reason == "timeout")}, explanation=_note(each))
            for each in found
        ]

    def describe(self) -> dict[str, Any]:
        """What identifies it."""
        return {
            "scorer": "unit tests",
            "limits": asdict(self.limits),
            "assemble": f"{self.assemble.__module__}.{self.assemble.__qualname__}",
        }


def unit_tests(
    limits: Limits | None = None, *, assemble: Callable[[Sample, str], str] = assembled, workers: int = 2
) -> UnitTests:
    """A scorer that runs what was written with its tests.

    Values of a mark: `accuracy`, whether all tests passed; `timeout`, whether it was killed for its time.

    Args:
        limits: What each program may use.
        assemble: The program from a sample and what was written.
        workers: Programs run at once.
    """
    if workers < 1:
        raise UsageError(f"workers must be at least 1, not {workers}.")
    return UnitTests(limits or Limits(), assemble, workers)


def _note(found: Execution) -> str:
    if found.reason == "timeout":
        return "timeout"
    last = found.output.strip().rpartition("\n")[2]
    return found.reason if found.passed or not last else f"{found.reason}: {last[:200]}"


def pass_at_k(attempts: int, passed: int, k: int) -> float:
    """Probability that of k attempts at least one passes, without bias (Chen et al., 2021, equation 1).

    Raises:
        UsageError: There are fewer attempts than k, or the counts do not fit.
    """
    if not 0 <= passed <= attempts or not 1 <= k <= attempts:
        raise UsageError(
            f"pass@{k} needs at least {k} attempts and no more passed than made, not {passed} of {attempts}."
        )
    return 1 - math.comb(attempts - passed, k) / math.comb(attempts, k)


def attempts_of(values: Mapping[tuple[str, int], float]) -> list[tuple[int, int]]:
    """Attempts and passed ones of each problem, from `Results.counted("accuracy")`: 0 or 1 by sample and epoch."""
    found: dict[str, tuple[int, int]] = {}
    for (name, _), value in values.items():
        made, passed = found.get(name, (0, 0))
        found[name] = made + 1, passed + int(value)
    return list(found.values())


def pass_at_k_of(
    counts: Sequence[tuple[int, int]], k: int, *, generator: np.random.Generator, level: float = 0.95
) -> Estimate:
    """Mean of pass@k over problems, with an interval over problems.

    Where all problems have the same value, which no resampling can widen, and it is 0 or 1, the interval is the exact
    one of a proportion.

    Args:
        counts: Attempts and passed ones of each problem, as `attempts_of` gives them.
        k: Attempts allowed.
        generator: Of the bootstrap.
        level: Of the interval.

    Raises:
        DataError: There are no problems.
        UsageError: A problem has fewer attempts than k.
    """
    values = [pass_at_k(attempts, passed, k) for attempts, passed in counts]
    if not values:
        raise DataError("pass@k needs at least one problem.")
    if all(value in (0.0, 1.0) for value in values):
        return proportion(int(sum(values)), len(values), level=level)
    return bootstrap(values, generator=generator, level=level)
