"""Policy gradient in expectation: its gradient, and the optimum that it reaches."""

import copy

import pytest
import torch

from windtunnel.models.transformer import Transformer, TransformerConfig
from windtunnel.training.configuration import TrainingConfig
from windtunnel.training.loop import train
from windtunnel.training.objectives.expected_reward import ExpectedReward, tilted

SHAPE = TransformerConfig(vocabulary=6, context=3, layers=1, width=16, heads=2, tied_embeddings=False)


class OneRow:
    vocabulary, context = 6, 3

    def __init__(self):
        self.batch = {
            "tokens": torch.tensor([[1, 2, 3], [4, 0, 0]]),
            "place": torch.tensor([2, 0]),
            "reward": torch.tensor([[0.0, 1, 0, 0, 0.5, 0], [0.3, 0, 0, 1, 0, 0]]),
        }

    def rows(self, start, count):
        return self.batch


def model():
    return Transformer(SHAPE, torch.Generator().manual_seed(0))


def acting(module, batch):
    with torch.no_grad():
        return module(batch["tokens"])[torch.arange(2), batch["place"]].softmax(dim=-1)


def test_training_reaches_the_tilted_model():
    source, first = OneRow(), model()
    wanted = tilted(acting(first, source.batch), source.batch["reward"], 0.5)
    settings = TrainingConfig(steps=400, batch_size=2, learning_rate=1e-2, weight_decay=0.0, precision="fp32")
    found = train(copy.deepcopy(first), ExpectedReward(copy.deepcopy(first), 0.5), source, settings).model
    assert acting(found, source.batch) == pytest.approx(wanted, abs=2e-3)


def test_the_gradient_is_that_of_sampled_policy_gradient_on_average():
    source, first = OneRow(), model()
    torch.nn.init.normal_(first.unembedding.weight, generator=torch.Generator().manual_seed(1))
    objective = ExpectedReward(copy.deepcopy(first), 0.0)
    loss, count = objective(first, source.batch)
    (exact,) = torch.autograd.grad(loss, first.unembedding.weight)
    assert float(count) == 2
    logprobs = first(source.batch["tokens"])[torch.arange(2), source.batch["place"]].log_softmax(dim=-1)
    drawn = torch.multinomial(logprobs.exp().detach(), 200_000, replacement=True, generator=torch.Generator())
    rewards = source.batch["reward"].gather(1, drawn)
    score = -(logprobs.gather(1, drawn) * rewards).mean(dim=1).sum()
    (sampled,) = torch.autograd.grad(score, first.unembedding.weight)
    assert sampled == pytest.approx(exact, abs=0.02)


def test_without_reward_the_first_model_is_the_optimum():
    source, first = OneRow(), model()
    source.batch["reward"] = torch.zeros(2, 6)
    loss, _ = ExpectedReward(copy.deepcopy(first), 0.5)(first, source.batch)
    loss.backward()
    assert float(loss.detach()) == pytest.approx(0, abs=1e-6)
    assert all(parameter.grad.abs().max() < 1e-5 for parameter in first.parameters() if parameter.grad is not None)
