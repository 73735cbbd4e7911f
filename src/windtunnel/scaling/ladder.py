"""A ladder: a declared family of models trained as one sweep, each run recorded once and reused by every law."""

import csv
import functools
import hashlib
import io
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from windtunnel.laboratory.errors import UsageError
from windtunnel.laboratory.files import write_atomic
from windtunnel.laboratory.run import Run
from windtunnel.laboratory.sweeps import Backend, sweep, values
from windtunnel.models.configuration import TransformerConfig
from windtunnel.models.counting import ParameterCount, count_parameters, training_flops
from windtunnel.models.recurrent import Recurrent, RecurrentConfig, count_recurrent, recurrent_flops
from windtunnel.models.transformer import Transformer
from windtunnel.scaling.material import Material
from windtunnel.training import checkpoints
from windtunnel.training.configuration import TrainingConfig
from windtunnel.training.loop import train
from windtunnel.training.objectives import next_token, token_losses
from windtunnel.training.schedules import Schedule

DECAY = 0.2
"""Share of a `wsd` run's steps that decay: what the schedule takes by default."""

BATCH_MEASURED = 64
"""Rows per forward pass when measuring."""


def default_learning_rate(parameters: float) -> float:
    """Peak AdamW learning rate of a small model: 0.015 at 10^4 non-embedding parameters, falling as N^-0.3.

    Chosen from few trials on bytes of English (see the page on ladders); never above 0.02. Porian et al. (2024) find
    3.7 N^-0.36 for models a thousand times larger.
    """
    return float(min(0.02, 0.015 * (parameters / 1e4) ** -0.3))


class Rung(BaseModel):
    """One run of a ladder: a model, how long it is trained, and with what settings."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: TransformerConfig | RecurrentConfig
    tokens: int = Field(ge=1, description="predicted in training, rounded to whole steps")
    batch: int = Field(ge=1, description="rows per step")
    learning_rate: float = Field(gt=0, description="peak")
    warmup: int = Field(ge=0, description="tokens of linear warm-up")
    schedule: Schedule = "cosine"
    horizon: int | None = Field(None, ge=1, description="tokens the schedule is laid out for; None: those trained")
    final_fraction: float = Field(0.1, ge=0, le=1, description="share of the peak left at the end of the schedule")
    unique: int | None = Field(None, ge=2, description="tokens of text that are repeated; None: all there are")
    evaluations: int = Field(16, ge=1, description="points of the learning curve")
    seed: int = Field(0, ge=0, description="of weights and order")

    @classmethod
    def of(cls, model: TransformerConfig | RecurrentConfig, tokens: float, *, batch: int = 16, **changes: Any) -> Self:
        """A rung with the house rules: the learning rate by size, and a warm-up of N tokens, at most a tenth of all.

        Warm-up tied to size is one of the three causes of the difference between Kaplan's and Chinchilla's exponents
        (Porian et al., 2024; arXiv:2406.19146).
        """
        parameters = sizes(model).non_embedding
        settings = {
            "learning_rate": default_learning_rate(parameters),
            "warmup": round(min(parameters, tokens / 10)),
            **changes,
        }
        return cls(model=model, tokens=round(tokens), batch=batch, **settings)

    @property
    def step_tokens(self) -> int:
        """Tokens predicted per step: the batch in tokens."""
        return self.batch * self.model.context

    @property
    def steps(self) -> int:
        """Optimizer steps."""
        return max(1, round(self.tokens / self.step_tokens))

    @property
    def name(self) -> str:
        """Readable, and different for different rungs: equal rungs of two experiments are trained once."""
        kind = "lstm" if isinstance(self.model, RecurrentConfig) else "transformer"
        digest = hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:8]
        return f"{kind}-{self.model.layers}x{self.model.width}-{self.steps}-steps-{digest}"

    def training(self, device: str) -> TrainingConfig:
        """Settings of the loop."""
        laid_out = self.steps if self.horizon is None else max(1, round(self.horizon / self.step_tokens))
        return TrainingConfig(
            steps=self.steps,
            schedule_steps=None if laid_out == self.steps else laid_out,
            batch_size=self.batch,
            learning_rate=self.learning_rate,
            schedule=self.schedule,
            warmup_steps=round(self.warmup / self.step_tokens),
            final_fraction=self.final_fraction,
            betas=(0.9, 0.98),
            weight_decay=0.01,
            precision="fp32" if device == "cpu" else "auto",
            evaluate_every=max(1, self.steps // self.evaluations),
            checkpoint_every=max(500, self.steps),
            log_every=max(10, self.steps // 20),
            seed=self.seed,
        )


@dataclass(frozen=True)
class Row:
    """A finished run: everything a law is fitted to. Losses are in nats per token, on held-out text.

    Attributes:
        name: The rung's.
        kind: `transformer` or `lstm`.
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


