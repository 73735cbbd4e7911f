"""Figures 1, 2, 4, 6, 8 and 20: loss over size, steps, tokens, position and text, all from one sweep of sizes."""

from typing import TYPE_CHECKING, Any

import numpy as np

from windtunnel.laboratory import plots
from windtunnel.laboratory.run import Run
from windtunnel.scaling.fitting import fit
from windtunnel.scaling.material import Material
from windtunnel.scaling.rows import Row
from windtunnel.studies.neural_scaling_laws.evidence import PAPERS_SPREAD, Uncertainty, spread_between

if TYPE_CHECKING:
    from windtunnel.studies.neural_scaling_laws import Config

FIRST = 4
"""Position from which the law of positions is fitted: the very first tokens are guessed from nothing."""

WARM = 0.15
"""Share of a run after which its learning curve is read: the warm-up is over."""


def read_sizes(rows: dict[Any, Row], uncertainty: Uncertainty, config: "Config", run: Run, material: Material) -> None:
    """All laws of size."""
    run.section("Size", "Figures 1, 2, 4, 8, 20: every size trained on the same tokens.")
    sized = sorted((row for key, row in rows.items() if key[0] == "size"), key=lambda row: row.parameters)
    _loss_of_size(sized, uncertainty, run)
    again = [row for row in rows.values() if row.shape == sized[min(1, len(sized) - 1)].shape]
    if len(again) > 1:
        note = f"{len(again)} runs of {again[0].parameters} parameters."
        run.conclude("seed-spread", spread_between(again), evidence="size", note=note)
    else:
        run.conclude("seed-spread", note="Needs several seeds.")
    _learning_curves(sized, run)
    _positions(sized, uncertainty, run)
    _other_text(sized, uncertainty, run)


def rank_with_size(losses: np.ndarray) -> float:
    """Spearman's correlation of losses with their order, losses rounded to the paper's spread of seeds."""
    from scipy.stats import spearmanr

    rounded = np.round(losses / PAPERS_SPREAD)
    return 0.0 if np.ptp(rounded) == 0 else round(float(spearmanr(np.arange(len(rounded)), rounded).statistic), 12)


def explained(parameters: np.ndarray, losses: np.ndarray) -> float:
    """R² of a power law plus a constant."""
    predicted = fit("power-law-plus-constant", delta=np.inf, x=parameters, loss=losses).predict(x=parameters)
    return float(1 - ((losses - predicted) ** 2).sum() / ((losses - losses.mean()) ** 2).sum())


def against_logarithm(parameters: np.ndarray, losses: np.ndarray) -> float:
    """Squared error of a power law in ln L, as a share of that of a straight line over ln N (figure 23).

    Both are lines, of either slope, so that losses that do not fall with size are described as well by both.
    """
    x = np.log(parameters)
    power = np.log(losses) - np.polyval(np.polyfit(x, np.log(losses), 1), x)
    line = np.log(losses) - np.log(np.polyval(np.polyfit(x, losses, 1, w=1 / losses), x))
    return float((power**2).sum() / (line**2).sum())


def _loss_of_size(rows: list[Row], uncertainty: Uncertainty, run: Run) -> None:
    counts = {"non-embedding": "parameters", "total": "parameters_total"}
    losses = np.array([row.loss for row in rows])
    figure, axes = plots.figure(columns=2, sharey=True)
    for panel, (name, attribute) in zip(axes, counts.items(), strict=True):
        n = np.array([getattr(row, attribute) for row in rows], dtype=float)
        panel.errorbar(n, losses, [1.96 * row.loss_error for row in rows], fmt="o", markersize=4, label="trained")
        grid = np.geomspace(n.min(), n.max(), 80)
        for law, style in (("power-law-plus-constant", "-"), ("kaplan-parameters", "--")):
            if len(n) < 4:
                continue
            columns: dict[str, Any] = {"x": n} if law.startswith("power") else {"parameters": n}
            found = fit(law, delta=np.inf, loss=losses, **columns)
            drawn = found.predict(**dict.fromkeys(columns, grid))
            label = "power law" if style == "--" else "and a constant"
            panel.plot(grid, drawn, style, color=plots.PALETTE[1], linewidth=1.2, label=label)
        panel.set(xscale="log", xlabel=f"parameters, {name}")
    axes[0].set_ylabel("nats per token")
    axes[0].legend()
    caption = "Loss over size at equal tokens, with the law of the paper and with a constant; bars: 95 % over rows."
    run.figure("size", figure, caption, {"parameters": [row.parameters for row in rows], "loss": losses.tolist()})
    note = "Interval: held-out rows and spread between seeds."
    run.conclude("larger-is-better", uncertainty.estimate(rows, rank_with_size), evidence="size", note=note)
    if len(rows) < 4:
        for claim in ("size-law", "power-not-logarithm"):
            run.conclude(claim, note="Needs four sizes.")
        return
    n = np.array([row.parameters for row in rows], dtype=float)
    variance = uncertainty.estimate(rows, lambda values: explained(n, values), replicates=60)
    run.conclude("size-law", variance, evidence="size", note=note)
    compared = uncertainty.estimate(rows, lambda values: against_logarithm(n, values), replicates=60)
    run.conclude("power-not-logarithm", compared, evidence="size", note=note)


