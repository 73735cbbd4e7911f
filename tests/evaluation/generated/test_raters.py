"""Sheets go out and come back as they are; agreement is that of raters with known skill."""

import csv

import numpy as np
import pytest

from windtunnel.evaluation.generated.discriminating import LabelByFunction
from windtunnel.evaluation.generated.raters import (
    Rating,
    rate_by_models,
    read_sheets,
    validate,
    write_ratings,
    write_sheets,
)
from windtunnel.evaluation.generated.records import STATEMENT, YES_NO, Record
from windtunnel.laboratory.errors import DataError, UsageError

RECORDS = [
    Record(f"b/{n}", "b", "persona", STATEMENT.format(statement=f"=SUM({n}) is what I say"), YES_NO, n % 2, 0.9)
    for n in range(200)
]


def rated(skill, raters=3, seed=0):
    rng = np.random.default_rng(seed)
    return [
        Rating(each.id, f"r{rater}", each.matching if rng.random() < skill else 1 - each.matching, 4 + rater % 2)
        for rater in range(raters)
        for each in RECORDS
    ]


def test_raters_of_known_skill_agree_as_they_should():
    """Of three raters, right with probability q: pairs agree in q² + (1 − q)², most are right in q³ + 3q²(1 − q)."""
    q = 0.95
    found = validate(RECORDS, rated(q))
    assert found.agreement.low <= q**2 + (1 - q) ** 2 <= found.agreement.high
    assert found.confirmed.low <= q**3 + 3 * q**2 * (1 - q) <= found.confirmed.high
    kappa = (q**2 + (1 - q) ** 2 - 0.5) / 0.5
    for estimate in (found.fleiss, found.krippendorff):
        assert estimate.low <= kappa <= estimate.high
    assert found.relevance.value == pytest.approx(13 / 3)
    assert (found.questions, found.raters, found.ambiguous) == (200, 3, 0)
    assert validate(RECORDS, rated(0.5)).krippendorff.low < 0.05


def test_files_come_back_as_they_went(tmp_path):
    ratings = [Rating("b/0", "Ann", 1, 5, True), Rating("b/1", "Ann", 0), Rating("b/0", "Bob, jr.", 0, 1)]
    write_ratings(ratings, tmp_path / "r.csv")
    assert read_sheets([tmp_path / "r.csv"]) == ratings


def test_the_empty_sheet_is_filled_in_by_hand_and_holds_no_formula(tmp_path):
    _, table = write_sheets(RECORDS[:5], "b", tmp_path)
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["question"][:5] for row in rows] == ["'=SUM"] * 5
    for row in rows[:3]:
        row |= {"label": "0", "relevance": "5"}
    with table.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    found = read_sheets([table])
    assert [(each.id, each.rater, each.label, each.relevance) for each in found] == [
        (f"b/{n}", "rating", 0, 5) for n in range(3)
    ]
    assert validate(RECORDS, found).agreement is None


def test_raters_do_not_see_the_labels(tmp_path):
    turned = [Record(**{**vars(each), "matching": 1 - each.matching, "label_confidence": 0.51}) for each in RECORDS[:6]]
    first, second = tmp_path / "one", tmp_path / "two"
    for folder, records in ((first, RECORDS[:6]), (second, turned)):
        write_sheets(records, "b", folder)
    for name in ("rating.html", "rating.csv"):
        assert (first / name).read_bytes() == (second / name).read_bytes()


def test_models_stand_in_for_raters():
    judges = {
        "right": LabelByFunction(lambda records: [0.9 if each.matching == 0 else 0.2 for each in records], "right"),
        "wrong": LabelByFunction(lambda records: [0.1 if each.matching == 0 else 0.8 for each in records], "wrong"),
    }
    found = validate(RECORDS, rate_by_models(RECORDS, judges))
    assert found.confirmed.value == 0.5  # one for and one against, everywhere
    assert found.agreement.value == 0
    assert found.as_dict()["krippendorff"]["value"] < -0.9


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,rater,label,relevance\nb/0,x,1,1\n", "no column 'ambiguous'"),
        ("id,rater,label,relevance,ambiguous\nb/0,x,yes,1,0\n", "whole numbers"),
        ("id,rater,label,relevance,ambiguous\nb/0,x,0,9,0\n", "from 1 to 5"),
        ("id,rater,label,relevance,ambiguous\nb/0,x,0,,0\nb/0,x,1,,0\n", "twice"),
    ],
)
def test_broken_sheets_are_explained(text, message, tmp_path):
    (tmp_path / "r.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        read_sheets([tmp_path / "r.csv"])


def test_what_does_not_belong_is_refused(tmp_path):
    with pytest.raises(UsageError, match="no question of this"):
        validate(RECORDS, [Rating("other", "x", 0)])
    with pytest.raises(DataError, match="no ratings yet"):
        validate(RECORDS, [])
    with pytest.raises(DataError, match="cannot be read"):
        read_sheets([tmp_path / "missing.csv"])
