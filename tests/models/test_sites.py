"""Every site of every architecture: it fires, reading changes nothing, writing changes the logits, all is restored."""

import re

import pytest
import torch
from torch.testing import assert_close

from tests.models.kinds import KINDS, model, tokens
from windtunnel.laboratory.errors import UsageError
from windtunnel.models.interface import LanguageModel
from windtunnel.models.weights import normalization_map

pytestmark = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture(autouse=True)
def _no_gradients():
    with torch.no_grad():
        yield


def _shape(subject: LanguageModel, site: str) -> tuple[int, ...]:
    shape, (rows, length) = subject.shape, tokens().shape
    if site.endswith(("hook_pattern", "hook_attn_scores")):
        return rows, shape.heads, length, length
    if site.endswith(("hook_q", "hook_z")):
        return rows, length, shape.heads, shape.head_width
    if site.endswith(("hook_k", "hook_v")):
        return rows, length, shape.key_value_heads, shape.head_width
    if site.endswith("hook_scale"):
        return rows, length, 1
    if site.endswith("mlp.hook_post"):
        return rows, length, {"ours_gpt2_like": 64, "ours_llama_like": 64, "gpt2": 64}.get(subject.name, 24)
    return rows, length, shape.width


def _noisy(activation: torch.Tensor) -> torch.Tensor:
    return activation + torch.randn(activation.shape, generator=torch.Generator().manual_seed(6))


def _hooks(subject: LanguageModel) -> int:
    count = sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in subject.module.modules())
    return count + sum(len(m.__dict__.get("_windtunnel_taps", ())) for m in subject.module.modules())


def test_every_site_fires_with_its_shape_and_reading_changes_nothing(kind):
    subject = model(kind)
    plain = subject(tokens())
    with subject.record(*subject.sites) as activations:
        recorded = subject(tokens())
    assert torch.equal(recorded, plain)
    assert list(activations) == subject.sites or set(activations) == set(subject.sites)
    assert {site: tuple(a.shape) for site, a in activations.items()} == {
        site: _shape(subject, site) for site in subject.sites
    }
    assert _hooks(subject) == 0
    assert not subject.backend.taps


def test_writing_at_each_site_changes_the_logits_and_only_then(kind):
    subject = model(kind)
    plain = subject(tokens())
    for site in subject.sites:
        with subject.intervene({site: lambda x: None}):
            assert torch.equal(subject(tokens()), plain) or site.endswith(("pattern", "scores"))
        with subject.intervene({site: lambda x: x.clone()}):
            assert_close(subject(tokens()), plain, atol=1e-5, rtol=1e-5)
        with subject.intervene({site: _noisy}):
            changed = subject(tokens())
        assert (changed - plain).abs().max() > 1e-3, site
        assert torch.equal(subject(tokens()), plain), site
    assert _hooks(subject) == 0


def test_an_exception_inside_restores_everything(kind):
    subject = model(kind)
    plain = subject(tokens())

    def broken(activation):
        raise RuntimeError("inside")

    for site in subject.sites:
        with (
            pytest.raises(RuntimeError, match="inside"),
            subject.record(*subject.sites),
            subject.intervene({site: broken}),
        ):
            subject(tokens())
        assert _hooks(subject) == 0
        assert not subject.backend.taps
    assert torch.equal(subject(tokens()), plain)


