"""The backend of decoders trained here: what `LanguageModel` asks of a `Transformer`."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from windtunnel.inference.cache import Cache
from windtunnel.inference.decoder import Kept
from windtunnel.models import stepping
from windtunnel.models.shape import AttentionWeights, Shape, by_head, output_by_head
from windtunnel.models.sites import Tap
from windtunnel.models.transformer import Block, Transformer, TransformerConfig


class FromScratch:
    """A `Transformer` as a decoder with sites and weights."""

    def __init__(self, module: Transformer) -> None:
        self.module = module
        config = module.config
        self.shape = Shape(
            layers=config.layers,
            width=config.width,
            heads=config.heads,
            key_value_heads=config.grouped_heads,
            head_width=config.width_of_head,
            vocabulary=config.vocabulary,
            context=config.context,
        )
        self.sites = _sites(config)
        self.taps = module.taps
        self._listeners = stepping.listeners(module)
        self.caches = True
        self.branching = not config.smeared_keys
        self.ends: frozenset[int] = frozenset()

    @property
    def context(self) -> int:
        """Longest sequence in tokens."""
        return self.shape.context

    @property
    def vocabulary(self) -> int:
        """Number of token types."""
        return self.shape.vocabulary

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.module.embedding.weight.device

    def open(self, tap: Tap) -> Callable[[], None]:
        """Nothing to connect: the decoder looks its taps up by name."""
        return lambda: None

    def logits(
        self,
        tokens: Tensor,
        mask: Tensor | None = None,
        *,
        cache: Cache | None = None,
        counts: list[int] | None = None,
        positions: Tensor | None = None,
        branches: Tensor | None = None,
        keep: Kept | None = None,
    ) -> Tensor:
        """Next-token logits; see `inference.decoder.Decoder.logits`."""
        usual = mask is None and counts is None and positions is None and branches is None and keep is None
        if cache is not None and usual and stepping.applies(self.module, tokens, cache) and not any(self._listeners):
            return stepping.step(self.module, tokens[:, 0], cache)[:, None]
        features = self.module.features(
            tokens, mask=mask, positions=positions, branches=branches, cache=cache, counts=counts
        )
        return self.module.unembed(features if keep is None else features[keep])

    def attention_weights(self, layer: int) -> AttentionWeights:
        """Weights of one layer by head."""
        block = self.module.blocks[layer]
        assert isinstance(block, Block)
        attention, shape = block.attention, self.shape
        query, key, value = torch.split(
            attention.query_key_value.weight, [attention.query_width, attention.key_width, attention.key_width]
        )
        return AttentionWeights(
            query=by_head(query, shape),
            key=by_head(key, shape),
            value=by_head(value, shape),
            output=output_by_head(attention.output.weight, shape),
        )

    def normalization(self, layer: int | None) -> nn.Module:
        """The normalisation before a layer's attention, or the last one."""
        if layer is None:
            return self.module.final_normalization
        block = self.module.blocks[layer]
        assert isinstance(block, Block)
        return block.attention_normalization

    def embedding(self) -> Tensor:
        """Token embeddings, [vocabulary, width]."""
        return self.module.embedding.weight

    def unembedding(self) -> Tensor:
        """Unembedding, [width, vocabulary]."""
        unembedding = self.module.unembedding
        return (self.module.embedding.weight if unembedding is None else unembedding.weight).T


def _sites(config: TransformerConfig) -> list[str]:
    sites = ["hook_embed"]
    for layer in range(config.layers):
        block = f"blocks.{layer}."
        sites += [block + "hook_resid_pre"]
        sites += [block + f"attn.hook_{name}" for name in ("q", "k", "v", "attn_scores", "pattern", "z")]
        sites += [block + "hook_attn_out"]
        if config.mlp_ratio is not None:
            sites += [block + name for name in ("hook_resid_mid", "mlp.hook_post", "hook_mlp_out")]
        sites += [block + "hook_resid_post"]
    return [*sites, "ln_final.hook_scale", "ln_final.hook_out"]
