"""Sweeps: one function over many items, in this process, over local processes or over Ray; same results, same order."""

import multiprocessing
import os
import pickle
import signal
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager, redirect_stdout, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any, Generic, Literal, TypeVar, cast

from windtunnel.laboratory.errors import Unsupported, UsageError, WindtunnelError
from windtunnel.laboratory.progress import Task

Item = TypeVar("Item")
Value = TypeVar("Value")
Backend = Literal["in-process", "processes", "ray"]
Reply = tuple[Any, str | None]
Replies = Generator[tuple[int, Reply], None, None]

ONE_THREAD = dict.fromkeys(
    (
        "OMP_NUM_THREADS",
        "MKL_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "VECLIB_MAXIMUM_THREADS",
        "NUMEXPR_NUM_THREADS",
    ),
    "1",
)
"""Workers use one thread each: two workers with two threads each on two cores are several times slower than that."""

SECONDS_TO_LEAVE = 10.0
"""How long an idle worker may take to end before it is killed."""


@dataclass(frozen=True)
class Outcome(Generic[Item, Value]):
    """What became of one item.

    Attributes:
        item: The item.
        value: What the function returned, or None where it failed.
        error: The failure as text (the last calls, then the exception's type and message), or None.
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
    task: Task | None = None,
) -> list[Outcome[Item, Value]]:
    """Call `function` on every item; a failure is kept as an outcome, and the rest go on.

    Every backend computes an item on one thread, since the number of threads can change the last bits of a sum (in
    this process that holds where torch is loaded before the item begins).

    Args:
        function: Defined at the top of a module, so that another process can import it.
        items: What it is called with, each able to travel to another process.
        backend: `in-process`; `processes`: local worker processes; `ray`: tasks of one processor on the Ray cluster
            that is connected or named by `RAY_ADDRESS`, or else on a local one started for this sweep.
        workers: How many items are worked on at once; by default one per core that may be used (of a Ray cluster: all
            its processors) and never more than items.
        task: A progress task that is told how many items are finished.

    Returns:
        One outcome per item, in the order of the items, whichever backend computed them.

    Raises:
        UsageError: An unknown backend, fewer than one worker, or a function that another process cannot import.
        Unsupported: Ray is asked for and not installed.
    """
    if workers is not None and workers < 1:
        raise UsageError(f"A sweep needs at least one worker, not {workers}; give 1 or more.")
    if backend not in _BACKENDS:
        raise UsageError(f"There is no sweep backend {backend!r}; choose in-process, processes or ray.")
    replies: dict[int, Reply] = {}
    if items:
        with closing(_BACKENDS[backend](function, items, workers)) as arriving:  # ends workers if interrupted here
            for index, reply in arriving:
                replies[index] = reply
                if task is not None:
                    task.update(len(replies))
    return [Outcome(item, *replies[index]) for index, item in enumerate(items)]


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


def _attempt(function: Callable[[Any], Any], item: Any) -> Reply:
    """The function's value, or the failure as text; an interrupt ends the sweep."""
    try:
        with _one_torch_thread():
            return function(item), None
    except (Exception, SystemExit) as error:
        calls = traceback.format_tb(error.__traceback__)[1:]  # without this function's own line
        return None, "".join(calls[-3:]) + _told(error)


