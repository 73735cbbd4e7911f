"""Tables of finished runs: read from a file or a directory, columns guessed, what follows from others computed."""

import csv
import io
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from windtunnel.laboratory.errors import DataError, UsageError
from windtunnel.laboratory.files import read_json
from windtunnel.scaling.laws.interface import Floats, Law

NAMES: dict[str, tuple[str, ...]] = {
    "parameters": (
        *("parameters", "params", "n", "n_params", "num_params", "num_parameters", "model_size", "parameter_count"),
        *("non_embedding_parameters", "parameters_total", "total_parameters", "size"),
    ),
    "tokens": (
        *("tokens", "d", "training_tokens", "train_tokens", "n_tokens", "num_tokens", "tokens_seen", "dataset_size"),
        *("data_size", "data"),
    ),
    "loss": (*("loss", "test_loss", "val_loss", "validation_loss", "eval_loss", "final_loss", "cross_entropy", "l"),),
    "flops": ("flops", "flop", "training_flop", "training_flops", "train_flops", "total_flops", "compute", "c"),
    "steps": ("steps", "step", "training_steps", "num_steps", "s"),
    "batch": ("batch", "batch_tokens", "tokens_per_step", "batch_size_tokens", "b"),
    "unique_tokens": ("unique_tokens", "unique", "u"),
    "minimum_steps": ("minimum_steps", "s_min", "smin"),
    "minimum_flops": ("minimum_flops", "c_min", "cmin"),
    "learning_rate": ("learning_rate", "lr"),
    "pretraining_data": ("pretraining_data", "pretraining_tokens", "pretrain_tokens", "d_p"),
    "finetuning_data": ("finetuning_data", "finetuning_tokens", "finetune_tokens", "d_f"),
    "first": ("first", "first_loss", "loss_first"),
}
"""Names by which columns are known, the first of them first; case and punctuation do not matter."""

DERIVED: dict[str, tuple[tuple[tuple[str, ...], str, Callable[..., Floats]], ...]] = {
    "tokens": (
        (("steps", "batch"), "steps × batch", lambda steps, batch: steps * batch),
        (("flops", "parameters"), "flops / (6 × parameters)", lambda flops, parameters: flops / 6 / parameters),
    ),
    "parameters": ((("flops", "tokens"), "flops / (6 × tokens)", lambda flops, tokens: flops / 6 / tokens),),
    "flops": ((("parameters", "tokens"), "6 × parameters × tokens", lambda n, d: 6 * n * d),),
    "tokens_per_parameter": ((("tokens", "parameters"), "tokens / parameters", lambda d, n: d / n),),
}
"""What follows from other columns, the surest way first."""


@dataclass(frozen=True)
class Chosen:
    """The columns of a law.

    Attributes:
        columns: An array [rows] for each.
        sources: Where each comes from: a column's name, or a formula.
        rows: Places in the table of the rows that are complete.
        left_out: Rows in which a value is missing.
        clusters: The run of each row, if a column for it was named.
    """

    columns: dict[str, Floats]
    sources: dict[str, str]
    rows: list[int]
    left_out: int
    clusters: list[str] | None = None


