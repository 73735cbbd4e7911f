"""A run: one directory that holds everything a study did, found and drew."""

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from windtunnel.laboratory import stages
from windtunnel.laboratory.claims import FORMAT, Claim, Finding, find_claim, settle
from windtunnel.laboratory.errors import DataError, UsageError, WindtunnelError
from windtunnel.laboratory.files import (
    append_line,
    explained,
    read_json,
    read_lines,
    strict,
    write_atomic,
    write_json,
)
from windtunnel.laboratory.progress import Progress, Task
from windtunnel.statistics.estimates import Estimate

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure


IDENTITY = ("study", "preset", "model", "seed", "null", "config")
"""The fields of `config.json` that must agree for a run to be continued."""


class Run:
    """A directory with `config.json`, `metrics.jsonl`, `checkpoints/`, `artifacts/`, `figures/`, `findings.json`.

    A study receives one and writes through it; sub-runs (one per model trained, say) come from `child` and may be
    sent to worker processes. Every write is atomic, so that a run killed at any moment continues with resume.

    Attributes:
        directory: Where everything is written.
        seed: The one seed from which all others are derived (`seed_for`).
        null: Whether the cause under study is to be removed (the null control).
        device: Torch device name.
        model: The model named by the user, or None for the study's own.
        workers: How many worker processes a sweep may use.
    """

    def __init__(
        self,
        directory: str | Path,
        *,
        claims: Sequence[Claim] = (),
        seed: int = 0,
        null: bool = False,
        device: str = "cpu",
        model: str | None = None,
        workers: int = 1,
        progress: str = "silent",
        parent: bool = False,
    ) -> None:
        self.directory = Path(directory)
        self.claims = tuple(claims)
        self.seed = seed
        self.null = null
        self.device = device
        self.model = model
        self.workers = workers
        self._is_child = parent
        self._progress = Progress(progress, directory=self.directory)
        self._lock: FileLock | None = None
        self._identity: dict[str, Any] = {}
        self._contents: list[dict[str, Any]] = []
        self._findings: dict[str, Finding] = {}
        self._started = time.monotonic()
        self._seconds_before = 0.0
        self._finished: dict[str, Any] | None = None

    # --- opening and closing -----------------------------------------------------------------------------

    def open(self, identity: dict[str, Any], *, resume: bool = False) -> None:
        """Take hold of the directory and write `config.json`.

        Args:
            identity: What this run is: study, preset, model, seed, null, config, and free extras.
            resume: Continue what a killed run left, instead of refusing a used directory.

        Raises:
            UsageError: The directory holds another run, or holds this one and `resume` is False.
            WindtunnelError: Another process holds the directory, or it cannot be written.
        """
        with explained(self.directory):
            self.directory.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.directory / ".lock", blocking=False)
            try:
                lock.acquire()
            except Timeout:
                raise WindtunnelError(
                    f"{self.directory} is in use by another windtunnel process; wait for it or choose another --out."
                ) from None
        self._lock = lock
        try:
            self._claim_directory(strict(identity), resume)
        except BaseException:
            self.close()
            raise

    def _claim_directory(self, identity: dict[str, Any], resume: bool) -> None:
        path = self.directory / "config.json"
        if path.exists():
            if not resume:
                raise UsageError(
                    f"{self.directory} already holds a run; add --resume to continue it or choose another --out."
                )
            before = read_json(path)
            for key in IDENTITY:
                if isinstance(before, dict) and before.get(key) == identity.get(key):
                    continue
                raise UsageError(
                    f"{self.directory} cannot be resumed: its {_difference(key, before, identity)}; "
                    "repeat the options it was started with or choose another --out."
                )
            self._seconds_before = _seconds_spent(self.directory)
            identity = before
        else:
            write_json(path, identity)
        self._identity = identity

    def close(self) -> None:
        """Let go of the directory and stop the display."""
        self._progress.close()
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def __enter__(self) -> "Run":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        """A run sent to a worker process: the same directory, no lock, progress told through a file."""
        state = self.__dict__.copy()
        state["_lock"] = None
        state["_progress"] = None
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._progress = Progress("file", directory=self.directory)

    def child(self, name: str) -> "Run":
        """A sub-run in `runs/<name>`, with a seed of its own; it can be sent to a worker process."""
        child = Run(
            self.directory / "runs" / name,
            seed=self.seed_for(name),
            null=self.null,
            device=self.device,
            model=self.model,
            workers=1,
            parent=True,
        )
        child._progress = self._progress
        with explained(child.directory):
            child.directory.mkdir(parents=True, exist_ok=True)
        return child

    # --- randomness --------------------------------------------------------------------------------------

    def seed_for(self, *names: object) -> int:
        """A seed in [0, 2^31) that depends on this run's seed and the names only."""
        text = json.dumps([self.seed, *map(str, names)])
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 1

    def generator(self, *names: object) -> "np.random.Generator":
        """A NumPy generator seeded by `seed_for(*names)`."""
        import numpy as np

        return np.random.default_rng(self.seed_for(*names))

    # --- work --------------------------------------------------------------------------------------------

    def stage(self, name: str, function: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Run `function` once and keep its result: a resumed run reads it back instead of calling again.

        Args:
            name: Unique in the run; the result lies in `artifacts/<name>.json` and `.safetensors`.
            function: Returns a dict of numbers, text, lists, dicts, NumPy arrays and tensors.

        Raises:
            DataError: A stored result is damaged.
        """
        stem = self.directory / "artifacts" / name
        if stages.stored(stem):
            return dict(stages.fetch(stem))
        result = dict(stages.store(stem, function()))
        self._tick()
        return result

    def log(self, step: int, **metrics: float) -> None:
        """Append the metrics of one step to `metrics.jsonl`."""
        append_line(self.directory / "metrics.jsonl", json.dumps(strict({"step": step, **metrics})))

    @property
    def metrics(self) -> list[dict[str, Any]]:
        """All lines of `metrics.jsonl`, oldest first."""
        return read_lines(self.directory / "metrics.jsonl")

    def rewind(self, step: int) -> None:
        """Drop logged metrics of steps after `step`: called by a trainer that resumes from a checkpoint there."""
        path = self.directory / "metrics.jsonl"
        if path.exists():
            kept = [json.dumps(row) for row in self.metrics if row["step"] <= step]
            write_atomic(path, "".join(line + "\n" for line in kept))

    def sample(self, **record: Any) -> None:
        """Append one record to `samples.jsonl`."""
        append_line(self.directory / "samples.jsonl", json.dumps(strict(record), ensure_ascii=False))

    def progress(self, label: str, total: int) -> AbstractContextManager[Task]:
        """A progress line for `total` units of work."""
        return self._progress.task(label, total)

    @contextmanager
    def watch(self, children: Sequence["Run"]) -> Iterator[None]:
        """Show the progress that sub-runs in worker processes report."""
        with self._progress.watch([child.directory for child in children]):
            yield

    def note(self, text: str) -> None:
        """One line for the person watching."""
        self._progress.note(text)

    # --- what the report shows ---------------------------------------------------------------------------

    def section(self, title: str, text: str = "") -> None:
        """Start a section of the report."""
        self._show({"kind": "section", "title": title, "text": text})

    def figure(self, name: str, figure: "Figure", caption: str, data: dict[str, Any] | None = None) -> None:
        """Keep a figure as `figures/<name>.svg`, with the data behind it as `figures/<name>.json`."""
        from windtunnel.laboratory.plots import to_svg

        write_atomic(self.directory / "figures" / f"{name}.svg", to_svg(figure, name))
        write_json(self.directory / "figures" / f"{name}.json", {"caption": caption, "data": data})
        self._show({"kind": "figure", "name": name, "caption": caption})

    def table(self, name: str, rows: Sequence[dict[str, Any]], caption: str) -> None:
        """Keep a table as `artifacts/<name>-table.json` and show it in the report."""
        write_json(self.directory / "artifacts" / f"{name}-table.json", {"caption": caption, "rows": list(rows)})
        self._show({"kind": "table", "name": name, "caption": caption, "rows": strict(list(rows))})

    def _show(self, item: dict[str, Any]) -> None:
        if self._is_child:
            raise RuntimeError("a sub-run keeps metrics and stages; show its results through the study's own run")
        self._contents.append(item)
        write_json(self.directory / "contents.json", self._contents)

    # --- claims ------------------------------------------------------------------------------------------

    def conclude(
        self,
        claim_id: str,
        value: float | Estimate | None = None,
        *,
        interval: tuple[float, float] | None = None,
        evidence: str | None = None,
        note: str = "",
    ) -> Finding:
        """Hold what was measured against a declared claim.

        Args:
            claim_id: One of the study's claims.
            value: A number, an `Estimate` (which brings its interval), or None for "not tested".
            interval: The interval of a plain number.
            evidence: Name of the figure that shows it.
            note: What a reader must know: how it was measured, or what testing it would need.

        Raises:
            UsageError: The study declares no such claim.
        """
        if isinstance(value, Estimate):
            interval, value = value.interval, value.value
        finding = settle(
            find_claim(self.claims, claim_id),
            None if value is None else float(value),
            interval,
            evidence=f"figures/{evidence}.svg" if evidence else None,
            note=note,
        )
        self._findings[claim_id] = finding
        return finding

    @property
    def ledger(self) -> list[Finding]:
        """One finding per declared claim, in the order of declaration."""
        return [
            self._findings.get(claim.id, settle(claim, note="This run did not measure it.")) for claim in self.claims
        ]

    @property
    def findings(self) -> dict[str, Any]:
        """The content of `findings.json`."""
        if self._finished is not None:
            return self._finished
        identity = self._identity
        return {
            "format": FORMAT,
            "study": identity.get("study"),
            "paper": identity.get("paper"),
            "preset": identity.get("preset"),
            "model": self.model,
            "seed": self.seed,
            "null": self.null,
            "seconds": round(self.seconds, 1),
            "claims": [strict(finding.as_dict()) for finding in self.ledger],
        }

    @property
    def seconds(self) -> float:
        """Wall-clock seconds spent on this run, over all its resumptions."""
        return self._seconds_before + time.monotonic() - self._started

    def _tick(self) -> None:
        """Note the time spent, so that a resumed run can add to it."""
        if not self._is_child and self._lock is not None:
            write_json(self.directory / "artifacts" / ".seconds.json", self.seconds)

    def finish(self) -> dict[str, Any]:
        """Write `report.html` and then `findings.json`, which marks the run as finished; returns the findings."""
        from windtunnel.laboratory.report import load, render

        findings = self.findings
        write_atomic(self.directory / "report.html", render([load(self.directory, findings)]))
        write_json(self.directory / "findings.json", findings)
        self._finished = findings
        return findings

    def report(self) -> Path:
        """Rebuild `report.html` from what is stored; returns its path."""
        from windtunnel.laboratory.report import write_report

        return write_report(self.directory)


def _seconds_spent(directory: Path) -> float:
    path = directory / "artifacts" / ".seconds.json"
    try:
        return float(read_json(path)) if path.exists() else 0.0
    except (DataError, TypeError, ValueError):
        return 0.0


def _difference(key: str, before: Any, identity: dict[str, Any]) -> str:
    """Words for the first difference between a stored run's identity and the one asked for."""
    if not isinstance(before, dict):
        return "config.json is not a run's"
    old, new = before.get(key), identity.get(key)
    if isinstance(old, dict) and isinstance(new, dict):
        for field in sorted(old.keys() | new.keys()):
            if old.get(field) != new.get(field):
                return f"{field} is {old.get(field)!r} and this asks for {new.get(field)!r}"
    return f"{key} is {old!r} and this asks for {new!r}"
