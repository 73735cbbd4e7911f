"""Ready tasks: published evaluations in their publishers' formats, by name."""

import importlib
import inspect
from pathlib import Path
from typing import Any

from windtunnel.evaluation.library.subsets import subset
from windtunnel.evaluation.tasks import Task
from windtunnel.laboratory.errors import UsageError

TASKS = {
    "ai-risk": "multiple choice on risks of advanced AI; parts lm (written by a model) and human",
    "anli": "inference written against models; parts R1, R2, R3",
    "arc-challenge": "hard questions of school science",
    "arc-easy": "easy questions of school science",
    "arithmetic": "sums in words, 13 parts (GPT-3)",
    "bbh": "BIG-Bench Hard, a part for each task, with or without chains of thought",
    "bbq": "social bias in question answering, 11 categories",
    "coqa": "questions about a story, one after the other",
    "crows-pairs": "which of two sentences is likelier, the one that stereotypes more or less",
    "drop": "reading that counts, adds and sorts",
    "gsm8k": "word problems of grade-school mathematics",
    "harmbench": "requests that should be declined, judged by a model",
    "hellaswag": "how a scene goes on",
    "hhh": "the more helpful, honest and harmless reply; parts comparisons, ethical, kinds",
    "human-eval": "functions from docstrings, run with unit tests",
    "lambada": "the last word of a passage",
    "mmlu": "57 subjects of school and profession",
    "nq-open": "questions people asked a search engine, from memory",
    "openbookqa": "elementary science",
    "persona": "statements that somebody of a behaviour would make, or not; a part for each behaviour",
    "piqa": "which of two ways reaches a goal",
    "quac": "questions of somebody who has not read the passage",
    "quality": "questions about long articles",
    "race": "reading of middle and high school",
    "squad": "questions about a paragraph, half of which it does not answer",
    "storycloze": "which of two endings a story has",
    "superglue": "parts boolq, cb, copa, multirc, record, rte, wic, wsc",
    "sycophancy": "whether a model echoes its user's views; a part for each set",
    "translation": "news to and from English by BLEU; parts en-fr, fr-en, en-de, de-en, en-ro, ro-en",
    "triviaqa": "trivia from memory",
    "truthfulqa": "questions some answer falsely; parts mc1, mc2, generation",
    "web-questions": "questions people asked a search engine, answered by names",
    "winobias": "coreference for and against stereotypes of occupations",
    "winogender": "coreference where only the pronoun's gender changes; parts coreference, pronouns",
    "winogenerated": "pronouns in sentences about 299 occupations",
    "winogrande": "what a blank means, by the words after it",
    "word-scrambling": "scrambled words, 5 parts (GPT-3)",
}
"""Names of the ready tasks and what each is."""

_MODULES = {
    "ai_risk": "model_written",
    "persona": "model_written",
    "sycophancy": "model_written",
    "winogenerated": "model_written",
    "arc_challenge": "arc",
    "arc_easy": "arc",
    "openbookqa": "arc",
    "arithmetic": "gpt3",
    "word_scrambling": "gpt3",
    "nq_open": "closed_book",
    "triviaqa": "closed_book",
    "web_questions": "closed_book",
    "quality": "reading",
    "race": "reading",
    "coqa": "passages",
    "drop": "passages",
    "quac": "passages",
    "squad": "passages",
}
"""Modules of tasks that share one; any other has a module of its own name."""

FILES = (".yaml", ".yml", ".jsonl", ".json", ".csv", ".tsv", ".parquet")
"""Endings of files that are tasks themselves."""


def find_task(name: str, directory: str | Path | None = None, **options: Any) -> Task:
    """A task by name.

    Args:
        name: A name of `TASKS`, with `/` and a part of it where it has parts, as `bbh/navigate`; or a file that
            `evaluation.declared` (YAML) or `evaluation.tables` reads, or `hf:NAME`, a data set of the Hugging Face
            hub.
        directory: The data set's folder; by default its own under the directory that `WINDTUNNEL_DATA` names.
        **options: As the task's function takes them, as `shots`. Every task takes `count`, for so many of its samples,
            drawn by `seed` (see `subsets.subset`).

    Raises:
        UsageError: There is no such task, option or data set.
        DataError: The data set is not in the published format.
    """
    base, _, part = name.partition("/")
    identifier = base.replace("-", "_")
    if name.startswith("hf:") or name.endswith(FILES):
        if directory is not None:
            raise UsageError(f"{name} says itself where its data are; leave out the directory.")
        place, function = ("declared", "read_yaml") if name.endswith((".yaml", ".yml")) else ("tables", "read_table")
        module = importlib.import_module(f"windtunnel.evaluation.{place}")
        return _made(name, getattr(module, function), name, options)
    if base in TASKS:
        module = importlib.import_module(f"{__name__}.{_MODULES.get(identifier, identifier)}")
        options = {"part": part, **options} if part else options
        return _made(base, getattr(module, identifier), directory, options)
    raise UsageError(
        f"There is no task {name!r}; tasks are {', '.join(TASKS)}, files ending in {', '.join(FILES)}, and hf:NAME."
    )


def _made(name: str, function: Any, first: Any, options: dict[str, Any]) -> Task:
    """What a task's function makes of the options, if it knows them all."""
    known = list(inspect.signature(function).parameters)[1:]
    drawing = ("count", "seed") if "count" in options else ()
    for option in options:
        if option not in (*known, *drawing):
            what = "parts" if option == "part" else f"option {option!r}"
            raise UsageError(f"The task {name} has no {what}; its options are {', '.join([*known, 'count'])}.")
    task: Task = function(first, **{option: value for option, value in options.items() if option in known})
    if "count" not in options or "count" in known:
        return task
    return subset(task, options["count"], seed=options.get("seed", 0))
