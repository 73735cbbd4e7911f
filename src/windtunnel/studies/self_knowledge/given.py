"""A given model: arithmetic asked many times through the evaluation engine, and every way of asking what it knows."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from windtunnel.evaluation.answers import match
from windtunnel.evaluation.calibration import summary
from windtunnel.evaluation.engine import evaluate
from windtunnel.evaluation.prompting import few_shot
from windtunnel.evaluation.results import Results
from windtunnel.evaluation.self_knowledge.answering import Answers, answering_task, gather
from windtunnel.evaluation.self_knowledge.baselines import (
    mean_token_logprob,
    predictive_entropy,
    semantic_entropy,
    stuffed_logprob,
    verbalised_confidence,
)
from windtunnel.evaluation.self_knowledge.formats import (
    lettered_task,
    listed_task,
    none_of_the_above,
    question_prompt,
    true_false_task,
)
from windtunnel.evaluation.self_knowledge.mixed_arithmetic import mixed_arithmetic, with_choices
from windtunnel.evaluation.self_knowledge.p_ik import Probe, fit_probe, last_tokens
from windtunnel.evaluation.self_knowledge.p_true import Judgement, p_true, proposals
from windtunnel.evaluation.self_knowledge.wording import wording_sha256
from windtunnel.evaluation.tasks import Sample
from windtunnel.laboratory.errors import Unsupported
from windtunnel.laboratory.run import Run
from windtunnel.models.interface import LanguageModel, load
from windtunnel.statistics import (
    auroc,
    calibration_error,
    paired_difference,
    reliability,
    risk_coverage,
    softened,
)
from windtunnel.statistics.estimates import Estimate
from windtunnel.statistics.intervals import Floats
from windtunnel.statistics.weights import replicates
from windtunnel.studies.self_knowledge import figures
from windtunnel.studies.self_knowledge.given_code import ask_functions
from windtunnel.studies.self_knowledge.given_sources import ask_with_sources

if TYPE_CHECKING:
    from windtunnel.studies.self_knowledge import Config


FEWEST = 10
"""Right answers, and wrong ones, that a ranking needs, or it is not tested: of 5 or 6 among 40 that a confidence knows
nothing of, one in a hundred has an interval above 0.6, and of 10 none in 300."""


def ask_given(config: "Config", run: Run) -> None:
    """Ask, measure, draw and conclude."""
    assert run.model is not None
    model = load(run.model, device=run.device, dtype="float32" if run.device == "cpu" else "auto")
    count = config.given_questions
    every = mixed_arithmetic(count + max(2 * config.given_shots, 8), run.seed_for("questions"))
    samples, pool = every[:count], every[count:]
    run.section("The given model", f"{model.name}, on {count} questions of arithmetic; words {wording_sha256()[:12]}.")
    choices = _choices(model, samples, pool, config, run)
    answers = _answers(model, samples, pool, config, run)
    found = run.stage("asked", lambda: _confidences(model, samples, answers, config, run))
    right = answers["sampled"].right
    if run.null:  # what is right is shuffled over questions: no confidence can know it
        order = run.generator("null").permutation(count)
        right = right[order]
        found = {**found, "greedy right": np.asarray(found["greedy right"])[order]}
    _conclude(model, samples, answers["sampled"], config, found, right, choices, run)


def _answers(
    model: LanguageModel, samples: Sequence[Sample], pool: Sequence[Sample], config: "Config", run: Run
) -> dict[str, Answers]:
    """Sampled and greedy answers, by the engine, which continues what a killed run has left."""
    shots = few_shot(pool, config.given_shots, seed=run.seed_for("shots")) if config.given_shots else None
    found = {}
    for name, temperature, epochs in (("sampled", 1.0, config.given_samples), ("greedy", 0.0, 1)):
        run.note(f"asking {len(samples)} questions {epochs} times ({name})")
        task = answering_task(
            f"arithmetic-{name}", samples, match("number"), shots=shots, temperature=temperature, max_new_tokens=8
        )
        out = run.directory / "evaluations" / name
        found[name] = gather(evaluate(task, model, out=out, epochs=epochs, seed=run.seed_for(name)))
    return found


def _choices(
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
    if head is None or ranking is None or ranking.low <= 0.5:
        run.conclude("given-source", note="Needs a head that tells known questions from others.")
    else:
        before = sampled.prompts[half].removesuffix(question_prompt(str(samples[half].input)))
        rise = ask_with_sources(model, samples[half:], before, head, site, config, run)
        run.conclude("given-source", rise, note=f"A head at {site} that never saw a source.")
    if head is not None:
        ask_functions(model, np.asarray(found["states"][site]), share, site, config, run)
    top = {name: _top(each) for name, each in choices.items()}
    run.conclude("given-letters", _error_difference(top["texts"], top["letters"], config, generator), evidence="given")
    lost = paired_difference(
        top["letters"][1], top["none of the above"][1], generator=generator, resamples=config.resamples
    )
    run.conclude("given-nota", lost.difference, evidence="given")
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


def _top(each: dict[str, Floats]) -> tuple[Floats, Floats]:
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
    formats = {name: reliability(*top[name], **quick) for name in ("letters", "texts", "none of the above")}
    confident = {name: reliability(*pair, **quick) for name, pair in list(scores.items())[:4]}
    curves = {name: risk_coverage(*pair) for name, pair in list(ranks.items())[-4:]}
    figures.given([("formats, top option", formats), ("own answers", confident)], curves, run)
