import pytest
import torch
from torch.testing import assert_close

from tests.models.kinds import ORIGINALS, model, original, tokens
from windtunnel.inference.cache import Cache
from windtunnel.laboratory.errors import Unsupported, UsageError
from windtunnel.models.interface import LanguageModel
from windtunnel.models.pretrained import Pretrained
from windtunnel.models.weights import attention_weights

CLOSE = {"atol": 1e-5, "rtol": 1e-5}


@pytest.mark.parametrize("kind", ORIGINALS)
@torch.no_grad()
def test_logits_and_patterns_equal_those_of_the_original_library(kind):
    reference, subject = original(kind), model(kind)
    for implementation in ("eager",) if kind == "gemma2" else ("sdpa", "eager"):  # Gemma 2 caps its scores
        reference.set_attn_implementation(implementation)
        assert_close(subject(tokens()), reference(tokens()).logits, **CLOSE)
    attentions = reference(tokens(), output_attentions=True).attentions
    with subject.record("blocks.*.attn.hook_pattern") as patterns:
        subject(tokens())
    for layer, attention in enumerate(attentions):
        assert_close(patterns[f"blocks.{layer}.attn.hook_pattern"], attention, **CLOSE)


@pytest.mark.parametrize("kind", ORIGINALS)
@torch.no_grad()
def test_residual_streams_equal_the_hidden_states_of_the_original_library(kind):
    states = original(kind)(tokens(), output_hidden_states=True).hidden_states
    subject = model(kind)
    with subject.record("blocks.*.hook_resid_pre", "ln_final.hook_out") as activations:
        subject(tokens())
    for activation, state in zip(activations.values(), states, strict=True):
        assert_close(activation, state, **CLOSE)


@pytest.mark.parametrize("kind", ORIGINALS)
@torch.no_grad()
def test_the_cache_continues_padded_rows(kind):
    subject = model(kind)
    whole, backend = tokens(2, 10), subject.backend
    mask = torch.ones(2, 10, dtype=torch.bool)
    mask[0, :4] = False
    expected = subject(whole, mask)
    cache = Cache(2)
    padded = whole[:, :7].clone()
    padded[0, :3] = whole[0, 4:7]  # the first row's real tokens, then padding
    prompt = backend.logits(padded, cache=cache, counts=[3, 7])
    assert_close(prompt[[0, 1], [2, 6]], expected[:, 6], **CLOSE)
    for position in range(7, 10):
        after = backend.logits(whole[:, position : position + 1], cache=cache)[:, -1]
        assert_close(after, expected[:, position], **CLOSE)


@torch.no_grad()
def test_an_unmapped_architecture_has_its_residual_stream_and_nothing_guessed():
    module = original("llama")
    module.config.model_type = "unheard_of"
    subject, mapped = LanguageModel(Pretrained(module), None, "unheard"), model("llama")
    residual = ["hook_embed", *(f"blocks.{i}.hook_resid_{place}" for i in range(2) for place in ("pre", "post"))]
    assert subject.sites == residual
    with subject.record(*residual) as found, mapped.record(*residual) as expected:
        assert_close(subject(tokens()), mapped(tokens()))
    assert all(torch.equal(found[site], expected[site]) for site in residual)
    with pytest.raises(Unsupported, match="gpt_neox"):
        attention_weights(subject, 0)


def test_blocks_that_cannot_be_told_apart_have_no_sites():
    module = original("llama")
    module.config.model_type = "unheard_of"
    module.other = torch.nn.ModuleList([torch.nn.Identity(), torch.nn.Identity()])
    subject = LanguageModel(Pretrained(module), None, "unheard")
    assert subject.sites == []
    with pytest.raises(Unsupported, match="GPT-NeoX"), subject.record("hook_embed"):
        pass


def test_too_long_a_sequence_is_named():
    with pytest.raises(UsageError, match=r"33 tokens .* context of 32"):
        model("gpt2")(tokens(1, 33))
