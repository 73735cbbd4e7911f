"""What normalisations do, read from the module whatever its class: the gain they apply, and what they divide by."""

import torch
from jaxtyping import Float
from torch import Tensor, nn


def gain(module: nn.Module) -> Float[Tensor, " width"]:
    """What a normalisation multiplies by, as some (Gemma's) store it less one."""
    weight = module.weight
    assert isinstance(weight, Tensor)
    if isinstance(module, nn.LayerNorm):
        return weight
    ones = torch.ones_like(weight)  # whose root mean square is one
    applied: Tensor = module(ones[None])[0] * normalization_scale(module, ones)
    return applied


def epsilon(module: nn.Module) -> float:
    """The small number added under the root, under whatever name the module keeps it."""
    for name in ("eps", "variance_epsilon", "epsilon"):
        value = getattr(module, name, None)
        if value is not None:
            return float(value)
    return float(torch.finfo(torch.float32).eps)  # what torch.nn.RMSNorm uses when it is given none


def normalization_scale(module: nn.Module, x: Float[Tensor, "*batch width"]) -> Float[Tensor, "*batch 1"]:
    """What the input is divided by: its standard deviation (layer norm) or root mean square, in its own dtype."""
    values = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
    if isinstance(module, nn.LayerNorm):
        values = values - values.mean(dim=-1, keepdim=True)
    scale: Tensor = (values.square().mean(dim=-1, keepdim=True) + epsilon(module)).sqrt().to(x.dtype)
    return scale


def rescaled(
    module: nn.Module,
    output: Float[Tensor, "*batch width"],
    scale: Float[Tensor, "*batch 1"],
    wanted: Float[Tensor, "*batch 1"],
) -> Float[Tensor, "*batch width"]:
    """The output that the module would have given, had it divided by `wanted` instead of `scale`; exact where equal."""
    bias = getattr(module, "bias", None)
    shift = 0.0 if bias is None else bias
    return output + (output - shift) * (scale / wanted - 1)
