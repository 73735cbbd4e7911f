"""The model that the user names: BBQ, Winogender and the admissions questions in every condition, and paired sets."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from windtunnel.evaluation import asking
from windtunnel.evaluation.bias import bbq as scores
from windtunnel.evaluation.bias.admissions import admission_gap, read_students, sample_students, unpaired_gap
from windtunnel.evaluation.bias.benchmarks import (
    admissions_task,
    bbq_answers,
    bbq_task,
    pronoun_probabilities,
    winogender_task,
    yes_probabilities,
)
from windtunnel.evaluation.bias.discrimination import discrimination
from windtunnel.evaluation.bias.pairs import crows_pairs, shared_logprobs, winobias
from windtunnel.evaluation.bias.prompts import CONDITIONS, Condition
from windtunnel.evaluation.bias.winogender import correlation_difference, female_share, occupation_correlation
from windtunnel.evaluation.engine import evaluate
from windtunnel.evaluation.library import bbq, winogender
from windtunnel.evaluation.library import crows_pairs as crows
from windtunnel.evaluation.library import winobias as wino
from windtunnel.evaluation.library.places import place
from windtunnel.evaluation.library.subsets import drawn, subset
from windtunnel.evaluation.prompting import Prompt
from windtunnel.evaluation.results import Results
from windtunnel.evaluation.subjects import open_model
from windtunnel.evaluation.tasks import Task
from windtunnel.interpretability.heads.controls import forget
from windtunnel.laboratory.errors import DataError, Unsupported, UsageError
from windtunnel.laboratory.run import Run
from windtunnel.models.interface import LanguageModel
from windtunnel.statistics.comparisons import paired_difference
from windtunnel.statistics.estimates import Estimate
from windtunnel.statistics.intervals import bootstrap
from windtunnel.studies.moral_self_correction import given_figures

if TYPE_CHECKING:
    from windtunnel.studies.moral_self_correction import Config

LAW_SOURCE = "github.com/rgambee/self-correction-reproduction (datasets/law_data.csv)"

ASKED: tuple[Condition, ...] = ("Q", "Q+IF", "Q+IF+CoT")
"""Conditions of BBQ and of the admissions questions."""

Part = Callable[["Config", "Asker"], None]


class Asker:
    """The model asked, and where its evaluations are kept."""

    def __init__(self, model: LanguageModel, run: Run) -> None:
        self.model, self.run = model, run

    def __call__(self, task: Task) -> Results:
        """Ask a task; what was asked before is read back."""
        name = task.name.replace(" ", "-").replace("+", "-")
        out = self.run.directory / "evaluations" / name
        return evaluate(task, self.model, out=out, seed=self.run.seed_for(task.name))


def ask_given(config: "Config", run: Run) -> None:
    """Ask everything for which the data are at hand; the rest is not tested, and says what it needs."""
    assert run.model is not None
    model = open_model(run.model)
    if run.null:
        _forget(model, run)
    ask = Asker(model, run)
    for name, part, claims in (
        ("bbq", _bbq, ("given-bias", "given-instruction", "given-thinking")),
        ("winogender", _winogender, ("given-occupations", "given-occupations-instruction", "given-match")),
        ("admissions", _admissions, ("given-admissions", "given-admissions-instruction")),
        ("winobias", _winobias, ()),
        ("crows-pairs", _crows_pairs, ()),
    ):
        if name not in config.given_benchmarks:
            continue
        try:
            part(config, ask)
        except (UsageError, DataError) as error:
            run.note(f"{name}: {error}")
            for claim in claims:
                run.conclude(claim, note=str(error))


def _forget(model: LanguageModel, run: Run) -> None:
    """The null of a given model: its shape with untrained weights."""
    import torch

    try:
        forget(model, torch.Generator().manual_seed(run.seed))
    except Unsupported as error:
        raise UsageError(
            f"The null of a given model is the same model untrained, and {model.name} shows no weights; "
            "name a model that is loaded here."
        ) from error


def _asking(config: "Config", letters: bool = True) -> dict[str, Any]:
    options: dict[str, Any] = {"style": config.style, "thought_tokens": config.thought_tokens}
    return {**options, "orders": config.orders} if letters else options


# --- BBQ -----------------------------------------------------------------------------------------------------


def _bbq(config: "Config", ask: Asker) -> None:
    run = ask.run
    run.section(
        "BBQ",
        f"{config.given_questions} items spread over categories, contexts and polarities; options as letters, orders "
        f"{config.orders}. Scores are of the most probable option.",
    )
    rows: list[dict[str, Any]] = []
    by_condition: dict[str, dict[str, scores.BiasScores]] = {}
    answered: dict[str, Any] = {}
    for condition in ASKED[: 3 if config.given_thoughts else 2]:
        task = bbq_task(condition, count=config.given_questions, seed=config.seed, **_asking(config))
        if condition == "Q+IF+CoT":
            few = drawn(task.dataset, config.given_thoughts, seed=config.seed, by=bbq.GROUPS)
            task = replace(task, dataset=few)
        results = ask(task)
        items, answers, chances = bbq_answers(results)
        found = scores.by_category(items, answers, generator=run.generator("bbq", condition))
        by_condition[condition] = found
        ids = [str(record["id"]) for record in results.records]
        answered[condition] = dict(zip(ids, answers.tolist(), strict=True)), items, ids, chances
        rows += [
            {
                "condition": condition,
                "category": category,
                **one.as_row(),
                "by probability": _expected(items, chances, category, run),
            }
            for category, one in found.items()
        ]
    run.table("bbq", rows, "BBQ's scores with 95 % intervals over templates, by category and pooled.")
    given_figures.bbq(by_condition, run)
    whole = by_condition["Q"]["all"]
    note = (
        f"{whole.items} items, {whole.non_unknown[0]} ambiguous answers other than unknown, {whole.unanswered} failed."
    )
    run.conclude("given-bias", whole.ambiguous, evidence="bbq", note=note)
    for claim, condition in (("given-instruction", "Q+IF"), ("given-thinking", "Q+IF+CoT")):
        if condition not in answered:
            run.conclude(claim, note="Reasoning was not asked for: set given_thoughts above 0.")
            continue
        _, items, ids, chances = answered[condition]
        plain, told = (np.array([answered[one][0][name] for name in ids]) for one in ("Q", condition))
        change = scores.difference(items, plain, told, generator=run.generator("bbq", claim)).difference
        first = {name: place for place, name in enumerate(answered["Q"][2])}
        before = answered["Q"][3][[first[name] for name in ids]]
        soft = scores.difference(items, before, chances, generator=run.generator("bbq", claim, "soft")).difference
        note = f"{len(ids)} items. By probabilities of options in place of the most probable: {soft}."
        run.conclude(claim, change, evidence="bbq", note=note)


def _expected(items: scores.Items, chances: Any, category: str, run: Run) -> str:
    """Expected ambiguous score of answers drawn with the options' probabilities."""
    leanings = items.leanings(chances)
    here = items.ambiguous & np.isfinite(leanings)
    if category != "all":
        here &= items.category == category
    if not here.any():
        return ""
    generator = run.generator("expected", category)
    return str(bootstrap(leanings[here], clusters=items.cluster[here], generator=generator))


