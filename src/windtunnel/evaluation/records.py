"""Rows of data: from JSON Lines, JSON, CSV and Parquet files, and from the Hugging Face hub."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from windtunnel.evaluation.library.places import rows, whole
from windtunnel.laboratory.errors import DataError, UsageError

Row = dict[str, Any]

HUB = "hf:"
"""Begins the name of a data set of the hub."""

SPLITS = ("test", "validation", "train")
"""Splits that are asked where none is named, the first that is there."""


def read_rows(path: str | Path) -> list[Row]:
    """The rows of a file, by its ending: `.jsonl` (also `.gz`), `.json` (a list), `.csv`, `.tsv` or `.parquet`.

    Raises:
        UsageError: The ending is another, or a package is missing.
        DataError: The file is missing, empty or of another kind.
    """
    path = Path(path)
    kind = path.name.removesuffix(".gz").rpartition(".")[2]
    if kind in ("jsonl", "csv", "tsv"):
        found = list(rows(path))
    elif kind == "json":
        found = _listed(whole(path), path)
    elif kind == "parquet":
        found = _parquet(path)
    else:
        raise UsageError(f"{path} is none of .jsonl, .json, .csv, .tsv and .parquet; convert it to one of these.")
    if not found:
        raise DataError(f"{path} has no rows; name another file.")
    return found


def hub_rows(name: str, config: str | None = None, split: str | None = None) -> list[Row]:
    """The rows of a split of a data set on the Hugging Face hub; data sets that run code of their own are refused.

    Args:
        name: As on the hub.
        config: Its configuration.
        split: By default the first of `SPLITS` that is there.

    Raises:
        UsageError: The package `datasets` is missing, or there is no such split.
        DataError: The data set cannot be had.
    """
    try:
        import datasets
    except ImportError as error:
        raise UsageError(
            f"The data set {name} is on the Hugging Face hub, which needs the package datasets: "
            "pip install 'windtunnel[data]'."
        ) from error
    try:
        found = datasets.load_dataset(name, config)
    except Exception as error:  # whatever that library raises: of the network, of names, of formats
        raise DataError(f"The data set {name} cannot be had from the hub ({error}); check its name.") from error
    chosen = split or next((each for each in SPLITS if each in found), None)
    if chosen not in found:
        raise UsageError(
            f"The data set {name} has no split {chosen or SPLITS[0]!r}; its splits are {', '.join(found)}."
        )
    return [dict(row) for row in found[chosen]]


def listed_or_mapped(files: Any, folder: Path) -> Mapping[str, list[Path]]:
    """Files by split from what `data_files` holds: one, several, or either by split; alone they are `train`.

    Raises:
        UsageError: It is something else.
    """
    by_split = files if isinstance(files, dict) else {"train": files}
    found = {}
    for split, names in by_split.items():
        each = [names] if isinstance(names, str) else names
        if not isinstance(each, list) or not each or not all(isinstance(name, str) for name in each):
            raise UsageError(f"data_files holds {names!r} for the split {split}; give a file's name or a list of them.")
        found[str(split)] = [folder / name for name in each]
    return found


def columns_of(table: Sequence[Row]) -> list[str]:
    """Names of columns, in the order of the first row."""
    return list(table[0])


def _listed(value: Any, path: Path) -> list[Row]:
    if isinstance(value, dict) and isinstance(value.get("data"), list):
        value = value["data"]
    if not isinstance(value, list) or not all(isinstance(row, dict) for row in value):
        raise DataError(f"{path} is no list of JSON objects; write one, or a line for each (.jsonl).")
    return value


def _parquet(path: Path) -> list[Row]:
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise UsageError(f"{path} needs the package pyarrow: pip install 'windtunnel[data]'.") from error
    try:
        found: list[Row] = pyarrow.parquet.read_table(path).to_pylist()
    except (OSError, pyarrow.ArrowException) as error:
        raise DataError(f"{path} cannot be read as Parquet ({error}); name another file.") from error
    return found
