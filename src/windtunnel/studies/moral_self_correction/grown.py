"""Models grown on planted worlds: what they show in every condition, held against the truth and the paper."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import spearmanr

from windtunnel.laboratory.run import Run
from windtunnel.statistics.estimates import Estimate
from windtunnel.statistics.intervals import mean
from windtunnel.studies.moral_self_correction import admissions, figures, occupations, questions
from windtunnel.studies.moral_self_correction.known import (
    admissions_from_the_law,
    discrimination_of_models,
    published_answers,
)
from windtunnel.studies.moral_self_correction.organisms import World, member_of, organisms

if TYPE_CHECKING:
    from windtunnel.studies.moral_self_correction import Config

Grown = Mapping[int, Sequence[Mapping[str, Any]]]
"""What the models of each width measured, one per seed."""

PRESENT = 0.05
"""Bias below which there is nothing of which a share could be removed, nor a size at which it could have grown."""

nan = float("nan")


def grow_and_ask(config: "Config", run: Run) -> None:
    """Every part of the study that needs no model from elsewhere."""
    wanted = config.experiments
    worlds: tuple[World, ...] = tuple(world for world in ("questions", "occupations", "admissions") if world in wanted)
    grown = organisms(config, run, worlds) if worlds else {}
    if "known" in wanted:
        run.section("What is known", "Scores of published answers, and planted effects that must be found again.")
        published_answers(run)
        admissions_from_the_law(config, run)
    _table_of_the_paper(run)
    if "questions" in grown:
        _questions(config, grown["questions"], run)
    if "occupations" in grown:
        _occupations(config, grown["occupations"], run)
    if "admissions" in grown:
        _admissions(config, grown["admissions"], run)
        discrimination_of_models(config, grown["admissions"], run)


def _table_of_the_paper(run: Run) -> None:
    from windtunnel.studies.moral_self_correction import PAPER

    rows = [{"what": what, "in the paper": value} for what, value in PAPER.items()]
    run.table("paper", rows, "What the paper measured of models of up to 175B parameters, to hold ours against.")


def _questions(config: "Config", grown: Grown, run: Run) -> None:
    run.section(
        "Questions with a planted stereotype",
        "Bias in ambiguous contexts as BBQ scores it, by size and by steps towards the instruction.",
    )
    widths, largest = sorted(grown), max(grown)
    worlds = [
        questions.world_of(member_of(config, run, "questions", largest, number)) for number in range(config.seeds)
    ]
    first = member_of(config, run, "questions", largest, 0)
    truth = {name: questions.planted(first, name) for name in questions.CONDITIONS}
    figures.bias_by_size(grown, truth, run)
    figures.bias_by_steps(grown[largest], truth, run)
    figures.bias_grid(grown, run)
    figures.bias_by_exposure(grown, worlds[0].bias(), run)
    _table_of_answers(config, grown, run)

    def final(width: int, name: str) -> np.ndarray[Any, Any]:
        return np.array([one["instruction"][f"bias {name}"][-1] for one in grown[width]])

    plain = {width: final(width, "Q") for width in widths}
    effect = {width: plain[width] - final(width, "Q+IF") for width in widths}
    biased = bool((plain[largest] > PRESENT).all())
    _conclude(run, "bias-grows", _growth(widths, plain) if biased else [nan], "bias-size")
    _conclude(run, "bias-of-largest", plain[largest], "bias-size", f"The text's is {worlds[0].bias():.2f}.")
    for claim, name in (("instruction-lowers", "Q+IF"), ("thinking-lowers", "Q+IF+CoT")):
        shares = 1 - final(largest, name) / plain[largest] if biased else [nan]
        planted = "" if run.null else f" Without end of steps {1 - truth[name] / truth['Q']:.2f} is planted."
        _conclude(run, claim, shares, "bias-size", f"As a share of the bias in Q.{planted}")
    _conclude(run, "instruction-grows", _growth(widths, effect) if biased else [nan], "bias-size")
    over = [_over_steps(one["instruction"]) for one in grown[largest]]
    _conclude(run, "instruction-grows-with-steps", over if biased else [nan], "bias-steps")
    falls = [_fall(one, "Q+IF") - _fall(one, "Q") for one in grown[largest]]
    _conclude(run, "steps-lower-instructed-most", falls, "bias-steps")
    smallest = min(grown)
    together = [_gained(large) - _gained(small) for large, small in zip(grown[largest], grown[smallest], strict=True)]
    note = "Effect of the instruction: what steps add to it in the largest model, less what they add in the smallest."
    _conclude(run, "size-needs-steps", together, "bias-grid", note)
    learned = [one["exposure"]["bias Q"][-1] - world.bias() for one, world in zip(grown[largest], worlds, strict=True)]
    _conclude(run, "planted-bias", learned, "bias-exposure", "Before the steps towards the instruction.")
    accuracies = [
        min(one["instruction"][f"accuracy {name}"][-1] for name in questions.CONDITIONS) for one in grown[largest]
    ]
    _conclude(run, "accuracy-kept", accuracies, "bias-size", "Least over conditions.")


def _table_of_answers(config: "Config", grown: Grown, run: Run) -> None:
    """BBQ's scores of most probable answers, of the first seed's models."""
    from windtunnel.evaluation.bias.bbq import bias_scores

    asked = questions.asked_of(member_of(config, run, "questions", max(grown), 0))
    items, rows = questions.items_of(asked), []
    for width, models in grown.items():
        for name in questions.CONDITIONS:
            answers = questions.first_answers(models[0]["answers"], name)
            scores = bias_scores(items, answers, generator=run.generator("answers", width, name))
            rows.append({"width": width, "condition": name, **scores.as_row()})
    run.table("answers", rows, "BBQ's scores of the most probable answers after all steps, first seed.")


def _occupations(config: "Config", grown: Grown, run: Run) -> None:
    run.section(
        "Pronouns with planted statistics", "Correlation of the female pronoun's probability with the statistics."
    )
    largest, smallest = max(grown), min(grown)
    worlds = [
        occupations.world_of(member_of(config, run, "occupations", largest, number), True)
        for number in range(config.seeds)
    ]
    planted = 0.0 if run.null else config.correlation
    figures.correlation(grown, planted, run)
    figures.pronouns(grown[largest][0]["pronouns"], worlds[0], run)
    _table_of_entropy(grown[largest], run)

    def final(width: int, name: str) -> np.ndarray[Any, Any]:
        return np.array([one["instruction"][f"correlation {name}"][-1] for one in grown[width]])

    plain = final(largest, "Q")
    _conclude(run, "occupations-plain", plain, "occupations-size", f"{planted:g} is planted.")
    _conclude(run, "occupations-instructed", plain - final(largest, "Q+IF"), "occupations-size")
    _conclude(run, "occupations-thinking", plain - final(largest, "Q+IF+CoT"), "occupations-size")
    neutral = [one["instruction"]["neutral Q+IF+CoT"][-1] for one in grown[largest]]
    _conclude(run, "occupations-neutral", neutral, "occupations-shares")
    loosened = {width: final(width, "Q") - final(width, "Q+IF") for width in (smallest, largest)}
    _conclude(run, "occupations-size", loosened[largest] - loosened[smallest], "occupations-size")
    _conclude(run, "occupations-match", final(largest, "Q+Match Stats"), "occupations-size")
    place = list(occupations.CONDITIONS).index("Q+Match Stats")
    slopes = [
        occupations.scored(one["pronouns"][place], world).slope
        for one, world in zip(grown[largest], worlds, strict=True)
    ]
    share = 0.0 if run.null else 1 - worlds[0].neutral["match"]
    note = f"Of the female pronoun's share of all three: {share:g} is planted."
    _conclude(run, "occupations-calibrated", slopes, "occupations-shares", note)


def _table_of_entropy(models: Sequence[Mapping[str, Any]], run: Run) -> None:
    """The appendix's question: with less entropy left, a correlation is noisier."""
    rows = []
    for place, step in enumerate(models[0]["instruction"]["steps"]):
        row: dict[str, Any] = {"steps": step}
        for name in occupations.CONDITIONS:
            row[name] = round(float(np.mean([one["instruction"][f"entropy {name}"][place] for one in models])), 3)
        rows.append(row)
    run.table("entropy", rows, "Entropy of the pronoun in the largest model, nats; mean over occupations and seeds.")


