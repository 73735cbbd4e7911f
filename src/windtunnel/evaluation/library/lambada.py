"""LAMBADA: the last word of a passage (Paperno et al., 2016; arXiv:1606.06031)."""

from pathlib import Path

from windtunnel.evaluation.cloze import CONTINUE, cloze, cloze_scorer, last_word
from windtunnel.evaluation.library.places import find, place, published, rows
from windtunnel.evaluation.prompting import Format, few_shot
from windtunnel.evaluation.tasks import Sample, Task

SOURCE = "openaipublic.blob.core.windows.net/gpt-2/data/lambada_test.jsonl"


def lambada(directory: str | Path | None = None, *, format: Format = CONTINUE, shots: int = 0, seed: int = 0) -> Task:
    """LAMBADA's test split: whether greedy sampling gives the last word, and its log-probability.

    Args:
        directory: The folder of the data set.
        format: Other words; `cloze.FILL_IN` asks few-shot for a blank (GPT-3, section 3.1.2).
        shots: Examples from the same split.
        seed: Of the examples.
    """
    blank = " ____." if "->" in str(format.question) else ""
    asked = read(directory, blank)
    return Task("lambada", asked, cloze(format, shots=few_shot((), shots, test=asked, seed=seed)), cloze_scorer())


def read(directory: str | Path | None = None, blank: str = "") -> list[Sample]:
    """The passages without their last word, in whose place stands `blank`; that word is the target.

    Raises:
        UsageError: The data set is not there.
        DataError: It is not in the published format.
    """
    path = find(place("lambada", SOURCE, directory), "lambada_test*.jsonl")
    with published(path):
        split = [last_word(row["text"]) for row in rows(path)]
        return [Sample(str(number), before + blank, word) for number, (before, word) in enumerate(split)]
