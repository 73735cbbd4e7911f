"""Figures of attention heads and of their formation."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from windtunnel.interpretability.heads.losses import logarithmic_bins
from windtunnel.laboratory import plots

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = NDArray[np.float64]
Window = tuple[float, float]


def colours(names: Sequence[str]) -> dict[str, str]:
    """A colour for each model, in order."""
    return {name: plots.PALETTE[index % len(plots.PALETTE)] for index, name in enumerate(names)}


def formation(
    steps: Array, curves: Mapping[str, Mapping[str, Sequence[Array]]], windows: Mapping[str, Window | None]
) -> "Figure":
    """Curves over training, one panel each, with the phase windows shaded: the paper's central picture.

    Args:
        steps: Steps of the snapshots.
        curves: By panel title, then by model: one curve per seed.
        windows: Phase window of each model, or None.
    """
    titles = list(curves)
    names = list(curves[titles[0]])
    ink = colours(names)
    figure, axes = plots.figure(width=9.6, height=3.4, columns=len(titles), sharex=True)
    for panel, title in zip(axes, titles, strict=True):
        for name in names:
            window = windows.get(name)
            if window is not None:
                panel.axvspan(*window, color=ink[name], alpha=0.13, linewidth=0)
            seeds = np.stack(curves[title][name])
            for curve in seeds:
                panel.plot(steps, curve, color=ink[name], linewidth=0.7, alpha=0.45)
            panel.plot(steps, seeds.mean(axis=0), color=ink[name], linewidth=2, label=name)
        panel.set_title(title)
        panel.set_xlabel("optimizer step")
        panel.margins(x=0)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=min(len(names), 6))
    return figure


def repeated_losses(curves: Mapping[str, Sequence[Array]], length: int, bos: bool) -> "Figure":
    """Loss along random tokens said again, with the mean of each copy.

    Args:
        curves: By label: one curve over token indices from 1 per seed (or per random set); their range is a band.
        length: Tokens in a copy.
        bos: Whether one token comes before the first copy.
    """
    ink = colours(list(curves))
    figure, axes = plots.figure(width=9.6, height=3.4)
    for name, seeds in curves.items():
        table = np.stack(seeds)
        index = np.arange(1, table.shape[1] + 1)
        mean = table.mean(axis=0)
        axes.plot(index, mean, color=ink[name], linewidth=0.8, alpha=0.7)
        axes.fill_between(index, table.min(axis=0), table.max(axis=0), color=ink[name], alpha=0.12, linewidth=0)
        starts = range(int(bos), len(index) + 1, length)
        for start in starts:  # a copy's first token does not follow from the copy before: it is left out of the mean
            inside = slice(start, start + length - 1)
            label = name if start == starts[0] else None
            axes.plot(index[inside][[0, -1]], [mean[inside].mean()] * 2, color=ink[name], linewidth=3, label=label)
    for edge in range(int(bos) + length, len(index) + 1, length):
        axes.axvline(edge - 0.5, color=plots.MUTED, linewidth=0.8, linestyle=":")
    axes.set_xlabel("token index (dotted: a copy begins)")
    axes.set_ylabel("loss (nats per token)")
    axes.set_ylim(bottom=0)
    axes.margins(x=0.01)
    figure.legend(loc="outside upper center", ncols=3)
    return figure


def attention_pattern(pattern: Array, length: int, bos: bool, title: str) -> "Figure":
    """Attention of one head over a segment said several times, with lines between the copies.

    Args:
        pattern: [query, key].
        length: Tokens in a copy.
        bos: Whether one token comes before the first copy.
        title: What it shows.
    """
    figure, axes = plots.figure(width=4.9, height=4.2)
    image = axes.imshow(pattern, cmap=plots.SEQUENTIAL, vmin=0, vmax=max(float(pattern.max()), 1e-9))
    for edge in range(int(bos) + length, len(pattern), length):
        axes.axvline(edge - 0.5, color="#ffffff", alpha=0.35, linewidth=0.6)
        axes.axhline(edge - 0.5, color="#ffffff", alpha=0.35, linewidth=0.6)
    axes.set_title(title)
    axes.set_xlabel("attends to position")
    axes.set_ylabel("from position")
    figure.colorbar(image, ax=axes, label="attention", shrink=0.85)
    return figure


def head_maps(maps: Mapping[str, Array]) -> "Figure":
    """Scores of all heads as maps of layer by head.

    Args:
        maps: By title: [layers, heads].
    """
    layers, heads = next(iter(maps.values())).shape
    height = float(np.clip(1.3 + 0.24 * layers, 2.1, 8.5))
    figure, axes = plots.figure(width=9.6, height=height, columns=len(maps), squeeze=False)
    for panel, (title, scores) in zip(axes[0], maps.items(), strict=True):
        signed = scores.min() < 0
        limit = max(float(np.abs(scores).max()), 1e-9)
        image = panel.imshow(
            scores,
            cmap=plots.DIVERGING if signed else plots.SEQUENTIAL,
            vmin=-limit if signed else 0,
            vmax=limit,
            aspect="auto",
        )
        panel.set_title(title)
        panel.set_xlabel("head")
        panel.set_xticks(range(heads) if heads <= 12 else range(0, heads, 4))
        panel.set_yticks(range(layers) if layers <= 12 else range(0, layers, 4))
        figure.colorbar(image, ax=panel, shrink=0.9)
    axes[0, 0].set_ylabel("layer")
    return figure


def ablation_bars(labels: Sequence[str], full: Array, preserved: Array, groups: Sequence[int]) -> "Figure":
    """Effect of ablating each head, full beside pattern-preserving.

    Args:
        labels: Name of each bar.
        full: [bars, samples]: effect of full ablation; bars show the mean, lines the middle half.
        preserved: The same with patterns preserved.
        groups: Layer of each bar: a gap is left between layers.
    """
    places = np.arange(len(labels)) + 0.6 * np.cumsum([0, *(np.diff(groups) != 0)])
    figure, axes = plots.figure(width=max(7.5, 0.42 * len(labels) + 2), height=3.4)
    for offset, values, label, colour in (
        (-0.2, full, "full", plots.PALETTE[0]),
        (0.2, preserved, "patterns preserved", plots.PALETTE[1]),
    ):
        mean = values.mean(axis=1)
        lower, upper = np.quantile(values, (0.25, 0.75), axis=1)
        spread = np.stack([(mean - lower).clip(0), (upper - mean).clip(0)])
        axes.bar(places + offset, mean, width=0.38, color=colour, label=label)
        axes.errorbar(places + offset, mean, spread, fmt="none", ecolor=plots.MUTED, elinewidth=1)
    axes.axhline(0, color=plots.MUTED, linewidth=0.7)
    axes.set_xticks(places, labels, rotation=90 if len(labels) > 10 else 0)
    axes.set_ylabel("share of the gain on\nrepeated tokens removed")
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), title="ablation")
    return figure


def loss_surfaces(steps: Array, losses: Mapping[str, Array]) -> "Figure":
    """Loss by step and token index, and its derivative by the logarithm of the index.

    Args:
        steps: Steps of the snapshots.
        losses: By model: [snapshots, token indices from 1].
    """
    figure, axes = plots.figure(width=9.6, height=4.9, rows=2, columns=len(losses), squeeze=False, sharex=True)
    binned = {}
    for name, surface in losses.items():
        bins = logarithmic_bins(surface.shape[1], 14)
        means = np.stack([surface[:, first - 1 : last - 1].mean(axis=1) for first, last in bins])
        centres = np.array([np.sqrt(first * (last - 1)) for first, last in bins])
        edges = np.array([first for first, _ in bins] + [bins[-1][1]], dtype=float)
        binned[name] = (edges, means, np.gradient(means, np.log(centres), axis=0))
    middle = np.concatenate([means for _, means, _ in binned.values()], axis=1)
    after_start = [slope[:, 1:] for _, _, slope in binned.values()]
    limit = float(np.quantile(np.abs(np.concatenate(after_start, axis=1)), 0.98))
    x = np.concatenate((steps, [2 * steps[-1] - steps[-2]]))
    for column, (name, (edges, means, slope)) in enumerate(binned.items()):
        low, high = np.quantile(middle[:, 1:], (0.0, 0.98))
        top = axes[0, column].pcolormesh(x, edges, means, cmap=plots.SEQUENTIAL, vmin=low, vmax=high, rasterized=True)
        bottom = axes[1, column].pcolormesh(
            x, edges, slope, cmap=plots.DIVERGING, vmin=-limit, vmax=limit, rasterized=True
        )
        axes[0, column].set_title(name)
        axes[1, column].set_xlabel("optimizer step")
        for row in (0, 1):
            axes[row, column].set_yscale("log", base=2)
    for row, label in ((0, "token index"), (1, "token index")):
        axes[row, 0].set_ylabel(label)
    figure.colorbar(top, ax=axes[0], label="loss (nats)")
    figure.colorbar(bottom, ax=axes[1], label="d loss / d ln(index)")
    return figure


def plane(paths: Mapping[str, Sequence[Array]], inside: Mapping[str, Sequence[Any]], explained: Window) -> "Figure":
    """Snapshots of all models in the plane of the two main directions of their per-token losses.

    Args:
        paths: By model: one [snapshots, 2] path per seed.
        inside: By model and seed: which snapshots lie in the phase window.
        explained: Share of the variance on the two axes.
    """
    ink = colours(list(paths))
    figure, axes = plots.figure(width=6.4, height=3.9)
    for name, seeds in paths.items():
        for number, path in enumerate(seeds):
            axes.plot(*path.T, color=ink[name], linewidth=1.1, alpha=0.8, label=name if number == 0 else None)
            window = np.asarray(inside[name][number], dtype=bool)
            axes.plot(*path[window].T, color=ink[name], linewidth=4, alpha=0.35, solid_capstyle="round")
            axes.plot(*path[-1], marker="o", color=ink[name], markersize=5)
    axes.plot([], [], color=plots.MUTED, linewidth=4, alpha=0.5, label="phase window")
    axes.plot([], [], color=plots.MUTED, marker="o", linestyle="none", markersize=5, label="end of training")
    axes.set_xlabel(f"first component ({explained[0]:.0%} of variance)")
    axes.set_ylabel(f"second component ({explained[1]:.0%})")
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure


def loss_by_index(losses: Array) -> "Figure":
    """Loss over the token index on a logarithmic axis, averaged in bins.

    Args:
        losses: [token indices from 1].
    """
    bins = logarithmic_bins(len(losses), 24)
    centres = np.array([np.sqrt(first * (last - 1)) for first, last in bins])
    means = np.array([losses[first - 1 : last - 1].mean() for first, last in bins])
    figure, axes = plots.figure(width=6, height=3.2)
    axes.plot(centres, means, marker="o", markersize=3)
    axes.set_xscale("log")
    axes.set_xlabel("token index")
    axes.set_ylabel("loss (nats per token)")
    return figure
