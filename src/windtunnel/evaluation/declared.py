"""Tasks declared in YAML: the part of lm-evaluation-harness's language that is data and not code.

A file is read by a safe loader and its templates are rendered in a sandbox, so that other people's tasks can be tried.
A key that is not known, a value that is not supported and a `!function`, which names Python code, are refused with the
key's name, since a task that ignores part of its file gives numbers of another task.
"""

import ast
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml  # type: ignore[import-untyped]
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from windtunnel.evaluation.answers import accepted_answers, generate
from windtunnel.evaluation.cloze import cloze, cloze_scorer
from windtunnel.evaluation.multiple_choice import choice_scorer, multiple_choice
from windtunnel.evaluation.prompting import FewShot, Format, few_shot
from windtunnel.evaluation.records import Row, columns_of, hub_rows, listed_or_mapped, read_rows
from windtunnel.evaluation.tables import LONGEST_FACT
from windtunnel.evaluation.tasks import Mark, Models, Output, Sample, Scorer, Solver, Task
from windtunnel.evaluation.templates import check, render
from windtunnel.laboratory.errors import DataError, UsageError

LOCAL = ("json", "csv", "parquet")
"""Values of `dataset_path` that mean files."""

METRICS = {
    "multiple_choice": ("acc", "acc_norm"),
    "loglikelihood": ("acc",),
    "generate_until": ("exact_match",),
}
"""Metrics by output type, all of them the default."""

NAMES = {"acc": "accuracy", "acc_norm": "accuracy_by_characters", "exact_match": "exact_match"}
"""What a metric is called by the scorers here."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Metric(_Strict):
    """An entry of `metric_list`."""

    metric: Literal["acc", "acc_norm", "exact_match"]
    aggregation: Literal["mean"] = "mean"
    higher_is_better: Literal[True] = True
    ignore_case: bool = False
    ignore_punctuation: bool = False


class GenerationOptions(_Strict):
    """The value of `generation_kwargs`."""

    until: list[str] | str | None = None
    max_gen_toks: int = Field(256, ge=1)
    do_sample: bool = False
    temperature: float | int | None = None
    top_p: float | None = None


class Files(_Strict):
    """The value of `dataset_kwargs`."""

    data_files: str | list[str] | dict[str, str | list[str]]


class Facts(BaseModel):
    """The value of `metadata`, of which the version counts."""

    model_config = ConfigDict(extra="allow")
    version: str | float | int = 1


class Declaration(_Strict):
    """What a file may hold."""

    task: str
    dataset_path: str
    output_type: Literal["multiple_choice", "loglikelihood", "generate_until"]
    doc_to_text: str
    doc_to_target: str | int
    doc_to_choice: str | list[str] | None = None
    dataset_name: str | None = None
    dataset_kwargs: Files | None = None
    test_split: str | None = None
    validation_split: str | None = None
    training_split: str | None = None
    fewshot_split: str | None = None
    num_fewshot: int = Field(0, ge=0)
    fewshot_delimiter: str = "\n\n"
    target_delimiter: str = " "
    description: str = ""
    metric_list: list[Metric] | None = None
    generation_kwargs: GenerationOptions | None = None
    metadata: Facts = Facts()
    tag: str | list[str] | None = None


def read_yaml(path: str | Path, *, shots: int | None = None, seed: int = 0, chat: bool = False) -> Task:
    """A task from a YAML file.

    Its answers in words are compared without white space at their ends; its few-shot examples are drawn by this
    project's seed, so they are others than lm-evaluation-harness would draw.

    Args:
        path: The file; names of data files in it are relative to its folder.
        shots: Examples before each question; by default the file's `num_fewshot`.
        seed: Of the examples.
        chat: Use the chat template.

    Raises:
        UsageError: A key is unknown, a value is not supported, or a key holds code.
        DataError: The file or its data cannot be read, or a template does not fit a row.
    """
    path = Path(path)
    declared = parse(path)
    asked, pool = _splits(declared)
    documents = _Documents(declared, path.parent)
    samples = documents.samples(asked)
    count = declared.num_fewshot if shots is None else shots
    train = documents.samples(pool) if count and pool != asked else []
    examples = few_shot(train, count, test=samples, seed=seed)
    solver, scorer = _asked_and_scored(declared, examples, chat)
    metrics = _metrics(declared)
    version = str(declared.metadata.version)
    return Task(declared.task, samples, solver, Renamed(scorer, tuple(metrics), declared), metrics[0], version)


def parse(path: Path) -> Declaration:
    """The declaration in a file.

    Raises:
        UsageError: A key is unknown, a value is not supported, or a key holds code.
        DataError: The file cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8")
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        _refuse_tags(node, "", path)
        value = yaml.safe_load(text)
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        raise DataError(f"{path} cannot be read as YAML ({error}); mend it.") from error
    if not isinstance(value, dict):
        raise DataError(f"{path} holds no keys; write task, dataset_path, output_type and what goes with them.")
    try:
        declared = Declaration.model_validate(value)
    except ValidationError as error:
        raise UsageError(f"{path}: {_reason(error)}") from error
    _refuse_contradictions(declared, path)
    return declared


