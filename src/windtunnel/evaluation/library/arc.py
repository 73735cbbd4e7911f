"""Questions of school science: ARC (Clark et al., 2018; arXiv:1803.05457) and OpenBookQA (Mihaylov et al., 2018)."""

from pathlib import Path
from typing import Any

from windtunnel.evaluation.library.choices import choice_task
from windtunnel.evaluation.library.places import find, place, published, rows
from windtunnel.evaluation.prompting import Format
from windtunnel.evaluation.tasks import Sample, Task

SOURCE = "allenai.org/data/arc (ARC-Easy-Test.jsonl, ARC-Challenge-Test.jsonl)"
OPENBOOK_SOURCE = "allenai.org/data/open-book-qa (openbookqa.jsonl or test.jsonl)"


def arc_easy(
    directory: str | Path | None = None,
    *,
    letters: bool = False,
    unconditional: str | None = None,
    format: Format | None = None,
    shots: int = 0,
    seed: int = 0,
    chat: bool = False,
) -> Task:
    """The test split of ARC's easy questions.

    Args:
        directory: The folder of the data set.
        letters: Compare letters of options rather than their text.
        unconditional: As for `multiple_choice`, for instance `Answer:`.
        format: Other words.
        shots: Examples, from the training split if it is there.
        seed: Of the examples.
        chat: Use the chat template.
    """
    asked, train = _splits("ARC-Easy", directory, shots)
    return choice_task(
        "arc-easy",
        asked,
        train,
        letters=letters,
        unconditional=unconditional,
        format=format,
        shots=shots,
        seed=seed,
        chat=chat,
    )


def arc_challenge(
    directory: str | Path | None = None,
    *,
    letters: bool = False,
    unconditional: str | None = None,
    format: Format | None = None,
    shots: int = 0,
    seed: int = 0,
    chat: bool = False,
) -> Task:
    """The test split of ARC's hard questions; arguments as for `arc_easy`."""
    asked, train = _splits("ARC-Challenge", directory, shots)
    return choice_task(
        "arc-challenge",
        asked,
        train,
        letters=letters,
        unconditional=unconditional,
        format=format,
        shots=shots,
        seed=seed,
        chat=chat,
    )


def openbookqa(
    directory: str | Path | None = None,
    *,
    letters: bool = False,
    unconditional: str | None = None,
    format: Format | None = None,
    shots: int = 0,
    seed: int = 0,
    chat: bool = False,
) -> Task:
    """OpenBookQA's test split without the book; arguments as for `arc_easy`, examples from the same split."""
    folder = place("openbookqa", OPENBOOK_SOURCE, directory)
    asked = read(find(folder, "openbookqa.jsonl", "test.jsonl"))
    return choice_task(
        "openbookqa",
        asked,
        [],
        letters=letters,
        unconditional=unconditional,
        format=format or Format("{input}"),
        shots=shots,
        seed=seed,
        chat=chat,
    )


def read(path: Path) -> list[Sample]:
    """The samples of one file: a stem and options with labels, which are letters or digits.

    Raises:
        DataError: The file is not in the published format.
    """
    with published(path):
        return [_sample(row) for row in rows(path)]


def _sample(row: dict[str, Any]) -> Sample:
    options = row["question"]["choices"]
    labels = [option["label"] for option in options]
    choices = tuple(option["text"] for option in options)
    return Sample(row["id"], row["question"]["stem"], labels.index(row["answerKey"]), choices)


def _splits(stem: str, directory: str | Path | None, shots: int) -> tuple[list[Sample], list[Sample]]:
    """The test split, and the training split if examples are wanted and it is there."""
    folder = place("arc", SOURCE, directory)
    train = sorted(folder.rglob(f"{stem}-Train.jsonl")) if shots else []
    return read(find(folder, f"{stem}-Test.jsonl")), read(train[0]) if train else []
