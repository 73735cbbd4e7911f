"""Pictures of toy models, after the paper's own."""

from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from windtunnel.interpretability.toy_models import geometry
from windtunnel.laboratory import plots

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Weights = Float[NDArray[np.float64], "feature hidden"]


def gram(axes: Any, weights: Weights, title: str) -> Any:
    """WᵀW as a heat map (here W Wᵀ, one row per feature); returns the image."""
    product = weights @ weights.T
    image = axes.imshow(product, cmap=plots.DIVERGING, vmin=-1, vmax=1)
    axes.set_title(title, fontsize=9)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    return image


def norm_bars(axes: Any, weights: Weights) -> None:
    """‖W_i‖ of each feature, coloured by how much other features lie in its direction."""
    from matplotlib import colormaps

    shared = np.clip(geometry.superposition(weights), 0, 1)
    axes.barh(np.arange(len(weights)), geometry.norms(weights), color=colormaps["viridis"](0.15 + 0.7 * shared))
    axes.set_ylim(len(weights) - 0.5, -0.5)
    axes.set_xlim(0, 1.25)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)


def gram_stack(models: list[tuple[str, Weights]]) -> "Figure":
    """For each model WᵀW above the norms of its features (the paper's "Basic Results" figure)."""
    figure, axes = plots.figure(1.5 * len(models) + 0.8, 3.4, rows=2, columns=len(models), squeeze=False)
    for column, (title, weights) in enumerate(models):
        image = gram(axes[0, column], weights, title)
        norm_bars(axes[1, column], weights)
        axes[1, column].set_xlabel("‖W$_i$‖", fontsize=8.5)
    figure.colorbar(image, ax=axes[0, :], shrink=0.8, label="WᵀW", ticks=[-1, 0, 1])
    return figure


