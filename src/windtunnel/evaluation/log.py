"""The log of an evaluation: one header, and one line per finished sample, appended as it finishes.

A line is handed to the operating system before the next chunk is asked, so that a process that is killed loses only
what it was asking. A sample that failed and is asked again leaves two lines, of which the later one counts.
"""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from windtunnel.laboratory.errors import DataError, UsageError, WindtunnelError
from windtunnel.laboratory.files import explained, read_json, read_lines, strict, write_json

HEADER = "evaluation.json"
SAMPLES = "samples.jsonl"
FORMAT = 1

IDENTITY = ("task", "digest", "models", "seed", "epochs", "rescored")
"""The fields of a header that must agree for an evaluation to be continued."""

NAMES = ("name", "url", "weights", "chat_template")
"""Of each model, what must agree; its precision and device may differ."""

Key = tuple[str, int]
"""A sample's id and its epoch."""


class Log:
    """A directory with `evaluation.json` and `samples.jsonl`; or, without one, the same in memory only.

    Attributes:
        directory: Where it lies, or None.
        header: What was asked, of whom, and with what.
        records: Finished samples by id and epoch: `id`, `index`, `epoch`, `sample`, `output`, `mark`.
    """

    def __init__(self, directory: Path | None) -> None:
        self.directory = directory
        self.header: dict[str, Any] = {}
        self.records: dict[Key, dict[str, Any]] = {}
        self._part = False
        self._file: int | None = None
        self._lock: FileLock | None = None

    def open(self, header: Mapping[str, Any], resume: bool) -> None:
        """Take hold of the directory, write the header or check the one that is there, and read what is finished.

        Raises:
            UsageError: The directory holds another evaluation, or one and `resume` is False.
            WindtunnelError: Another process holds it, or it cannot be written.
        """
        self.header = strict(dict(header))
        if self.directory is None:
            return
        with explained(self.directory):
            self.directory.mkdir(parents=True, exist_ok=True)
            self._lock = FileLock(self.directory / ".lock", blocking=False)
            try:
                self._lock.acquire()
            except Timeout:
                raise WindtunnelError(
                    f"{self.directory} is in use by another windtunnel process; wait for it or choose another --out."
                ) from None
        if (self.directory / HEADER).exists():
            self._continue(resume)
        else:
            write_json(self.directory / HEADER, self.header)
        path = self.directory / SAMPLES
        with explained(path):
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def _continue(self, resume: bool) -> None:
        assert self.directory is not None
        if not resume:
            raise UsageError(f"{self.directory} already holds an evaluation; choose another --out, or let it resume.")
        before = read_header(self.directory)
        for key in IDENTITY:
            old, new = _identity(before, key), _identity(self.header, key)
            if old != new:
                raise UsageError(
                    f"{self.directory} holds another evaluation: its {_difference(key, old, new)}; choose another "
                    "--out, or repeat what it was started with."
                )
        cut_broken_line(self.directory / SAMPLES)
        self.records = read_records(self.directory)
        self._part = before["planned"] > self.header["planned"]
        if before["planned"] < self.header["planned"]:
            before = {**before, **{name: self.header[name] for name in ("planned", "limit", "command")}}
        kept = {name: value for name, value in before.items() if name != "finished"}
        self.header = kept | ({"planned": self.header["planned"], "limit": self.header["limit"]} if self._part else {})
        self.note()

    def append(self, records: Sequence[dict[str, Any]]) -> None:
        """Add finished samples.

        Raises:
            WindtunnelError: The disk is full, or the like.
        """
        for record in records:
            self.records[(record["id"], record["epoch"])] = record
        if self.directory is None or self._file is None:
            return
        lines = [json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n" for record in records]
        left = memoryview("".join(lines).encode("utf-8", errors="backslashreplace"))
        with explained(self.directory / SAMPLES):
            while left:
                left = left[os.write(self._file, left) :]

    def note(self, **facts: Any) -> None:
        """Add facts to the header; that of a larger evaluation, of which a part is asked for now, stays as it is."""
        self.header |= strict(facts)
        if self.directory is not None and not self._part:
            write_json(self.directory / HEADER, self.header)

    def close(self) -> None:
        """Bring what was written onto the disk and let go of the directory."""
        if self._file is not None:
            os.fsync(self._file)
            os.close(self._file)
            self._file = None
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def __enter__(self) -> "Log":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def read_header(directory: Path) -> dict[str, Any]:
    """The header of an evaluation.

    Raises:
        DataError: There is none, or it is of another version.
    """
    path = directory / HEADER
    if not path.exists():
        raise DataError(f"{directory} holds no evaluation (no {HEADER}); name a directory that `evaluate` wrote.")
    header = read_json(path)
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise DataError(f"{path} is not of format {FORMAT} of this version; run the evaluation again elsewhere.")
    return header


def read_records(directory: Path) -> dict[Key, dict[str, Any]]:
    """Finished samples by id and epoch, the later of two of the same.

    Raises:
        DataError: A line is damaged.
    """
    path = directory / SAMPLES
    try:
        return {(str(record["id"]), int(record["epoch"])): record for record in read_lines(path)}
    except (LookupError, TypeError, ValueError) as error:
        raise DataError(f"{path} holds a line that is no finished sample ({error!r}); remove that line.") from error


def cut_broken_line(path: Path) -> None:
    """Drop the end of a line that a crash cut short, so that the next one begins a line."""
    if not path.exists():
        return
    with explained(path):
        content = path.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            os.truncate(path, whole)


def identity_of(model: Mapping[str, Any]) -> dict[str, Any]:
    """Of what tells a model from others, that which must agree between the two halves of an evaluation."""
    return {name: model[name] for name in NAMES if model.get(name)}


def _identity(header: Mapping[str, Any], key: str) -> Any:
    """What must agree of a field."""
    value: Any = header.get(key)
    if key != "models":
        return value
    return {f"{name} of the {role}": each for role, model in value.items() for name, each in identity_of(model).items()}


def _difference(key: str, old: Any, new: Any) -> str:
    if isinstance(old, dict) and isinstance(new, dict):
        key = next(name for name in [*old, *new] if old.get(name) != new.get(name))
        old, new = old.get(key), new.get(key)
    shown = [f"{value[:12]}..." if isinstance(value, str) and len(value) == 64 else repr(value) for value in (old, new)]
    return f"{key} is {shown[0]} and this asks for {shown[1]}"
