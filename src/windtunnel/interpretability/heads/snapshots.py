"""Everything measured of one snapshot of a model, and a series of snapshots as arrays over steps."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from windtunnel.interpretability.heads.ablation import losses_without
from windtunnel.interpretability.heads.losses import copy_losses, in_context_score
from windtunnel.interpretability.heads.probes import Material
from windtunnel.interpretability.heads.scores import score_heads, smear_weights
from windtunnel.models.interface import LanguageModel, load

Measured = dict[str, NDArray[np.float64]]

PREVIOUS_TOKEN_SEQUENCES = 16
"""Sequences of the text on which the previous-token score is taken."""


@torch.no_grad()
def measure(model: LanguageModel, material: Material) -> Measured:
    """Measure one model.

    Returns:
        `loss_by_index` [predicted]: mean loss of each token index from 1; `in_context` [sequences]; `marked_losses`
        [sequences]: the loss of each sequence's marked token; `copies` [probes, copies]: loss of each copy of the
        repeated tokens; the scores of `HeadScores`, each [layers, heads]; and `smear` [layers, key-value heads] where
        the model has smeared keys.
    """
    losses = losses_without(model, material.text)
    probe = material.repeated
    copies = copy_losses(losses_without(model, probe.tokens), probe.length, probe.copies)
    scores = score_heads(model, probe, material.text[:PREVIOUS_TOKEN_SEQUENCES])
    marked = losses.gather(1, (material.marked - 1)[:, None].to(losses.device))[:, 0]
    measured = {
        "loss_by_index": _array(losses.mean(dim=0)),
        "in_context": _array(in_context_score(losses, material.windows)),
        "marked_losses": _array(marked),
        "copies": _array(copies),
        **scores.as_dict(),
    }
    smear = smear_weights(model)
    return measured if smear is None else {**measured, "smear": smear}


def series(snapshots: Sequence[dict[str, Any]]) -> Measured:
    """Stack the measurements of a model's snapshots, each with its "step", along a first axis."""
    return {name: np.stack([np.asarray(snapshot[name], float) for snapshot in snapshots]) for name in snapshots[0]}


def checkpoint_series(directory: str | Path) -> list[tuple[int, Path]]:
    """Steps and directories of the checkpoints that a training left, oldest first.

    Args:
        directory: A training's run, or the folder of its checkpoints.

    Returns:
        Nothing where the directory holds no `step-...` checkpoints.
    """
    found = sorted(Path(directory).glob("step-*")) or sorted(Path(directory).glob("checkpoints/step-*"))
    return [(int(path.name.removeprefix("step-")), path) for path in found]


def measure_series(checkpoints: Sequence[tuple[int, Path]], material: Material, device: str = "cpu") -> Measured:
    """Measure checkpoints one after the other; the result is like that of `series`."""
    return series([{"step": step, **measure(load(path, device=device), material)} for step, path in checkpoints])


def _array(values: torch.Tensor) -> NDArray[np.float64]:
    return np.asarray(values.detach().cpu().double().numpy())
