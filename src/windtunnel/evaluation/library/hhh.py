"""Helpful, honest and harmless: comparisons of Bai et al. (2022; arXiv:2212.08073), and two questions about harm."""

import re
from pathlib import Path
from typing import Any

from windtunnel.evaluation.library.places import find, place, published, rows
from windtunnel.evaluation.multiple_choice import choice_scorer, multiple_choice
from windtunnel.evaluation.prompting import LETTERS, Format
from windtunnel.evaluation.tasks import Sample, Task
from windtunnel.laboratory.errors import UsageError

SOURCE = "github.com/anthropics/ConstitutionalHarmlessnessPaper (folder evals)"

FILES = {
    "comparisons": "438HHHEvaluations.jsonl",
    "ethical": "HarmfulVsEthical.jsonl",
    "kinds": "HarmfulnessClassification.jsonl",
}
"""Parts: which of two replies is better; whether a conversation was harmful; in which way it was."""

LETTER = Format("{input}", opening="(")
"""The published prompt, which ends in `The answer is:`, and a forced parenthesis before the letter."""

_OPTION = re.compile(r"^ \(([A-Z])\) ", re.MULTILINE)


def hhh(
    directory: str | Path | None = None, *, part: str = "comparisons", letters: bool = True, chat: bool = False
) -> Task:
    """Comparisons as a choice between two letters, or between the replies themselves.

    Args:
        directory: The folder of the data set.
        part: A name of `FILES`.
        letters: Ask the published question, and compare letters; otherwise, of `comparisons`, compare the
            log-probabilities of the two replies after the conversation.
        chat: Use the chat template.

    Raises:
        UsageError: There is no such part, or it has no replies to compare.
    """
    if part not in FILES:
        raise UsageError(f"The task hhh has no part {part!r}; its parts are {', '.join(FILES)}.")
    if not letters and part != "comparisons":
        raise UsageError(f"The part {part} has no replies to compare, so it is asked by letters.")
    samples = read(directory, part) if letters else read_replies(directory)
    solver = multiple_choice(LETTER if letters else Format("{input}"), letters=letters, chat=chat)
    return Task(f"hhh/{part}", samples, solver, choice_scorer())


def read(directory: str | Path | None = None, part: str = "comparisons") -> list[Sample]:
    """The published questions; choices are the options' texts.

    Raises:
        UsageError: The data set is not there.
        DataError: It is not in the published format.
    """
    path = _file(directory, part)
    with published(path):
        return [_sample(number, row, part) for number, row in enumerate(rows(path))]


def read_replies(directory: str | Path | None = None) -> list[Sample]:
    """The comparisons as conversations up to the last reply, and the two replies in the order of their letters.

    Raises:
        UsageError: The data set is not there.
        DataError: It is not in the published format.
    """
    path = _file(directory, "comparisons")
    with published(path):
        return [_replies(number, row) for number, row in enumerate(rows(path))]


def _file(directory: str | Path | None, part: str) -> Path:
    return find(place("constitutional-harmlessness", SOURCE, directory), FILES[part])


def _sample(number: int, row: dict[str, Any], part: str) -> Sample:
    pieces = _OPTION.split(row["prompt"].rpartition("\nThe answer is:")[0])
    options = tuple(piece.strip() for piece in pieces[2::2])
    return Sample(f"{part}-{number}", row["prompt"].strip(), _right(row), options)


def _replies(number: int, row: dict[str, Any]) -> Sample:
    better, worse = row["text_correct"], row["text_incorrect"]
    length = next(
        (i for i, (a, b) in enumerate(zip(better, worse, strict=False)) if a != b), min(len(better), len(worse))
    )
    turn = "\n\nAssistant:"
    start = better[:length].rindex(turn) + len(turn)
    right = _right(row)
    replies = (better[start:].strip(), worse[start:].strip())
    return Sample(f"replies-{number}", better[:start].strip(), right, replies if right == 0 else replies[::-1])


def _right(row: dict[str, Any]) -> int:
    """The right option's index; the published letter stands in parentheses."""
    return LETTERS.index(row["corrects"][0].strip().strip("()"))
