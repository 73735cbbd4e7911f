import pytest
import torch

from windtunnel.interpretability.heads.ablation import all_heads, losses_without, projection, zeroed
from windtunnel.interpretability.heads.losses import copy_losses, token_losses
from windtunnel.interpretability.heads.probes import RepeatedTokens
from windtunnel.laboratory.errors import UsageError
from windtunnel.models.interface import LanguageModel


@pytest.fixture(scope="module")
def tokens() -> torch.Tensor:
    return torch.randint(40, (5, 30), generator=torch.Generator().manual_seed(1))


def test_no_heads_is_the_model_itself(untrained: LanguageModel, tokens: torch.Tensor) -> None:
    with torch.no_grad():
        expected = token_losses(untrained(tokens), tokens)
    assert torch.equal(losses_without(untrained, tokens), expected)


def test_zeroing_a_head_is_zeroing_its_output_weights(untrained: LanguageModel, tokens: torch.Tensor) -> None:
    weight = untrained.module.blocks[1].attention.output.weight  # type: ignore[union-attr,index]
    ablated = losses_without(untrained, tokens, [(1, 2)])
    kept = weight.detach().clone()
    with torch.no_grad():
        weight[:, 2 * 8 : 3 * 8] = 0.0
        expected = token_losses(untrained(tokens), tokens)
        weight.copy_(kept)
    torch.testing.assert_close(ablated, expected, atol=1e-5, rtol=0)
    assert (ablated - losses_without(untrained, tokens)).abs().max() > 1e-3


@pytest.mark.parametrize("head", range(4))
def test_in_the_last_layer_both_ablations_are_one(untrained: LanguageModel, tokens: torch.Tensor, head: int) -> None:
    full = losses_without(untrained, tokens, [(2, head)])
    preserved = losses_without(untrained, tokens, [(2, head)], preserve_patterns=True)
    torch.testing.assert_close(preserved, full, atol=1e-6, rtol=1e-6)


def test_patterns_are_preserved_and_only_then(untrained: LanguageModel, tokens: torch.Tensor) -> None:
    site = "blocks.2.attn.hook_pattern"
    with torch.no_grad(), untrained.record(site) as before:
        untrained(tokens)
    with torch.no_grad(), zeroed(untrained, [(0, 0)]), untrained.record(site) as recomputed:
        untrained(tokens)
    assert not torch.allclose(before[site], recomputed[site], atol=1e-4)
    full = losses_without(untrained, tokens, [(0, 0)])
    preserved = losses_without(untrained, tokens, [(0, 0)], preserve_patterns=True)
    assert not torch.allclose(full, preserved, atol=1e-4)


def test_previous_token_head_acts_through_patterns_only(handbuilt: LanguageModel, probe: RepeatedTokens) -> None:
    """In the hand-built circuit layer 0 serves layer 1's keys alone: with the patterns forced it is not needed."""
    preserved = losses_without(handbuilt, probe.tokens, [(0, 0)], preserve_patterns=True)
    assert copy_losses(preserved, probe.length, probe.copies)[:, 1:].max() < 0.1


def test_batches_do_not_matter(untrained: LanguageModel, tokens: torch.Tensor) -> None:
    whole = losses_without(untrained, tokens, [(0, 1), (2, 3)], preserve_patterns=True)
    parts = losses_without(untrained, tokens, [(0, 1), (2, 3)], preserve_patterns=True, batch_size=2)
    torch.testing.assert_close(whole, parts, atol=1e-5, rtol=0)


def test_heads_are_listed_and_checked(untrained: LanguageModel, tokens: torch.Tensor) -> None:
    assert len(all_heads(untrained)) == 12
    with pytest.raises(UsageError, match="no head 4 in layer 0"):
        losses_without(untrained, tokens, [(0, 4)])


def test_projection_on_the_phase_change() -> None:
    before, after = torch.zeros(1, 4), torch.tensor([[3.0, 4.0, 0.0, 0.0]])
    undone = -(after - before)
    assert projection(undone, before, after) == pytest.approx(-5.0)
    assert projection(torch.tensor([[0.0, 0.0, 7.0, 0.0]]), before, after) == pytest.approx(0.0)
    with pytest.raises(UsageError, match="equal"):
        projection(undone, before, before)
