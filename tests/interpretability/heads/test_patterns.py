import pytest
import torch

from windtunnel.interpretability.heads.patterns import induction_targets, prefix_matching, previous_token
from windtunnel.laboratory.errors import UsageError


def attending(tokens: torch.Tensor, offset: int) -> torch.Tensor:
    """A head that attends from every repeat to the earlier occurrence plus `offset`, otherwise to position 0."""
    batch, length = tokens.shape
    pattern = torch.zeros(batch, 1, length, length)
    for row in range(batch):
        for query in range(length):
            earlier = [key for key in range(query) if tokens[row, key] == tokens[row, query]]
            key = earlier[-1] + offset if earlier else 0
            pattern[row, 0, query, max(key, 0)] = 1.0
    return pattern


def test_targets_follow_every_earlier_occurrence() -> None:
    tokens = torch.tensor([[5, 7, 5, 9, 5]])
    targets = induction_targets(tokens)[0]
    assert targets[2].nonzero().flatten().tolist() == [1]  # token 5 occurred at 0, so look at 1
    assert targets[4].nonzero().flatten().tolist() == [1, 3]  # and at 2, so look at 3 as well
    assert not targets[[0, 1, 3]].any()


def test_prefix_matching_by_hand() -> None:
    tokens = torch.tensor([[5, 7, 5, 9, 5]])
    pattern = torch.full((1, 2, 5, 5), 0.0)
    pattern[0, 0, 2, 1], pattern[0, 0, 4, 1], pattern[0, 0, 4, 3] = 0.5, 0.25, 0.5
    score = prefix_matching(pattern, tokens)
    assert score.normalised[0].tolist() == pytest.approx([(0.5 + 0.75) / 2, 0.0])
    assert score.paper[0].tolist() == pytest.approx([(0.5 + 0.75) / 5, 0.0])


@pytest.mark.parametrize(("offset", "expected"), [(-1, 0.0), (0, 0.0), (1, 1.0)])
def test_only_the_position_after_the_earlier_occurrence_counts(offset: int, expected: float) -> None:
    tokens = torch.stack([torch.randperm(30, generator=torch.Generator().manual_seed(row))[:10] for row in range(3)])
    tokens = tokens.repeat(1, 4)
    score = prefix_matching(attending(tokens, offset), tokens)
    assert score.normalised.mean().item() == pytest.approx(expected)
    assert score.paper.mean().item() == pytest.approx(0.75 * expected)


def test_a_duplicate_token_head_that_sees_itself_scores_nothing() -> None:
    tokens = torch.arange(10).repeat(2)[None]
    itself = torch.eye(20)[None, None]
    assert prefix_matching(itself, tokens).normalised.item() == 0.0


def test_previous_token_leaves_the_first_query_out() -> None:
    pattern = torch.zeros(1, 1, 4, 4)
    pattern[0, 0, 0, 0] = 1.0
    pattern[0, 0, 1, 0], pattern[0, 0, 2, 1], pattern[0, 0, 3, 2] = 1.0, 0.5, 0.0
    assert previous_token(pattern).item() == pytest.approx(0.5)


def test_nothing_repeated_is_an_error() -> None:
    with pytest.raises(UsageError, match="repeats no token"):
        prefix_matching(torch.zeros(1, 1, 4, 4), torch.arange(4)[None])
