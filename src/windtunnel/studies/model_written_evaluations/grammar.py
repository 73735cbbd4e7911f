"""The pipeline on statements whose truth is known: errors, confidence, diversity, raters, and the places of letters."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from windtunnel.data.worlds.written import TOPICS, StatementJudge, StatementWriter, truth
from windtunnel.evaluation.engine import evaluate
from windtunnel.evaluation.generated.asking import behaviour_task
from windtunnel.evaluation.generated.discriminating import LabelByFunction
from windtunnel.evaluation.generated.diversity import embed, entropy
from windtunnel.evaluation.generated.filtering import select
from windtunnel.evaluation.generated.pipeline import Settings, generate_evaluation
from windtunnel.evaluation.generated.raters import Rating, validate
from windtunnel.evaluation.generated.records import STATEMENT, YES_NO, Record, flipped
from windtunnel.evaluation.generated.summary import overall
from windtunnel.evaluation.mock import MockModel
from windtunnel.evaluation.multiple_choice import Orders
from windtunnel.laboratory.run import Run

if TYPE_CHECKING:
    from windtunnel.studies.model_written_evaluations import Config

BEHAVIOUR = "fond-of-things"
ORDERS: tuple[Orders, ...] = ("given", "cyclic")
THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995)
"""Least confidences at which the error of what would be kept is drawn."""


@dataclass(frozen=True)
class GrammarWriter:
    """The grammar as the writer of the pipeline."""

    world: StatementWriter
    behaviour: str = BEHAVIOUR

    def write(self, wanted: int, numbers: Sequence[int]) -> list[Record | str]:
        """Statements; see `evaluation.generated.writing.Writer`."""
        found: list[Record | str] = []
        for number in numbers:
            one = self.world.write(wanted == 0, number)
            question = STATEMENT.format(statement=one.text)
            name = f"{self.behaviour}/{('yes', 'no')[wanted]}/{number}"
            found.append(Record(name, self.behaviour, "grammar", question, YES_NO, wanted))
        return found

    def describe(self) -> dict[str, Any]:
        """What identifies it."""
        return {"writer": "grammar", "noise": self.world.noise, "seed": self.world.seed}


def discriminator(judge: StatementJudge, name: str) -> LabelByFunction:
    """The planted judge as the discriminator of the pipeline."""

    def first(records: Sequence[Record]) -> list[float]:
        said = judge.probabilities([each.text for each in records], [each.matching == 0 for each in records])
        return [value if each.matching == 0 else 1 - value for value, each in zip(said, records, strict=True)]

    return LabelByFunction(first, name)


def is_wrong(records: Sequence[Record]) -> np.ndarray:
    """Whether the label of each record of the grammar is false."""
    return np.array([truth(each.text).matches != (each.matching == 0) for each in records], dtype=float)


def laboratory(config: "Config", run: Run, number: int) -> dict[str, Any]:
    """One seed of the lab: everything whose truth is known, as numbers."""
    seed = run.seed_for("grammar", number)
    writer = GrammarWriter(StatementWriter(config.noise, seed=seed))
    written = [
        each for wanted in (0, 1) for each in writer.write(wanted, range(config.candidates)) if isinstance(each, Record)
    ]
    wrong = is_wrong(written)
    options: dict[str, Any] = {"noise": config.noise, "blind": run.null, "seed": seed}
    calibrated = np.array(discriminator(StatementJudge(config.accuracy, **options), "calibrated")(written))
    found = {"raw error": float(wrong.mean()), **_kept(written, wrong, calibrated, config.keep)}
    for name, sharpness in (("overconfident", 3.0), ("underconfident", 0.4)):
        weak = StatementJudge(config.weak_accuracy, sharpness=sharpness, **options)
        found[name] = _ceiling(written, wrong, discriminator(weak, name)(written))
    found["weak but calibrated"] = _ceiling(
        written, wrong, discriminator(StatementJudge(config.weak_accuracy, **options), "weak")(written)
    )
    uneven = StatementJudge(config.accuracy, spread=config.spread, **options)
    found |= _diversity(written, discriminator(uneven, "uneven")(written), config, run.generator("subset", number))
    found |= _raters(written, wrong, calibrated, config, run.generator("raters", number))
    return found


def _kept(written: Sequence[Record], wrong: np.ndarray, first: np.ndarray, keep: int) -> dict[str, Any]:
    """Errors and balance of what is kept, and errors of what thresholds would keep."""
    chosen = select(written, first.tolist(), keep=keep)
    labels = np.array([written[place].matching for place in chosen.kept])
    confirmed = chosen.confidence > 0.5
    curve = []
    for threshold in THRESHOLDS:
        inside = chosen.confidence > threshold
        curve.append([float(wrong[inside].mean()) if inside.any() else float("nan"), float(inside.mean())])
    return {
        "kept error": float(wrong[chosen.kept].mean()),
        "confirmed error": float(wrong[confirmed].mean()),
        "imbalance": float(abs((labels == 0).sum() - (labels == 1).sum())),
        "kept": len(chosen.kept),
        "counts": chosen.counts,
        "curve": np.array(curve),
        "calibrated": _ceiling(written, wrong, first.tolist()),
    }


def _ceiling(written: Sequence[Record], wrong: np.ndarray, first: Sequence[float]) -> dict[str, float]:
    """Mean confidence of all that is confirmed, and the share of it that is right."""
    matching = np.array([each.matching for each in written])
    confidence = np.where(matching == 0, first, 1 - np.asarray(first))
    inside = confidence > 0.5
    return {"confidence": float(confidence[inside].mean()), "right": float(1 - wrong[inside].mean())}


def _diversity(
    written: Sequence[Record], first: Sequence[float], config: "Config", generator: np.random.Generator
) -> dict[str, Any]:
    """Entropy of the true topics: of the surest, of as many confirmed ones at random, and with unlikeness counted."""
    names = [truth(each.text).topic for each in written]
    vectors, _ = embed([each.text for each in written], "words")
    top = select(written, first, keep=config.keep)
    varied = select(written, first, keep=config.keep, vectors=vectors, diversity=config.diversity)
    confirmed = np.flatnonzero(top.confidence > 0.5)
    random = [
        entropy([names[place] for place in generator.choice(confirmed, len(top.kept), replace=False)])
        for _ in range(20)
    ]
    return {
        "entropy of the surest": entropy([names[place] for place in top.kept]),
        "entropy at random": float(np.mean(random)),
        "entropy of the varied": entropy([names[place] for place in varied.kept]),
        "topics of the surest": np.array([sum(names[place] == name for place in top.kept) for name in TOPICS]),
        "topics of the varied": np.array([sum(names[place] == name for place in varied.kept) for name in TOPICS]),
    }


def _raters(
    written: Sequence[Record], wrong: np.ndarray, first: np.ndarray, config: "Config", generator: np.random.Generator
) -> dict[str, Any]:
    """Three raters of known skill look at what is kept; what they confirm is held against the truth."""
    kept = select(written, first.tolist(), keep=config.keep).kept
    records = [written[place] for place in kept]
    ratings = []
    for rater in range(3):
        slips = generator.random(len(records)) > config.rater_skill
        for record, is_false, slip in zip(records, wrong[kept], slips, strict=True):
            right = record.matching if not is_false else 1 - record.matching
            ratings.append(Rating(record.id, f"rater {rater + 1}", 1 - right if slip else right))
    found = validate(records, ratings)
    return {
        "confirmed by raters": found.confirmed.value,
        "kappa of raters": float("nan") if found.fleiss is None else found.fleiss.value,
    }


def whole_pipeline(config: "Config", run: Run) -> dict[str, Any]:
    """The pipeline into a directory with its page and map, once."""
    seed = run.seed_for("grammar", 0)
    judge = StatementJudge(config.accuracy, noise=config.noise, blind=run.null, seed=seed)
    settings = Settings(
        candidates=config.candidates,
        keep=config.keep,
        embedder=config.embedder,
        projection=config.projection,
        seed=run.seed,
    )
    writer = GrammarWriter(StatementWriter(config.noise, seed=seed))
    found = generate_evaluation(writer, discriminator(judge, "planted"), run.directory / "grammar", settings)
    return {"summary": found.summary}


# --- letters ---------------------------------------------------------------------------------------------------


def letters(config: "Config", run: Run) -> dict[str, Any]:
    """Models that prefer the letter A by far: one without any opinion, one with a trait of known strength."""
    records = _lettered(config.lettered, run.seed_for("lettered"))
    found = {}
    for name, share in (("no trait", 0.5), ("trait", config.trait)):
        model = MockModel(logprob=_prefers_a(share, run.seed), name=name)
        for orders in ORDERS:
            measured = overall(evaluate(behaviour_task(records, orders=orders), model, chunk=512))
            found[f"{name}, {orders}"] = {
                "matching": measured.matching.value,
                "low": measured.matching.low,
                "high": measured.matching.high,
                "A": measured.answered["A"],
                "probability": measured.probability.value,
            }
    all_a = [each for each in records if each.matching == 0]
    silent = MockModel(logprob=lambda _, answer: -0.1 if answer == "A" else -3.0, name="A alone")
    for orders in ORDERS:
        measured = overall(evaluate(behaviour_task(all_a, orders=orders), silent, chunk=512))
        found[f"A alone, {orders}"] = {"matching": measured.matching.value, "A": measured.answered["A"]}
    return found


def _lettered(count: int, seed: int) -> list[Record]:
    """Both kinds of statement as options, the matching one as often (A) as (B)."""
    writer = StatementWriter(0.0, seed=seed)
    found = []
    for number in range(count):
        options = (writer.write(True, number).text, writer.write(False, number).text)
        asked = f"Which of these would you say? ({number + 1})\n\nChoices:\n"
        record = Record(f"lettered/{number}", BEHAVIOUR, "grammar", asked, options, 0, letters=True)
        found.append(record if number % 2 else flipped(record))
    return found


def _prefers_a(share: float, seed: int) -> Any:
    """Log-probabilities of a model that prefers the letter A, and by less the matching option in that share."""

    def logprob(prompt: str, answer: str) -> float:
        line = next(line for line in prompt.splitlines() if line.startswith(f" ({answer}) "))
        number = prompt.partition("(")[2].partition(")")[0]
        drawn = int.from_bytes(hashlib.sha256(f"{seed}/{number}".encode()).digest()[:4], "big") / 2**32
        likes = truth(line[5:]).matches == (drawn < share)
        return (-0.2 if answer == "A" else -3.2) + (0.5 if likes else -0.5)

    return logprob
