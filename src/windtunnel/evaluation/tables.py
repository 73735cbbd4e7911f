"""Tasks from tables: a file of questions, or a data set of the hub, with columns that are guessed or named."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from windtunnel.evaluation.answers import Accepted, generate, match
from windtunnel.evaluation.multiple_choice import choice_scorer, multiple_choice
from windtunnel.evaluation.prompting import LETTERS, QUESTION, Format, few_shot
from windtunnel.evaluation.records import HUB, Row, columns_of, hub_rows, read_rows
from windtunnel.evaluation.tasks import Sample, Task
from windtunnel.laboratory.errors import DataError, UsageError

QUESTIONS = ("question", "input", "prompt", "query", "problem", "goal", "instruction", "text")
"""Names of the column of questions, in the order in which they are looked for."""

ANSWERS = ("answer", "target", "label", "answers", "gold", "answerkey", "correct", "output", "completion", "solution")
"""Names of the column of answers."""

CHOICES = ("choices", "options", "endings", "candidates")
"""Names of the column of options, a list; else they may stand in columns of their own, see `SPREAD`."""

SPREAD: tuple[tuple[str, ...], ...] = (
    ("a", "b", "c", "d", "e"),
    ("choice_a", "choice_b", "choice_c", "choice_d", "choice_e"),
    ("option_a", "option_b", "option_c", "option_d", "option_e"),
    ("choice1", "choice2", "choice3", "choice4"),
    ("ans0", "ans1", "ans2", "ans3"),
    ("sol1", "sol2"),
)
"""Names of columns that hold one option each."""

CONTEXTS = ("context", "passage", "article")
"""Names of a column of text that stands before the question."""

IDS = ("id", "task_id", "question_id", "example_id", "idx")
"""Names of the column of names."""

LONGEST_FACT = 200
"""Characters of a value above which it is not kept as metadata."""


def read_table(
    name: str | Path,
    *,
    question: str | None = None,
    answer: str | None = None,
    choices: str | None = None,
    cluster: str | None = None,
    config: str | None = None,
    split: str | None = None,
    format: Format | None = None,
    letters: bool = False,
    accept: Accepted = "normalised",
    max_new_tokens: int = 64,
    shots: int = 0,
    seed: int = 0,
    chat: bool = False,
) -> Task:
    """A task from a table: multiple choice if it has options, else answers in words.

    Args:
        name: A file `.jsonl`, `.json`, `.csv`, `.tsv` or `.parquet`, or `hf:NAME` for the hub.
        question: Column of the question; by default one of `QUESTIONS`, after one of `CONTEXTS` if there is one.
        answer: Column of the answer; by default one of `ANSWERS`. With options it holds an index from 0, a letter or
            the option itself, else a text or several.
        choices: Column of the options.
        cluster: Column of what samples share; by default `cluster`, if there.
        config: Of a data set on the hub: its configuration.
        split: Of a data set on the hub: which split is asked.
        format: Other words.
        letters: Compare letters of options rather than their text.
        accept: How answers in words are compared; see `answers.match`.
        max_new_tokens: Most tokens of an answer in words.
        shots: Examples from the same table.
        seed: Of the examples.
        chat: Use the chat template.

    Raises:
        UsageError: A column is not there and cannot be guessed, or a package is missing.
        DataError: The file cannot be read, or an answer is none of the options.
    """
    place = str(name)
    table = hub_rows(place.removeprefix(HUB), config, split) if place.startswith(HUB) else read_rows(place)
    columns = _Columns(columns_of(table), place, question, answer, choices, cluster)
    samples = [columns.sample(row, number) for number, row in enumerate(table, start=1)]
    examples = few_shot((), shots, test=samples, seed=seed)
    title = place.removeprefix(HUB) if place.startswith(HUB) else Path(place).name.partition(".")[0]
    if columns.options:
        words = format if format is not None else None if letters else QUESTION
        solver = multiple_choice(words, letters=letters, shots=examples, chat=chat)
        return Task(title, samples, solver, choice_scorer())
    if letters:
        raise UsageError(f"{place} has no options, so there are no letters to compare.")
    writer = generate(format or QUESTION, shots=examples, chat=chat, max_new_tokens=max_new_tokens)
    return Task(title, samples, writer, match(accept))


class _Columns:
    """Which columns of a table are what."""

    def __init__(
        self,
        names: Sequence[str],
        place: str,
        question: str | None,
        answer: str | None,
        choices: str | None,
        cluster: str | None,
    ) -> None:
        self.names, self.place = list(names), place
        self.question = self._named(question) or self._guessed("question", QUESTIONS)
        self.answer = self._named(answer) or self._guessed("answer", ANSWERS)
        self.options = self._options(choices)
        self.cluster = self._named(cluster) or self._first(["cluster"])
        self.context = None if question else self._first(CONTEXTS)
        self.id = self._first(IDS)

    def sample(self, row: Row, number: int) -> Sample:
        """A row as a sample."""
        for name in (self.question, self.answer, *self.options[:1]):
            if row.get(name) in (None, ""):
                raise DataError(
                    f"Row {number} of {self.place} has nothing in the column {name!r}; mend it or leave it out."
                )
        asked = str(row[self.question])
        if self.context is not None and row.get(self.context):
            asked = f"{row[self.context]}\n{asked}"
        choices, labels = self._choices(row)
        target = self._index(row, choices, labels, number) if choices else _texts(row[self.answer])
        cluster = row.get(self.cluster) if self.cluster else None
        return Sample(
            id=str(row[self.id]) if self.id else str(number),
            input=asked,
            target=target,
            choices=choices,
            metadata=self._facts(row),
            cluster=None if cluster is None else str(cluster),
        )

    def _named(self, name: str | None) -> str | None:
        if name is not None and name not in self.names:
            raise UsageError(f"{self.place} has no column {name!r}; its columns are {', '.join(self.names)}.")
        return name

    def _first(self, wanted: Sequence[str]) -> str | None:
        plain = {name.lower().replace(" ", "_"): name for name in reversed(self.names)}
        return next((plain[name] for name in wanted if name in plain), None)

    def _guessed(self, what: str, wanted: Sequence[str]) -> str:
        found = self._first(wanted)
        if found is None:
            raise UsageError(
                f"{self.place} has no column that is plainly the {what}; name it ({what}=COLUMN), one of "
                f"{', '.join(self.names)}."
            )
        return found

    def _options(self, choices: str | None) -> list[str]:
        """The column of options, or those that hold one each."""
        listed = self._named(choices) or self._first(CHOICES)
        if listed is not None:
            return [listed]
        for names in SPREAD:
            found = [name for name in (self._first([each]) for each in names) if name is not None]
            if len(found) >= 2 and self._first([names[0]]) is not None:
                return found
        return []

    def _choices(self, row: Row) -> tuple[tuple[str, ...], list[str]]:
        """Options and their labels."""
        if len(self.options) != 1:
            given = [row.get(name) for name in self.options]
            kept = [str(each) for each in given if each not in (None, "")]
            return tuple(kept), list(LETTERS[: len(kept)])
        value = row[self.options[0]]
        if isinstance(value, str):
            try:
                value = json.loads(value)
            except ValueError as error:
                raise DataError(f"{self.place} has options that are no list: {value[:60]!r}.") from error
        if isinstance(value, dict) and "text" in value:
            return tuple(map(str, value["text"])), [str(each) for each in value.get("label", LETTERS)]
        return tuple(map(str, value)), list(LETTERS[: len(value)])

    def _index(self, row: Row, choices: tuple[str, ...], labels: list[str], number: int) -> int:
        """The right option: by its text, its label, or its index from 0."""
        value = row[self.answer]
        text = str(value).strip()
        if isinstance(value, int) and not isinstance(value, bool):
            found = value
        elif text in choices:
            found = choices.index(text)
        elif text.strip("()").upper() in labels:
            found = labels.index(text.strip("()").upper())
        elif text.isdigit():
            found = int(text)
        else:
            found = -1
        if not 0 <= found < len(choices):
            raise DataError(
                f"Row {number} of {self.place} has the answer {text[:40]!r}, which is none of its {len(choices)} "
                "options, no letter and no index from 0; mend it, or name the column (answer=COLUMN)."
            )
        return found

    def _facts(self, row: Row) -> dict[str, Any]:
        """Short values of all other columns."""
        used = {self.question, self.answer, self.context, self.cluster, self.id, *self.options}
        return {
            name: value
            for name, value in row.items()
            if name not in used and (isinstance(value, bool | int | float) or (_is_short(value)))
        }


def _is_short(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= LONGEST_FACT


def _texts(value: Any) -> str | tuple[str, ...]:
    """An accepted answer, or several."""
    if isinstance(value, dict) and "text" in value:
        value = value["text"]
    return tuple(map(str, value)) if isinstance(value, list | tuple) else str(value)
