"""Low-rank adapters (Hu et al., 2021; arXiv:2106.09685) in the format of the `peft` library.

    attach(model.module, rank=8, generator=torch.Generator().manual_seed(0))   # then train(model.module, ...)
    save(model.module, "my-adapter", base="smollm2-135m")

An adapted layer is the same object under the same path, so that hooks and sites stay as they were. It holds two new
parameters, `lora_A` and `lora_B`, and its own weight as `base_weight`; its `weight` reads as what the layer multiplies
by, update included, so that whatever inspects weights sees the adapted model.
"""

import math
import re
import reprlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self, cast

import torch
from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError, model_validator
from torch import Tensor, nn

from windtunnel.laboratory.errors import DataError, UsageError
from windtunnel.laboratory.files import write_json
from windtunnel.models.architectures import discover_blocks
from windtunnel.models.checkpoint import read_weights, write_weights
from windtunnel.models.low_rank import ADAPTED, Adapted, LowRank, adapt, restore
from windtunnel.models.transformer import Transformer

CONFIG_FILE = "adapter_config.json"
WEIGHTS_FILE = "adapter_model.safetensors"
PREFIX = "base_model.model."
TRAINABLE = "_windtunnel_trainable"
"""Where the adapted module keeps the names of the parameters that were trainable before."""


class AdapterConfig(BaseModel):
    """What `adapter_config.json` says of plain LoRA; anything else in it must be idle (see `NEUTRAL`)."""

    model_config = ConfigDict(extra="allow", allow_inf_nan=False)

    peft_type: Literal["LORA"]
    base_model_name_or_path: str | None = None
    task_type: str | None = "CAUSAL_LM"
    inference_mode: bool = True
    r: int = Field(8, ge=1)
    lora_alpha: int | float = 8
    lora_dropout: float = Field(0.0, ge=0, lt=1)
    use_rslora: bool = False
    rank_pattern: dict[str, PositiveInt] = {}
    alpha_pattern: dict[str, int | float] = {}
    target_modules: list[str] | str | None = None
    fan_in_fan_out: bool = False
    bias: Literal["none"] = "none"
    init_lora_weights: bool | Literal["gaussian", "orthogonal", "eva"] = True  # others change W as well

    @model_validator(mode="after")
    def _compiles(self) -> Self:
        targets = [self.target_modules] if isinstance(self.target_modules, str) else []
        for pattern in (*targets, *self.rank_pattern, *self.alpha_pattern):
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"{pattern!r} is no regular expression: {error}") from error
        return self


NEUTRAL = {
    *("auto_mapping", "revision", "peft_version", "runtime_config", "megatron_core", "qalora_group_size", "eva_config"),
    *("exclude_modules", "layers_to_transform", "layers_pattern"),  # the tensors say which layers are adapted
}
"""Options that do not change what an adapter computes."""


def attach(
    module: nn.Module,
    rank: int = 8,
    alpha: float = 16,
    targets: Sequence[str] | None = None,
    dropout: float = 0.0,
    generator: torch.Generator | None = None,
    *,
    rank_stabilised: bool = False,
) -> list[str]:
    """Give linear layers a low-rank adapter, and freeze everything else; the model computes what it did.

    A is drawn from the Kaiming-uniform distribution that `nn.Linear` starts from, ±1/√inputs, and B is zero
    (section 4.1). Both are kept in float32 where the layer is in half precision.

    Args:
        module: A `Transformer`, or a model of transformers; changed in place.
        rank: Rank of the updates.
        alpha: The update is scaled by alpha / rank.
        targets: Ends of the names of the layers (`q_proj`, `attn.c_proj`); None: all linear layers of the blocks.
        dropout: Share of each layer's inputs hidden from its adapter in training.
        generator: Source of A; None: one seeded with 0. The global generator is never used.
        rank_stabilised: Scale by alpha / √rank instead.

    Returns:
        The paths of the adapted layers, in the order in which A was drawn.

    Raises:
        UsageError: A value is out of range, a target is not there or not a linear layer or shares its weight, or
            the module has an adapter already.
    """
    if rank < 1 or not math.isfinite(alpha) or not 0 <= dropout < 1:
        raise UsageError(
            f"An adapter's rank must be 1 or more, its alpha finite and its dropout in [0, 1), "
            f"not {rank}, {alpha} and {dropout}."
        )
    _insist_bare(module)
    paths = _in_blocks(module) if targets is None else _ending_in(module, targets)
    generator = torch.Generator().manual_seed(0) if generator is None else generator
    tensors = {}
    for path in paths:
        outputs, inputs = _sizes(module, path, UsageError)
        down = torch.empty(rank, inputs, device=generator.device, dtype=torch.float32)
        nn.init.kaiming_uniform_(down, a=math.sqrt(5), generator=generator)
        tensors[path] = (down, torch.zeros(outputs, rank))
    _adapt(module, tensors, dict.fromkeys(paths, LowRank(rank, alpha, dropout, rank_stabilised)))
    return paths