def sizes(model: TransformerConfig | RecurrentConfig) -> ParameterCount:
    """Parameters of either kind of model."""
    return count_parameters(model) if isinstance(model, TransformerConfig) else count_recurrent(model)


def flops_per_token(model: TransformerConfig | RecurrentConfig) -> int:
    """Exact FLOPs of training per token of either kind of model."""
    return training_flops(model) if isinstance(model, TransformerConfig) else 3 * recurrent_flops(model)


def build(model: TransformerConfig | RecurrentConfig, seed: int) -> nn.Module:
    """The untrained model."""
    generator = torch.Generator().manual_seed(seed)
    return Transformer(model, generator) if isinstance(model, TransformerConfig) else Recurrent(model, generator)


def decoder(
    layers: int, width: int, *, context: int = 64, vocabulary: int = 259, heads: int | None = None, **options: Any
) -> TransformerConfig:
    """A decoder of a ladder: rotary positions, heads 16 wide, embeddings that begin at 0.3, unless said otherwise.

    At these sizes learned positions and small embeddings cost a tenth of a nat in short runs.
    """
    heads = max(1, width // 16) if heads is None else heads
    settings = {"positions": "rotary", "embedding_scale": 0.3, **options}
    return TransformerConfig(
        vocabulary=vocabulary, context=context, layers=layers, width=width, heads=heads, **settings
    )


# --- training ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Item:
    """What a worker trains: one rung, or the rungs of one trunk, shortest first."""

    rungs: tuple[Rung, ...]
    runs: tuple[Run, ...]
    trunk: Run | None
    material: Material
    rows: int
    rows_on_curve: int


def climb(
    rungs: Sequence[Rung],
    material: Material,
    run: Run,
    *,
    rows: int = 256,
    rows_on_curve: int = 64,
    trunks: bool = False,
) -> dict[Rung, Row]:
    """Train every rung, the most expensive first; what is finished is read back.

    Args:
        rungs: Equal ones are trained once.
        material: What they learn from and are measured on.
        run: Each rung becomes a part of it under `runs/`; its workers are used.
        rows: Held-out rows of each text measured at the end.
        rows_on_curve: Held-out rows measured along the way.
        trunks: Train `wsd` rungs that differ in tokens only as one trunk with a cooldown for each (Hägele et al., 2024;
            arXiv:2405.18392), which is the same run as from scratch, step for step.

    Returns:
        The row of each rung.

    Raises:
        WindtunnelError: A run failed; finished ones are kept.
    """
    groups = _groups(list(dict.fromkeys(rungs)), trunks)
    groups.sort(key=lambda group: -sum(flops_per_token(rung.model) * rung.tokens for rung in group))
    items = [
        _Item(
            tuple(group),
            tuple(run.child(rung.name) for rung in group),
            run.child(f"trunk-{group[-1].name}") if len(group) > 1 else None,
            material,
            rows,
            rows_on_curve,
        )
        for group in groups
    ]
    backend: Backend = "processes" if run.workers > 1 else "in-process"
    children = [child for item in items for child in item.runs]
    with run.watch(children), run.progress("runs", len(items)) as task:
        found = values(sweep(_train_item, items, backend=backend, workers=run.workers, task=task))
    return {
        rung: Row(**stored)
        for item, several in zip(items, found, strict=True)
        for rung, stored in zip(item.rungs, several, strict=True)
    }


def _groups(rungs: list[Rung], trunks: bool) -> list[list[Rung]]:
    """Rungs that share a trunk, shortest first; all others alone."""
    groups: dict[Any, list[Rung]] = {}
    for rung in rungs:
        shared = trunks and rung.schedule == "wsd" and rung.horizon is None
        groups.setdefault(rung.model_copy(update={"tokens": 0}) if shared else rung, []).append(rung)
    return [sorted(group, key=lambda rung: rung.tokens) for group in groups.values()]


def _train_item(item: _Item) -> list[dict[str, Any]]:
    """The rows of an item, finished ones read back."""
    stored = []
    begin: Path | None = None
    for rung, run in zip(item.rungs, item.runs, strict=True):
        if item.trunk is not None:
            begin = _trunk(rung, begin, item)
        stored.append(run.stage("row", functools.partial(_measured, rung, run, item, begin)))
    return stored


def _trunk(rung: Rung, begin: Path | None, item: _Item) -> Path:
    """Train the trunk on to where the rung's cooldown begins; returns the checkpoint there."""
    assert item.trunk is not None
    config = rung.training(item.trunk.device)
    steps = max(config.warmup_steps, round(config.steps * (1 - DECAY)))
    part = item.trunk.child(f"to-{steps}")
    checkpoint = checkpoints.path_of(part.directory / "checkpoints", steps)
    if not checkpoint.exists():
        settings = config.model_copy(update={"steps": steps, "schedule": "constant", "checkpoint_every": steps})
        source = item.material.source(rung.model.context, rung.seed, rung.unique)
        model = build(rung.model, rung.seed)
        train(model, next_token, source, settings, run=part, device=part.device, begin=begin)
    return checkpoint


def _measured(rung: Rung, run: Run, item: _Item, begin: Path | None) -> dict[str, Any]:
    """Train one rung and measure it."""
    model, material, device = build(rung.model, rung.seed), item.material, run.device
    context = rung.model.context
    tests = {name: material.test_rows(name, context, item.rows).to(device) for name in material.held_out}
    own = next(iter(tests))
    curve_rows = tests[own][: item.rows_on_curve]

    def evaluate(trained: nn.Module, step: int) -> dict[str, Any]:
        return {"loss": float(losses_of(trained, curve_rows).mean())}

    source = material.source(context, rung.seed, rung.unique)
    peak = matrix_peak(device)
    result = train(
        model, next_token, source, rung.training(device), run=run, evaluate=evaluate, device=device, begin=begin
    )
    losses = {name: losses_of(model, rows) for name, rows in tests.items()}
    by_row = losses[own].mean(1)
    count, trained_tokens = sizes(rung.model), rung.steps * rung.step_tokens
    pace = result.tokens_per_second * flops_per_token(rung.model)
    curve = [point for point in result.evaluations if point["step"] > 0]
    return {
        "name": rung.name,
        "kind": "lstm" if isinstance(rung.model, RecurrentConfig) else "transformer",
        "layers": rung.model.layers,
        "width": rung.model.width,
        "context": context,
        "parameters": count.non_embedding,
        "parameters_total": count.total,
        "tokens": trained_tokens,
        "unique": min(trained_tokens, source.epoch * context),
        "steps": rung.steps,
        "batch": rung.step_tokens,
        "learning_rate": rung.learning_rate,
        "flops": 6.0 * count.non_embedding * trained_tokens,
        "flops_exact": float(flops_per_token(rung.model)) * trained_tokens,
        "loss": float(by_row.mean()),
        "loss_error": float(by_row.std(ddof=1) / len(by_row) ** 0.5) if len(by_row) > 1 else float("inf"),
        "curve_tokens": np.array([point["step"] * rung.step_tokens for point in curve]),
        "curve": np.array([point["loss"] for point in curve]),
        "position_losses": losses[own].mean(0),
        "row_losses": by_row,
        "other_losses": {name: found.mean(1) for name, found in losses.items() if name != own},
        "seed": rung.seed,
        "seconds": result.seconds,
        "flops_per_second": pace,
        "utilisation": pace / peak,
        "shape": rung.model.model_dump(mode="json"),
    }


@torch.no_grad()
def losses_of(model: nn.Module, rows: Tensor) -> np.ndarray:
    """The loss of every token of some rows [row, position], in nats."""
    model.eval()
    parts = [token_losses(model(part[:, :-1]), part[:, 1:]) for part in torch.split(rows, BATCH_MEASURED)]
    return torch.cat(parts).double().cpu().numpy()


@functools.cache
def matrix_peak(device: str = "cpu", size: int = 1024) -> float:
    """FLOPs per second of a large fp32 matrix product on this process's threads: the best of several."""
    left, right = torch.randn(2, size, size, device=device, generator=torch.Generator(device).manual_seed(0))
    best = float("inf")
    for _ in range(8):
        began = time.perf_counter()
        product = left @ right
        if product.is_cuda:
            torch.cuda.synchronize(device)
        best = min(best, time.perf_counter() - began)
    return 2 * size**3 / best


# --- the table -----------------------------------------------------------------------------------------------

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


def isoflop_rungs(
    models: Sequence[TransformerConfig], budgets: Sequence[float], *, batch: int = 16, **changes: Any
) -> list[Rung]:
    """Every model at every budget of exact training FLOPs: the tokens are what the budget buys."""
    return [
        Rung.of(model, budget / flops_per_token(model), batch=batch, **changes)
        for budget in budgets
        for model in models
    ]


LADDER: tuple[tuple[int, int], ...] = ((1, 8), (2, 16), (2, 32), (3, 48), (4, 64), (4, 96), (6, 128), (6, 192))
"""Layers and width of the sizes that two cores can train, from 768 to 2.65 million non-embedding parameters."""
