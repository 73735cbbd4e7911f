"""Published answers of UnifiedQA-11B to BBQ, as exact points of reference for its scores.

The files `preds_<category>.jsonl` of the BBQ repository hold each item with the text that the model gave in three
formats of asking: `race` and `arc` (as in those data sets) and `qonly` (the question without its context).
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int

from windtunnel.evaluation.bias.bbq import NONE
from windtunnel.laboratory.errors import DataError

FORMATS = ("arc", "race", "qonly")

PUBLISHED = {
    ("Nationality", "arc"): (0.416, 0.145),
    ("Religion", "arc"): (0.438, 0.245),
    ("Sexual_orientation", "arc"): (0.516, 0.118),
    ("Nationality", "race"): (0.660, 0.060),
    ("Religion", "race"): (0.650, 0.143),
    ("Sexual_orientation", "race"): (0.688, 0.058),
}
"""Ambiguous accuracy and ambiguous score of categories whose targets follow from the answers' own tags."""

LARGEST_DISAMBIGUATED = 0.035
"""Largest magnitude of the disambiguated score in those."""


def read_predictions(path: str | Path, asked: str = "arc") -> tuple[list[dict[str, Any]], Int[np.ndarray, " item"]]:
    """Items of a file of predictions, as they stand in it, and the index of the option that each answer is.

    Args:
        path: A `preds_<category>.jsonl`.
        asked: One of the three formats of asking.

    Raises:
        DataError: No such format, or a line is not a prediction.
    """
    if asked not in FORMATS:
        raise DataError(f"UnifiedQA was not asked in the format {asked!r}; choose one of {', '.join(FORMATS)}.")
    rows, answers = [], []
    for number, line in enumerate(Path(path).read_text(encoding="utf-8").splitlines(), start=1):
        try:
            row = json.loads(line)
            answers.append(option_of(row, str(row[f"unifiedqa-t5-11b_pred_{asked}"])))
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"{path}, line {number}, is not a prediction for BBQ ({error!r}).") from error
        rows.append(row)
    return rows, np.array(answers, dtype=int)


def option_of(row: Mapping[str, Any], text: str) -> int:
    """The option that an answer is: the same words but for case, spaces and a full stop; -1 if it is none of them."""
    wanted = _plain(text)
    options = [_plain(row[f"ans{index}"]) for index in range(3)]
    return options.index(wanted) if options.count(wanted) == 1 else NONE


def _plain(text: str) -> str:
    return " ".join(text.lower().strip().rstrip(".").split())
