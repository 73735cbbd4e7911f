"""Sections 4 and 5 on organisms: P(IK) in and out of distribution, sources, other models' heads, P(True), baselines."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from windtunnel.evaluation.calibration import summary
from windtunnel.evaluation.self_knowledge.p_ik import Probe, fit_probe
from windtunnel.laboratory.run import Run
from windtunnel.laboratory.sweeps import Backend, sweep, values
from windtunnel.statistics import auroc, calibration_error
from windtunnel.statistics.estimates import Estimate
from windtunnel.statistics.intervals import Floats
from windtunnel.studies.self_knowledge import figures
from windtunnel.studies.self_knowledge.organisms import LENGTHS, SOURCES, Organism, measure_organism

if TYPE_CHECKING:
    from windtunnel.studies.self_knowledge import Config

LAST = "ln_final.hook_out"
LEARNED = 0.05
"""Below this share of known facts, and below this rise behind a source, ratios say nothing and are not tested."""

OVER = "Mean over organisms; the interval is their range."
UNLEARNED = "The models learned too little for the ratio to mean anything."


def study_knowledge(config: "Config", run: Run) -> None:
    """Train the organisms, fit heads on them, measure, draw and conclude."""
    world = run.seed_for("world")
    organisms = [Organism(number, config, run.child(f"organism-{number}"), world) for number in range(config.organisms)]
    backend: Backend = "processes" if run.workers > 1 else "in-process"
    with run.watch([each.run for each in organisms]):
        measured = values(sweep(measure_organism, organisms, backend=backend, workers=run.workers))
    found = run.stage("heads", lambda: {"rows": [_heads(each, organisms, measured, run) for each in organisms]})["rows"]
    run.section("P(IK)", "What a value head says of questions before they are answered, against the exact truth.")
    figures.knowledge(organisms, measured, found, run)
    _conclude_heads(found, run)
    _tables(organisms, measured, found, config, run)
    run.section("P(True)", "What the models say of their own answers, of entities they were never taught to judge.")
    judged = run.stage("judgements", lambda: {"rows": [_judgements(each, config, run) for each in measured]})["rows"]
    figures.judgements(measured, run)
    _conclude_judgements(judged, measured, config, run)


def over(numbers: Sequence[float]) -> Estimate:
    """Mean and range."""
    return Estimate(float(np.mean(numbers)), float(np.min(numbers)), float(np.max(numbers)))


@dataclass(frozen=True)
class _Truth:
    """What an organism's questions are judged by.

    Attributes:
        known: Whether the right answer is more probable than not, exactly.
        share: Of the sampled answers that are right.
        draws: Sampled answers of each question.
        generator: Of the resampling that estimates ask for.
    """

    known: Floats
    share: Floats
    draws: int
    generator: np.random.Generator

    def auroc(self, confidence: Floats, part: Floats) -> float:
        """How well a confidence ranks what is known, among some questions."""
        return auroc(confidence[part], self.known[part], generator=self.generator, resamples=2).value

    def error(self, confidence: Floats, part: Floats) -> float:
        """ECE over the sampled answers: shares of n samples are n outcomes each."""
        outcomes = np.arange(self.draws) < np.rint(self.share[part] * self.draws)[:, None]
        each = np.repeat(confidence[part], self.draws)
        return calibration_error(each, outcomes.ravel(), generator=self.generator, resamples=2).value

    def squares(self, confidence: Floats, part: Floats) -> float:
        """Brier score against what is known."""
        return float(((confidence[part] - self.known[part]) ** 2).mean())


def _heads(
    own: Organism, organisms: Sequence[Organism], measured: Sequence[dict[str, Any]], run: Run
) -> dict[str, Any]:
    """Probes on one organism's states, and on those of the others for its labels."""
    config, mine = own.config, measured[own.number]
    learned, held, unseen = (part.flatten().numpy() for part in own.parts)
    exact, share = mine["exact"]["none"].flatten(), mine["share"].flatten()
    states = mine["states"]["none"]
    truth = _Truth(exact > 0.5, share, config.draws, run.generator("heads", own.number))
    first = learned & (np.arange(len(learned)) % config.relations == 0)
    others = held & (np.arange(len(held)) % config.relations != 0)

    def probed(inputs: Floats, chosen: Floats, labels: Floats = share) -> Probe:
        return fit_probe(inputs[chosen], labels[chosen], seed=own.number)

    head = probed(states[LAST], learned)
    said, one = head(states[LAST]), probed(states[LAST], first)(states[LAST])
    sources = {source: head(mine["states"][source][LAST]) for source in SOURCES}
    insisted = exact / np.maximum(1 - mine["passes"].flatten(), 1e-12)
    tuned, tuned_one = mine["tuned"]["all"].flatten(), mine["tuned"]["one"].flatten()
    shuffled = []
    for labels in _shuffled(share, learned, config.shuffles, run.seed_for("shuffles", own.number)):
        shuffled.append(truth.auroc(probed(states[LAST], learned, labels)(states[LAST]), held))
    crossed = {}
    for other in organisms:
        if other.number != own.number:  # the same questions, another model's states, these labels
            theirs = measured[other.number]["states"]["none"][LAST]
            crossed[str(other.number)] = truth.auroc(probed(theirs, learned)(theirs), held)
    return {
        "said": said,
        "correlation": float(np.corrcoef(said[held], exact[held])[0, 1]),
        "auroc": truth.auroc(said, held),
        "correlation insisted": float(np.corrcoef(said[held], insisted[held])[0, 1]),
        "auroc insisted": auroc(said[held], insisted[held] > 0.5, generator=truth.generator, resamples=2).value,
        "auroc unseen": truth.auroc(said, unseen),
        "ece": truth.error(said, held),
        "ece unseen": truth.error(said, unseen),
        "brier": truth.squares(said, held),
        "brier unseen": truth.squares(said, unseen),
        "brier others": [truth.squares(said, others), truth.squares(one, others)],
        "auroc others": [truth.auroc(said, others), truth.auroc(one, others)],
        "tuned": [
            truth.auroc(tuned, held),
            truth.squares(tuned, held),
            truth.error(tuned, held),
            truth.auroc(tuned, unseen),
        ],
        "tuned others": [truth.squares(tuned, others), truth.squares(tuned_one, others)],
        "shuffled": float(np.mean(shuffled)),
        "said with sources": sources,
        "rises": {source: float((sources[source] - said)[held].mean()) for source in SOURCES},
        "by length": [
            {
                "said": float(head(one["states"][LAST])[held].mean()),
                "exact": float(one["exact"].flatten()[held].mean()),
            }
            for one in (mine["by length"][str(count)] for count in LENGTHS)
        ],
        "crossed": crossed,
        "cells": _cells(said, held, own, organisms, measured),
        "layers": {site: truth.auroc(probed(each, learned)(each), held) for site, each in states.items()},
        "baselines": {name: truth.auroc(each, held) for name, each in _baselines(mine, exact).items()},
        "known": float(truth.known[held].mean()),
    }