@dataclass(frozen=True)
class Table:
    """Finished runs.

    Attributes:
        place: Where it was read.
        columns: Values as they are written, by the name of the column.
    """

    place: str
    columns: dict[str, list[Any]]
    _numbers: dict[str, Floats] = field(default_factory=dict, repr=False, compare=False)

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), []))

    def find(self, variable: str, mapping: Mapping[str, str]) -> str | None:
        """The column of a variable: as mapped, or by a name that it is known by.

        Raises:
            UsageError: The mapped column is not there.
        """
        if variable in mapping:
            if mapping[variable] not in self.columns:
                raise UsageError(
                    f"{self.place} has no column {mapping[variable]!r}; its columns are {', '.join(self.columns)}."
                )
            return mapping[variable]
        known = {_plain(name): name for name in reversed(self.columns)}
        return next((known[name] for name in NAMES.get(variable, (variable,)) if name in known), None)

    def numbers(self, column: str) -> Floats:
        """A column as numbers; NaN where nothing is written.

        Raises:
            DataError: A value is text.
        """
        if column not in self._numbers:
            self._numbers[column] = np.array(
                [self._number(value, row, column) for row, value in enumerate(self.columns[column], start=1)]
            )
        return self._numbers[column]

    def _number(self, value: Any, row: int, column: str) -> float:
        if value is None or (isinstance(value, str) and value.strip().lower() in ("", "na", "nan", "null", "none")):
            return float("nan")
        try:
            return float(value.replace("_", "") if isinstance(value, str) else value)
        except (TypeError, ValueError):
            raise DataError(
                f"Row {row} of column {column!r} in {self.place} holds {str(value)[:40]!r}, which is no number; mend "
                "it, or name another column."
            ) from None

    def choose(
        self, law: type[Law], mapping: Mapping[str, str] | None = None, *, clusters: str | None = None
    ) -> Chosen:
        """The columns of a law.

        Args:
            law: The law's class.
            mapping: Column of a variable, where it is not to be guessed.
            clusters: Column that says which run a row belongs to.

        Raises:
            UsageError: A column is not there and follows from no others.
            DataError: A value is no number, or no row is complete.
        """
        mapping = mapping or {}
        wanted = [variable.name for variable in (*law.variables, law.output)]
        usable = {*wanted, *NAMES, *DERIVED}
        for name in mapping:
            if name not in usable:
                raise UsageError(f"The law {law.name} knows no variable {name!r}; it takes {', '.join(wanted)}.")
        found: dict[str, tuple[Floats, str]] = {}
        for name in wanted:
            answer = self._variable(name, mapping)
            if answer is None:
                options = " ".join(f"--column {name}=COLUMN" for name in wanted)
                raise UsageError(
                    f"{self.place} has no column for {name}; its columns are {', '.join(self.columns)}: name them with "
                    f"{options}."
                )
            found[name] = answer
        if clusters is not None and clusters not in self.columns:
            raise UsageError(f"{self.place} has no column {clusters!r}; its columns are {', '.join(self.columns)}.")
        complete = np.all([np.isfinite(values) for values, _ in found.values()], axis=0)
        if not complete.any():
            raise DataError(f"No row of {self.place} has a number for each of {', '.join(wanted)}.")
        rows = np.flatnonzero(complete).tolist()
        return Chosen(
            {name: values[complete] for name, (values, _) in found.items()},
            {name: source for name, (_, source) in found.items()},
            rows,
            int((~complete).sum()),
            None if clusters is None else [str(self.columns[clusters][row]) for row in rows],
        )

    def _variable(self, name: str, mapping: Mapping[str, str], without: tuple[str, ...] = ()) -> Any:
        """A variable's values and where they come from: a column, or what follows from columns."""
        column = self.find(name, mapping)
        if column is not None:
            return self.numbers(column), column
        for needed, formula, function in DERIVED.get(name, ()):
            if set(needed) & {name, *without}:
                continue
            parts = [self._variable(part, mapping, (*without, name)) for part in needed]
            if all(part is not None for part in parts):
                with np.errstate(all="ignore"):
                    return function(*(values for values, _ in parts)), formula
        return None


def read_table(place: str | Path) -> Table:
    """Read finished runs from CSV, TSV, JSON lines, JSON, Parquet, or a directory of runs.

    A directory is one that `windtunnel ladder` wrote, or one that holds directories that `windtunnel train` wrote.

    Raises:
        DataError: There is no such file, or it is empty, binary, ragged, or no table.
        UsageError: It is Parquet and pyarrow is not installed.
    """
    path = Path(place)
    if path.is_dir():
        return _directory(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror or error}); give a table of finished runs.") from error
    if not data.strip():
        raise DataError(f"{path} is empty; give a table with a row for each finished run.")
    if data[:4] == b"PAR1":
        return _checked(str(path), _parquet(path))
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise DataError(f"{path} is binary and not a table; give CSV, TSV, JSON lines or Parquet.")
    if not text.strip():  # more counts as white space in text than in bytes
        raise DataError(f"{path} is empty; give a table with a row for each finished run.")
    if path.suffix in (".jsonl", ".ndjson", ".json") or text.lstrip()[0] in "{[":
        return _checked(str(path), _records(path, text))
    return _checked(str(path), _delimited(path, text))


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def _checked(place: str, columns: dict[str, list[Any]]) -> Table:
    table = Table(place, columns)
    if not columns or not len(table):
        raise DataError(f"{place} has no rows; give a table with a row for each finished run.")
    return table


