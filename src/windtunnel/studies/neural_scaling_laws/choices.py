"""Figures 5, 7, 10, 18, 21 and 22: shape, batch, schedule, context, and LSTMs in place of attention."""

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


def read_shapes(rows: dict[Any, Row], uncertainty: Uncertainty, config: "Config", run: Run, material: Material) -> None:
    """Figures 5 and 6: one size, many shapes."""
    run.section("Shape", "Figures 5, 6: one non-embedding size, from wide and shallow to narrow and deep.")
    shaped = sorted((row for key, row in rows.items() if key[0] != "heads"), key=lambda row: row.layers)
    losses = np.array([row.loss for row in shaped])
    figure, axes = plots.figure(columns=2, sharey=True)
    excess = 100 * (losses / losses.min() - 1)
    axes[0].plot([row.width / row.layers for row in shaped], excess, "o-")
    axes[0].set(xscale="log", xlabel="width / layers", ylabel="loss above the best shape (%)")
    axes[1].plot([row.parameters for row in shaped], excess, "o", label="non-embedding")
    axes[1].plot([row.parameters_total for row in shaped], excess, "s", label="total")
    axes[1].set(xscale="log", xlabel="parameters")
    axes[1].legend()
    run.figure("shape", figure, "Loss over aspect ratio at one non-embedding size; the embedding differs.")
    records = [
        {
            "layers": row.layers,
            "width": row.width,
            "heads": row.shape["heads"],
            "parameters": row.parameters,
            "loss": row.loss,
        }
        for row in rows.values()
    ]
    run.table("shapes", records, "Every shape and number of heads.")

    def spread(values: np.ndarray) -> float:
        return float(values.max() / values.min() - 1)

    widest = shaped[0].width / shaped[0].layers / (shaped[-1].width / shaped[-1].layers)
    note = f"Over aspect ratios that differ {widest:.0f}-fold; the range of noisy losses, so biased upwards."
    run.conclude("shape", uncertainty.estimate(shaped, spread), evidence="shape", note=note)


def read_batches(
    rows: dict[Any, Row], uncertainty: Uncertainty, config: "Config", run: Run, material: Material
) -> None:
    """Figures 10 and 18: the critical batch from a scan over batches, and from the noise of gradients."""
    run.section("Batch", "Figures 10, 18: steps against tokens for reaching a loss, and the gradient noise scale.")
    curves: dict[int, list[Row]] = {}
    for (batch, _), row in rows.items():
        curves.setdefault(batch, []).append(row)
    top = max(min(row.curve[0] for row in several) for several in curves.values())
    bottom = max(min(row.best_loss for row in several) for several in curves.values())
    levels = [float(top - share * (top - bottom)) for share in config.batch_levels]
    found: dict[float, Tradeoff] = {}
    scan: dict[float, list[float]] = {}
    for level in levels:
        scan[level] = [min(_steps(row, level) for row in several) for several in curves.values()]
        try:
            finite = [steps if np.isfinite(steps) else np.nan for steps in scan[level]]
            found[level] = tradeoff([several[0].batch for several in curves.values()], finite)
        except DataError as error:
            run.note(str(error))
    noise = run.stage("gradient-noise", lambda: _noise(config, run, material))
    _show_batches(curves, scan, found, noise, run)
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


def _show_batches(
    curves: dict[int, list[Row]],
    scan: dict[float, list[float]],
    found: dict[float, Tradeoff],
    noise: dict[str, Any],
    run: Run,
) -> None:
    figure, axes = plots.figure(columns=2)
    sizes = np.array([several[0].batch for several in curves.values()], dtype=float)
    for (level, steps), colour in zip(scan.items(), shades(len(scan)), strict=True):
        taken = np.array(steps)
        reached = np.isfinite(taken)
        axes[0].plot(taken[reached], (taken * sizes)[reached], "o", color=colour, label=f"{level:.2f} nats")
        if level in found:
            grid = np.geomspace(sizes.min() / 2, sizes.max() * 2, 60)
            axes[0].plot(found[level].steps(grid), found[level].steps(grid) * grid, color=colour, linewidth=1)
    axes[0].set(xscale="log", yscale="log", xlabel="steps", ylabel="tokens", title="to reach a loss")
    axes[0].legend()
    axes[1].fill_between(noise["tokens"], noise["low"], noise["high"], alpha=0.25, linewidth=0)
    axes[1].plot(noise["tokens"], noise["scale"], "o-", label="gradient noise scale")
    for each, colour in zip(found.values(), shades(len(scan)), strict=False):
        axes[1].axhline(each.critical_batch.value, color=colour, linewidth=1, linestyle=":")
    axes[1].set(yscale="log", xlabel="tokens trained on", ylabel="tokens", title="critical batch")
    axes[1].legend()
    caption = "Batches of several sizes to three losses, and the noise scale in training (dotted: B_crit of the scan)."
    run.figure("batch", figure, caption, {"scan": {f"{key:.4f}": value for key, value in scan.items()}, "noise": noise})


