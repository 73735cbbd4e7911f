"""The figures of the study."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from windtunnel.laboratory.plots import MUTED, PALETTE, SEQUENTIAL, figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def ladder(found: Sequence[Mapping[str, Any]], law: Any, edge: Mapping[str, Any], entropy: float | None) -> "Figure":
    """L(N) and L(C)."""
    made, (left, right) = figure(7.2, 3.1, 1, 2, sharey=True)
    sizes = np.array([one["parameters"] for one in found])
    left.errorbar(
        sizes,
        [one["loss"] for one in found],
        yerr=[2 * one["loss_error"] for one in found],
        fmt="o",
        ms=4,
        color=PALETTE[0],
    )
    if law is not None:
        line = np.geomspace(sizes.min(), sizes.max() * 3, 100)
        left.plot(line, law.predict(x=line), color=PALETTE[1], label=f"{law.L_inf:.3g} + (N₀/N)^{law.alpha:.2f}")
    colours = _shades(len(found))
    for one, colour in zip(found, colours, strict=True):
        flops = 6.0 * one["parameters"] * one["tokens"]
        right.plot(flops, one["curve"], color=colour, lw=1.2)
    everything = np.concatenate([6.0 * one["parameters"] * one["tokens"] for one in found])
    line = np.geomspace(everything.min(), everything.max() * 3, 100)
    for (name, one), style in zip(edge.items(), ("-", ":"), strict=False):
        right.plot(
            line, one.predict(x=line), style, color=PALETTE[1], label=f"{name}: {one.L_inf:.3g} + …^{one.alpha:.2f}"
        )
    for axes in (left, right):
        axes.set_xscale("log")
        if entropy is not None:
            axes.axhline(entropy, color=MUTED, ls="--", lw=1, label=f"entropy {entropy:.3g}")
        if axes.get_legend_handles_labels()[0]:
            axes.legend()
    losses = np.concatenate([one["curve"] for one in found])
    bottom = min(losses.min(), entropy if entropy is not None else np.inf)
    left.set_ylim(bottom - 0.05 * np.ptp(losses), losses.max() + 0.3 * np.ptp(losses))  # room for the legends
    left.set(xlabel="parameters N", ylabel="loss (nats per token)", title="L(N)")
    right.set(xlabel="compute 6 N D (FLOPs)", title="L(C), darker: smaller models")
    return made


def maps(losses: Mapping[str, np.ndarray], side: int) -> "Figure":
    """Loss by pixel, one map per model, on one scale."""
    made, axes = figure(2.4 * len(losses), 2.5, 1, len(losses), squeeze=False)
    top = max(float(np.max(values)) for values in losses.values())
    shown: Any = None
    for place, (name, values) in zip(axes[0], losses.items(), strict=True):
        flat = np.asarray(values)
        flat = flat[: side * side] if len(flat) < 3 * side * side else flat
        shown = place.imshow(flat.reshape(side, -1), vmin=0, vmax=top, cmap=SEQUENTIAL)
        place.set(title=name if name.startswith("best") else f"{name} parameters", xticks=[], yticks=[])
    made.colorbar(shown, ax=list(axes[0]), label="nats", shrink=0.8)
    return made


def images(rows: Mapping[str, np.ndarray]) -> "Figure":
    """Rows of small images: sampled ones of some models, and real ones."""
    count = min(12, *(len(values) for values in rows.values()))
    made, axes = figure(7.2, 0.85 * len(rows) + 0.2, len(rows), count, squeeze=False)
    top = max(int(np.max(values)) for values in rows.values())
    for line, (name, values) in zip(axes, rows.items(), strict=True):
        for axis, image in zip(line, values, strict=False):
            _draw(axis, image, top)
        line[0].set_title(name, loc="left")
    return made


def captioned(captions: Sequence[str], sampled: np.ndarray, real: np.ndarray) -> "Figure":
    """The real image of each caption above one sampled from the caption."""
    count = min(6, len(captions))
    made, axes = figure(7.2, 3.3, 2, count, squeeze=False)
    top = int(max(np.max(real), 1))
    for index in range(count):
        _draw(axes[0, index], real[index], top)
        _draw(axes[1, index], np.minimum(sampled[index], top), top)
        axes[0, index].set_title(captions[index].replace(" ", "\n"), fontsize=7.5)
    axes[0, 0].set_ylabel("real")
    axes[1, 0].set_ylabel("sampled")
    return made


def _draw(axis: Any, image: np.ndarray, top: int) -> None:
    values = np.asarray(image)
    side = round(len(values) ** 0.5)
    if side * side == len(values):
        axis.imshow(values.reshape(side, side), vmin=0, vmax=top, cmap="gray")
    else:
        side = round((len(values) / 3) ** 0.5)
        axis.imshow(np.clip(values.reshape(side, side, 3) / max(top, 1), 0, 1))
    axis.set(xticks=[], yticks=[])
    for spine in axis.spines.values():
        spine.set_visible(False)


def percentiles(
    sizes: np.ndarray, curves: np.ndarray, levels: Sequence[float], laws: Sequence[Any], losses: np.ndarray
) -> "Figure":
    """Percentiles of the loss per image over sizes, and single images under two models."""
    made, (left, right) = figure(7.2, 3.2, 1, 2)
    line = np.geomspace(sizes.min(), sizes.max(), 100)
    for curve, level, law, colour in zip(curves, levels, laws, _shades(len(levels)), strict=True):
        left.plot(sizes, curve, "o", ms=3.5, color=colour)
        if law is not None:
            left.plot(line, law.predict(x=line), color=colour, lw=1)
        left.annotate(f"{level:g} %", (sizes[-1], curve[-1]), xytext=(5, -3), textcoords="offset points", fontsize=7.5)
    left.set(xlabel="parameters N", ylabel="loss per image (nats)", title="percentiles over images")
    left.set_xscale("log")
    left.set_xlim(sizes.min() * 0.8, sizes.max() * 2.5)
    left.set_xscale("log")
    right.plot(losses[-1], losses[0], "o", ms=2.5, alpha=0.5, color=PALETTE[0])
    ends = [min(losses[0].min(), losses[-1].min()), max(losses[0].max(), losses[-1].max())]
    right.plot(ends, ends, color=MUTED, lw=1)
    right.set(xlabel="largest model (nats)", ylabel="smallest model (nats)", title="single images")
    return made


def scatter(x: np.ndarray, y: np.ndarray, sizes: np.ndarray, line: Any, label_x: str, label_y: str) -> "Figure":
    """Points of training curves, coloured by size, and the curve through them."""
    made, axes = figure(5.0, 3.2)
    every = np.unique(sizes)
    for size, colour in zip(every, _shades(len(every)), strict=True):
        axes.plot(x[sizes == size], y[sizes == size], "o", ms=3.5, color=colour, label=f"{size:,.0f}")
    if line is not None:
        low, high = (float(end) for end in line.domain)
        grid = np.linspace(low, high, 100)
        axes.plot(grid, line(grid), color=MUTED, lw=1)
    axes.set(xlabel=label_x, ylabel=label_y)
    axes.legend(title="parameters")
    return made


def frames(losses: Mapping[str, np.ndarray], best: np.ndarray, law: Any) -> "Figure":
    """Loss per frame."""
    made, axes = figure(5.4, 3.2)
    numbers = np.arange(1, len(best) + 1)
    for (name, values), colour in zip(losses.items(), _shades(len(losses)), strict=True):
        axes.plot(numbers, values, "o-", ms=4, color=colour, label=f"{name} parameters")
    axes.plot(numbers, best, "--", color=MUTED, label="best possible")
    if law is not None:
        line = np.linspace(2, len(best), 100)
        label = f"{law.L_inf:.2f} + (…/frames seen)^{law.alpha:.2f}"
        axes.plot(line, law.predict(x=line - 1), color=PALETTE[1], lw=1, label=label)
    axes.set(xlabel="frame", ylabel="loss (nats per frame)", ylim=(0, None))
    axes.legend()
    return made


def positions(losses: Sequence[np.ndarray], laws: Sequence[Mapping[str, float]], sizes: np.ndarray) -> "Figure":
    """Loss along the context."""
    made, axes = figure(5.4, 3.2)
    for values, law, size, colour in zip(losses, laws, sizes, _shades(len(losses)), strict=True):
        places = np.arange(1, len(values) + 1)
        axes.plot(places, values, "o", ms=3, color=colour, label=f"{size:,.0f}: p = {law['exponent']:.2f}")
        line = law["limit"] + (law["first"] - law["limit"]) * places ** -law["exponent"]
        axes.plot(places, line, color=colour, lw=1)
    axes.set(xscale="log", xlabel="tokens before", ylabel="loss (nats per token)")
    axes.legend(title="parameters")
    return made


def two_laws(compute: np.ndarray, of_compute: np.ndarray, of_tokens: np.ndarray, entropy: float | None) -> "Figure":
    """What compute promises, and what its tokens allow."""
    made, axes = figure(5.4, 3.2)
    axes.plot(compute, of_compute, color=PALETTE[0], label="L(C)")
    axes.plot(compute, of_tokens, color=PALETTE[1], label="L(D) of the tokens that C reads")
    if entropy is not None:
        axes.axhline(entropy, color=MUTED, ls="--", lw=1, label=f"entropy {entropy:.3g}")
    axes.set(xscale="log", xlabel="compute 6 N D (FLOPs)", ylabel="loss (nats per token)")
    axes.legend()
    return made


def over_data(rows: np.ndarray, losses: np.ndarray, curves: Sequence[np.ndarray], steps: np.ndarray) -> "Figure":
    """The least loss over the amount of data, and the curves it is the least of."""
    made, (left, right) = figure(7.2, 3.1, 1, 2)
    left.plot(rows, losses, "o-", color=PALETTE[0])
    left.set(xscale="log", yscale="log", xlabel="rows of problems", ylabel="least loss (nats per character)")
    for count, curve, colour in zip(rows, curves, _shades(len(rows)), strict=True):
        right.plot(steps, curve, color=colour, label=f"{count:,.0f} rows")
    right.set(xlabel="step", ylabel="loss (nats per character)")
    right.legend()
    return made


def information_of(points: Mapping[str, Sequence[tuple[float, Any, float]]], exact: float) -> "Figure":
    """Measured information over size."""
    made, axes = figure(5.4, 3.2)
    for (name, found), colour in zip(points.items(), PALETTE, strict=False):
        sizes = [size for size, _, _ in found]
        axes.plot(sizes, [before for _, _, before in found], "o:", mfc="none", color=colour, label=f"{name}, untuned")
        middle = np.array([nats.value for _, nats, _ in found])
        spread = [
            [max(nats.value - nats.low, 0) for _, nats, _ in found],
            [nats.high - nats.value for _, nats, _ in found],
        ]
        axes.errorbar(sizes, middle, yerr=spread, fmt="o-", color=colour, label=name)
    axes.axhline(exact, color=MUTED, ls="--", label=f"exact {exact:.3g}")
    axes.set(xlabel="parameters N", ylabel="information (nats)", ylim=(min(0, axes.get_ylim()[0]), None))
    axes.set_xscale("log")
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=2)
    return made


def maths(
    found: Sequence[Mapping[str, Any]],
    difficulty: np.ndarray,
    accuracy: Mapping[str, Sequence[Sequence[float]]],
    edge: int,
) -> "Figure":
    """Accuracy against loss, steps and difficulty."""
    made, (left, middle, right) = figure(7.4, 3.0, 1, 3, sharey=True)
    for one, colour in zip(found, _shades(len(found)), strict=True):
        label = f"{one['parameters']:,}"
        left.plot(one["curve"], one["accuracy_curve"], "o", ms=3, color=colour, label=label)
        middle.plot(one["steps"], one["accuracy_curve"], color=colour)
    for (name, values), style in zip(accuracy.items(), ("-", "--", ":"), strict=False):
        for row, colour in zip(values, _shades(len(values)), strict=True):
            right.plot(difficulty, row, style, color=colour, label=name if row is values[-1] else None)
    right.axvspan(edge + 0.5, difficulty[-1] + 0.5, color=MUTED, alpha=0.15, lw=0)
    left.set(xlabel="loss (nats per character)", ylabel="accuracy", ylim=(-0.03, 1.03))
    middle.set(xlabel="step")
    right.set(xlabel="digits")
    left.legend(title="parameters")
    right.legend()
    return made


def aspect(ratios: np.ndarray, losses: np.ndarray, sizes: np.ndarray) -> "Figure":
    """Loss over aspect ratio."""
    made, axes = figure(5.0, 3.0)
    axes.plot(ratios, losses, "o-", color=PALETTE[0])
    for ratio, loss, size in zip(ratios, losses, sizes, strict=True):
        axes.annotate(f"{size:,.0f}", (ratio, loss), xytext=(4, 5), textcoords="offset points", fontsize=7.5)
    axes.set(xscale="log", xlabel="width / layers", ylabel="loss (nats per token)")
    axes.margins(0.12, 0.2)
    return made


def _shades(count: int) -> list[Any]:
    """Colours from dark to light, for an ordered family."""
    from matplotlib import colormaps

    return [colormaps[SEQUENTIAL](place) for place in np.linspace(0.05, 0.8, max(count, 1))[:count]]