def save(module: nn.Module, directory: str | Path, base: str | None = None) -> None:
    """Write the adapter as `adapter_config.json` and `adapter_model.safetensors`, which `peft` loads.

    Each file appears whole or not at all; the config is written last.

    Args:
        module: A module with an adapter.
        directory: Made if needed.
        base: Name or path of the model without the adapter, by which others find it.

    Raises:
        UsageError: The module has no adapter.
    """
    layers, directory = _layers(module), Path(directory)
    ranks = Counter(layer.low_rank.rank for layer in layers.values())
    alphas = Counter(layer.low_rank.alpha for layer in layers.values())
    rank, alpha = ranks.most_common(1)[0][0], alphas.most_common(1)[0][0]
    names = sorted({path.rpartition(".")[2] for path in layers})
    if {path for path, _ in module.named_modules() if _is_target(path, names)} != set(layers):
        names = sorted(layers)  # the last names would reach other layers, too
    any_layer = next(iter(layers.values()))
    config = AdapterConfig(
        peft_type="LORA",
        base_model_name_or_path=base,
        r=rank,
        lora_alpha=alpha,
        lora_dropout=any_layer.low_rank.dropout,
        use_rslora=any_layer.low_rank.rank_stabilised,
        rank_pattern={path: layer.low_rank.rank for path, layer in layers.items() if layer.low_rank.rank != rank},
        alpha_pattern={path: layer.low_rank.alpha for path, layer in layers.items() if layer.low_rank.alpha != alpha},
        target_modules=names,
        fan_in_fan_out=any(layer.transposed for layer in layers.values()),
    )
    write_weights(
        directory / WEIGHTS_FILE,
        {
            f"{PREFIX}{path}.{name}.weight": getattr(layer, name)
            for path, layer in layers.items()
            for name in ("lora_A", "lora_B")
        },
    )
    write_json(directory / CONFIG_FILE, config.model_dump())


def base_of(directory: str | Path) -> str:
    """Name or path of the model that an adapter was made for.

    Raises:
        DataError: The config cannot be read, or does not name it.
    """
    path = Path(directory) / CONFIG_FILE
    base = _read_config(path).base_model_name_or_path
    if not base:
        raise DataError(f"{path} does not name its base_model_name_or_path; load that model, then the adapter into it.")
    return base


def load(module: nn.Module, directory: str | Path) -> list[str]:
    """Attach an adapter that `save` or `peft` wrote; everything but the adapter is frozen.

    Args:
        module: The model it was made for; changed in place, and only if the whole adapter fits.
        directory: Holds `adapter_config.json` and `adapter_model.safetensors`.

    Returns:
        The paths of the adapted layers.

    Raises:
        DataError: A file is missing, cut short or not LoRA's, an option would change the arithmetic in a way that is
            not supported, or the tensors do not fit each other, the config or the module.
        UsageError: The module has an adapter already.
    """
    _insist_bare(module)
    directory = Path(directory)
    config = _read_config(directory / CONFIG_FILE)
    where = directory / WEIGHTS_FILE
    found: dict[str, dict[str, Tensor]] = {}
    for name, tensor in read_weights(where).items():
        matched = re.fullmatch(rf"{re.escape(PREFIX)}(.+)\.(lora_A|lora_B)\.weight", name)
        if matched is None:
            raise DataError(f"{where} holds {name!r}, which is no part of a plain LoRA adapter; merge it with peft.")
        if not _is_target(matched[1], config.target_modules):
            raise DataError(f"{where} holds {name!r}, which target_modules in {CONFIG_FILE} does not name.")
        found.setdefault(matched[1], {})[matched[2]] = tensor
    if not found:
        raise DataError(f"{where} holds no tensors; save the adapter again.")
    tensors, settings = {}, {}
    for path, pair in found.items():
        rank = int(_by_pattern(config.rank_pattern, path, config.r))
        alpha = _by_pattern(config.alpha_pattern, path, config.lora_alpha)
        outputs, inputs = _sizes(module, path, DataError)
        for name, needed in {"lora_A": (rank, inputs), "lora_B": (outputs, rank)}.items():
            held = tuple(pair[name].shape) if name in pair else None
            if held != needed:
                raise DataError(
                    f"{where} holds {'no' if held is None else f'a tensor of shape {held} as'} {name} of {path} where "
                    f"its config and the model need {needed}; choose the model that the adapter was made for."
                )
        tensors[path] = (pair["lora_A"], pair["lora_B"])
        settings[path] = LowRank(rank, alpha, config.lora_dropout, config.use_rslora)
    _adapt(module, tensors, settings)
    return list(found)


@torch.no_grad()
def merge(module: nn.Module) -> None:
    """Add the updates to the weights and take the adapter away: the model computes the same, to rounding.

    Raises:
        UsageError: The module has no adapter.
    """
    for layer in _layers(module).values():
        layer.base_weight.copy_(layer.weight)
    detach(module)


