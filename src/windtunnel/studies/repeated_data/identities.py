"""What holds without training: the published band, the calculators, and the regression companion."""

from typing import TYPE_CHECKING

import numpy as np

from windtunnel.laboratory import plots
from windtunnel.laboratory.run import Run
from windtunnel.scaling.laws.repetition import break_even_share
from windtunnel.scaling.repetition.band import HERNANDEZ
from windtunnel.scaling.repetition.calculator import predict
from windtunnel.scaling.repetition.duplicates import DuplicatedRegression
from windtunnel.scaling.repetition.effective_size import ControlLadder
from windtunnel.statistics.estimates import Estimate

if TYPE_CHECKING:
    from windtunnel.studies.repeated_data import Config

PUBLISHED = {8e8: (43, 1800), 1e11: (2.9, 161)}
"""Edges of the band by size."""

REPEATS = (1, 2, 4, 8, 16, 40, 100, 200)
"""Repeats at which the regression is solved."""

FRACTIONS = (0.5, 0.1)


def check_instruments(config: "Config", run: Run) -> None:
    """The claims that need no model."""
    run.section("The instruments", "The published band and energetics, and a regression that shows the same peak.")
    errors = [
        abs(found / published - 1)
        for size, edges in PUBLISHED.items()
        for found, published in zip(HERNANDEZ.edges(size), edges, strict=True)
    ]
    run.conclude("band-edges", max(errors))
    run.conclude("band-place", float(predict(8e8, 1e11, 0.1, 100).place == "inside"))
    run.conclude("break-even", break_even_share(2.0, 2.2))
    sizes = np.geomspace(1e6, 1e9, 7)
    ladder = ControlLadder.fit(sizes, _planted(sizes))
    planted = [(n, share) for n in np.geomspace(1e7, 8e8, 9) for share in (0.1, 0.25, 0.5, 0.8)]
    found = [ladder.invert(float(_planted(np.array(n * share))), n).multiplier / share for n, share in planted]
    run.conclude("inversion", float(np.abs(np.array(found) - 1).max()), note="The worst of 36 planted multipliers.")
    companion(config, run)


def _planted(sizes: np.ndarray) -> np.ndarray:
    """A loss of undamaged models, nats."""
    return np.asarray(1.7 + (1.5e7 / sizes) ** 0.3)


def companion(config: "Config", run: Run) -> None:
    """The regression on duplicates: simulated, and in closed form."""

    def solve() -> dict[str, list[list[list[float]]]]:
        rows = []
        for fraction in FRACTIONS:
            model = DuplicatedRegression(fraction=fraction)
            simulated = [model.simulate(r, run.generator("regression", fraction, r), config.draws) for r in REPEATS]
            rows.append(
                [
                    [model.risk(r), float(risks.mean()), float(risks.std(ddof=1) / len(risks) ** 0.5)]
                    for r, risks in zip(REPEATS, simulated, strict=True)
                ]
            )
        return {"risks": rows}

    half, tenth = (np.array(rows) for rows in run.stage("regression", solve)["risks"])
    figure, axes = plots.figure(height=3.2)
    for fraction, table, colour in zip(FRACTIONS, (half, tenth), plots.PALETTE, strict=False):
        axes.plot(REPEATS, table[:, 0], color=colour, label=f"{fraction:.0%} repeated, closed form")
        axes.errorbar(REPEATS, table[:, 1], 1.96 * table[:, 2], fmt="o", ms=4, color=colour, label="simulated")
    axes.set(xscale="log", xlabel="repeats of each copied row", ylabel="risk, noise excluded")
    axes.legend(ncols=2)
    caption = "Linear regression on 400 rows of which a part are copies: the same peak, in closed form and simulated."
    run.figure("regression", figure, caption, {"repeats": REPEATS, "half": half.tolist(), "tenth": tenth.tolist()})
    mean, error, at, last = half[:, 1], half[:, 2], REPEATS.index(16), len(REPEATS) - 1
    ratio = mean[at] / mean[0]
    spread = 1.96 * ratio * np.hypot(error[at] / mean[at], error[0] / mean[0])
    run.conclude("regression-peak", Estimate(ratio, ratio - spread, ratio + spread), evidence="regression")
    fall, spread = mean[at] - mean[last], 1.96 * np.hypot(error[at], error[last])
    run.conclude("regression-interior", Estimate(fall, fall - spread, fall + spread), evidence="regression")
    worst = np.abs(np.concatenate([half, tenth])[:, 1] / np.concatenate([half, tenth])[:, 0] - 1).max()
    run.conclude("regression-closed-form", float(worst), evidence="regression", note="The worst of 16 risks.")
