"""The paper's tasks asked of a given model, with 0, 1 and more examples."""

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from windtunnel.data.worlds.invented_words import Analogies, novel_words
from windtunnel.data.worlds.learner_english import corrections
from windtunnel.evaluation.answers import generate, match
from windtunnel.evaluation.engine import evaluate
from windtunnel.evaluation.library import find_task
from windtunnel.evaluation.multiple_choice import choice_scorer, multiple_choice
from windtunnel.evaluation.prompting import Format, few_shot
from windtunnel.evaluation.results import Results
from windtunnel.evaluation.tasks import Sample, Task
from windtunnel.interpretability.heads.controls import forget
from windtunnel.laboratory.errors import UsageError
from windtunnel.laboratory.run import Run
from windtunnel.models.interface import LanguageModel, load
from windtunnel.statistics.estimates import Estimate
from windtunnel.statistics.intervals import bootstrap
from windtunnel.studies.few_shot_learning import figures

if TYPE_CHECKING:
    from windtunnel.studies.few_shot_learning import Config

MADE = ("novel-words", "analogies", "grammar")
"""Tasks that are made here: of words that no corpus knows, and of sentences with a planted mistake."""

Asked = dict[tuple[str, int], Results]


def ask_given(model: LanguageModel, config: "Config", run: Run) -> None:
    """Evaluate the model on every task with every number of examples; tasks without their data are left out aloud."""
    run.section("A given model", f"{model.name}: tasks of the paper and others like them, on real data.")
    asked, missing = {}, []
    for name in config.given_tasks:
        for shots in config.given_shots:
            try:
                asked[name, shots] = ask(name, shots, config, model, run)
            except UsageError as error:
                missing.append({"task": name, "why": str(error)})
                break
    if missing:
        run.table("missing", missing, "Tasks that could not be asked, or not with examples.")
    rows = [_row(name, shots, results) for (name, shots), results in asked.items()]
    run.table("given", rows, "Accuracy by task and number of examples; failed samples count as wrong.")
    name = model.name.rstrip("/").rsplit("/", 1)[-1]
    if rows:
        figures.show_given(rows, config.given_shots, name, run)
    conclude_given(config, asked, run)


def given_model(run: Run) -> LanguageModel:
    """The model that the user named; in the null control its weights are forgotten."""
    assert run.model is not None
    model = load(run.model, device=run.device, dtype="float32")
    if run.null:
        forget(model, torch.Generator().manual_seed(run.seed))
    return model


def ask(name: str, shots: int, config: "Config", model: LanguageModel, run: Run) -> Results:
    """One task with so many examples; what was asked before is not asked again.

    Raises:
        UsageError: Its data are not there, or it cannot be asked so.
    """
    options: dict[str, Any] = {"shots": shots, "seed": config.seed} if shots else {}  # some tasks take no examples
    task = made(name, shots, config, run) if name in MADE else find_task(name, **options)
    out = run.directory / "evaluations" / name.replace("/", "-") / f"{shots}-shot"
    run.note(f"{name}, {shots} examples")
    return evaluate(task, model, out=out, limit=config.given_limit, seed=config.seed)


def made(name: str, shots: int, config: "Config", run: Run) -> Task:
    """A new word's use after its definition, analogies of invented words told before, or sentences to be corrected."""
    generator = run.generator(name)
    if name == "grammar":
        return grammar(shots, config, generator)
    instruction = ""
    if name == "novel-words":
        questions = novel_words(config.given_limit + shots, generator)
    else:
        world = Analogies(3, 4, generator)
        questions = world.questions(config.given_limit + shots, generator)
        instruction = " ".join(f"{fact.removesuffix(' .').capitalize()}." for fact in world.facts()) + "\n\n"
    samples = [
        Sample(f"{name}-{number}", question.context, question.target, question.choices)
        for number, question in enumerate(questions)
    ]
    asked, train = samples[: config.given_limit], samples[config.given_limit :]
    form = Format("{input}", lead="", separator="\n", instruction=instruction)
    solver = multiple_choice(form, shots=few_shot(train, shots, seed=config.seed))
    return Task(name, asked, solver, choice_scorer())


def grammar(shots: int, config: "Config", generator: np.random.Generator) -> Task:
    """Sentences of a learner's to be written without their mistake, if there is one."""
    count = min(config.given_limit, 2_000)  # there are not many more
    samples = [
        Sample(f"grammar-{number}", each.wrong, each.right, metadata={"mistake": each.mistake})
        for number, each in enumerate(corrections(count + shots, generator))
    ]
    form = Format("Poor English input: {input}\nGood English output:", separator="\n")
    examples = few_shot(samples[count:], shots, seed=config.seed)
    return Task("grammar", samples[:count], generate(form, shots=examples), match("exact"))


def _row(name: str, shots: int, results: Results) -> dict[str, Any]:
    accuracy = results.metric()
    counts = results.counts
    return {
        "task": name,
        "shots": shots,
        "metric": results.header["metric"],
        "value": accuracy.value,
        "low": accuracy.low,
        "high": accuracy.high,
        "scored": counts["scored"],
        "failed": counts["failed"],
    }


def conclude_given(config: "Config", asked: Asked, run: Run) -> None:
    """Hold the model against its claims."""
    none, most = min(config.given_shots), max(config.given_shots)
    whole = [name for name in config.given_tasks if (name, none) in asked and (name, most) in asked]
    if whole:
        run.conclude("given-few-shot", gained(asked, whole, none, most, run), evidence="given", note=_names(whole))
    else:
        run.conclude("given-few-shot", note="No task could be asked; name the data with WINDTUNNEL_DATA.")
    for claim, name in (
        ("given-addition", "arithmetic/two_digit_addition"),
        ("given-piqa", "piqa"),
        ("given-reversed", "word-scrambling/reversed_words"),
    ):
        if (name, most) in asked:
            run.conclude(claim, asked[name, most].metric(), evidence="given", note=f"{most} examples.")
        else:
            run.conclude(claim, note=f"{name} was not asked with {most} examples.")


def gained(asked: Asked, names: list[str], none: int, most: int, run: Run) -> Estimate:
    """Mean over tasks of accuracy with the most examples less without, with an interval over the questions of each."""
    differences = []
    for name in names:
        with_examples, without = (asked[name, shots].counted() for shots in (most, none))
        differences.append(np.array([with_examples[key] - without[key] for key in without if key in with_examples]))
    estimates = [
        bootstrap(each, generator=run.generator("gain", name)) if len(each) > 1 else None
        for name, each in zip(names, differences, strict=True)
    ]
    value = float(np.mean([each.mean() for each in differences]))
    below = [(each.value - each.low) if each else np.inf for each in estimates]
    above = [(each.high - each.value) if each else np.inf for each in estimates]
    low, high = (float(np.sqrt(np.sum(np.square(part)))) / len(names) for part in (below, above))
    return Estimate(value, value - low, value + high)


def _names(names: list[str]) -> str:
    return f"Mean of {len(names)} tasks, paired by question, with the same questions: {', '.join(names)}."