def _refuse_tags(node: Any, key: str, path: Path) -> None:
    """No `!function` and no other tag of anyone's own, wherever it stands."""
    if node is None:
        return
    if node.tag.startswith("!"):
        why = "which names Python code, and none is run" if node.tag == "!function" else "which is not known"
        raise UsageError(
            f"{path}: the key {key or 'at the top'} has the tag {node.tag}, {why}; write the task in Python instead."
        )
    if isinstance(node, yaml.MappingNode):
        for name, value in node.value:
            _refuse_tags(name, key, path)
            _refuse_tags(value, f"{key}.{name.value}" if key else str(name.value), path)
    if isinstance(node, yaml.SequenceNode):
        for number, value in enumerate(node.value):
            _refuse_tags(value, f"{key}[{number}]", path)


def _reason(error: ValidationError) -> str:
    first = error.errors()[0]
    kinds = ("str", "int", "float", "none")  # pydantic adds which kind of a union it tried
    parts = [str(part) for part in first["loc"] if part not in kinds and "[" not in str(part)]
    key = ".".join(parts)
    if first["type"] == "extra_forbidden":
        return (
            f"the key {key} is not in the part of the language that is read here, and leaving it out would change the "
            "task; write the task in Python instead."
        )
    if first["type"] == "missing":
        return f"the key {key} is missing; add it."
    return f"the key {key} holds {first['input']!r}, which is not supported ({first['msg']})."


def _refuse_contradictions(declared: Declaration, path: Path) -> None:
    known, listed = METRICS[declared.output_type], [each.metric for each in declared.metric_list or ()]
    for each in declared.metric_list or ():
        if each.metric not in known or listed.count(each.metric) > 1:
            why = "twice" if each.metric in known else f"which {declared.output_type} does not give"
            raise UsageError(f"{path}: the key metric_list has {each.metric}, {why}.")
        if each.metric != "exact_match" and (each.ignore_case or each.ignore_punctuation):
            raise UsageError(f"{path}: the keys ignore_case and ignore_punctuation go with exact_match.")
    options = declared.generation_kwargs
    if options is not None and not options.do_sample and (options.temperature or options.top_p not in (None, 1)):
        raise UsageError(f"{path}: the key generation_kwargs has a temperature or top_p without do_sample: true.")
    if declared.output_type == "multiple_choice" and declared.doc_to_choice is None:
        raise UsageError(f"{path}: the key doc_to_choice is missing; multiple_choice needs it.")
    if declared.output_type != "multiple_choice" and declared.doc_to_choice is not None:
        raise UsageError(f"{path}: the key doc_to_choice goes with multiple_choice, not with {declared.output_type}.")
    if declared.output_type != "generate_until" and declared.generation_kwargs is not None:
        raise UsageError(
            f"{path}: the key generation_kwargs goes with generate_until, not with {declared.output_type}."
        )
    if (declared.dataset_path in LOCAL) != (declared.dataset_kwargs is not None):
        raise UsageError(
            f"{path}: the key dataset_kwargs (with data_files) goes with a dataset_path of {', '.join(LOCAL)}, which "
            "need it."
        )
    for key in ("doc_to_text", "doc_to_target", "doc_to_choice", "description"):
        value = getattr(declared, key)
        if isinstance(value, str):
            check(value, key)


def _splits(declared: Declaration) -> tuple[str, str]:
    """The split that is asked and the one that examples are from."""
    asked = declared.test_split or declared.validation_split
    if asked is None:
        raise UsageError(f"The task {declared.task} names no split that is asked; add test_split or validation_split.")
    pool = declared.fewshot_split or declared.training_split or declared.validation_split or asked
    return asked, pool


def _metrics(declared: Declaration) -> list[str]:
    return [each.metric for each in declared.metric_list or ()] or list(METRICS[declared.output_type])


@dataclass(frozen=True)
class _Documents:
    """The rows behind a declaration."""

    declared: Declaration
    folder: Path

    def samples(self, split: str) -> list[Sample]:
        """A split's rows as samples."""
        table = self._rows(split)
        columns = columns_of(table)
        return [self._sample(row, columns, f"{split}-{number}") for number, row in enumerate(table)]

    def _rows(self, split: str) -> list[Row]:
        files = self.declared.dataset_kwargs
        if files is None:
            return hub_rows(self.declared.dataset_path, self.declared.dataset_name, split)
        by_split = listed_or_mapped(files.data_files, self.folder)
        if split not in by_split:
            raise UsageError(f"data_files has no split {split!r}; its splits are {', '.join(by_split)}.")
        return [row for path in by_split[split] for row in read_rows(path)]

    def _sample(self, row: Row, columns: Sequence[str], name: str) -> Sample:
        text = str(self._value("doc_to_text", row, columns))
        target: Any = self._value("doc_to_target", row, columns)
        choices = self._choices(row, columns)
        if choices:
            target = _index(target, choices, name)
        elif isinstance(target, list):
            target = tuple(map(str, target))
        else:
            target = str(target)
        facts = {key: value for key, value in row.items() if _is_fact(value)}
        return Sample(name, text, target, choices, facts)

    def _value(self, key: str, row: Row, columns: Sequence[str]) -> Any:
        """The value of a column, or of a template."""
        wanted = getattr(self.declared, key)
        if isinstance(wanted, int):
            return wanted
        if wanted in columns:
            return _field(row, wanted, key)
        text = render(wanted, row, key)
        return _literal(text) if key == "doc_to_target" and text.startswith("[") and text.endswith("]") else text

    def _choices(self, row: Row, columns: Sequence[str]) -> tuple[str, ...]:
        wanted = self.declared.doc_to_choice
        if wanted is None:
            return ()
        value: Any = wanted
        if isinstance(wanted, str):
            value = (
                _field(row, wanted, "doc_to_choice")
                if wanted in columns
                else _literal(render(wanted, row, "doc_to_choice"))
            )
        if not isinstance(value, list | tuple) or not value:
            raise DataError(f"doc_to_choice gives {str(value)[:60]!r} for a row, which is no list of options; mend it.")
        return tuple(map(str, value))


