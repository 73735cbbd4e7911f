"""The law of transfer of one's own runs, from a table of them."""

import csv
from pathlib import Path

import numpy as np

from windtunnel.laboratory.errors import DataError
from windtunnel.scaling.laws.interface import Floats
from windtunnel.scaling.transfer.calculator import Case, calculate
from windtunnel.scaling.transfer.estimators import TransferFit, fit_transfer
from windtunnel.scaling.transfer.surface import Runs, surface

COLUMNS = ("parameters", "data", "loss", "pretrained")
"""Columns of a table of runs; `seed` may come beside them."""

FROM_SCRATCH = frozenset({"", "0", "no", "false", "none", "scratch"})
"""What the column `pretrained` says of a run from scratch; anything else names its pre-training."""


def read_runs(path: str | Path) -> tuple[Runs, Runs]:
    """Runs from scratch and fine-tuned ones, from a CSV file.

    Args:
        path: With the columns `parameters`, `data` (the data set's size: of fine-tuned runs D_F), `loss`, `pretrained`
            (empty, `no` or `scratch` for runs from scratch) and, if runs were repeated, `seed`.

    Raises:
        DataError: The file cannot be read, lacks a column or one of the two kinds, holds what is no number, or names
            more than one pre-training.
    """
    try:
        with Path(path).open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            rows, names = list(reader), [name.strip() for name in reader.fieldnames or ()]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} cannot be read as CSV ({error}); give a table of runs.") from error
    missing = [name for name in COLUMNS if name not in names]
    if missing:
        raise DataError(
            f"{path} has no column {missing[0]!r}; a table of runs has {', '.join(COLUMNS)} and, if repeated, seed."
        )
    kinds: dict[str, list[tuple[Floats, str]]] = {}
    for number, row in enumerate(rows, start=2):
        clean = {(name or "").strip(): (value or "").strip() for name, value in row.items() if isinstance(value, str)}
        try:
            values = np.array([float(clean[name]) for name in COLUMNS[:3]])
        except (KeyError, ValueError):
            raise DataError(f"{path} line {number} has a parameter count, data or loss that is no number.") from None
        kind = clean.get("pretrained", "").lower()
        kinds.setdefault("" if kind in FROM_SCRATCH else kind, []).append((values, clean.get("seed") or "0"))
    if len(kinds) != 2 or "" not in kinds:
        found = ", ".join(sorted(kind or "scratch" for kind in kinds)) or "no runs"
        raise DataError(
            f"{path} holds {found}; it needs runs from scratch and runs of one pre-training (column `pretrained`)."
        )
    seeds = sorted({seed for members in kinds.values() for _, seed in members})
    scratch, finetuned = (_runs(members, seeds) for _, members in sorted(kinds.items()))
    return scratch, finetuned


def _runs(members: list[tuple[Floats, str]], seeds: list[str]) -> Runs:
    table = np.array([values for values, _ in members])
    return Runs.of(table[:, 0], table[:, 1], table[:, 2], [seeds.index(seed) for _, seed in members])


def calculate_own(
    scratch: Runs, finetuned: Runs, parameters: float, finetuning_data: float, *, bootstrap: int = 200, seed: int = 0
) -> tuple[Case, TransferFit, dict[str, tuple[float, float]]]:
    """Apply the law of one's own runs.

    Args:
        scratch: Runs from scratch.
        finetuned: Runs of one pre-training.
        parameters: N of the case.
        finetuning_data: D_F of the case, in the unit of the runs.
        bootstrap: Refits to resampled clusters (N, seed).
        seed: Of the resampling.

    Returns:
        The case, the fit, and the intervals of the case's `transferred` and `multiplier`.

    Raises:
        DataError: The runs are too few for the law.
    """
    fit = fit_transfer(scratch, finetuned, bootstrap=bootstrap, generator=np.random.default_rng(seed))
    curves = surface(scratch)
    near = min(curves, key=lambda size: abs(np.log(size / parameters)))
    enough = curves[near].enough() if 0.5 <= near / parameters <= 2 else None
    used = fit.transfers.runs.select(fit.transfers.low_data)
    ranges = tuple((float(each.min()), float(each.max())) for each in (used.parameters, used.data))
    case = calculate(fit.law, parameters, finetuning_data, enough=enough, fitted_to=(ranges[0], ranges[1]))
    name = "censored" if "censored" in fit.laws else next(iter(fit.laws))
    transferred = fit.interval(
        lambda law: float(law.predict(parameters=parameters, finetuning_data=finetuning_data)), name
    )
    low, high = (1 + end / finetuning_data for end in transferred)
    return case, fit, {"transferred": transferred, "multiplier": (low, high)}
