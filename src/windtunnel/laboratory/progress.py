"""The display of long work, on standard error: a live bar on a terminal, plain lines elsewhere, silence when asked.

A worker process tells its progress through a small file (`progress.json` in its directory) that its parent polls.
"""

import json
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from windtunnel.laboratory.files import write_json

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
        self.bar: TaskID | None = None
        self.next_showing = 0.0
        self._display = display

    def update(self, done: int, **shown: float | str) -> None:
        """Say that `done` of `total` units are finished, with values to show; microseconds between showings."""
        self.done = done
        if shown:
            self.shown = shown
        if time.monotonic() >= self.next_showing:
            self._display.show(self)

    @property
    def seconds_left(self) -> float | None:
        """Estimated seconds to the end, from the pace so far; None before the first unit."""
        if self.done <= 0:
            return None
        return (time.monotonic() - self.started) / self.done * max(self.total - self.done, 0)

    def values(self) -> str:
        """The shown values as text: `loss 2.41  tokens/s 10300`."""
        parts = []
        for name, value in self.shown.items():
            text = (
                f"{value:.4g}"
                if isinstance(value, float) and abs(value) < 1e4
                else f"{value:.0f}"
                if isinstance(value, float)
                else str(value)
            )
            parts.append(f"{name.replace('_per_', '/')} {text}")
        return "  ".join(parts)


class Progress:
    """A display of tasks.

    Args:
        mode: `auto` (live on a terminal, plain lines otherwise), `live`, `plain`, `silent`, or `file` (for worker
            processes: the state goes to `progress.json` in `directory`).
        directory: Where `file` mode writes.
    """

    def __init__(self, mode: str = "auto", directory: Path | None = None) -> None:
        if mode == "auto":
            mode = "live" if sys.stderr.isatty() else "plain"
        if mode not in ("live", "plain", "silent", "file"):
            raise ValueError(f"progress mode {mode!r} is none of auto, live, plain, silent, file")
        self.mode = mode
        self.directory = directory
        self._rich: RichProgress | None = None
        self._open: list[Task] = []

    @contextmanager
    def task(self, label: str, total: int) -> Iterator[Task]:
        """A task that is shown while the `with` lasts."""
        task = Task(self, label, total)
        self._open.append(task)
        self.show(task)
        try:
            yield task
        finally:
            self.show(task, last=True)
            self._open.remove(task)
            if not self._open:
                self.close()

    def show(self, task: Task, last: bool = False) -> None:
        """Bring the display of a task up to date."""
        now = time.monotonic()
        if self.mode == "live":
            task.next_showing = now + LIVE_SECONDS
            self._show_live(task, last)
        elif self.mode == "plain":
            task.next_showing = now + PLAIN_SECONDS
            self._line(_plain(task))
        elif self.mode == "file":
            task.next_showing = now + FILE_SECONDS
            self._show_file()
        else:
            task.next_showing = float("inf")

    def note(self, text: str) -> None:
        """One line for the person watching; nothing when silent or in a worker."""
        if self.mode == "live" and self._rich is not None:
            from rich.text import Text

            self._rich.console.print(Text(text))
        elif self.mode in ("live", "plain"):
            self._line(text)

    def close(self) -> None:
        """Take a live display down."""
        if self._rich is not None:
            self._rich.stop()
            self._rich = None

    @contextmanager
    def watch(self, directories: Sequence[Path]) -> Iterator[None]:
        """Show what worker processes in those directories report, until the `with` ends."""
        if self.mode == "silent" or not directories:
            yield
            return
        over = threading.Event()
        thread = threading.Thread(target=self._poll, args=(list(directories), over), daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
            for directory in directories:
                (directory / FILE_NAME).unlink(missing_ok=True)

    def _poll(self, directories: list[Path], over: threading.Event) -> None:
        tasks: dict[tuple[Path, str], Task] = {}
        while not over.wait(FILE_SECONDS):
            for directory in directories:
                for state in _read_states(directory / FILE_NAME):
                    key = (directory, str(state["label"]))
                    if key not in tasks:
                        tasks[key] = Task(self, f"{directory.name}: {state['label']}", int(state["total"]))
                        self._open.append(tasks[key])
                    tasks[key].update(int(state["done"]), **state["shown"])
        for task in tasks.values():
            self.show(task, last=True)
            self._open.remove(task)
        if not self._open:
            self.close()

    def _show_live(self, task: Task, last: bool) -> None:
        from rich.markup import escape
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as RichProgress

        if self._rich is None:
            from rich.console import Console

            self._rich = RichProgress(
                TextColumn("{task.description}"),
                BarColumn(bar_width=24),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.fields[values]}"),
                console=Console(stderr=True),
            )
            self._rich.start()
        if task.bar is None:
            task.bar = self._rich.add_task(escape(task.label), total=task.total, values="")
        self._rich.update(task.bar, completed=task.done, values=escape(task.values()))
        if last:
            self._rich.refresh()

    def _show_file(self) -> None:
        if self.directory is not None:
            states = [
                {"label": task.label, "total": task.total, "done": task.done, "shown": task.shown}
                for task in self._open
            ]
            write_json(self.directory / FILE_NAME, states)

    @staticmethod
    def _line(text: str) -> None:
        print(text, file=sys.stderr, flush=True)


def _plain(task: Task) -> str:
    left = task.seconds_left
    ahead = f"  {left:.0f} s left" if left else ""
    return f"{task.label}: {task.done}/{task.total}{ahead}  {task.values()}".rstrip()


def _read_states(path: Path) -> list[dict[str, Any]]:
    try:
        states = json.loads(path.read_text())
    except (OSError, ValueError):
        return []
    needed = {"label", "total", "done", "shown"}
    return [state for state in states if isinstance(state, dict) and needed <= state.keys()]