def _shuffled(share: Floats, learned: Floats, times: int, seed: int) -> Iterator[Floats]:
    """Labels that say nothing: those of the questions learned from, in other orders."""
    random = np.random.default_rng(seed)
    for _ in range(times):
        labels = share.copy()
        labels[learned] = random.permutation(labels[learned])
        yield labels


def _cells(
    said: Floats, held: Floats, own: Organism, organisms: Sequence[Organism], measured: Sequence[dict[str, Any]]
) -> dict[str, list[float | int]]:
    """Mean P(IK) where only this organism's greedy answer is right and where only another's is, and of how many."""
    cells: dict[str, list[float | int]] = {}
    greedy = measured[own.number]["greedy"].flatten().astype(bool)
    for other in organisms:
        if other.number != own.number:
            also = measured[other.number]["greedy"].flatten().astype(bool)
            only = [held & greedy & ~also, held & ~greedy & also]
            means = [float(said[part].mean()) if part.any() else float("nan") for part in only]
            cells[str(other.number)] = [*means, *(int(part.sum()) for part in only)]
    return cells


def _baselines(mine: dict[str, Any], exact: Floats) -> dict[str, Floats]:
    """Other confidences that an organism's answers give, and what no confidence can pass."""
    return {
        "minus entropy": -mine["entropy"].flatten(),
        "minus entropy, passing aside": -mine["own entropy"].flatten(),
        "minus probability of passing": -mine["passes"].flatten(),
        "highest probability": mine["highest"].flatten(),
        "exposure (oracle)": mine["exposure"].flatten().astype(float),
        "exact P(IK) (ceiling)": exact,
    }


