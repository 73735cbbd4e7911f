"""Causal self-attention of the from-scratch decoder: positions, padding, documents, smeared keys, cache."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from windtunnel.models.configuration import TransformerConfig
from windtunnel.models.sites import Tap, visit


@dataclass(frozen=True)
class Layout:
    """What every layer shares in one forward pass.

    Attributes:
        allowed: Which key each query may see, [batch, 1, query, key]; None: all earlier ones (`causal`).
        causal: Whether the causal mask is still to be applied (never together with `allowed`).
        rotation: Cosines and sines, each [batch or 1, 1, position, head_width]; None without rotary positions.
        added: Vectors added to the inputs of query and key projections, [batch or 1, position, width], or None.
        continues: Whether a token's predecessor belongs to the same sequence, [batch, position]; None: all but
            the first do.
    """

    allowed: Bool[Tensor, "batch 1 query key"] | None
    causal: bool
    rotation: tuple[Tensor, Tensor] | None
    added: Float[Tensor, "rows position width"] | None
    continues: Bool[Tensor, "batch position"] | None


class Cache:
    """Keys and values of the tokens seen so far, in storage allocated once.

    Args:
        config: The decoder's shape.
        batch: Rows.
        capacity: Most tokens per row, padding included.
        device: Where the decoder lives.
        dtype: Its dtype.
    """

    def __init__(
        self, config: TransformerConfig, batch: int, capacity: int, device: torch.device, dtype: torch.dtype
    ) -> None:
        shape = (config.layers, batch, config.grouped_heads, capacity, config.width_of_head)
        self.keys = torch.zeros(shape, device=device, dtype=dtype)
        self.values = torch.zeros(shape, device=device, dtype=dtype)
        self.last_key = torch.zeros((*shape[:3], 1, shape[4]), device=device, dtype=dtype)  # before smearing
        self.real = torch.zeros((batch, capacity), device=device, dtype=torch.bool)
        self.capacity = capacity
        self.length = 0
        self.padded = False

    def extend(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Store new keys and values of one layer and return all so far; `length` advances after the last layer."""
        end = self.length + key.shape[2]
        self.keys[layer, :, :, self.length : end] = key
        self.values[layer, :, :, self.length : end] = value
        return self.keys[layer, :, :, :end], self.values[layer, :, :, :end]


