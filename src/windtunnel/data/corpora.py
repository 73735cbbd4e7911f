"""Documents of text, one after another, from local files or from a data set of the Hugging Face hub.

Nothing is read before it is asked for and little is held at once, so a corpus may be larger than memory. Whatever is
wrong with a file ends in one `DataError` that names the file, the line and the mend.
"""

import gzip
import importlib.util
import json
import re
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

from windtunnel.data.offline import Language, Split, offline
from windtunnel.laboratory.errors import DataError, UsageError

TEXT = (".txt", ".md", ".py")
LINES = (".jsonl", ".ndjson")
TABLES = (".parquet",)
SUFFIXES = (*TEXT, *LINES, *TABLES, *(f"{suffix}.gz" for suffix in (*TEXT, *LINES)))
"""File names that are read; a directory's other files are passed over."""

OFFLINE: dict[str, Language] = {"offline-english": "english", "offline-python": "python", "offline-code": "code"}
"""Names of the offline corpora."""

LONGEST = 16 * 2**20
"""Bytes after which a text file's document ends at the next line break and another begins."""

_HUB_NAME = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)?")
_HUB_PATIENCE = 10.0  # seconds


def documents(corpus: str | Path, *, field: str = "text", split: str = "train") -> Iterator[str]:
    """The documents of a corpus in a fixed order; empty ones are left out.

    Args:
        corpus: A file (`.txt`, `.md`, `.py`: one document; `.jsonl`, `.ndjson`: one per line; those gzipped;
            `.parquet`: one per row), a directory of such files, read in the order of their paths; `offline-english`,
            `offline-python` or `offline-code` (see `data.offline`); or the name of a data set on the Hugging Face hub,
            as in `owner/name`.
        field: Which field or column of `.jsonl`, `.parquet` and hub data sets holds the text.
        split: Which split of an offline corpus or a hub data set.

    Raises:
        UsageError: The corpus is neither there nor the name of a data set, or its kind is not read.
        DataError: A file is not what its name says, has no such field, or there is no text at all; or the hub cannot
            be reached. Raised while iterating.
    """
    path = Path(corpus)
    if path.exists():
        found = _files(path)
        return _never_empty((text for file in found for text in _read(file, field)), str(path))
    name = str(corpus)
    if name in OFFLINE:
        return offline(OFFLINE[name], cast(Split, split))
    if not _HUB_NAME.fullmatch(name) or path.suffix in (*SUFFIXES, ".gz"):
        raise UsageError(f"{name} is no file or directory here; check the path.")
    return _never_empty(_hub(name, field, split), name)


def _never_empty(texts: Iterator[str], name: str) -> Iterator[str]:
    empty = True
    for text in texts:
        if text.strip():
            empty = False
            yield text
    if empty:
        raise DataError(f"{name} holds no text; name a corpus with at least one document that is not empty.")


def _files(path: Path) -> list[Path]:
    if path.is_file():
        if not path.name.lower().endswith(SUFFIXES):
            raise UsageError(f"{path} is not a kind of file that is read; rename or convert it to {_listed()}.")
        return [path]
    inside = sorted(path.rglob("*"), key=lambda file: file.relative_to(path).as_posix())
    found = [
        file
        for file in inside
        if file.name.lower().endswith(SUFFIXES)
        and not any(part.startswith(".") for part in file.relative_to(path).parts)
        and file.is_file()
    ]
    if not found:
        raise DataError(f"{path} has no files that are read; put {_listed()} files there.")
    return found


def _listed() -> str:
    return ", ".join(SUFFIXES[:-1]) + f" or {SUFFIXES[-1]}"


def _read(path: Path, field: str) -> Iterator[str]:
    name = path.name.lower()
    try:
        if name.endswith(TABLES):
            yield from _table(path, field)
            return
        with gzip.open(path, "rb") if name.endswith(".gz") else path.open("rb") as file:
            reader = _lines if name.removesuffix(".gz").endswith(LINES) else _text
            yield from reader(cast(BinaryIO, file), path, field)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path} is not a whole gzip file ({error}); fetch or compress it again.") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}; check it and its permissions.") from error


