"""Writing so that a crash at any moment leaves either the old file or the new one, never half of one."""

import json
import math
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from windtunnel.laboratory.errors import DataError, WindtunnelError


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn an operating-system error about `path` into one sentence that says what to do.

    Raises:
        WindtunnelError: In place of any `OSError` raised inside (full disk, no permission, ...).
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise WindtunnelError(
            f"Cannot write {path}: {reason}; free space or permission there (or choose another --out) and "
            "run again with --resume, since everything finished so far is kept."
        ) from error


def write_atomic(path: Path, content: str | bytes) -> None:
    """Write a whole file in one step that a crash cannot split: temporary file, flush to disk, rename."""
    data = content.encode() if isinstance(content, str) else content
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(temporary, 0o644)
            os.replace(temporary, path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise


def strict(value: Any) -> Any:
    """A copy of a JSON value in which numbers JSON cannot hold (NaN, infinities) are null."""
    if isinstance(value, dict):
        return {str(key): strict(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [strict(item) for item in value]
    if hasattr(value, "tolist"):  # NumPy scalars and arrays
        return strict(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def write_json(path: Path, value: Any) -> None:
    """Write a value as strict JSON, atomically."""
    write_atomic(path, json.dumps(strict(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        DataError: The file is missing, unreadable or not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist; name a directory that a run wrote.") from error
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path} cannot be read as JSON ({error}); delete it and run again with --resume.") from error


def append_line(path: Path, line: str) -> None:
    """Append one line to a log; a line that a crash cut short before is dropped first."""
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a+b") as file:
            if file.tell() > 0:
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":
                    _drop_broken_tail(file)
            file.write(line.encode() + b"\n")


def _drop_broken_tail(file: BinaryIO) -> None:
    file.seek(0)
    file.truncate(file.read().rfind(b"\n") + 1)


def read_lines(path: Path) -> list[Any]:
    """The JSON values of a `.jsonl` log, oldest first, without a tail that a crash cut short.

    Raises:
        DataError: A line before the last is broken.
    """
    if not path.exists():
        return []
    lines = path.read_bytes().split(b"\n")
    values = []
    for number, line in enumerate(lines[:-1], start=1):
        try:
            values.append(json.loads(line))
        except ValueError as error:
            raise DataError(f"{path} line {number} is not JSON; remove that line and try again.") from error
    return values
