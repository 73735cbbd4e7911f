"""Exposure: its ends, its mean where nothing is remembered, and models that remember and that do not."""

import numpy as np
import pytest
import torch

from windtunnel.data.canaries import PREFIX, SECRET, Canaries
from windtunnel.data.worlds.entropy import Unigram
from windtunnel.laboratory.errors import DataError
from windtunnel.models.transformer import Transformer, TransformerConfig
from windtunnel.scaling.repetition.exposure import exposure, exposures

CANARIES = Canaries(Unigram(torch.ones(100), 24, 0), 60, (1, 3, 8), 5)
ROW = torch.zeros(25, dtype=torch.int64)


def test_its_ends_and_its_middle():
    others = -np.arange(1.0, 1024.0)
    assert exposure(0.0, others) == pytest.approx(10)
    assert exposure(-5000.0, others) == pytest.approx(0)
    assert exposure(-512.5, others) == pytest.approx(1, abs=0.01)  # half are likelier
    assert exposure(-1.0, others) == pytest.approx(9)  # as likely as the best: counts against it


def test_what_is_nothing_special_has_the_bits_of_e():
    generator = np.random.default_rng(0)
    found = [exposure(float(generator.normal()), generator.normal(size=1023)) for _ in range(2_000)]
    assert np.mean(found) == pytest.approx(np.log2(np.e), abs=0.1)


def test_a_model_that_remembers_one_exposes_that_one():
    class Remembers(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = torch.nn.Parameter(torch.tensor(5.0))

        def forward(self, tokens):
            logits = torch.zeros(*tokens.shape, 100)
            prefix, secret = CANARIES.prefixes[1], CANARIES.secrets[1]
            begun = tokens.shape[1] - SECRET - PREFIX + 1
            for row, place in enumerate(tokens):
                if torch.equal(place[begun : begun + PREFIX], prefix):
                    logits[row, -SECRET:] = self.scale * torch.nn.functional.one_hot(secret, 100)
            return logits

    found = exposures(Remembers(), CANARIES, ROW)
    assert found[1] == pytest.approx(10)
    assert found[[0, 2]].max() < 1  # all secrets are equally likely there, which counts against them


def test_an_untrained_model_exposes_none():
    model = Transformer(TransformerConfig(vocabulary=100, context=24, layers=1, width=16, heads=2))
    canaries = Canaries(Unigram(torch.ones(100), 24, 0), 60, (1,) * 30, 5)
    assert exposures(model, canaries, ROW, others=63).mean() == pytest.approx(np.log2(np.e), abs=0.8)


def test_nothing_to_compare_with_is_an_error():
    with pytest.raises(DataError, match="finite"):
        exposure(0.0, [])
