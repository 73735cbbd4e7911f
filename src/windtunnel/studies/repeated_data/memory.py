"""Beyond the paper: secrets that were planted so often, and regularisation against the harm of repetition."""

from typing import TYPE_CHECKING, Any

import numpy as np

from windtunnel.interpretability.heads.growth import over_seeds
from windtunnel.laboratory import plots
from windtunnel.laboratory.run import Run

if TYPE_CHECKING:
    from windtunnel.studies.repeated_data.text import Table

HARMED = 0.05
"""Nats above its control from which a model is harmed enough to ask what helps."""


def conclude_canaries(table: "Table", run: Run) -> None:
    """The exposure of secrets by how often they were seen."""
    config = table.config
    run.section("Canaries", "Random secrets planted in unrepeated text, each seen so many times.")
    repeats = np.array(config.canary_repeats)
    found = np.array(  # [seed, repeats]
        [row["exposures"].reshape(len(repeats), -1).mean(1) for row in table.of("canaries")]
    )
    figure, axes = plots.figure()
    axes.fill_between(repeats, found.min(0), found.max(0), alpha=0.2, lw=0)
    axes.plot(repeats, found.mean(0), "o-", label="planted secrets")
    axes.axhline(np.log2(np.e), color=plots.MUTED, ls="--", lw=1, label="not remembered")
    axes.axhline(10, color=plots.MUTED, ls=":", lw=1, label="the likeliest of 1,024")
    axes.set(xscale="log", xlabel="times seen", ylabel="exposure (bits)")
    axes.legend()
    caption = f"Exposure of {config.canaries_each} secrets for each number of repeats; shaded: range over seeds."
    run.figure("canaries", figure, caption, {"repeats": repeats.tolist(), "exposure": found.tolist()})
    note = f"From {repeats[0]} to {repeats[-1]} times seen. Interval: range over seeds."
    run.conclude("canaries", over_seeds(found[:, -1] - found[:, 0]), evidence="canaries", note=note)


def conclude_mitigation(table: "Table", run: Run) -> None:
    """What is left of the harm with strong regularisation, each model against a control regularised alike."""
    config, share = table.config, table.config.fractions[-1]
    rows: list[dict[str, Any]] = []
    left: dict[str, np.ndarray] = {}

    def harm(mitigation: str) -> np.ndarray:
        damaged = table.of("repeated", fraction=share, repeats=config.tuning_repeats, mitigation=mitigation)
        control = table.of("control", mitigation=mitigation)
        pairs = zip(damaged, control, strict=True)
        return np.array([one["test"][-1] - other["test"][-1] for one, other in pairs])

    plain = harm("")
    for mitigation in config.mitigations:
        found = harm(mitigation)
        left[mitigation] = found / plain
        control = float(np.mean([row["test"][-1] for row in table.of("control", mitigation=mitigation)]))
        rows.append({"against": mitigation, "harm (nats)": float(found.mean()), "its control": control})
    without = float(np.mean([row["test"][-1] for row in table.of("control")]))
    rows.append({"against": "nothing", "harm (nats)": float(plain.mean()), "its control": without})
    run.table("mitigation", rows, f"Harm of {config.tuning_repeats} repeats of {share:.0%}; means over seeds.")
    best = min(left, key=lambda name: float(left[name].mean()))
    note = f"By {best}, at {config.tuning_repeats} repeats. Interval: range over seeds."
    if plain.min() < HARMED:
        run.conclude("mitigation", np.nan, note=f"Judged only where the harm is {HARMED} nats in every seed.")
    else:
        run.conclude("mitigation", over_seeds(left[best]), note=note)
