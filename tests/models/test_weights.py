import pytest
import torch
from torch.testing import assert_close

from tests.models.kinds import KINDS, model, tokens
from windtunnel.laboratory.errors import UsageError
from windtunnel.models.weights import attention_weights, embedding, unembedding

CLOSE = {"atol": 1e-5, "rtol": 1e-5}


def _bias(subject, name, shape):
    """The bias of a projection, which the weights leave out, found as what a zero input gives."""
    found = {}

    def zero(module, inputs):
        return (torch.zeros_like(inputs[0]),)

    site = f"blocks.1.attn.hook_{name}"
    for path, module in subject.module.named_modules():
        if path.endswith(
            ("1.attention.query_key_value", "1.attn.c_attn", "1.self_attn.qkv_proj", f"1.self_attn.{name}_proj")
        ):
            handle = module.register_forward_pre_hook(zero)
            with subject.record(site) as found:
                subject(tokens())
            handle.remove()
    return found[site]


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "ours_attention_only"])
@torch.no_grad()
def test_weights_by_head_give_the_recorded_activations(kind):
    subject = model(kind)
    shape, weights = subject.shape, attention_weights(subject, 1)
    assert tuple(weights.query.shape) == (shape.heads, shape.width, shape.head_width)
    assert tuple(weights.output.shape) == (shape.heads, shape.head_width, shape.width)
    normal = {}

    def keep(module, inputs, output):
        normal["x"] = output

    names = ("1.attention_normalization", "1.input_layernorm", "1.ln_1")
    layer = next(module for path, module in subject.module.named_modules() if path.endswith(names))
    handle = layer.register_forward_hook(keep)
    with subject.record("blocks.1.attn.*", "blocks.1.hook_attn_out") as a:
        subject(tokens())
    handle.remove()
    groups = shape.heads // shape.key_value_heads
    for name, weight in (("q", weights.query), ("k", weights.key), ("v", weights.value)):
        recorded = a[f"blocks.1.attn.hook_{name}"] - _bias(subject, name, shape)
        if name != "q":
            recorded = recorded.repeat_interleave(groups, dim=2)
        assert_close(torch.einsum("bpd,hdw->bphw", normal["x"], weight), recorded, **CLOSE)
    added = torch.einsum("bphw,hwd->bpd", a["blocks.1.attn.hook_z"], weights.output)
    if kind.startswith("gemma"):  # normalised once more before it is added
        added = subject.module.model.layers[1].post_attention_layernorm(added)
    rest = a["blocks.1.hook_attn_out"] - added
    assert_close(rest, rest[:1, :1].expand_as(rest), **CLOSE)  # what is left is the output bias, the same everywhere


@pytest.mark.parametrize("kind", KINDS)
def test_embeddings_have_the_stated_shapes(kind):
    subject = model(kind)
    assert tuple(embedding(subject).shape) == (31, 16)
    assert tuple(unembedding(subject).shape) == (16, 31)
    with pytest.raises(UsageError, match="layers 0 to 1"):
        attention_weights(subject, 2)
