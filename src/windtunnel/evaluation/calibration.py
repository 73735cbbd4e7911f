"""Charts of calibration: reliability with its floor, risk against coverage, P(IK) of what is known and what is not."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from windtunnel.laboratory.plots import MUTED, PALETTE
from windtunnel.statistics.calibration import Floor, Reliability, brier, calibration_error, calibration_floor
from windtunnel.statistics.selection import RiskCoverage, area_under_risk, auroc, selective_accuracy

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw_reliability(axes: "Axes", diagrams: Mapping[str, Reliability], *, floor: bool = True) -> None:
    """Frequency against probability, by bin, with intervals; shaded: where a perfect predictor's bins lie.

    Args:
        axes: Where to draw.
        diagrams: By the name in the legend; the floor drawn is the first one's.
        floor: Draw it.
    """
    axes.plot([0, 1], [0, 1], color=MUTED, linewidth=0.8, linestyle="--")
    if floor and diagrams:
        first = next(iter(diagrams.values()))
        axes.fill_between(first.probability, *first.floor, color=MUTED, alpha=0.25, linewidth=0)
    for index, (name, found) in enumerate(diagrams.items()):
        ends = np.abs(found.interval - found.frequency)
        colour = PALETTE[index % len(PALETTE)]
        style: dict[str, Any] = {"marker": "o", "markersize": 3.5, "linewidth": 1.2, "elinewidth": 0.8, "capsize": 0}
        axes.errorbar(found.probability, found.frequency, yerr=ends, color=colour, label=name, **style)
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="probability said", ylabel="share right")
    if len(diagrams) > 1:
        axes.legend(loc="upper left")


def draw_risk_coverage(axes: "Axes", curves: Mapping[str, RiskCoverage]) -> None:
    """Share wrong among the answered against the share answered."""
    for name, found in curves.items():
        axes.plot(found.coverage, found.risk, label=name, linewidth=1.2)
    axes.set(xlim=(0, 1), ylim=(0, None), xlabel="share of questions answered", ylabel="share of them wrong")
    axes.legend(loc="best")


def draw_separation(axes: "Axes", confidence: ArrayLike, correct: ArrayLike, *, names: tuple[str, str]) -> None:
    """Histograms of a confidence where the answer is right and where it is wrong."""
    said, right = np.asarray(confidence), np.asarray(correct).astype(bool)
    bins = [edge / 20 for edge in range(21)]
    for name, chosen, colour in ((names[0], right, PALETTE[0]), (names[1], ~right, PALETTE[1])):
        axes.hist(said[chosen], bins=bins, color=colour, alpha=0.6, label=name)
    axes.set(xlim=(0, 1), xlabel="confidence", ylabel="questions")
    axes.legend(loc="best")


def summary(
    name: str,
    confidence: ArrayLike,
    correct: ArrayLike,
    *,
    generator: np.random.Generator,
    clusters: Any = None,
    resamples: int = 1_000,
) -> dict[str, Any]:
    """One row of a table: every number of a confidence in being right, with intervals and the floor beside the ECE."""
    options: dict[str, Any] = {"generator": generator, "clusters": clusters, "resamples": resamples}
    said, right = np.asarray(confidence, dtype=np.float64), np.asarray(correct, dtype=np.float64)
    floor = calibration_floor(said, generator=generator, simulations=400)
    return {
        "confidence": name,
        "questions": len(right),
        "right": float(right.mean()),
        "ECE": str(calibration_error(said, right, **options)),
        "floor": shown(floor),
        "ECE, equal width": str(calibration_error(said, right, scheme="equal-width", **options)),
        "RMS": str(calibration_error(said, right, norm="root-mean-square", **options)),
        "Brier": str(brier(said, right, **options)),
        "AUROC": str(auroc(said, right, **options)),
        "AURC": str(area_under_risk(said, right, **options)),
        "E-AURC": str(area_under_risk(said, right, excess=True, **options)),
        "right at half coverage": str(selective_accuracy(said, right, 0.5, **options)),
    }


def shown(floor: Floor) -> str:
    """A floor as its mean and its upper end."""
    return f"{floor.mean:.3f} (up to {floor.high:.3f})"
