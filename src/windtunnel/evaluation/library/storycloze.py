"""StoryCloze: which of two endings a story of four sentences has (Mostafazadeh et al., 2016; arXiv:1604.01696)."""

from pathlib import Path

from windtunnel.evaluation.library.choices import choice_task
from windtunnel.evaluation.library.places import find, place, published, rows
from windtunnel.evaluation.prompting import Format
from windtunnel.evaluation.tasks import Sample, Task

SOURCE = "cs.rochester.edu/nlp/rocstories (the csv files of the cloze test)"

FILES = {"test": "*test*.csv", "val": "*val*.csv"}


def storycloze(
    directory: str | Path | None = None,
    *,
    format: Format | None = None,
    shots: int = 0,
    seed: int = 0,
    chat: bool = False,
) -> Task:
    """StoryCloze's test split, by the log-probability of either ending.

    Args:
        directory: The folder of the data set.
        format: Other words around the story.
        shots: Examples, from the validation split.
        seed: Of the examples.
        chat: Use the chat template.
    """
    asked, train = read(directory), read(directory, "val") if shots else []
    words = format or Format("{input}")
    return choice_task("storycloze", asked, train, format=words, shots=shots, seed=seed, chat=chat)


def read(directory: str | Path | None = None, split: str = "test") -> list[Sample]:
    """The samples of `test` or `val`.

    Raises:
        UsageError: The data set is not there.
        DataError: It is not in the published format.
    """
    path = find(place("storycloze", SOURCE, directory), FILES[split])
    with published(path):
        return [
            Sample(
                row["InputStoryid"],
                " ".join(row[f"InputSentence{number}"].strip() for number in range(1, 5)),
                ("1", "2").index(row["AnswerRightEnding"]),
                (row["RandomFifthSentenceQuiz1"].strip(), row["RandomFifthSentenceQuiz2"].strip()),
            )
            for row in rows(path)
        ]
