"""Decoders trained here as ordinary Hugging Face checkpoints."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from windtunnel.laboratory.errors import Unsupported
from windtunnel.laboratory.files import write_json
from windtunnel.models.attention import Attention
from windtunnel.models.checkpoint import CONFIG_FILE, WEIGHTS_FILE, Savable, write_weights
from windtunnel.models.configuration import TransformerConfig
from windtunnel.models.transformer import MLP, Block, Transformer


def export(module: Transformer, directory: str | Path, tokenizer: Savable | None = None) -> None:
    """Write config.json and model.safetensors that `AutoModelForCausalLM.from_pretrained` loads.

    A Llama-like decoder (rmsnorm, rotary, swiglu) becomes a Llama checkpoint; a GPT-2-like one (layernorm, learned
    positions, gelu) a GPT-2 checkpoint with the erf GELU. Logits agree to rounding.

    Args:
        module: The decoder.
        directory: Made if needed.
        tokenizer: Its files are written beside the weights.

    Raises:
        Unsupported: No Hugging Face architecture computes what this configuration does.
    """
    config = module.config
    kind = equivalent(config)
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    if kind == "llama":
        description, weights = _llama_config(config), _llama_weights(module)
    else:
        description, weights = _gpt2_config(config), _gpt2_weights(module)
    description["dtype"] = str(module.embedding.weight.dtype).removeprefix("torch.")
    if tokenizer is not None:
        tokenizer.save(directory)
        for name in ("bos", "eos", "pad"):
            description[f"{name}_token_id"] = getattr(tokenizer, name, None)
    write_weights(directory / WEIGHTS_FILE, weights)
    write_json(directory / CONFIG_FILE, description)


def equivalent(config: TransformerConfig) -> str:
    """`llama` or `gpt2`, whichever computes the same function.

    Raises:
        Unsupported: Neither does; the message names the options in the way.
    """
    common = {
        "mlp_ratio": config.mlp_ratio is not None,
        "smeared_keys": not config.smeared_keys,
    }
    llama = {
        **common,
        "normalization": config.normalization == "rmsnorm",
        "positions": config.positions == "rotary",
        "activation": config.activation == "swiglu",
    }
    gpt2 = {
        **common,
        "normalization": config.normalization == "layernorm",
        "positions": config.positions == "learned",
        "activation": config.activation == "gelu",
        "key_value_heads": config.grouped_heads == config.heads,
        "head_width": config.heads * config.width_of_head == config.width,
    }
    if all(llama.values()):
        return "llama"
    if all(gpt2.values()):
        return "gpt2"
    nearest = min(("Llama", llama), ("GPT-2", gpt2), key=lambda pair: sum(not fits for fits in pair[1].values()))
    wrong = ", ".join(f"{name}={getattr(config, name)!r}" for name, fits in nearest[1].items() if not fits)
    raise Unsupported(
        f"No Hugging Face architecture has {wrong} (the nearest is {nearest[0]}); save it as a windtunnel checkpoint "
        "with windtunnel.models.checkpoint.save instead."
    )


def _llama_config(config: TransformerConfig) -> dict[str, Any]:
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": config.vocabulary,
        "hidden_size": config.width,
        "intermediate_size": config.mlp_width,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "num_key_value_heads": config.grouped_heads,
        "head_dim": config.width_of_head,
        "hidden_act": "silu",
        "max_position_embeddings": config.context,
        "rms_norm_eps": config.normalization_epsilon,
        "rope_parameters": {"rope_type": "default", "rope_theta": config.rotary_base},
        "tie_word_embeddings": config.tied_embeddings,
        "attention_bias": config.bias,
        "mlp_bias": config.bias,
        "attention_dropout": config.dropout,
        "bos_token_id": None,
        "eos_token_id": None,
        "pad_token_id": None,
    }


def _llama_weights(module: Transformer) -> dict[str, Tensor]:
    weights = {"model.embed_tokens.weight": module.embedding.weight}
    for layer, block in enumerate(module.blocks):
        attention, mlp = _parts(block)
        prefix = f"model.layers.{layer}."
        sizes = [attention.query_width, attention.key_width, attention.key_width]
        gate_up = [mlp.output.in_features] * 2
        for kind in ("weight", "bias"):
            if getattr(attention.output, kind) is None:
                continue
            query, key, value = torch.split(getattr(attention.query_key_value, kind), sizes)
            gate, up = torch.split(getattr(mlp.input, kind), gate_up)
            weights |= {
                f"{prefix}self_attn.q_proj.{kind}": query,
                f"{prefix}self_attn.k_proj.{kind}": key,
                f"{prefix}self_attn.v_proj.{kind}": value,
                f"{prefix}self_attn.o_proj.{kind}": getattr(attention.output, kind),
                f"{prefix}mlp.gate_proj.{kind}": gate,
                f"{prefix}mlp.up_proj.{kind}": up,
                f"{prefix}mlp.down_proj.{kind}": getattr(mlp.output, kind),
            }
        weights[f"{prefix}input_layernorm.weight"] = _gain(block.attention_normalization)
        weights[f"{prefix}post_attention_layernorm.weight"] = _gain(block.mlp_normalization)
    weights["model.norm.weight"] = _gain(module.final_normalization)
    if module.unembedding is not None:
        weights["lm_head.weight"] = module.unembedding.weight
    return weights


def _gpt2_config(config: TransformerConfig) -> dict[str, Any]:
    return {
        "architectures": ["GPT2LMHeadModel"],
        "model_type": "gpt2",
        "vocab_size": config.vocabulary,
        "n_positions": config.context,
        "n_embd": config.width,
        "n_layer": config.layers,
        "n_head": config.heads,
        "n_inner": config.mlp_width,
        "activation_function": "gelu",
        "layer_norm_epsilon": config.normalization_epsilon,
        "resid_pdrop": config.dropout,
        "embd_pdrop": config.dropout,
        "attn_pdrop": config.dropout,
        "tie_word_embeddings": config.tied_embeddings,
        "bos_token_id": None,
        "eos_token_id": None,
        "pad_token_id": None,
    }


def _gpt2_weights(module: Transformer) -> dict[str, Tensor]:
    assert module.position_vectors is not None
    weights = {"transformer.wte.weight": module.embedding.weight, "transformer.wpe.weight": module.position_vectors}
    for layer, block in enumerate(module.blocks):
        attention, mlp = _parts(block)
        prefix = f"transformer.h.{layer}."
        linears = {
            "attn.c_attn": attention.query_key_value,
            "attn.c_proj": attention.output,
            "mlp.c_fc": mlp.input,
            "mlp.c_proj": mlp.output,
        }
        for name, linear in linears.items():
            weights[f"{prefix}{name}.weight"] = linear.weight.T  # GPT-2 stores [inputs, outputs]
            weights[f"{prefix}{name}.bias"] = _bias(linear, linear.out_features)
        for name, normalization in {"ln_1": block.attention_normalization, "ln_2": block.mlp_normalization}.items():
            weights[f"{prefix}{name}.weight"] = _gain(normalization)
            weights[f"{prefix}{name}.bias"] = _bias(normalization, module.config.width)
    weights["transformer.ln_f.weight"] = _gain(module.final_normalization)
    weights["transformer.ln_f.bias"] = _bias(module.final_normalization, module.config.width)
    if module.unembedding is not None:
        weights["lm_head.weight"] = module.unembedding.weight
    return weights


def _parts(block: torch.nn.Module) -> tuple[Attention, MLP]:
    assert isinstance(block, Block)
    assert block.mlp is not None
    return block.attention, block.mlp


def _gain(normalization: Any) -> Tensor:
    gain: Tensor = normalization.weight
    return gain


def _bias(module: Any, width: int) -> Tensor:
    """The bias, or the zeros that stand for none where the format demands one."""
    bias: Tensor = module.weight.new_zeros(width) if module.bias is None else module.bias
    return bias
