import pytest
import torch
from hypothesis import given, settings
from pydantic import ValidationError
from torch.testing import assert_close

from tests.models import reference
from tests.models.shapes import configs, perturbed, tokens_of
from windtunnel.inference.cache import Cache
from windtunnel.laboratory.errors import UsageError
from windtunnel.models.transformer import Transformer, TransformerConfig

TINY = TransformerConfig(vocabulary=11, context=16, layers=2, width=8, heads=2)
# Olsson et al. (2022) as the induction-heads study trains it: attention only, positions into queries and keys only.
INDUCTION = TransformerConfig(
    vocabulary=48,
    context=64,
    layers=2,
    width=64,
    heads=4,
    mlp_ratio=None,
    positions="sinusoidal_qk",
    embedding_scale=0.1,
)


@settings(max_examples=40, deadline=None)
@given(configs())
def test_equals_a_plain_float64_reference(config):
    module = perturbed(config).double()
    tokens = tokens_of(module, 2, 7)
    with torch.no_grad():
        fast = module(tokens)
    for row, logits in zip(tokens.tolist(), fast, strict=True):
        # rotary angles are formed in float32
        assert_close(logits, reference.logits(module, row), atol=1e-5, rtol=1e-5)


@settings(max_examples=40, deadline=None)
@given(configs())
def test_padding_documents_and_cache_change_nothing_at_real_tokens(config):
    module = perturbed(config)
    tokens = tokens_of(module, 3, 7)
    padding, real = torch.full((3, 3), 2), torch.ones(3, 7, dtype=torch.bool)
    none = torch.zeros(3, 3, dtype=torch.bool)
    with torch.no_grad():
        plain = module(tokens)
        left = module(torch.cat((padding, tokens), 1), mask=torch.cat((none, real), 1))[:, 3:]
        right = module(torch.cat((tokens, padding), 1), mask=torch.cat((real, none), 1))[:, :7]
        documents = module(tokens, documents=torch.tensor([[5, 5, 5, 1, 1, 1, 1]] * 3))
        cache = Cache(3)
        prompt = module(torch.cat((tokens[:, :3], padding), 1), cache=cache, counts=[3, 3, 3])
        pieces = [prompt[:, :3], module(tokens[:, 3:4], cache=cache), module(tokens[:, 4:], cache=cache)]
        first, second = module(tokens[:, :3]), module(tokens[:, 3:])
    close = {"atol": 2e-5, "rtol": 2e-5}
    assert_close(left, plain, **close)
    assert_close(right, plain, **close)
    assert_close(torch.cat(pieces, 1), plain, **close)
    assert_close(torch.cat((documents[:, :3], documents[:, 3:]), 1), torch.cat((first, second), 1), **close)


@settings(max_examples=20, deadline=None)
@given(configs())
def test_later_tokens_change_nothing_before_them(config):
    module = perturbed(config)
    tokens = tokens_of(module, 1, 8)
    changed = tokens.clone()
    changed[0, 5] = (changed[0, 5] + 1) % config.vocabulary
    with torch.no_grad():
        before, after = module(tokens), module(changed)
    assert torch.equal(before[:, :5], after[:, :5])
    assert not torch.equal(before[:, 5:], after[:, 5:])


def test_documents_with_padding_restart_positions_at_each_document():
    module = perturbed(TINY)
    tokens = tokens_of(module, 1, 9)
    documents = torch.tensor([[0, 0, 0, 0, 1, 1, 1, 1, 1]])
    mask = torch.tensor([[False, False, True, True, True, True, True, False, False]])
    with torch.no_grad():
        packed = module(tokens, documents=documents, mask=mask)
        assert_close(packed[:, 2:4], module(tokens[:, 2:4]))
        assert_close(packed[:, 4:7], module(tokens[:, 4:7]))


def test_the_induction_configuration_adds_positions_to_queries_and_keys_only():
    module = Transformer(INDUCTION)
    tokens = tokens_of(module, 1, 20)
    with torch.no_grad():
        block = module.blocks[0]
        block.attention.query_key_value.weight[: 2 * 64] = 0.0  # no queries and keys: uniform attention
        uniform = module(tokens)
        module.position_vectors.zero_()
        without_layer_two_positions = module(tokens)
        module.blocks[1].attention.query_key_value.weight[: 2 * 64] = 0.0
        blind = module(tokens)
        module.position_vectors.fill_(3.0)
        assert torch.equal(module(tokens), blind)  # neither values nor residual stream see a position
    assert not torch.equal(uniform, without_layer_two_positions)
    assert sum(p.numel() for p in module.blocks.parameters()) == 2 * (4 * 64 * 64 + 64)


