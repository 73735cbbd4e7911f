import pytest
import torch
from torch.testing import assert_close

from tests.models.kinds import ORIGINALS, model, original, tokens
from windtunnel.laboratory.errors import Unsupported, UsageError
from windtunnel.models.interface import LanguageModel
from windtunnel.models.pretrained import Pretrained
from windtunnel.models.weights import attention_weights

CLOSE = {"atol": 1e-5, "rtol": 1e-5}


@pytest.mark.parametrize("kind", ORIGINALS)
@torch.no_grad()
def test_logits_and_patterns_equal_those_of_the_original_library(kind):
    reference, subject = original(kind), model(kind)
    for implementation in ("sdpa", "eager"):
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
    with subject.record("blocks.*.hook_resid_pre", "ln_final.hook_normalized") as activations:
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
    cache = backend.new_cache(2, 10)
    assert_close(backend.extend(cache, whole[:, :7], mask[:, :7]), expected[:, 6], **CLOSE)
    for position in range(7, 10):
        after = backend.extend(cache, whole[:, position : position + 1])
        assert_close(after, expected[:, position], **CLOSE)


@torch.no_grad()
def test_an_unmapped_architecture_still_computes_and_says_which_have_sites():
    module = original("llama")
    module.config.model_type = "unheard_of"
    subject = LanguageModel(Pretrained(module), None, "unheard")
    assert subject.sites == []
    with pytest.raises(Unsupported, match="GPT-NeoX"), subject.record("hook_embed"):
        pass
    with pytest.raises(Unsupported, match="gpt_neox"):
        attention_weights(subject, 0)
    assert_close(subject(tokens()), original("llama")(tokens()).logits)


def test_too_long_a_sequence_is_named():
    with pytest.raises(UsageError, match=r"33 tokens .* context of 32"):
        model("gpt2")(tokens(1, 33))
