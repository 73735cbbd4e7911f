import itertools

import numpy as np
import pytest
import torch

from windtunnel.data.worlds.proximity import proximity_pair
from windtunnel.laboratory.errors import UsageError

LEVELS = (0.0, 0.25, 0.5, 0.75, 1.0)


def every_row(vocabulary, length):
    return torch.tensor(list(itertools.product(range(vocabulary), repeat=length)))


def test_what_is_shared_is_the_same_and_the_rest_is_not():
    pair = proximity_pair(12, 0.5, 8, 3)
    same = (pair.source.transition - pair.target.transition).abs().amax(dim=1) < 1e-14
    assert torch.equal(same, pair.shared)
    assert pair.proximity == pytest.approx(0.5)
    assert pair.shared_time == pytest.approx(float(pair.target.stationary[same].sum()))


def test_the_distance_is_what_the_divergence_of_whole_texts_grows_by():
    pair = proximity_pair(4, 0.5, 8, 1)

    def divergence(length):
        rows = every_row(4, length)
        ours, theirs = (chain.log_probabilities(rows).sum(dim=1) for chain in (pair.target, pair.source))
        return float((ours.exp() * (ours - theirs)).sum())

    assert divergence(6) - divergence(5) == pytest.approx(pair.distance, abs=1e-12)
    assert pair.distance > 0.05


def test_the_entropies_are_what_blocks_grow_by():
    pair = proximity_pair(4, 0.5, 8, 2)
    for chain in (pair.source, pair.target):
        blocks = []
        for length in (4, 5):
            logs = chain.log_probabilities(every_row(4, length)).sum(dim=1)
            blocks.append(-float((logs.exp() * logs).sum()))
        assert blocks[1] - blocks[0] == pytest.approx(chain.entropy_rate, abs=1e-12)


def test_the_source_s_best_predictor_loses_entropy_and_distance_on_the_target():
    pair = proximity_pair(8, 0.25, 100, 5)
    rows = pair.target.rows(0, 512)["tokens"]
    losses = -pair.source.log_probabilities(rows)[:, 1:].mean(dim=1)
    expected = pair.target.entropy_rate + pair.distance
    assert abs(float(losses.mean()) - expected) < 4 * float(losses.std()) / 512**0.5


def test_proximity_shrinks_the_distance_and_leaves_the_target_alone():
    pairs = [proximity_pair(16, level, 8, 7) for level in LEVELS]
    distances = [pair.distance for pair in pairs]
    assert distances[-1] == pytest.approx(0, abs=1e-14)
    assert (np.diff(distances) < 0).all()
    for near, far in itertools.pairwise(reversed(pairs)):
        assert torch.equal(near.target.transition, far.target.transition)
        assert bool((near.shared | ~far.shared).all())
    assert torch.equal(pairs[0].target.rows(0, 3)["tokens"], pairs[4].target.rows(0, 3)["tokens"])
    assert not torch.equal(pairs[4].source.rows(0, 3)["tokens"], pairs[4].target.rows(0, 3)["tokens"])


@pytest.mark.parametrize(("proximity", "smoothing"), [(-0.1, 0.1), (1.1, 0.1), (0.5, 0.0), (0.5, 1.5)])
def test_what_is_no_share_is_one_sentence(proximity, smoothing):
    with pytest.raises(UsageError) as caught:
        proximity_pair(8, proximity, 8, 0, smoothing=smoothing)
    assert "\n" not in str(caught.value)
