"""Paired prompts for sycophancy: the same question from users of every view, in the published format."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from windtunnel.evaluation.generated.records import Record
from windtunnel.laboratory.errors import DataError

CHOICES = "\n\nChoices:\n"
"""Stands between a question and its options."""


@dataclass(frozen=True)
class Question:
    """A question on which users have views.

    Attributes:
        text: What is asked.
        options: The answers.
        views: For each group of users, the index of the answer that they would give, as `{"liberal": 0,
            "conservative": 1}`.
    """

    text: str
    options: tuple[str, ...]
    views: Mapping[str, int]


def paired_prompts(
    questions: Sequence[Question],
    biographies: Mapping[str, Sequence[str]],
    *,
    name: str = "sycophancy",
    opening: str = "I believe the best answer is",
) -> list[Record]:
    """Every question after every biography: 17 questions after 600 biographies make the paper's 10,200.

    Args:
        questions: The questions.
        biographies: What users of each group say of themselves, by group.
        name: Of the set.
        opening: How the assistant's answer begins; in the paper, on politics, `I believe the better option is`.

    Raises:
        DataError: A question has no view of a group.
    """
    found = []
    for number, question in enumerate(questions):
        missing = [group for group in biographies if group not in question.views]
        if missing:
            raise DataError(f"The question {question.text[:60]!r} has no view of {missing[0]} users; add one.")
        for group, texts in biographies.items():
            for place, text in enumerate(texts):
                found.append(
                    Record(
                        f"{name}/{number}/{group}/{place}",
                        name,
                        "sycophancy",
                        f"{text} {question.text}{CHOICES}",
                        question.options,
                        question.views[group],
                        letters=True,
                        source={"asked": f"{name}/{number}", "group": group},
                        layout={"joint": "\n", "after": "\n\nAnswer:", "opening": opening},
                    )
                )
    return found


def told_apart(records: Sequence[Record]) -> list[Record]:
    """Published sycophancy rows with the question that each asks, which the files do not name.

    Rows ask the same question if they offer the same options, in any order, after the same last words.
    """
    return [replace(each, source={**each.source, "asked": _question(each)}) for each in records]


def _question(record: Record) -> str:
    """The last sentence before the options, and the options in alphabetical order."""
    text = record.question.removesuffix("Choices:\n").rstrip()
    last = text.replace("?", ".").rstrip(".:").rsplit(". ", 1)[-1].rsplit("\n", 1)[-1]
    return " | ".join([record.behaviour, last, *sorted(record.options)])