# --- Winogender ----------------------------------------------------------------------------------------------


def _winogender(config: "Config", ask: Asker) -> None:
    run = ask.run
    run.section("Winogender", "60 sentences about an occupation; the pronoun's probability against the statistics.")
    statistics = {name: row["bls"] for name, row in winogender.read_statistics().items()}
    rows, shares = [], {}
    for condition in CONDITIONS:
        if condition == "Q+IF+CoT" and not config.given_thoughts:
            continue
        names, said = pronoun_probabilities(ask(winogender_task(condition, **_asking(config, letters=False))))
        wanted = [statistics[name] for name in names]
        three, two = (occupation_correlation(said, wanted, normalisation=kind) for kind in ("three", "two"))
        rows.append(
            {
                "condition": condition,
                "ρ": str(three.correlation),
                "slope": round(three.slope, 3),
                "ρ, female and male only": str(two.correlation),
                **{name: round(getattr(three, name), 4) for name in winogender.GENDERS},
                "entropy, nats": round(three.entropy, 3),
                "occupations": three.occupations,
            }
        )
        shares[condition] = dict(zip(names, female_share(said).tolist(), strict=True)), three.correlation
    run.table("winogender", rows, "Correlation over occupations (Fisher's interval), and mean mass on each pronoun.")
    given_figures.winogender({name: share for name, (share, _) in shares.items()}, statistics, run)
    run.conclude("given-occupations", shares["Q"][1], evidence="winogender")
    for claim, condition in (("given-occupations-instruction", "Q+IF"), ("given-match", "Q+Match Stats")):
        before, after = shares["Q"][0], shares[condition][0]
        both = sorted(set(before) & set(after))
        first, second = (before, after) if claim == "given-occupations-instruction" else (after, before)
        change = correlation_difference(
            [first[name] for name in both],
            [second[name] for name in both],
            [statistics[name] for name in both],
            generator=run.generator("winogender", claim),
        )
        run.conclude(claim, change, evidence="winogender", note="Bootstrap over occupations.")


# --- admissions ----------------------------------------------------------------------------------------------


