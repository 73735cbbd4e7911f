"""What ready tasks answered in the model's own words share."""

from collections.abc import Callable
from pathlib import Path

from windtunnel.evaluation.answers import generate, match
from windtunnel.evaluation.library.places import training
from windtunnel.evaluation.prompting import Format, few_shot
from windtunnel.evaluation.tasks import Sample, Scorer, Task


def words_task(
    name: str,
    read: Callable[..., list[Sample]],
    directory: str | Path | None,
    format: Format,
    shots: int,
    seed: int,
    chat: bool,
    max_new_tokens: int,
    beams: int | None,
    *,
    scorer: Scorer | None = None,
    metric: str = "accuracy",
) -> Task:
    """A task of questions answered in words.

    Args:
        name: Of the task.
        read: Gives the samples in a folder, and of its split `train` if that is there.
        directory: The folder of the data set.
        format: The words.
        shots: Examples, from the training split if it is there, else from the samples asked.
        seed: Of the examples.
        chat: Use the chat template.
        max_new_tokens: Most tokens of an answer.
        beams: Search with so many, with a length penalty of 0.6; None: each token is the likeliest.
        scorer: Another one than `match`.
        metric: The headline metric.
    """
    asked, train = read(directory), training(lambda: read(directory, "train"), shots)
    examples = few_shot(train, shots, test=asked, seed=seed)
    solver = generate(format, shots=examples, chat=chat, max_new_tokens=max_new_tokens, beams=beams)
    return Task(name, asked, solver, scorer or match(), metric)
