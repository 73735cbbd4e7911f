"""Where published data sets lie: in a folder of their own under the directory that `WINDTUNNEL_DATA` names."""

import csv
import gzip
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from windtunnel.evaluation.tasks import Sample
from windtunnel.laboratory.errors import DataError, UsageError

VARIABLE = "WINDTUNNEL_DATA"
"""Environment variable that names the directory of all data sets."""


class Absent(DataError):
    """A data set's folder holds no file of the names it is published under."""


def place(name: str, source: str, directory: str | Path | None = None) -> Path:
    """The folder of a data set.

    Args:
        name: Its folder under the directory that `WINDTUNNEL_DATA` names.
        source: Where it is published, for who lacks it.
        directory: The data set's own folder, wherever it is.

    Raises:
        UsageError: It is not there.
    """
    root = os.environ.get(VARIABLE)
    if directory is None and not root:
        raise UsageError(
            f"The data set {name} is not here: get it from {source}, and name its folder (directory) or set {VARIABLE} "
            f"to the directory that holds a folder {name}."
        )
    folder = Path(directory) if directory is not None else Path(str(root), name)
    if not folder.is_dir():
        raise UsageError(f"{folder} is not there: get {name} from {source}, and put it there or name its folder.")
    return folder


def find(folder: Path, *names: str) -> Path:
    """The first file of these names, anywhere under a folder.

    Raises:
        Absent: There is none.
    """
    for name in names:
        found = sorted(folder.rglob(name))
        if found:
            return found[0]
    raise Absent(f"{folder} has no file {' or '.join(names)}; get the data set again, as it was published.")


def training(read: Callable[[], list[Sample]], shots: int) -> list[Sample]:
    """What examples are drawn from: the split that `read` reads, if examples are wanted and it is there."""
    try:
        return read() if shots else []
    except Absent:
        return []


def rows(path: Path) -> Iterator[dict[str, Any]]:
    """The objects of a `.jsonl` file, gzipped or not, or the rows of a `.csv` or `.tsv` file.

    Raises:
        DataError: The file is missing, cut short, or a line is no JSON object.
    """
    try:
        with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8-sig", newline="") as file:
            if path.suffix in (".csv", ".tsv"):
                table = csv.DictReader(file, delimiter="\t" if path.suffix == ".tsv" else ",")
                for row in table:
                    if None in row:
                        raise DataError(f"{path} line {table.line_num} has more fields than the header; mend it.")
                    yield row
                return
            for number, line in enumerate(file, start=1):
                if line.strip():
                    row = json.loads(line)
                    if not isinstance(row, dict):
                        raise DataError(f"{path} line {number} is no JSON object; the file is of another kind.")
                    yield row
    except (OSError, EOFError, ValueError, csv.Error) as error:
        raise DataError(f"{path} cannot be read ({error}); get the data set again.") from error


def whole(path: Path) -> Any:
    """The value of a `.json` file.

    Raises:
        DataError: It is missing or no JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read ({error}); get the data set again.") from error


@contextmanager
def published(path: Path) -> Iterator[None]:
    """Turn a row that is not as published into one sentence.

    Raises:
        DataError: In place of what a missing field or a value of another kind raises inside.
    """
    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"{path} is not in the published format ({error!r}); get the data set again.") from error