def _delimited(path: Path, text: str) -> dict[str, list[Any]]:
    header = text.split("\n", 1)[0]
    delimiter = max("\t;,", key=header.count)
    try:
        rows = [row for row in csv.reader(io.StringIO(text), delimiter=delimiter) if any(cell.strip() for cell in row)]
    except csv.Error as error:
        raise DataError(f"{path} cannot be read as a table ({error}); give CSV, TSV, JSON lines or Parquet.") from error
    if not rows:  # as in a file of one quotation mark
        return {}
    names = [name.strip() for name in rows[0]]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise DataError(f"{path} has two columns named {twice!r}; rename one.")
    for number, row in enumerate(rows[1:], start=2):
        if len(row) != len(names):
            raise DataError(f"Line {number} of {path} has {len(row)} values for {len(names)} columns; mend it.")
    return {name: [row[place] for row in rows[1:]] for place, name in enumerate(names)}


def _records(path: Path, text: str) -> dict[str, list[Any]]:
    try:
        if path.suffix == ".json" or text.lstrip().startswith("["):
            records = json.loads(text)
        else:
            records = [json.loads(line) for line in text.splitlines() if line.strip()]
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is no JSON that can be read ({error}); give one object a run.") from error
    if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
        raise DataError(f"{path} holds no JSON objects, one a run; give those, or CSV.")
    return _by_column(records)


def _by_column(records: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    names = dict.fromkeys(name for record in records for name in record)
    return {name: [record.get(name) for record in records] for name in names}


def _parquet(path: Path) -> dict[str, list[Any]]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise UsageError(
            f"{path} is Parquet, which needs pyarrow: pip install 'windtunnel[data]', or give CSV."
        ) from error
    try:
        found: dict[str, list[Any]] = parquet.read_table(path).to_pydict()
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(f"{path} cannot be read as Parquet ({error}); write it again.") from error
    return found


def _directory(path: Path) -> Table:
    if (path / "ladder.csv").is_file():
        return read_table(path / "ladder.csv")
    records = [record for child in sorted(path.iterdir()) if (record := _finished(child)) is not None]
    if not records:
        raise DataError(
            f"{path} holds neither ladder.csv nor directories of finished runs of `windtunnel train`; give a table."
        )
    return Table(str(path), _by_column(records))


def _finished(run: Path) -> dict[str, Any] | None:
    """One row of a training that reached its last step, from what it left on disk."""
    from windtunnel.models.configuration import TransformerConfig
    from windtunnel.models.counting import count_parameters

    if not (run / "config.json").is_file():
        return None
    training = (read_json(run / "config.json").get("config") or {}).get("training") or {}
    steps = training.get("steps")
    measured = run / "artifacts" / "evaluations" / f"step-{steps or 0:08d}.json"
    shape = run / "checkpoints" / f"step-{steps or 0:08d}" / "config.json"
    if not (measured.is_file() and shape.is_file()):
        return None
    fields = {name: value for name, value in read_json(shape).items() if name in TransformerConfig.model_fields}
    config = TransformerConfig(**fields)
    count = count_parameters(config)
    batch = training["batch_size"] * training.get("accumulation", 1) * config.context
    return {
        "name": run.name,
        "parameters": count.non_embedding,
        "parameters_total": count.total,
        "tokens": steps * batch,
        "steps": steps,
        "batch": batch,
        "loss": read_json(measured).get("test_loss"),
    }
