"""A study small enough for tests: it estimates a mean in stages, logs, draws and concludes."""

import time

import numpy as np
from pydantic import Field

from windtunnel.laboratory import plots
from windtunnel.laboratory.claims import AtLeast, AtMost, Claim
from windtunnel.laboratory.run import Run
from windtunnel.laboratory.study import Study, StudyConfig


class Config(StudyConfig):
    stages: int = Field(6, ge=1, le=100, description="how many samples are drawn")
    pause: float = Field(0.0, ge=0, description="seconds of pretended work per stage")
    shift: float = Field(1.0, description="true mean")


PRESETS = {"quick": Config(), "full": Config(stages=20), "paper": Config(stages=100)}

CLAIMS = [
    Claim("mean-is-large", "The mean is at least a half.", "Section 1", AtLeast(0.5, "units")),
    Claim("mean-is-small", "The mean is < 3 & 'small'.", "Section 2", AtMost(3.0)),
    Claim("never-measured", "Something else holds.", "Section 3", AtLeast(1.0)),
]

STUDY = Study("tiny", "A <tiny> study", "Nobody, 2026", "0000.00000", module="tiny_study")


def run(config: Config, run: Run) -> None:
    run.section("Drawing <samples>", "Each stage draws a thousand numbers & keeps them.")
    means = []
    with run.progress("drawing", config.stages) as task:
        for stage in range(config.stages):

            def draw(stage: int = stage) -> dict[str, object]:
                time.sleep(config.pause)
                shift = 0.0 if run.null else config.shift
                return {"values": run.generator("draw", stage).normal(shift, 1.0, size=1000), "stage": stage}

            values = run.stage(f"draw-{stage}", draw)["values"]
            means.append(float(values.mean()))
            run.log(stage, mean=means[-1])
            task.update(stage + 1, mean=means[-1])
    figure, axes = plots.figure()
    axes.plot(means, label="mean <script>alert(1)</script>")
    axes.legend()
    run.figure("means", figure, "Means & their <order>.", data={"means": means})
    run.table("means", [{"stage": index, "mean": mean} for index, mean in enumerate(means)], "All means.")
    mean, error = float(np.mean(means)), 2 * float(np.std(means)) / len(means) ** 0.5
    run.conclude("mean-is-large", mean, interval=(mean - error, mean + error), evidence="means")
    run.conclude("mean-is-small", mean, interval=(mean - error, mean + error))