def _text(file: BinaryIO, path: Path, field: str) -> Iterator[str]:
    line = 1
    while chunk := file.read(LONGEST):
        chunk += file.readline()
        yield _decode(chunk, path, line)
        line += chunk.count(b"\n")


def _lines(file: BinaryIO, path: Path, field: str) -> Iterator[str]:
    for number, raw in enumerate(file, start=1):
        line = _decode(raw, path, number)
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{path} line {number} is not JSON ({error}); correct or remove that line.") from error
        if not isinstance(row, dict):
            raise DataError(
                f'{path} line {number} is not an object; write lines like {{"{field}": "..."}} or rename the file .txt.'
            )
        yield _value(row, field, f"{path} line {number}")


def _table(path: Path, field: str) -> Iterator[str]:
    _require("pyarrow", f"Reading {path}")
    import pyarrow
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path) as table:
            names = table.schema_arrow.names
            if field not in names:
                raise DataError(_no_field(str(path), field, names))
            row = 0
            for batch in table.iter_batches(batch_size=256, columns=[field]):
                for text in batch.column(0).to_pylist():
                    row += 1
                    yield _value({field: text}, field, f"{path} row {row}")
    except (pyarrow.ArrowException, ValueError, OSError) as error:
        raise DataError(f"{path} is not whole parquet ({_first_line(error)}); fetch or write it again.") from error


def _hub(name: str, field: str, split: str) -> Iterator[str]:
    _require("datasets", f"{name} is no file or directory here, and reading it as a data set of the Hugging Face hub")
    from huggingface_hub import constants

    offline = constants.HF_HUB_OFFLINE  # then only what was downloaded before is read
    if not offline:
        _ask_hub(name)
    import datasets

    rows = _explained(lambda: datasets.load_dataset(name, split=split, streaming=not offline), name)
    iterator = iter(rows)
    number = 0
    while (row := _explained(lambda: next(iterator, None), name)) is not None:
        number += 1
        yield _value(row, field, f"{name} row {number}")


def _ask_hub(name: str) -> None:
    """One request with a time limit, since the reading that follows would try again and again."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    try:
        HfApi().dataset_info(name, timeout=_HUB_PATIENCE)
    except HfHubHTTPError as error:
        raise DataError(
            f"{name} is neither a file here nor a data set that the Hugging Face hub shows ({_first_line(error)}); "
            "check the name, or log in if it is gated."
        ) from error
    except Exception as error:  # the kinds of failing connections are those of its HTTP client
        raise DataError(
            f"{name} is no file or directory here, and the Hugging Face hub cannot be reached ({_first_line(error)}); "
            "name local files instead, or try again with a network."
        ) from error


def _explained(act: Callable[[], Any], name: str) -> Any:
    try:
        return act()
    except Exception as error:  # the library passes on the kinds of all its file systems and formats
        raise DataError(
            f"{name} cannot be read from the Hugging Face hub ({_first_line(error)}); check the name and the split, "
            "or download it and name the local files."
        ) from error


def _require(module: str, purpose: str) -> None:
    if importlib.util.find_spec(module) is None:
        raise UsageError(f"{purpose} needs the package {module}; install it with pip install 'windtunnel[data]'.")


def _value(row: dict[str, Any], field: str, place: str) -> str:
    if field not in row:
        raise DataError(_no_field(place, field, row))
    text = row[field]
    if not isinstance(text, str):
        raise DataError(f"{place} has {type(text).__name__} in field {field!r}, not text; choose another field.")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise DataError(f"{place} holds half of a surrogate pair; correct or remove that line.") from error
    return text


def _no_field(place: str, field: str, names: Any) -> str:
    shown = ", ".join(repr(name) for name in list(names)[:12]) or "none"
    return f"{place} has no field {field!r}; choose one of its fields ({shown})."


def _decode(raw: bytes, path: Path, line: int) -> str:
    if (place := raw.find(b"\0")) >= 0:
        at = line + raw.count(b"\n", 0, place)
        raise DataError(f"{path} line {at} holds a zero byte, so it is binary; name a text file.")
    try:
        return raw.decode("utf-8-sig" if line == 1 else "utf-8")
    except UnicodeDecodeError as error:
        at = line + raw.count(b"\n", 0, error.start)
        raise DataError(f"{path} line {at} is not UTF-8 text; convert the file to UTF-8.") from error


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
