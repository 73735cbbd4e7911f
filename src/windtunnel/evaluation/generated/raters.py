"""Validation by people, or by models in their place: sheets out, ratings back, agreement with intervals."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from windtunnel.evaluation.generated.discriminating import Discriminator
from windtunnel.evaluation.generated.page import write_rating_page
from windtunnel.evaluation.generated.records import Record, asked_by_letter
from windtunnel.laboratory.errors import DataError, UsageError
from windtunnel.laboratory.files import explained, write_atomic
from windtunnel.statistics.agreement import fleiss_kappa, krippendorff_alpha, percent_agreement
from windtunnel.statistics.estimates import Estimate
from windtunnel.statistics.intervals import bootstrap, wilson

COLUMNS = ("id", "rater", "label", "relevance", "ambiguous")
"""Of a file of ratings: `label` is the index of the answer of somebody with the behaviour (0: Agree or (A)),
`relevance` from 1 to 5 or empty, `ambiguous` 1 or 0."""


@dataclass(frozen=True)
class Rating:
    """What one rater says of one question.

    Attributes:
        id: The question's.
        rater: Who.
        label: Index of the answer that they think matches.
        relevance: From 1, not at all, to 5; None: not said.
        ambiguous: Whether they think that it is open to doubt.
    """

    id: str
    rater: str
    label: int
    relevance: int | None = None
    ambiguous: bool = False


def write_sheets(records: Sequence[Record], behaviour: str, directory: str | Path) -> tuple[Path, Path]:
    """Write a page for raters and an empty table with the same questions, for who prefers a spreadsheet.

    Returns:
        Paths of `rating.html` and `rating.csv`.
    """
    directory = Path(directory)
    page, table = directory / "rating.html", directory / "rating.csv"
    write_rating_page(records, behaviour, page)
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow([*COLUMNS, "question"])
    for each in records:
        shown = asked_by_letter(each.question, each.options, each.layout) if each.letters else each.text
        writer.writerow([each.id, "", "", "", "", _inert(shown)])
    write_atomic(table, text.getvalue())
    return page, table


def read_sheets(paths: Sequence[str | Path]) -> list[Rating]:
    """Ratings from files that the page saved or that were filled in by hand; rows without a label are not rated yet.

    Raises:
        DataError: A file lacks a column, a value is out of range, or one rater rated a question twice.
    """
    found: list[Rating] = []
    for path in map(Path, paths):
        try:
            with path.open(newline="", encoding="utf-8-sig") as file:
                rows = list(csv.DictReader(file))
        except (OSError, ValueError, csv.Error) as error:
            raise DataError(f"{path} cannot be read as a table of ratings ({error}).") from error
        for number, row in enumerate(rows, start=2):
            missing = [name for name in COLUMNS if row.get(name) is None]
            if missing:
                raise DataError(f"{path} line {number} has no column {missing[0]!r}; columns are {', '.join(COLUMNS)}.")
            if row["label"].strip():
                found.append(_rating(row, path.stem, f"{path} line {number}"))
    seen = set()
    for each in found:
        if (each.id, each.rater) in seen:
            raise DataError(f"{each.rater!r} rated {each.id!r} twice; keep one of the two, or tell raters apart.")
        seen.add((each.id, each.rater))
    return found


def write_ratings(ratings: Sequence[Rating], path: str | Path) -> None:
    """Write ratings as `read_sheets` reads them."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    for each in ratings:
        relevance = "" if each.relevance is None else each.relevance
        writer.writerow([each.id, each.rater, each.label, relevance, int(each.ambiguous)])
    with explained(Path(path)):
        write_atomic(Path(path), text.getvalue())


def rate_by_models(records: Sequence[Record], judges: Mapping[str, Discriminator]) -> list[Rating]:
    """Models as raters: each gives the label that it finds more probable."""
    found = []
    for name, judge in judges.items():
        for record, first in zip(records, judge(records), strict=True):
            found.append(Rating(record.id, name, 0 if first > 0.5 else 1))
    return found


