"""A small random model of every kind, as the original library builds it and as a LanguageModel."""

import torch
from torch import nn
from transformers import (
    Gemma2Config,
    Gemma2ForCausalLM,
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Phi3Config,
    Phi3ForCausalLM,
    PhiConfig,
    PhiForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from tests.models.shapes import perturbed
from windtunnel.models.interface import LanguageModel, from_module
from windtunnel.models.pretrained import Pretrained
from windtunnel.models.transformer import TransformerConfig

LLAMA_LIKE = {
    "vocab_size": 31,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 32,
    "head_dim": 6,
    "bos_token_id": None,
    "eos_token_id": None,
    "pad_token_id": None,
}
NEOX = {
    "vocab_size": 31,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 32,
    "bos_token_id": None,
    "eos_token_id": None,
}
ORIGINALS = {
    "llama": lambda: LlamaForCausalLM(LlamaConfig(**LLAMA_LIKE)),
    "mistral": lambda: MistralForCausalLM(MistralConfig(**LLAMA_LIKE, sliding_window=4)),
    "qwen2": lambda: Qwen2ForCausalLM(Qwen2Config(**{**LLAMA_LIKE, "head_dim": 4})),
    "qwen3": lambda: Qwen3ForCausalLM(Qwen3Config(**LLAMA_LIKE)),
    "gemma2": lambda: Gemma2ForCausalLM(
        Gemma2Config(**LLAMA_LIKE, sliding_window=4, attn_logit_softcapping=2.0, final_logit_softcapping=3.0)
    ),
    "gemma3": lambda: Gemma3ForCausalLM(
        Gemma3TextConfig(**LLAMA_LIKE, sliding_window=4, layer_types=["sliding_attention", "full_attention"])
    ),
    "phi": lambda: PhiForCausalLM(PhiConfig(**{**LLAMA_LIKE, "head_dim": 4})),
    "phi3": lambda: Phi3ForCausalLM(Phi3Config(**{**LLAMA_LIKE, "head_dim": 4, "pad_token_id": 0})),
    "gpt2": lambda: GPT2LMHeadModel(
        GPT2Config(vocab_size=31, n_positions=32, n_embd=16, n_layer=2, n_head=4, bos_token_id=None, eos_token_id=None)
    ),
    "gpt_neox": lambda: GPTNeoXForCausalLM(GPTNeoXConfig(**NEOX)),
    "gpt_neox_serial": lambda: GPTNeoXForCausalLM(GPTNeoXConfig(**NEOX, use_parallel_residual=False)),
}
SHAPE = {"vocabulary": 31, "context": 32, "layers": 2, "width": 16, "heads": 4, "embedding_scale": 1.0}
OURS = {
    "ours_gpt2_like": TransformerConfig(**SHAPE, bias=True, tied_embeddings=True),
    "ours_llama_like": TransformerConfig(
        **SHAPE, key_value_heads=2, activation="swiglu", normalization="rmsnorm", positions="rotary"
    ),
    "ours_attention_only": TransformerConfig(**SHAPE, mlp_ratio=None, positions="sinusoidal_qk", smeared_keys=True),
}
KINDS = [*ORIGINALS, *OURS]


def original(kind: str) -> nn.Module:
    """A transformers model with its own attention, every parameter drawn so that none hides an error."""
    module = ORIGINALS[kind]().eval()
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in module.parameters():
            centre = 0.5 if parameter.ndim == 1 else 0.0  # gains and biases
            parameter.copy_(centre + 0.3 * torch.randn(parameter.shape, generator=generator))
    return module


def model(kind: str) -> LanguageModel:
    if kind in OURS:
        return from_module(perturbed(OURS[kind]), name=kind)
    return LanguageModel(Pretrained(original(kind)), None, kind)


def tokens(rows: int = 2, length: int = 9) -> torch.Tensor:
    return torch.randint(31, (rows, length), generator=torch.Generator().manual_seed(4))
