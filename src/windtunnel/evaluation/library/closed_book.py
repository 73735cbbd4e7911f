"""Questions answered from memory: Natural Questions (open), TriviaQA and WebQuestions."""

import re
from pathlib import Path
from typing import Any

from windtunnel.evaluation.library.places import find, place, published, rows, whole
from windtunnel.evaluation.library.words import words_task
from windtunnel.evaluation.prompting import Format
from windtunnel.evaluation.tasks import Sample, Task

NQ_SOURCE = "github.com/google-research-datasets/natural-questions (nq_open/NQ-open.dev.jsonl)"
TRIVIA_SOURCE = "nlp.cs.washington.edu/triviaqa (triviaqa-unfiltered or the rc files)"

WEB_SOURCE = "worksheets.codalab.org (WebQuestions: webquestions.examples.test.json)"

WORDS = Format("Q: {input}\nA:")
"""As GPT-3 was asked (section 3.2)."""


def nq_open(
    directory: str | Path | None = None,
    *,
    format: Format = WORDS,
    shots: int = 0,
    seed: int = 0,
    chat: bool = False,
    max_new_tokens: int = 24,
    beams: int | None = None,
) -> Task:
    """NQ-open's development split (Lee et al., 2019): `accuracy` is a match with an accepted answer, normalised.

    Args:
        directory: The folder of the data set.
        format: Other words.
        shots: Examples, from the training split if it is there.
        seed: Of the examples.
        chat: Use the chat template.
        max_new_tokens: Most tokens of an answer.
        beams: Search with so many, as GPT-3 did with 4; by default each token is the likeliest.
    """
    return words_task("nq-open", read_nq_open, directory, format, shots, seed, chat, max_new_tokens, beams)


def triviaqa(
    directory: str | Path | None = None,
    *,
    format: Format = WORDS,
    shots: int = 0,
    seed: int = 0,
    chat: bool = False,
    max_new_tokens: int = 24,
    beams: int | None = None,
) -> Task:
    """TriviaQA's development split (Joshi et al., 2017) without its evidence; arguments as for `nq_open`."""
    return words_task("triviaqa", read_triviaqa, directory, format, shots, seed, chat, max_new_tokens, beams)


def web_questions(
    directory: str | Path | None = None,
    *,
    format: Format = WORDS,
    shots: int = 0,
    seed: int = 0,
    chat: bool = False,
    max_new_tokens: int = 24,
    beams: int | None = None,
) -> Task:
    """WebQuestions' test split (Berant et al., 2013); arguments as for `nq_open`."""
    return words_task("web-questions", read_web_questions, directory, format, shots, seed, chat, max_new_tokens, beams)


def read_nq_open(directory: str | Path | None = None, split: str = "dev") -> list[Sample]:
    """The samples of `dev` or `train`; every accepted answer is a target.

    Raises:
        UsageError: The data set is not there.
        DataError: It is not in the published format.
    """
    path = find(place("nq-open", NQ_SOURCE, directory), f"NQ-open.{split}.jsonl")
    with published(path):
        return [
            Sample(f"{split}-{number}", row["question"], tuple(row["answer"]))
            for number, row in enumerate(rows(path))
        ]  # fmt: skip


def read_triviaqa(directory: str | Path | None = None, split: str = "dev") -> list[Sample]:
    """The samples of `dev` or `train`; the answer comes first among the targets, then its aliases.

    Raises:
        UsageError: The data set is not there.
        DataError: It is not in the published format.
    """
    path = _trivia_file(directory, split) or find(place("triviaqa", TRIVIA_SOURCE, directory), f"*{split}.json")
    with published(path):
        return [_trivia(row) for row in whole(path)["Data"]]


def read_web_questions(directory: str | Path | None = None, split: str = "test") -> list[Sample]:
    """The samples of `test` or `train`; every name in the published answer is a target.

    Raises:
        UsageError: The data set is not there.
        DataError: It is not in the published format.
    """
    path = find(place("web-questions", WEB_SOURCE, directory), f"*examples.{split}.json")
    with published(path):
        return [
            Sample(f"{split}-{number}", row["utterance"], _descriptions(row["targetValue"]))
            for number, row in enumerate(whole(path))
        ]  # fmt: skip


def _descriptions(value: str) -> tuple[str, ...]:
    """The names in `(list (description "Ann Lee") (description Bob))`."""
    found = re.findall(r'\(description (?:"((?:[^"\\]|\\.)*)"|([^()]+))\)', value)
    if not found:
        raise ValueError(f"{value} describes no answer")
    return tuple(quoted or plain for quoted, plain in found)


def _trivia(row: dict[str, Any]) -> Sample:
    answer = row["Answer"]
    accepted = dict.fromkeys([answer["Value"], *answer["Aliases"], *answer.get("HumanAnswers", [])])
    return Sample(row["QuestionId"], row["Question"], tuple(accepted))


def _trivia_file(directory: str | Path | None, split: str) -> Path | None:
    folder = place("triviaqa", TRIVIA_SOURCE, directory)
    names = [f"unfiltered-web-{split}.json", f"wikipedia-{split}.json", f"web-{split}.json"]
    return next((path for name in names for path in sorted(folder.rglob(name))), None)
