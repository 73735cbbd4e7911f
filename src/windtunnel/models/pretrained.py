"""The backend of transformers checkpoints: raw forward hooks under canonical names, and patterns on demand."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.masking_utils import sdpa_mask

from windtunnel.inference.cache import Cache
from windtunnel.inference.decoder import Kept
from windtunnel.laboratory.errors import Unsupported, UsageError
from windtunnel.models.architectures import ARCHITECTURES, Architecture, discover_blocks
from windtunnel.models.attention import attend
from windtunnel.models.layout import Layout, arrange, current_layout, under
from windtunnel.models.normalization import normalization_scale, rescaled
from windtunnel.models.shape import AttentionWeights, Shape, by_head, output_by_head
from windtunnel.models.sites import Tap

ATTENTION = "windtunnel"
TAPS = "_windtunnel_taps"


def shared_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    softcap: float | None = None,
    sliding_window: int | None = None,
    **options: Any,
) -> tuple[Tensor, None]:
    """The attention of this package in place of transformers' own: its layouts, its cache and its taps.

    Shapes: query [batch, heads, query, head_width], key and value [batch, key_value_heads, key, head_width]. Called by
    others (a trainer, `module.generate`), it follows the mask that transformers makes, in which windows are drawn.
    """
    layout = current_layout()
    query, key, value = query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2)
    if layout is None:
        if attention_mask is not None and attention_mask.dtype != torch.bool:
            raise Unsupported("Attention here takes boolean masks only, not additive ones.")
        causal = attention_mask is None and query.shape[1] > 1
        layout, sliding_window = Layout(torch.arange(query.shape[1])[None], attention_mask, causal), None
    elif layout.cache is not None:
        key, value = layout.cache.extend(int(module.layer_idx), key, value)  # type: ignore[arg-type]
    taps: dict[str, Tap] = module.__dict__.get(TAPS, {})
    z = attend(
        query,
        key,
        value,
        layout,
        scale=query.shape[-1] ** -0.5 if scaling is None else scaling,
        window=sliding_window,
        softcap=softcap,
        dropout=dropout,
        scores_tap=taps.get("hook_attn_scores"),
        pattern_tap=taps.get("hook_pattern"),
    )
    return z.contiguous(), None


def _mask(*arguments: Any, **options: Any) -> Tensor | None:
    """The mask that transformers would make, unless the layout of this package takes its place."""
    mask: Tensor | None = sdpa_mask(*arguments, **options) if current_layout() is None else None
    return mask


AttentionInterface.register(ATTENTION, shared_attention)
AttentionMaskInterface.register(ATTENTION, _mask)


class Pretrained:
    """A transformers causal language model as a decoder with sites and weights."""

    def __init__(self, module: PreTrainedModel) -> None:
        self.module = module
        config = module.config.get_text_config()
        self.architecture = ARCHITECTURES.get(module.config.model_type)
        self.caches = self.branching = self.architecture is not None
        if self.architecture is not None:
            module.set_attn_implementation(ATTENTION)
        heads = config.num_attention_heads
        self.shape = Shape(
            layers=config.num_hidden_layers,
            width=config.hidden_size,
            heads=heads,
            key_value_heads=getattr(config, "num_key_value_heads", None) or heads,
            head_width=getattr(config, "head_dim", None) or config.hidden_size // heads,
            vocabulary=config.vocab_size,
            context=config.max_position_embeddings,
        )
        self.blocks = self._find_blocks()
        if self.architecture is not None:
            self.sites = _sites(self.architecture, config)
        else:
            self.sites = [] if self.blocks is None else _residual_sites(len(self.blocks))
        self.taps: dict[str, Tap] = module.__dict__.setdefault(TAPS, {})
        ends = getattr(module.generation_config, "eos_token_id", None)
        self.ends = frozenset([ends] if isinstance(ends, int) else ends or [])

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
        """Where the embeddings are."""
        device: torch.device = self.module.get_input_embeddings().weight.device
        return device

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
        if positions is None:
            self._check_length(tokens.shape[1] + (0 if cache is None else max(cache.lengths)))
        with self._only(keep):
            if self.architecture is None:
                options = {} if mask is None else {"attention_mask": mask.long(), "position_ids": _positions(mask)}
                result: Tensor = self.module(tokens, use_cache=False, **options).logits
            else:
                if cache is not None:
                    cache.begin(tokens.shape[1], counts, tokens.device)
                layout = arrange(tokens, mask=mask, positions=positions, branches=branches, cache=cache)
                with under(layout):
                    result = self.module(tokens, position_ids=layout.positions, use_cache=False).logits
                if cache is not None:
                    cache.end()
        return result if keep is None else result[0]

    @contextmanager
    def _only(self, keep: Kept | None) -> Iterator[None]:
        """Inside, the unembedding is given the residual stream at the places to keep, [1, kept, width], and no more."""
        if keep is None:
            yield
            return
        hook = self.module.get_output_embeddings().register_forward_pre_hook(
            lambda module, inputs: (inputs[0][keep][None],)
        )
        try:
            yield
        finally:
            hook.remove()

    @contextmanager
    def original_attention(self) -> Iterator[None]:
        """The library's own plain attention inside, to compare with; no site of attention is reached there."""
        before = self.module.config._attn_implementation
        self.module.set_attn_implementation("eager")
        try:
            yield
        finally:
            self.module.set_attn_implementation(before)

    def _check_length(self, length: int) -> None:
        if length > self.context:
            raise UsageError(
                f"A sequence of {length} tokens is longer than the model's context of {self.context}; shorten it."
            )

    def open(self, tap: Tap) -> Callable[[], None]:
        """Register the raw hook of one site and return what removes it."""
        if tap.name == "hook_embed":
            return _on_output(self.module.get_input_embeddings(), tap.visit)
        found = re.fullmatch(r"blocks\.(\d+)\.(.+)", tap.name)
        if found is None:
            last = self.normalization(None)
            return _on_scale(last, tap) if tap.name.endswith("hook_scale") else _on_output(last, tap.visit)
        assert self.blocks is not None
        block, kind = self.blocks[int(found[1])], found[2]
        if kind == "hook_resid_pre":
            return _on_input(block, tap.visit)
        if kind == "hook_resid_post":
            return _on_output(block, tap.visit)
        table, shape = self._mapped(), self.shape
        attention, mlp = block.get_submodule(table.attention), block.get_submodule(table.mlp)
        match kind:
            case "hook_resid_mid":
                return _on_shared_input(block.get_submodule(table.middle), tap)
            case "hook_attn_out":
                if table.attention_added is not None:
                    return _on_output(block.get_submodule(table.attention_added), tap.visit)
                return _on_output(attention.get_submodule(table.attention_output), tap.visit)
            case "attn.hook_z":
                output = attention.get_submodule(table.attention_output)
                return _on_input(output, _in_heads(tap, shape.head_width))
            case "attn.hook_q" | "attn.hook_k" | "attn.hook_v":
                which = "qkv".index(kind[-1])
                if table.fused is None:
                    return _on_output(
                        attention.get_submodule(table.projections[which]), _in_heads(tap, shape.head_width)
                    )
                fused = _in_part(tap, which, table.fused, shape)
                return _on_output(attention.get_submodule(table.projections[0]), fused)
            case "hook_mlp_out":
                added = mlp if table.mlp_added is None else block.get_submodule(table.mlp_added)
                return _on_output(added, tap.visit)
            case "mlp.hook_post":
                return _on_input(mlp.get_submodule(table.mlp_output), tap.visit)
            case _:  # scores and patterns: the attention function looks its taps up on its module
                taps = attention.__dict__.setdefault(TAPS, {})
                name = kind.removeprefix("attn.")
                taps[name] = tap
                return lambda: taps.pop(name)

    def attention_weights(self, layer: int) -> AttentionWeights:
        """Weights of one layer by head."""
        table, shape = self._mapped(), self.shape
        attention = self._block(layer).get_submodule(table.attention)
        weights = [_outputs_first(attention.get_submodule(name), table) for name in table.projections]
        if table.fused == "concatenated":
            weights = list(torch.split(weights[0], _widths(shape)))
        elif table.fused == "heads":
            weights = list(weights[0].reshape(shape.heads, 3, shape.head_width, -1).transpose(0, 1).flatten(1, 2))
        query, key, value = (by_head(weight, shape) for weight in weights)
        output = _outputs_first(attention.get_submodule(table.attention_output), table)
        return AttentionWeights(query, key, value, output_by_head(output, shape))

    def normalization(self, layer: int | None) -> nn.Module:
        """The normalisation before a layer's attention, or the last one."""
        table = self._mapped()
        if layer is None:
            last: nn.Module = self.module.get_submodule(table.final_normalization)
            return last
        return self._block(layer).get_submodule(table.attention_normalization)

    def embedding(self) -> Tensor:
        """Token embeddings, [vocabulary, width]."""
        weight: Tensor = self.module.get_input_embeddings().weight
        return weight

    def unembedding(self) -> Tensor:
        """Unembedding, [width, vocabulary]."""
        weight: Tensor = self.module.get_output_embeddings().weight
        return weight.T

    def _mapped(self) -> Architecture:
        if self.architecture is None:
            raise Unsupported(
                f"The architecture {self.module.config.model_type!r} has no map of its weights; "
                f"mapped are {', '.join(sorted(ARCHITECTURES))} and decoders trained here."
            )
        return self.architecture

    def _block(self, layer: int) -> nn.Module:
        assert self.blocks is not None
        block: nn.Module = self.blocks[layer]
        return block

    def _find_blocks(self) -> nn.ModuleList | None:
        if self.architecture is None:
            return discover_blocks(self.module, self.shape.layers)
        blocks = self.module.get_submodule(self.architecture.blocks)
        assert isinstance(blocks, nn.ModuleList)
        return blocks