def _conclude_heads(found: Sequence[dict[str, Any]], run: Run) -> None:
    def conclude(name: str, numbers: Sequence[float], evidence: str, note: str = OVER, tested: bool = True) -> None:
        run.conclude(name, over(numbers) if tested else None, evidence=evidence, note=note if tested else UNLEARNED)

    learned = min(each["known"] for each in found) > LEARNED
    conclude("knows", [each["correlation"] for each in found], "knowledge")
    conclude("separates", [each["auroc"] for each in found], "knowledge")
    conclude("calibrated", [each["ece"] for each in found], "knowledge")
    ratios = [each["ece unseen"] / max(each["ece"], 1e-9) for each in found]
    conclude("unseen-relation", ratios, "knowledge", tested=learned)
    gains = [each["brier others"][0] - each["brier others"][1] for each in found]
    conclude("more-relations", gains, "knowledge", tested=learned)
    conclude("tuned", [each["tuned"][0] for each in found], "knowledge")
    conclude("shuffled-labels", [each["shuffled"] for each in found], "knowledge")
    rises = {source: [each["rises"][source] for each in found] for source in SOURCES}
    # of a model that knows nothing a head has learned a constant, and where that leads behind a source is chance
    conclude("correct-source", rises["correct"], "sources", tested=learned)
    copied = learned and min(rises["correct"]) > LEARNED
    pairs = zip(rises["irrelevant"], rises["correct"], strict=True)
    conclude("irrelevant-source", [one / max(other, 1e-9) for one, other in pairs], "sources", tested=copied)
    slopes = [float(np.polyfit(LENGTHS, [one["said"] for one in each["by length"]], 1)[0]) for each in found]
    conclude("longer-source", slopes, "source-length", tested=copied)
    gaps = [cell[0] - cell[1] for each in found for cell in each["cells"].values()]
    own = [each["auroc"] - other for each in found for other in each["crossed"].values()]
    lowest = "The value is the lowest row of all pairs of organisms, the interval the range of the rows."
    for name, numbers in (("own-knowledge", gaps), ("own-head", own)):
        if not learned:  # a bar of 0 is a sign, which a few rows of noise may share
            run.conclude(name, evidence="own-knowledge", note=UNLEARNED)
            continue
        ends = (float(np.min(numbers)), float(np.max(numbers)))
        run.conclude(name, ends[0], interval=ends, evidence="own-knowledge", note=lowest)
    entropy = [each["baselines"]["minus entropy"] for each in found]
    conclude("entropy", entropy, "knowledge", note=f"{OVER} Entropies are exact, of the whole distribution.")


def _tables(
    organisms: Sequence[Organism],
    measured: Sequence[dict[str, Any]],
    found: Sequence[dict[str, Any]],
    config: "Config",
    run: Run,
) -> None:
    """Table 1, Tables 2 and 3, layers and baselines."""

    def mean(pick: Callable[[dict[str, Any]], float]) -> float:
        return float(np.mean([pick(each) for each in found]))

    rows = [
        {"head": "probe, all relations but the last", "tested on": "held-out entities"}
        | {"AUROC": mean(lambda e: e["auroc"]), "Brier": mean(lambda e: e["brier"]), "ECE": mean(lambda e: e["ece"])},
        {"head": "probe, all relations but the last", "tested on": "held-out entities, if it must answer"}
        | {"AUROC": mean(lambda e: e["auroc insisted"])},
        {"head": "probe, all relations but the last", "tested on": "the last relation"}
        | {
            "AUROC": mean(lambda e: e["auroc unseen"]),
            "Brier": mean(lambda e: e["brier unseen"]),
            "ECE": mean(lambda e: e["ece unseen"]),
        },
        {"head": "probe, all relations but the last", "tested on": "relations that the next row has not seen"}
        | {"AUROC": mean(lambda e: e["auroc others"][0]), "Brier": mean(lambda e: e["brier others"][0])},
        {"head": "probe, first relation only", "tested on": "the same"}
        | {"AUROC": mean(lambda e: e["auroc others"][1]), "Brier": mean(lambda e: e["brier others"][1])},
        {"head": "whole model, all relations but the last", "tested on": "held-out entities"}
        | {
            "AUROC": mean(lambda e: e["tuned"][0]),
            "Brier": mean(lambda e: e["tuned"][1]),
            "ECE": mean(lambda e: e["tuned"][2]),
        },
    ]
    rows += [
        {"head": name, "tested on": "held-out entities", "AUROC": mean(_picked("baselines", name))}
        for name in found[0]["baselines"]
    ]
    rows += [
        {"head": f"probe at {site}", "tested on": "held-out entities", "AUROC": mean(_picked("layers", site))}
        for site in found[0]["layers"]
    ]
    run.table("table-1", rows, "Heads and what they are compared with, means over organisms (as the paper's Table 1).")
    cells = []
    for one, other in itertools.permutations(range(len(organisms)), 2):
        mine, theirs, count, other_count = found[one]["cells"][str(other)]
        cells.append(
            {
                "P(IK) of": one,
                "where only it is right": mine,
                "where only the other is": theirs,
                "other": other,
                "questions": f"{count}, {other_count}",
                "AUROC of its head": found[one]["auroc"],
                "AUROC of a head on the other's states": found[one]["crossed"][str(other)],
            }
        )
    run.table("tables-2-and-3", cells, "Own and others' knowledge (as the paper's Tables 2 and 3).")
    held = organisms[0].parts[1].flatten().numpy()
    outcomes = np.arange(config.draws) < np.rint(measured[0]["share"].flatten()[held] * config.draws)[:, None]
    said = np.repeat(found[0]["said"][held], config.draws)
    question = np.repeat(np.arange(int(held.sum())), config.draws)
    row = summary(
        "P(IK) of organism 0",
        said,
        outcomes.ravel(),
        generator=run.generator("summary"),
        clusters=question,
        resamples=config.resamples,
    )
    run.table("p-ik-metrics", [row], "P(IK) against 30 sampled answers per question; intervals by question.")


