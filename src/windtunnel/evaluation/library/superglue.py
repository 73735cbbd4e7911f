"""The eight tasks of SuperGLUE (Wang et al., 2019), in the words of GPT-3 (appendix G) where these have options.

MultiRC and WSC are asked as yes or no in words of our own: GPT-3 marked each answer of MultiRC true or false, and let
the model name what the pronoun of WSC means.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from windtunnel.evaluation.answers import token_f1
from windtunnel.evaluation.labels import LabelScorer
from windtunnel.evaluation.library.choices import choice_task
from windtunnel.evaluation.library.places import find, place, published, rows, training
from windtunnel.evaluation.prompting import Format
from windtunnel.evaluation.tasks import Mark, Models, Output, Sample, Scorer, Task
from windtunnel.laboratory.errors import UsageError

SOURCE = "super.gluebenchmark.com/tasks (a folder BoolQ, CB, COPA, MultiRC, ReCoRD, RTE, WiC, WSC each)"


@dataclass(frozen=True)
class Part:
    """One of the tasks.

    Attributes:
        folder: Where it lies as published.
        labels: A published label for each option, in the options' order.
        options: What a model is to say.
        words: The question put to it.
        rows: The questions of a published row, where it holds several.
        counted: Options of whose F1 the mean is a metric, too.
    """

    folder: str
    labels: tuple[Any, ...]
    options: tuple[str, ...]
    words: Callable[[dict[str, Any]], str]
    rows: Callable[[dict[str, Any]], list[dict[str, Any]]] = lambda row: [row]
    counted: tuple[int, ...] = ()

    @property
    def scorer(self) -> Scorer | None:
        """How it is marked, if not by `choice_scorer`."""
        if self.folder == "ReCoRD":
            return EntityScorer()
        return LabelScorer(self.counted) if self.counted else None


PARTS = {
    "boolq": Part(
        "BoolQ", (False, True), ("no", "yes"), lambda row: f"{row['passage']}\nquestion: {row['question']}?\nanswer:"
    ),
    "cb": Part(
        "CB",
        ("entailment", "contradiction", "neutral"),
        ("true", "false", "neither"),
        lambda row: f"{row['premise']}\nquestion: {row['hypothesis']}. true, false, or neither?\nanswer:",
        counted=(0, 1, 2),
    ),
    "copa": Part(
        "COPA",
        (0, 1),
        (),
        lambda row: f"{row['premise'].strip().rstrip('.')} {'because' if row['question'] == 'cause' else 'so'}",
    ),
    "multirc": Part(
        "MultiRC",
        (0, 1),
        ("no", "yes"),
        lambda row: f"{row['passage']}\nquestion: {row['question']}\nIs it right to say: {row['answer']}\nanswer:",
        lambda row: [
            {"idx": f"{row['idx']}-{question['idx']}-{answer['idx']}", "passage": row["passage"]["text"]}
            | {"facts": {"question": f"{row['idx']}-{question['idx']}"}}
            | {"question": question["question"], "answer": answer["text"], "label": answer["label"]}
            for question in row["passage"]["questions"]
            for answer in question["answers"]
        ],
        counted=(1,),
    ),
    "record": Part("ReCoRD", (), (), lambda row: f"{row['passage']}\n-", lambda row: _cloze(row)),
    "rte": Part(
        "RTE",
        ("entailment", "not_entailment"),
        ("True", "False"),
        lambda row: f"{row['premise']}\nquestion: {row['hypothesis']} True or False?\nanswer:",
    ),
    "wic": Part(
        "WiC",
        (False, True),
        ("no", "yes"),
        lambda row: (
            f"{row['sentence1']}\n{row['sentence2']}\n"
            f"question: Is the word '{row['word']}' used in the same way in the two sentences above?\nanswer:"
        ),
    ),
    "wsc": Part(
        "WSC",
        (False, True),
        ("no", "yes"),
        lambda row: (
            f"{row['text']}\nquestion: In the passage above, does the word '{row['target']['span2_text']}' refer to "
            f"{row['target']['span1_text']}?\nanswer:"
        ),
    ),
}
"""The tasks by name; options of COPA are its own two sentences, and those of ReCoRD its query with each entity."""


def superglue(
    directory: str | Path | None = None,
    *,
    part: str = "boolq",
    unconditional: str | None = None,
    format: Format | None = None,
    shots: int = 0,
    seed: int = 0,
    chat: bool = False,
) -> Task:
    """One task of SuperGLUE, its development split; test labels are not published.

    Args:
        directory: The folder of the data set.
        part: `boolq`; `cb`, with `f1_of_labels`, the mean over its three; `copa`; `multirc`, a sample for every answer,
            right or wrong, with `f1_of_labels`, that of the right ones over all answers (for the share of questions
            with all answers right see `whole.all_right`, by metadata `question`); `record`, by `accuracy` and
            `f1` of the likeliest entity; `rte`, `wic` or `wsc`.
        unconditional: As for `multiple_choice`, for instance `answer:`.
        format: Other words around the question.
        shots: Examples, from the training split if it is there.
        seed: Of the examples.
        chat: Use the chat template.

    Raises:
        UsageError: There is no such part.
    """
    return choice_task(
        f"superglue/{part}",
        read(directory, part),
        training(lambda: read(directory, part, "train"), shots),
        unconditional=unconditional,
        format=format or Format("{input}"),
        shots=shots,
        seed=seed,
        chat=chat,
        scorer=PARTS[part].scorer,
    )


@dataclass(frozen=True)
class EntityScorer:
    """Marks the likeliest entity of ReCoRD: `accuracy`, whether it is a right one, and `f1` of its words, at best."""

    def __call__(self, samples: Sequence[Sample], outputs: Sequence[Output], models: Models) -> list[Mark]:
        """One mark per output."""
        marks = []
        for sample, output in zip(samples, outputs, strict=True):
            entities, right = sample.metadata["entities"], sample.metadata["right"]
            said = entities[int(np.argmax(output.option_logprobs))]
            best = max(token_f1(said, entities[place]) for place in right)
            marks.append(Mark({"accuracy": float(said in [entities[place] for place in right]), "f1": best}, said))
        return marks

    def describe(self) -> dict[str, Any]:
        """What identifies it."""
        return {"scorer": "entity"}


def read(directory: str | Path | None = None, part: str = "boolq", split: str = "val") -> list[Sample]:
    """The samples of `val` or `train`; the cluster is the passage or premise.

    Raises:
        UsageError: The data set is not there, or there is no such part.
        DataError: It is not in the published format.
    """
    if part not in PARTS:
        raise UsageError(f"SuperGLUE has no part {part!r} here; its parts are {', '.join(PARTS)}.")
    task = PARTS[part]
    path = find(place("superglue", SOURCE, directory), f"{task.folder}/{split}.jsonl")
    with published(path):
        return [
            _sample(question, task, f"{part}-{split}-{question['idx']}")
            for row in rows(path)
            for question in task.rows(row)
        ]


def _sample(row: dict[str, Any], task: Part, name: str) -> Sample:
    if "entities" in row:
        facts = {"entities": row["entities"], "right": row["right"]}
        return Sample(name, task.words(row), row["right"][0], row["options"], facts, row["passage"])
    options = task.options or tuple(_continued(row[choice]) for choice in ("choice1", "choice2"))
    shared = row.get("passage", row.get("premise", name))
    return Sample(name, task.words(row), task.labels.index(row["label"]), options, row.get("facts", {}), shared)


def _cloze(row: dict[str, Any]) -> list[dict[str, Any]]:
    """Each query of a passage of ReCoRD, completed with each entity in turn."""
    text = row["passage"]["text"]
    named = dict.fromkeys(text[entity["start"] : entity["end"] + 1] for entity in row["passage"]["entities"])
    questions = []
    for query in row["qas"]:
        answers = [answer["text"] for answer in query["answers"]]
        entities = list(dict.fromkeys([*named, *answers]))
        questions.append(
            {
                "idx": f"{row['idx']}-{query['idx']}",
                "passage": text.replace("@highlight\n", "- ").strip(),
                "options": tuple(query["query"].replace("@placeholder", entity).strip() for entity in entities),
                "entities": entities,
                "right": [place for place, entity in enumerate(entities) if entity in answers],
            }
        )
    return questions


def _continued(sentence: str) -> str:
    """A sentence as it goes on after `because`: the first letter is small, unless the first word is `I`."""
    stripped = sentence.strip()
    return stripped if stripped.split()[0] in ("I", "I'm", "I'd", "I've") else stripped[:1].lower() + stripped[1:]
