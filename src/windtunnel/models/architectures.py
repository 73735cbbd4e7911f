"""Where the activations of each transformers architecture are: one entry of the table per model type."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from torch import nn


@dataclass(frozen=True)
class Architecture:
    """Paths of modules, relative to the model or (from `attention_normalization` on) to a block.

    Attributes:
        embedding: Token embedding.
        blocks: List of blocks.
        final_normalization: Last normalisation, before the unembedding.
        attention_normalization: Normalisation before the attention of a block.
        attention: Attention module of a block; the next two are relative to it.
        projections: Query, key and value projections, or one fused projection.
        attention_output: Output projection of attention.
        mlp: MLP of a block; `mlp_output`, relative to it, is its last projection.
        middle: Normalisation before the MLP: its input is the residual stream between attention and MLP.
        attention_added: What is added to the stream, where it is not the output of `attention_output` (Gemma
            normalises it again); `mlp_added` likewise, where it is not that of `mlp`.
        fused: How a fused projection lays out its output: `concatenated` (all queries, all keys, all values) or
            `heads` (query, key and value of head 0, then of head 1, ...); None if not fused.
        parallel: Whether a config makes attention and MLP read the same residual stream, so that there is no middle.
        transposed: Whether weights are stored [inputs, outputs].
    """

    embedding: str
    blocks: str
    final_normalization: str
    attention_normalization: str
    attention: str
    projections: tuple[str, ...]
    attention_output: str
    mlp: str
    mlp_output: str
    middle: str
    attention_added: str | None = None
    mlp_added: str | None = None
    fused: str | None = None
    parallel: Callable[[Any], bool] = lambda config: False
    transposed: bool = False


_LLAMA = Architecture(
    embedding="model.embed_tokens",
    blocks="model.layers",
    final_normalization="model.norm",
    attention_normalization="input_layernorm",
    attention="self_attn",
    projections=("q_proj", "k_proj", "v_proj"),
    attention_output="o_proj",
    mlp="mlp",
    mlp_output="down_proj",
    middle="post_attention_layernorm",
)

_GEMMA = replace(
    _LLAMA,
    middle="pre_feedforward_layernorm",
    attention_added="post_attention_layernorm",
    mlp_added="post_feedforward_layernorm",
)

ARCHITECTURES: dict[str, Architecture] = {
    "llama": _LLAMA,
    "mistral": _LLAMA,
    "qwen2": _LLAMA,
    "qwen3": _LLAMA,
    "gemma2": _GEMMA,
    "gemma3_text": _GEMMA,
    "phi3": replace(_LLAMA, projections=("qkv_proj",), fused="concatenated"),
    "phi": replace(
        _LLAMA,
        final_normalization="model.final_layernorm",
        attention_output="dense",
        mlp_output="fc2",
        parallel=lambda config: True,
    ),
    "gpt2": Architecture(
        embedding="transformer.wte",
        blocks="transformer.h",
        final_normalization="transformer.ln_f",
        attention_normalization="ln_1",
        attention="attn",
        projections=("c_attn",),
        fused="concatenated",
        attention_output="c_proj",
        mlp="mlp",
        mlp_output="c_proj",
        middle="ln_2",
        transposed=True,
    ),
    "gpt_neox": Architecture(
        embedding="gpt_neox.embed_in",
        blocks="gpt_neox.layers",
        final_normalization="gpt_neox.final_layer_norm",
        attention_normalization="input_layernorm",
        attention="attention",
        projections=("query_key_value",),
        fused="heads",
        attention_output="dense",
        mlp="mlp",
        mlp_output="dense_4h_to_h",
        middle="post_attention_layernorm",
        parallel=lambda config: bool(config.use_parallel_residual),
    ),
}
"""By `model_type` of the config. Every entry is tested on a small random model of its kind."""


def discover_blocks(module: nn.Module, layers: int) -> nn.ModuleList | None:
    """The list of blocks of an architecture without a map: the only list of as many modules as there are layers.

    Returns:
        None where there is none, or more than one, so that nothing is guessed.
    """
    found = [part for part in module.modules() if isinstance(part, nn.ModuleList) and len(part) == layers]
    return found[0] if len(found) == 1 else None
