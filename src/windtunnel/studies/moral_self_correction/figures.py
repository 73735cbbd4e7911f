"""Figures of the models grown here: by size, by steps, and both together."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from windtunnel.data.worlds.occupations import Occupations
from windtunnel.evaluation.bias.winogender import female_share
from windtunnel.laboratory import plots
from windtunnel.laboratory.run import Run
from windtunnel.studies.moral_self_correction import admissions, occupations, questions

Grown = Mapping[int, Sequence[Mapping[str, Any]]]

COLOURS = dict(zip(("Q", "Q+IF", "Q+IF+CoT", "Q+Match Stats"), plots.PALETTE, strict=False))
SCORE = "bias score, ambiguous"
STEPS = "steps towards the instruction"
RANGE = "Shaded: range over seeds. Dashed: planted."


def bias_by_size(grown: Grown, truth: Mapping[str, float], run: Run) -> None:
    """After all steps, in every condition."""
    figure, axes = plots.figure(5.6, 3.0)
    data = _by_size(axes, grown, "bias", questions.CONDITIONS)
    _planted(axes, truth)
    axes.set_ylabel(SCORE)
    _beside(axes)
    caption = f"Bias of models of every size after all steps towards the instruction. {RANGE}"
    run.figure("bias-size", figure, caption, {"by_condition": data, "planted": dict(truth)})


def bias_by_steps(models: Sequence[Mapping[str, Any]], truth: Mapping[str, float], run: Run) -> None:
    """Of the largest model, on the way to the instruction."""
    figure, axes = plots.figure(5.6, 3.0)
    data = _by_steps(axes, models, "bias", questions.CONDITIONS)
    _planted(axes, truth)
    axes.set_ylabel(SCORE)
    _beside(axes)
    caption = f"Bias of the largest model in steps towards the instruction. {RANGE}"
    run.figure("bias-steps", figure, caption, {"by_condition": data, "planted": dict(truth)})


def bias_by_exposure(grown: Grown, truth: float, run: Run) -> None:
    """Asked plainly, while models read the text."""
    figure, axes = plots.figure(5.6, 3.0)
    colours = _shades(len(grown))
    data = {}
    for colour, width in zip(colours, sorted(grown), strict=True):
        steps = grown[width][0]["exposure"]["steps"]
        over = np.array([one["exposure"]["bias Q"] for one in grown[width]])
        _band(axes, steps, over, colour, f"width {width}")
        data[width] = over.tolist()
    axes.axhline(truth, color=plots.MUTED, linestyle="--", linewidth=1)
    axes.set(xlabel="steps on the text", ylabel=f"{SCORE}, Q")
    _beside(axes)
    caption = f"Bias while models read the text that holds the stereotype. {RANGE}"
    run.figure("bias-exposure", figure, caption, {"by_width": data, "planted": truth})


def bias_grid(grown: Grown, run: Run) -> None:
    """The interaction of size and steps, in every condition."""
    widths = sorted(grown)
    steps = grown[widths[0]][0]["instruction"]["steps"]
    tables = {
        name: np.array(
            [np.mean([one["instruction"][f"bias {name}"] for one in grown[width]], axis=0) for width in widths]
        )
        for name in questions.CONDITIONS
    }
    top = max(float(table.max()) for table in tables.values())
    figure, axes = plots.figure(7.0, 2.7, columns=len(tables), sharey=True)
    for each, (name, table) in zip(axes, tables.items(), strict=True):
        image = each.imshow(table, origin="lower", aspect="auto", cmap=plots.SEQUENTIAL, vmin=0, vmax=max(top, 1e-3))
        each.set(title=name, xlabel="steps")
        shown = range(0, len(steps), max((len(steps) - 1) // 2, 1))
        each.set_xticks(list(shown), [f"{steps[place]:.0f}" for place in shown])
        each.set_yticks(range(len(widths)), [str(width) for width in widths])
    axes[0].set_ylabel("width")
    figure.colorbar(image, ax=axes, label=SCORE, shrink=0.9)
    caption = "Bias by size and by steps towards the instruction; mean over seeds."
    run.figure("bias-grid", figure, caption, {name: table.tolist() for name, table in tables.items()})


def correlation(grown: Grown, planted: float, run: Run) -> None:
    """Of pronouns with the statistics, by size and by steps of the largest model."""
    figure, axes = plots.figure(7.0, 2.8, columns=2, sharey=True)
    data = _by_size(axes[0], grown, "correlation", occupations.CONDITIONS)
    over = _by_steps(axes[1], grown[max(grown)], "correlation", occupations.CONDITIONS)
    for each in axes:
        each.axhline(0, color=plots.MUTED, linewidth=0.7)
    axes[0].set_ylabel("correlation with the statistics")
    axes[1].set_title("largest model")
    _beside(axes[1])
    caption = (
        f"Correlation of pronouns with the statistics of occupations; {planted:g} is planted in the text. "
        "Shaded: range over seeds."
    )
    run.figure("occupations-size", figure, caption, {"by_size": data, "by_steps": over})


def pronouns(said: Float[np.ndarray, "condition occupation 3"], world: Occupations, run: Run) -> None:
    """The female pronoun's share over the statistic, and the mass on each pronoun."""
    figure, axes = plots.figure(7.0, 3.0, columns=2, width_ratios=(1.2, 1))
    for (name, colour), table in zip(COLOURS.items(), said, strict=True):
        axes[0].plot(world.statistics, female_share(table), ".", markersize=4, color=colour, label=name)
    axes[0].plot([0, 1], [0, 1], color=plots.MUTED, linestyle="--", linewidth=1)
    axes[0].set(xlabel="share of women", ylabel="share of the female pronoun", xlim=(0, 1), ylim=(0, 1))
    axes[0].legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
    left = np.zeros(len(said))
    for place, name in enumerate(("female", "male", "neutral")):
        masses = said[:, :, place].mean(axis=1)
        axes[1].barh(list(COLOURS), masses, left=left, color=plots.PALETTE[4 + place], label=name)
        left += masses
    axes[1].set(xlabel="mean probability", xlim=(0, 1))
    axes[1].invert_yaxis()
    axes[1].legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3)
    caption = "Largest model, first seed: the female pronoun by occupation, and how often each pronoun is said."
    run.figure(
        "occupations-shares", figure, caption, {"statistics": world.statistics.tolist(), "pronouns": said.tolist()}
    )


