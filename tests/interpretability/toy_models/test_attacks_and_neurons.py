import numpy as np
import pytest
import torch

from windtunnel.interpretability.toy_models import attacks, geometry, neurons
from windtunnel.training.bank import Bank


def bank_of(weights):
    weights = torch.tensor(weights, dtype=torch.float32)[None]
    return Bank("relu_output", weights, torch.zeros(1, weights.shape[1]))


def test_attack_directions_are_rows_of_the_gram_matrix():
    bank = bank_of(geometry.polygon(5))
    gram = bank.encoder[0] @ bank.encoder[0].T
    found = attacks.attack_directions(bank)[0]
    torch.testing.assert_close(found.norm(dim=1), torch.ones(5))
    torch.testing.assert_close(found[2] * gram[2].norm(), gram[2])


def test_without_superposition_an_attack_adds_its_own_square():
    x = torch.rand(1, 200, 4, generator=torch.Generator().manual_seed(0)) + 0.5
    clean, attacked = attacks.attacked_losses(bank_of(np.eye(4)), x, torch.ones(1, 4))
    size = 0.1 * float(x.norm(dim=2).mean())
    assert float(clean) == pytest.approx(0.0, abs=1e-10)
    assert float(attacked) == pytest.approx(size**2, rel=1e-4)


def test_superposition_multiplies_the_damage_by_features_per_dimension():
    """One active feature of an antipodal pair: the same attack moves its output √2 times as far."""
    x = torch.zeros(1, 100, 2)
    x[..., 0] = 1.0
    importance = torch.ones(1, 2)
    _, alone = attacks.attacked_losses(bank_of(np.eye(2)), x, importance)
    _, paired = attacks.attacked_losses(bank_of(geometry.polygon(2)), x, importance)
    assert float(paired) == pytest.approx(2 * float(alone), rel=1e-4)


def test_a_disturbance_has_its_declared_size():
    bank = bank_of(geometry.polygon(5))
    x = torch.rand(1, 50, 5)
    moved = attacks.worst_disturbance(bank, x, strength=0.8) - x
    torch.testing.assert_close(moved.norm(dim=2), (0.8 * x.norm(dim=2).mean()).expand(1, 50))


def test_monosemantic_neurons_are_counted_among_those_in_use():
    weights = np.zeros((4, 3))
    weights[0, 0] = 1.0
    weights[1:3, 1] = 0.7
    weights[3, 2] = 1e-4
    assert neurons.active(weights).tolist() == [True, True, False]
    np.testing.assert_allclose(neurons.dominance(weights), [1.0, 0.5])
    assert neurons.monosemantic_fraction(weights) == 0.5
