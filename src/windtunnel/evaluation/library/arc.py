"""Questions of school science: ARC (Clark et al., 2018; arXiv:1803.05457) and OpenBookQA (Mihaylov et al., 2018)."""

from pathlib import Path
from typing import Any

from windtunnel.evaluation.library.places import find, place, published, rows
from windtunnel.evaluation.multiple_choice import choice_scorer, multiple_choice
from windtunnel.evaluation.prompting import QUESTION, Format, few_shot
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
    return _arc("arc-easy", "ARC-Easy", directory, letters, unconditional, format, shots, seed, chat)


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
    return _arc("arc-challenge", "ARC-Challenge", directory, letters, unconditional, format, shots, seed, chat)


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
    return _task("openbookqa", asked, [], letters, unconditional, format or Format("{input}"), shots, seed, chat)


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


def _arc(
    name: str,
    stem: str,
    directory: str | Path | None,
    letters: bool,
    unconditional: str | None,
    format: Format | None,
    shots: int,
    seed: int,
    chat: bool,
) -> Task:
    folder = place("arc", SOURCE, directory)
    asked = read(find(folder, f"{stem}-Test.jsonl"))
    train = sorted(folder.rglob(f"{stem}-Train.jsonl")) if shots else []
    examples = read(train[0]) if train else []
    return _task(name, asked, examples, letters, unconditional, format, shots, seed, chat)


def _task(
    name: str,
    asked: list[Sample],
    train: list[Sample],
    letters: bool,
    unconditional: str | None,
    format: Format | None,
    shots: int,
    seed: int,
    chat: bool,
) -> Task:
    solver = multiple_choice(
        format if format is not None else None if letters else QUESTION,
        letters=letters,
        unconditional=unconditional,
        shots=few_shot(train, shots, test=asked, seed=seed),
        chat=chat,
    )
    return Task(name, asked, solver, choice_scorer())
