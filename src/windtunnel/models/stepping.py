"""A step of sampling of the decoder trained from scratch: one new token a row, on a CPU, as one flat function.

`Transformer.features` serves every case: taps, padding, documents, branches, gradients, dropout, any device. A step of
sampling on a CPU is a few hundred operations on a few rows, each shorter than what surrounds it there: module calls,
questions after taps, a fourth dimension of size one, and torch's way from Python to the first multiplication. Here is
the same arithmetic for that case alone, with NumPy on the same memory (see `inference.arrays`); results agree to
rounding. What a step needs of the model is looked up once for a cache. Parameters are read where they are, so training
between two steps is seen, and whatever stands for a linear layer is called, so adapters and weights packed for sampling
work as elsewhere.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from windtunnel.inference.arrays import Array, attend_once, usable
from windtunnel.inference.cache import Cache
from windtunnel.inference.packed import Product
from windtunnel.laboratory.errors import UsageError
from windtunnel.models.attention import rotations
from windtunnel.models.transformer import MLP, Block, Transformer

Work = Callable[[Array], Array]
Attend = Callable[[Array, Array, tuple[Array, Array] | None, Cache], Array]


@dataclass(frozen=True)
class Prepared:
    """What a step needs of a decoder; arrays are the parameters' own memory.

    Attributes:
        embedding: Token embeddings.
        positions: Vectors added by position, if any.
        rotations: Cosines and sines by position, if they rotate.
        blocks: Attention and, unless the model is attention-only, MLP of each block, their normalisations included.
        normalised: The last normalisation.
    """

    embedding: Float[Array, "vocabulary width"]
    positions: Float[Array, "context width"] | None
    rotations: tuple[Float[Array, "context 1 head_width"], Float[Array, "context 1 head_width"]] | None
    blocks: list[tuple[Attend, Work | None]]
    normalised: Work


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
    if cache.prepared is None:
        cache.prepared = _prepared(module)
    ready: Prepared = cache.prepared
    positions = np.array(cache.lengths)
    cache.begin_once()
    last = positions[:1] if cache.even else positions
    seen = (np.arange(cache.columns) <= last[:, None])[:, None, None]
    x = ready.embedding[tokens.numpy()]
    if ready.positions is not None:
        x += ready.positions[positions]
    rotation = None
    if ready.rotations is not None:
        rotation = ready.rotations[0][positions], ready.rotations[1][positions]
    for attention, mlp in ready.blocks:
        x += attention(x, seen, rotation, cache)
        if mlp is not None:
            x += mlp(x)
    cache.end()
    return module.unembed(torch.from_numpy(ready.normalised(x)))


def _prepared(module: Transformer) -> Prepared:
    config, weight = module.config, module.embedding.weight
    rotary = None
    if config.positions == "rotary":
        tables = rotations(config.context, config.width_of_head, config.rotary_base, weight.dtype, weight.device)
        rotary = tables[0].numpy(), tables[1].numpy()
    blocks = [block for block in module.blocks if isinstance(block, Block)]
    return Prepared(
        embedding=_array(weight),
        positions=None if module.position_vectors is None else _array(module.position_vectors),
        rotations=rotary,
        blocks=[(_attention(block), _mlp(block)) for block in blocks],
        normalised=normalisation(module.final_normalization),
    )


def _attention(block: Block) -> Attend:
    attention = block.attention
    heads, shared, width = attention.heads, attention.grouped_heads, attention.query_width
    layer, scale, grouped = attention.layer, attention.scale, heads + 2 * shared
    project, output = _product(attention.query_key_value), _product(attention.output)
    normalised = normalisation(block.attention_normalization)

    def attend(x: Array, seen: Array, rotation: tuple[Array, Array] | None, cache: Cache) -> Array:
        mixed = project(normalised(x)).reshape(len(x), grouped, -1)
        query_key, value = mixed[:, : heads + shared], mixed[:, heads + shared :]
        if rotation is not None:
            query_key = _rotated(query_key, *rotation)
        keys, values = cache.extend_once(layer, query_key[:, heads:], value)
        z = attend_once(query_key[:, :heads], keys, values, seen, scale)
        return output(z.reshape(len(x), width))

    return attend


def _mlp(block: Block) -> Work | None:
    if block.mlp is None or block.mlp_normalization is None:
        return None
    mlp: MLP = block.mlp
    enter, leave, gated = _product(mlp.input), _product(mlp.output), mlp.gated
    normalised = normalisation(block.mlp_normalization)

    def work(x: Array) -> Array:
        hidden = torch.from_numpy(enter(normalised(x)))
        if gated:
            gate, up = hidden.chunk(2, dim=-1)
            hidden = functional.silu(gate).mul_(up)
        else:
            hidden = functional.gelu(hidden)
        return leave(hidden.numpy())

    return work


def _product(layer: nn.Module) -> Work:
    """What a layer computes, in arrays; with weights packed for sampling, without what surrounds a module's call."""
    forward = layer.__dict__.get("forward")
    if isinstance(forward, Product):
        return forward.of_rows
    return lambda x: _array(layer(torch.from_numpy(x)))


def _rotated(
    x: Float[Array, "rows heads head_width"],
    cosine: Float[Array, "rows 1 head_width"],
    sine: Float[Array, "rows 1 head_width"],
) -> Float[Array, "rows heads head_width"]:
    """`models.attention.rotate` in arrays."""
    half = x.shape[2] // 2
    rotated = np.empty(x.shape, x.dtype)
    rotated[:, :, :half], rotated[:, :, half:] = x[:, :, half:], x[:, :, :half]
    rotated *= sine
    rotated += x * cosine
    return rotated


def normalisation(module: nn.Module) -> Work:
    """A normalisation as a function; the root mean square is short in arrays, where torch takes eight operations."""
    if type(module) is not nn.RMSNorm or module.eps is None:
        return lambda x: _array(module(torch.from_numpy(x)))
    gain = _array(module.weight)
    share, epsilon = gain.dtype.type(1 / len(gain)), gain.dtype.type(module.eps)

    def normalised(x: Float[Array, "rows width"]) -> Float[Array, "rows width"]:
        scale = np.vecdot(x, x)
        scale *= share
        scale += epsilon
        result: Array = x / np.sqrt(scale, scale)[:, None]
        result *= gain
        return result

    return normalised


def _array(tensor: Tensor) -> Array:
    return tensor.detach().numpy()


def listeners(module: Transformer) -> list[dict[int, Any]]:
    """Where hooks on a model's parts are kept: `step` does not call every part as a module, so all must be empty."""
    return [hooks for part in module.modules() for hooks in (part._forward_hooks, part._forward_pre_hooks)]