def test_activations_satisfy_the_forward_pass(kind):
    subject = model(kind)
    with subject.record(*subject.sites) as a:
        logits = subject(tokens())
    causal = torch.ones(9, 9, dtype=torch.bool).tril()
    groups = subject.shape.heads // subject.shape.key_value_heads
    for layer in range(2):
        block = f"blocks.{layer}."
        sliding = kind == "mistral" or (kind in ("gemma2", "gemma3") and layer == 0)
        seen = causal.triu(-3) if sliding else causal  # a sliding window of 4
        pattern, scores = a[block + "attn.hook_pattern"], a[block + "attn.hook_attn_scores"]
        assert_close(pattern.sum(-1), torch.ones(2, 4, 9))
        assert torch.equal(pattern > 0, seen.expand_as(pattern))
        assert torch.equal(scores > -torch.inf, seen.expand_as(scores))
        assert_close(scores.softmax(-1), pattern)
        values = a[block + "attn.hook_v"].repeat_interleave(groups, dim=2)
        assert_close(torch.einsum("bhqk,bkhw->bqhw", pattern, values), a[block + "attn.hook_z"], atol=1e-5, rtol=1e-5)
        middle = a[block + "hook_resid_pre"] + a[block + "hook_attn_out"]
        if block + "hook_resid_mid" in a:
            assert_close(middle, a[block + "hook_resid_mid"])
        if block + "hook_mlp_out" in a:
            middle = middle + a[block + "hook_mlp_out"]
        assert_close(middle, a[block + "hook_resid_post"])
    assert torch.equal(a["blocks.0.hook_resid_post"], a["blocks.1.hook_resid_pre"])
    read = a["ln_final.hook_out"] @ subject.backend.unembedding()
    if kind == "phi":
        read = read + subject.module.lm_head.bias
    if kind == "gemma2":
        read = 3.0 * (read / 3.0).tanh()
    assert_close(read, logits, atol=1e-5, rtol=1e-5)
    scaled = 4.0 if kind in ("gemma2", "gemma3") else 1.0  # by the root of the width
    assert_close(a["hook_embed"], scaled * subject.backend.embedding()[tokens()])
    stream, final = a["blocks.1.hook_resid_post"], subject.backend.normalization(None)
    by_hand = stream @ normalization_map(subject, None) / a["ln_final.hook_scale"]
    by_hand = by_hand + (0.0 if getattr(final, "bias", None) is None else final.bias)
    assert_close(by_hand, a["ln_final.hook_out"], atol=1e-5, rtol=1e-5)


def test_writing_is_causal_and_exact(kind):
    """What is put into the last residual stream is what comes out; a later position does not move an earlier one."""
    subject = model(kind)
    plain = subject(tokens())
    other = tokens().flip(1)
    with subject.record("blocks.1.hook_resid_post") as source:
        wanted = subject(other)
    with subject.intervene({"blocks.1.hook_resid_post": lambda x: source["blocks.1.hook_resid_post"]}):
        assert torch.equal(subject(tokens()), wanted)

    def late(activation):
        activation[:, 6:] += 1.0
        return activation

    for site in subject.sites:
        if not site.endswith(("pattern", "scores")):
            with subject.intervene({site: late}):
                changed = subject(tokens())
            assert torch.equal(changed[:, :6], plain[:, :6]), site
            assert not torch.equal(changed[:, 6:], plain[:, 6:]), site


def test_ablating_a_pattern_equals_ablating_its_value(kind):
    subject = model(kind)

    def zero_head(activation):
        activation[:, 2] = 0.0
        return activation

    def zero_z(activation):
        activation[:, :, 2] = 0.0
        return activation

    with subject.intervene({"blocks.1.attn.hook_pattern": zero_head}):
        by_pattern = subject(tokens())
    with subject.intervene({"blocks.1.attn.hook_z": zero_z}):
        by_value = subject(tokens())
    assert_close(by_pattern, by_value, atol=1e-5, rtol=1e-5)


def test_contexts_nest_and_what_is_recorded_is_what_goes_on(kind):
    subject = model(kind)
    plain = subject(tokens())
    site = "blocks.0.hook_resid_post"
    with subject.record(site) as before:
        subject(tokens())
    expected = (before[site] + 1.0) * 2.0
    with subject.record(site) as outer, subject.intervene({site: lambda x: x + 1.0}):
        with subject.intervene({site: lambda x: x * 2.0}), subject.record(site, "blocks.1.hook_resid_pre") as inner:
            subject(tokens())
        assert torch.equal(outer[site], expected)
        assert torch.equal(inner[site], expected)
        assert torch.equal(inner["blocks.1.hook_resid_pre"], expected)
        subject(tokens())
        assert torch.equal(outer[site], before[site] + 1.0)  # the last pass is what is kept
    assert torch.equal(subject(tokens()), plain)
    with subject.record("blocks.*.attn.hook_pattern") as patterns:
        subject(tokens())
    assert sorted(patterns) == ["blocks.0.attn.hook_pattern", "blocks.1.attn.hook_pattern"]


