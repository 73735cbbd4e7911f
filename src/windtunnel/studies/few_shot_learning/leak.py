"""Contamination with a planted leak: what the report finds, and what the leak is worth to a model that read it."""

from typing import TYPE_CHECKING, Any

import torch

from windtunnel.data.finite import FiniteRows
from windtunnel.data.worlds.leaks import Leaks
from windtunnel.evaluation.contamination import compare_clean, difference, find_contamination
from windtunnel.evaluation.engine import evaluate
from windtunnel.evaluation.multiple_choice import choice_scorer, multiple_choice
from windtunnel.evaluation.prompting import Format
from windtunnel.evaluation.results import Results
from windtunnel.evaluation.tasks import Sample, Task
from windtunnel.laboratory.run import Run
from windtunnel.models.interface import from_module
from windtunnel.models.transformer import Transformer, TransformerConfig
from windtunnel.statistics.estimates import Estimate
from windtunnel.statistics.intervals import wilson
from windtunnel.studies.few_shot_learning import figures
from windtunnel.training.configuration import TrainingConfig
from windtunnel.training.loop import train
from windtunnel.training.objectives import next_token

if TYPE_CHECKING:
    from windtunnel.studies.few_shot_learning import Config

LENGTH = 32
"""Words of a document."""


def study_leak(config: "Config", run: Run) -> None:
    """Look for the task in the corpora, and compare models that did and did not read the leak.

    The null: the leak is in neither corpus.
    """
    run.section("Contamination", "A test of questions that nothing but a leak can tell, a tenth of them in the corpus.")
    world = Leaks(config.questions, config.leaked_share, run.generator("leaks"))
    task = Task(
        "leaked-questions",
        [
            Sample(str(number), question.context, question.target, question.choices)
            for number, question in enumerate(world.questions)
        ],
        multiple_choice(Format("{input}", lead="")),
        choice_scorer(),
    )
    scores: dict[str, dict[str, Estimate | None]] = {}
    gaps: dict[str, Estimate] = {}
    corpora = {
        name: world.documents(
            config.leak_documents, LENGTH, config.leak_copies, run.generator("documents", name), planted=planted
        )
        for name, planted in (("with the leak", not run.null), ("without it", False))
    }
    for name, documents in corpora.items():
        # In the leaked corpus common phrases would be those of many leaks; none is ignored here.
        found = find_contamination([task], documents, frequent=None)[0]
        results = answered(config, world, task, documents, run.child(f"leak-{name.split()[0]}"))
        if name == "with the leak":
            conclude_found(world, {int(sample) for sample in found.dirty}, found.length, run)
            run.table("contamination", [_row(found.report())], "What the report finds in the corpus with the leak.")
        parts = compare_clean(found, results)
        by_truth = split_by_truth(world, results)
        scores[name] = by_truth
        gaps[name] = parts.difference or difference(*(_present(by_truth[part]) for part in ("dirty", "clean")))
    figures.show_leak(scores, run)
    note = "Dirty minus clean by the report; where it finds nothing, by what was chosen to leak."
    run.conclude("dirty-is-better", gaps["with the leak"], evidence="leak", note=note)
    run.conclude("no-memory", gaps["without it"], evidence="leak", note="The same questions, split by what was chosen.")


def answered(config: "Config", world: Leaks, task: Task, documents: list[str], run: Run) -> Results:
    """Train a model on documents and ask it the task; a finished evaluation is read back."""

    def work() -> dict[str, Any]:
        source = FiniteRows(world.rows(documents), world.codec.vocabulary, run.seed)
        shape = TransformerConfig(
            vocabulary=world.codec.vocabulary,
            context=source.context,
            layers=2,
            width=config.leak_width,
            heads=config.leak_width // 16 or 1,
            positions="rotary",
            embedding_scale=0.1,
        )
        training = TrainingConfig(
            steps=config.leak_steps,
            batch_size=32,
            learning_rate=config.learning_rate,
            warmup_steps=min(50, config.leak_steps // 4),
            weight_decay=0.0,
            precision="fp32" if run.device == "cpu" else "auto",
            seed=run.seed,
        )
        model = Transformer(shape, torch.Generator().manual_seed(run.seed))
        train(model, next_token, source, training, run=run, device=run.device)
        results = evaluate(task, from_module(model, world.codec, name=run.directory.name), seed=run.seed)
        return {"header": results.header, "records": results.records}

    kept = run.stage("answers", work)
    return Results(None, kept["header"], kept["records"])


def split_by_truth(world: Leaks, results: Results) -> dict[str, Estimate | None]:
    """Accuracy on the questions that were chosen to leak, and on the others."""
    right = {int(name): value for (name, _), value in results.values("accuracy").items()}
    found: dict[str, Estimate | None] = {}
    for part, numbers in (("clean", right.keys() - world.leaked), ("dirty", right.keys() & world.leaked)):
        found[part] = wilson(round(sum(right[number] for number in numbers)), len(numbers))
    return found


def conclude_found(world: Leaks, dirty: set[int], length: int, run: Run) -> None:
    """Precision and recall of the report."""
    if not dirty:
        run.conclude("leak-found", note="The report finds nothing.")
        return
    hits = len(dirty & world.leaked)
    note = f"{len(dirty)} of {len(world.questions)} questions are dirty, {len(world.leaked)} leaked; N = {length}."
    run.conclude("leak-found", min(hits / len(dirty), hits / len(world.leaked)), note=note)


def _present(found: Estimate | None) -> Estimate:
    assert found is not None
    return found


def _row(report: dict[str, Any]) -> dict[str, Any]:
    return {name.replace("_", " "): value for name, value in report.items() if name != "matches"}
