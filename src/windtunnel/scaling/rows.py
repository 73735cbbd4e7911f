"""What a ladder records: a row per finished run, and the table of them that laws are fitted to."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from windtunnel.laboratory.errors import UsageError
from windtunnel.laboratory.files import write_atomic


@dataclass(frozen=True)
class Row:
    """A finished run: everything a law is fitted to. Losses are in nats per token, on held-out text.

    Attributes:
        name: The rung's.
        kind: `transformer`, `lstm` or `universal`.
        layers: Of the model.
        width: Of the model.
        context: Tokens.
        parameters: Non-embedding.
        parameters_total: All.
        tokens: Predicted in training.
        unique: Tokens of text they were taken from.
        steps: Optimizer steps.
        batch: Tokens per step.
        learning_rate: Peak.
        flops: 6 N D with non-embedding parameters.
        flops_exact: Of training, with attention and head (`models.counting`).
        loss: At the end.
        loss_error: Its standard error over held-out rows.
        curve_tokens: Tokens after which the loss was taken [point].
        curve: Loss on a part of the held-out rows there [point].
        position_losses: Loss by position in the context [context].
        row_losses: Loss of each held-out row [row].
        other_losses: The same of each other text, by name.
        seed: Of the run.
        seconds: Of training.
        flops_per_second: Exact FLOPs per second of training.
        utilisation: That as a share of the speed of a large matrix product, measured just before in the same process.
    """

    name: str
    kind: str
    layers: int
    width: int
    context: int
    parameters: int
    parameters_total: int
    tokens: int
    unique: int
    steps: int
    batch: int
    learning_rate: float
    flops: float
    flops_exact: float
    loss: float
    loss_error: float
    curve_tokens: np.ndarray
    curve: np.ndarray
    position_losses: np.ndarray
    row_losses: np.ndarray
    other_losses: dict[str, np.ndarray]
    seed: int
    seconds: float
    flops_per_second: float
    utilisation: float
    shape: dict[str, Any] = field(default_factory=dict)

    @property
    def best_loss(self) -> float:
        """The least loss of the learning curve: what early stopping would have kept."""
        return float(self.curve.min())


COLUMNS: tuple[str, ...] = (
    "name",
    "kind",
    "layers",
    "width",
    "context",
    "parameters",
    "parameters_total",
    "tokens",
    "unique",
    "steps",
    "batch",
    "learning_rate",
    "flops",
    "flops_exact",
    "loss",
    "loss_error",
    "best_loss",
    "seed",
    "seconds",
    "flops_per_second",
    "utilisation",
)


def table(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """One flat record per run: what `windtunnel fit` reads; the loss on every other text as `loss_NAME`."""
    return [
        {name: getattr(row, name) for name in COLUMNS}
        | {f"loss_{name}": float(losses.mean()) for name, losses in row.other_losses.items()}
        for row in rows
    ]


def write_table(path: str | Path, rows: Sequence[Row]) -> None:
    """Write the table as CSV.

    Raises:
        UsageError: There are no rows.
    """
    records = table(rows)
    if not records:
        raise UsageError(f"There is no finished run to write to {path}; declare at least one size.")
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(dict.fromkeys(key for record in records for key in record)))
    writer.writeheader()
    writer.writerows(records)
    write_atomic(Path(path), buffer.getvalue())