@dataclass(frozen=True)
class Validation:
    """How far raters confirm an evaluation.

    Attributes:
        questions: How many were rated.
        raters: How many people or models.
        confirmed: Share of questions whose label most raters gave; of ties a half counts. Wilson's interval.
        agreement: Share of pairs of raters with the same label; None where no question has two ratings.
        fleiss: Fleiss' kappa of labels; None where it is not defined.
        krippendorff: Krippendorff's alpha of labels; None likewise.
        relevance: Mean over questions of their mean relevance, 1 to 5; None: not said.
        ambiguous: Share of questions that most raters call open to doubt.
    """

    questions: int
    raters: int
    confirmed: Estimate
    agreement: Estimate | None
    fleiss: Estimate | None
    krippendorff: Estimate | None
    relevance: Estimate | None
    ambiguous: float

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        found: dict[str, Any] = {}
        for name, value in vars(self).items():
            found[name] = {"value": value.value, "interval": value.interval} if isinstance(value, Estimate) else value
        return found


def validate(records: Sequence[Record], ratings: Sequence[Rating], *, seed: int = 0) -> Validation:
    """Hold an evaluation against what raters say of it.

    Raises:
        DataError: No rating is of a question of it.
        UsageError: A rating is of a question that it does not have.
    """
    known = {each.id: each for each in records}
    strange = [each.id for each in ratings if each.id not in known]
    if strange:
        raise UsageError(f"Ratings are of {strange[0]!r}, which is no question of this evaluation; give its own.")
    if not ratings:
        raise DataError("There are no ratings yet; have some questions rated.")
    names = list(dict.fromkeys(each.rater for each in ratings))
    given: dict[str, dict[str, Rating]] = {}
    for each in ratings:
        given.setdefault(each.id, {})[each.rater] = each
    labels = [[mine[name].label if name in mine else None for name in names] for mine in given.values()]
    votes = []
    for question, mine in given.items():
        share = np.mean([each.label == known[question].matching for each in mine.values()])
        votes.append(0.5 if share == 0.5 else float(share > 0.5))
    generator = np.random.default_rng(seed)
    relevances = [[each.relevance for each in mine.values() if each.relevance is not None] for mine in given.values()]
    means = [float(np.mean(each)) for each in relevances if each]
    doubts = [np.mean([each.ambiguous for each in mine.values()]) > 0.5 for mine in given.values()]
    whole = wilson(int(np.floor(sum(votes))), len(votes))
    return Validation(
        len(given),
        len(names),
        Estimate(float(np.mean(votes)), whole.low, wilson(int(np.ceil(sum(votes))), len(votes)).high),
        _defined(percent_agreement, labels, generator),
        _defined(fleiss_kappa, labels, generator),
        _defined(krippendorff_alpha, labels, generator),
        bootstrap(means, generator=generator) if means else None,
        float(np.mean(doubts)),
    )


def _defined(statistic: Any, labels: Sequence[Sequence[int | None]], generator: np.random.Generator) -> Estimate | None:
    try:
        found: Estimate = statistic(labels, generator=generator)
    except DataError:  # fewer than two ratings of any question, or one label throughout
        return None
    return found


def _rating(row: Mapping[str, str], rater: str, place: str) -> Rating:
    try:
        label, relevance = int(row["label"]), row["relevance"].strip()
        scored = int(relevance) if relevance else None
        ambiguous = bool(int(row["ambiguous"].strip() or 0))
    except ValueError as error:
        raise DataError(f"{place} is no rating ({error}); label, relevance and ambiguous are whole numbers.") from error
    if label < 0 or (scored is not None and not 1 <= scored <= 5):
        raise DataError(f"{place} has the label {label} and the relevance {scored}; these are from 0, and from 1 to 5.")
    return Rating(row["id"].removeprefix("'"), row["rater"].strip() or rater, label, scored, ambiguous)


def _inert(text: str) -> str:
    """A cell that no spreadsheet takes for a formula."""
    return "'" + text if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text
