"""MMLU: 57 subjects of school and profession (Hendrycks et al., 2021; arXiv:2009.03300)."""

import csv
from pathlib import Path

from windtunnel.evaluation.library.places import find, place, published
from windtunnel.evaluation.multiple_choice import Orders, choice_scorer, multiple_choice
from windtunnel.evaluation.prompting import LETTERS, Format, few_shot
from windtunnel.evaluation.tasks import Sample, Task
from windtunnel.laboratory.errors import DataError

SOURCE = "github.com/hendrycks/test (data.tar: folders dev, val and test)"

WORDS = Format(
    "{input}\n{options}\nAnswer:",
    instruction="The following are multiple choice questions (with answers) about {subject}.\n\n",
)
"""As published: lettered options after the subject's name."""


def mmlu(
    directory: str | Path | None = None,
    *,
    part: str | None = None,
    shots: int = 0,
    letters: bool = True,
    orders: Orders = "given",
    format: Format = WORDS,
    chat: bool = False,
) -> Task:
    """MMLU's test split.

    Args:
        directory: The folder of the data set.
        part: A subject, as `high_school_physics`; by default all.
        shots: Examples of the same subject from the split `dev`, which has five, in their order.
        letters: Compare letters rather than the options' text.
        orders: As for `multiple_choice`.
        format: Other words.
        chat: Use the chat template.
    """
    examples = read(directory, "dev", part) if shots else []
    solver = multiple_choice(
        format,
        letters=letters,
        orders=orders,
        shots=few_shot(examples, shots, within="subject", shuffle=False),
        chat=chat,
    )
    return Task(f"mmlu/{part}" if part else "mmlu", read(directory, "test", part), solver, choice_scorer())


def read(directory: str | Path | None = None, split: str = "test", part: str | None = None) -> list[Sample]:
    """The samples of a split, in metadata `subject`.

    Raises:
        UsageError: The data set is not there.
        DataError: It is not in the published format, or has no such subject.
    """
    folder = place("mmlu", SOURCE, directory)
    ending = f"_{split}.csv"
    paths = [find(folder, part + ending)] if part else sorted(folder.rglob(f"*{ending}"))
    if not paths:
        raise DataError(f"{folder} has no files *{ending}; get MMLU from {SOURCE}.")
    samples = []
    for path in paths:
        subject = path.name.removesuffix(ending)
        with published(path), path.open(encoding="utf-8", newline="") as file:
            for number, (question, *choices, letter) in enumerate(csv.reader(file)):
                facts = {"subject": subject.replace("_", " ")}
                target = LETTERS.index(letter)
                samples.append(Sample(f"{subject}-{split}-{number}", question.strip(), target, tuple(choices), facts))
    return samples
