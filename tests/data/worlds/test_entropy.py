import itertools
import math

import numpy as np
import pytest
import torch

from windtunnel.data.worlds.entropy import HiddenMarkov, MarkovChain, Unigram, random_transition, stationary
from windtunnel.laboratory.errors import UsageError

TRANSITION = torch.tensor([[0.9, 0.1, 0.0], [0.2, 0.5, 0.3], [0.0, 0.4, 0.6]], dtype=torch.float64)
EMISSION = torch.tensor([[0.7, 0.3, 0.0, 0.0], [0.0, 0.5, 0.5, 0.0], [0.1, 0.0, 0.2, 0.7]], dtype=torch.float64)
WORLDS = {
    "unigram": lambda context, seed: Unigram(torch.tensor([3.0, 1.0, 0.0, 4.0]), context, seed),
    "markov": lambda context, seed: MarkovChain(TRANSITION, context, seed),
    "hidden": lambda context, seed: HiddenMarkov(TRANSITION, EMISSION, context, seed),
}


def every_row(vocabulary, length):
    return torch.tensor(list(itertools.product(range(vocabulary), repeat=length)))


@pytest.mark.parametrize("kind", WORLDS)
def test_the_probabilities_of_all_rows_sum_to_one_at_every_length(kind):
    world = WORLDS[kind](3, 0)
    for length in (1, 2, 4):
        rows = every_row(world.vocabulary, length)
        assert world.log_probabilities(rows).sum(dim=1).exp().sum().item() == pytest.approx(1, abs=1e-12)


def test_hidden_states_are_summed_out():
    world = HiddenMarkov(TRANSITION, EMISSION, 3, 0)
    rows = every_row(4, 4)
    start = stationary(TRANSITION)
    brute = torch.zeros(len(rows), dtype=torch.float64)
    for states in itertools.product(range(3), repeat=4):
        path = start[states[0]] * EMISSION[states[0], rows[:, 0]]
        for position in range(1, 4):
            path = path * TRANSITION[states[position - 1], states[position]]
            path = path * EMISSION[states[position], rows[:, position]]
        brute += path
    assert torch.allclose(world.log_probabilities(rows).sum(dim=1).exp(), brute, atol=1e-14)


def test_the_entropy_rate_is_what_blocks_grow_by():
    chain = MarkovChain(TRANSITION, 3, 0)

    def block_entropy(length):
        logs = chain.log_probabilities(every_row(3, length)).sum(dim=1)
        return -(logs.exp() * logs)[logs.isfinite()].sum().item()

    assert block_entropy(5) - block_entropy(4) == pytest.approx(chain.entropy_rate, abs=1e-12)
    assert torch.allclose(chain.stationary @ TRANSITION, chain.stationary, atol=1e-14)
    two = MarkovChain(torch.tensor([[0.5, 0.5], [1.0, 0.0]]), 3, 0)  # golden mean: stationary 2/3, 1/3
    assert two.entropy_rate == pytest.approx(2 / 3 * math.log(2), abs=1e-12)
    assert Unigram(torch.ones(8), 3, 0).entropy_rate == pytest.approx(math.log(8), abs=1e-12)


@pytest.mark.parametrize("kind", WORLDS)
def test_what_is_drawn_has_the_probabilities_that_are_told(kind):
    world = WORLDS[kind](2, 1)
    drawn = world.rows(0, 20_000)["tokens"]
    rows = every_row(world.vocabulary, 3)
    expected = world.log_probabilities(rows).sum(dim=1).exp()
    places = (drawn * torch.tensor([world.vocabulary**2, world.vocabulary, 1])).sum(dim=1)
    observed = torch.bincount(places, minlength=len(rows)) / len(drawn)
    error = (expected * (1 - expected) / len(drawn)).sqrt()
    assert bool(((observed - expected).abs() <= 5 * error + 1e-12).all())


@pytest.mark.parametrize("kind", ["unigram", "markov"])
def test_the_best_loss_is_the_entropy_rate_within_its_error(kind):
    world = WORLDS[kind](200, 2)
    losses = -world.log_probabilities(world.rows(0, 256)["tokens"])[:, 1:].mean(dim=1)
    assert abs(losses.mean().item() - world.entropy_rate) < 4 * losses.std().item() / 16


def test_more_reading_never_predicts_worse():
    losses = -HiddenMarkov(TRANSITION, EMISSION, 20, 0).log_probabilities(every_row(4, 6))
    weight = losses.sum(dim=1).neg().exp()
    by_position = torch.where(weight[:, None] > 0, weight[:, None] * losses, 0).sum(dim=0)
    assert bool((by_position.diff() <= 1e-12).all())


@pytest.mark.parametrize("kind", WORLDS)
def test_rows_are_a_function_of_the_seed_and_their_number(kind):
    world, same, other = WORLDS[kind](9, 3), WORLDS[kind](9, 3), WORLDS[kind](9, 4)
    whole = world.rows(0, 600)["tokens"]
    assert whole.shape == (600, 10)
    assert torch.equal(whole[250:270], same.rows(250, 20)["tokens"])
    assert not torch.equal(whole, other.rows(0, 600)["tokens"])


def test_random_transitions_are_distributions_of_the_generator():
    matrix = random_transition(6, np.random.default_rng(0))
    assert torch.allclose(matrix.sum(dim=1), torch.ones(6, dtype=torch.float64))
    assert torch.equal(matrix, random_transition(6, np.random.default_rng(0)))
    peaked = random_transition(6, np.random.default_rng(0), concentration=0.05)
    assert MarkovChain(peaked, 4, 0).entropy_rate < MarkovChain(matrix, 4, 0).entropy_rate


@pytest.mark.parametrize(
    "make",
    [
        lambda: Unigram(torch.tensor([1.0, -1.0]), 4, 0),
        lambda: Unigram(torch.zeros(3), 4, 0),
        lambda: Unigram(torch.tensor([1.0, float("nan")]), 4, 0),
        lambda: MarkovChain(torch.ones(2, 3), 4, 0),
        lambda: MarkovChain(torch.eye(2), 4, 0),
        lambda: HiddenMarkov(TRANSITION, torch.ones(2, 4), 4, 0),
    ],
)
def test_what_is_no_distribution_is_one_sentence(make):
    with pytest.raises(UsageError) as caught:
        make()
    assert "\n" not in str(caught.value)
