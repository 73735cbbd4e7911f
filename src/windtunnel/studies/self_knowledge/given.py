"""A given model: arithmetic asked many times through the evaluation engine, and every way of asking what it knows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from windtunnel.evaluation.answers import Generation, Match, match
from windtunnel.evaluation.calibration import summary
from windtunnel.evaluation.engine import evaluate
from windtunnel.evaluation.library import find_task
from windtunnel.evaluation.prompting import few_shot
from windtunnel.evaluation.self_knowledge.answering import Answers, answering_task, gather
from windtunnel.evaluation.self_knowledge.baselines import (
    mean_token_logprob,
    predictive_entropy,
    semantic_entropy,
    stuffed_logprob,
    verbalised_confidence,
)
from windtunnel.evaluation.self_knowledge.formats import (
    question_prompt,
)
from windtunnel.evaluation.self_knowledge.mixed_arithmetic import mixed_arithmetic
from windtunnel.evaluation.self_knowledge.p_ik import Probe, fit_probe, last_tokens
from windtunnel.evaluation.self_knowledge.p_true import Judgement, p_true, proposals
from windtunnel.evaluation.self_knowledge.wording import wording_sha256
from windtunnel.evaluation.tasks import Sample
from windtunnel.laboratory.errors import Unsupported, UsageError
from windtunnel.laboratory.run import Run
from windtunnel.models.interface import LanguageModel, load
from windtunnel.statistics import (
    auroc,
    reliability,
    risk_coverage,
)
from windtunnel.statistics.estimates import Estimate
from windtunnel.statistics.intervals import Floats
from windtunnel.studies.self_knowledge import figures
from windtunnel.studies.self_knowledge.given_code import ask_functions
from windtunnel.studies.self_knowledge.given_formats import ask_formats, conclude_formats
from windtunnel.studies.self_knowledge.given_sources import ask_with_sources

if TYPE_CHECKING:
    from windtunnel.studies.self_knowledge import Config


FEWEST = 10
"""Right answers, and wrong ones, that a ranking needs, or it is not tested: of 5 or 6 among 40 that a confidence knows
nothing of, one in a hundred has an interval above 0.6, and of 10 none in 300."""


ARITHMETIC = "arithmetic"
"""The questions that are made here."""

SHOWN = ("letters", "texts", "none of the above")
"""Formats of which the figure shows the reliability."""


def ask_given(config: "Config", run: Run) -> None:
    """Ask, measure, draw and conclude."""
    assert run.model is not None
    model = load(run.model, device=run.device, dtype="float32" if run.device == "cpu" else "auto")
    asked = questions(config, run)
    samples, count = asked.samples, len(asked.samples)
    what = f"{model.name}, on {count} questions of {config.given_task}; words {wording_sha256()[:12]}."
    run.section("The given model", what)
    choices = ask_formats(model, samples, asked.pool, config, run) if config.given_task == ARITHMETIC else {}
    answers = _answers(model, asked, config, run)
    found = run.stage("asked", lambda: _confidences(model, samples, answers, config, run))
    right = answers["sampled"].right
    if run.null:  # what is right is shuffled over questions: no confidence can know it
        order = run.generator("null").permutation(count)
        right = right[order]
        found = {**found, "greedy right": np.asarray(found["greedy right"])[order]}
    _conclude(model, samples, answers["sampled"], config, found, right, choices, run)


@dataclass(frozen=True)
class Asked:
    """What a given model is asked.

    Attributes:
        samples: The questions.
        pool: Others, of which examples are made.
        scorer: Says which answers are right.
        max_new_tokens: Most tokens of an answer.
    """

    samples: list[Sample]
    pool: list[Sample]
    scorer: Match
    max_new_tokens: int


def questions(config: "Config", run: Run) -> Asked:
    """Arithmetic that is made here, or questions of a ready task.

    Raises:
        UsageError: The task is not one of questions answered on one line in words, or has too few.
    """
    count, more = config.given_questions, max(2 * config.given_shots, 8)
    if config.given_task == ARITHMETIC:
        every = mixed_arithmetic(count + more, run.seed_for("questions"))
        return Asked(every[:count], every[count:], match("number"), 8)
    task = find_task(config.given_task)
    if not (isinstance(task.scorer, Match) and isinstance(task.solver, Generation) and task.solver.stop == ("\n",)):
        raise UsageError(
            f"{config.given_task} is not answered on one line in words; set given_task to nq-open or triviaqa."
        )
    order = np.random.default_rng(run.seed_for("questions")).permutation(len(task.dataset))
    every = [task.dataset[place] for place in order[: count + more]]
    if len(every) < count + more:
        raise UsageError(f"{config.given_task} has {len(every)} questions; set given_questions to {len(every) - more}.")
    return Asked(every[:count], every[count:], task.scorer, task.solver.max_new_tokens)


def _answers(model: LanguageModel, asked: Asked, config: "Config", run: Run) -> dict[str, Answers]:
    """Sampled and greedy answers, by the engine, which continues what a killed run has left."""
    shots = few_shot(asked.pool, config.given_shots, seed=run.seed_for("shots")) if config.given_shots else None
    found = {}
    for name, temperature, epochs in (("sampled", 1.0, config.given_samples), ("greedy", 0.0, 1)):
        run.note(f"asking {len(asked.samples)} questions {epochs} times ({name})")
        options: dict[str, Any] = {"temperature": temperature, "max_new_tokens": asked.max_new_tokens}
        task = answering_task(f"{config.given_task}-{name}", asked.samples, asked.scorer, shots=shots, **options)
        out = run.directory / "evaluations" / name
        found[name] = gather(evaluate(task, model, out=out, epochs=epochs, seed=run.seed_for(name)))
    return found


def _confidences(
    model: LanguageModel, samples: Sequence[Sample], answers: dict[str, Answers], config: "Config", run: Run
) -> dict[str, Any]:
    """Every confidence in the first sampled answer of each question, and in the greedy one."""
    sampled, greedy = answers["sampled"], answers["greedy"]
    named = [(sample.id, str(sample.input)) for sample in samples]
    marks: list[list[bool]] = sampled.right.astype(bool).tolist()
    run.note("asking the model to judge its answers")
    judged: dict[str, list[Judgement]] = {}
    for name, brainstorm in (("P(True), worked examples", False), ("P(True), worked examples, ideas", True)):
        judged[name] = p_true(model, proposals(named, sampled.texts, marks, brainstorm=brainstorm), seed=run.seed)
    few = proposals(named, sampled.texts, marks, brainstorm=True)
    judged["P(True), few-shot, ideas"] = p_true(
        model, few, examples=few, shots=min(config.given_judging_shots, len(few) - 1), seed=run.seed
    )
    found: dict[str, Any] = {
        "judged": {name: [each.probability for each in rows] for name, rows in judged.items()},
        "mass": {name: float(np.mean([each.mass for each in rows])) for name, rows in judged.items()},
        "leaks": float(np.mean([each.leaks for each in judged["P(True), worked examples, ideas"]])),
        "verbalised": verbalised_confidence(model, [text for _, text in named]),
        "semantic": semantic_entropy(sampled.kinds()),
        "stuffed": stuffed_logprob(model, sampled.prompts, sampled.texts),
        "greedy right": greedy.right[:, 0],
    }
    if not np.isnan(sampled.logprobs).any():
        found["entropy"] = predictive_entropy(sampled.logprobs)
        found["greedy loss"] = -mean_token_logprob(greedy.logprobs[:, 0], np.maximum(greedy.lengths[:, 0], 1))
    try:
        layers = model.shape.layers
        sites = [f"blocks.{layer}.hook_resid_post" for layer in sorted({layers // 2, 2 * layers // 3, layers - 1})]
        found["states"] = last_tokens(model, sampled.prompts, sites)
    except Unsupported as error:
        run.note(str(error))
    return found


def _conclude(
    model: LanguageModel,
    samples: Sequence[Sample],
    sampled: Answers,
    config: "Config",
    found: dict[str, Any],
    right: Floats,
    choices: dict[str, dict[str, Floats]],
    run: Run,
) -> None:
    generator = run.generator("given")
    first, share = right[:, 0], right.mean(axis=1)
    options: dict[str, Any] = {"generator": generator, "resamples": config.resamples}
    greedy_right = np.asarray(found["greedy right"])
    scores: dict[str, tuple[Floats, Floats]] = {name: (np.array(each), first) for name, each in found["judged"].items()}
    scores["verbalised confidence"] = (np.asarray(found["verbalised"]), first)
    ranks: dict[str, tuple[Floats, Floats]] = {
        **scores,
        "minus semantic entropy": (-np.asarray(found["semantic"]), first),
        "log-probability of all answers together": (np.asarray(found["stuffed"]), first),
    }
    if "entropy" in found:
        ranks["minus entropy"] = (-np.asarray(found["entropy"]), first)
        ranks["minus loss of the greedy answer"] = (-np.asarray(found["greedy loss"]), greedy_right)
    head, probed, site = _probe(found, share, run)
    half = len(share) // 2
    if probed is not None:
        scores[f"P(IK), {site}"] = ranks[f"P(IK), {site}"] = (probed, first[half:])

    def area(confidence: Floats, correct: Floats) -> Estimate | None:
        return auroc(confidence, correct, **options) if min(correct.sum(), (1 - correct).sum()) >= FEWEST else None

    def ranked(name: str) -> Estimate | None:
        return area(*ranks[name]) if name in ranks else None

    needed = f" A ranking needs {FEWEST} right and {FEWEST} wrong ones: for more, --set given_questions=200."
    undefined = f"Of {len(first)} first answers {int(first.sum())} are right.{needed}"
    unknown = "The model gives no log-probabilities of what it samples."
    run.conclude(
        "given-entropy", ranked("minus entropy"), evidence="given", note=undefined if "entropy" in found else unknown
    )
    run.conclude(
        "given-loss",
        ranked("minus loss of the greedy answer"),
        evidence="given",
        note=f"Of {len(greedy_right)} greedy answers {int(greedy_right.sum())} are right.{needed}",
    )
    best = "P(True), worked examples, ideas"
    mass = found["mass"][best]
    leaks = f"{undefined} True and False hold {mass:.0%} of the probability; {found['leaks']:.1f} of 5 ideas are equal."
    run.conclude("given-p-true", ranked(best), evidence="given", note=leaks)
    note = (
        "Needs a model whose inside can be read." if probed is None else f"Trained on half of the questions, at {site}."
    )
    known = (share[half:] > 0.5).astype(float)
    note += f" Of {len(known)} questions {int(known.sum())} are known.{needed}"
    ranking = None if probed is None else area(probed, known)
    run.conclude("given-p-ik", ranking, evidence="given", note=note)
    told = ranked(f"P(IK), {site}")
    if head is None or told is None or told.low <= 0.5:
        run.conclude("given-source", note=f"Needs a head that tells right answers from wrong ones.{needed}")
    else:
        before = sampled.prompts[half].removesuffix(question_prompt(str(samples[half].input)))
        rise = ask_with_sources(model, samples[half:], before, head, site, config, run)
        run.conclude("given-source", rise, note=f"A head at {site} that never saw a source.")
    if head is not None:
        ask_functions(model, np.asarray(found["states"][site]), share, site, config, run)
    top = conclude_formats(choices, config, run)
    _show(model, scores, ranks, choices, top, config, run)


def _probe(found: dict[str, Any], share: Floats, run: Run) -> tuple[Probe | None, Floats | None, str]:
    """A head at the layer that is best inside the first half of the questions, what it says of the rest, and where."""
    if "states" not in found:
        return None, None, ""
    half = len(share) // 2
    inner = half // 2
    best: Probe | None = None
    chosen, error = "", np.inf
    for site, states in found["states"].items():
        inputs = np.asarray(states, dtype=np.float64)
        said = fit_probe(inputs[:inner], share[:inner], seed=run.seed)(inputs[inner:half])
        wrong = float(((said - share[inner:half]) ** 2).mean())
        if wrong < error:
            best, chosen, error = fit_probe(inputs[:half], share[:half], seed=run.seed), site, wrong
            said_of_rest = best(inputs[half:])
    return best, said_of_rest, chosen


def _show(
    model: LanguageModel,
    scores: dict[str, tuple[Floats, Floats]],
    ranks: dict[str, tuple[Floats, Floats]],
    choices: dict[str, dict[str, Floats]],
    top: dict[str, tuple[Floats, Floats]],
    config: "Config",
    run: Run,
) -> None:
    generator = run.generator("tables")
    rows = []
    for name, (confidence, correct) in {**top, **scores}.items():
        row = summary(name, confidence, correct, generator=generator, resamples=config.resamples)
        if name in choices and name != "true or false":
            said = choices[name]["said"]
            row["last option said"] = float((said.argmax(axis=1) == said.shape[1] - 1).mean())
        rows.append(row)
    run.table("given-metrics", rows, "Formats (confidence in the top option) and confidences in sampled answers.")
    rows = [
        {"score": name, "AUROC": str(auroc(*pair, generator=generator, resamples=config.resamples))}
        for name, pair in ranks.items()
    ]
    run.table("given-baselines", rows, "How well each score tells right answers from wrong ones.")
    quick: dict[str, Any] = {"generator": generator, "resamples": 200, "bins": 5}
    formats = {name: reliability(*pair, **quick) for name, pair in top.items() if name in SHOWN}
    confident = {name: reliability(*pair, **quick) for name, pair in list(scores.items())[:4]}
    curves = {name: risk_coverage(*pair) for name, pair in list(ranks.items())[-4:]}
    panels = [("formats, top option", formats)] if formats else []
    figures.given([*panels, ("own answers", confident)], curves, run)
