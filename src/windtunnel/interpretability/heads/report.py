"""The Model Analysis Table as a report: which figures and tables a run shows of its models' heads."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from windtunnel.interpretability.heads import figures
from windtunnel.interpretability.heads.effects import gain_removed
from windtunnel.interpretability.heads.growth import Growth
from windtunnel.interpretability.heads.scores import strongest
from windtunnel.interpretability.heads.trajectories import LossTrajectories, loss_trajectories
from windtunnel.laboratory.run import Run

Grown = Mapping[str, Sequence[Growth]]
"""Models by kind, one per seed."""

CURVES = {
    "prefix matching, best head": "prefix_matching",
    "previous token, best head": "previous_token",
    "in-context-learning score (nats)": None,
}


def joint_trajectories(grown: Grown) -> list[LossTrajectories]:
    """Principal components of per-token losses, joint over the models of each seed, which share their tokens."""
    seeds = len(next(iter(grown.values())))
    return [
        loss_trajectories([models[seed].trajectory["marked_losses"] for models in grown.values()])
        for seed in range(seeds)
    ]


def show_formation(grown: Grown, run: Run) -> None:
    """The figures of models over training."""
    first = {name: models[0] for name, models in grown.items()}
    steps = next(iter(first.values())).steps
    windows = {name: _span(growth) for name, growth in first.items()}
    curves = {
        title: {
            name: [growth.in_context if score is None else growth.highest(score) for growth in models]
            for name, models in grown.items()
        }
        for title, score in CURVES.items()
    }
    run.figure(
        "formation",
        figures.formation(steps, curves, windows),
        "What the heads attend to, and how much the model learns from its context, over training. Thin lines: seeds; "
        "thick: their mean; shaded: the phase window of the first seed, where there is one.",
        data={"steps": steps, "curves": curves, "windows": windows},
    )
    run.table("phase-windows", _window_rows(grown, run), "Phase windows, with intervals over evaluation sequences.")
    repeated = {name: [growth.table["whole"]["repeated"][0] for growth in models] for name, models in grown.items()}
    probe = next(iter(first.values())).table
    run.figure(
        "copies",
        figures.repeated_losses(repeated, probe["copy_length"], probe["bos"]),
        "Loss on random tokens said again, at the end of training. Thick: mean of a copy; bands: range over seeds.",
        data=repeated,
    )
    joint = joint_trajectories(grown)[0]
    inside = {name: [_inside(growth)] for name, growth in first.items()}
    paths = {name: [path] for name, path in zip(first, joint.coordinates, strict=True)}
    run.figure(
        "per-token-losses",
        figures.plane(paths, inside, joint.explained),
        "Per-token losses of all snapshots of the first seed, in the plane of their two main directions.",
        data={"paths": paths, "inside": inside, "explained": joint.explained},
    )
    surfaces = {name: growth.trajectory["loss_by_index"] for name, growth in list(first.items())[:4]}
    run.figure(
        "loss-surface",
        figures.loss_surfaces(steps, surfaces),
        "Loss by training step and place in the context, and how fast it falls with the logarithm of that place "
        "(blue: tokens later in the context are easier).",
        data={"steps": steps, "loss_by_index": surfaces},
    )


def show_heads(name: str, table: Mapping[str, Any], run: Run, *, key: str) -> None:
    """The figures of one model's heads.

    Args:
        name: What the report calls the model.
        table: From `analysis_table`.
        run: Where to show them.
        key: Begins the names of the figures.
    """
    measured = table["measured"]
    maps = {
        "prefix matching": measured["prefix_matching"],
        "copying": measured["copying"],
        "previous token": measured["previous_token"],
        "OV eigenvalues": measured["copying_eigenvalues"],
    }
    run.figure(f"{key}-heads", figures.head_maps(maps), f"Scores of every head of {name}.", data=maps)
    best = strongest(measured["prefix_matching"], 1)[0]
    run.figure(
        f"{key}-pattern",
        figures.attention_pattern(
            table["pattern"], table["copy_length"], table["bos"], f"{name}: layer {best[0]}, head {best[1]}"
        ),
        f"Attention of the strongest induction head of {name} on random tokens said again: the stripe is one place "
        "after the earlier occurrence of the token. Lines: where a copy begins.",
        data={"pattern": table["pattern"]},
    )
    whole = table["whole"]["copies"][0]
    removed = {
        kind: np.stack([gain_removed(whole, copies) for copies in table[kind]["copies"]])
        for kind in ("full", "preserved")
    }
    groups = [int(layer) for layer, _ in table["heads"]]
    labels = [f"{layer}.{head}" for layer, head in table["heads"].tolist()]
    run.figure(
        f"{key}-ablations",
        figures.ablation_bars(labels, removed["full"], removed["preserved"], groups),
        f"Share of what {name} gains on the second copy that ablating one head (layer.head) removes. Lines: "
        "middle half of the probes.",
        data={"heads": labels, **removed},
    )
    run.table(f"{key}-top-heads", head_rows(table, 12), f"The strongest heads of {name} by prefix matching.")


def head_rows(table: Mapping[str, Any], count: int) -> list[dict[str, Any]]:
    """Scores of the strongest heads, and what ablating them does where it was measured."""
    measured = table["measured"]
    whole = table["whole"]["copies"][0]
    place = {tuple(head): index for index, head in enumerate(table["heads"].tolist())}
    rows = []
    for head in strongest(measured["prefix_matching"], count):
        row: dict[str, Any] = {"layer": head[0], "head": head[1]}
        for name in (
            "prefix_matching",
            "prefix_matching_paper",
            "copying",
            "copying_eigenvalues",
            "previous_token",
            "qk_trace",
        ):
            row[name.replace("_", " ")] = float(measured[name][head])
        if head in place:
            index = place[head]
            for kind, label in (("full", "gain removed"), ("preserved", "gain removed, patterns preserved")):
                row[label] = float(gain_removed(whole, table[kind]["copies"][index]).mean())
            if np.isfinite(table["full"]["undone"][index]):
                row["training undone"] = float(table["full"]["undone"][index])
            row["in-context score change"] = float(
                (table["full"]["in_context"][index] - table["whole"]["in_context"][0]).mean()
            )
        rows.append(row)
    return rows


def _window_rows(grown: Grown, run: Run) -> list[dict[str, Any]]:
    rows = []
    for name, models in grown.items():
        for seed, growth in enumerate(models):
            row: dict[str, Any] = {"model": name, "seed": seed}
            found = growth.window_interval(run.generator("window", name, seed))
            row["start"] = str(found[0]) if found else "no phase change"
            row["end"] = str(found[1]) if found else ""
            row["share of the score inside"] = growth.window.share if growth.window else None
            row["heads match from step"] = growth.onset
            row["best prefix matching"] = float(growth.highest("prefix_matching")[-1])
            row["loss of first copy"], row["of second"] = float(growth.copies[0]), float(growth.copies[1])
            if "smear" in growth.trajectory:
                row["own share of each key"] = growth.trajectory["smear"][-1].ravel().tolist()
            rows.append(row)
    return rows


def _span(growth: Growth) -> tuple[float, float] | None:
    window = growth.window
    return None if window is None else (window.start, window.end)


def _inside(growth: Growth) -> Any:
    span = _span(growth)
    if span is None:
        return np.zeros(len(growth.steps), dtype=bool)
    return (growth.steps >= span[0]) & (growth.steps <= span[1])


def show_given(name: str, table: Mapping[str, Any], run: Run) -> None:
    """What a given model loses on repeated tokens without its induction heads, and its loss along natural text."""
    repeated = {
        name: list(table["whole"]["repeated"]),
        "without its induction heads": list(table["together"]["repeated"]),
        "without as many other heads": list(table["random"]["repeated"]),
    }
    run.figure(
        "given-copies",
        figures.repeated_losses(repeated, table["copy_length"], table["bos"]),
        f"Loss on random tokens said again, without the {len(table['induction'])} strongest induction heads, and "
        "without as many other heads (band: range over random sets). Thick: mean of a copy.",
        data=repeated,
    )
    losses = table["measured"]["loss_by_index"]
    run.figure(
        "given-loss",
        figures.loss_by_index(losses),
        "Loss along held-out sequences: falling as far as the context helps.",
        data={"loss_by_index": losses},
    )
