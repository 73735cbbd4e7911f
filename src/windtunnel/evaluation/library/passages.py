"""Questions about a passage, answered in words: SQuAD 2.0, DROP, and the dialogues CoQA and QuAC."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from windtunnel.evaluation.answers import accepted_answers
from windtunnel.evaluation.library.places import find, place, published, whole
from windtunnel.evaluation.library.words import words_task
from windtunnel.evaluation.overlap import PeopleF1, SpanF1, agreement
from windtunnel.evaluation.prompting import Format
from windtunnel.evaluation.tasks import Sample, Task

SQUAD_SOURCE = "rajpurkar.github.io/SQuAD-explorer (dev-v2.0.json)"
DROP_SOURCE = "allenai.org/data/drop (drop_dataset_dev.json)"
COQA_SOURCE = "stanfordnlp.github.io/coqa (coqa-dev-v1.0.json)"
QUAC_SOURCE = "quac.ai (val_v0.2.json)"

WORDS = Format("{input}\nA:")
PASSAGE = Format("{input}\nAnswer:")

UNANSWERABLE = ("unanswerable", "N/A", "no answer")
"""Accepted where a passage has no answer; the first is what examples say."""

CANNOT = "CANNOTANSWER"
"""QuAC's answer where a passage has none."""

AGREEMENT = 0.4
"""F1 of people with each other below which QuAC leaves a question out."""


def squad(
    directory: str | Path | None = None,
    *,
    format: Format = WORDS,
    shots: int = 0,
    seed: int = 0,
    chat: bool = False,
    max_new_tokens: int = 32,
    beams: int | None = None,
) -> Task:
    """SQuAD 2.0's development split (Rajpurkar et al., 2018), by `f1` of words; half of it has no answer.

    Args:
        directory: The folder of the data set.
        format: Other words.
        shots: Examples, from the training split if it is there.
        seed: Of the examples.
        chat: Use the chat template.
        max_new_tokens: Most tokens of an answer.
        beams: Search with so many, as GPT-3 did with 4; by default each token is the likeliest.
    """
    return words_task("squad", read_squad, directory, format, shots, seed, chat, max_new_tokens, beams, metric="f1")


def drop(
    directory: str | Path | None = None,
    *,
    format: Format = PASSAGE,
    shots: int = 0,
    seed: int = 0,
    chat: bool = False,
    max_new_tokens: int = 32,
    beams: int | None = None,
) -> Task:
    """DROP's development split (Dua et al., 2019), by its own `f1` of spans; arguments as for `squad`."""
    return words_task(
        "drop", read_drop, directory, format, shots, seed, chat, max_new_tokens, beams, scorer=SpanF1(), metric="f1"
    )


def coqa(
    directory: str | Path | None = None,
    *,
    format: Format = WORDS,
    shots: int = 0,
    seed: int = 0,
    chat: bool = False,
    max_new_tokens: int = 32,
    beams: int | None = None,
) -> Task:
    """CoQA's development split (Reddy et al., 2019), earlier questions with people's answers; as `squad`."""
    return words_task(
        "coqa", read_coqa, directory, format, shots, seed, chat, max_new_tokens, beams, scorer=PeopleF1(), metric="f1"
    )


def quac(
    directory: str | Path | None = None,
    *,
    format: Format = WORDS,
    shots: int = 0,
    seed: int = 0,
    chat: bool = False,
    max_new_tokens: int = 48,
    beams: int | None = None,
) -> Task:
    """QuAC's validation split (Choi et al., 2018), earlier questions with people's answers; as `squad`.

    As published, questions on which people agree with an F1 below 0.4 are left out.
    """
    return words_task(
        "quac", read_quac, directory, format, shots, seed, chat, max_new_tokens, beams, scorer=PeopleF1(), metric="f1"
    )


def read_squad(directory: str | Path | None = None, split: str = "dev") -> list[Sample]:
    """The questions of `dev` or `train`; the cluster is the paragraph; metadata: `answerable`.

    Raises:
        UsageError: The data set is not there.
        DataError: It is not in the published format.
    """
    path = find(place("squad", SQUAD_SOURCE, directory), f"{split}-v2.0.json", f"{split}-v*.json")
    with published(path):
        return [
            Sample(
                question["id"],
                f"Title: {article['title'].replace('_', ' ')}\n\nBackground: {paragraph['context'].strip()}\n\n"
                f"Q: {question['question'].strip()}",
                tuple(dict.fromkeys(each["text"] for each in question["answers"])) or UNANSWERABLE,
                metadata={"answerable": bool(question["answers"])},
                cluster=f"{article['title']}/{number}",
            )
            for article in whole(path)["data"]
            for number, paragraph in enumerate(article["paragraphs"])
            for question in paragraph["qas"]
        ]