def _sites(table: Architecture, config: Any) -> list[str]:
    sites = ["hook_embed"]
    for layer in range(config.num_hidden_layers):
        block = f"blocks.{layer}."
        sites += [block + "hook_resid_pre"]
        sites += [block + f"attn.hook_{name}" for name in ("q", "k", "v", "attn_scores", "pattern", "z")]
        sites += [block + "hook_attn_out"]
        sites += [] if table.parallel(config) else [block + "hook_resid_mid"]
        sites += [block + name for name in ("mlp.hook_post", "hook_mlp_out", "hook_resid_post")]
    return [*sites, "ln_final.hook_scale", "ln_final.hook_out"]


def _residual_sites(layers: int) -> list[str]:
    """What can be found without a map: the embedding, and the residual stream around each block."""
    names = ("hook_resid_pre", "hook_resid_post")
    return ["hook_embed", *(f"blocks.{layer}.{name}" for layer in range(layers) for name in names)]


def _widths(shape: Shape) -> list[int]:
    """Widths of all queries, all keys and all values."""
    keys = shape.key_value_heads * shape.head_width
    return [shape.heads * shape.head_width, keys, keys]


def _positions(mask: Tensor) -> Tensor:
    return (mask.long().cumsum(dim=1) - 1).clamp(min=0)


