import itertools
import math

import numpy as np
import pytest
import torch

from windtunnel.interpretability.heads.losses import (
    ContextWindows,
    copy_losses,
    default_windows,
    derivative_by_log,
    in_context_score,
    logarithmic_bins,
    token_losses,
)
from windtunnel.laboratory.errors import UsageError


def test_token_losses_are_of_the_next_token() -> None:
    tokens = torch.tensor([[0, 1, 2]])
    logits = torch.zeros(1, 3, 4)
    logits[0, 0, 1] = 100.0  # sure of token 1 after token 0
    losses = token_losses(logits, tokens)
    assert losses.tolist()[0] == pytest.approx([0.0, math.log(4)])


def test_windows_are_the_papers_where_they_fit() -> None:
    assert default_windows(512) == ContextWindows((50, 51), (500, 501))
    assert str(default_windows(2048)) == "loss at token 500 − loss at token 50"
    assert default_windows(64) == ContextWindows((8, 20), (50, 62))
    with pytest.raises(UsageError, match="too short"):
        default_windows(8)


def test_in_context_score_reads_the_stated_tokens() -> None:
    losses = torch.arange(1.0, 64.0)[None]  # the loss of token t is t
    windows = ContextWindows((10, 11), (50, 52))
    assert in_context_score(losses, windows).item() == pytest.approx(50.5 - 10)
    with pytest.raises(UsageError, match="not all predicted"):
        in_context_score(losses, ContextWindows((0, 1), (50, 51)))
    with pytest.raises(UsageError, match="not all predicted"):
        in_context_score(losses, ContextWindows((10, 11), (60, 65)))


@pytest.mark.parametrize("bos", [False, True])
def test_copy_losses_leave_the_first_token_of_each_copy_out(bos: bool) -> None:
    first, second = [9.0, 3.0, 3.0], [9.0, 1.0, 1.0]
    losses = torch.tensor([[*first, *second] if bos else [*first[1:], *second]])
    assert copy_losses(losses, 3, 2).tolist() == [[3.0, 1.0]]


def test_derivative_by_log_is_exact_for_a_logarithm() -> None:
    steps = np.array([1.0, 2.0, 5.0, 9.0])
    values = np.stack([3.0 * np.log(steps), 1.0 - np.log(steps)])
    assert derivative_by_log(values, steps) == pytest.approx(np.array([[3.0] * 4, [-1.0] * 4]))
    with pytest.raises(UsageError, match="positive"):
        derivative_by_log(values, [0, 1, 2, 3])


def test_logarithmic_bins_cover_every_index_once() -> None:
    bins = logarithmic_bins(63, 12)
    assert bins[0][0] == 1
    assert bins[-1][1] == 64
    assert all(before[1] == after[0] for before, after in itertools.pairwise(bins))
