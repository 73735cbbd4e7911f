"""Five tasks of SuperGLUE (Wang et al., 2019), in the words of GPT-3 (Figures G.5 and G.29 to G.32)."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from windtunnel.evaluation.library.choices import choice_task
from windtunnel.evaluation.library.places import find, place, published, rows
from windtunnel.evaluation.prompting import Format
from windtunnel.evaluation.tasks import Sample, Task
from windtunnel.laboratory.errors import UsageError

SOURCE = "super.gluebenchmark.com/tasks (a folder BoolQ, CB, COPA, RTE, WiC each)"


@dataclass(frozen=True)
class Part:
    """One of the tasks.

    Attributes:
        folder: Where it lies as published.
        labels: A published label for each option, in the options' order.
        options: What a model is to say.
        words: The question put to it.
    """

    folder: str
    labels: tuple[Any, ...]
    options: tuple[str, ...]
    words: Callable[[dict[str, Any]], str]


PARTS = {
    "boolq": Part(
        "BoolQ", (False, True), ("no", "yes"), lambda row: f"{row['passage']}\nquestion: {row['question']}?\nanswer:"
    ),
    "cb": Part(
        "CB",
        ("entailment", "contradiction", "neutral"),
        ("true", "false", "neither"),
        lambda row: f"{row['premise']}\nquestion: {row['hypothesis']}. true, false, or neither?\nanswer:",
    ),
    "copa": Part(
        "COPA",
        (0, 1),
        (),
        lambda row: f"{row['premise'].strip().rstrip('.')} {'because' if row['question'] == 'cause' else 'so'}",
    ),
    "rte": Part(
        "RTE",
        ("entailment", "not_entailment"),
        ("True", "False"),
        lambda row: f"{row['premise']}\nquestion: {row['hypothesis']} True or False?\nanswer:",
    ),
    "wic": Part(
        "WiC",
        (False, True),
        ("no", "yes"),
        lambda row: (
            f"{row['sentence1']}\n{row['sentence2']}\n"
            f"question: Is the word '{row['word']}' used in the same way in the two sentences above?\nanswer:"
        ),
    ),
}
"""The tasks by name; options of COPA are its own two sentences."""


def superglue(
    directory: str | Path | None = None,
    *,
    part: str = "boolq",
    unconditional: str | None = None,
    format: Format | None = None,
    shots: int = 0,
    seed: int = 0,
    chat: bool = False,
) -> Task:
    """One task of SuperGLUE, its development split; test labels are not published.

    Args:
        directory: The folder of the data set.
        part: `boolq`, `cb`, `copa`, `rte` or `wic`.
        unconditional: As for `multiple_choice`, for instance `answer:`.
        format: Other words around the question.
        shots: Examples, from the training split if it is there.
        seed: Of the examples.
        chat: Use the chat template.

    Raises:
        UsageError: There is no such part.
    """
    asked = read(directory, part)
    there = any(place("superglue", SOURCE, directory).rglob(f"{PARTS[part].folder}/train.jsonl"))
    return choice_task(
        f"superglue/{part}",
        asked,
        read(directory, part, "train") if shots and there else [],
        unconditional=unconditional,
        format=format or Format("{input}"),
        shots=shots,
        seed=seed,
        chat=chat,
    )


def read(directory: str | Path | None = None, part: str = "boolq", split: str = "val") -> list[Sample]:
    """The samples of `val` or `train`; the cluster is the passage or premise.

    Raises:
        UsageError: The data set is not there, or there is no such part.
        DataError: It is not in the published format.
    """
    if part not in PARTS:
        raise UsageError(f"SuperGLUE has no part {part!r} here; its parts are {', '.join(PARTS)}.")
    task = PARTS[part]
    path = find(place("superglue", SOURCE, directory), f"{task.folder}/{split}.jsonl")
    with published(path):
        return [_sample(row, task, f"{part}-{split}-{row['idx']}") for row in rows(path)]


def _sample(row: dict[str, Any], task: Part, name: str) -> Sample:
    options = task.options or tuple(_continued(row[choice]) for choice in ("choice1", "choice2"))
    shared = row.get("passage", row.get("premise", name))
    return Sample(name, task.words(row), task.labels.index(row["label"]), options, cluster=shared)


def _continued(sentence: str) -> str:
    """A sentence as it goes on after `because`: the first letter is small, unless the first word is `I`."""
    stripped = sentence.strip()
    return stripped if stripped.split()[0] in ("I", "I'm", "I'd", "I've") else stripped[:1].lower() + stripped[1:]
