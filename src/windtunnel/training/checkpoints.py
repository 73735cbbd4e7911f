"""Checkpoints a killed training resumes from, exactly: weights, optimizer and step; each whole or not there."""

import os
import shutil
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)

from windtunnel.laboratory.errors import DataError
from windtunnel.laboratory.files import explained, read_json, write_json
from windtunnel.models.checkpoint import WEIGHTS_FILE, Savable, read_weights, write_config, write_weights
from windtunnel.models.transformer import Transformer

OPTIMIZER_FILE = "optimizer.safetensors"
STATE_FILE = "training.json"
WHOLE = StateDictOptions(full_state_dict=True, cpu_offload=True)
KEEP = 2
"""Checkpoints kept to resume from, newest first; snapshots are kept for good."""


def path_of(folder: Path, step: int) -> Path:
    """Where the checkpoint of a step lies."""
    return folder / f"step-{step:08d}"


def write(
    folder: Path,
    step: int,
    model: nn.Module,
    optimizers: list[torch.optim.Optimizer] | None,
    facts: dict[str, Any],
    write: bool = True,
    tokenizer: Savable | None = None,
) -> Path:
    """Write a checkpoint; without optimizers it is a snapshot, which cannot be resumed from.

    Args:
        folder: Holds all checkpoints of one training.
        step: Optimizer steps taken.
        model: Its weights are kept, with its config where it is a `Transformer`; gathered first where sharded.
        optimizers: Their states are kept.
        facts: What must agree for a resumption.
        write: False in all processes but one: they only take part in the gathering.
        tokenizer: Saved beside the weights.
    """
    final = path_of(folder, step)
    partial = final.with_name(f".{final.name}.partial")
    weights = cast(dict[str, Tensor], get_model_state_dict(model, options=WHOLE))
    state = {} if optimizers is None else get_optimizer_state_dict(model, optimizers, options=WHOLE)
    if not write:
        return final
    shutil.rmtree(partial, ignore_errors=True)
    with explained(final):
        partial.mkdir(parents=True)
        write_weights(partial / WEIGHTS_FILE, weights)
        inner = model.module if isinstance(model, nn.parallel.DistributedDataParallel) else model
        if isinstance(inner, Transformer):
            write_config(partial, inner.config)
        if tokenizer is not None:
            tokenizer.save(partial)
        if optimizers is not None:
            write_weights(partial / OPTIMIZER_FILE, _tensors(state))
            write_json(partial / STATE_FILE, {"facts": facts})
        if final.exists():
            shutil.rmtree(final)
        os.replace(partial, final)
    return final


def resumable(folder: Path) -> list[Path]:
    """Checkpoints that can be resumed from, oldest first."""
    return sorted(path.parent for path in folder.glob(f"step-*/{STATE_FILE}"))


def prune(folder: Path, snapshots: tuple[int, ...]) -> None:
    """Keep the newest checkpoints and all snapshots; a snapshot that is no longer needed loses its optimizer."""
    for path in resumable(folder)[:-KEEP]:
        if step_of(path) in snapshots:
            (path / STATE_FILE).unlink()
            (path / OPTIMIZER_FILE).unlink(missing_ok=True)
        else:
            shutil.rmtree(path)


def restore(path: Path, model: nn.Module, optimizers: list[torch.optim.Optimizer], facts: dict[str, Any]) -> int:
    """Load a checkpoint into a model and its optimizers; returns the step.

    Raises:
        DataError: It is damaged, of another model, or of a training with other settings.
    """
    before = facts_of(path)
    for name, value in facts.items():
        if before.get(name) != value:
            raise DataError(
                f"{path} was trained with {name} {before.get(name)!r}, not {value!r}; "
                "train in another directory or repeat the first settings."
            )
    weights, tensors = read_weights(path / WEIGHTS_FILE), read_weights(path / OPTIMIZER_FILE)
    try:
        set_model_state_dict(model, cast(dict[str, Any], weights), options=WHOLE)
        held = get_optimizer_state_dict(model, optimizers, options=StateDictOptions(full_state_dict=True))
        state = cast(Any, {**held, "state": _nested(tensors)})
        set_optimizer_state_dict(model, optimizers, state, options=WHOLE)
    except (RuntimeError, KeyError, ValueError) as error:
        first = str(error).strip().splitlines()[-1].strip()
        raise DataError(f"{path} does not fit this model ({first}); train in another directory.") from error
    return step_of(path)


def facts_of(path: Path) -> dict[str, Any]:
    """The settings a checkpoint was trained with.

    Raises:
        DataError: The checkpoint is damaged.
    """
    state = read_json(path / STATE_FILE)
    if not isinstance(state, dict) or not isinstance(state.get("facts"), dict):
        raise DataError(f"{path / STATE_FILE} is not a training's state; remove {path} to resume from an earlier one.")
    return dict(state["facts"])


def step_of(path: Path) -> int:
    """The number of optimizer steps in a checkpoint's name."""
    return int(path.name.removeprefix("step-"))


def _tensors(state: dict[str, Any]) -> dict[str, Tensor]:
    """Optimizer states as tensors named `<parameter>|<state>`."""
    return {
        f"{parameter}|{name}": torch.as_tensor(value)
        for parameter, values in state["state"].items()
        for name, value in values.items()
    }


def _nested(tensors: dict[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """The inverse of `_tensors`."""
    nested: dict[str, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        parameter, _, name = key.rpartition("|")
        nested.setdefault(parameter, {})[name] = value
    return nested