def read_drop(directory: str | Path | None = None, split: str = "dev") -> list[Sample]:
    """The questions of `dev` or `train`; the cluster is the passage; metadata: `spans` of every accepted answer.

    Raises:
        UsageError: The data set is not there.
        DataError: It is not in the published format.
    """
    path = find(place("drop", DROP_SOURCE, directory), f"drop_dataset_{split}.json", f"*{split}.json")
    with published(path):
        return [
            _drop(passage["passage"], question, name)
            for name, passage in whole(path).items()
            for question in passage["qa_pairs"]
        ]


def _drop(passage: str, question: dict[str, Any], name: str) -> Sample:
    told = [_spans(each) for each in (question["answer"], *question.get("validated_answers", []))]
    accepted = list(dict.fromkeys(spans for spans in told if spans))
    asked = f"Passage: {passage.strip()}\nQuestion: {question['question'].strip()}"
    targets = tuple(", ".join(spans) for spans in accepted)
    return Sample(
        question["query_id"], asked, targets, metadata={"spans": [list(each) for each in accepted]}, cluster=name
    )


def _spans(answer: dict[str, Any]) -> tuple[str, ...]:
    """A number, spans, or a date as one span."""
    if str(answer["number"]).strip():
        return (str(answer["number"]).strip(),)
    if answer["spans"]:
        return tuple(answer["spans"])
    date = " ".join(answer["date"][part] for part in ("day", "month", "year") if answer["date"].get(part))
    return (date,) if date else ()


def read_coqa(directory: str | Path | None = None, split: str = "dev") -> list[Sample]:
    """The questions of `dev` or `train`, each after the dialogue so far; the cluster is the story.

    Raises:
        UsageError: The data set is not there.
        DataError: It is not in the published format.
    """
    path = find(place("coqa", COQA_SOURCE, directory), f"coqa-{split}-v1.0.json", f"*{split}*.json")
    with published(path):
        return [sample for story in whole(path)["data"] for sample in _coqa(story)]


def _coqa(story: dict[str, Any]) -> list[Sample]:
    told = [story["answers"], *story.get("additional_answers", {}).values()]
    turns = [
        (question["input_text"], [each[turn]["input_text"] for each in told])
        for turn, question in enumerate(story["questions"])
    ]
    return dialogue(story["id"], story["story"].strip(), turns)


def read_quac(directory: str | Path | None = None, split: str = "val") -> list[Sample]:
    """The questions of `val` or `train`, each after the dialogue so far; the cluster is the dialogue.

    Raises:
        UsageError: The data set is not there.
        DataError: It is not in the published format.
    """
    path = find(place("quac", QUAC_SOURCE, directory), f"{split}_v0.2.json", f"{split}_v*.json")
    found = []
    with published(path):
        for section in whole(path)["data"]:
            heading = ", ".join(section[name] for name in ("title", "section_title") if section.get(name))
            for paragraph in section["paragraphs"]:
                text = f"{heading}\n\n{paragraph['context'].strip()}"
                turns = [
                    (each["question"], _decided([a["text"] for a in each["answers"]])) for each in paragraph["qas"]
                ]
                asked = dialogue(paragraph["id"], text, turns)
                found += [each for each in asked if agreement(accepted_answers(each)) >= AGREEMENT]
    return found


def _decided(answers: list[str]) -> list[str]:
    """Answers less those that say there is none, or only that, by the majority of people."""
    some = [each for each in answers if each != CANNOT]
    return some if 2 * len(some) > len(answers) else [CANNOT]


def dialogue(name: str, passage: str, turns: Sequence[tuple[str, list[str]]]) -> list[Sample]:
    """A sample for each question, after the passage and the earlier questions with their first answers."""
    found, before = [], passage + "\n"
    for number, (question, answers) in enumerate(turns):
        asked = f"{before}\nQ: {question.strip()}"
        found.append(Sample(f"{name}-{number}", asked, tuple(answers), metadata={"turn": number}, cluster=name))
        before = f"{asked}\nA: {answers[0].strip()}"
    return found
