"""GSM8K: word problems of grade-school mathematics (Cobbe et al., 2021; arXiv:2110.14168)."""

import re
from pathlib import Path

from windtunnel.evaluation.answers import FINAL, generate, match
from windtunnel.evaluation.library.places import find, place, published, rows
from windtunnel.evaluation.prompting import Format, few_shot
from windtunnel.evaluation.tasks import Sample, Task

SOURCE = "github.com/openai/grade-school-math (grade_school_math/data)"

WORDS = Format("Question: {input}\nAnswer:", answer="{solution}")
"""A question, and an example's whole solution, which ends in `#### ` and the number."""

_CALCULATOR = re.compile(r"<<[^>]*>>")


def gsm8k(
    directory: str | Path | None = None,
    *,
    format: Format = WORDS,
    shots: int = 0,
    seed: int = 0,
    chat: bool = False,
    max_new_tokens: int = 256,
    temperature: float = 0.0,
) -> Task:
    """GSM8K's test split, answered in words; the number after `####`, else the last number, is the answer.

    Args:
        directory: The folder of the data set.
        format: Other words; `{solution}` is the whole worked answer.
        shots: Worked examples from the training split.
        seed: Of the examples.
        chat: Use the chat template.
        max_new_tokens: Most tokens of an answer.
        temperature: Of sampling; 0 is greedy.
    """
    train = read(directory, "train") if shots else []
    solver = generate(
        format,
        shots=few_shot(train, shots, seed=seed),
        chat=chat,
        max_new_tokens=max_new_tokens,
        temperature=temperature,
        stop=("Question:", "\n\n\n"),
    )
    return Task("gsm8k", read(directory), solver, match("number"))


def read(directory: str | Path | None = None, split: str = "test") -> list[Sample]:
    """The samples of `test` or `train`: the target is the final number, metadata `solution` the worked answer.

    The calculator's notes (`<<48/2=24>>`) are left out of the solution.

    Raises:
        UsageError: The data set is not there.
        DataError: It is not in the published format.
    """
    path = find(place("gsm8k", SOURCE, directory), f"{split}.jsonl")
    with published(path):
        return [
            Sample(
                f"{split}-{number}",
                row["question"],
                row["answer"].split(FINAL)[1].strip(),
                metadata={"solution": _CALCULATOR.sub("", row["answer"])},
            )
            for number, row in enumerate(rows(path))
        ]
