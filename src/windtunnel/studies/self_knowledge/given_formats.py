"""Section 3 on a given model: the formats of questions with options."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from windtunnel.evaluation.engine import evaluate
from windtunnel.evaluation.prompting import few_shot
from windtunnel.evaluation.results import Results
from windtunnel.evaluation.self_knowledge.formats import (
    lettered_task,
    listed_task,
    none_of_the_above,
    true_false_task,
)
from windtunnel.evaluation.self_knowledge.mixed_arithmetic import with_choices
from windtunnel.evaluation.tasks import Sample
from windtunnel.laboratory.run import Run
from windtunnel.models.interface import LanguageModel
from windtunnel.statistics import calibration_error, paired_difference, softened
from windtunnel.statistics.estimates import Estimate
from windtunnel.statistics.intervals import Floats
from windtunnel.statistics.weights import replicates

if TYPE_CHECKING:
    from windtunnel.studies.self_knowledge import Config


def ask_formats(
    model: LanguageModel, samples: Sequence[Sample], pool: Sequence[Sample], config: "Config", run: Run
) -> dict[str, dict[str, Floats]]:
    """Probabilities of the options in every format, and the answers."""
    lettered = with_choices(samples, run.seed_for("choices"))
    examples = with_choices(pool, run.seed_for("examples"))
    shots = few_shot(examples, config.given_shots, seed=run.seed_for("shots")) if config.given_shots else None
    tasks = {
        "letters": lettered_task("letters", lettered, shots=shots),
        "letters, over orders": lettered_task("letters-over-orders", lettered, shots=shots, orders="cyclic"),
        "texts": listed_task("texts", lettered, shots=shots),
        "none of the above": lettered_task("none-of-the-above", none_of_the_above(lettered), shots=shots),
        "true or false": true_false_task("true-or-false", lettered, seed=run.seed_for("true-false")),
    }
    found = {}
    for name, task in tasks.items():
        run.note(f"asking {len(task.dataset)} questions in the format {name}")
        results = evaluate(
            task, model, out=run.directory / "evaluations" / name.replace(",", "").replace(" ", "-"), seed=run.seed
        )
        found[name] = _probabilities(results, run)
    return found


def _probabilities(results: Results, run: Run) -> dict[str, Floats]:
    rows, answers = [], []
    for record in results.records:
        sample, output, _ = results.sample(record)
        if output.option_logprobs:
            rows.append(output.option_logprobs)
            answers.append(int(str(sample.target)))
    shuffled = np.array(answers)
    if run.null:
        shuffled = run.generator("null", "choices").permutation(shuffled)
    return {"said": softened(np.array(rows)), "answers": shuffled, "failed": np.array(results.counts["failed"])}


def conclude_formats(
    choices: dict[str, dict[str, Floats]], config: "Config", run: Run
) -> dict[str, tuple[Floats, Floats]]:
    """Hold the formats against their claims; the confidence in each one's most probable option, and if it is right."""
    if not choices:
        for claim in ("given-letters", "given-nota"):
            run.conclude(claim, note="A claim about arithmetic, whose options are made here.")
        return {}
    generator = run.generator("formats")
    top = {name: top_options(each) for name, each in choices.items()}
    run.conclude("given-letters", _error_difference(top["texts"], top["letters"], config, generator), evidence="given")
    lost = paired_difference(
        top["letters"][1], top["none of the above"][1], generator=generator, resamples=config.resamples
    )
    run.conclude("given-nota", lost.difference, evidence="given")
    return top


def top_options(each: dict[str, Floats]) -> tuple[Floats, Floats]:
    """The probability of the most probable option of each question, and whether it is the right one."""
    said, answers = each["said"], each["answers"]
    return said.max(axis=1), (said.argmax(axis=1) == answers).astype(float)


def _error_difference(
    first: tuple[Floats, Floats], second: tuple[Floats, Floats], config: "Config", generator: np.random.Generator
) -> Estimate:
    """ECE of one format less that of another, over the same questions: resampled together, as the basic bootstrap."""

    def error(pair: tuple[Floats, Floats], weights: Floats) -> float:
        rows = np.repeat(np.arange(len(weights)), weights.astype(int))
        return calibration_error(pair[0][rows], pair[1][rows], generator=generator, resamples=2).value

    def difference(weights: Floats) -> Floats:
        return np.array([error(first, row) - error(second, row) for row in weights])

    value = float(difference(np.ones((1, len(first[0]))))[0])
    found, _ = replicates(difference, len(first[0]), generator=generator, resamples=min(config.resamples, 200))
    low, high = np.quantile(found, [0.025, 0.975])
    return Estimate(value, min(2 * value - float(high), value), max(2 * value - float(low), value))
