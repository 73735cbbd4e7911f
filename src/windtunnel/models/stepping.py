"""A step of sampling of the decoder trained from scratch: one new token a row, on a CPU, as one flat function.

`Transformer.features` serves every case: taps, padding, documents, branches, gradients, dropout, any device. A step of
sampling on a CPU is a few hundred operations on a few rows, each shorter than what surrounds it there: module calls,
questions after taps, a fourth dimension of size one, and torch's way from Python to the first multiplication. Here is
the same arithmetic for that case alone, with NumPy on the same memory (see `inference.arrays`); results agree to
rounding. It reads the parameters where they are, so training between two steps is seen, and calls linear layers as
modules, so adapters and weights packed for sampling work as elsewhere.
"""

from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from windtunnel.inference.arrays import Array, attend_once, usable
from windtunnel.inference.cache import Cache
from windtunnel.laboratory.errors import UsageError
from windtunnel.models.attention import rotations
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
        and usable(module.embedding.weight)
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
    config, longest = module.config, max(cache.lengths)
    if longest >= config.context:
        raise UsageError(
            f"A sequence of {longest + 1} tokens is longer than the model's context of {config.context}; shorten it."
        )
    positions = np.array(cache.lengths)
    seen = None if cache.even else (np.arange(longest + 1) <= positions[:, None])[:, None, None]
    cache.begin(1, None, tokens.device)
    x = _array(module.embedding.weight)[tokens.numpy()]
    rotation = None
    if config.positions == "rotary":
        dtype = module.embedding.weight.dtype
        table = rotations(config.context, config.width_of_head, config.rotary_base, dtype, tokens.device)
        rotation = tuple(part.numpy()[positions] for part in table)
    elif module.position_vectors is not None:
        x = x + _array(module.position_vectors)[positions]
    for block in module.blocks:
        assert isinstance(block, Block)
        x = x + _attention(block, normalised(block.attention_normalization, x), seen, rotation, cache)
        if block.mlp is not None and block.mlp_normalization is not None:
            hidden = block.mlp.input(torch.from_numpy(normalised(block.mlp_normalization, x)))
            if block.mlp.gated:
                gate, up = hidden.chunk(2, dim=-1)
                hidden = functional.silu(gate).mul_(up)
            else:
                hidden = functional.gelu(hidden)
            x = x + _array(block.mlp.output(hidden))
    cache.end()
    return module.unembed(torch.from_numpy(normalised(module.final_normalization, x)))


def _attention(
    block: Block, x: Array, seen: Array | None, rotation: tuple[Array, ...] | None, cache: Cache
) -> Float[Array, "rows width"]:
    attention = block.attention
    heads, shared = attention.heads, attention.grouped_heads
    mixed = _array(attention.query_key_value(torch.from_numpy(x)))
    mixed = mixed.reshape(len(x), heads + 2 * shared, attention.head_width)
    query_key, value = mixed[:, : heads + shared], mixed[:, heads + shared :]
    if rotation is not None:
        query_key = _rotated(query_key, *rotation)
    keys, values = cache.extend_once(attention.layer, query_key[:, heads:], value)
    z = attend_once(query_key[:, :heads], keys, values, seen, attention.scale)
    return _array(attention.output(torch.from_numpy(z.reshape(len(x), attention.query_width))))


def _rotated(
    x: Float[Array, "rows heads head_width"],
    cosine: Float[Array, "rows 1 head_width"],
    sine: Float[Array, "rows 1 head_width"],
) -> Float[Array, "rows heads head_width"]:
    """`models.attention.rotate` in arrays."""
    swapped: Array = x.reshape(*x.shape[:2], 2, -1)[:, :, ::-1].reshape(x.shape)
    swapped *= sine
    swapped += x * cosine
    return swapped


def normalised(module: nn.Module, x: Float[Array, "rows width"]) -> Float[Array, "rows width"]:
    """What a normalisation returns; the root mean square is short in arrays, where torch takes eight operations."""
    if type(module) is not nn.RMSNorm or module.eps is None:
        return _array(module(torch.from_numpy(x)))
    squares = np.einsum("rw,rw->r", x, x)[:, None]
    result: Array = x / np.sqrt(squares / x.dtype.type(x.shape[1]) + x.dtype.type(module.eps))
    result *= _array(module.weight)
    return result


def _array(tensor: Tensor) -> Array:
    return tensor.detach().numpy()


def listeners(module: Transformer) -> list[dict[int, Any]]:
    """Where hooks on a model's parts are kept: `step` does not call every part as a module, so all must be empty."""
    return [hooks for part in module.modules() for hooks in (part._forward_hooks, part._forward_pre_hooks)]
