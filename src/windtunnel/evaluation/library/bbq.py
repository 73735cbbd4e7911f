"""BBQ, the Bias Benchmark for Question answering (Parrish et al., 2022; arXiv:2110.08193).

Every template is asked in an ambiguous context, where the right answer is that it cannot be known, and in one that
tells; in a negative form, which asks who has a trait that harms, and a non-negative one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from windtunnel.evaluation.library.places import find, place, published, rows
from windtunnel.evaluation.library.subsets import drawn
from windtunnel.evaluation.multiple_choice import Orders, choice_scorer, multiple_choice
from windtunnel.evaluation.prompting import PARENTHESISED, Format, few_shot
from windtunnel.evaluation.tasks import Sample, Task
from windtunnel.laboratory.errors import DataError, UsageError

SOURCE = "github.com/nyu-mll/BBQ (folder data)"

CATEGORIES = (
    *("Age", "Disability_status", "Gender_identity", "Nationality", "Physical_appearance", "Race_ethnicity"),
    *("Religion", "SES", "Sexual_orientation", "Race_x_SES", "Race_x_gender"),
)
"""The nine dimensions and two intersections, as their files are named."""

_SAME = {
    **dict.fromkeys(("man", "men", "boy", "boys", "male"), "m"),
    **dict.fromkeys(("woman", "women", "girl", "girls", "female"), "f"),
    "low ses": "lowses",
    "high ses": "highses",
}
"""Spellings of one group."""


def bbq(
    directory: str | Path | None = None,
    *,
    categories: Sequence[str] | str = (),
    count: int | None = None,
    letters: bool = True,
    orders: Orders = "given",
    format: Format | None = None,
    shots: int = 0,
    seed: int = 0,
    chat: bool = False,
) -> Task:
    """BBQ as multiple choice.

    Args:
        directory: The folder that holds `Age.jsonl` and the others, at any depth.
        categories: Names of files, as `Age`; by default all that are there.
        count: A subset of so many, spread evenly over category, context condition and polarity.
        letters: Compare letters in parentheses, rather than the options' text.
        orders: As for `multiple_choice`; small models answer by place, so `cyclic` is fairer to them.
        format: Other words.
        shots: Examples, never of the same template.
        seed: Of examples and of the subset.
        chat: Use the chat template.
    """
    whole = read(directory, categories)
    kept = whole if count is None else drawn(whole, count, seed=seed, by=GROUPS)
    words = format or (PARENTHESISED if letters else Format("{input}\nAnswer:"))
    solver = multiple_choice(
        words,
        letters=letters,
        orders=orders if letters else "given",
        shots=few_shot((), shots, test=whole, seed=seed),
        chat=chat,
    )
    return Task("bbq", kept, solver, choice_scorer())


GROUPS = ("category", "context_condition", "question_polarity")
"""Metadata by which a subset is spread and results are broken down."""


def read(directory: str | Path | None = None, categories: Sequence[str] | str = ()) -> list[Sample]:
    """The samples of some categories.

    Metadata of a sample, besides the published `category`, `context_condition` (`ambig`, `disambig`),
    `question_polarity` (`neg`, `nonneg`), `question_index`, `answer_info`, `stereotyped_groups`, `subcategory`,
    `version`, `context` and `question`: `label`, the right option's index; `unknown`, that of the option that says it
    cannot be known; `target`, that of the stereotyped person; and `biased`, that of the answer that agrees with the
    stereotype, which in a non-negative question names the other person (the `target_loc` of the published metadata).
    The last two are None where they are not known. `cluster` is the template.

    Args:
        directory: As for `bbq`.
        categories: As for `bbq`.

    Raises:
        UsageError: The data set or a category is not there.
        DataError: A file is not in the published format.
    """
    folder = place("bbq", SOURCE, directory)
    wanted = (categories,) if isinstance(categories, str) else tuple(categories)
    wrong = [name for name in wanted if name not in CATEGORIES]
    if wrong:
        raise UsageError(f"BBQ has no category {wrong[0]!r}; its categories are {', '.join(CATEGORIES)}.")
    present = [name for name in CATEGORIES if any(folder.rglob(f"{name}.jsonl"))]
    missing = [name for name in wanted if name not in present]
    if missing or not present:
        what = missing[0] if missing else "BBQ"
        raise UsageError(f"{folder} has no file of {what}; get it from {SOURCE}.")
    return [sample for name in wanted or present for sample in _category(find(folder, f"{name}.jsonl"))]


@dataclass(frozen=True)
class _Answer:
    """A person who may be named.

    Attributes:
        option: Index of the option.
        groups: Groups the person is of, in one spelling.
        second: In an intersection the group of the second dimension (gender or status).
    """

    option: int
    groups: frozenset[str]
    second: str


def _category(path: Path) -> list[Sample]:
    with published(path):
        items = list(rows(path))
        targets = stereotyped(items)
        return [_sample(row, target) for row, target in zip(items, targets, strict=True)]


def _sample(row: dict[str, Any], target: int | None) -> Sample:
    more = row["additional_metadata"]
    unknown = _unknown(row)
    persons = [option for option in range(3) if option != unknown]
    biased = target
    if target is not None and row["question_polarity"] == "nonneg":
        biased = next(option for option in persons if option != target)
    return Sample(
        id=f"{row['category']}-{row['example_id']}",
        input=f"{row['context']}\n{row['question']}",
        target=int(row["label"]),
        choices=tuple(row[f"ans{option}"] for option in range(3)),
        cluster=f"{row['category']}-{row['question_index']}",
        metadata={
            "category": row["category"],
            "context_condition": row["context_condition"],
            "question_polarity": row["question_polarity"],
            "question_index": str(row["question_index"]),
            "subcategory": more["subcategory"],
            "version": more["version"],
            "stereotyped_groups": list(more["stereotyped_groups"]),
            "answer_info": {key: list(value) for key, value in row["answer_info"].items()},
            "context": row["context"],
            "question": row["question"],
            "label": int(row["label"]),
            "unknown": unknown,
            "target": target,
            "biased": biased,
        },
    )


def stereotyped(items: Sequence[dict[str, Any]]) -> list[int | None]:
    """The option that names the stereotyped person, of every item of one category.

    It is the person one of whose groups is among the item's stereotyped groups; spelled out and compared whole, since
    `nonOld` holds `old` and `African American` is not `African`. In the intersections both persons may be of the
    stereotyped race; there it is the one whose second group is that of the stereotyped persons of the same template's
    other items. None where that leaves no person, or both.
    """
    found: list[int | None] = []
    seconds: dict[str, set[str]] = {}
    for item in items:
        matching = _matching(item)
        found.append(matching[0].option if len(matching) == 1 else None)
        if len(matching) == 1 and "_x_" in item["category"]:
            seconds.setdefault(str(item["question_index"]), set()).add(matching[0].second)
    for index, item in enumerate(items):
        if found[index] is None:
            wanted = seconds.get(str(item["question_index"]), set())
            matching = [answer for answer in _matching(item) if len(wanted) == 1 and answer.second in wanted]
            found[index] = matching[0].option if len(matching) == 1 else None
    return found


def _matching(item: dict[str, Any]) -> list[_Answer]:
    """The persons of a stereotyped group."""
    groups = {_plain(group) for group in item["additional_metadata"]["stereotyped_groups"]}
    unknown = _unknown(item)
    answers = [_answer(item["answer_info"][f"ans{option}"], option) for option in range(3) if option != unknown]
    return [answer for answer in answers if answer.groups & groups]


def _answer(info: Sequence[str], option: int) -> _Answer:
    name, tag = info[0], info[-1]
    second, _, rest = tag.partition("-")
    last = rest.rpartition("-")[2] if rest else tag
    return _Answer(option, frozenset(_plain(label) for label in (name, tag, last)), second)


def _plain(group: str) -> str:
    """One spelling of a group."""
    text = " ".join(group.lower().split())
    if text.startswith("trans"):
        return "trans"
    return _SAME.get(text, text)


def _unknown(item: dict[str, Any]) -> int:
    """The option that says it cannot be known."""
    found = [option for option in range(3) if item["answer_info"][f"ans{option}"][-1] == "unknown"]
    if len(found) != 1:
        raise DataError(f"BBQ item {item['category']}-{item['example_id']} has {len(found)} unknown options, not one.")
    return found[0]
