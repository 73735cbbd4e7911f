"""The display of long work, on standard error: live bars on a terminal, plain lines elsewhere, silence when asked.

A worker process tells its progress through a small file (`progress.json` in its directory) that its parent polls.
"""

import json
import os
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from windtunnel.laboratory.errors import UsageError

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

PLAIN_SECONDS = 10.0
FILE_SECONDS = 0.5
LIVE_SECONDS = 0.1
FILE_NAME = "progress.json"


class Task:
    """One piece of long work: `update` says how much of it is done.

    Attributes:
        label: What is being done.
        total: Units of work in all.
        done: Units finished.
        shown: Values to show beside it (loss, tokens per second ...).
    """

    def __init__(self, display: "Progress", label: str, total: int) -> None:
        self.label = label
        self.total = total
        self.done = 0
        self.shown: dict[str, float | str] = {}
        self.started = time.monotonic()
        self.first: tuple[int, float] | None = None
        self.next_showing = 0.0
        self._display = display

    def update(self, done: int, **shown: float | str) -> None:
        """Say that `done` of `total` units are finished, with values to show; microseconds between showings."""
        self.done = done
        if shown:
            self.shown = shown
        if self.first is None:
            self.first = (done, time.monotonic())
        if time.monotonic() >= self.next_showing:
            self._display.show(self)

    @property
    def rate(self) -> float | None:
        """Units per second since the first update; None before there is a second one.

        Work done before the first update does not count: a resumed task starts far along, and a first step warms up.
        """
        if self.first is None or self.done <= self.first[0]:
            return None
        return (self.done - self.first[0]) / max(time.monotonic() - self.first[1], 1e-9)

    @property
    def seconds_left(self) -> float | None:
        """Estimated seconds to the end, from the rate so far; None before there is one."""
        rate = self.rate
        return None if rate is None else max(self.total - self.done, 0) / rate

    def pace(self) -> str:
        """Rate and time as text: `8.2/s  1:05 left`, or `8.2/s  took 4:10` once all is done."""
        rate = self.rate
        parts = [] if rate is None else [f"{rate:.3g}/s"]
        if self.done >= self.total:
            parts.append(f"took {_clock(time.monotonic() - self.started)}")
        elif self.seconds_left is not None:
            parts.append(f"{_clock(self.seconds_left)} left")
        return "  ".join(parts)

    def values(self) -> str:
        """The shown values as text: `loss 2.41  tokens/s 10300`."""
        return "  ".join(f"{name.replace('_per_', '/')} {_number(value)}" for name, value in self.shown.items())


