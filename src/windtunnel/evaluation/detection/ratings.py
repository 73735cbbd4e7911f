"""Ratings of texts by people, as their pages export them, and the choice of who is counted."""

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from windtunnel.laboratory.errors import DataError
from windtunnel.laboratory.files import read_json

CHOICES = (
    "very likely written by a human",
    "more likely written by a human",
    "I don't know",
    "more likely written by a machine",
    "very likely written by a machine",
)
"""The paper's five answers; a rating is a place among them, from 1."""

NEUTRAL = 3

FORMAT = "windtunnel-ratings"


@dataclass(frozen=True)
class Rating:
    """What one participant said of one text.

    Attributes:
        participant: An opaque name.
        article: The topic of the text, which has one version written by a person and others by models.
        generated: Whether the version shown was a model's.
        model: Whose texts the participant was shown among those of people.
        choice: 1 (very likely a human) to 5 (very likely a machine).
    """

    participant: str
    article: str
    generated: bool
    model: str
    choice: int

    @property
    def neutral(self) -> bool:
        """Whether it takes no side."""
        return self.choice == NEUTRAL

    @property
    def correct(self) -> bool:
        """Whether it takes the right side."""
        return not self.neutral and (self.choice > NEUTRAL) == self.generated


@dataclass(frozen=True)
class Sheet:
    """All that one participant exported.

    Attributes:
        participant: An opaque name.
        choices: By the code of each text shown; texts without an answer are missing.
        looked_up: What they said when asked whether they looked for a text on the internet; None: nothing.
    """

    participant: str
    choices: Mapping[str, int]
    looked_up: bool | None


def read_sheets(paths: Iterable[str | Path]) -> list[Sheet]:
    """Read what participants exported, JSON or CSV.

    Raises:
        DataError: A file is not such an export, or two are of one participant.
    """
    sheets: dict[str, Sheet] = {}
    for path in map(Path, paths):
        sheet = _read_csv(path) if path.suffix == ".csv" else _read_json(path)
        if sheet.participant in sheets:
            raise DataError(f"{path} is a second export of participant {sheet.participant}; remove one of them.")
        sheets[sheet.participant] = sheet
    return list(sheets.values())


def _read_json(path: Path) -> Sheet:
    document = read_json(path)
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise DataError(f"{path} is not an export of ratings; give the files that participants saved.")
    answers = document.get("answers")
    if not isinstance(answers, dict):
        raise DataError(f"{path} has no answers; ask the participant to save it again.")
    return _sheet(path, document.get("participant"), answers, document.get("looked_up"))


def _read_csv(path: Path) -> Sheet:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} cannot be read as CSV ({error}); give the files that participants saved.") from error
    if not rows or not {"participant", "article", "choice"} <= rows[0].keys():
        raise DataError(f"{path} has no columns participant, article and choice; give the files participants saved.")
    answers = {row["article"]: row["choice"] for row in rows if row["choice"]}
    said = {"true": True, "false": False}.get((rows[0].get("looked_up") or "").lower())
    return _sheet(path, rows[0]["participant"], answers, said)


def _sheet(path: Path, participant: Any, answers: Mapping[str, Any], looked_up: Any) -> Sheet:
    try:
        choices = {str(code): int(choice) for code, choice in answers.items()}
        good = isinstance(participant, str) and bool(participant) and all(1 <= one <= 5 for one in choices.values())
    except (TypeError, ValueError):
        good, choices = False, {}
    if not good or looked_up not in (True, False, None):
        raise DataError(f"{path} holds answers that are no choice from 1 to 5, or names no participant; correct it.")
    return Sheet(str(participant), choices, looked_up)


def counted(sheets: Sequence[Sheet], key: Mapping[str, Any]) -> tuple[list[Rating], dict[str, str]]:
    """The ratings that count, and why other participants are left out.

    As in the paper, who says that they looked for a text on the internet is left out, and so is who did not finish.

    Args:
        sheets: The exports.
        key: What `write_material` kept as `key.json`.

    Returns:
        The ratings, and the reason by participant.

    Raises:
        DataError: A sheet is of a participant or has a text that the key does not know.
    """
    ratings, excluded = [], {}
    for sheet in sheets:
        shown = key["participants"].get(sheet.participant)
        if shown is None or not set(sheet.choices) <= set(shown["articles"]):
            raise DataError(
                f"Participant {sheet.participant}, or a text in their answers, is not in the key; "
                "give the key.json that was written with the pages."
            )
        if sheet.looked_up:
            excluded[sheet.participant] = "looked for a text on the internet"
        elif len(sheet.choices) < len(shown["articles"]):
            missing = len(shown["articles"]) - len(sheet.choices)
            excluded[sheet.participant] = f"left {missing} of {len(shown['articles'])} texts without an answer"
        else:
            for code, choice in sheet.choices.items():
                text = shown["articles"][code]
                ratings.append(Rating(sheet.participant, text["topic"], text["generated"], shown["model"], choice))
    return ratings, excluded


def export(sheet: Sheet) -> str:
    """The JSON that a participant's page saves."""
    document = {
        "format": FORMAT,
        "participant": sheet.participant,
        "looked_up": sheet.looked_up,
        "answers": dict(sheet.choices),
    }
    return json.dumps(document, indent=2)
