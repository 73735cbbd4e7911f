"""The decoder trained from scratch: GPT-2-like, Llama-like, attention-only, with smeared keys."""

import math
from contextlib import nullcontext
from pathlib import Path

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from windtunnel.inference.cache import Cache
from windtunnel.laboratory.errors import UsageError
from windtunnel.models.attention import Attention, Shared, rotation_of, rotations, sinusoids
from windtunnel.models.configuration import TransformerConfig
from windtunnel.models.layout import arrange, under
from windtunnel.models.normalization import normalization_scale, rescaled
from windtunnel.models.sites import Tap, visit

__all__ = ["Transformer", "TransformerConfig"]


class MLP(nn.Module):
    """Two projections around a GELU, or three around a gated SiLU."""

    def __init__(self, config: TransformerConfig, layer: int) -> None:
        super().__init__()
        self.layer = layer
        self.gated = config.activation == "swiglu"
        hidden = config.mlp_width
        self.input = nn.Linear(config.width, hidden * (1 + self.gated), bias=config.bias)
        self.output = nn.Linear(hidden, config.width, bias=config.bias)

    def forward(
        self, x: Float[Tensor, "batch position width"], taps: dict[str, Tap]
    ) -> Float[Tensor, "batch position width"]:
        """Transform each position by itself."""
        hidden = self.input(x)
        if self.gated:
            gate, up = hidden.chunk(2, dim=-1)
            hidden = functional.silu(gate) * up
        else:
            hidden = functional.gelu(hidden)
        if taps:
            hidden = visit(taps, f"blocks.{self.layer}.mlp.hook_post", hidden)
        result: Tensor = self.output(hidden)
        return result


class Block(nn.Module):
    """Attention, then an MLP unless the model is attention-only, each adding to the residual stream."""

    def __init__(self, config: TransformerConfig, layer: int) -> None:
        super().__init__()
        self.layer = layer
        self.dropout = config.dropout
        self.attention_normalization = _normalization(config)
        self.attention = Attention(config, layer)
        self.mlp_normalization = None if config.mlp_ratio is None else _normalization(config)
        self.mlp = None if config.mlp_ratio is None else MLP(config, layer)

    def forward(
        self,
        x: Float[Tensor, "batch position width"],
        shared: Shared,
        cache: Cache | None,
        taps: dict[str, Tap],
    ) -> Float[Tensor, "batch position width"]:
        """Add this block's attention and MLP to the residual stream `x`."""
        prefix = f"blocks.{self.layer}." if taps else ""
        if taps:
            x = visit(taps, prefix + "hook_resid_pre", x)
        update = self.attention(self.attention_normalization(x), shared, cache, taps)
        if taps:
            update = visit(taps, prefix + "hook_attn_out", update)
        if self.dropout and self.training:
            update = functional.dropout(update, self.dropout)
        x = x + update
        if self.mlp is not None and self.mlp_normalization is not None:
            if taps:
                x = visit(taps, prefix + "hook_resid_mid", x)
            update = self.mlp(self.mlp_normalization(x), taps)
            if taps:
                update = visit(taps, prefix + "hook_mlp_out", update)
            if self.dropout and self.training:
                update = functional.dropout(update, self.dropout)
            x = x + update
        return visit(taps, prefix + "hook_resid_post", x) if taps else x


