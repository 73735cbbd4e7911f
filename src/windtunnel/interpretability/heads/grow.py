"""Training a model while its heads are measured at every snapshot."""

import copy
from typing import Any

import numpy as np

from windtunnel.data.sources import Source
from windtunnel.interpretability.heads.analysis import analysis_table
from windtunnel.interpretability.heads.probes import Material
from windtunnel.interpretability.heads.snapshots import measure, series
from windtunnel.laboratory.run import Run
from windtunnel.models.checkpoint import Savable
from windtunnel.models.interface import from_module
from windtunnel.models.transformer import Transformer
from windtunnel.training.configuration import TrainingConfig
from windtunnel.training.loop import train
from windtunnel.training.objectives.next_token import next_token


def grow(
    module: Transformer,
    source: Source,
    material: Material,
    training: TrainingConfig,
    run: Run,
    *,
    generator: np.random.Generator,
    controls: int = 4,
    tokenizer: Savable | None = None,
) -> dict[str, Any]:
    """Train a model on next tokens, measure it on the evaluation grid, and analyse it at the end.

    Args:
        module: Trained in place.
        source: What it learns from.
        material: What it is measured on.
        training: The settings; `evaluate_every` is the grid.
        run: Keeps checkpoints and evaluations; its device is used.
        generator: Draws the control sets of `analysis_table`.
        controls: As there.
        tokenizer: Saved in every checkpoint.

    Returns:
        `trajectory` and `table`: the fields of a `Growth`.
    """
    before = from_module(copy.deepcopy(module).to(run.device).eval())
    model = from_module(module)
    result = train(
        module,
        next_token,
        source,
        training,
        run=run,
        evaluate=lambda trained, step: measure(model, material),
        device=run.device,
        tokenizer=tokenizer,
    )
    table = analysis_table(model, material, generator=generator, before=before, controls=controls)
    return {"trajectory": series(result.evaluations), "table": table}