def _learning_curves(rows: list[Row], run: Run) -> None:
    figure, axes = plots.figure(columns=2, sharey=True)
    colours = shades(len(rows))
    for row, colour in zip(rows, colours, strict=True):
        label = f"{row.parameters:,}"
        axes[0].plot(row.curve_tokens, row.curve, color=colour, label=label)
        share = row.curve_tokens / row.tokens
        axes[1].plot(share * row.flops_exact, row.curve, color=colour)
    axes[0].set(xscale="log", xlabel="tokens", ylabel="nats per token")
    axes[1].set(xscale="log", xlabel="training FLOPs, all counted")
    axes[0].legend(title="parameters", fontsize=7.5, title_fontsize=7.5)
    run.figure("learning-curves", figure, "Learning curves over tokens and over compute (figure 2).")
    small, largest = rows[min(1, len(rows) - 1)], rows[-1]
    level = small.curve[-1]
    if largest.curve[-1] > level - 2 * PAPERS_SPREAD:
        run.conclude("sample-efficiency", note="The largest model does not end clearly lower, so there is no ratio.")
    else:
        reached = float(np.interp(-level, -np.minimum.accumulate(largest.curve), np.log(largest.curve_tokens)))
        ratio = small.tokens / np.exp(reached)
        note = f"To {level:.3f} nats: {small.parameters:,} against {largest.parameters:,} parameters."
        run.conclude("sample-efficiency", ratio, evidence="learning-curves", note=note)
    points = [
        (row.parameters, tokens / row.batch, loss, row.name)
        for row in rows
        for tokens, loss in zip(row.curve_tokens, row.curve, strict=True)
        if tokens > WARM * row.tokens
    ]
    n, steps, losses, names = (np.array(column) for column in zip(*points, strict=True))
    if len(rows) < 3 or len(n) < 8:
        run.conclude("learning-curves", note="Needs three sizes and eight points.")
        return
    found = fit("kaplan-parameters-steps", delta=0.02, clusters=names, parameters=n, minimum_steps=steps, loss=losses)
    off = np.abs(found.predict(parameters=n, minimum_steps=steps) - losses)
    run.conclude(
        "learning-curves",
        float(np.median(off)),
        evidence="learning-curves",
        note=f"α_N = {found.parameters['alpha_N']:.3f}, α_S = {found.parameters['alpha_S']:.3f}, plain steps.",
    )


def position_exponent(by_position: np.ndarray) -> float:
    """−d ln L / d ln T from position `FIRST` on."""
    places = np.arange(1, len(by_position) + 1)
    kept = places >= min(FIRST, len(places) // 2)
    return -float(np.polyfit(np.log(places[kept]), np.log(by_position[kept]), 1)[0])


def _positions(rows: list[Row], uncertainty: Uncertainty, run: Run) -> None:
    figure, axes = plots.figure()
    exponents = [position_exponent(row.position_losses) for row in rows]
    for row, exponent, colour in zip(rows, exponents, shades(len(rows)), strict=True):
        places = np.arange(1, len(row.position_losses) + 1)
        axes.plot(places, row.position_losses, color=colour, label=f"{row.parameters:,}: {exponent:.3f}")
    axes.set(xscale="log", yscale="log", xlabel="position in the context", ylabel="nats per token")
    axes.legend(title="parameters: exponent", title_fontsize=8)
    run.figure("positions", figure, "Loss by position (figure 20).", {"exponents": exponents})
    spread = uncertainty.spread / np.log(len(rows[0].position_losses)) / np.mean([row.loss for row in rows])
    half = 1.96 * float(np.hypot(_slope_error(rows[0]), _slope_error(rows[-1])) + spread)
    difference = exponents[-1] - exponents[0]
    run.conclude(
        "position-exponent",
        difference,
        interval=(difference - half, difference + half),
        evidence="positions",
        note="The largest size minus the smallest; interval from the scatter about both lines and between seeds.",
    )


def _slope_error(row: Row) -> float:
    places = np.arange(1, len(row.position_losses) + 1)
    kept = places >= min(FIRST, len(places) // 2)
    x, y = np.log(places[kept]), np.log(row.position_losses[kept])
    residuals = y - np.polyval(np.polyfit(x, y, 1), x)
    return float(np.sqrt((residuals**2).sum() / max(len(x) - 2, 1) / ((x - x.mean()) ** 2).sum()))


def _other_text(rows: list[Row], uncertainty: Uncertainty, run: Run) -> None:
    names = list(rows[0].other_losses)
    if not names:
        run.conclude("other-text", note="Needs another text: set others.")
        return
    figure, axes = plots.figure(width=5.2)
    own = np.array([row.loss for row in rows])
    for name in names:
        other = np.array([row.other_losses[name].mean() for row in rows])
        axes.plot(own, other, "o-", label=name)
    axes.set(xlabel="loss on the text learned from (nats)", ylabel="loss on another text (nats)")
    axes.legend()
    run.figure("other-text", figure, "Loss on other text over loss on the text learned from, by size (figure 8).")
    kept = min(len(rows[0].row_losses), len(rows[0].other_losses[names[0]]))

    def both(row: Row) -> np.ndarray:
        return np.stack([row.row_losses[:kept], row.other_losses[names[0]][:kept]], axis=1)

    def slope(losses: np.ndarray) -> float:
        return float(np.polyfit(losses[:, 0], losses[:, 1], 1)[0])

    found = uncertainty.estimate(rows, slope, both)
    run.conclude("other-text", found, evidence="other-text", note=f"{names[0]}; a constant offset has slope 1.")


def shades(count: int) -> list[Any]:
    """Colours from small to large."""
    from matplotlib import colormaps

    return [colormaps[plots.SEQUENTIAL](0.1 + 0.75 * place / max(count - 1, 1)) for place in range(count)]
