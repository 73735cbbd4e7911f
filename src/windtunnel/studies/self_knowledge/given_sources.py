"""Sections 5.3 and 5.4 on a given model: its P(IK) of questions behind sources, and of GSM8K behind hints."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from windtunnel.evaluation.library import gsm8k
from windtunnel.evaluation.self_knowledge.formats import partial_hint, question_prompt
from windtunnel.evaluation.self_knowledge.p_ik import Probe, last_tokens
from windtunnel.evaluation.tasks import Sample
from windtunnel.laboratory.errors import DataError, UsageError
from windtunnel.laboratory.run import Run
from windtunnel.models.interface import LanguageModel
from windtunnel.statistics.estimates import Estimate
from windtunnel.statistics.intervals import Floats, bootstrap

if TYPE_CHECKING:
    from windtunnel.studies.self_knowledge import Config

FRACTIONS = (0.0, 0.25, 0.5, 0.75, 1.0)
"""How much of a hint is shown."""

PROBLEMS = 40
"""Problems of GSM8K, at most."""


def ask_with_sources(
    model: LanguageModel,
    samples: Sequence[Sample],
    before: str,
    head: Probe,
    site: str,
    config: "Config",
    run: Run,
) -> Estimate:
    """Show mean P(IK) behind sources and hints; how much a source with the answer raises it, over the questions.

    Args:
        model: The model.
        samples: Questions that the head has not learned from.
        before: The examples that stand before every question.
        head: P(IK) of states, learned from other questions without a source.
        site: Where the states are.
        config: The study's.
        run: Keeps the states.
    """
    sources = _sources(samples)
    asked = {name: [question_prompt(str(each.input), source=source) for each, source in zip(samples, told, strict=True)]
             for name, told in sources.items()}  # fmt: skip
    behind: dict[str, dict[str, list[str]]] = {config.given_task: asked}
    try:
        behind["GSM8K"] = _hinted(min(PROBLEMS, config.given_questions), run.seed_for("problems"))
    except (UsageError, DataError) as error:
        run.note(f"no hints: {error}")
    said: dict[str, dict[str, Floats]] = {}
    rows = []
    for name, prompts in behind.items():
        states = run.stage(
            f"behind-{name.replace('/', '-')}",
            lambda prompts=prompts: {  # type: ignore[misc]
                kind: last_tokens(model, [before + each for each in texts], [site])[site]
                for kind, texts in prompts.items()
            },
        )
        said[name] = {kind: head(np.asarray(each, dtype=np.float64)) for kind, each in states.items()}
        for kind, each in said[name].items():
            mean = bootstrap(each, generator=run.generator("behind", name, kind), resamples=config.resamples)
            rows.append({"questions": name, "behind": kind, "mean P(IK)": str(mean), "number": len(each)})
    run.table("given-sources", rows, f"P(IK), by a head at {site} that never saw a source or a hint.")
    rise = said[config.given_task]["the answer"] - said[config.given_task]["nothing"]
    return bootstrap(rise, generator=run.generator("rise"), resamples=config.resamples)


def _sources(samples: Sequence[Sample]) -> dict[str, list[str | None]]:
    """What stands before each question: nothing, its answer, a wrong one, or the answer to another question."""
    right = [_statement(each, _answer(each)) for each in samples]
    wrong = [_statement(each, _another(samples, place)) for place, each in enumerate(samples)]
    return {
        "nothing": [None] * len(samples),
        "the answer": list(right),
        "a wrong answer": list(wrong),
        "another question's answer": [*right[1:], right[0]],
    }


def _statement(sample: Sample, answer: str) -> str:
    """An answer with its question, as a sentence where the question is one of arithmetic."""
    question = str(sample.input)
    what = question.removeprefix("What is ")
    return f"{question} {answer}" if what == question else f"{what.rstrip('?')} is {answer}."


def _answer(sample: Sample) -> str:
    """The answer, or the first of those accepted."""
    return str(sample.target if isinstance(sample.target, str | int) else sample.target[0])


def _another(samples: Sequence[Sample], place: int) -> str:
    """The answer of the next question that has another one."""
    following = [*samples[place + 1 :], *samples[:place]]
    return next((_answer(each) for each in following if _answer(each) != _answer(samples[place])), "0")


def _hinted(count: int, seed: int) -> dict[str, list[str]]:
    """Problems of GSM8K behind more and more of their solution, and behind another problem's."""
    problems = gsm8k.read()
    chosen = [problems[place] for place in np.random.default_rng(seed).permutation(len(problems))[:count]]
    solutions = [str(each.metadata["solution"]) for each in chosen]
    found = {
        f"{fraction:.0%} of the solution": [
            question_prompt(str(each.input), hint=partial_hint(solution, fraction) if fraction else None)
            for each, solution in zip(chosen, solutions, strict=True)
        ]
        for fraction in FRACTIONS
    }
    others = [*solutions[1:], solutions[0]]
    found["another problem's solution"] = [
        question_prompt(str(each.input), hint=other) for each, other in zip(chosen, others, strict=True)
    ]
    return found