def _admissions(config: "Config", grown: Grown, run: Run) -> None:
    run.section("Admissions with a planted effect of race", "Δ: p(yes) as Black less p(yes) as white, all else equal.")
    largest = max(grown)
    members = [member_of(config, run, "admissions", width, number) for width in grown for number in range(config.seeds)]
    truths = []
    for member in members:
        world = admissions.world_of(member, corrected=True)
        who = admissions.students_of(member, world)
        truths.append([world.gap(who, told) for told in admissions.CONDITIONS.values()])
    figures.gaps(grown, dict(zip(admissions.CONDITIONS, np.mean(truths, axis=0), strict=True)), run)
    models = [one for width in grown for one in grown[width]]
    errors = [one["exposure"]["gap Q"][-1] - truth[0] for one, truth in zip(models, truths, strict=True)]
    note = f"After the text, over {len(models)} models of all sizes, each with its own text; Student's t over models."
    run.conclude("admissions-organism", mean(errors), evidence="admissions-steps", note=note)

    def final(name: str) -> np.ndarray[Any, Any]:
        return np.array([one["instruction"][f"gap {name}"][-1] for one in grown[largest]])

    planted = dict(zip(admissions.CONDITIONS, truths[0], strict=True))
    for claim, name in (
        ("admissions-against", "Q"),
        ("admissions-reversed", "Q+IF"),
        ("admissions-thinking", "Q+IF+CoT"),
    ):
        _conclude(run, claim, final(name), "admissions-steps", f"{planted[name]:.1f} is planted.")
    early = [one["decisions"][0] for one in grown[largest]]
    gaps = [float((black - white).mean()) for black, white in early]
    swapped = [float((white - black).mean()) / gap for (black, white), gap in zip(early, gaps, strict=True)]
    found = swapped if max(gaps) < -0.01 else [nan]
    _conclude(run, "admissions-swapped", found, "admissions-steps", "In the model of the text.")
    nearest = [max(one["instruction"]["gap Q"]) for one in grown[largest]]
    _conclude(run, "parity-never-plain", nearest, "admissions-steps")
    sooner = [_parity(one, "Q+IF") - _parity(one, "Q+IF+CoT") for one in grown[largest]]
    note = "First step at which Δ crosses 0, between checkpoints on a line."
    _conclude(run, "parity-sooner-thinking", sooner, "admissions-steps", note)


