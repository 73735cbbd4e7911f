import itertools
import math

import pytest
import torch

from windtunnel.data.worlds.video import LIT, START, STEPS, MovingDot, urn_entropy
from windtunnel.laboratory.errors import UsageError


def test_every_clip_of_a_small_world_adds_up_to_one_and_to_the_entropies():
    world = MovingDot(3, 4, 0.3, 0)
    clips = torch.tensor(list(itertools.product(range(9), repeat=4)))
    pixels = torch.zeros(len(clips), 4, 9, dtype=torch.long).scatter_(2, clips[..., None], LIT)
    tokens = torch.cat([torch.full((len(clips), 1), START), pixels.flatten(1)], dim=1)
    logs = world.log_probabilities(tokens)
    weight = logs.sum(dim=1).exp()
    assert weight.sum().item() == pytest.approx(1, abs=1e-12)
    weighted = torch.where(weight[:, None] > 0, -weight[:, None] * logs, 0.0)[:, 1:]
    by_frame = weighted.reshape(-1, 4, 9).sum(dim=(0, 2))
    assert torch.allclose(by_frame, world.frame_entropy, atol=1e-10)
    assert world.entropy_rate == pytest.approx(by_frame.sum().item() / 36, abs=1e-12)


def test_the_urn_against_all_sequences_of_steps():
    concentration, seen = 0.4, 3
    entropy = 0.0
    for steps in itertools.product(range(3), repeat=seen + 1):
        counts, chance = [concentration] * 3, 1.0
        for step in steps:
            chance, last = chance * counts[step] / sum(counts), counts[step] / sum(counts)
            counts[step] += 1
        entropy -= chance * math.log(last)
    assert urn_entropy(3, concentration, seen) == pytest.approx(entropy, abs=1e-12)


def test_frames_approach_the_floor_as_one_over_their_number():
    world = MovingDot(3, 200, 0.5, 0)
    excess = (world.frame_entropy - world.floor)[1:]
    assert bool((excess.diff() < 0).all())
    assert bool((excess > 0).all())
    assert excess[-1] * 199 == pytest.approx((len(STEPS) - 1) / 2, rel=0.15)


def test_what_is_drawn_loses_what_is_told_at_every_frame():
    world = MovingDot(4, 6, 0.2, 1)
    tokens = world.rows(0, 4_096)["tokens"]
    losses = -world.log_probabilities(tokens)[:, 1:].reshape(-1, 6, 16).sum(dim=2)
    error = losses.std(dim=0) / 64
    assert bool(((losses.mean(dim=0) - world.frame_entropy).abs() < 4 * error + 1e-9).all())


def test_what_is_no_clip_is_one_sentence():
    with pytest.raises(UsageError):
        MovingDot(2, 4, 0.2, 0)
    with pytest.raises(UsageError):
        MovingDot(3, 2, 0.2, 0).log_probabilities(torch.zeros(1, 19, dtype=torch.long))
