"""PIQA: which of two ways reaches a goal (Bisk et al., 2020; arXiv:1911.11641)."""

from pathlib import Path

from windtunnel.evaluation.library.choices import choice_task
from windtunnel.evaluation.library.places import find, place, published, rows, training
from windtunnel.evaluation.prompting import Format
from windtunnel.evaluation.tasks import Sample, Task
from windtunnel.laboratory.errors import DataError

SOURCE = "yonatanbisk.com/piqa (valid.jsonl and valid-labels.lst)"


def piqa(
    directory: str | Path | None = None,
    *,
    letters: bool = False,
    unconditional: str | None = None,
    format: Format | None = None,
    shots: int = 0,
    seed: int = 0,
    chat: bool = False,
) -> Task:
    """PIQA's validation split; its test labels are not published.

    Args:
        directory: The folder of the data set.
        letters: Compare letters of options rather than their text.
        unconditional: As for `multiple_choice`, for instance `Answer:`.
        format: Other words.
        shots: Examples, from the training split if it is there.
        seed: Of the examples.
        chat: Use the chat template.
    """
    asked, train = read(directory), training(lambda: read(directory, "train"), shots)
    return choice_task(
        "piqa",
        asked,
        train,
        letters=letters,
        unconditional=unconditional,
        format=format,
        shots=shots,
        seed=seed,
        chat=chat,
    )


def read(directory: str | Path | None = None, split: str = "valid") -> list[Sample]:
    """The samples of `valid` or `train`: the goal is asked, the two ways are its choices.

    Raises:
        UsageError: The data set is not there.
        DataError: It is not in the published format.
    """
    folder = place("piqa", SOURCE, directory)
    path, labels = find(folder, f"{split}.jsonl"), find(folder, f"{split}-labels.lst")
    with published(path):
        right = [int(line) for line in labels.read_text().split()]
        items = list(rows(path))
        if len(right) != len(items):
            raise DataError(f"{labels} has {len(right)} labels for {len(items)} questions; get the data set again.")
        return [
            Sample(f"{split}-{number}", row["goal"], label, (row["sol1"], row["sol2"]))
            for number, (row, label) in enumerate(zip(items, right, strict=True))
        ]