def planes(models: list[tuple[str, Weights]], sets: int = 0) -> "Figure":
    """Features as vectors in two hidden dimensions, one panel per model.

    Args:
        models: Titles and weights.
        sets: Features per set: those of a set share a colour; 0: each has its own.
    """
    columns = min(len(models), 5)
    rows = -(-len(models) // columns)
    figure, axes = plots.figure(1.75 * columns, 1.95 * rows, rows=rows, columns=columns, squeeze=False)
    for panel, (title, weights) in zip(axes.flat, models, strict=False):
        for index, (x, y) in enumerate(weights):
            colour = plots.PALETTE[(index // sets if sets else index) % len(plots.PALETTE)]
            panel.plot([0, x], [0, y], color=colour, linewidth=1.3)
            panel.plot(x, y, "o", color=colour, markersize=4)
        panel.set_title(title, fontsize=9)
        panel.set(xlim=(-1.35, 1.35), ylim=(-1.35, 1.35), aspect="equal", xticks=[], yticks=[])
        panel.spines[:].set_visible(False)
        panel.axhline(0, color=plots.MUTED, linewidth=0.4, zorder=0)
        panel.axvline(0, color=plots.MUTED, linewidth=0.4, zorder=0)
    for panel in axes.flat[len(models) :]:
        panel.set_visible(False)
    return figure


def phase_maps(
    maps: list[tuple[str, NDArray[np.int_]]],
    densities: NDArray[np.float64],
    importances: NDArray[np.float64],
    names: list[str],
    curves: list[tuple[str, NDArray[np.float64], str]],
) -> "Figure":
    """Which phase each cell is in, side by side, with boundaries of theory.

    Args:
        maps: Titles and phases [density, importance].
        densities: Of the rows, falling.
        importances: Of the columns, rising.
        names: Of the phases.
        curves: Label, density by importance, and line style of each boundary.
    """
    from matplotlib.colors import ListedColormap
    from matplotlib.patches import Patch

    colours = ListedColormap(plots.PALETTE[: len(names)])
    figure, axes = plots.figure(3.4 * len(maps), 3.9, columns=len(maps), squeeze=False, sharey=True)
    edges_x, edges_y = _edges(importances), _edges(densities)
    for panel, (title, phases) in zip(axes[0], maps, strict=True):
        panel.pcolormesh(
            edges_x, edges_y, phases, cmap=colours, vmin=-0.5, vmax=len(names) - 0.5, alpha=0.8, rasterized=True
        )
        for label, boundary, line in curves:
            panel.plot(importances, boundary, line, color="black", linewidth=1.2, label=label)
        panel.set(xscale="log", yscale="log", xlabel="importance of the last feature", title=title)
        panel.set(xlim=(edges_x[0], edges_x[-1]), ylim=(min(edges_y), max(edges_y)))
    axes[0, 0].set_ylabel("density 1 − S")
    handles = [Patch(color=colours(index), alpha=0.8, label=name) for index, name in enumerate(names)]
    lines = axes[0, 0].get_legend_handles_labels()[0]
    figure.legend(handles=[*handles, *lines], loc="outside lower center", ncols=min(3, len(handles) + len(lines)))
    return figure


def _edges(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Cell edges halfway between logarithmically spaced centres."""
    logs = np.log(values)
    step = logs[1] - logs[0]
    edges: NDArray[np.float64] = np.exp(np.append(logs - step / 2, logs[-1] + step / 2))
    return edges


def dimensionality_plot(
    densities: NDArray[np.float64],
    per_feature: NDArray[np.float64],
    dimensionality: Float[NDArray[np.float64], "level feature"],
    norms: Float[NDArray[np.float64], "level feature"],
) -> "Figure":
    """Dimensions per feature, and every feature's dimensionality with the polytopes' lines.

    The paper's figures of "Uniform Superposition".
    """
    figure, (above, below) = plots.figure(7.4, 6.4, rows=2, sharex=True, height_ratios=(1, 2))
    x = 1 / densities
    above.plot(x, per_feature, "o-", color=plots.PALETTE[0], markersize=3.5)
    above.axhline(0.5, color=plots.MUTED, linewidth=0.8, linestyle="--")
    above.set_ylabel("D* = m / ‖W‖²")
    jitter = np.linspace(-0.06, 0.06, dimensionality.shape[1])
    for level, position in enumerate(x):
        kept = norms[level] > 0.1
        places = position * np.exp(jitter[kept] * np.log(x[1] / x[0]) * 6)
        below.plot(places, dimensionality[level][kept], ".", color=plots.PALETTE[0], markersize=2, alpha=0.5)
    for name, fraction in geometry.FRACTIONS.items():
        below.axhline(fraction, color=plots.PALETTE[1], linewidth=0.7, alpha=0.8)
        below.annotate(name, (1.005, fraction), xycoords=("axes fraction", "data"), fontsize=8, va="center")
    below.set(xscale="log", xlabel="1 / density", ylabel="dimensionality D$_i$", ylim=(0, 1.05))
    return figure


def neuron_stack(models: list[tuple[str, Float[NDArray[np.float64], "feature neuron"]]]) -> "Figure":
    """Each neuron's input weights as a stacked bar, one segment per feature ("Superposition in a Privileged Basis")."""
    figure, axes = plots.figure(7.4, 1.5 * len(models) + 0.4, rows=len(models), squeeze=False)
    for panel, (title, weights) in zip(axes[:, 0], models, strict=True):
        order = np.argsort(-np.abs(weights).max(0))
        bottom = np.zeros(weights.shape[1])
        for feature, row in enumerate(np.abs(weights[:, order])):
            panel.bar(
                np.arange(len(row)), row, bottom=bottom, color=plots.PALETTE[feature % len(plots.PALETTE)], width=0.85
            )
            bottom += row
        panel.set_title(title, fontsize=9)
        panel.set_xticks([])
    axes[-1, 0].set_xlabel("hidden neurons")
    figure.supylabel("|input weight|", fontsize=9)
    return figure
