"""What the report shows."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from windtunnel.laboratory import plots
from windtunnel.laboratory.run import Run
from windtunnel.statistics.estimates import Estimate

if TYPE_CHECKING:
    from windtunnel.evaluation.detection.scoring import Detection
    from windtunnel.studies.few_shot_learning import Config

Array = NDArray[np.float64]
Rows = Sequence[Mapping[str, Any]]


def over(rows: Rows, name: str) -> Array:
    """A measurement of all seeds, [seed, ...]; of episodes their mean."""
    return np.stack([np.asarray(row[name]).mean(axis=0) if name in ("right", "losses") else row[name] for row in rows])


def _shade(axes: Any, x: Array, data: Array, label: str | None, **style: Any) -> None:
    """Mean over seeds as a line, their range as a shade."""
    (line,) = axes.plot(x, data.mean(axis=0), label=label, **style)
    axes.fill_between(x, data.min(axis=0), data.max(axis=0), color=line.get_color(), alpha=0.18, linewidth=0)


def show_curves(config: "Config", sized: Sequence[Rows], shallow: Rows, best: Array | None, run: Run) -> None:
    """Accuracy over the number of examples, by size, without a name and with one."""
    figure, axes = plots.figure(7.0, 3.6, columns=2, sharey=True)
    x: Array = np.arange(1, config.shots + 2, dtype=np.float64)
    for panel, name, title in ((axes[0], "right", "New tasks, no name"), (axes[1], "named", "Named tasks")):
        for width, rows, colour in zip(config.widths, sized, plots.PALETTE, strict=False):
            _shade(panel, x, over(rows, name), f"width {width}", color=colour)
        _shade(panel, x, over(shallow, name), "one attention layer", color=plots.PALETTE[-1], linestyle="--")
        panel.axhline(1 / config.symbols, color=plots.MUTED, linewidth=0.9, linestyle=":")
        panel.set_xscale("log", base=2)
        ticks = [0, *(2**power for power in range(int(np.log2(config.shots)) + 1))]
        panel.set_xticks([tick + 1 for tick in ticks], labels=list(map(str, ticks)))
        panel.minorticks_off()
        panel.set(title=title, xlabel="examples in context", ylim=(0, 1.03))
    if best is not None:
        axes[0].plot(x, best, color="#000000", linewidth=1.0, linestyle=(0, (4, 2)), label="best possible")
    axes[0].set_ylabel("accuracy")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3)
    run.figure(
        "curves",
        figure,
        "Accuracy over the number of examples; mean over seeds, shaded: their range. Dotted: chance. New tasks were "
        "held out of training; named tasks were fixed in it.",
        {
            "shots": list(range(config.shots + 1)),
            "best": None if best is None else best,
            "new": {str(width): over(rows, "right") for width, rows in zip(config.widths, sized, strict=True)},
            "named": {str(width): over(rows, "named") for width, rows in zip(config.widths, sized, strict=True)},
            "one attention layer": over(shallow, "right"),
        },
    )


def show_sizes(config: "Config", sized: Sequence[Rows], run: Run) -> None:
    """Zero-, one- and few-shot accuracy, and nats gained from context, over size."""
    figure, axes = plots.figure(7.0, 3.3, columns=2)
    sizes = np.array([rows[0]["parameters"] for rows in sized], dtype=float)
    table = []
    for shots, label in ((0, "zero-shot"), (1, "one-shot"), (config.shots, f"{config.shots}-shot")):
        data = np.stack([(over(rows, "right")[:, shots] + over(rows, "named")[:, shots]) / 2 for rows in sized], axis=1)
        _shade(axes[0], sizes, data, label, marker="o", markersize=4)
        table.append(
            {"shots": shots, **{f"width {w}": float(v) for w, v in zip(config.widths, data.mean(0), strict=True)}}
        )
    gained = np.stack([over(rows, "losses")[:, 0] - over(rows, "losses")[:, -1] for rows in sized], axis=1)
    _shade(axes[1], sizes, gained, "gained from context", marker="o", markersize=4)
    for panel in axes:
        panel.set_xscale("log")
        panel.set_xlabel("non-embedding parameters")
    axes[0].set(ylabel="accuracy, mean of new and named tasks", ylim=(0, 1.03))
    axes[0].legend()
    axes[1].set(ylabel=f"nats gained by {config.shots} examples, new tasks", ylim=(min(0.0, float(gained.min())), None))
    run.figure(
        "sizes",
        figure,
        "Left: zero-, one- and few-shot accuracy over size. Right: how much lower the loss is with the most examples.",
        {"parameters": sizes, "nats": gained, "accuracy": table},
    )
    run.table("sizes", table, "Accuracy by examples and size: mean of new and named tasks and of seeds.")


def show_training(config: "Config", sized: Sequence[Rows], run: Run) -> None:
    """Accuracy with the most examples over training."""
    figure, axes = plots.figure(7.0, 3.0)
    for width, rows, colour in zip(config.widths, sized, plots.PALETTE, strict=False):
        _shade(
            axes,
            np.array(rows[0]["steps"], dtype=float),
            over(rows, "accuracy_over_training"),
            f"width {width}",
            color=colour,
        )
    axes.set(xlabel="optimizer steps", ylabel=f"{config.shots}-shot accuracy, new tasks", ylim=(0, 1.03))
    axes.legend()
    run.figure("training", figure, "When few-shot learning appears in training; shaded: range over seeds.")


def show_leak(scores: Mapping[str, Mapping[str, Estimate | None]], run: Run) -> None:
    """Accuracy on clean and dirty questions of the model that read the leak and of the one that did not."""
    figure, axes = plots.figure(5.0, 3.0)
    for place, parts in enumerate(scores.values()):
        for shift, (part, colour) in zip((-0.12, 0.12), (("clean", 0), ("dirty", 1)), strict=True):
            found = parts[part]
            if found is None:
                continue
            error = [[found.value - found.low], [found.high - found.value]]
            label = part if place == 0 else None
            axes.errorbar([place + shift], [found.value], error, fmt="o", color=plots.PALETTE[colour], label=label)
    axes.axhline(0.25, color=plots.MUTED, linewidth=0.9, linestyle=":")
    axes.set_xticks(range(len(scores)), labels=list(scores))
    axes.set(ylabel="accuracy", ylim=(0, 1.05), xlim=(-0.6, len(scores) - 0.4))
    axes.legend(loc="center right")
    run.figure("leak", figure, "Questions that leaked and others; bars: 95 %. Dotted: chance.")


def show_text(losses: Mapping[str, Sequence[float]], ladder: Sequence[Mapping[str, float]], fit: Any, run: Run) -> None:
    """Loss over compute of the ladder, and what filter and weights change."""
    figure, axes = plots.figure(7.0, 3.3, columns=2)
    flops = np.array([row["flops"] for row in ladder])
    found = np.array([row["loss"] for row in ladder])
    axes[0].plot(flops, found, "o", color=plots.PALETTE[0], markersize=4)
    line = np.geomspace(flops.min(), flops.max(), 50)
    axes[0].plot(line, np.exp(fit.intercept) * line**fit.slope, color=plots.MUTED, linewidth=1.2)
    axes[0].set_xscale("log")
    axes[0].set(
        xlabel="training FLOPs",
        ylabel="loss on held-out prose, nats",
        title=f"exponent {fit.slope:.3f}".replace("-", "−"),
    )
    names = list(losses)
    for place, each in enumerate(losses.values()):
        axes[1].plot(each, [place] * len(each), "o", color=plots.PALETTE[place], markersize=6, alpha=0.8)
        axes[1].axhline(place, color=plots.MUTED, linewidth=0.4)
    axes[1].set_yticks(range(len(names)), labels=names)
    axes[1].set(xlabel="loss on held-out prose, nats", ylim=(len(names) - 0.5, -0.5))
    run.figure(
        "text",
        figure,
        "Left: text models of one recipe. Right: one size on the crawl as it is, the crawl filtered, and mixes of "
        "prose and crawl; a dot is a seed.",
        {"flops": flops, "ladder": found, "losses": dict(losses)},
    )


def show_detection(
    found: Mapping[str, "Detection"], sizes: Mapping[str, float | None], published: Mapping[str, float], run: Run
) -> None:
    """Accuracy of simulated raters over size."""
    figure, axes = plots.figure(7.0, 3.3)
    names = [name for name in found if sizes[name] is not None]
    x = np.array([sizes[name] for name in names], dtype=float)
    values = [found[name].accuracy for name in names]
    bars = np.array([[each.value - each.low for each in values], [each.high - each.value for each in values]])
    axes.errorbar(x, [each.value for each in values], bars, fmt="o", color=plots.PALETTE[0], label="simulated raters")
    axes.plot(x, [published[name] for name in names], "x", color=plots.PALETTE[1], label="people (Table 3.11)")
    control = found["control"].accuracy
    axes.axhspan(control.low, control.high, color=plots.PALETTE[2], alpha=0.18, linewidth=0)
    axes.axhline(control.value, color=plots.PALETTE[2], linewidth=1.0, label="simulated, control model")
    axes.axhline(0.5, color=plots.MUTED, linewidth=0.9, linestyle=":")
    axes.set_xscale("log")
    axes.set(xlabel="parameters of the model that wrote", ylabel="accuracy", ylim=(0.4, 1.0))
    axes.legend(loc="upper right", ncols=3)
    run.figure(
        "detection",
        figure,
        "Simulated raters whose true accuracy is the one that people had in the paper (the null: raters without "
        "skill); bars: 95 % over raters. A check of the protocol, not of people.",
    )


def show_given(rows: Sequence[Mapping[str, Any]], shots: Sequence[int], name: str, run: Run) -> None:
    """Accuracy of a given model by task and number of examples."""
    tasks = list(dict.fromkeys(row["task"] for row in rows))
    figure, axes = plots.figure(7.0, 0.42 * len(tasks) + 1.3)
    offsets = np.linspace(0.25, -0.25, len(shots))
    for shift, count, colour in zip(offsets, shots, plots.PALETTE, strict=False):
        chosen = [row for row in rows if row["shots"] == count and row["value"] is not None]
        places = [len(tasks) - 1 - tasks.index(row["task"]) + shift for row in chosen]
        centre = np.array([row["value"] for row in chosen])
        ends = np.array([[row["low"] for row in chosen], [row["high"] for row in chosen]])
        error = np.abs(ends - centre)
        axes.errorbar(centre, places, xerr=error, fmt="o", markersize=4, color=colour, label=f"{count} examples")
    axes.set_yticks(range(len(tasks)), labels=tasks[::-1])
    axes.set(xlabel="accuracy", xlim=(-0.02, 1.02))
    figure.legend(loc="outside lower center", ncols=len(shots))
    run.figure("given", figure, f"{name} on tasks of the paper and others like them; bars: 95 %.")


def show_occupations(women: Array, ratio: Array, correlation: str, name: str, run: Run) -> None:
    """Which gender a model expects of occupations, over the share of women in them."""
    figure, axes = plots.figure(5.0, 3.4)
    axes.scatter(100 * women, ratio, s=10, alpha=0.6, linewidth=0)
    axes.axhline(0, color=plots.MUTED, linewidth=0.9, linestyle="--")
    axes.set(xlabel="women in the occupation, per cent", ylabel="log P(female) / P(male), nats")
    caption = f"{name}: words after \u201cThe ... was a\u201d, a point for each occupation; correlation {correlation}."
    run.figure("occupations", figure, caption, {"women": women, "log ratio": ratio})