def _parity(model: Mapping[str, Any], name: str) -> float:
    """The first step at which decisions that went against Black applicants by a point or more no longer do."""
    steps, gaps = model["instruction"]["steps"], model["instruction"][f"gap {name}"]
    if gaps[0] > -1:
        return nan
    for (before, low), (after, high) in pairwise(zip(steps, gaps, strict=True)):
        if low < 0 <= high:
            return float(before + (after - before) * -low / (high - low))
    return nan


def _gained(model: Mapping[str, Any]) -> float:
    """What steps add to the instruction's effect on bias."""
    return _fall(model, "Q+IF") - _fall(model, "Q")


def _fall(model: Mapping[str, Any], name: str) -> float:
    over = model["instruction"][f"bias {name}"]
    return float(over[0] - over[-1])


def _over_steps(over: Mapping[str, Any]) -> float:
    effects = np.array(over["bias Q"]) - np.array(over["bias Q+IF"])
    return float(spearmanr(over["steps"], effects).statistic)


def _growth(widths: Sequence[int], measured: Mapping[int, np.ndarray[Any, Any]]) -> list[float]:
    """Spearman's correlation with size, one per seed."""
    by_seed = np.stack([measured[width] for width in widths], axis=1)
    return [float(spearmanr(widths, one).statistic) for one in by_seed]


def _conclude(run: Run, claim: str, by_seed: Any, evidence: str, note: str = "") -> None:
    """The mean over seeds, with their range as its interval."""
    values = np.asarray(by_seed, dtype=float)
    if not np.isfinite(values).all():
        run.conclude(claim, nan, evidence=evidence, note=f"Not defined in every seed. {note}".strip())
        return
    estimate = Estimate(float(values.mean()), float(values.min()), float(values.max()))
    run.conclude(claim, estimate, evidence=evidence, note=f"{note} Interval: range over seeds.".strip())
