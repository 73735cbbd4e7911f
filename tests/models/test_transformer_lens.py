"""TransformerLens, given the same weights, has the same logits and the same activations by the same names."""

import pytest
import torch
from torch.testing import assert_close

from tests.models.kinds import ORIGINALS, model, original, tokens

pytest.importorskip("transformer_lens")
SAME = {"atol": 1e-4, "rtol": 0.0}


@pytest.mark.parametrize("kind", ORIGINALS)
@torch.no_grad()
def test_logits_and_every_site_are_those_of_transformer_lens(kind):
    from transformer_lens.model_bridge.sources import build_bridge_from_module

    module = original(kind)
    theirs = build_bridge_from_module(module, type(module).__name__, hf_config=module.config)
    subject = model(kind)
    logits, cache = theirs.run_with_cache(tokens())
    with subject.record(*subject.sites) as activations:
        assert_close(subject(tokens()), logits, **SAME)
    for site, activation in activations.items():
        expected = cache[site]
        masked = activation.isneginf()
        assert torch.equal(masked, expected <= torch.finfo(expected.dtype).min), site
        assert_close(activation[~masked], expected[~masked], **SAME, msg=lambda text, site=site: f"{site}: {text}")
        assert activation.shape == expected.shape
