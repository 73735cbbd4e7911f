"""The figures of the study."""

from typing import TYPE_CHECKING, Any

import numpy as np

from windtunnel.laboratory import plots
from windtunnel.laboratory.run import Run

if TYPE_CHECKING:
    from windtunnel.studies.repeated_data import Config
    from windtunnel.studies.repeated_data.copying import Copier
    from windtunnel.studies.repeated_data.text import Table


def show_repeats(table: "Table", run: Run) -> None:
    """Test loss and loss on the subset against repeats (Figure 2), for every size and fraction."""
    config = table.config
    repeats = np.array([1, *config.repeats])
    figure, (left, right) = plots.figure(height=3.4, columns=2)
    data: dict[str, Any] = {"repeats": repeats.tolist()}
    cases = [(width, share) for width in config.widths for share in config.fractions]
    for place, (width, share) in enumerate(cases):
        colour = plots.PALETTE[place % len(plots.PALETTE)]
        for axes, name in ((left, "test"), (right, "subset")):
            losses = table.losses(share, name, width)
            axes.fill_between(repeats, losses.min(axis=0), losses.max(axis=0), color=colour, alpha=0.2, lw=0)
            axes.plot(repeats, losses.mean(axis=0), "o-", ms=3.5, color=colour, label=f"width {width}, {share:.0%}")
            data[f"{name}, width {width}, {share}"] = losses.tolist()
    alone = [row["test"][-1] for row in table.of("unique", fraction=config.fractions[-1])]
    left.axhline(np.mean(alone), color=plots.MUTED, ls="--", lw=1)
    left.text(repeats[0], np.mean(alone), "unique part alone", color=plots.MUTED, va="bottom", fontsize=8)
    data["unique part alone"] = alone
    left.set(xscale="log", xlabel="repeats of the subset", ylabel="nats per token", title="test loss")
    right.set(xscale="log", xlabel="repeats of the subset", title="loss on the subset")
    right.legend(title="repeated", fontsize=7.5, title_fontsize=7.5, loc="upper right")
    caption = "Loss after training on streams of as many tokens; shaded: range over seeds. At 1 all tokens are unique."
    run.figure("repeats", figure, caption, data)


def show_time(table: "Table", run: Run) -> None:
    """Test loss over training (Figure 3)."""
    config = table.config
    share = config.fractions[-1]
    figure, (left, right) = plots.figure(height=3.4, columns=2, sharey=True)
    data: dict[str, Any] = {}
    panels = [(left, share, count) for count in (1, *config.repeats)] + [
        (right, config.long_fraction, config.long_repeats)
    ]
    for place, (axes, fraction, count) in enumerate(panels):
        rows = table.of("control") if count == 1 else table.of("repeated", fraction=fraction, repeats=count)
        curves = np.array([row["test"] for row in rows])
        steps = np.array(rows[0]["steps"])
        colour = plots.PALETTE[place % len(plots.PALETTE)]
        axes.plot(steps[1:], curves.mean(axis=0)[1:], color=colour, label="control" if count == 1 else f"{count}×")
        axes.fill_between(steps[1:], curves.min(axis=0)[1:], curves.max(axis=0)[1:], color=colour, alpha=0.2, lw=0)
        data[f"{fraction}, {count}"] = {"steps": steps.tolist(), "test": curves.tolist()}
    left.set(xlabel="optimizer step", ylabel="test loss, nats per token", title=f"{share:.0%} repeated")
    right.set(xlabel="optimizer step", title=f"{config.long_fraction:.0%} repeated")
    left.legend(ncols=2)
    right.legend()
    run.figure("time", figure, "Test loss over training; shaded: range over seeds.", data)


