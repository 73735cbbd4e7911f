import numpy as np
import pytest
import torch
from torch import nn

from windtunnel.data.worlds.captions import CaptionedPictures
from windtunnel.laboratory.errors import UsageError
from windtunnel.scaling.information import (
    context_gain,
    context_information,
    information,
    measured_information,
    part_losses,
    text_loss,
)


class Oracle(nn.Module):
    """Knows the probabilities of a small captioned world by counting many of its rows."""

    def __init__(self, rows, vocabulary, blanked):
        super().__init__()
        self.vocabulary = vocabulary
        self.table = {}
        for row in torch.cat([rows, blanked(rows)]).tolist():
            for end in range(1, len(row)):
                self.table.setdefault(tuple(row[:end]), torch.zeros(vocabulary))[row[end]] += 1

    def forward(self, tokens):
        logits = torch.full((*tokens.shape, self.vocabulary), -30.0)
        for index, row in enumerate(tokens.tolist()):
            for end in range(len(row)):
                counts = self.table.get(tuple(row[: end + 1]))
                if counts is not None:
                    logits[index, end] = (counts / counts.sum()).log().clamp(min=-30)
        return logits


def test_a_predictor_that_knows_the_world_gives_the_exact_information():
    world = CaptionedPictures("image-to-text", 0, side=3, shades=1, sizes=(2, 3), silence=0.1, grain=(1.0,))
    rows = world.rows(0, 1_024)["tokens"]
    oracle = Oracle(rows, world.vocabulary, world.blanked)
    test, exact = rows[:256], world.information
    pointwise = world.pointwise_information(test)
    found = measured_information(oracle, test, world.asked, world.blanked, pointwise=pointwise, exact=exact)
    plain = measured_information(oracle, test, world.asked, world.blanked)
    assert found.ratio.value == pytest.approx(1, abs=0.05)
    assert found.ratio.low <= 1.05
    assert plain.nats.value == pytest.approx(exact, rel=0.1)
    assert found.nats.high - found.nats.low < 0.8 * (plain.nats.high - plain.nats.low)
    assert found.gain == pytest.approx(exact / world.caption_entropy, rel=0.1)


def test_losses_are_summed_over_the_part_asked_for():
    class Uniform(nn.Module):
        def forward(self, tokens):
            return torch.zeros(*tokens.shape, 7)

    rows = torch.randint(7, (5, 9), generator=torch.Generator().manual_seed(0))
    assert torch.allclose(part_losses(Uniform(), rows, slice(3, 7)), torch.full((5,), 4 * np.log(7)).double())


def test_an_estimate_is_the_exact_mean_plus_the_mean_difference():
    draws = np.random.default_rng(0)
    pointwise = draws.normal(2.0, 1.0, 400)
    told = draws.normal(10, 1, 400)
    found = information(told, told + pointwise + 0.1, pointwise=pointwise, exact=2.0)
    assert found.nats.value == pytest.approx(2.1, abs=1e-9)
    assert found.ratio.value == pytest.approx(1.05, abs=1e-9)
    with pytest.raises(UsageError):
        information(told, told[:-1])
    with pytest.raises(UsageError):
        information(told, told, exact=2.0)


@pytest.mark.parametrize("exponent", [0.3, 1.0])
def test_the_closed_forms_of_appendix_e_are_the_sums_they_stand_for(exponent):
    length, limit, first = 50, 2.0, 7.0
    losses = text_loss(np.arange(1, 2 * length + 1), limit, first, exponent)
    alone, after = losses[:length].sum(), losses[length:].sum()
    assert context_information(length, limit, first, exponent) == pytest.approx(alone - after, rel=1e-12)
    assert context_gain(length, limit, first, exponent) == pytest.approx((alone - after) / alone, rel=1e-12)
    assert losses[0] == first