def _field(row: Row, column: str, key: str) -> Any:
    if row.get(column) is None:
        raise DataError(f"{key} names the column {column!r}, which a row lacks; its columns are {', '.join(row)}.")
    return row[column]


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text


def _index(target: Any, choices: tuple[str, ...], name: str) -> int:
    """The right option: its index, or its text."""
    if isinstance(target, str) and target in choices:
        return choices.index(target)
    try:
        found = int(target)
    except (TypeError, ValueError):
        found = -1
    if not 0 <= found < len(choices):
        raise DataError(f"doc_to_target gives {str(target)[:40]!r} for row {name}, none of its {len(choices)} options.")
    return found


def _is_fact(value: Any) -> bool:
    return isinstance(value, bool | int | float) or (isinstance(value, str) and len(value) <= LONGEST_FACT)


def _asked_and_scored(declared: Declaration, examples: FewShot | None, chat: bool) -> tuple[Solver, Scorer]:
    instruction = render(declared.description, {}, "description").replace("{", "{{").replace("}", "}}")
    words = Format(
        lead=declared.target_delimiter, separator=declared.fewshot_delimiter, instruction=instruction
    )  # fmt: skip
    if declared.output_type == "multiple_choice":
        return multiple_choice(words, shots=examples, chat=chat), choice_scorer()
    if declared.output_type == "loglikelihood":
        return cloze(words, shots=examples, chat=chat), cloze_scorer()
    options = declared.generation_kwargs or GenerationOptions()
    until = [declared.fewshot_delimiter] if options.until is None else options.until
    solver = generate(
        words,
        shots=examples,
        chat=chat,
        max_new_tokens=options.max_gen_toks,
        temperature=float(options.temperature or 1.0) if options.do_sample else 0.0,
        top_p=options.top_p if options.do_sample else None,
        stop=[until] if isinstance(until, str) else until,
    )
    chosen = declared.metric_list[0] if declared.metric_list else Metric(metric="exact_match")
    return solver, ExactMatch(chosen.ignore_case, chosen.ignore_punctuation)


@dataclass(frozen=True)
class ExactMatch:
    """Marks whether the whole answer is an accepted one, but for white space at its ends."""

    ignore_case: bool = False
    ignore_punctuation: bool = False

    def __call__(self, samples: Sequence[Sample], outputs: Sequence[Output], models: Models) -> list[Mark]:
        """One mark per output."""
        return [
            Mark({"exact_match": float(self._plain(output.text) in map(self._plain, accepted_answers(sample)))})
            for sample, output in zip(samples, outputs, strict=True)
        ]

    def describe(self) -> dict[str, Any]:
        """What identifies it."""
        case, punctuation = self.ignore_case, self.ignore_punctuation
        return {"scorer": "exact match", "ignore_case": case, "ignore_punctuation": punctuation}

    def _plain(self, text: str) -> str:
        if self.ignore_case:
            text = text.lower()
        if self.ignore_punctuation:
            text = text.translate(str.maketrans("", "", string.punctuation))
        return text.strip()


@dataclass(frozen=True)
class Renamed:
    """A scorer whose values are those asked for, by the names of lm-evaluation-harness; it records the whole file."""

    scorer: Scorer
    metrics: tuple[str, ...]
    declared: Declaration

    def __call__(self, samples: Sequence[Sample], outputs: Sequence[Output], models: Models) -> list[Mark]:
        """One mark per output."""
        return [self._renamed(mark) for mark in self.scorer(samples, outputs, models)]

    def describe(self) -> dict[str, Any]:
        """What identifies it."""
        whole = self.declared.model_dump(mode="json", exclude_none=True)
        return {**self.scorer.describe(), "metrics": list(self.metrics), "declared": whole}

    def _renamed(self, mark: Mark) -> Mark:
        values: Mapping[str, float] = {name: mark.values[NAMES[name]] for name in self.metrics}
        return Mark(values, mark.answer, mark.explanation, mark.error)
