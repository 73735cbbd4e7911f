"""Checkpoint directories of the from-scratch decoder: config.json and model.safetensors."""

import json
from pathlib import Path
from typing import Any, Protocol

import safetensors.torch
from pydantic import ValidationError
from safetensors import SafetensorError
from torch import Tensor

from windtunnel.laboratory.errors import DataError
from windtunnel.laboratory.files import read_json, write_atomic, write_json
from windtunnel.models.transformer import Transformer, TransformerConfig

MODEL_TYPE = "windtunnel"
CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"


class Savable(Protocol):
    """A tokenizer that can write itself into a directory."""

    def save(self, directory: Path) -> None:
        """Write the tokenizer's files."""


def save(module: Transformer, directory: str | Path, tokenizer: Savable | None = None) -> None:
    """Write a checkpoint that `Transformer.from_directory` and `load` read.

    Each file appears whole or not at all; the config is written last, so a directory with a config is complete.

    Args:
        module: The decoder.
        directory: Made if needed.
        tokenizer: Saved beside the weights.
    """
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    if tokenizer is not None:
        tokenizer.save(directory)
    write_weights(directory / WEIGHTS_FILE, module.state_dict())
    write_config(directory, module.config)


def write_config(directory: Path, config: TransformerConfig) -> None:
    """Write a decoder's config where `save` puts it."""
    write_json(directory / CONFIG_FILE, {"model_type": MODEL_TYPE, **config.model_dump()})


def write_weights(path: Path, weights: dict[str, Tensor]) -> None:
    """Write tensors as safetensors, atomically."""
    kept = {name: weight.detach().contiguous().cpu() for name, weight in weights.items()}
    write_atomic(path, safetensors.torch.save(kept, metadata={"format": "pt"}))


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file onto the CPU.

    Raises:
        DataError: It is missing or cut short.
    """
    try:
        return dict(safetensors.torch.load_file(path))
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist; the checkpoint has no weights, so choose another one.") from error
    except (SafetensorError, OSError, ValueError, json.JSONDecodeError) as error:
        raise DataError(
            f"{path} is not a whole safetensors file ({error}); copy it again or go back to an earlier checkpoint."
        ) from error


def load_transformer(directory: Path) -> Transformer:
    """Load what `save` wrote.

    Raises:
        DataError: Another architecture, a config that is not one, weights that are missing, cut short or of
            another shape.
    """
    config = read_config(directory)
    weights = read_weights(directory / WEIGHTS_FILE)
    module = Transformer(config)
    expected = module.state_dict()
    for name in [*expected, *weights]:
        if name not in weights or name not in expected:
            where = "has no" if name not in weights else "has an unexpected"
            raise DataError(
                f"{directory / WEIGHTS_FILE} {where} tensor {name!r}, which its config.json "
                f"{'needs' if name in expected else 'does not describe'}; the two files do not belong together."
            )
        held, needed = tuple(weights[name].shape), tuple(expected[name].shape)
        if held != needed:
            raise DataError(
                f"{directory / WEIGHTS_FILE} holds {name!r} of shape {held} where its config.json says {needed}; "
                "the two files do not belong together."
            )
    module.load_state_dict(weights)
    return module.eval()


def read_config(directory: Path) -> TransformerConfig:
    """The config of a checkpoint directory.

    Raises:
        DataError: It is missing, of another architecture or not valid.
    """
    path = directory / CONFIG_FILE
    found: Any = read_json(path)
    kind = found.pop("model_type", None) if isinstance(found, dict) else None
    if kind != MODEL_TYPE:
        raise DataError(
            f"{path} describes a model of type {kind!r}, not {MODEL_TYPE!r}; load it with windtunnel.load instead."
        )
    try:
        return TransformerConfig.model_validate(found)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "config"
        raise DataError(f"{path} is not a valid model config ({field}: {first['msg']}); restore the file.") from error