class Progress:
    """A display of tasks; tasks may be nested and may come from several threads.

    Args:
        mode: `auto` (live on a terminal, plain lines otherwise), `live`, `plain`, `silent`, or `file` (for worker
            processes: the state goes to `progress.json` in `directory`).
        directory: Where `file` mode writes.

    Raises:
        UsageError: There is no such mode, or `file` mode has no directory.
    """

    def __init__(self, mode: str = "auto", directory: Path | None = None) -> None:
        if mode == "auto":
            mode = "live" if sys.stderr.isatty() and os.environ.get("TERM") != "dumb" else "plain"
        if mode not in ("live", "plain", "silent", "file"):
            raise UsageError(f"Progress mode {mode!r} is none of auto, live, plain, silent and file; choose one.")
        if mode == "file" and directory is None:
            raise UsageError("Progress mode 'file' needs a directory to write to; give one.")
        self.mode = mode
        self.directory = directory
        self._rich: RichProgress | None = None
        self._bars: dict[Task, TaskID] = {}
        self._open: list[Task] = []
        self._lock = threading.RLock()  # the thread that watches workers shows tasks too

    @contextmanager
    def task(self, label: str, total: int) -> Iterator[Task]:
        """A task that is shown while the `with` lasts."""
        task = self._begin(label, total)
        self.show(task)
        try:
            yield task
        finally:
            self._end(task)

    def _begin(self, label: str, total: int) -> Task:
        task = Task(self, label, total)
        with self._lock:
            self._open.append(task)
        return task

    def _end(self, task: Task) -> None:
        with self._lock:
            self.show(task, last=True)
            self._open.remove(task)
            if not self._open:
                self.close()

    def show(self, task: Task, last: bool = False) -> None:
        """Bring the display of a task up to date; `last` says that it is over."""
        with self._lock:
            now = time.monotonic()
            if self.mode == "live":
                task.next_showing = now + LIVE_SECONDS
                self._show_live(task, last)
            elif self.mode == "plain":
                task.next_showing = now + PLAIN_SECONDS
                _line(_plain(task))
            elif self.mode == "file":
                task.next_showing = now + FILE_SECONDS
                self._show_file(over=task if last else None)
            else:
                task.next_showing = float("inf")

    def note(self, text: str) -> None:
        """One line for the person watching; nothing when silent or in a worker."""
        with self._lock:
            if self.mode == "live" and self._rich is not None:
                self._print_above(text)
            elif self.mode in ("live", "plain"):
                _line(text)

    def close(self) -> None:
        """Take a live display down."""
        with self._lock:
            if self._rich is not None:
                self._rich.stop()
            self._rich = None
            self._bars.clear()

    @contextmanager
    def watch(self, directories: Sequence[Path]) -> Iterator[None]:
        """Show what worker processes in those directories report, until the `with` ends.

        Enter it before the workers start: what an earlier, killed run left in the directories is removed first.
        """
        files = [directory / FILE_NAME for directory in directories]
        _remove(files)
        over = threading.Event()
        thread = threading.Thread(target=self._poll, args=(files, over), daemon=True)
        if self.mode != "silent" and files:
            thread.start()
        try:
            yield
        finally:
            over.set()
            if thread.ident is not None:
                thread.join()
            _remove(files)

    def _poll(self, files: list[Path], over: threading.Event) -> None:
        running: dict[tuple[Path, str], Task] = {}
        finished: set[tuple[Path, str]] = set()
        last = False
        while not last:
            last = over.wait(FILE_SECONDS)  # once more after the end, for the final values
            for file in files:
                states = _read_states(file)
                for state in states:
                    key = (file, state.label)
                    if key in finished and state.over:
                        continue  # already told; the file keeps it until the worker's next task
                    finished.discard(key)
                    if key not in running:
                        running[key] = self._begin(f"{file.parent.name}: {state.label}", state.total)
                    running[key].update(state.done, **state.shown)
                    if state.over:
                        self._end(running.pop(key))
                        finished.add(key)
                labels = {state.label for state in states}
                for key in [key for key in running if key[0] == file and key[1] not in labels]:
                    self._end(running.pop(key))
        for task in running.values():
            self._end(task)

    def _show_live(self, task: Task, last: bool) -> None:
        """One bar per open task; a task that is over leaves a line above the bars."""
        if self._rich is None:
            self._rich = _live_display()
            self._rich.start()
        if last:
            self._print_above(_plain(task))
            if task in self._bars:
                self._rich.remove_task(self._bars.pop(task))
            return
        if task not in self._bars:
            self._bars[task] = self._rich.add_task(_printable(task.label), total=task.total, pace="", values="")
        values = _printable(task.values())
        self._rich.update(self._bars[task], completed=task.done, pace=task.pace(), values=values)

    def _print_above(self, text: str) -> None:
        from rich.text import Text

        assert self._rich is not None
        self._rich.console.print(Text(_printable(text)))

    def _show_file(self, over: Task | None) -> None:
        """Replace the file in one step; a display that cannot be written is not worth stopping work for."""
        assert self.directory is not None
        states = [
            {
                "label": task.label,
                "total": task.total,
                "done": task.done,
                "shown": {name: _number(value) for name, value in task.shown.items()},
                "over": task is over,
            }
            for task in self._open
        ]
        temporary = self.directory / f".{FILE_NAME}"
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            temporary.write_text(json.dumps(states))
            temporary.replace(self.directory / FILE_NAME)
        except OSError:
            pass


def _live_display() -> "RichProgress":
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
    from rich.progress import Progress as RichProgress

    return RichProgress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("{task.fields[pace]}", markup=False),
        TextColumn("{task.fields[values]}", markup=False),
        console=Console(stderr=True),
        transient=True,  # what remains is the line of each task
    )


def _plain(task: Task) -> str:
    return "  ".join(filter(None, [f"{task.label}: {task.done}/{task.total}", task.pace(), task.values()]))


def _line(text: str) -> None:
    print(_printable(text), file=sys.stderr, flush=True)


def _printable(text: str) -> str:
    """The text without characters that would move the cursor, ring the bell or break the line."""
    return "".join(character if character.isprintable() else "�" for character in text)


def _number(value: float | str) -> str:
    if not isinstance(value, float):
        return str(value)
    return f"{value:.4g}" if abs(value) < 1e4 else f"{value:.0f}"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class _State(NamedTuple):
    """A task as a worker's file tells it."""

    label: str
    total: int
    done: int
    shown: dict[str, str]
    over: bool


def _read_states(path: Path) -> list[_State]:
    """The tasks in a worker's file; none if it is missing or broken."""
    try:
        return [
            _State(
                str(state["label"]),
                int(state["total"]),
                int(state["done"]),
                {str(name): str(value) for name, value in state["shown"].items()},
                bool(state["over"]),
            )
            for state in json.loads(path.read_text())
        ]
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return []


def _remove(files: Sequence[Path]) -> None:
    for file in files:
        file.unlink(missing_ok=True)