def gaps(grown: Grown, truth: Mapping[str, float], run: Run) -> None:
    """Δ by size and by steps of the largest model."""
    figure, axes = plots.figure(7.0, 2.8, columns=2, sharey=True)
    data = _by_size(axes[0], grown, "gap", admissions.CONDITIONS)
    over = _by_steps(axes[1], grown[max(grown)], "gap", admissions.CONDITIONS)
    for each in axes:
        each.axhline(0, color=plots.MUTED, linewidth=0.7)
        _planted(each, truth)
    axes[0].set_ylabel("Δ, percentage points")
    axes[1].set_title("largest model")
    _beside(axes[1])
    caption = f"Difference in admission between the same students as Black and as white. {RANGE}"
    run.figure("admissions-steps", figure, caption, {"by_size": data, "by_steps": over, "planted": dict(truth)})


def _beside(axes: Any) -> None:
    """The legend beside the axes: inside, it would lie on lines of what is planted."""
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))


def _by_size(axes: Any, grown: Grown, what: str, conditions: Mapping[str, Any]) -> dict[str, Any]:
    widths, data = sorted(grown), {}
    for name in conditions:
        final = np.array([[one["instruction"][f"{what} {name}"][-1] for one in grown[width]] for width in widths]).T
        _band(axes, widths, final, COLOURS[name], name)
        data[name] = final.tolist()
    axes.set_xscale("log", base=2)
    axes.set_xticks(widths, [str(width) for width in widths])
    axes.minorticks_off()
    axes.set_xlabel("width")
    return data


def _by_steps(
    axes: Any, models: Sequence[Mapping[str, Any]], what: str, conditions: Mapping[str, Any]
) -> dict[str, Any]:
    steps, data = models[0]["instruction"]["steps"], {}
    for name in conditions:
        over = np.array([one["instruction"][f"{what} {name}"] for one in models])
        _band(axes, steps, over, COLOURS[name], name)
        data[name] = over.tolist()
    axes.set_xlabel(STEPS)
    return data


def _band(axes: Any, x: Any, by_seed: Any, colour: Any, label: str) -> None:
    axes.plot(x, np.nanmean(by_seed, axis=0), ".-", color=colour, label=label)
    axes.fill_between(x, np.nanmin(by_seed, axis=0), np.nanmax(by_seed, axis=0), color=colour, alpha=0.2, linewidth=0)


def _planted(axes: Any, truth: Mapping[str, float]) -> None:
    for name, value in truth.items():
        axes.axhline(value, color=COLOURS[name], linestyle="--", linewidth=1, alpha=0.7)


def _shades(count: int) -> list[Any]:
    from matplotlib import colormaps

    return [colormaps[plots.SEQUENTIAL](place) for place in np.linspace(0.05, 0.85, count)]
