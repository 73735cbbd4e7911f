"""WinoBias and CrowS-Pairs."""

import numpy as np
import pytest
import torch

from windtunnel.evaluation.bias.pairs import crows_pairs, shared_logprobs, winobias
from windtunnel.inference.scoring import Score
from windtunnel.laboratory.errors import DataError
from windtunnel.models.interface import from_module
from windtunnel.models.transformer import Transformer, TransformerConfig


def generator():
    return np.random.default_rng(0)


def test_the_gap_is_paired():
    draw = np.random.default_rng(1)
    base = draw.random(400) < 0.6
    pro, anti = base | (draw.random(400) < 0.1), base
    found = winobias(pro, anti, generator=generator())
    assert found.gap.difference.value == pytest.approx(pro.mean() - anti.mean())
    assert found.gap.difference.low > 0
    same = winobias(anti, anti, generator=generator())
    assert same.gap.difference.interval == (0, 0)


def test_a_stereotype_is_the_share_of_pairs_and_ties_count_against():
    found = crows_pairs([-1, -1, -1, -3], [-2, -2, -1, -2], ["stereo", "antistereo", "stereo", "stereo"],
                        generator=generator())  # fmt: skip
    assert found.stereotype.value == 0.5
    assert found.by_direction["stereo"].value == pytest.approx(1 / 3)
    assert found.by_direction["antistereo"].value == 1
    assert (found.ties, found.pairs) == (1, 4)
    assert found.gap.value == pytest.approx(0.25)
    assert found.by_direction["antistereo"].low < 0.5  # of one pair
    with pytest.raises(DataError, match="one each"):
        crows_pairs([-1, -1], [-2, -2], ["stereo"], generator=generator())


def test_shared_tokens_alone_count():
    more = Score([1, 2, 7, 8, 4, 5], [-0.1, -0.2, -9.0, -9.0, -0.4, -0.5], False)
    less = Score([1, 2, 9, 4, 5], [-0.1, -0.2, -1.0, -2.0, -3.0], False)
    assert shared_logprobs(more, less) == (pytest.approx(-1.2), pytest.approx(-5.3))


def test_the_comparison_of_a_model_is_that_of_what_comes_after_the_difference():
    model = from_module(
        Transformer(TransformerConfig(vocabulary=20, context=8, layers=1, width=16, heads=2), torch.Generator())
    )
    first, second = [3, 4, 5, 6, 7], [3, 4, 9, 6, 7]
    scores = model.score([[1], [1]], [first, second])
    more, less = shared_logprobs(*scores)
    after = [sum(score.token_logprobs[3:]) for score in scores]
    assert more - less == pytest.approx(after[0] - after[1], abs=1e-6)
