"""A comparison of approaches as a table and as figures."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from windtunnel.laboratory import plots
from windtunnel.laboratory.files import write_atomic
from windtunnel.scaling.allocation import APPROACHES, Allocation

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK = dict(zip(APPROACHES, plots.PALETTE, strict=False))


def rows(found: list[Allocation]) -> list[dict[str, Any]]:
    """One row per count and approach, ready for JSON; the many points of an envelope are left to `sizes`."""
    return [
        {
            "count": item.count,
            "approach": item.approach,
            "exponent": None if item.exponent is None else item.exponent.value,
            "interval": _interval(item),
            "optima": [
                {"flops": float(c), "parameters": float(n), "reliable": bool(r)}
                for c, n, r in zip(item.flops, item.parameters, item.reliable, strict=True)
                if item.approach != "envelope"
            ],
            "warnings": item.warnings,
        }
        for item in found
    ]


def sizes(found: list[Allocation]) -> "Figure":
    """The best size over the budget, one panel a count; hollow points lie at the edge of what was trained."""
    names = list(dict.fromkeys(item.count for item in found))
    lines = (len(names) + 1) // 2
    figure, axes = plots.figure(height=3.0 * lines, rows=lines, columns=min(2, len(names)), squeeze=False)
    for panel in axes.flat[len(names) :]:
        panel.set_axis_off()
    for panel, name in zip(axes.flat, names, strict=False):
        for item in found:
            if item.count != name or not len(item.flops):
                continue
            if item.approach == "envelope":
                panel.plot(item.flops, item.parameters, ".", markersize=2.5, color=INK[item.approach])
            elif item.approach == "parabola":
                panel.plot(item.flops, item.parameters, "o", markersize=5, fillstyle="none", color=INK[item.approach])
                inner = item.reliable
                panel.plot(item.flops[inner], item.parameters[inner], "o", markersize=5, color=INK[item.approach])
            else:
                style = "-" if item.approach == "projection" else "--"
                panel.plot(item.flops, item.parameters, style, color=INK[item.approach])
        panel.set(xscale="log", yscale="log", title=name, xlabel="training FLOPs", ylabel="best number of parameters")
    _legend(figure, axes.flat[0])
    return figure


def exponents(found: list[Allocation]) -> "Figure":
    """Every exponent with its interval, between the published 0.50 (Hoffmann et al.) and 0.73 (Kaplan et al.)."""
    names = list(dict.fromkeys(item.count for item in found))
    figure, axes = plots.figure(height=1.2 + 0.75 * len(names))
    for item in found:
        if item.exponent is None:
            continue
        height = -names.index(item.count) - 0.18 * (APPROACHES.index(item.approach) - 1.5)
        ends = _interval(item)
        if ends is not None:
            axes.plot(ends, [height] * 2, color=INK[item.approach])
        axes.plot(item.exponent.value, height, "o", markersize=4.5, color=INK[item.approach])
    for value, style in ((0.5, ":"), (0.73, "--")):
        axes.axvline(value, color=plots.MUTED, linewidth=0.8, linestyle=style)
    axes.set_yticks([-place for place in range(len(names))], names)
    axes.set_ylim(-len(names) + 0.4, 0.6)
    axes.set_xlabel("exponent of the best size over FLOPs (dotted: 0.50, dashed: 0.73)")
    _legend(figure, axes)
    return figure


def write_figures(found: list[Allocation], directory: Path) -> None:
    """Write `sizes.svg` and `exponents.svg`."""
    for name, figure in (("sizes", sizes(found)), ("exponents", exponents(found))):
        write_atomic(directory / f"{name}.svg", plots.to_svg(figure, name))


def _interval(item: Allocation) -> list[float] | None:
    if item.exponent is None or not np.isfinite(item.exponent.interval).all():
        return None
    return list(item.exponent.interval)


def _legend(figure: "Figure", axes: Any) -> None:
    handles = [axes.plot([], [], "o", color=INK[approach], label=approach)[0] for approach in APPROACHES]
    figure.legend(handles=handles, loc="outside upper center", ncols=len(APPROACHES), frameon=False)
