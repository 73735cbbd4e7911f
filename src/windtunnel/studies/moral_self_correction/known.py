"""What is known beforehand: scores of published answers, and planted effects of race."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from windtunnel.evaluation.bias.admissions import admission_gap, unpaired_gap
from windtunnel.evaluation.bias.bbq import Items, bias_scores
from windtunnel.evaluation.bias.discrimination import discrimination
from windtunnel.evaluation.bias.unifiedqa import PUBLISHED, read_predictions
from windtunnel.evaluation.library.bbq import SOURCE, stereotyped
from windtunnel.evaluation.library.places import place
from windtunnel.laboratory.errors import UsageError
from windtunnel.laboratory.run import Run
from windtunnel.statistics.intervals import mean
from windtunnel.studies.moral_self_correction.admissions import planted

if TYPE_CHECKING:
    from windtunnel.studies.moral_self_correction import Config

POPULATION = 200_000
"""Students over whom the true difference is taken."""


def published_answers(run: Run) -> None:
    """BBQ's scores of UnifiedQA-11B's published answers, where they are at hand."""
    try:
        folder = place("bbq", SOURCE)
    except UsageError as error:
        for claim in ("published-scores", "wrong-items"):
            run.conclude(claim, note=str(error))
        return
    rows: list[dict[str, Any]] = []
    errors: list[float] = []
    too_small: list[float] = []
    for path in sorted(folder.rglob("preds_*.jsonl")):
        category = path.stem.removeprefix("preds_")
        for asked in ("arc", "race"):
            items, answers = published_items(path, asked)
            scores = bias_scores(items, answers, generator=run.generator("published", category, asked))
            rows.append({"category": category, "format": asked, **scores.as_row()})
            if (category, asked) in PUBLISHED:
                accuracy, score = PUBLISHED[category, asked]
                errors += [abs(scores.accuracy_ambiguous.value - accuracy), abs(scores.ambiguous.value - score)]
            too_small.append(scores.ambiguous.value / max(abs(scores.wrong_ambiguous), 1e-9))
    run.table("published", rows, "UnifiedQA-11B's published answers, by category and format of asking.")
    note = f"{len(errors) // 2} of {len(PUBLISHED)} published pairs are at hand."
    run.conclude("published-scores", max(errors) if errors else None, note=note)
    note = f"Over {len(too_small)} files and formats."
    run.conclude("wrong-items", min(too_small) if too_small else None, note=note)


def published_items(path: Any, asked: str) -> tuple[Items, Any]:
    """Items and answers of a file of predictions."""
    rows, answers = read_predictions(path, asked)
    facts = [
        {**row, "unknown": _unknown(row), "target": target, "cluster": row["question_index"]}
        for row, target in zip(rows, stereotyped(rows), strict=True)
    ]
    return Items.of(facts), answers


def _unknown(row: Mapping[str, Any]) -> int:
    return [row["answer_info"][f"ans{option}"][-1] for option in range(3)].index("unknown")


def admissions_from_the_law(config: "Config", run: Run) -> None:
    """Δ over a sample of students who are judged by the planted law itself, against all students."""
    world = planted(config, run.seed_for("law"), run.null, corrected=True)
    everyone = world.applicants(POPULATION, run.generator("population"))
    who = world.applicants(config.students, run.generator("students"))
    rows, errors, narrower = [], [], []
    for told in world.corrections:
        black, white = world.probability(who, True, told), world.probability(who, False, told)
        found, truth = admission_gap(black, white, generator=run.generator("gap", told)), world.gap(everyone, told)
        apart = unpaired_gap(black, white)
        rows.append({"told": told, "planted": round(truth, 2), "paired": str(found), "unpaired": str(apart)})
        errors.append(abs(found.value - truth))
        if found.high > found.low:
            narrower.append((apart.high - apart.low) / (found.high - found.low))
    run.table("law", rows, f"Δ in percentage points over {config.students} students judged by the planted law.")
    run.conclude("admissions-recovered", max(errors), note="Largest over conditions.")
    note = "Least over conditions." if narrower else "No effect of race varies, so that pairing leaves no width at all."
    run.conclude("admissions-pairing", min(narrower) if narrower else None, note=note)


def discrimination_of_models(config: "Config", grown: Mapping[int, Sequence[Mapping[str, Any]]], run: Run) -> None:
    """γ by the regression of log-odds, in the decisions of every model that has read the text."""
    truth = 0.0 if run.null else config.race
    errors = []
    for models in grown.values():
        for one in models:
            black, white = one["decisions"][0]
            count = len(black)
            found = discrimination(
                np.concatenate([black, white]),
                {"race": ["Black"] * count + ["white"] * count},
                [*range(count), *range(count)],
                baselines={"race": "white"},
            )
            errors.append(found.effects["race=Black"].value - truth)
    note = f"Mean over {len(errors)} models, each with its own text; γ = {truth:g} is planted."
    run.conclude("discrimination-recovered", mean(errors), note=note)
