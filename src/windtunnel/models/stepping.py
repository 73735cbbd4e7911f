"""A step of sampling of the decoder trained from scratch: one new token a row, on a CPU, as one flat function.

`Transformer.features` serves every case: taps, padding, documents, branches, gradients, dropout, any device. A step of
sampling on a CPU is a few hundred operations on a few rows, each shorter than what surrounds it there: module calls,
questions after taps, a fourth dimension of size one, and normalisations in eight parts. Here is the same arithmetic
for that case alone; results agree to rounding. It reads the parameters where they are, so training between two steps
is seen, and calls linear layers as modules, so adapters and weights packed for sampling work as elsewhere.
"""

import functools
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from windtunnel.inference.cache import Cache
from windtunnel.laboratory.errors import UsageError
from windtunnel.models.attention import attend, rotate, rotations
from windtunnel.models.layout import Layout, arrange
from windtunnel.models.transformer import Block, Transformer


def applies(module: Transformer, tokens: Int[Tensor, "rows new"], cache: Cache | None) -> bool:
    """Whether `step` computes what `Transformer.features` would: all that is unusual is left to that one.

    Args:
        module: The model.
        tokens: New tokens, each of them real.
        cache: Earlier tokens, if any.
    """
    config = module.config
    return (
        cache is not None
        and tokens.shape[1] == 1
        and tokens.device.type == "cpu"
        and min(cache.lengths, default=0) > 0
        and not torch.is_grad_enabled()
        and not module.taps
        and not module.training
        and not config.smeared_keys
        and config.positions != "sinusoidal_qk"
    )


@torch.inference_mode()
def step(module: Transformer, tokens: Int[Tensor, " rows"], cache: Cache) -> Float[Tensor, "rows vocabulary"]:
    """Logits after one more token of each row, which `cache` then holds; only where it `applies`.

    Raises:
        UsageError: A row is as long as the model's context.
    """
    config = module.config
    if max(cache.lengths) >= config.context:
        raise UsageError(
            f"A sequence of {max(cache.lengths) + 1} tokens is longer than the model's context of {config.context}; "
            "shorten it."
        )
    cache.begin(1, None, tokens.device)
    layout = arrange(tokens[:, None], cache=cache)
    x = functional.embedding(tokens, module.embedding.weight)
    rotation = None
    if config.positions == "rotary":
        table = rotations(config.context, config.width_of_head, config.rotary_base, x.dtype, x.device)
        rotation = table[0][layout.positions], table[1][layout.positions]
    elif module.position_vectors is not None:
        x = x + module.position_vectors[layout.positions[:, 0]]
    for block in module.blocks:
        assert isinstance(block, Block)
        x = x + _attention(block, normalised(block.attention_normalization, x), layout, rotation, cache)
        if block.mlp is not None and block.mlp_normalization is not None:
            hidden = block.mlp.input(normalised(block.mlp_normalization, x))
            if block.mlp.gated:
                gate, up = hidden.chunk(2, dim=-1)
                hidden = functional.silu(gate).mul_(up)
            else:
                hidden = functional.gelu(hidden)
            x = x + block.mlp.output(hidden)
    cache.end()
    return module.unembed(normalised(module.final_normalization, x))


def _attention(
    block: Block, x: Tensor, layout: Layout, rotation: tuple[Tensor, Tensor] | None, cache: Cache
) -> Float[Tensor, "rows width"]:
    attention = block.attention
    heads, shared = attention.heads, attention.grouped_heads
    mixed = attention.query_key_value(x).view(len(x), 1, heads + 2 * shared, attention.head_width)
    query_key, value = mixed.split((heads + shared, shared), dim=2)
    if rotation is not None:
        query_key = rotate(query_key, rotation)
    query, key = query_key.split((heads, shared), dim=2)
    key, value = cache.extend(attention.layer, key, value)
    z = attend(query, key, value, layout, scale=attention.scale)
    added: Tensor = attention.output(z.reshape(len(x), attention.query_width))
    return added


def normalised(module: nn.Module, x: Float[Tensor, "rows width"]) -> Float[Tensor, "rows width"]:
    """What a normalisation returns; the root mean square in four operations where torch takes eight.

    x / sqrt(mean x^2 + epsilon) = sqrt(width) x / hypot(|x|, sqrt(width epsilon)).
    """
    if type(module) is not nn.RMSNorm or module.eps is None:
        result: Tensor = module(x)
        return result
    small, nothing = _constants(x.shape[1] * module.eps)
    length = torch.hypot(torch.linalg.vector_norm(x, dim=-1, keepdim=True), small)
    return torch.addcmul(nothing, x / length, module.weight, value=x.shape[1] ** 0.5)


@functools.lru_cache(maxsize=8)
def _constants(square: float) -> tuple[Tensor, Tensor]:
    """The root of a number, and zero; without dimensions, so the dtype of what they meet stays."""
    with torch.inference_mode(False):
        return torch.tensor(square**0.5, dtype=torch.float64), torch.tensor(0.0, dtype=torch.float64)


def listeners(module: Transformer) -> list[dict[int, Any]]:
    """Where hooks on a model's parts are kept: `step` does not call every part as a module, so all must be empty."""
    return [hooks for part in module.modules() for hooks in (part._forward_hooks, part._forward_pre_hooks)]
