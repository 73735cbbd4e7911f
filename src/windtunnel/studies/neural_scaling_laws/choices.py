"""Figures 5, 7, 17, 21 and 22: shape, schedule, context, and LSTMs and shared weights in place of plain decoders."""

from typing import TYPE_CHECKING, Any

import numpy as np

from windtunnel.laboratory import plots
from windtunnel.laboratory.run import Run
from windtunnel.scaling.material import Material
from windtunnel.scaling.rows import Row
from windtunnel.studies.neural_scaling_laws.evidence import Uncertainty
from windtunnel.studies.neural_scaling_laws.sizes import shades

if TYPE_CHECKING:
    from windtunnel.studies.neural_scaling_laws import Config


def read_shapes(rows: dict[Any, Row], uncertainty: Uncertainty, config: "Config", run: Run, material: Material) -> None:
    """Figures 5 and 6: one size, many shapes."""
    run.section("Shape", "Figures 5, 6: one non-embedding size, from wide and shallow to narrow and deep.")
    shaped = sorted((row for key, row in rows.items() if not isinstance(key[0], str)), key=lambda row: row.layers)
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
            "mlp": row.shape["mlp_ratio"],
            "parameters": row.parameters,
            "loss": row.loss,
        }
        for row in rows.values()
    ]
    run.table("shapes", records, "Every shape, number of heads, and width of the MLP over that of the stream.")

    def spread(values: np.ndarray) -> float:
        return float(values.max() / values.min() - 1)

    widest = shaped[0].width / shaped[0].layers / (shaped[-1].width / shaped[-1].layers)
    note = f"Over aspect ratios that differ {widest:.0f}-fold; the range of noisy losses, so biased upwards."
    run.conclude("shape", uncertainty.estimate(shaped, spread), evidence="shape", note=note)
    hidden = sorted((row for key, row in rows.items() if key[0] == "mlp"), key=lambda row: row.shape["mlp_ratio"])
    if len(hidden) < 3:
        run.conclude("mlp-width", note="Needs two mlp_ratios.")
        return
    found = np.array([row.loss for row in hidden])
    figure, axes = plots.figure(width=5.2)
    ratios = [row.shape["mlp_ratio"] for row in hidden]
    axes.plot(ratios, 100 * (found / found.min() - 1), "o-")
    axes.set(xscale="log", xlabel="width of the MLP / width", ylabel="loss above the best (%)")
    axes.minorticks_off()
    axes.set(xticks=ratios, xticklabels=[f"{ratio:g}" for ratio in ratios])
    run.figure("mlp-width", figure, "Loss over the width of the MLP at one non-embedding size, within rounding.")
    sizes = ", ".join(f"{row.parameters:,}" for row in hidden)
    note = f"The range of noisy losses, so biased upwards; {sizes} parameters."
    run.conclude("mlp-width", uncertainty.estimate(hidden, spread), evidence="mlp-width", note=note)


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


def read_universal(
    rows: dict[Any, Row], uncertainty: Uncertainty, config: "Config", run: Run, material: Material
) -> None:
    """Figure 17: weights shared across depth, at equal parameters and at equal compute."""
    run.section("Shared weights", "Figure 17: one block passed several times, against ordinary decoders.")
    shared, shallow, deep = (rows[name] for name in ("shared", "one layer", "all layers"))
    figure, axes = plots.figure(columns=2, sharey=True)
    for row, label in ((shallow, "one layer"), (shared, f"it, {shared.layers} times"), (deep, f"{deep.layers} layers")):
        axes[0].plot(row.parameters, row.loss, "o", label=label)
        axes[1].plot(row.flops_exact, row.loss, "o")
    counts, flops = (sorted({getattr(row, name) for row in rows.values()}) for name in ("parameters", "flops_exact"))
    axes[0].set(xlabel="non-embedding parameters", xticks=counts, xticklabels=[f"{count:,}" for count in counts])
    axes[1].set(xlabel="training FLOPs, all counted", xticks=flops, xticklabels=[f"{spent:.1e}" for spent in flops])
    for panel in axes:
        panel.margins(0.2)
    axes[0].set_ylabel("nats per token")
    axes[0].legend()
    run.figure("universal", figure, "Loss of decoders with and without shared weights, by parameters and by compute.")

    def difference(losses: np.ndarray) -> float:
        return float(losses[0] - losses[1])

    for claim, pair in (("universal-parameters", [shallow, shared]), ("universal-compute", [shared, deep])):
        note = f"{pair[0].parameters:,} and {pair[1].parameters:,} parameters, as many tokens."
        run.conclude(claim, uncertainty.estimate(pair, difference), evidence="universal", note=note)
