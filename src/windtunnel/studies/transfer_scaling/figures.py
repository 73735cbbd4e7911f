"""The figures of the study."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from windtunnel.laboratory import plots
from windtunnel.laboratory.run import Run
from windtunnel.scaling.laws.interface import Floats
from windtunnel.scaling.transfer.effective import LOW_DATA
from windtunnel.scaling.transfer.estimators import TransferFit
from windtunnel.scaling.transfer.forms import UnifiedCheck
from windtunnel.scaling.transfer.frontier import lowest_within
from windtunnel.scaling.transfer.ossification import Ossification
from windtunnel.studies.transfer_scaling.grid import SCRATCH, Grid


def curves(grid: Grid, run: Run) -> None:
    """Figure 1 and appendix A: the definition of the data transferred, and how much data are enough."""
    figure, axes = plots.figure(7.2, 3.4, columns=2, width_ratios=(1.15, 1))
    size = max(grid.curves)
    scratch = grid.of(SCRATCH)
    mine = scratch.column("parameters") == size
    at = np.geomspace(grid.curves[size].smallest, grid.curves[size].largest, 200)
    axes[0].plot(at, grid.curves[size].loss_at(at), color=plots.MUTED)
    axes[0].scatter(scratch.column("data")[mine], scratch.column("loss")[mine], s=14, color=plots.MUTED, label=SCRATCH)
    for place, name in enumerate(grid.beginnings):
        part = grid.of(name)
        one = part.column("parameters") == size
        axes[0].scatter(
            part.column("data")[one], part.column("loss")[one], s=18, color=plots.PALETTE[place], label=f"after {name}"
        )
    _arrow(axes[0], grid, size)
    axes[0].set(xscale="log", xlabel="tokens of Python", ylabel="loss (nats per token)", title=f"N = {size:,.0f}")
    axes[0].legend(loc="upper right")
    for place, (each, curve) in enumerate(grid.curves.items()):
        at = np.geomspace(curve.smallest, curve.largest, 200)
        axes[1].plot(at, curve.loss_at(at), color=plots.PALETTE[place], label=f"N = {each:,.0f}")
        axes[1].plot(curve.enough(), curve.loss_at(curve.enough()), "v", color=plots.PALETTE[place])
    axes[1].set(xscale="log", xlabel="tokens of Python", title="from scratch; ▼ bound of D(N)")
    axes[1].legend(loc="upper right")
    run.figure(
        "curves",
        figure,
        "Left: the effective data of a fine-tuned model are where the curve from scratch has its loss; the data "
        "transferred are the length of the arrow. Right: curves from scratch and for each a lower bound of D(N).",
        {"enough": {f"{each:g}": curve.enough() for each, curve in grid.curves.items()}},
    )


def _arrow(axis: Any, grid: Grid, size: float) -> None:
    """From a fine-tuned run to the curve from scratch: the second D_F after text, if the curve reaches its loss."""
    found = grid.transfers(grid.beginnings[0]) if grid.beginnings else None
    if found is None:
        return
    able = np.flatnonzero((found.runs.parameters == size) & found.exact & (found.transferred > 0))
    if not len(able):
        return
    one = able[np.argsort(found.runs.data[able])][min(2, len(able) - 1)]
    start, end, loss = found.runs.data[one], found.high[one], found.runs.loss[one]
    axis.annotate("", (end, loss), (start, loss), arrowprops={"arrowstyle": "->", "color": "black"})
    axis.text((start * end) ** 0.5, loss, r"$D_T$", ha="center", va="bottom")


def _size_axis(axis: Any, sizes: Floats) -> None:
    """A logarithmic axis of parameters, labelled at the sizes trained."""
    from matplotlib.ticker import EngFormatter

    axis.set_xscale("log")
    axis.set_xticks(np.unique(sizes), minor=False)
    axis.xaxis.set_major_formatter(EngFormatter(places=0, sep=""))
    axis.set_xticks([], minor=True)
    axis.set_xlabel("parameters N")


def fractions(grid: Grid, fits: Mapping[str, TransferFit], run: Run) -> None:
    """Figure 2: the share of the effective data that was transferred, by size, at each D_F, and the fitted law."""
    names = grid.beginnings
    figure, axes = plots.figure(7.2, 3.4, columns=max(len(names), 1), sharey=True, squeeze=False)
    shown = {}
    for axis, name in zip(axes[0], names, strict=True):
        found = grid.transfers(name)
        for place, data in enumerate(np.unique(found.runs.data[found.low_data])):
            mine = (found.runs.data == data) & found.low_data
            share = found.transferred[mine] / (found.transferred[mine] + data)
            colour = plots.PALETTE[place]
            jitter = 1 + 0.02 * (found.runs.seed[mine] - 0.5)
            for right, marker in ((False, "o"), (True, "^")):
                which = np.isinf(found.high[mine]) == right
                sizes = (found.runs.parameters[mine] * jitter)[which]
                axis.scatter(sizes, share[which], s=18, color=colour, marker=marker)
            axis.plot([], [], "o", color=colour, label=f"$D_F$ = {data:,.0f}")
            if name in fits:
                at = np.geomspace(found.runs.parameters.min(), found.runs.parameters.max(), 50)
                transferred = fits[name].law.predict(parameters=at, finetuning_data=np.full(50, data))
                axis.plot(at, transferred / (transferred + data), color=colour)
            shown[f"{name}, {data:.0f}"] = share.tolist()
        axis.axhline(0, color=plots.MUTED, linewidth=0.7)
        lowest = min((min(values) for values in shown.values() if values), default=0.0)
        axis.set(title=f"after {name}", ylim=(max(min(lowest, 0.0), -1.0) - 0.05, 1.05))
        _size_axis(axis, found.runs.parameters)
        if axis.get_legend_handles_labels()[0]:
            axis.legend(loc="lower right")
    axes[0][0].set_ylabel(r"$D_T \,/\, (D_F + D_T)$")
    run.figure(
        "fractions",
        figure,
        "Share of the effective data that was transferred, in the low-data regime; lines: the fitted law; triangles: "
        "lower bounds, where the loss is below all of the curve from scratch.",
        shown,
    )


def multipliers(grid: Grid, run: Run) -> None:
    """Equation 1.2: how many times more the fine-tuning data are worth."""
    names = grid.beginnings
    figure, axes = plots.figure(7.2, 3.2, columns=max(len(names), 1), sharey=True, squeeze=False)
    shown = {}
    for axis, name in zip(axes[0], names, strict=True):
        found = grid.transfers(name)
        for place, size in enumerate(np.unique(found.runs.parameters)):
            mine = found.select(found.runs.parameters == size)
            data = np.unique(mine.runs.data)
            level = [np.exp(np.log(np.maximum(mine.multiplier[mine.runs.data == d], 1e-3)).mean()) for d in data]
            axis.plot(data, level, "o-", color=plots.PALETTE[place], label=f"N = {size:,.0f}", markersize=4)
            shown[f"{name}, {size:.0f}"] = dict(zip(data.tolist(), level, strict=True))
        axis.axhline(1, color=plots.MUTED, linewidth=0.7)
        axis.set(xscale="log", yscale="log", xlabel="$D_F$ (tokens)", title=f"after {name}")
        axis.legend()
    axes[0][0].set_ylabel(r"multiplier $(D_F + D_T) / D_F$")
    run.figure("multipliers", figure, "What pre-training multiplies the fine-tuning data by; mean over seeds.", shown)


def sizes(grid: Grid, run: Run) -> None:
    """Figure 3: loss over size at fixed D_F."""
    figure, axis = plots.figure(6.4, 3.6)
    tuned = grid.of("text")
    several = [
        d for d in np.unique(tuned.column("data")) if len(np.unique(tuned.runs.parameters[tuned.runs.data == d])) > 1
    ]
    for place, data in enumerate(several):
        for name, style in ((SCRATCH, "--"), ("text", "-")):
            part = grid.of(name).runs
            mine = part.select(part.data == data)
            at = np.unique(mine.parameters)
            loss = [mine.loss[mine.parameters == size].mean() for size in at]
            axis.plot(at, loss, style, marker="o", markersize=4, color=plots.PALETTE[place])
            if name == "text":
                axis.plot([], [], color=plots.PALETTE[place], label=f"$D_F$ = {data:,.0f}")
    axis.plot([], [], "--", color=plots.MUTED, label="from scratch")
    axis.plot([], [], "-", color=plots.MUTED, label="after text")
    _size_axis(axis, tuned.runs.parameters)
    axis.set_ylabel("loss (nats per token)")
    axis.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    run.figure("sizes", figure, "Loss by size at fixed amounts of Python: from scratch and after text.")


def points(grid: Grid, data: float, include: bool) -> tuple[Floats, Floats]:
    """FLOPs and losses along all trainings on so much data; with the FLOPs of pre-training or without."""
    flops, losses = [], []
    for row in grid.rows:
        if row["data"] == data:
            spent = np.asarray(row["flops"]) + (row["pretraining_flops"] if include else 0.0)
            kept = spent > 0  # nothing spent has no place on a logarithm
            flops.append(spent[kept])
            losses.append(np.asarray(row["losses"])[kept])
    return np.concatenate(flops), np.concatenate(losses)


def compute(grid: Grid, run: Run) -> None:
    """Figures 4, 7 and 8: the lowest loss within a budget."""
    text = grid.of("text")
    data = np.unique(text.column("data")[text.column("parameters") == text.column("parameters").max()])
    figure, axes = plots.figure(7.2, 3.2, columns=2, sharey=False)
    for axis, size in zip(axes, (data[0], data[-1]), strict=True):
        for place, (part, include, label) in enumerate(
            (
                (grid.of(SCRATCH), False, "from scratch"),
                (text, False, "after text, fine-tuning only"),
                (text, True, "after text, all compute"),
            )
        ):
            flops, losses = points(part, size, include)
            at = np.geomspace(flops.min(), flops.max(), 100)
            axis.plot(at, lowest_within(at, flops, losses), color=plots.PALETTE[place], label=label)
        axis.set(xscale="log", xlabel="FLOPs", title=f"$D_F$ = {size:,.0f}")
    axes[0].set_ylabel("loss (nats per token)")
    axes[1].legend()
    run.figure("compute", figure, "The lowest loss reached within a budget, at the best size of model.")


def ossified(cells: Sequence[Ossification], run: Run) -> None:
    """Figures 5 and 6: the gap in loss between fine-tuned and from scratch at the smallest size."""
    figure, axis = plots.figure(6.0, 3.2)
    at = [cell.data for cell in cells]
    value = np.array([cell.gap.value for cell in cells])
    bars = np.array([[min(cell.gap.value - cell.gap.low, 9), min(cell.gap.high - cell.gap.value, 9)] for cell in cells])
    reach = max(2 * float(np.abs(value).max()), 0.05)
    axis.errorbar(at, value, yerr=bars.T, fmt="o", color=plots.PALETTE[0], capsize=3)
    axis.axhline(0, color=plots.MUTED, linewidth=0.7)
    axis.set(
        xscale="log", xlabel="$D_F$ (tokens)", ylabel="loss after text − from scratch (nats)", ylim=(-reach, reach)
    )
    run.figure(
        "ossification",
        figure,
        f"The smallest size, N = {cells[0].parameters:,.0f}: above zero pre-training harms. Bars: Student's intervals "
        "over seeds; with two seeds they are wide.",
        {"gap": {f"{cell.data:g}": [cell.gap.value, cell.gap.low, cell.gap.high] for cell in cells}},
    )


def unified(checks: Mapping[str, UnifiedCheck], losses: Mapping[str, Floats], run: Run) -> None:
    """Section 6.1: predicted and measured losses after fine-tuning."""
    figure, axis = plots.figure(4.6, 3.8)
    for place, (name, check) in enumerate(checks.items()):
        axis.scatter(losses[name], check.predicted, s=16, color=plots.PALETTE[place], label=f"after {name}")
    together = np.concatenate([*losses.values(), *(check.predicted for check in checks.values())])
    ends = [together.min(), together.max()]
    axis.plot(ends, ends, color=plots.MUTED, linewidth=1)
    axis.set(xlabel="measured loss (nats per token)", ylabel="predicted by the unified law")
    axis.legend()
    run.figure("unified", figure, "Losses in the low-data regime, predicted from runs from scratch and the law.")


def regimes(grid: Grid, fits: Mapping[str, TransferFit], run: Run) -> None:
    """Appendix D: where the law fails."""
    figure, axis = plots.figure(6.4, 3.2)
    axis.axvspan(1e-9, LOW_DATA, color=plots.MUTED, alpha=0.12, linewidth=0)
    seen = [1e-3]
    for place, (name, fit) in enumerate(fits.items()):
        found = fit.transfers
        enough = np.array([grid.curves[float(size)].enough() for size in found.runs.parameters])
        law = fit.law.predict(parameters=found.runs.parameters, finetuning_data=found.runs.data)
        ratio = np.log10((found.transferred + found.runs.data) / (law + found.runs.data))
        exact = found.exact
        axis.scatter((found.runs.data / enough)[exact], ratio[exact], s=18, color=plots.PALETTE[place], label=name)
        seen += list(found.runs.data / enough)
    axis.axhline(0, color=plots.MUTED, linewidth=0.7)
    axis.set(
        xscale="log",
        xlabel="$D_F$ / bound of $D(N)$",
        ylabel=r"$\log_{10}$ effective data / law",
        xlim=(0.5 * min(seen[1:], default=1e-3), 2 * max(seen)),
    )
    axis.legend()
    run.figure(
        "regimes", figure, "Effective data against the law, fitted in the shaded low-data regime and extended beyond."
    )


def epochs(grid: Grid, run: Run) -> None:
    """Appendices E and G: epochs to the best stop."""
    figure, axis = plots.figure(6.0, 3.2)
    for place, name in enumerate([SCRATCH, *grid.beginnings]):
        part = grid.of(name)
        data, taken = part.column("data"), part.column("epochs")
        at = np.unique(data)
        axis.plot(
            at,
            [max(taken[data == each].mean(), 1e-2) for each in at],
            "o-",
            markersize=4,
            color=plots.PALETTE[place],
            label=name if name == SCRATCH else f"after {name}",
        )
    axis.set(xscale="log", yscale="log", xlabel="tokens of Python", ylabel="epochs to the best stop")
    axis.legend()
    run.figure("epochs", figure, "Epochs to the best stop; mean over sizes and seeds.")


def proximity(
    levels: Sequence[float], by_language: Mapping[int, Sequence[float]], rows: Sequence[Mapping[str, Any]], run: Run
) -> None:
    """Data transferred by proximity, and by the exact distance."""
    figure, axes = plots.figure(7.2, 3.2, columns=2, sharey=True)
    for place, (language, worths) in enumerate(by_language.items()):
        distances = [
            next(row["distance"] for row in rows if (row["language"], row["proximity"]) == (language, level))
            for level in levels
        ]
        for axis, at in ((axes[0], levels), (axes[1], distances)):
            axis.plot(at, worths, "o-", markersize=4, color=plots.PALETTE[place], label=f"languages {language}")
    axes[0].set(xlabel="proximity ρ", ylabel="$D_T$ at the reference cell (tokens)")
    if min(min(worths) for worths in by_language.values()) > 0:
        axes[0].set_yscale("log")
    axes[1].set(xlabel="divergence rate (nats per token)")
    axes[0].legend()
    run.figure(
        "proximity",
        figure,
        "Data transferred between languages that share a fraction ρ of what follows what, at the reference cell.",
        {"levels": list(levels), "transferred": {str(name): list(values) for name, values in by_language.items()}},
    )
