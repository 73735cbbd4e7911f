import pytest
import torch
from hypothesis import given, settings
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from tests.models.shapes import configs
from windtunnel.models.counting import count_parameters, forward_flops, training_flops
from windtunnel.models.transformer import Transformer, TransformerConfig


@settings(max_examples=60, deadline=None)
@given(configs())
def test_parameters_equal_the_module(config):
    module, count = Transformer(config), count_parameters(config)
    assert count.total == sum(parameter.numel() for parameter in module.parameters())
    embedding = [module.embedding.weight, module.position_vectors, getattr(module.unembedding, "weight", None)]
    assert count.embedding == sum(weight.numel() for weight in embedding if weight is not None)
    matrices = [weight for weight in module.blocks.parameters() if weight.ndim == 2]
    assert count.matrices == sum(weight.numel() for weight in matrices)


def test_the_usual_shape_has_twelve_layers_width_squared():
    config = TransformerConfig(vocabulary=50257, context=1024, layers=12, width=768, heads=12, bias=True)
    count = count_parameters(config)
    assert count.matrices == 12 * 12 * 768**2
    # Kaplan et al., section 2.1: 2 N + 2 layers x context x width, the embedding and unembedding apart
    flops = forward_flops(config)
    assert flops.total - flops.embed - flops.unembed == 2 * count.matrices + 2 * 12 * 1024 * 768
    assert flops.embed == 4 * 768
    assert training_flops(config) == 3 * flops.total


def test_gpt2_small_has_its_published_size():
    config = TransformerConfig(
        vocabulary=50257, context=1024, layers=12, width=768, heads=12, bias=True, tied_embeddings=True
    )
    assert count_parameters(config).total == 124_439_808


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"positions": "rotary", "activation": "swiglu", "normalization": "rmsnorm", "key_value_heads": 2},
        {"mlp_ratio": None, "positions": "none", "head_width": 8},
    ],
)
def test_flops_equal_the_counter_of_torch(options):
    config = TransformerConfig(vocabulary=50, context=32, layers=2, width=16, heads=4, **options)
    module, length, rows = Transformer(config), 24, 3
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), counter:
        module(torch.zeros(rows, length, dtype=torch.long))
    expected = forward_flops(config, length)
    # The counter sees every key of every query; a causal query uses half. It does not see additions and look-ups.
    assert counter.get_total_flops() == rows * length * (expected.total - expected.embed + expected.attention)
