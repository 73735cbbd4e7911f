"""People telling generated text from other: the protocol with simulated raters whose skill is known."""

from typing import TYPE_CHECKING

import numpy as np

from windtunnel.evaluation.contamination import difference
from windtunnel.evaluation.detection.material import Topic, plan_material
from windtunnel.evaluation.detection.raters import Raters, simulate, skill_of_accuracy
from windtunnel.evaluation.detection.ratings import counted
from windtunnel.evaluation.detection.scoring import (
    against_control,
    by_model,
    exponent_of_size,
    participant_accuracies,
    score,
    t_of_intervals,
    two_way_mean,
)
from windtunnel.laboratory.run import Run
from windtunnel.statistics.estimates import Estimate
from windtunnel.statistics.intervals import proportion
from windtunnel.studies.few_shot_learning import figures
from windtunnel.studies.few_shot_learning.published import DETECTION, T_STATISTIC

if TYPE_CHECKING:
    from windtunnel.studies.few_shot_learning import Config

LARGEST = "GPT-3 175B"

POPULATION = {"criterion": 0.15, "bias_spread": 0.2, "lapses": 0.02}
"""What all raters are like but for their skill."""


def study_detection(config: "Config", run: Run) -> None:
    """Simulate the paper's experiment with raters of the accuracy that people had there; the null: without skill."""
    run.section(
        "Telling generated text from other",
        "Simulated raters: what comes out is what was put in, and that is the point. People rate on the pages of "
        "evaluation.detection, and are scored by the same code.",
    )
    check_table(run)
    topics = [Topic(str(place), "", "", "", dict.fromkeys(DETECTION, "")) for place in range(config.articles)]
    key = plan_material(topics, dict.fromkeys(DETECTION, config.participants), run.seed_for("material"))
    raters = {
        name: Raters(0.0 if run.null else skill_of_accuracy(accuracy, **POPULATION), cheats=0.05, **POPULATION)
        for name, (_, accuracy, _, _) in DETECTION.items()
    }
    ratings, excluded = counted(simulate(key, raters, run.generator("raters")), key)
    parts = by_model(ratings)
    found = {name: score(parts[name], run.generator("score", name)) for name in DETECTION}
    rows = []
    for name, each in found.items():
        test = against_control(parts["control"], parts[name])
        rows.append(
            {
                "model": name,
                "participants": each.participants,
                "accuracy": str(each.accuracy),
                "true accuracy": raters[name].accuracy,
                "over raters and texts": str(each.over_both),
                "d'": str(each.d_prime),
                "no side": each.neutral,
                "t against control": test.t,
                "p": test.p_value,
            }
        )
    run.table("detection", rows, f"Simulated raters; {len(excluded)} who looked texts up are left out.")
    sizes = {name: size for name, (size, *_) in DETECTION.items()}
    figures.show_detection(found, sizes, {name: row[1] for name, row in DETECTION.items()}, run)
    gap = difference(found["control"].accuracy, found[LARGEST].accuracy)
    run.conclude("detection-control", gap, evidence="detection", note="Simulated raters, not people.")
    named = [name for name, size in sizes.items() if size is not None]
    exponent = exponent_of_size([sizes[name] or 0 for name in named], [found[name].accuracy.value for name in named])
    run.conclude("detection-by-size", exponent, evidence="detection", note="Simulated raters, not people.")
    check_coverage(config, run)


def check_table(run: Run) -> None:
    """Whether the printed t statistic lies in what the printed intervals allow: half a percent of rounding each."""
    _, control, *ends = DETECTION["control"]
    _, largest, *others = DETECTION[LARGEST]
    half = 0.005
    values = [
        t_of_intervals(
            Estimate(control + shift, ends[0] + shift - spread, ends[1] + shift + spread),
            Estimate(largest - shift, others[0] - shift - spread, others[1] - shift + spread),
            (80, 80),
        )
        for shift in (-half, half)
        for spread in (-half, half)
    ]
    outside = max(min(values) - T_STATISTIC, T_STATISTIC - max(values), 0.0)
    note = f"About 80 participants each: between {min(values):.1f} and {max(values):.1f}; printed {T_STATISTIC}."
    run.conclude("detection-table", outside, note=note)


def check_coverage(config: "Config", run: Run) -> None:
    """How often intervals hold the true accuracy, where texts differ in how much they look like a machine's."""
    raters = Raters(skill_of_accuracy(0.65, text_spread=0.4, bias_spread=0.2), text_spread=0.4, bias_spread=0.2)
    people = max(config.participants // 2, 4)
    shown = {
        str(person): {
            "model": "m",
            "articles": {
                f"{person}-{text}": {"topic": str(text), "generated": (text + person) % 2 == 0}
                for text in range(config.articles)
            },
        }
        for person in range(people)
    }
    key = {"participants": shown}
    generator = run.generator("coverage")
    over_both = over_raters = 0
    for _ in range(config.repetitions):
        ratings, _ = counted(simulate(key, {"m": raters}, generator), key)
        decided = [rating for rating in ratings if not rating.neutral]
        wide = two_way_mean(
            [rating.correct for rating in decided],
            [rating.participant for rating in decided],
            [rating.article for rating in decided],
        )
        shares = np.array(list(participant_accuracies(ratings).values()))
        error = 1.99 * shares.std(ddof=1) / len(shares) ** 0.5
        over_both += wide.low <= raters.accuracy <= wide.high
        over_raters += abs(shares.mean() - raters.accuracy) <= error
    alone = over_raters / config.repetitions
    run.conclude(
        "detection-coverage",
        proportion(over_both, config.repetitions),
        note=f"{config.repetitions} experiments of {people} raters. The paper's interval, over raters alone, holds it "
        f"in {alone:.2f} of them, since it takes the texts as given.",
    )
