"""HumanEval: functions from their docstrings, held to unit tests (Chen et al., 2021; arXiv:2107.03374)."""

from pathlib import Path

from windtunnel.evaluation.answers import generate
from windtunnel.evaluation.code_execution import Limits, unit_tests
from windtunnel.evaluation.library.places import find, place, published, rows
from windtunnel.evaluation.prompting import Format
from windtunnel.evaluation.tasks import Sample, Task

SOURCE = "github.com/openai/human-eval (data/HumanEval.jsonl.gz)"

STOP = ("\nclass", "\ndef", "\n#", "\nif", "\nprint")
"""Where a function's body ends (section 3.2)."""


def human_eval(
    directory: str | Path | None = None,
    *,
    max_new_tokens: int = 384,
    temperature: float = 0.0,
    top_p: float | None = None,
    limits: Limits | None = None,
    workers: int = 2,
) -> Task:
    """HumanEval: the model continues a function, which runs with its tests in confinement.

    For pass@k ask several epochs at a temperature; see `code_execution.pass_at_k_of`.

    Args:
        directory: The folder of the data set.
        max_new_tokens: Most tokens of a body.
        temperature: Of sampling; 0 is greedy.
        top_p: Of sampling; the paper has 0.95.
        limits: What a program may use.
        workers: Programs run at once.
    """
    words = Format("{input}", lead="")
    solver = generate(words, max_new_tokens=max_new_tokens, temperature=temperature, top_p=top_p, stop=STOP)
    return Task("human-eval", read(directory), solver, unit_tests(limits, workers=workers))


def read(directory: str | Path | None = None) -> list[Sample]:
    """The problems: metadata has `prompt`, `test`, `entry_point` and the `canonical_solution`.

    Raises:
        UsageError: The data set is not there.
        DataError: It is not in the published format.
    """
    path = find(place("human-eval", SOURCE, directory), "HumanEval.jsonl.gz", "HumanEval.jsonl")
    names = ("prompt", "test", "entry_point", "canonical_solution")
    with published(path):
        return [
            Sample(
                row["task_id"], row["prompt"], row["canonical_solution"], metadata={name: row[name] for name in names}
            )
            for row in rows(path)
        ]
