"""The law of transfer of one's own runs, from a table of them."""

from pathlib import Path

import numpy as np

from windtunnel.laboratory.errors import DataError
from windtunnel.scaling.laws.interface import Floats
from windtunnel.scaling.tables import read_table
from windtunnel.scaling.transfer.calculator import Case, calculate
from windtunnel.scaling.transfer.estimators import TransferFit, fit_transfer
from windtunnel.scaling.transfer.surface import Runs, surface

COLUMNS = ("parameters", "data", "loss", "pretrained")
"""Columns of a table of runs; `seed` may come beside them."""

FROM_SCRATCH = frozenset({"", "0", "no", "false", "none", "scratch"})
"""What the column `pretrained` says of a run from scratch; anything else names its pre-training."""


def read_runs(path: str | Path) -> tuple[Runs, Runs]:
    """Runs from scratch and fine-tuned ones, from a table.

    Args:
        path: As `tables.read_table` reads it, with the columns `parameters`, `data` (the data set's size: of fine-tuned
            runs D_F), `loss`, `pretrained` (empty, `no` or `scratch` for runs from scratch) and, if runs were repeated,
            `seed`.

    Raises:
        DataError: The file cannot be read, lacks a column or one of the two kinds, holds what is no number, or names
            more than one pre-training.
    """
    table = read_table(path)
    missing = [name for name in COLUMNS if name not in table.columns]
    if missing:
        raise DataError(
            f"{path} has no column {missing[0]!r}; a table of runs has {', '.join(COLUMNS)} and, if repeated, seed."
        )
    numbers = np.stack([table.numbers(name) for name in COLUMNS[:3]], axis=1)
    seeded = table.columns.get("seed", [""] * len(table))
    kinds: dict[str, list[tuple[Floats, str]]] = {}
    for row, (values, pretrained, seed) in enumerate(
        zip(numbers, table.columns["pretrained"], seeded, strict=True), start=1
    ):
        if not np.isfinite(values).all():
            raise DataError(f"{path} row {row} has a parameter count, data or loss that is no number; fill it in.")
        kind = "" if pretrained is None else str(pretrained).strip().lower()
        kinds.setdefault("" if kind in FROM_SCRATCH else kind, []).append((values, str(seed or "0").strip()))
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
