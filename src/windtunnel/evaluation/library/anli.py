"""ANLI: inference written against models, in three rounds (Nie et al., 2020; arXiv:1910.14599)."""

from pathlib import Path

from windtunnel.evaluation.library.choices import choice_task
from windtunnel.evaluation.library.places import find, place, published, rows
from windtunnel.evaluation.prompting import Format
from windtunnel.evaluation.tasks import Sample, Task
from windtunnel.laboratory.errors import UsageError

SOURCE = "github.com/facebookresearch/anli (folders R1, R2, R3)"

LABELS = {"e": "True", "c": "False", "n": "Neither"}
"""What a model is to say of each published label; the words are those of GPT-3 (Figures G.2, G.7 and G.10), without the
name of the round that stands before them there."""

ROUNDS = ("R1", "R2", "R3")


def anli(
    directory: str | Path | None = None,
    *,
    part: str | None = None,
    format: Format | None = None,
    shots: int = 0,
    seed: int = 0,
    chat: bool = False,
) -> Task:
    """ANLI's test split.

    Args:
        directory: The folder of the data set.
        part: `R1`, `R2` or `R3`; by default all rounds.
        format: Other words around the question.
        shots: Examples about other contexts, from the development split.
        seed: Of the examples.
        chat: Use the chat template.

    Raises:
        UsageError: There is no such round.
    """
    asked, train = read(directory, part), read(directory, part, "dev") if shots else []
    name, words = f"anli/{part}" if part else "anli", format or Format("{input}")
    return choice_task(name, asked, train, format=words, shots=shots, seed=seed, chat=chat)


def read(directory: str | Path | None = None, part: str | None = None, split: str = "test") -> list[Sample]:
    """The samples of `test`, `dev` or `train`; the cluster is the context.

    Raises:
        UsageError: The data set is not there, or there is no such round.
        DataError: It is not in the published format.
    """
    if part not in (None, *ROUNDS):
        raise UsageError(f"ANLI has no part {part!r}; its parts are {', '.join(ROUNDS)}.")
    folder = place("anli", SOURCE, directory)
    samples = []
    for name in [part] if part else ROUNDS:
        path = find(folder, f"{name}/{split}.jsonl")
        with published(path):
            for row in rows(path):
                words = f"{row['context']}\nQuestion: {row['hypothesis']} True, False, or Neither?"
                target = list(LABELS).index(row["label"])
                samples.append(
                    Sample(
                        f"{name}-{row['uid']}",
                        words,
                        target,
                        tuple(LABELS.values()),
                        metadata={"round": name},
                        cluster=row["context"],
                    )
                )
    return samples
