import pytest
import torch

from windtunnel.interpretability.heads.ablation import losses_without
from windtunnel.interpretability.heads.handbuilt import induction_transformer
from windtunnel.interpretability.heads.losses import copy_losses
from windtunnel.interpretability.heads.probes import RepeatedTokens
from windtunnel.interpretability.heads.scores import score_heads
from windtunnel.laboratory.errors import UsageError
from windtunnel.models.interface import LanguageModel


def test_an_induction_head_scores_as_one(handbuilt: LanguageModel, probe: RepeatedTokens) -> None:
    scores = score_heads(handbuilt, probe)
    assert scores.prefix_matching[1, 0] > 0.95
    assert scores.prefix_matching_paper[1, 0] == pytest.approx(0.75 * 100 / 101, abs=0.01)  # three copies of four
    assert scores.copying[1, 0] > 0.9
    assert scores.copying_eigenvalues[1, 0] > 0.9
    assert scores.previous_token[0, 0] > 0.95
    assert scores.qk_trace[1, 0] > 0
    assert scores.qk_trace[0].tolist() == [0.0, 0.0]


def test_the_other_heads_score_as_none(handbuilt: LanguageModel, probe: RepeatedTokens) -> None:
    scores = score_heads(handbuilt, probe)
    assert scores.prefix_matching[0, 0] < 0.01  # the previous-token head
    for layer in range(2):  # even attention: the chance level of 25 tokens repeated 4 times
        assert 0.02 < scores.prefix_matching[layer, 1] < 0.05
        assert scores.copying[layer, 1] <= 0


def test_repeats_are_predicted_and_the_first_copy_is_not(handbuilt: LanguageModel, probe: RepeatedTokens) -> None:
    copies = copy_losses(losses_without(handbuilt, probe.tokens), probe.length, probe.copies).mean(dim=0)
    assert copies[0] > 3.0
    assert copies[1:].max() < 0.1


@pytest.mark.parametrize("head", [(0, 0), (1, 0)])
def test_either_head_of_the_circuit_is_needed(
    handbuilt: LanguageModel, probe: RepeatedTokens, head: tuple[int, int]
) -> None:
    copies = copy_losses(losses_without(handbuilt, probe.tokens, [head]), probe.length, probe.copies).mean(dim=0)
    assert copies[1:].min() > 3.0


def test_construction_is_deterministic() -> None:
    first, second = induction_transformer(8, 16).state_dict(), induction_transformer(8, 16).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    with pytest.raises(UsageError, match="needs 3 tokens"):
        induction_transformer(2, 16)