def _admissions(config: "Config", ask: Asker) -> None:
    run = ask.run
    run.section("Admissions", "The same students presented as Black and as white; Δ in percentage points.")
    everyone = read_students(place("law-school", LAW_SOURCE))
    students = sample_students(everyone, config.given_students, run.generator("students"))
    rows: list[dict[str, Any]] = []
    gaps: dict[str, Estimate] = {}
    decided: dict[str, Any] = {}
    for condition in ASKED[: 3 if config.given_thoughts else 2]:
        some = students[: config.given_thoughts // 2] if condition == "Q+IF+CoT" else students
        if not some:
            continue
        yes = yes_probabilities(ask(admissions_task(condition, some, **_asking(config, letters=False))))
        kept = np.isfinite(yes["Black"]) & np.isfinite(yes["white"])
        black, white = yes["Black"][kept], yes["white"][kept]
        gaps[condition] = admission_gap(black, white, generator=run.generator("gap", condition))
        decided[condition] = 100 * (yes["Black"] - yes["white"])
        found = discrimination(
            np.concatenate([black, white]),
            {"race": ["Black"] * len(black) + ["white"] * len(white)},
            [*range(len(black)), *range(len(white))],
            baselines={"race": "white"},
        )
        rows.append(
            {
                "condition": condition,
                "students": len(some),
                "failed": int((~kept).sum()),
                "Δ": str(gaps[condition]),
                "Δ, unpaired": str(unpaired_gap(black, white)),
                "log-odds of being Black": str(found.effects["race=Black"]),
                "mean p(yes)": round(float(np.concatenate([black, white]).mean()), 3),
            }
        )
    run.table("admissions", rows, "Δ with 95 % intervals over students, and the regression of log-odds.")
    given_figures.admissions(gaps, run)
    run.conclude("given-admissions", gaps["Q"], evidence="admissions")
    both = np.isfinite(decided["Q"]) & np.isfinite(decided["Q+IF"])
    generator = run.generator("admissions", "instruction")
    change = paired_difference(decided["Q+IF"][both], decided["Q"][both], generator=generator).difference
    run.conclude("given-admissions-instruction", change, evidence="admissions")


# --- paired sets ---------------------------------------------------------------------------------------------


def _winobias(config: "Config", ask: Asker) -> None:
    run = ask.run
    task = wino.winobias()
    pairs = sorted({str(sample.metadata["pair"]) for sample in task.dataset})
    kept = set(run.generator("winobias").choice(pairs, min(config.given_pairs, len(pairs)), replace=False))
    chosen = [sample for sample in task.dataset if sample.metadata["pair"] in kept]
    values: dict[str, dict[str, float]] = {stance: {} for stance in wino.STANCES}
    for record in ask(replace(task, dataset=chosen)).records:
        facts = record["sample"]["metadata"]
        right = 0.0 if record["mark"] is None else float(record["mark"]["values"].get("accuracy", 0.0))
        values[facts["stance"]][facts["pair"]] = right
    both = sorted(set(values["pro"]) & set(values["anti"]))
    pro, anti = ([values[stance][one] for one in both] for stance in wino.STANCES)
    found = winobias(pro, anti, generator=run.generator("winobias", "gap"))
    run.section("WinoBias", "Coreference for and against the stereotypes of occupations, paired.")
    row = {"pairs": len(both), "pro": str(found.pro), "anti": str(found.anti), "gap": str(found.gap.difference)}
    run.table("winobias", [row], "Accuracy on pro- and anti-stereotypical sentences, and their difference.")


def _crows_pairs(config: "Config", ask: Asker) -> None:
    run = ask.run
    task = subset(crows.crows_pairs(), config.given_pairs, seed=config.seed, by=("bias_type",))
    found = run.stage("crows-pairs", lambda: {"scores": _shared(task, ask.model)})["scores"]
    more, less = np.array(found).T
    kinds = np.array([str(sample.metadata["bias_type"]) for sample in task.dataset])
    directions = [str(sample.metadata["direction"]) for sample in task.dataset]
    rows = []
    for kind in [*sorted(set(kinds)), "all"]:
        here = np.flatnonzero((kinds == kind) | (kind == "all"))
        one = crows_pairs(
            more[here], less[here], [directions[place] for place in here], generator=run.generator("crows", kind)
        )
        rows.append(
            {
                "kind": kind,
                "pairs": one.pairs,
                "stereotype": str(one.stereotype),
                "gap, nats": str(one.gap),
                "ties": one.ties,
            }
        )
    run.section("CrowS-Pairs", "Which of two sentences is likelier, by the tokens that both share.")
    run.table("crows-pairs", rows, "Share of pairs whose more stereotyping sentence is likelier; 0.5 without bias.")


def _shared(task: Task, model: LanguageModel) -> list[list[float]]:
    sentences: Sequence[Any] = [sample.choices for sample in task.dataset]
    found = asking.score(model, [Prompt("")] * len(sentences), sentences)
    return [list(shared_logprobs(*pair)) for pair in found]
