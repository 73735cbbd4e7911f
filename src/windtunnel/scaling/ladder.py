"""A ladder: a declared family of models trained as one sweep, each run recorded once and reused by every law."""

import functools
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from windtunnel.laboratory.run import Run
from windtunnel.laboratory.sweeps import Backend, sweep, values
from windtunnel.scaling.material import Material
from windtunnel.scaling.rows import Row
from windtunnel.scaling.rungs import Rung, build, flops_per_token, kind, sizes
from windtunnel.training import checkpoints
from windtunnel.training.loop import train
from windtunnel.training.objectives import next_token, token_losses

DECAY = 0.2
"""Share of a `wsd` run's steps that decay: what the schedule takes by default."""

BATCH_MEASURED = 64
"""Rows per forward pass when measuring."""


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
        "kind": kind(rung.model),
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
