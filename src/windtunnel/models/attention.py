"""Causal self-attention of the from-scratch decoder: positions, smeared keys, patterns on demand."""

import functools
import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from windtunnel.inference import arrays
from windtunnel.inference.cache import Cache
from windtunnel.models.configuration import TransformerConfig
from windtunnel.models.layout import Layout
from windtunnel.models.sites import Tap, visit


@dataclass(frozen=True)
class Shared:
    """What every layer of the from-scratch decoder shares in one forward pass.

    Attributes:
        layout: Which tokens see which.
        rotation: Cosines and sines, each [batch or 1, position, 1, head_width]; None without rotary positions.
        added: Vectors added to the inputs of query and key projections, [batch or 1, position, width], or None.
        continues: Whether a token's predecessor belongs to the same sequence, [batch, position]; None: all but
            the first do.
    """

    layout: Layout
    rotation: tuple[Tensor, Tensor] | None
    added: Float[Tensor, "rows position width"] | None
    continues: Bool[Tensor, "batch position"] | None


def rotate(
    x: Float[Tensor, "batch position heads head_width"], rotation: tuple[Tensor, Tensor]
) -> Float[Tensor, "batch position heads head_width"]:
    """Rotate the pairs (i, i + head_width / 2) by the position's angles (Su et al., 2021; arXiv:2104.09864)."""
    cosine, sine = rotation
    return torch.addcmul(x * cosine, x.roll(x.shape[-1] // 2, -1), sine)


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
        self.prefix = f"blocks.{layer}.attn."
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
        shared: Shared,
        cache: Cache | None,
        taps: dict[str, Tap],
    ) -> Float[Tensor, "batch position width"]:
        """Attend within `shared.layout`, reading and extending `cache` if there is one."""
        batch, length, _ = x.shape
        mixed = self.query_key_value(x)
        if shared.added is not None:
            # (x + p) W = x W + p W; the second term is shared by all rows, so the projection stays fused.
            shift = functional.linear(shared.added, self.query_key_value.weight[: self.query_width + self.key_width])
            mixed = mixed + functional.pad(shift, (0, self.key_width))
        heads = mixed.view(batch, length, self.heads + 2 * self.grouped_heads, self.head_width)
        query_key, value = heads.split((self.heads + self.grouped_heads, self.grouped_heads), dim=2)
        prefix = self.prefix
        projected = taps and any(prefix + name in taps for name in ("hook_q", "hook_k", "hook_v"))
        if projected or self.smear is not None:
            query, key = query_key.split((self.heads, self.grouped_heads), dim=2)
            if self.smear is not None:
                key = self._smeared(key, self.smear, shared, cache)
            query = visit(taps, prefix + "hook_q", query)
            key = visit(taps, prefix + "hook_k", key)
            value = visit(taps, prefix + "hook_v", value)
            query_key = torch.cat((query, key), dim=2)
        if shared.rotation is not None:
            query_key = rotate(query_key, shared.rotation)
        query, key = query_key.split((self.heads, self.grouped_heads), dim=2)
        if cache is not None:
            key, value = cache.extend(self.layer, key, value)
        z = attend(
            query,
            key,
            value,
            shared.layout,
            scale=self.scale,
            dropout=self.dropout if self.training else 0.0,
            scores_tap=taps.get(prefix + "hook_attn_scores") if taps else None,
            pattern_tap=taps.get(prefix + "hook_pattern") if taps else None,
        )
        if taps:
            z = visit(taps, prefix + "hook_z", z)
        mixed_heads: Tensor = self.output(z.reshape(batch, length, self.query_width))
        return mixed_heads

    def _smeared(self, key: Tensor, smear: Tensor, shared: Shared, cache: Cache | None) -> Tensor:
        before = key[:, :1]  # the first key is its own predecessor, so it stays unchanged
        if cache is not None:
            last = cache.state(self.layer, before)  # the last key of each row, before smearing
            if max(cache.lengths) > 0:
                before = last.clone()
            rows = torch.arange(len(key), device=key.device)
            last[:, 0] = key[rows, torch.tensor(cache.counts, device=key.device) - 1]
        previous = torch.cat((before, key[:, :-1]), dim=1)
        if shared.continues is not None:
            previous = torch.where(shared.continues[:, :, None, None], previous, key)
        share = torch.sigmoid(smear).to(key.dtype)[:, None].expand(-1, self.head_width)
        return torch.lerp(previous, key, share)


def attend(
    query: Float[Tensor, "batch query heads head_width"],
    key: Float[Tensor, "batch key key_value_heads head_width"],
    value: Float[Tensor, "batch key key_value_heads value_width"],
    layout: Layout,
    *,
    scale: float,
    window: int | None = None,
    softcap: float | None = None,
    dropout: float = 0.0,
    scores_tap: Tap | None = None,
    pattern_tap: Tap | None = None,
) -> Float[Tensor, "batch query heads value_width"]:
    """Each query's mean of the values it sees, weighted by the softmax of its scaled products with their keys.

    The fused kernel computes it, unless a tap rewrites scores or pattern, or scores are capped.

    Args:
        query: Queries, rotated where positions are rotary.
        key: Keys, of earlier tokens too.
        value: Values, likewise.
        layout: Which tokens see which.
        scale: Multiplies the products.
        window: A token sees only this many positions, itself included.
        softcap: Scores become `softcap` x tanh(score / `softcap`) (Gemma 2).
        dropout: Share of the pattern set to zero.
        scores_tap: Tap on the scores.
        pattern_tap: Tap on the pattern.
    """
    query, key, value = query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2)
    allowed, causal = layout.seen(window)
    groups = query.shape[1] // key.shape[1]
    if scores_tap is not None or pattern_tap is not None or softcap is not None:
        pattern = visit_pattern(
            query,
            key.repeat_interleave(groups, dim=1),
            allowed=allowed,
            causal=causal,
            scale=scale,
            scores_tap=scores_tap,
            pattern_tap=pattern_tap,
            softcap=softcap,
        )
        if pattern is not None:
            z = functional.dropout(pattern, dropout) @ value.repeat_interleave(groups, dim=1)
            return z.transpose(1, 2)
    if query.shape[2] == 1 and dropout == 0 and not torch.is_grad_enabled() and arrays.usable(query):
        seen = None if allowed is None else allowed.numpy()
        once = arrays.attend_once(query[:, :, 0].numpy(), key.numpy(), value.numpy(), seen, scale)
        return torch.from_numpy(once)[:, None]
    return functional.scaled_dot_product_attention(
        query,
        key,
        value,
        attn_mask=allowed,
        dropout_p=dropout,
        is_causal=causal,
        scale=scale,
        enable_gqa=groups > 1,
    ).transpose(1, 2)


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
    """Cosines and sines for `rotate`, each [rows, position, 1, head_width]; the first half of the sines negated."""
    exponent = torch.arange(0, head_width, 2, dtype=torch.float32, device=positions.device) / head_width
    angle = positions[:, :, None, None].float() * base**-exponent
    cosine, sine = angle.cos(), angle.sin()
    return torch.cat((cosine, cosine), dim=-1).to(dtype), torch.cat((-sine, sine), dim=-1).to(dtype)


@functools.lru_cache(maxsize=8)
def rotations(
    context: int, head_width: int, base: float, dtype: torch.dtype, device: torch.device
) -> tuple[Tensor, Tensor]:
    """`rotation_of` every position up to `context`, kept: sampling looks single positions up again and again."""
    with torch.inference_mode(False):
        cosine, sine = rotation_of(torch.arange(context, device=device)[None], head_width, base, dtype)
    return cosine[0], sine[0]
