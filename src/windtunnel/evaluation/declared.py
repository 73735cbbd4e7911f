"""Tasks declared in YAML: a `declaration` and its rows as samples, solver and scorer.

Templates are rendered in a sandbox, so that other people's tasks can be tried; see `declaration` for what is read.
"""

import ast
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from windtunnel.evaluation.answers import accepted_answers, generate
from windtunnel.evaluation.cloze import cloze, cloze_scorer
from windtunnel.evaluation.declaration import METRICS, Declaration, GenerationOptions, Metric, parse
from windtunnel.evaluation.multiple_choice import choice_scorer, multiple_choice
from windtunnel.evaluation.prompting import FewShot, Format, few_shot
from windtunnel.evaluation.records import Row, columns_of, hub_rows, listed_or_mapped, read_rows
from windtunnel.evaluation.tables import LONGEST_FACT
from windtunnel.evaluation.tasks import Mark, Models, Output, Sample, Scorer, Solver, Task
from windtunnel.evaluation.templates import render
from windtunnel.laboratory.errors import DataError, UsageError

NAMES = {"acc": "accuracy", "acc_norm": "accuracy_by_characters", "exact_match": "exact_match"}
"""What a metric is called by the scorers here."""

QUERY = "decontamination_query"
"""Metadata that holds what a contamination analysis looks for, where the file says so."""


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
    drawn = declared.fewshot_config.sampler == "default"
    examples = few_shot(train, count, test=samples, seed=seed, shuffle=drawn)
    solver, scorer = _asked_and_scored(declared, examples, chat)
    metrics = _metrics(declared)
    version = str(declared.metadata.version)
    return Task(declared.task, samples, solver, Renamed(scorer, tuple(metrics), declared), metrics[0], version)


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
        if self.declared.should_decontaminate:
            facts[QUERY] = str(self._value("doc_to_decontamination_query", row, columns))
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
