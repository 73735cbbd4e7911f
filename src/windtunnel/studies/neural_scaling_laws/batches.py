"""Figures 10 and 18: the critical batch from a scan over batches, and from the noise of gradients."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from windtunnel.laboratory import plots
from windtunnel.laboratory.errors import DataError
from windtunnel.laboratory.run import Run
from windtunnel.scaling.critical_batch import Tradeoff, measure_noise, steps_to_loss, tradeoff
from windtunnel.scaling.material import Material
from windtunnel.scaling.rows import Row
from windtunnel.scaling.rungs import Rung, build
from windtunnel.statistics.estimates import Estimate
from windtunnel.studies.neural_scaling_laws.evidence import Uncertainty
from windtunnel.studies.neural_scaling_laws.rungs import declare
from windtunnel.studies.neural_scaling_laws.sizes import shades
from windtunnel.training.loop import train
from windtunnel.training.objectives import next_token

if TYPE_CHECKING:
    from windtunnel.studies.neural_scaling_laws import Config

MEASUREMENTS = 8
"""Of the gradient noise scale during one training."""


def read_batches(
    rows: dict[Any, Row], uncertainty: Uncertainty, config: "Config", run: Run, material: Material
) -> None:
    """Figures 10 and 18: the critical batch from a scan over batches, and from the noise of gradients."""
    run.section("Batch", "Figures 10, 18: steps against tokens for reaching a loss, and the gradient noise scale.")
    scan = read_scan(rows, config.batch_levels)
    found = scan.tradeoffs
    for told in scan.missing:
        run.note(told)
    noise = run.stage("gradient-noise", lambda: _noise(config, run, material))
    _show_batches(scan, noise, run)
    if len(found) < 2:
        run.conclude("critical-batch", note="Needs two losses that three batch sizes reach within the run.")
    else:
        first, last = found[max(found)].critical_batch, found[min(found)].critical_batch
        run.conclude("critical-batch", _ratio(last, first), evidence="batch", note=_told(found))
    scales = noise["scale"]
    if np.isfinite([scales[0], scales[-1]]).all():
        early, late = (Estimate(scales[i], noise["low"][i], noise["high"][i]) for i in (0, -1))
        note = f"After {noise['tokens'][0]:,} and {noise['tokens'][-1]:,} tokens."
        run.conclude("noise-scale", _ratio(late, early), evidence="batch", note=note)
    else:
        run.conclude("noise-scale", note="The gradient drowned in the noise of the rows measured; raise noise_rows.")


@dataclass(frozen=True)
class Scan:
    """Steps that batches of several sizes took to several losses.

    Attributes:
        batches: Tokens per step.
        steps: To each loss, of each batch; infinite where a batch never got there.
        tradeoffs: The critical batch at each loss that enough batches reached.
        missing: A sentence for each loss that too few reached.
    """

    batches: np.ndarray
    steps: dict[float, np.ndarray]
    tradeoffs: dict[float, Tradeoff]
    missing: list[str]

    def critical_batch(self, loss: np.ndarray) -> np.ndarray:
        """B_crit of a loss: by straight lines in logarithms between the losses scanned, held constant beyond them."""
        levels = sorted(self.tradeoffs)
        known = [self.tradeoffs[level].critical_batch.value for level in levels]
        return np.asarray(np.exp(np.interp(np.log(loss), np.log(levels), np.log(known))))


def read_scan(rows: dict[Any, Row], shares: Sequence[float], *, reached_by: int | None = None) -> Scan:
    """The scan at losses that lie these shares of the way down from where all batches began to where all ended.

    Args:
        rows: Of the experiment, by batch and factor of the learning rate.
        shares: Of the way.
        reached_by: To where so many batches ended instead, which is further down.
    """
    curves: dict[int, list[Row]] = {}
    for (batch, _), row in rows.items():
        curves.setdefault(batch, []).append(row)
    top = max(min(row.curve[0] for row in several) for several in curves.values())
    ends = sorted(min(row.best_loss for row in several) for several in curves.values())
    bottom = ends[-1 if reached_by is None else min(reached_by, len(ends)) - 1]
    sizes = np.array([several[0].batch for several in curves.values()], dtype=float)
    scan = Scan(sizes, {}, {}, [])
    for level in (float(top - share * (top - bottom)) for share in shares):
        steps = np.array([min(_steps(row, level) for row in several) for several in curves.values()])
        scan.steps[level] = steps
        try:
            scan.tradeoffs[level] = tradeoff(sizes, np.where(np.isfinite(steps), steps, np.nan))
        except DataError as error:
            scan.missing.append(str(error))
    return scan


def _steps(row: Row, level: float) -> float:
    found = steps_to_loss(row.curve_tokens / row.batch, row.curve, level)
    return float("inf") if np.isnan(found) else found


def _ratio(of: Estimate, to: Estimate) -> Estimate:
    """A ratio of two positive estimates, their errors added in logarithms."""

    def half(one: Estimate) -> float:
        return float("inf") if one.low <= 0 or not np.isfinite(one.high) else float(np.log(one.high / one.low) / 2)

    value = of.value / to.value
    factor = float(np.exp(min(np.hypot(half(of), half(to)), 700)))
    return Estimate(value, value / factor, value * factor)


def _told(found: dict[float, Tradeoff]) -> str:
    parts = [f"{each.critical_batch.value:,.0f} tokens at {level:.2f} nats" for level, each in found.items()]
    return "B_crit: " + ", ".join(parts) + "."


def _noise(config: "Config", run: Run, material: Material) -> dict[str, Any]:
    """The noise scale while the middle batch of the scan is trained, measured on fresh rows each time."""
    declared = declare("batches", config, run.seed_for("noise"))
    batch = min(config.batches, key=lambda rows: abs(rows - config.batch))
    rung: Rung = declared[batch, 1.0]
    source = material.source(config.context, rung.seed)
    fresh = material.source(config.context, rung.seed + 1)
    scales: dict[str, list[float]] = {"tokens": [], "scale": [], "low": [], "high": []}

    def evaluate(model: nn.Module, step: int) -> dict[str, float]:
        if step == 0:
            return {}
        rows = fresh.rows(step * config.noise_rows, config.noise_rows)
        found = measure_noise(model, next_token, {name: each.to(run.device) for name, each in rows.items()}).scale
        for name, value in (("scale", found.value), ("low", found.low), ("high", found.high)):
            scales[name].append(value * config.context)
        scales["tokens"].append(step * rung.step_tokens)
        return {}

    settings = rung.training(run.device).model_copy(update={"evaluate_every": max(1, rung.steps // MEASUREMENTS)})
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        train(build(rung.model, rung.seed), next_token, source, settings, evaluate=evaluate, device=run.device)
    finally:
        torch.set_num_threads(threads)
    return dict(scales)


def _show_batches(scan: Scan, noise: dict[str, Any], run: Run) -> None:
    figure, axes = plots.figure(columns=2)
    sizes, found = scan.batches, scan.tradeoffs
    for (level, taken), colour in zip(scan.steps.items(), shades(len(scan.steps)), strict=True):
        reached = np.isfinite(taken)
        axes[0].plot(taken[reached], (taken * sizes)[reached], "o", color=colour, label=f"{level:.2f} nats")
        if level in found:
            grid = np.geomspace(sizes.min() / 2, sizes.max() * 2, 60)
            axes[0].plot(found[level].steps(grid), found[level].steps(grid) * grid, color=colour, linewidth=1)
    axes[0].set(xscale="log", yscale="log", xlabel="steps", ylabel="tokens", title="to reach a loss")
    axes[0].legend()
    axes[1].fill_between(noise["tokens"], noise["low"], noise["high"], alpha=0.25, linewidth=0)
    axes[1].plot(noise["tokens"], noise["scale"], "o-", label="gradient noise scale")
    for each, colour in zip(found.values(), shades(len(scan.steps)), strict=False):
        axes[1].axhline(each.critical_batch.value, color=colour, linewidth=1, linestyle=":")
    axes[1].set(yscale="log", xlabel="tokens trained on", ylabel="tokens", title="critical batch")
    axes[1].legend()
    caption = "Batches of several sizes to three losses, and the noise scale in training (dotted: B_crit of the scan)."
    told = {f"{level:.4f}": steps.tolist() for level, steps in scan.steps.items()}
    run.figure("batch", figure, caption, {"scan": told, "noise": noise})
