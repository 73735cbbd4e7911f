"""Optimizers: AdamW for everything, or Muon for the hidden matrices and AdamW for the rest."""

import torch
from torch import nn

from windtunnel.training.configuration import TrainingConfig


def build(model: nn.Module, config: TrainingConfig) -> list[torch.optim.Optimizer]:
    """The optimizers of a model's trainable parameters; each group carries its peak learning rate as `peak`.

    Weight decay applies to matrices only, not to biases and norms. With `muon`, two-dimensional parameters of the
    blocks are orthogonalised (Jordan et al., 2024); embeddings, unembedding and vectors stay with AdamW.
    """
    trained = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    hidden = {
        name: parameter
        for name, parameter in trained.items()
        if config.optimizer == "muon" and parameter.ndim == 2 and "embedding" not in name and "position" not in name
    }
    rest = [parameter for name, parameter in trained.items() if name not in hidden]
    groups = [
        {"params": [p for p in rest if p.ndim >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in rest if p.ndim < 2], "weight_decay": 0.0},
    ]
    optimizers: list[torch.optim.Optimizer] = []
    adamw = [{**group, "peak": config.learning_rate} for group in groups if group["params"]]
    if adamw:
        optimizers.append(torch.optim.AdamW(adamw, lr=config.learning_rate, betas=config.betas, fused=True))
    if hidden:
        muon = {"params": list(hidden.values()), "peak": config.muon_learning_rate}
        optimizers.append(torch.optim.Muon([muon], lr=config.muon_learning_rate, weight_decay=config.weight_decay))
    return optimizers


def set_learning_rate(optimizers: list[torch.optim.Optimizer], multiplier: float) -> None:
    """Set every group to its peak times `multiplier`."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group["peak"] * multiplier