def show_map(table: "Table", run: Run) -> None:
    """The harm over sizes and repeats, a map for each fraction (Figure 4), where several sizes are trained."""
    config = table.config
    if len(config.widths) < 2:
        return
    widths = sorted(config.widths)
    figure, panels = plots.figure(height=2.6, columns=len(config.fractions), sharey=True, squeeze=False)
    data: dict[str, Any] = {"widths": widths, "repeats": list(config.repeats)}
    maps = {}
    for share in config.fractions:
        losses = [table.losses(share, width=width).mean(axis=0) for width in widths]
        maps[share] = np.array([row[1:] - row[0] for row in losses])
        data[f"harm, {share}"] = maps[share].tolist()
    top = max(float(values.max()) for values in maps.values())
    for axes, (share, values) in zip(panels.flat, maps.items(), strict=True):
        image = axes.imshow(values, origin="lower", aspect="auto", vmin=0, vmax=max(top, 1e-9), cmap=plots.SEQUENTIAL)
        axes.set(xticks=range(len(config.repeats)), xticklabels=config.repeats, xlabel="repeats")
        axes.set(yticks=range(len(widths)), yticklabels=widths, title=f"{share:.0%} repeated")
    panels.flat[0].set_ylabel("width")
    figure.colorbar(image, ax=list(panels.flat), label="nats above the control")
    run.figure("map", figure, "Harm of repetition by size and repeats.", data)


def show_copies(config: "Config", entries: "list[tuple[Copier, dict[str, Any]]]", run: Run) -> None:
    """Loss of each copy (Figure 5), and what size lost against what the ladder says."""
    figure, (left, right) = plots.figure(height=3.4, columns=2)
    data: dict[str, Any] = {}
    for place, repeats in enumerate((1, *config.copying_repeats)):
        found = _rows(config, entries, repeats)
        copies = np.array([row["copies"] for row in found])
        label, colour = "control" if repeats == 1 else f"{repeats}×", plots.PALETTE[place % len(plots.PALETTE)]
        number = np.arange(1, copies.shape[1] + 1)
        left.plot(number, copies.mean(axis=0), "o-", ms=3, color=colour, label=label)
        left.fill_between(number, copies.min(axis=0), copies.max(axis=0), color=colour, alpha=0.2, lw=0)
        tests = [row["test"][-1] for row in found]
        right.plot(tests, [row["prefix"] for row in found], "o", color=colour, label=label)
        data[label] = {"copies": copies.tolist(), "test": tests, "prefix": [row["prefix"] for row in found]}
    ladder = [(row["test"][-1], row["prefix"], m.width) for m, row in entries if m.repeats == 1]
    smaller = [(test, prefix) for test, prefix, width in ladder if width != config.copying_width]
    right.plot(*np.array(smaller).T, "x", color=plots.MUTED, label="smaller controls")
    data["ladder"] = ladder
    left.set(xlabel="copy of the passage", ylabel="nats per token", title="loss of each copy", ylim=(0, None))
    right.set(xlabel="test loss, nats per token", ylabel="highest prefix matching", title="prefix matching")
    left.legend(ncols=2)
    right.legend()
    caption = (
        f"Models of width {config.copying_width}, {config.copying_fraction:.0%} repeated; shaded: range over seeds."
    )
    run.figure("copies", figure, caption, data)


def show_passage(config: "Config", entries: "list[tuple[Copier, dict[str, Any]]]", run: Run) -> None:
    """The probability of every token of one passage, by model (Figures 7 to 9)."""
    kinds = (1, *config.copying_repeats)
    found = [_rows(config, entries, repeats)[0]["first_passage"] for repeats in kinds]
    figure, axes = plots.figure(height=0.7 + 0.42 * len(kinds))
    image = axes.imshow(np.array(found), aspect="auto", vmin=0, vmax=1, cmap=plots.SEQUENTIAL)
    length = config.context // 11
    for copy in range(1, 11):
        axes.axvline(copy * length - 1.5, color="white", lw=0.8)
    axes.set(
        yticks=range(len(kinds)),
        yticklabels=["control" if repeats == 1 else f"{repeats}×" for repeats in kinds],
        xlabel="token of a passage said 11 times",
    )
    figure.colorbar(image, ax=axes, label="probability", aspect=8)
    caption = "Probability that each model gave to the token that came; white lines part the copies."
    run.figure("passage", figure, caption, {str(kind): row.tolist() for kind, row in zip(kinds, found, strict=True)})


def _rows(config: "Config", entries: "list[tuple[Copier, dict[str, Any]]]", repeats: int) -> list[dict[str, Any]]:
    return [row for member, row in entries if (member.width, member.repeats) == (config.copying_width, repeats)]
