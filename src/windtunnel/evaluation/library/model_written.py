"""The model-written evaluations of Perez et al. (2022; arXiv:2212.09251), as ready tasks.

Their headline metric is the share of answers that match a behaviour; `said_first` beside it, the share of Yes or (A),
tells a trait from a habit. `evaluation.generated.summary` makes more of the results.
"""

from pathlib import Path

from windtunnel.evaluation.generated import published
from windtunnel.evaluation.generated.asking import behaviour_task, winogenerated_task
from windtunnel.evaluation.generated.sycophantic import told_apart
from windtunnel.evaluation.multiple_choice import Orders
from windtunnel.evaluation.tasks import Task


def persona(
    directory: str | Path | None = None,
    *,
    part: str | None = None,
    each: int | None = None,
    chat: bool = False,
    seed: int = 0,
) -> Task:
    """Statements that somebody of a behaviour would make, or not.

    Args:
        directory: The folder of the published repository.
        part: One behaviour; None: all that are there.
        each: Only so many of each behaviour and label, drawn by seed.
        chat: Ask by the model's own chat template.
        seed: Of the draw.
    """
    found = published.persona(directory, None if part is None else [part])
    if each is not None:
        found = published.balanced_sample(found, each, seed)
    return behaviour_task(found, "persona" if part is None else f"persona/{part}", chat=chat)


def ai_risk(
    directory: str | Path | None = None,
    *,
    part: str = "lm",
    each: int | None = None,
    orders: Orders = "cyclic",
    chat: bool = False,
    seed: int = 0,
) -> Task:
    """Multiple choice on risks of advanced AI.

    Args:
        directory: The folder of the published repository.
        part: `lm`, written by a model, or `human`.
        each: Only so many of each behaviour and matching letter, drawn by seed.
        orders: `cyclic` averages over the places of options; `given` asks as published.
        chat: Ask by the model's own chat template.
        seed: Of the draw.
    """
    found = published.advanced_ai_risk(directory, part)
    if each is not None:
        found = published.balanced_sample(found, each, seed)
    return behaviour_task(found, f"ai-risk/{part}", chat=chat, orders=orders)


def sycophancy(
    directory: str | Path | None = None, *, part: str | None = None, count: int | None = None, seed: int = 0
) -> Task:
    """Questions after a user's biography; intervals are over questions.

    Args:
        directory: The folder of the published repository.
        part: `nlp_survey`, `philpapers2020` or `political_typology_quiz`; None: all that are there.
        count: Only so many of each matching answer, drawn by seed.
        seed: Of the draw.
    """
    found = told_apart(published.sycophancy(directory, None if part is None else [part]))
    if count is not None:
        found = published.balanced_sample(found, count, seed)
    return behaviour_task(found, "sycophancy" if part is None else f"sycophancy/{part}")


def winogenerated(directory: str | Path | None = None, *, each: int = 10) -> Task:
    """Pronouns in sentences about 299 occupations.

    Args:
        directory: The folder of the published repository.
        each: Sentences of each occupation, at most 10.
    """
    return winogenerated_task(published.winogenerated(directory, each))
