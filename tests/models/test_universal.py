"""A decoder of one block passed several times: it is the deep decoder of equal blocks, and counts its weights once."""

import pytest
import torch
from pydantic import ValidationError

from windtunnel.models.configuration import TransformerConfig
from windtunnel.models.counting import training_flops
from windtunnel.models.transformer import Transformer
from windtunnel.models.universal import Universal, UniversalConfig, count_universal, universal_flops
from windtunnel.scaling.rungs import Rung, build, flops_per_token, sizes
from windtunnel.training.objectives import next_token

BLOCK = TransformerConfig(vocabulary=11, context=8, layers=1, width=12, heads=3, positions="rotary")
SHAPE = UniversalConfig(decoder=BLOCK, passes=3)
TOKENS = torch.tensor([[1, 5, 2, 2, 9, 0, 3, 7], [4, 4, 4, 8, 10, 6, 1, 1]])


def test_it_is_the_decoder_whose_blocks_are_all_alike():
    model = Universal(SHAPE, torch.Generator().manual_seed(1))
    deep = Transformer(BLOCK.model_copy(update={"layers": 3}), torch.Generator().manual_seed(1))
    weights = model.decoder.state_dict()
    for name in deep.state_dict():
        source = name if not name.startswith("blocks.") else f"blocks.0.block.{name.split('.', 2)[2]}"
        deep.state_dict()[name].copy_(weights[source])
    assert torch.allclose(model(TOKENS), deep(TOKENS), atol=1e-6)


def test_initial_outputs_are_scaled_by_the_depth():
    generator = torch.Generator().manual_seed(1)
    shallow = Transformer(BLOCK, generator).state_dict()["blocks.0.mlp.output.weight"]
    model = Universal(SHAPE, torch.Generator().manual_seed(1))
    assert torch.allclose(model.decoder.state_dict()["blocks.0.block.mlp.output.weight"], shallow / 3**0.5)


def test_weights_are_counted_once_and_work_at_every_pass():
    model = build(SHAPE, 0)
    assert count_universal(SHAPE).total == sum(parameter.numel() for parameter in model.parameters())
    assert sizes(SHAPE) == sizes(BLOCK)
    assert flops_per_token(SHAPE) == universal_flops(SHAPE) == training_flops(BLOCK.model_copy(update={"layers": 3}))
    rung = Rung.of(SHAPE, 1_000)
    assert rung.name.startswith("universal-3x12")
    assert Rung.model_validate(rung.model_dump()) == rung


def test_gradients_of_all_passes_reach_the_block():
    model = build(SHAPE, 0)
    loss, count = next_token(model, {"tokens": TOKENS})
    (loss / count).backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in model.parameters())


def test_a_decoder_of_two_blocks_is_refused():
    with pytest.raises(ValidationError, match="2 layers"):
        UniversalConfig(decoder=BLOCK.model_copy(update={"layers": 2}), passes=2)
