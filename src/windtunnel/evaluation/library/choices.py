"""What ready tasks of multiple choice with full text or letters share."""

from collections.abc import Sequence

from windtunnel.evaluation.multiple_choice import choice_scorer, multiple_choice
from windtunnel.evaluation.prompting import QUESTION, Format, few_shot
from windtunnel.evaluation.tasks import Sample, Scorer, Task


def choice_task(
    name: str,
    asked: Sequence[Sample],
    train: Sequence[Sample],
    *,
    format: Format | None,
    shots: int,
    seed: int,
    chat: bool,
    letters: bool = False,
    unconditional: str | None = None,
    metric: str = "accuracy",
    scorer: Scorer | None = None,
) -> Task:
    """A task of questions with choices.

    Args:
        name: Of the task.
        asked: Its samples.
        train: Where examples come from; none: from the samples asked.
        format: Other words.
        shots: Examples.
        seed: Of the examples.
        chat: Use the chat template.
        letters: Compare letters of options rather than their text.
        unconditional: As for `multiple_choice`.
        metric: The headline metric.
        scorer: Another one than `choice_scorer`.
    """
    solver = multiple_choice(
        format or (None if letters else QUESTION),
        letters=letters,
        unconditional=unconditional,
        shots=few_shot(train, shots, test=asked, seed=seed),
        chat=chat,
    )
    return Task(name, asked, solver, scorer or choice_scorer(), metric)