def rotate(
    x: Float[Tensor, "batch heads position head_width"], rotation: tuple[Tensor, Tensor]
) -> Float[Tensor, "batch heads position head_width"]:
    """Rotate the pairs (i, i + head_width / 2) by the position's angles (Su et al., 2021; arXiv:2104.09864)."""
    cosine, sine = rotation
    return x * cosine + x.roll(x.shape[-1] // 2, -1) * sine


def attention_scores(
    query: Float[Tensor, "batch heads query head_width"],
    key: Float[Tensor, "batch heads key head_width"],
    allowed: Bool[Tensor, "batch 1 query key"] | None,
    causal: bool,
    scale: float,
    softcap: float | None = None,
) -> Float[Tensor, "batch heads query key"]:
    """Scaled dot products, capped if asked, minus infinity where a query may not look."""
    scores = query @ key.transpose(-1, -2) * scale
    if softcap is not None:
        scores = softcap * (scores / softcap).tanh()
    if causal:
        allowed = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril(
            scores.shape[-1] - scores.shape[-2]
        )
    return scores if allowed is None else scores.masked_fill(~allowed, -math.inf)


class Attention(nn.Module):
    """Multi-head or grouped-query attention with one fused projection to queries, keys and values."""

    def __init__(self, config: TransformerConfig, layer: int) -> None:
        super().__init__()
        self.layer = layer
        self.heads = config.heads
        self.grouped_heads = config.grouped_heads
        self.head_width = config.width_of_head
        self.dropout = config.dropout
        self.scale = self.head_width**-0.5
        self.query_width = self.heads * self.head_width
        self.key_width = self.grouped_heads * self.head_width
        self.query_key_value = nn.Linear(config.width, self.query_width + 2 * self.key_width, bias=config.bias)
        self.output = nn.Linear(self.query_width, config.width, bias=config.bias)
        self.smear = nn.Parameter(torch.zeros(self.grouped_heads)) if config.smeared_keys else None

    def forward(
        self,
        x: Float[Tensor, "batch position width"],
        layout: Layout,
        cache: Cache | None,
        taps: dict[str, Tap],
    ) -> Float[Tensor, "batch position width"]:
        """Attend within `layout`, reading and extending `cache` if there is one."""
        batch, length, _ = x.shape
        mixed = self.query_key_value(x)
        if layout.added is not None:
            # (x + p) W = x W + p W; the second term is shared by all rows, so the projection stays fused.
            shift = functional.linear(layout.added, self.query_key_value.weight[: self.query_width + self.key_width])
            mixed = mixed + functional.pad(shift, (0, self.key_width))
        query, key, value = mixed.split((self.query_width, self.key_width, self.key_width), dim=-1)
        query = query.view(batch, length, self.heads, self.head_width)
        key = key.view(batch, length, self.grouped_heads, self.head_width)
        value = value.view(batch, length, self.grouped_heads, self.head_width)
        prefix = f"blocks.{self.layer}.attn." if taps else ""
        if self.smear is not None:
            key = self._smeared(key, self.smear, layout, cache)
        if taps:
            query = visit(taps, prefix + "hook_q", query)
            key = visit(taps, prefix + "hook_k", key)
            value = visit(taps, prefix + "hook_v", value)
        query, key, value = query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2)
        if layout.rotation is not None:
            query, key = rotate(query, layout.rotation), rotate(key, layout.rotation)
        if cache is not None:
            key, value = cache.extend(self.layer, key, value)
        if self.grouped_heads != self.heads:
            key = key.repeat_interleave(self.heads // self.grouped_heads, dim=1)
            value = value.repeat_interleave(self.heads // self.grouped_heads, dim=1)
        rewritten = None
        if taps:
            rewritten = visit_pattern(
                query,
                key,
                allowed=layout.allowed,
                causal=layout.causal,
                scale=self.scale,
                scores_tap=taps.get(prefix + "hook_attn_scores"),
                pattern_tap=taps.get(prefix + "hook_pattern"),
            )
        dropout = self.dropout if self.training else 0.0
        if rewritten is None:
            z = functional.scaled_dot_product_attention(
                query,
                key,
                value,
                attn_mask=layout.allowed,
                dropout_p=dropout,
                is_causal=layout.causal,
                scale=self.scale,
            )
        else:
            z = functional.dropout(rewritten, dropout) @ value
        z = z.transpose(1, 2)
        if taps:
            z = visit(taps, prefix + "hook_z", z)
        mixed_heads: Tensor = self.output(z.reshape(batch, length, self.query_width))
        return mixed_heads

    def _smeared(self, key: Tensor, smear: Tensor, layout: Layout, cache: Cache | None) -> Tensor:
        if cache is not None and cache.length > 0:
            before = cache.last_key[self.layer].transpose(1, 2)
        else:
            before = key[:, :1]  # the first key is its own predecessor, so it stays unchanged
        previous = torch.cat((before, key[:, :-1]), dim=1)
        if layout.continues is not None:
            previous = torch.where(layout.continues[:, :, None, None], previous, key)
        if cache is not None:
            cache.last_key[self.layer] = key[:, -1:].transpose(1, 2)
        share = torch.sigmoid(smear).to(key.dtype)[:, None].expand(-1, self.head_width)
        return torch.lerp(previous, key, share)


def visit_pattern(
    query: Float[Tensor, "batch heads query head_width"],
    key: Float[Tensor, "batch heads key head_width"],
    *,
    allowed: Bool[Tensor, "batch 1 query key"] | None,
    causal: bool,
    scale: float,
    scores_tap: Tap | None,
    pattern_tap: Tap | None,
    softcap: float | None = None,
) -> Float[Tensor, "batch heads query key"] | None:
    """Form the attention pattern for the taps that ask for it; return it only if a tap may have rewritten it.

    So the fused kernel computes the result unless a score or a weight is rewritten, and reading a pattern changes
    nothing, bit for bit. Capped scores, `softcap` x tanh(score / `softcap`) (Gemma 2), have no fused kernel: their
    pattern is always formed and returned. A query that may see no key has a pattern of zeros.
    """
    if scores_tap is None and pattern_tap is None and softcap is None:
        return None
    scores = attention_scores(query, key, allowed, causal, scale, softcap)
    if scores_tap is not None:
        scores = scores_tap.visit(scores)
    half = scores.dtype in (torch.float16, torch.bfloat16)
    pattern = scores.softmax(dim=-1, dtype=torch.float32 if half else scores.dtype).to(scores.dtype)
    pattern = pattern.masked_fill((scores == -math.inf).all(dim=-1, keepdim=True), 0.0)
    if pattern_tap is not None:
        pattern = pattern_tap.visit(pattern)
    writes = any(tap is not None and tap.writes for tap in (scores_tap, pattern_tap))
    return pattern if writes or softcap is not None else None


def sinusoids(positions: Int[Tensor, " position"], width: int) -> Float[Tensor, "position width"]:
    """Sines and cosines of amplitude 1, wavelengths from 2 pi to 20,000 pi (Vaswani et al., 2017, section 3.5)."""
    frequency = 10_000.0 ** (-torch.arange(0, width, 2, dtype=torch.float64, device=positions.device) / width)
    angle = positions[:, None].double() * frequency
    return torch.stack((angle.sin(), angle.cos()), dim=-1).flatten(1)[:, :width].float()


def rotation_of(
    positions: Int[Tensor, "rows position"], head_width: int, base: float, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """Cosines and sines for `rotate`, each [rows, 1, position, head_width]; the first half of the sines negated."""
    exponent = torch.arange(0, head_width, 2, dtype=torch.float32, device=positions.device) / head_width
    angle = positions[:, None, :, None].float() * base**-exponent
    cosine, sine = angle.cos(), angle.sin()
    return torch.cat((cosine, cosine), dim=-1).to(dtype), torch.cat((-sine, sine), dim=-1).to(dtype)
