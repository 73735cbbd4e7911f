"""Where the activations of each transformers architecture are: one entry of the table per model type."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Architecture:
    """Paths of the modules of one architecture, relative to the model or (from `attention` on) to a block.

    Attributes:
        embedding: Token embedding.
        blocks: List of blocks.
        final_normalization: Last normalisation, before the unembedding.
        attention_normalization: Normalisation before the attention of a block, relative to the block.
        attention: Attention module of a block; the next four are relative to it.
        projections: Query, key and value projections, or one fused projection.
        fused: How a fused projection lays out its output: `thirds` (all queries, all keys, all values) or `heads`
            (query, key and value of head 0, then of head 1, ...); None if not fused.
        attention_output: Output projection of attention.
        mlp: MLP of a block; `mlp_output`, relative to it, is its last projection.
        middle: Normalisation before the MLP: its input is the residual stream between attention and MLP.
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

ARCHITECTURES: dict[str, Architecture] = {
    "llama": _LLAMA,
    "mistral": _LLAMA,
    "qwen2": _LLAMA,
    "qwen3": _LLAMA,
    "gpt2": Architecture(
        embedding="transformer.wte",
        blocks="transformer.h",
        final_normalization="transformer.ln_f",
        attention_normalization="ln_1",
        attention="attn",
        projections=("c_attn",),
        fused="thirds",
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