def _judgements(mine: dict[str, Any], config: "Config", run: Run) -> dict[str, Any]:
    """Brier scores, conditional accuracy and calibration of one organism's judgements."""
    judged = mine["judged"]
    right = judged["right"].astype(float)
    generator = run.generator("judgements")
    found: dict[str, Any] = {"base": float(right.mean())}
    for kind in ("alone", "helped"):
        said = judged[kind]
        sure = said > 0.5
        found[kind] = {
            "brier": float(((said - right) ** 2).mean()),
            "auroc": auroc(said.ravel(), right.ravel(), generator=generator, resamples=2).value,
            "conditional": float(right[sure].mean()) if sure.any() else float("nan"),
            "sure": float(sure.mean()),
        }
    both = np.concatenate([judged["of-right"], judged["of-wrong"]])
    truth = np.repeat([1.0, 0.0], len(judged["of-right"]))
    found["true-false"] = calibration_error(
        np.maximum(both, 1 - both), (both > 0.5) == truth, generator=generator, resamples=2
    ).value
    found["accuracy"] = float(((both > 0.5) == truth).mean())
    return found


def _conclude_judgements(
    judged: Sequence[dict[str, Any]], measured: Sequence[dict[str, Any]], config: "Config", run: Run
) -> None:
    gains = [each["helped"]["conditional"] - each["base"] for each in judged]
    run.conclude(
        "p-true", over(gains), evidence="judgements", note=f"{OVER} With brainstormed answers, as the paper's."
    )
    differences = [each["helped"]["brier"] - each["alone"]["brier"] for each in judged]
    learned = min(each["base"] for each in judged) > 1 / config.answers + LEARNED
    value = over(differences) if learned else None
    run.conclude("brainstorm", value, evidence="judgements", note=OVER if learned else UNLEARNED)
    run.conclude("true-false", over([each["true-false"] for each in judged]), evidence="judgements", note=OVER)
    rows = []
    for number, (found, mine) in enumerate(zip(judged, measured, strict=True)):
        leaks = np.asarray(mine["judged"]["leaks"])
        for kind, name in (("alone", "none"), ("helped", "five, the judged one among them")):
            rows.append(
                {
                    "organism": number,
                    "ideas shown": name,
                    "base accuracy": found["base"],
                    "right where P(True) > 0.5": found[kind]["conditional"],
                    "share of those": found[kind]["sure"],
                    "AUROC": found[kind]["auroc"],
                    "Brier": found[kind]["brier"],
                    "ideas equal to the judged": float(leaks.mean()) if kind == "helped" else 0.0,
                }
            )
    run.table("judgements", rows, "P(True) of own answers; equal ideas show the judge how consistent the model is.")


def _picked(group: str, name: str) -> Callable[[dict[str, Any]], float]:
    return lambda each: float(each[group][name])