def detach(module: nn.Module) -> None:
    """Take the adapter away: the model is what it was before, bit for bit, and what was trainable is so again.

    Raises:
        UsageError: The module has no adapter.
    """
    for layer in _layers(module).values():
        restore(layer)
    trainable = module.__dict__.pop(TRAINABLE)
    for name, parameter in module.named_parameters():
        parameter.requires_grad_(name in trainable)


def _adapt(module: nn.Module, tensors: Mapping[str, tuple[Tensor, Tensor]], settings: Mapping[str, LowRank]) -> None:
    """Turn layers into adapted ones and freeze the rest of the module."""
    module.__dict__[TRAINABLE] = {name for name, parameter in module.named_parameters() if parameter.requires_grad}
    module.requires_grad_(False)
    for path, (down, up) in tensors.items():
        adapt(module.get_submodule(path), settings[path], down, up)


def _insist_bare(module: nn.Module) -> None:
    if any(isinstance(part, Adapted) for part in module.modules()):
        raise UsageError("The module has an adapter already; merge or detach it before adding another.")


def _layers(module: nn.Module) -> dict[str, Adapted]:
    """The adapted layers by path."""
    if TRAINABLE not in module.__dict__:
        raise UsageError(f"This {type(module).__name__} has no adapter of its own; attach or load one first.")
    return {path: part for path, part in module.named_modules() if isinstance(part, Adapted)}


def _in_blocks(module: nn.Module) -> list[str]:
    """The paths of all linear layers of a model's blocks."""
    config: Any = getattr(module, "config", None)
    blocks = None
    if isinstance(module, Transformer):
        blocks = module.blocks
    elif hasattr(config, "get_text_config"):
        blocks = discover_blocks(module, config.get_text_config().num_hidden_layers)
    if blocks is None:
        raise UsageError(f"The blocks of this {type(module).__name__} cannot be told apart; name the targets.")
    inside = set(blocks.modules())
    return [path for path, part in module.named_modules() if part in inside and isinstance(part, tuple(ADAPTED))]


def _ending_in(module: nn.Module, targets: Sequence[str]) -> list[str]:
    """The paths of the modules that targets name, each of which must name one."""
    if isinstance(targets, str):
        raise UsageError("targets needs a list of names; put the name in a list.")
    if not targets:
        raise UsageError("targets needs at least one name; leave it out for all linear layers of the blocks.")
    paths = [path for path, _ in module.named_modules()]
    for target in targets:
        if not any(_is_target(path, [target]) for path in paths):
            there = {
                path.rpartition(".")[2] for path, part in module.named_modules() if isinstance(part, tuple(ADAPTED))
            }
            raise UsageError(f"No module's name ends in {target!r}; linear layers here are {', '.join(sorted(there))}.")
    return [path for path in paths if _is_target(path, targets)]


def _is_target(path: str, targets: Iterable[str] | str | None) -> bool:
    """Whether `target_modules` names a module: by the end of its path, or by a regular expression for all of it."""
    if targets is None or targets == "all-linear":
        return True
    if isinstance(targets, str):
        return re.fullmatch(targets, path) is not None
    return any(path == target or path.endswith(f".{target}") for target in targets)


def _by_pattern(patterns: Mapping[str, float], path: str, default: float) -> float:
    """The value of the first pattern that is, or ends, a path."""
    matching = (value for pattern, value in patterns.items() if re.fullmatch(rf"(.*\.)?({pattern})", path))
    return next(matching, default)


def _sizes(module: nn.Module, path: str, error: type[DataError] | type[UsageError]) -> tuple[int, int]:
    """Outputs and inputs of a layer, if it can be adapted."""
    try:
        layer = module.get_submodule(path)
    except AttributeError:
        raise error(
            f"The adapter is for {path}, which this {type(module).__name__} lacks; load its own model."
        ) from None
    if type(layer) not in ADAPTED:
        kinds = " and ".join(kind.__name__ for kind in ADAPTED)
        raise error(f"{path} is of type {type(layer).__name__}, and adapters here are for {kinds} only.")
    weight = cast(Tensor, layer.weight)
    if sum(weight is other for _, other in module.named_parameters(remove_duplicate=False)) > 1:
        raise error(f"{path} shares its weight with another module, which an adapter would change too; leave it out.")
    return cast(tuple[int, int], tuple(weight.shape[::-1] if ADAPTED[type(layer)].transposed else weight.shape))


def _read_config(path: Path) -> AdapterConfig:
    """Read `adapter_config.json`, refusing what is not plain LoRA."""
    try:
        config = AdapterConfig.model_validate_json(path.read_bytes())
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}); name the directory of a LoRA adapter.") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        option = ".".join(map(str, first["loc"])) or "the file"
        given = f", not {reprlib.repr(first['input'])}" if first["loc"] else ""
        raise DataError(
            f"{path} does not describe a plain LoRA adapter ({option}: {first['msg']}{given}); merge it with peft."
        ) from error
    for option, value in (config.model_extra or {}).items():
        if value and option not in NEUTRAL:
            raise DataError(
                f"{path} asks for {option} ({reprlib.repr(value)}), which plain LoRA has not; merge it with peft."
            )
    return config
