"""Configurations drawn over every option, and small models of every kind, shared by the tests."""

import torch
from hypothesis import strategies

from windtunnel.models.transformer import Transformer, TransformerConfig


@strategies.composite
def configs(draw) -> TransformerConfig:
    grouped = draw(strategies.sampled_from([1, 2, 4]))
    return TransformerConfig(
        vocabulary=draw(strategies.integers(3, 20)),
        context=12,
        layers=draw(strategies.integers(1, 2)),
        width=8,
        heads=4,
        key_value_heads=draw(strategies.sampled_from([None, grouped])),
        head_width=draw(strategies.sampled_from([None, 2, 6])),
        mlp_ratio=draw(strategies.sampled_from([None, 0.5, 2.0])),
        activation=draw(strategies.sampled_from(["gelu", "swiglu"])),
        normalization=draw(strategies.sampled_from(["layernorm", "rmsnorm"])),
        positions=draw(strategies.sampled_from(["learned", "sinusoidal_qk", "rotary", "none"])),
        positions_trainable=draw(strategies.booleans()),
        smeared_keys=draw(strategies.booleans()),
        tied_embeddings=draw(strategies.booleans()),
        bias=draw(strategies.booleans()),
        embedding_scale=1.0,
    )


def perturbed(config: TransformerConfig, seed: int = 0) -> Transformer:
    """A decoder none of whose parameters has a value that could hide an error (no zero bias, no unit gain)."""
    generator = torch.Generator().manual_seed(seed)
    module = Transformer(config, generator).eval()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += 0.3 * torch.randn(parameter.shape, generator=generator)
    return module


def tokens_of(module: Transformer, rows: int, length: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(module.config.vocabulary, (rows, length), generator=generator)
