"""HellaSwag: how a scene goes on (Zellers et al., 2019; arXiv:1905.07830)."""

import re
from pathlib import Path
from typing import Any

from windtunnel.evaluation.library.choices import choice_task
from windtunnel.evaluation.library.places import find, place, published, rows, training
from windtunnel.evaluation.prompting import Format
from windtunnel.evaluation.tasks import Sample, Task

SOURCE = "github.com/rowanz/hellaswag (data/hellaswag_val.jsonl)"


def hellaswag(
    directory: str | Path | None = None,
    *,
    format: Format | None = None,
    shots: int = 0,
    seed: int = 0,
    chat: bool = False,
) -> Task:
    """HellaSwag's validation split; `accuracy_normalised` is the usual headline number.

    Args:
        directory: The folder of the data set.
        format: Other words; by default the scene alone.
        shots: Examples, from the training split if it is there.
        seed: Of the examples.
        chat: Use the chat template.
    """
    asked, train = read(directory), training(lambda: read(directory, "train"), shots)
    words = format or Format("{input}")
    return choice_task(
        "hellaswag", asked, train, format=words, shots=shots, seed=seed, chat=chat, metric="accuracy_normalised"
    )


def read(directory: str | Path | None = None, split: str = "val") -> list[Sample]:
    """The samples of `val` or `train`, with the marks of WikiHow's titles and steps taken out.

    Raises:
        UsageError: The data set is not there.
        DataError: It is not in the published format.
    """
    path = find(place("hellaswag", SOURCE, directory), f"hellaswag_{split}.jsonl")
    with published(path):
        return [_sample(row, split) for row in rows(path)]


def _sample(row: dict[str, Any], split: str) -> Sample:
    scene = f"{row['activity_label']}: {row['ctx_a']} {row['ctx_b'].capitalize()}"
    return Sample(
        id=f"{split}-{row['ind']}",
        input=_plain(scene),
        target=int(row["label"]),
        choices=tuple(_plain(ending) for ending in row["endings"]),
        metadata={"activity_label": row["activity_label"], "split_type": row["split_type"]},
        cluster=str(row["source_id"]),
    )


def _plain(text: str) -> str:
    """Without the marks in brackets: a title's becomes the end of a sentence."""
    return re.sub(" +", " ", re.sub(r"\[.*?\]", "", text.strip().replace(" [title]", ". "))).strip()
