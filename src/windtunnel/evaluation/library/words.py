"""What ready tasks answered in the model's own words share."""

from collections.abc import Sequence

from windtunnel.evaluation.answers import generate, match
from windtunnel.evaluation.prompting import Format, few_shot
from windtunnel.evaluation.tasks import Sample, Scorer, Task


def words_task(
    name: str,
    asked: Sequence[Sample],
    train: Sequence[Sample],
    *,
    format: Format,
    shots: int,
    seed: int,
    chat: bool,
    max_new_tokens: int,
    scorer: Scorer | None = None,
    metric: str = "accuracy",
) -> Task:
    """A task of questions answered in words.

    Args:
        name: Of the task.
        asked: Its samples.
        train: Where examples come from; none: from the samples asked.
        format: The words.
        shots: Examples.
        seed: Of the examples.
        chat: Use the chat template.
        max_new_tokens: Most tokens of an answer.
        scorer: Another one than `match`.
        metric: The headline metric.
    """
    examples = few_shot(train, shots, test=asked, seed=seed)
    solver = generate(format, shots=examples, chat=chat, max_new_tokens=max_new_tokens)
    return Task(name, asked, solver, scorer or match(), metric)
