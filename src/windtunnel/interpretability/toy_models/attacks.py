"""Adversarial examples of toy models: superposition leaves room for attacks (Elhage et al., "Adversarial Examples")."""

import torch
from jaxtyping import Float
from torch import Tensor

from windtunnel.training.bank import Bank


def attack_directions(bank: Bank) -> Float[Tensor, "model feature feature"]:
    """The optimal L2 attack on each output i, (WᵀW)_i / ‖(WᵀW)_i‖: one unit vector per attacked feature."""
    gram = bank.encoder @ bank.encoder.transpose(1, 2)
    unit: Tensor = gram / gram.norm(dim=2, keepdim=True).clamp_min(1e-6)
    return unit


def attacked_losses(
    bank: Bank,
    x: Float[Tensor, "model sample feature"],
    importance: Float[Tensor, "model feature"],
    strength: float = 0.1,
) -> tuple[Float[Tensor, " model"], Float[Tensor, " model"]]:
    """Losses of each model without an attack and under the worst one.

    Args:
        bank: The models.
        x: Clean samples.
        importance: Weight of each feature's error.
        strength: Size of the attack as a share of the mean ‖x‖.

    Returns:
        The mean losses without an attack, and under the analytic attack that does each sample most harm, over all
        features and both signs.
    """
    size = strength * x.norm(dim=2).mean(1)
    directions = size[:, None, None] * attack_directions(bank)
    weight = importance[:, None, :]
    clean = ((bank(x) - x).square() * weight).sum(2)
    worst = clean.clone()
    for feature in range(x.shape[2]):
        for sign in (1.0, -1.0):
            moved = x + sign * directions[:, None, feature]
            torch.maximum(worst, ((bank(moved) - x).square() * weight).sum(2), out=worst)
    return clean.mean(1), worst.mean(1)


def worst_disturbance(bank: Bank, x: Tensor, strength: float = 0.1) -> Tensor:
    """The batch with every sample moved by the attack on one feature, features taking turns (adversarial training)."""
    size = strength * x.norm(dim=2).mean(1)
    directions = attack_directions(bank)
    turn = torch.arange(x.shape[1]) % x.shape[2]
    moved: Tensor = x + size[:, None, None] * directions[:, turn]
    return moved