def _outputs_first(linear: nn.Module, table: Architecture) -> Tensor:
    weight = linear.weight
    assert isinstance(weight, Tensor)
    return weight.T if table.transposed else weight


def _on_output(module: nn.Module, change: Callable[[Tensor], Tensor]) -> Callable[[], None]:
    def hook(module: nn.Module, inputs: Any, output: Any) -> Any:
        if isinstance(output, tuple):
            return (change(output[0]), *output[1:])
        return change(output)

    return module.register_forward_hook(hook).remove


def _on_input(module: nn.Module, change: Callable[[Tensor], Tensor]) -> Callable[[], None]:
    def hook(module: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> tuple[tuple[Any, ...], Any]:
        if inputs:
            return (change(inputs[0]), *inputs[1:]), named
        return inputs, {**named, "hidden_states": change(named["hidden_states"])}

    return module.register_forward_pre_hook(hook, with_kwargs=True).remove


def _on_shared_input(module: nn.Module, tap: Tap) -> Callable[[], None]:
    """Tap an input that the caller also keeps under another name (the residual stream around a normalisation).

    Returning a new input would change the branch and not the stream, so a rewritten value is put into the tensor.
    """

    def hook(module: nn.Module, inputs: tuple[Any, ...]) -> None:
        stream: Tensor = inputs[0]
        given = stream.clone() if tap.writes else stream  # what autograd saves must not be overwritten
        changed = tap.visit(given)
        if changed is not given:
            stream.copy_(changed)

    return module.register_forward_pre_hook(hook).remove


def _in_heads(tap: Tap, head_width: int) -> Callable[[Tensor], Tensor]:
    def change(flat: Tensor) -> Tensor:
        heads = flat.view(*flat.shape[:-1], -1, head_width)
        changed = tap.visit(heads)
        return flat if changed is heads else changed.flatten(-2)

    return change


def _on_scale(module: nn.Module, tap: Tap) -> Callable[[], None]:
    """Tap what a normalisation divides by; rewritten, its output is what another divisor would have given."""

    def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        scale = normalization_scale(module, inputs[0])
        changed = tap.visit(scale)
        return output if changed is scale else rescaled(module, output, scale, changed)

    return module.register_forward_hook(hook, prepend=True).remove  # before what taps the output


def _in_part(tap: Tap, which: int, layout: str, shape: Shape) -> Callable[[Tensor], Tensor]:
    """Tap the queries, keys or values inside the output of a fused projection."""

    def change(flat: Tensor) -> Tensor:
        if layout == "heads":
            split = flat.view(*flat.shape[:-1], shape.heads, 3, shape.head_width)
            parts = list(split.unbind(-2))
        else:
            parts = [
                part.view(*part.shape[:-1], -1, shape.head_width) for part in torch.split(flat, _widths(shape), dim=-1)
            ]
        changed = tap.visit(parts[which])
        if changed is parts[which]:
            return flat
        parts[which] = changed
        if layout == "heads":
            return torch.stack(parts, dim=-2).flatten(-3)
        return torch.cat([part.flatten(-2) for part in parts], dim=-1)

    return change
