"""The figures of the study."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from windtunnel.evaluation.calibration import draw_reliability, draw_risk_coverage, draw_separation
from windtunnel.laboratory import plots
from windtunnel.laboratory.run import Run
from windtunnel.statistics import reliability, risk_coverage, softened
from windtunnel.statistics.intervals import Floats
from windtunnel.studies.self_knowledge.organisms import LENGTHS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from windtunnel.studies.self_knowledge.organisms import Organism

RESAMPLES = 300


def knowledge(
    organisms: "Sequence[Organism]", measured: Sequence[dict[str, Any]], found: Sequence[dict[str, Any]], run: Run
) -> None:
    """P(IK) against the exact truth, its reliability in and out of distribution, and by exposure; sources; others."""
    mine, own = measured[0], found[0]
    _, held, unseen = (part.flatten().numpy() for part in organisms[0].parts)
    exact, share, draws = mine["exact"]["none"].flatten(), mine["share"].flatten(), organisms[0].config.draws
    made, (left, middle, right) = plots.figure(8.4, 3.0, columns=3)
    for name, part, colour in (("held-out entities", held, 0), ("unseen relation", unseen, 1)):
        left.scatter(
            exact[part], own["said"][part], s=6, alpha=0.6, color=plots.PALETTE[colour], label=name, linewidth=0
        )
    left.plot([0, 1], [0, 1], color=plots.MUTED, linewidth=0.8, linestyle="--")
    left.set(xlim=(0, 1), ylim=(0, 1), xlabel="exact probability of the right answer", ylabel="P(IK)")
    _above(left)
    generator = run.generator("figures")
    diagrams = {}
    for name, part in (("held-out entities", held), ("unseen relation", unseen)):
        outcomes = np.arange(draws) < np.rint(share[part] * draws)[:, None]
        diagrams[name] = reliability(
            np.repeat(own["said"][part], draws),
            outcomes.ravel(),
            generator=generator,
            clusters=np.repeat(np.arange(int(part.sum())), draws),
            resamples=RESAMPLES,
        )
    draw_reliability(middle, diagrams)
    middle.set(xlabel="P(IK), ten bins", ylabel="share of 30 answers right")
    _above(middle)
    exposure = mine["exposure"].flatten()
    levels = np.unique(exposure)
    for name, each in (("exact", exact), ("P(IK)", own["said"])):
        means = [float(each[held & (exposure == level)].mean()) for level in levels]
        right.plot(range(len(levels)), means, marker="o", markersize=3.5, label=name)
    right.set_xticks(range(len(levels)), [str(int(level)) for level in levels])
    right.set(ylim=(0, 1), xlabel="times told, relative", ylabel="mean, held-out entities")
    _above(right)
    data = {"exact": exact, "said": own["said"], "held": held, "unseen": unseen, "exposure": exposure}
    caption = (
        "P(IK) of organism 0 by a probe of its last state. Left: against the exact probability. Middle: reliability, "
        "with the floor of a perfect predictor shaded. Right: by how often a fact was told."
    )
    run.figure("knowledge", made, caption, _plain(data))
    _sources(held, measured, found, run)
    _others(found, run)


def _sources(held: Floats, measured: Sequence[dict[str, Any]], found: Sequence[dict[str, Any]], run: Run) -> None:
    made, axes = plots.figure(6.0, 3.0)
    kinds = ("none", "correct", "wrong", "irrelevant")
    rows: dict[str, list[list[float]]] = {"P(IK)": [], "exact": []}
    for mine, own in zip(measured, found, strict=True):
        said = {"none": own["said"], **own["said with sources"]}
        rows["P(IK)"].append([float(said[kind][held].mean()) for kind in kinds])
        rows["exact"].append([float(mine["exact"][kind].flatten()[held].mean()) for kind in kinds])
    for index, (name, values) in enumerate(rows.items()):
        table = np.array(values)
        place = np.arange(len(kinds)) + 0.18 * (2 * index - 1)
        axes.bar(place, table.mean(axis=0), 0.34, color=plots.PALETTE[index], label=name, alpha=0.75)
        for row in table:
            axes.plot(place, row, ".", color=plots.MUTED, markersize=4)
    axes.set_xticks(range(len(kinds)), ["no source", "correct", "wrong answer", "irrelevant"])
    axes.set(ylim=(0, 1.18), ylabel="mean over held-out entities")
    axes.legend(loc="upper right", ncols=2)
    caption = (
        "P(IK), by heads that never saw a source, and the exact probability of the right answer behind three "
        "statements. Points: organisms."
    )
    run.figure("sources", made, caption, {"kinds": kinds, **rows})
    _lengths(found, run)


def _lengths(found: Sequence[dict[str, Any]], run: Run) -> None:
    made, axes = plots.figure(5.0, 3.0)
    for colour, (key, label) in zip(plots.PALETTE, (("said", "P(IK)"), ("exact", "exact")), strict=False):
        table = np.array([[one[key] for one in each["by length"]] for each in found])
        axes.plot(LENGTHS, table.mean(0), "o-", ms=3.5, color=colour, label=label)
        axes.fill_between(LENGTHS, table.min(0), table.max(0), color=colour, alpha=0.15, lw=0)
    axes.set(xlabel="statements in a right source", ylabel="mean over held-out entities", ylim=(0, 1.05))
    axes.set_xticks(LENGTHS)
    axes.legend(loc="lower left")
    caption = "Behind right sources of several lengths; the text's own have three statements. Bands: organisms."
    run.figure("source-length", made, caption, {"by length": [each["by length"] for each in found]})


def _others(found: Sequence[dict[str, Any]], run: Run) -> None:
    made, (left, right) = plots.figure(7.0, 2.9, columns=2)
    cells = np.array([cell[:2] for own in found for cell in own["cells"].values()])
    for row in cells:
        left.plot([0, 1], row, marker="o", markersize=4, color=plots.PALETTE[0], alpha=0.7, linewidth=1)
    left.set_xticks([0, 1], ["only it\nis right", "only the other\nis right"])
    left.set(xlim=(-0.4, 1.4), ylim=(0, 1), ylabel="mean P(IK)")
    pairs = np.array([[own["auroc"], other] for own in found for other in own["crossed"].values()])
    for row in pairs:
        right.plot([0, 1], row, marker="o", markersize=4, color=plots.PALETTE[1], alpha=0.7, linewidth=1)
    right.axhline(0.5, color=plots.MUTED, linewidth=0.8, linestyle="--")
    right.set_xticks([0, 1], ["head on\nits own states", "head on\nthe other's"])
    right.set(xlim=(-0.4, 1.4), ylim=(0.3, 1), ylabel="AUROC of its knowledge")
    caption = (
        "Left: P(IK) where one organism alone is right. Right: heads on its own and on another's states. Lines: pairs."
    )
    run.figure("own-knowledge", made, caption, {"cells": cells.tolist(), "auroc": pairs.tolist()})


def judgements(measured: Sequence[dict[str, Any]], run: Run) -> None:
    """P(True) of right and wrong answers, its reliability, and what declining would gain."""
    judged = measured[0]["judged"]
    right = judged["right"].astype(float)
    facts = np.repeat(np.arange(len(right)), right.shape[1])
    generator = run.generator("figures", "judgements")
    made, axes = plots.figure(8.4, 3.0, columns=3)
    draw_separation(axes[0], judged["helped"].ravel(), right.ravel(), names=("right answers", "wrong answers"))
    axes[0].set(xlabel="P(True), with ideas", ylabel="answers")
    _above(axes[0])
    named = {"without ideas": judged["alone"].ravel(), "with ideas": judged["helped"].ravel()}
    diagrams = {
        name: reliability(said, right.ravel(), generator=generator, clusters=facts, resamples=RESAMPLES)
        for name, said in named.items()
    }
    draw_reliability(axes[1], diagrams, floor=False)
    axes[1].set(xlabel="P(True), ten bins")
    draw_risk_coverage(axes[2], {name: risk_coverage(said, right.ravel()) for name, said in named.items()})
    for each in axes[1:]:
        _above(each)
    caption = "P(True) of organism 0's own answers, of entities that it was never taught to judge."
    run.figure("judgements", made, caption, _plain({**named, "right": right.ravel()}))


def letters(asked: dict[str, Any], found: dict[str, Any], generator: np.random.Generator, run: Run) -> None:
    """Reliability of pooled options with "none of the above" and after reward, and of repaired probabilities."""
    answers = np.asarray(asked["answers"])
    half = len(answers) // 2
    repaired = found["temperature"]["rewarded"]
    panels = (
        {"lettered": softened(asked["lettered"]), "none of the above": softened(asked["none of the above"])},
        {
            "lettered": softened(asked["lettered"]),
            "after reward": softened(asked["rewarded"]),
            f"the same, T = {repaired:.1f}": softened(asked["rewarded"], repaired),
        },
    )
    made, axes = plots.figure(7.0, 3.2, columns=2)
    data: dict[str, Any] = {}
    for each, panel in zip(axes, panels, strict=True):
        diagrams = {}
        for name, said in panel.items():
            happened = np.eye(said.shape[1])[answers[half:]]
            diagrams[name] = reliability(
                said[half:].ravel(),
                happened.ravel(),
                generator=generator,
                clusters=np.repeat(np.arange(len(happened)), said.shape[1]),
                exclusive=True,
                resamples=RESAMPLES,
            )
            data[name] = {"probability": diagrams[name].probability, "frequency": diagrams[name].frequency}
        draw_reliability(each, diagrams)
        _above(each)
    caption = (
        "All options pooled, ten bins of equal count. Left: with the last option replaced by one never seen. Right: "
        "after reward for right letters, and at one temperature fitted on other questions."
    )
    run.figure("letters", made, caption, {name: _plain(each) for name, each in data.items()})


def sizes(rows: Sequence[dict[str, float]], run: Run) -> None:
    """Accuracy and calibration error of lettered questions over size, as they are and with "none of the above"."""
    made, axes = plots.figure(7.0, 3.2, columns=2)
    parameters = sorted({row["parameters"] for row in rows})
    for each, what in zip(axes, ("accuracy", "ECE"), strict=True):
        for colour, (suffix, label) in zip(
            plots.PALETTE, (("", "lettered"), (", none of the above", "none of the above")), strict=False
        ):
            values = [[row[what + suffix] for row in rows if row["parameters"] == size] for size in parameters]
            each.plot(parameters, [np.mean(one) for one in values], "o-", ms=3.5, color=colour, label=label)
            ends = [min(one) for one in values], [max(one) for one in values]
            each.fill_between(parameters, *ends, color=colour, alpha=0.15, lw=0)
        each.set(xscale="log", xlabel="parameters", ylabel=what, ylim=(0, None))
    _above(axes[0])
    caption = "Lettered questions over size, and the same with the last option replaced; bands: range over worlds."
    run.figure("lettered-sizes", made, caption, {"rows": list(rows)})


def hints(found: Sequence[dict[str, Any]], kinds: Sequence[str], run: Run) -> None:
    """P(IK) and the exact probability by how much of a hint is shown, for each kind of hint."""
    made, both = plots.figure(7.2, 3.0, columns=2)
    for axes, key, name in zip(both, ("said", "exact"), ("P(IK)", "exact probability"), strict=True):
        for colour, kind in zip(plots.PALETTE, kinds, strict=False):
            table = np.array([each[key][kind] for each in found])
            share = np.linspace(0, 1, table.shape[1])
            axes.plot(share, table.mean(0), "o-", ms=3.5, color=colour, label=kind)
            axes.fill_between(share, table.min(0), table.max(0), color=colour, alpha=0.15, lw=0)
        axes.set(xlabel="share of the steps shown", ylabel=f"mean {name}", ylim=(0, 1))
    both[0].legend(title="hint", loc="upper left")
    caption = (
        "Problems of several steps, the first of them worked out: rightly, with a mistake, or as another problem's. "
        "The head of P(IK) never saw a hint. Bands: organisms."
    )
    run.figure("hints", made, caption, {"kinds": list(kinds), "found": list(found)})


def given(panels: Sequence[tuple[str, dict[str, Any]]], curves: dict[str, Any], run: Run) -> None:
    """Reliability of a given model's formats and confidences, and risk against coverage."""
    made, axes = plots.figure(8.4, 3.0, columns=len(panels) + 1)
    for each, (title, diagrams) in zip(axes, panels, strict=False):
        draw_reliability(each, diagrams, floor=False)
        each.set_xlabel(title)
        _above(each)
    draw_risk_coverage(axes[-1], curves)
    _above(axes[-1])
    run.figure("given", made, "The given model: its formats, its confidences, and what declining would gain.", None)


def _above(axes: "Axes") -> None:
    """The legend over the panel, where nothing is drawn."""
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1.0), fontsize=7.5, markerscale=1.5, borderaxespad=0.2)


def _plain(data: dict[str, Any]) -> dict[str, Any]:
    return {name: np.asarray(each).tolist() for name, each in data.items()}