def test_padding_changes_nothing_at_real_tokens(kind):
    subject = model(kind)
    padding, real = torch.full((2, 3), 7), torch.ones(2, 9, dtype=torch.bool)
    none = torch.zeros(2, 3, dtype=torch.bool)
    batches = {
        "left": (torch.cat((padding, tokens()), 1), torch.cat((none, real), 1), slice(3, 12)),
        "right": (torch.cat((tokens(), padding), 1), torch.cat((real, none), 1), slice(0, 9)),
    }
    with subject.record(*subject.sites) as a:
        plain, expected = subject(tokens()), dict(a)
        for padded, mask, kept in batches.values():
            logits = subject(padded, mask)
            assert_close(logits[:, kept], plain, atol=2e-5, rtol=2e-5)
            for site in subject.sites:
                if site.endswith(("pattern", "scores")):
                    assert_close(a[site][:, :, kept, kept], expected[site], atol=2e-5, rtol=2e-5)
                else:
                    assert_close(a[site][:, kept], expected[site], atol=2e-5, rtol=2e-5)


def test_half_precision_activations_keep_their_dtype(kind):
    subject = model(kind)
    subject.module.bfloat16()
    with subject.record(*subject.sites) as activations:
        subject(tokens())
    assert {activation.dtype for activation in activations.values()} == {torch.bfloat16}
    with subject.intervene({"blocks.0.attn.hook_pattern": lambda x: x * 0.5}):
        assert subject(tokens()).isfinite().all()


def test_gradients_flow_through_reads_and_writes(kind):
    subject = model(kind)
    for site in subject.sites:
        with torch.enable_grad():
            vector = torch.zeros(_shape(subject, site)[-1], requires_grad=True)
            with subject.intervene({site: lambda x, vector=vector: x + vector}), subject.record(site) as activations:
                loss = subject(tokens())[:, -1].square().sum()
            recorded = activations[site]
            by_vector, by_activation = torch.autograd.grad(loss, (vector, recorded))
        assert by_vector.abs().sum() > 0 or site.endswith("attn_scores"), site
        assert_close(recorded.shape, by_activation.shape)


def test_misuse_is_explained(kind):
    subject = model(kind)
    site = "blocks.0.hook_resid_post"
    with pytest.raises(UsageError, match=re.escape("blocks.0.hook_resid_post")), subject.record("blocks.0.resid_post"):
        pass
    with pytest.raises(UsageError, match="nearest"), subject.intervene({"blocks.9.hook_resid_pre": lambda x: x}):
        pass
    with pytest.raises(UsageError, match="never reached"), subject.record(site):
        pass
    with pytest.raises(UsageError, match="never reached"), subject.intervene({site: lambda x: x}):
        pass
    for wrong, word in ((lambda x: x[:, :1], "shape"), (lambda x: x.double(), "dtype"), (lambda x: 3, "int")):
        with pytest.raises(UsageError, match=word), subject.intervene({site: wrong}):
            subject(tokens())

    def in_place(activation):
        activation.zero_()

    with pytest.raises(UsageError, match="in place"), subject.intervene({site: in_place}):
        subject(tokens())
    with torch.inference_mode(), pytest.raises(UsageError, match="in place"), subject.intervene({site: in_place}):
        subject(tokens())


def test_two_views_of_one_module_share_its_taps(kind):
    subject = model(kind)
    again = LanguageModel(type(subject.backend)(subject.module), None, "again")
    with subject.record("blocks.0.hook_resid_post") as first, again.record("blocks.0.hook_resid_post") as second:
        again(tokens())
    assert torch.equal(first["blocks.0.hook_resid_post"], second["blocks.0.hook_resid_post"])
