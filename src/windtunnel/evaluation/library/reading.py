"""Reading: questions about a passage, RACE (Lai et al., 2017) and QuALITY (Pang et al., 2022)."""

from pathlib import Path
from typing import Any

from windtunnel.evaluation.library.places import find, place, published, rows, whole
from windtunnel.evaluation.multiple_choice import Orders, choice_scorer, multiple_choice
from windtunnel.evaluation.prompting import LETTERS, Format, few_shot
from windtunnel.evaluation.tasks import Sample, Task
from windtunnel.laboratory.errors import DataError, UsageError

RACE_SOURCE = "cs.cmu.edu/~glai1/data/race (folders train, dev and test)"
QUALITY_SOURCE = "github.com/nyu-mll/quality (QuALITY.v1.0.1.htmlstripped.dev)"

WORDS = Format("{input}\nAnswer:")


def race(
    directory: str | Path | None = None,
    *,
    part: str | None = None,
    letters: bool = False,
    orders: Orders = "given",
    format: Format | None = None,
    shots: int = 0,
    seed: int = 0,
    chat: bool = False,
) -> Task:
    """RACE's test split.

    Args:
        directory: The folder of the data set.
        part: `middle` or `high` school; by default both.
        letters: Compare letters rather than the options' text.
        orders: As for `multiple_choice`.
        format: Other words; by default passage, question and `Answer:`.
        shots: Examples about other passages of the same split.
        seed: Of the examples.
        chat: Use the chat template.
    """
    asked = read_race(directory, part)
    name = f"race/{part}" if part else "race"
    return _task(name, asked, letters, orders, format, shots, seed, chat)


def quality(
    directory: str | Path | None = None,
    *,
    letters: bool = True,
    orders: Orders = "given",
    format: Format | None = None,
    shots: int = 0,
    seed: int = 0,
    chat: bool = False,
) -> Task:
    """QuALITY's development split: articles of some 5,000 words; arguments as for `race`."""
    return _task("quality", read_quality(directory), letters, orders, format, shots, seed, chat)


def read_race(directory: str | Path | None = None, part: str | None = None, split: str = "test") -> list[Sample]:
    """The questions of a split; the cluster is the passage.

    Raises:
        UsageError: The data set is not there, or there is no such part.
        DataError: It is not in the published format.
    """
    folder = place("race", RACE_SOURCE, directory)
    if part not in (None, "middle", "high"):
        raise UsageError(f"RACE has no part {part!r}; its parts are middle and high.")
    levels = [part] if part else ["middle", "high"]
    paths = [path for level in levels for path in sorted(folder.rglob(f"{split}/{level}/*.txt"))]
    if not paths:
        raise DataError(f"{folder} has no files {split}/{levels[0]}/*.txt; get RACE from {RACE_SOURCE}.")
    samples = []
    for path in paths:
        with published(path):
            samples += _passage(whole(path), path.parent.name)
    return samples


def _passage(passage: dict[str, Any], level: str) -> list[Sample]:
    questions = zip(passage["questions"], passage["options"], passage["answers"], strict=True)
    return [
        Sample(
            id=f"{passage['id'].removesuffix('.txt')}-{number}",
            input=f"{passage['article'].strip()}\n\nQuestion: {question.strip()}",
            target=LETTERS.index(letter),
            choices=tuple(options),
            metadata={"level": level},
            cluster=passage["id"],
        )
        for number, (question, options, letter) in enumerate(questions)
    ]


def read_quality(directory: str | Path | None = None, split: str = "dev") -> list[Sample]:
    """The questions of a split; the cluster is the article.

    Raises:
        UsageError: The data set is not there.
        DataError: It is not in the published format.
    """
    path = find(place("quality", QUALITY_SOURCE, directory), f"QuALITY*htmlstripped.{split}", f"QuALITY*{split}*")
    with published(path):
        return [
            Sample(
                id=question["question_unique_id"],
                input=f"{row['article'].strip()}\n\nQuestion: {question['question'].strip()}",
                target=int(question["gold_label"]) - 1,
                choices=tuple(question["options"]),
                metadata={"difficult": bool(question["difficult"])},
                cluster=str(row["article_id"]),
            )
            for row in rows(path)
            for question in row["questions"]
        ]


def _task(
    name: str,
    asked: list[Sample],
    letters: bool,
    orders: Orders,
    format: Format | None,
    shots: int,
    seed: int,
    chat: bool,
) -> Task:
    solver = multiple_choice(
        format if format is not None else None if letters else WORDS,
        letters=letters,
        orders=orders,
        shots=few_shot((), shots, test=asked, seed=seed),
        chat=chat,
    )
    return Task(name, asked, solver, choice_scorer())