def read_schedules(
    rows: dict[Any, Row], uncertainty: Uncertainty, config: "Config", run: Run, material: Material
) -> None:
    """Figure 22: which decay, and whether it ends with the run."""
    run.section("Schedules", "Figure 22 and appendix D.6: equal runs with other learning-rate schedules.")
    figure, axes = plots.figure()
    for name, row in rows.items():
        style = "--" if name == "cut short" else "-"
        axes.plot(row.curve_tokens, row.curve, style, label=f"{name}: {row.loss:.3f}")
    low = min(row.curve.min() for row in rows.values())
    axes.set(xlabel="tokens", ylabel="nats per token", ylim=(low - 0.03, low + 0.6))
    axes.legend()
    run.figure("schedules", figure, "Learning curves under six schedules; losses at the end in the legend.")
    pair = [rows["cut short"], rows["cosine"]]
    worse = uncertainty.estimate(pair, lambda losses: float(losses[0] - losses[1]))
    note = f"A cosine laid out for {config.overlong} times the run, minus one that ends with it."
    run.conclude("schedule-mismatch", worse, evidence="schedules", note=note)
    decayed = [rows[name] for name in ("cosine", "linear", "wsd", "cosine to 0")]
    spread = uncertainty.estimate(decayed, lambda losses: float(np.ptp(losses)))
    run.conclude("schedule-shapes", spread, evidence="schedules", note="Among those that decay to a tenth or to 0.")


def read_contexts(
    rows: dict[Any, Row], uncertainty: Uncertainty, config: "Config", run: Run, material: Material
) -> None:
    """Figure 21: a model that never saw long contexts, on the first tokens of one."""
    run.section("Context", "Figure 21: the same size trained on short rows and on long ones, on as many tokens.")
    short, full = rows["short"], rows["full"]
    length = config.short_context
    figure, axes = plots.figure()
    for row, label in ((short, f"context {length}"), (full, f"context {config.context}")):
        axes.plot(np.arange(1, len(row.position_losses) + 1), row.position_losses, "o-", markersize=3, label=label)
    axes.set(xscale="log", xlabel="position", ylabel="nats per token")
    axes.legend()
    run.figure("contexts", figure, "Loss by position of a model trained on short rows and of one on long rows.")
    gain = full.position_losses[:length] - short.position_losses[:length]
    half = 1.96 * float(np.hypot(gain.std(ddof=1) / length**0.5, 2**0.5 * uncertainty.spread))
    mean = float(gain.mean())
    note = "Mean over its positions; interval from their scatter and the spread between seeds. Their rows differ."
    run.conclude("short-context", mean, interval=(mean - half, mean + half), evidence="contexts", note=note)


def read_recurrent(
    rows: dict[Any, Row], uncertainty: Uncertainty, config: "Config", run: Run, material: Material
) -> None:
    """Figure 7: LSTMs of as many parameters, token by token."""
    run.section("LSTM", "Figure 7: decoders and LSTMs of as many non-embedding parameters.")
    figure, axes = plots.figure(columns=2)
    sizes = sorted(shape for kind, shape in rows if kind == "lstm")
    for shape, colour in zip(sizes, shades(len(sizes)), strict=True):
        for kind, style in (("transformer", "-"), ("lstm", "--")):
            row = rows[kind, shape]
            places = np.arange(1, len(row.position_losses) + 1)
            axes[0].plot(places, row.position_losses, style, color=colour, label=f"{kind}, {row.parameters:,}")
    axes[0].set(xscale="log", xlabel="position", ylabel="nats per token")
    axes[0].legend(fontsize=7.5)
    for kind, marker in (("transformer", "o-"), ("lstm", "s--")):
        several = [rows[kind, shape] for shape in sizes]
        axes[1].plot([row.parameters for row in several], [row.loss for row in several], marker, label=kind)
    axes[1].set(xscale="log", xlabel="non-embedding parameters", ylabel="nats per token")
    axes[1].legend()
    run.figure("lstm", figure, "Loss by position and over size, of decoders and LSTMs.")
    largest = sizes[-1]
    behind = rows["lstm", largest].position_losses - rows["transformer", largest].position_losses
    quarter = len(behind) // 4
    early, late = behind[:quarter], behind[-quarter:]
    value = float(late.mean() - early.mean())
    half = 1.96 * float(np.hypot(early.std(ddof=1), late.std(ddof=1)) / quarter**0.5 + uncertainty.spread)
    gap = rows["lstm", largest].loss - rows["transformer", largest].loss
    note = f"The LSTM's lag in the last quarter of the context minus that in the first; overall it is {gap:+.3f} nats."
    run.conclude("lstm-plateau", value, interval=(value - half, value + half), evidence="lstm", note=note)