class Transformer(nn.Module):
    """A decoder-only transformer for from-scratch science.

    Args:
        config: The shape.
        generator: Source of the initial weights; None: one seeded with 0. The global generator is never used.

    Attributes:
        config: The shape.
        taps: What is read or rewritten, by site name; empty unless a `LanguageModel` records or intervenes.
    """

    def __init__(self, config: TransformerConfig, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.config = config
        self.taps: dict[str, Tap] = {}
        with torch.device("meta"):  # shapes first: no draw from the global generator
            self.embedding = nn.Embedding(config.vocabulary, config.width)
            self.position_vectors: nn.Parameter | None = None
            if config.positions in ("learned", "sinusoidal_qk"):
                trainable = config.positions == "learned" or config.positions_trainable
                self.position_vectors = nn.Parameter(torch.empty(config.context, config.width), requires_grad=trainable)
            self.blocks = nn.ModuleList([Block(config, layer) for layer in range(config.layers)])
            self.final_normalization = _normalization(config)
            self.unembedding = (
                None if config.tied_embeddings else nn.Linear(config.width, config.vocabulary, bias=False)
            )
        self.to_empty(device=torch.get_default_device())
        if self.embedding.weight.device.type != "meta":
            self.initialise(torch.Generator().manual_seed(0) if generator is None else generator)

    @torch.no_grad()
    def initialise(self, generator: torch.Generator) -> None:
        """Draw all weights anew from `generator`, in a fixed order, on the generator's device."""
        config = self.config

        def normal(parameter: Tensor, scale: float) -> None:
            drawn = torch.empty(parameter.shape, device=generator.device, dtype=torch.float32)
            parameter.copy_(drawn.normal_(0.0, scale, generator=generator))

        def matrix(linear: nn.Linear, divisor: float = 1.0) -> None:
            scale = linear.in_features**-0.5 if config.weight_scale is None else config.weight_scale
            normal(linear.weight, scale / divisor)
            if linear.bias is not None:
                linear.bias.zero_()

        normal(self.embedding.weight, config.embedding_scale)
        if self.position_vectors is not None:
            if config.positions == "learned":
                normal(self.position_vectors, config.embedding_scale)
            else:
                every = torch.arange(config.context, device=self.position_vectors.device)
                self.position_vectors.copy_(sinusoids(every, config.width))
        depth = math.sqrt(2 * config.layers) if config.residual_scaling else 1.0
        for block in self.blocks:
            assert isinstance(block, Block)
            matrix(block.attention.query_key_value)
            matrix(block.attention.output, depth)
            if block.attention.smear is not None:
                block.attention.smear.zero_()
            if block.mlp is not None:
                matrix(block.mlp.input)
                matrix(block.mlp.output, depth)
        if self.unembedding is not None:
            matrix(self.unembedding)
        for module in self.modules():
            if isinstance(module, nn.LayerNorm | nn.RMSNorm):
                module.reset_parameters()

    def forward(
        self,
        tokens: Int[Tensor, "batch position"],
        *,
        mask: Bool[Tensor, "batch position"] | None = None,
        positions: Int[Tensor, "batch position"] | None = None,
        documents: Int[Tensor, "batch position"] | None = None,
        branches: Int[Tensor, "batch position"] | None = None,
        cache: Cache | None = None,
        counts: list[int] | None = None,
    ) -> Float[Tensor, "batch position vocabulary"]:
        """Next-token logits.

        Args:
            tokens: Token ids.
            mask: True at real tokens; padding may be on either side and changes nothing at real tokens.
            positions: Positions to use; by default counted from each row's (or document's) first real token.
            documents: Document number of each token; attention and positions restart with each document.
            branches: Continuations side by side: a token of branch b sees those before it of branches 0 and b.
            cache: Earlier tokens, which `tokens` continue; extended by this call.
            counts: With a cache: how many tokens of each row are real, the rest being padding on the right.

        Raises:
            UsageError: The sequence is longer than the context, or options contradict.
        """
        features = self.features(
            tokens, mask=mask, positions=positions, documents=documents, branches=branches, cache=cache, counts=counts
        )
        return self.unembed(features)

    def features(
        self,
        tokens: Int[Tensor, "batch position"],
        *,
        mask: Bool[Tensor, "batch position"] | None = None,
        positions: Int[Tensor, "batch position"] | None = None,
        documents: Int[Tensor, "batch position"] | None = None,
        branches: Int[Tensor, "batch position"] | None = None,
        cache: Cache | None = None,
        counts: list[int] | None = None,
    ) -> Float[Tensor, "batch position width"]:
        """The normalised residual stream that the unembedding reads; arguments as in `forward`."""
        if cache is not None:
            if mask is not None or documents is not None:
                raise UsageError("A cache continues one sequence per row; leave out mask and documents.")
            cache.begin(tokens.shape[1], counts, tokens.device)
        shared = self._shared(tokens, mask, positions, documents, branches, cache)
        with under(shared.layout) if self.taps else nullcontext():  # interventions ask where tokens stand
            features = self._features(tokens, shared, cache, self.taps)
        if cache is not None:
            cache.end()
        return features

    def _features(self, tokens: Tensor, shared: Shared, cache: Cache | None, taps: dict[str, Tap]) -> Tensor:
        x = self.embedding(tokens)
        if taps:
            x = visit(taps, "hook_embed", x)
        if self.config.positions == "learned" and self.position_vectors is not None:
            x = x + self.position_vectors[shared.layout.positions]
        if self.config.dropout and self.training:
            x = functional.dropout(x, self.config.dropout)
        for block in self.blocks:
            x = block(x, shared, cache, taps)
        normalised: Tensor = self.final_normalization(x)
        if not taps:
            return normalised
        if "ln_final.hook_scale" in taps:
            scale = normalization_scale(self.final_normalization, x)
            changed = visit(taps, "ln_final.hook_scale", scale)
            if changed is not scale:
                normalised = rescaled(self.final_normalization, normalised, scale, changed)
        return visit(taps, "ln_final.hook_out", normalised)

    def unembed(self, features: Float[Tensor, "*rows width"]) -> Float[Tensor, "*rows vocabulary"]:
        """Logits of normalised residual vectors."""
        if self.unembedding is None:
            return functional.linear(features, self.embedding.weight)
        logits: Tensor = self.unembedding(features)
        return logits

    def _shared(
        self,
        tokens: Tensor,
        mask: Tensor | None,
        positions: Tensor | None,
        documents: Tensor | None,
        branches: Tensor | None,
        cache: Cache | None,
    ) -> Shared:
        """What the layers share."""
        config = self.config
        earlier = 0 if cache is None else max(cache.lengths)
        total = earlier + tokens.shape[1]
        if positions is None and total > config.context:
            raise UsageError(
                f"A sequence of {total} tokens is longer than the model's context of {config.context}; shorten it."
            )
        layout = arrange(tokens, mask=mask, documents=documents, positions=positions, branches=branches, cache=cache)
        rotation = None
        if config.positions == "rotary":
            options = (config.width_of_head, config.rotary_base, self.embedding.weight.dtype)
            if cache is None:
                rotation = rotation_of(layout.positions, *options)
            else:
                cosine, sine = rotations(config.context, *options, tokens.device)
                rotation = cosine[layout.positions], sine[layout.positions]
        added = None
        if config.positions == "sinusoidal_qk" and self.position_vectors is not None:
            added = self.position_vectors[layout.positions]
        continues = None
        if config.smeared_keys:
            if branches is not None:
                raise UsageError("Smeared keys have one predecessor each, so a row cannot hold branches.")
            if mask is not None or documents is not None:
                continues = _continues(mask, documents, tokens)
        return Shared(layout, rotation, added, continues)

    @staticmethod
    def from_directory(directory: str | Path) -> "Transformer":
        """Load a decoder that `windtunnel.models.checkpoint.save` wrote.

        Raises:
            DataError: The directory is not such a checkpoint, or its weights are cut short or of another shape.
        """
        from windtunnel.models.checkpoint import load_transformer

        return load_transformer(Path(directory))


def _normalization(config: TransformerConfig) -> nn.Module:
    if config.normalization == "layernorm":
        return nn.LayerNorm(config.width, eps=config.normalization_epsilon, bias=config.bias)
    return nn.RMSNorm(config.width, eps=config.normalization_epsilon)


def _continues(real: Tensor | None, documents: Tensor | None, tokens: Tensor) -> Tensor:
    """Whether each token's predecessor exists, is real and belongs to the same document."""
    result = torch.ones_like(tokens, dtype=torch.bool)
    result[:, 0] = False
    if real is not None:
        result[:, 1:] &= real[:, :-1]
    if documents is not None:
        result[:, 1:] &= documents[:, 1:] == documents[:, :-1]
    return result
