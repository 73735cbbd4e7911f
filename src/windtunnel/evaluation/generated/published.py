"""The evaluations that Perez et al. (2022) published, read as they lie in their repository (anthropics/evals)."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from windtunnel.evaluation.generated.records import STATEMENT, YES_NO, Record
from windtunnel.evaluation.library.places import place, published, rows
from windtunnel.laboratory.errors import DataError

SOURCE = "github.com/anthropics/evals"
PERSONA_FILES = 135
"""Files of the persona sets as published; the paper speaks of 133."""

RISKS = {"lm": "lm_generated_evals", "human": "human_generated_evals", "gold": "prompts_for_few_shot_generation"}
"""Parts of the sets on advanced AI risk, and their folders."""

BELIEVES = {"political_typology_quiz": "I believe the better option is"}
"""How the assistant begins its answer on sycophancy sets, where it is not `I believe the best answer is`."""

_CHOICE = re.compile(r"^ ?\(([A-Z])\) ?(.*)$")
_BLOCK = re.compile(r"(?:^ ?\([A-Z]\)[^\n]*(?:\n+|\Z))+", re.MULTILINE)


def folder(directory: str | Path | None = None) -> Path:
    """Where the repository lies.

    Raises:
        UsageError: It is not there.
    """
    return place("anthropic-evals", SOURCE, directory)


def persona(directory: str | Path | None = None, behaviours: Sequence[str] | None = None) -> list[Record]:
    """The persona sets: statements that somebody of a behaviour would make or would not.

    Args:
        directory: The repository's folder.
        behaviours: Names of files without their ending; None: all that are there.

    Raises:
        UsageError: The folder is not there.
        DataError: A file is not there or not in the published format.
    """
    found = []
    for path in _files(folder(directory) / "persona", behaviours):
        with published(path):
            for number, row in enumerate(rows(path)):
                found.append(
                    Record(
                        f"persona/{path.stem}/{number}",
                        path.stem,
                        "persona",
                        row["question"],
                        YES_NO,
                        (" Yes", " No").index(row["answer_matching_behavior"]),
                        float(row["label_confidence"]),
                    )
                )
                if row["question"] != STATEMENT.format(statement=row["statement"]):
                    raise DataError(f"{path} line {number + 1} asks in other words than the published rows do.")
    return found


def advanced_ai_risk(
    directory: str | Path | None = None, part: str = "lm", behaviours: Sequence[str] | None = None
) -> list[Record]:
    """The sets on risks of advanced AI: multiple choice, written by a model or by people.

    Args:
        directory: The repository's folder.
        part: `lm`, `human`, or `gold` for the ten examples each that the model was shown.
        behaviours: Names of files without their ending; None: all that are there.

    Raises:
        UsageError: The folder is not there.
        DataError: A file is not there or not in the published format.
    """
    if part not in RISKS:
        raise DataError(f"There is no part {part!r}; choose {', '.join(RISKS)}.")
    found = []
    for path in _files(folder(directory) / "advanced-ai-risk" / RISKS[part], behaviours):
        found += lettered_file(path, family=f"advanced-ai-risk/{part}")
    return found


def sycophancy(directory: str | Path | None = None, sets: Sequence[str] | None = None) -> list[Record]:
    """The sycophancy sets: questions after a user's biography; the matching answer is that user's view.

    Raises:
        UsageError: The folder is not there.
        DataError: A file is not there or not in the published format.
    """
    names = None if sets is None else [f"sycophancy_on_{name}" for name in sets]
    found = []
    for path in _files(folder(directory) / "sycophancy", names):
        name = path.stem.removeprefix("sycophancy_on_")
        opening = BELIEVES.get(name, "I believe the best answer is")
        found += lettered_file(path, family="sycophancy", behaviour=name, layout={"opening": opening})
    return found


def lettered_file(
    path: Path, *, family: str, behaviour: str = "", layout: Mapping[str, str] | None = None
) -> list[Record]:
    """Questions with lettered options, in the published format; `answer_not_matching_behavior` may be a list.

    Raises:
        DataError: It is not in that format.
    """
    found = []
    with published(path):
        for number, row in enumerate(rows(path)):
            name = f"{family}/{path.stem}/{number}"
            found.append(_lettered(row, name, behaviour or path.stem, family, dict(layout or {})))
    return found


def _lettered(row: Mapping[str, Any], name: str, behaviour: str, family: str, layout: dict[str, str]) -> Record:
    parsed = parse_choices(row["question"])
    matching = _letter(row["answer_matching_behavior"])
    others = row["answer_not_matching_behavior"]
    stated = {matching, *map(_letter, others if isinstance(others, list) else [others])}
    if parsed is None or max(stated) >= len(parsed.options):
        raise DataError(f"Question {name} does not show the options that its answers name; get the data set again.")
    layout |= {"joint": parsed.joint, "after": parsed.after}
    return Record(
        name,
        behaviour,
        family,
        parsed.before,
        parsed.options,
        matching,
        row.get("label_confidence"),
        letters=True,
        layout=layout,
    )


@dataclass(frozen=True)
class Choices:
    """A question taken apart.

    Attributes:
        before: All that stands before the options.
        options: Their texts.
        joint: What stands between their lines.
        after: What stands after them.
    """

    before: str
    options: tuple[str, ...]
    joint: str
    after: str


def parse_choices(question: str) -> Choices | None:
    """The last block of options in a question, which may quote others before it; None: it has none.

    A block's lines begin with (A), (B) and so on in order; blank lines may stand between them.
    """
    found = list(_BLOCK.finditer(question))
    if not found:
        return None
    block = found[-1]
    ends = len(block.group().rstrip("\n")) + block.start()
    lines = [line for line in question[block.start() : ends].split("\n") if line]
    matched = [match for line in lines if (match := _CHOICE.match(line))]
    letters = [match.group(1) for match in matched]
    first = len(letters) - 1 - letters[::-1].index("A") if "A" in letters else len(letters)
    if letters[first:] != [chr(65 + place) for place in range(len(letters) - first)] or len(letters) - first < 2:
        return None
    start = question.rindex("\n".join(lines[first : first + 1]), 0, ends)
    joint = "\n\n" if "\n\n" in question[start:ends] else "\n"
    return Choices(question[:start], tuple(match.group(2) for match in matched[first:]), joint, question[ends:])


def _letter(answer: str) -> int:
    return ord(answer.strip().strip("()")) - 65


@dataclass(frozen=True)
class Winogenerated:
    """A sentence about somebody of an occupation with a pronoun left out.

    Attributes:
        index: Its number in the published file.
        occupation: The occupation.
        sentence: With `_` in place of the pronoun.
        pronouns: The male, female and neutral pronoun that may stand there.
        women: Share of women in the occupation, in the US in 2019, from 0 to 1.
    """

    index: int
    occupation: str
    sentence: str
    pronouns: tuple[str, str, str]
    women: float


def winogenerated(directory: str | Path | None = None, each: int = 10) -> list[Winogenerated]:
    """The sentences of Winogenerated; the files' names are those published, not those of its README.

    Args:
        directory: The repository's folder.
        each: Only so many of every occupation, the first ones; there are 10.

    Raises:
        UsageError: The folder is not there.
        DataError: The file is not there or not in the published format.
    """
    base = folder(directory) / "winogenerated"
    names = ("winogenerated_examples.jsonl", "generated_winogender_data.jsonl")
    paths = [base / name for name in names if (base / name).exists()]
    if not paths:
        raise DataError(f"{base} has no {names[0]}; get the data set again from {SOURCE}.")
    with published(paths[0]):
        found = [
            Winogenerated(
                int(row["index"]),
                row["occupation"],
                row["sentence_with_blank"],
                (row["pronoun_options"][0], row["pronoun_options"][1], row["pronoun_options"][2]),
                float(row["BLS_percent_women_2019"]) / 100,
            )
            for row in rows(paths[0])
        ]
    seen: Counter[str] = Counter()
    kept = []
    for one in found:
        seen[one.occupation] += 1
        if seen[one.occupation] <= each:
            kept.append(one)
    return kept


def _files(base: Path, names: Sequence[str] | None) -> list[Path]:
    found = sorted(base.glob("*.jsonl")) if names is None else [base / f"{name}.jsonl" for name in names]
    missing = [path for path in found if not path.exists()]
    if not found or missing:
        what = missing[0].name if missing else "file of questions (.jsonl)"
        raise DataError(f"{base} has no {what}; get the data set again from {SOURCE}.")
    return found


def balanced_sample(records: Sequence[Record], each: int, seed: int = 0) -> list[Record]:
    """At most so many questions of every behaviour by each matching answer, drawn by seed; their order is kept."""
    groups: dict[tuple[str, int], list[int]] = {}
    for number, record in enumerate(records):
        groups.setdefault((record.behaviour, record.matching), []).append(number)
    draw = np.random.default_rng(seed)
    chosen = [number for group in groups.values() for number in draw.permutation(group)[:each].tolist()]
    return [records[number] for number in sorted(chosen)]
