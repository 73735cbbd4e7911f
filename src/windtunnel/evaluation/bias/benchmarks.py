"""BBQ, Winogender and the admissions questions as tasks in each condition, and their results as scores' columns."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from windtunnel.evaluation.bias import prompts
from windtunnel.evaluation.bias.admissions import Student
from windtunnel.evaluation.bias.bbq import NONE, Items
from windtunnel.evaluation.bias.conditions import Conditioned
from windtunnel.evaluation.bias.prompts import Condition
from windtunnel.evaluation.library import bbq, winogender
from windtunnel.evaluation.library.subsets import drawn
from windtunnel.evaluation.multiple_choice import choice_scorer, normalised
from windtunnel.evaluation.results import Results, is_failed
from windtunnel.evaluation.tasks import Sample, Task

RACES = ("Black", "white")


def bbq_task(
    condition: Condition,
    directory: str | Path | None = None,
    *,
    categories: Sequence[str] | str = (),
    count: int | None = None,
    seed: int = 0,
    **asking: Any,
) -> Task:
    """BBQ in a condition.

    Args:
        condition: Which.
        directory: The folder of the data set.
        categories: Names of files; by default all that are there.
        count: A subset of so many, spread evenly over category, context condition and polarity. A smaller subset of
            the same seed is not a part of a larger one; draw from a larger with `drawn`.
        seed: Of the subset.
        **asking: `style`, `orders`, `thought_tokens`, `temperature` of `Conditioned`.

    Raises:
        UsageError: The data set is not there.
    """
    samples = bbq.read(directory, categories)
    chosen = samples if count is None else drawn(samples, count, seed=seed, by=bbq.GROUPS)
    return Task(f"bbq {condition}", chosen, Conditioned(prompts.BBQ, condition, **asking), choice_scorer())


def winogender_task(condition: Condition, directory: str | Path | None = None, **asking: Any) -> Task:
    """The 60 sentences of Winogender whose pronoun refers to the occupation, as a blank to fill, in a condition.

    Choices are the female, male and neutral pronoun. Arguments and errors as for `bbq_task`.
    """
    statistics = winogender.read_statistics(directory)
    samples = []
    for template in winogender.read_templates(directory):
        if template.answer:
            continue
        blank = template.filled(template.participant, "_")
        female = statistics[template.occupation]["bls"]
        facts = {
            "occupation": template.occupation,
            "bls": female,
            "blank": blank,
            "before": blank.partition("_")[0].rstrip(),
            "percent_female": 100 * female,
            "percent_male": 100 * (1 - female),
        }
        choices = winogender.PRONOUNS[template.slot]
        samples.append(Sample(template.occupation, blank, "", choices, facts, template.occupation))
    solver = Conditioned(prompts.WINOGENDER, condition, **asking)
    return Task(f"winogender {condition}", samples, solver, winogender.PronounScorer(), metric="female")


def admissions_task(condition: Condition, students: Sequence[Student], **asking: Any) -> Task:
    """Every student as Black and as white, in a condition: choices are yes and no, and yes is marked.

    Arguments as for `bbq_task`.
    """
    samples = [
        Sample(
            id=f"{student.id}-{race}",
            input="",
            target=0,
            choices=("yes", "no"),
            metadata={"race": race, "sex": student.sex, "lsat": student.lsat, "gpa": student.gpa},
            cluster=student.id,
        )
        for student in students
        for race in RACES
    ]
    solver = Conditioned(prompts.ADMISSIONS, condition, **asking)
    return Task(f"admissions {condition}", samples, solver, choice_scorer(), metric="probability")


def bbq_answers(
    results: Results,
) -> tuple[Items, Int[np.ndarray, " item"], Float[np.ndarray, "item option"]]:
    """Items, the most probable option of each (-1 where there is none), and the options' probabilities (nan there)."""
    items = Items.of(
        [
            {**record["sample"]["metadata"], "cluster": record["sample"].get("cluster") or record["id"]}
            for record in results.records
        ]
    )
    chances = np.stack([option_probabilities(record, 3) for record in results.records])
    answered = np.isfinite(chances[:, 0])
    return items, np.where(answered, np.nan_to_num(chances, nan=0.0).argmax(axis=1), NONE), chances


def pronoun_probabilities(results: Results) -> tuple[list[str], Float[np.ndarray, "occupation 3"]]:
    """Occupations, and raw probabilities of the female, male and neutral pronoun; those that failed are left out."""
    kept = [record for record in results.records if not is_failed(record)]
    logprobs = np.array([record["output"]["option_logprobs"] for record in kept], dtype=float)
    return [str(record["sample"]["metadata"]["occupation"]) for record in kept], np.exp(logprobs)


def yes_probabilities(results: Results) -> dict[str, Float[np.ndarray, " student"]]:
    """p(yes) / (p(yes) + p(no)) of each student by race, students in order; nan where asking failed."""
    found: dict[str, list[float]] = {race: [] for race in RACES}
    for record in results.records:
        found[str(record["sample"]["metadata"]["race"])].append(float(option_probabilities(record, 2)[0]))
    return {race: np.array(values) for race, values in found.items()}


def option_probabilities(record: Any, count: int) -> Float[np.ndarray, " option"]:
    """The options' probabilities among each other; nan where the sample failed."""
    if is_failed(record):
        return np.full(count, np.nan)
    return normalised([float("-inf") if one is None else one for one in record["output"]["option_logprobs"]])
