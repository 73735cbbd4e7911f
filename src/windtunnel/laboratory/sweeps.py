"""Sweeps: one function over many items, in this process, over local processes or over Ray; same results, same order."""

import multiprocessing
import os
import sys
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any, Generic, Literal, TypeVar

from windtunnel.laboratory.errors import Unsupported, UsageError, WindtunnelError

Item = TypeVar("Item")
Value = TypeVar("Value")
Backend = Literal["in-process", "processes", "ray"]

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
"""Workers use one thread each: two workers with two threads each on two cores are several times slower than that."""


@dataclass(frozen=True)
class Outcome(Generic[Item, Value]):
    """What became of one item.

    Attributes:
        item: The item.
        value: What the function returned, or None where it failed.
        error: The failure as text, or None.
    """

    item: Item
    value: Value | None
    error: str | None = None


def sweep(
    function: Callable[[Item], Value],
    items: Sequence[Item],
    *,
    backend: Backend = "processes",
    workers: int | None = None,
) -> list[Outcome[Item, Value]]:
    """Call `function` on every item; a failure is kept as an outcome, and the rest go on.

    Args:
        function: Defined at the top of a module, so that another process can import it.
        items: What it is called with, each able to travel to another process.
        backend: `in-process`; `processes`: local worker processes of one thread each; `ray`: tasks on a Ray cluster,
            a local one of `workers` processors if none is connected.
        workers: Worker processes; by default one per core and never more than items.

    Returns:
        One outcome per item, in the order of the items, whichever backend computed them.

    Raises:
        UsageError: An unknown backend, or fewer than one worker.
        Unsupported: Ray is asked for and not installed.
    """
    if workers is not None and workers < 1:
        raise UsageError(f"A sweep needs at least one worker, not {workers}.")
    if not items:
        return []
    count = min(workers or os.cpu_count() or 1, len(items))
    if backend == "in-process":
        replies = [_attempt(function, item) for item in items]
    elif backend == "processes":
        replies = _over_processes(function, items, count)
    elif backend == "ray":
        replies = _over_ray(function, items, count)
    else:
        raise UsageError(f"There is no sweep backend {backend!r}; choose in-process, processes or ray.")
    return [Outcome(item, value, error) for item, (value, error) in zip(items, replies, strict=True)]


def values(outcomes: Sequence[Outcome[Any, Value]]) -> list[Value]:
    """The values of a sweep in which nothing may be missing.

    Raises:
        WindtunnelError: An item failed; finished items keep what they stored.
    """
    failed = [outcome for outcome in outcomes if outcome.error is not None]
    if failed:
        first = (failed[0].error or "").strip().splitlines()[-1]
        raise WindtunnelError(
            f"{len(failed)} of {len(outcomes)} items failed, the first with {first!r}; mend that and run again with "
            "--resume, since finished items are kept."
        )
    return [outcome.value for outcome in outcomes]  # type: ignore[misc]


Reply = tuple[Any, str | None]


def _attempt(function: Callable[[Any], Any], item: Any) -> Reply:
    """The function's value, or the failure as text; an interrupt ends the sweep."""
    try:
        return function(item), None
    except Exception as error:
        where = "".join(traceback.format_tb(error.__traceback__)[-2:])
        return None, f"{where}{type(error).__name__}: {error}"


def _over_processes(function: Callable[[Any], Any], items: Sequence[Any], count: int) -> list[Reply]:
    """Hand items to persistent workers one at a time; a worker that dies costs the item it held."""
    context = multiprocessing.get_context("spawn")
    waiting = deque(range(len(items)))
    replies: list[Reply | None] = [None] * len(items)
    busy: dict[Connection, tuple[Any, int]] = {}

    def hire() -> None:
        ours, theirs = context.Pipe()
        process = context.Process(target=_work, args=(theirs,), daemon=True)
        with _environment(ONE_THREAD):
            process.start()
        theirs.close()
        ours.send(function)
        give(ours, process)

    def give(connection: Connection, process: Any) -> None:
        index = waiting.popleft()
        busy[connection] = (process, index)
        connection.send(items[index])

    try:
        while waiting or busy:
            while waiting and len(busy) < count:
                hire()
            for connection in wait(list(busy)):
                assert isinstance(connection, Connection)
                process, index = busy.pop(connection)
                try:
                    replies[index] = connection.recv()
                except (EOFError, ConnectionResetError):
                    process.join()
                    replies[index] = (None, f"The worker process died with exit code {process.exitcode}.")
                    connection.close()
                    continue
                if waiting:
                    give(connection, process)
                else:
                    connection.send(None)
                    process.join()
    finally:
        for process, _ in busy.values():
            process.kill()
            process.join()
    return [reply if reply is not None else (None, "The item was not reached.") for reply in replies]


def _work(connection: Connection) -> None:
    """A worker: receive the function, then items until None; send a reply for each."""
    function = connection.recv()
    _use_one_thread()
    while (item := connection.recv()) is not None:
        reply = _attempt(function, item)
        try:
            connection.send(reply)
        except Exception as error:  # a value that cannot travel is that item's failure, not the worker's
            connection.send((None, f"The result cannot be sent back: {type(error).__name__}: {error}"))


def _use_one_thread() -> None:
    if "torch" in sys.modules:
        import torch

        torch.set_num_threads(1)


def _over_ray(function: Callable[[Any], Any], items: Sequence[Any], count: int) -> list[Reply]:
    try:
        import ray
    except ImportError:
        raise Unsupported("Sweeps over Ray need it installed: pip install 'windtunnel[ray]'.") from None
    started = not ray.is_initialized()
    if started:
        with _environment({"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}):
            ray.init(
                num_cpus=count,
                include_dashboard=False,
                logging_level="error",
                log_to_driver=False,
                _node_ip_address="127.0.0.1",
                runtime_env={"env_vars": {**ONE_THREAD, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}},
            )
    try:
        task = ray.remote(num_cpus=1, max_retries=0)(_attempt)
        pending = [task.remote(function, item) for item in items]
        replies: list[Reply] = []
        for reference in pending:
            try:
                replies.append(ray.get(reference))
            except ray.exceptions.RayError as error:
                replies.append((None, f"The worker process died: {str(error).strip().splitlines()[0]}"))
        return replies
    finally:
        if started:
            ray.shutdown()


@contextmanager
def _environment(changes: dict[str, str]) -> Iterator[None]:
    """Environment variables that processes started inside inherit."""
    before = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