def test_position_vectors_begin_as_sinusoids_of_amplitude_one_and_may_be_fixed():
    module = Transformer(INDUCTION)
    assert_close(module.position_vectors[0, ::2], torch.zeros(32))
    assert_close(
        module.position_vectors[3, :2],
        torch.tensor([3.0, 3.0]).sin() * torch.tensor([1.0, 0.0]) + torch.tensor([0.0, 1.0]) * torch.tensor(3.0).cos(),
    )
    assert_close((module.position_vectors**2).sum(dim=1), torch.full((64,), 32.0))
    assert module.position_vectors.requires_grad
    fixed = Transformer(INDUCTION.model_copy(update={"positions_trainable": False}))
    assert not fixed.position_vectors.requires_grad


def test_every_parameter_gets_a_gradient():
    config = INDUCTION.model_copy(update={"smeared_keys": True, "mlp_ratio": 2.0, "bias": True})
    module = Transformer(config)
    module(tokens_of(module, 2, 64)).logsumexp(-1).sum().backward()
    assert [name for name, p in module.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0] == []


@settings(max_examples=25, deadline=None)
@given(configs())
def test_bfloat16_autocast_and_weights_train_every_option(config):
    module = Transformer(config)
    tokens, mask = tokens_of(module, 2, 8), torch.tensor([[True] * 8, [False] * 3 + [True] * 5])
    with torch.no_grad():
        exact = module(tokens, mask=mask)
    for half in (False, True):
        module = module.bfloat16() if half else module
        with torch.autocast("cpu", torch.bfloat16, enabled=not half):
            logits = module(tokens, mask=mask)
        logits.float().logsumexp(-1).sum().backward()
        assert_close(logits.float()[mask], exact[mask], atol=0.3, rtol=0.1)


def test_the_generator_decides_the_weights_and_the_global_one_is_left_alone():
    torch.manual_seed(5)
    state = torch.get_rng_state()
    first = Transformer(TINY, torch.Generator().manual_seed(1)).state_dict()
    second = Transformer(TINY, torch.Generator().manual_seed(1)).state_dict()
    other = Transformer(TINY, torch.Generator().manual_seed(2)).state_dict()
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["embedding.weight"], other["embedding.weight"])


def test_initial_scales_are_those_asked_for():
    config = TransformerConfig(
        vocabulary=500, context=8, layers=8, width=256, heads=4, embedding_scale=0.3, weight_scale=0.05
    )
    module = Transformer(config)
    assert module.embedding.weight.std().item() == pytest.approx(0.3, rel=0.02)
    assert module.blocks[3].attention.query_key_value.weight.std().item() == pytest.approx(0.05, rel=0.02)
    assert module.blocks[3].mlp.output.weight.std().item() == pytest.approx(0.05 / 4, rel=0.02)
    fan_in = Transformer(config.model_copy(update={"weight_scale": None, "residual_scaling": False}))
    assert fan_in.blocks[0].mlp.output.weight.std().item() == pytest.approx((4 * 256) ** -0.5, rel=0.02)


def test_dropout_acts_in_training_only():
    module = Transformer(TINY.model_copy(update={"dropout": 0.5}))
    tokens = tokens_of(module, 2, 8)
    with torch.no_grad():
        module.train()
        assert not torch.equal(module(tokens), module(tokens))
        module.eval()
        assert torch.equal(module(tokens), module(tokens))


def test_a_meta_device_holds_shapes_only():
    with torch.device("meta"):
        module = Transformer(TINY)
    assert all(parameter.is_meta for parameter in module.parameters())


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"heads": 3}, "divisible"),
        ({"key_value_heads": 4, "heads": 2}, "multiple"),
        ({"positions": "rotary", "head_width": 3}, "even"),
        ({"layers": 0}, "layers"),
        ({"depth": 3}, "depth"),
        ({"mlp_ratio": 0.01}, "hidden"),
    ],
)
def test_a_bad_configuration_says_why(change, word):
    with pytest.raises(ValidationError, match=word):
        TransformerConfig(**{**TINY.model_dump(), **change})


def test_too_long_a_sequence_is_named_also_where_a_cache_holds_its_beginning():
    module = Transformer(TINY)
    with pytest.raises(UsageError, match=r"17 tokens .* context of 16"):
        module(torch.zeros(1, 17, dtype=torch.long))
    cache = Cache(1)
    module(torch.zeros(1, 13, dtype=torch.long), cache=cache)
    with pytest.raises(UsageError, match=r"17 tokens .* context of 16"):
        module(torch.zeros(1, 4, dtype=torch.long), cache=cache)
