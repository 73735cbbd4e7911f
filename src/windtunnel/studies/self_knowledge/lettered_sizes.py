"""Section 3 over size: accuracy and calibration of lettered questions in narrower models of the same worlds."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from windtunnel.evaluation.behaviour import Measured, trends
from windtunnel.laboratory.run import Run
from windtunnel.laboratory.sweeps import Backend, sweep, values
from windtunnel.models.counting import count_parameters
from windtunnel.statistics import calibration_error, softened
from windtunnel.studies.self_knowledge import figures
from windtunnel.studies.self_knowledge.lettered import Member, learn, most_probable

if TYPE_CHECKING:
    from windtunnel.studies.self_knowledge import Config

Rows = list[dict[str, float]]
"""Of each model: its parameters, and accuracy and calibration error of both formats."""


def study_sizes(members: Sequence[Member], asked: Sequence[dict[str, Any]], config: "Config", run: Run) -> None:
    """Train narrower models of the worlds of `members`, which have been asked, and test the trend of calibration."""
    narrower = [
        Member(each.number, width, config, each.run.child(f"width-{width}"), each.world_seed)
        for width in sorted(config.lettered_widths, reverse=True)
        for each in members
    ]
    backend: Backend = "processes" if run.workers > 1 else "in-process"
    with run.watch([each.run for each in narrower]):
        more = values(sweep(ask_narrower, narrower, backend=backend, workers=run.workers))
    generator = run.generator("lettered-sizes")
    rows = [
        {"parameters": float(count_parameters(member.shape).non_embedding), **_measure(found, generator)}
        for member, found in zip([*narrower, *members], [*more, *asked], strict=True)
    ]
    figures.sizes(rows, run)
    measured = [Measured("ECE", row["parameters"], row["ECE"]) for row in rows]
    if len({row["parameters"] for row in rows}) < 2 or len(rows) < 3:
        run.conclude("calibration-with-size", note="A trend needs models of two sizes; set lettered_widths.")
        return
    slope = trends(measured, generator=generator)[0].slope
    run.conclude("calibration-with-size", slope, evidence="lettered-sizes")


def ask_narrower(member: Member) -> dict[str, Any]:
    """Train one model and keep its logits of the letters; a finished one is read back."""
    return member.run.stage("asked", lambda: learn(member)[2])


def _measure(asked: dict[str, Any], generator: np.random.Generator) -> dict[str, float]:
    answers = np.asarray(asked["answers"])
    row = {}
    for name, suffix in (("lettered", ""), ("none of the above", ", none of the above")):
        top, right = most_probable(softened(asked[name]), answers)
        row[f"accuracy{suffix}"] = float(right.mean())
        row[f"ECE{suffix}"] = calibration_error(top, right, generator=generator, resamples=2).value
    return row