def _told(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


# --- in this process -----------------------------------------------------------------------------------------


def _in_process(function: Callable[[Any], Any], items: Sequence[Any], _: int | None) -> Replies:
    for index, item in enumerate(items):
        yield index, _attempt(function, item)


# --- over local processes ------------------------------------------------------------------------------------


class _Worker:
    """A process of one thread that answers items one at a time."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_work, args=(theirs,))
        with _environment(ONE_THREAD):
            self.process.start()
        theirs.close()

    def give(self, message: bytes) -> None:
        with suppress(OSError):  # it has died: reading its answer will say so
            self.connection.send_bytes(message)

    def answer(self) -> Reply:
        """What it replied.

        Raises:
            EOFError: It died.
        """
        try:
            message = self.connection.recv_bytes()
        except OSError as error:
            raise EOFError from error
        try:
            return cast(Reply, pickle.loads(message))  # noqa: S301 - written by our own worker
        except Exception as error:
            return None, f"The result cannot be read back: {_told(error)}"

    def last_words(self) -> str:
        """Why it died."""
        self.process.join()
        code = self.process.exitcode or 0
        if code < 0:
            name = signal.Signals(-code).name
            reason = "; a machine out of memory does that" if name == "SIGKILL" else ""
            return f"The worker process was killed by {name}{reason}."
        return (
            f"The worker process ended with exit code {code} before it answered; in a script, start sweeps under "
            "if __name__ == '__main__'."
        )

    def leave(self, seconds: float) -> None:
        self.connection.close()
        self.process.join(seconds)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()


def _over_processes(function: Callable[[Any], Any], items: Sequence[Any], workers: int | None) -> Replies:
    """Hand items to workers one at a time; a worker that dies costs the item it held."""
    try:
        pickle.dumps(function)
    except Exception as error:
        raise UsageError(
            f"{function!r} cannot be sent to another process ({error}); define it at the top of a module."
        ) from error
    count = workers or _available_cores()
    waiting = deque(range(len(items)))
    idle: list[_Worker] = []
    busy: dict[Connection, tuple[_Worker, int]] = {}
    patience = 0.0
    try:
        while waiting or busy:
            while waiting and len(busy) < count:
                index = waiting.popleft()
                try:
                    message = pickle.dumps((function, items[index]))
                except Exception as error:
                    yield index, (None, f"The item cannot be sent to a worker process: {_told(error)}")
                    continue
                worker = idle.pop() if idle else _Worker()
                busy[worker.connection] = worker, index
                worker.give(message)
            for connection in wait(list(busy)):
                worker, index = busy[cast(Connection, connection)]
                try:
                    reply = worker.answer()
                    idle.append(worker)
                except EOFError:
                    reply = None, worker.last_words()
                    worker.leave(0.0)
                del busy[worker.connection]
                yield index, reply
        patience = SECONDS_TO_LEAVE
    finally:
        for worker in [*idle, *(worker for worker, _ in busy.values())]:
            worker.leave(patience)


def _work(connection: Connection) -> None:
    """A worker: answer pickled pairs of function and item until the parent hangs up."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent, which is interrupted too, ends its workers
    _end_with_parent()
    while True:
        try:
            message = connection.recv_bytes()
        except EOFError:
            return
        connection.send_bytes(_answer(message))


def _answer(message: bytes) -> bytes:
    try:
        function, item = pickle.loads(message)  # noqa: S301 - written by our own parent
    except Exception as error:
        return pickle.dumps((None, f"The worker process cannot read the item: {_told(error)}"))
    reply = _attempt(function, item)
    try:
        return pickle.dumps(reply)
    except Exception as error:  # that item's failure, not the worker's
        return pickle.dumps((None, f"The result cannot be sent back: {_told(error)}"))


def _end_with_parent() -> None:
    """A worker whose parent was killed must not go on writing where a resumed run now writes."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    sentinel = parent.sentinel

    def wait_for_its_end() -> None:
        wait([sentinel])
        os._exit(1)

    threading.Thread(target=wait_for_its_end, daemon=True).start()


# --- over Ray ------------------------------------------------------------------------------------------------


LOCAL_RAY = {
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # listen on 127.0.0.1 only: whoever reaches a Ray port can run code
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
"""Read by Ray when it is imported and when it starts."""


def _over_ray(function: Callable[[Any], Any], items: Sequence[Any], workers: int | None) -> Replies:
    ray = _import_ray()
    waiting = deque(range(len(items)))
    pending: dict[Any, int] = {}
    ours = not ray.is_initialized()
    with redirect_stdout(sys.stderr):  # Ray prints the end of a worker on standard output
        try:
            if ours:
                _connect(ray, min(workers or _available_cores(), len(items)))
            count = workers or int(ray.cluster_resources().get("CPU", 1))
            task = ray.remote(num_cpus=1, max_retries=0, runtime_env={"env_vars": ONE_THREAD})(_attempt)
            while waiting or pending:
                while waiting and len(pending) < count:
                    index = waiting.popleft()
                    try:
                        pending[task.remote(function, items[index])] = index
                    except Exception as error:
                        yield index, (None, f"The item cannot be sent to a worker process: {_told(error)}")
                if pending:
                    (reference,), _ = ray.wait(list(pending), num_returns=1)
                    yield pending.pop(reference), _ray_reply(ray, reference)
        finally:
            for reference in pending:
                ray.cancel(reference, force=True)
            if ours:
                ray.shutdown()


def _import_ray() -> Any:
    with _environment(LOCAL_RAY):
        try:
            import ray
        except ImportError:
            raise Unsupported("Sweeps over Ray need it installed: pip install 'windtunnel[ray]'.") from None
    return ray


def _connect(ray: Any, count: int) -> None:
    """Join the cluster named by `RAY_ADDRESS`, or start a quiet local one of `count` processors."""
    if os.environ.get("RAY_ADDRESS"):
        ray.init(logging_level="error", log_to_driver=False)
        return
    with _environment(LOCAL_RAY):
        ray.init(
            address="local",
            num_cpus=count,
            include_dashboard=False,
            logging_level="error",
            log_to_driver=False,
            runtime_env={"env_vars": {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}},
        )


def _ray_reply(ray: Any, reference: Any) -> Reply:
    try:
        return cast(Reply, ray.get(reference))
    except (ray.exceptions.WorkerCrashedError, ray.exceptions.OutOfMemoryError) as error:
        return None, f"The worker process was killed: {str(error).strip().splitlines()[0]}"
    except Exception as error:
        return None, f"The item or its result cannot travel: {str(error).strip().splitlines()[-1]}"


_BACKENDS = {
    "in-process": _in_process,
    "processes": _over_processes,
    "ray": _over_ray,
}


# --- threads -------------------------------------------------------------------------------------------------


def _available_cores() -> int:
    from windtunnel.laboratory.study import available_cores

    return available_cores()


@contextmanager
def _one_torch_thread() -> Iterator[None]:
    """One torch thread inside, where torch is loaded; where it is not, a worker's environment sees to it."""
    torch = sys.modules.get("torch")
    before = torch.get_num_threads() if torch else 1
    if torch is None or before == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


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
