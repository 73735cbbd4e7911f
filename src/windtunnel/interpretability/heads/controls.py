"""The null control of a pretrained model: the same architecture before any training."""

import torch
from torch import nn

from windtunnel.models.interface import LanguageModel
from windtunnel.models.transformer import Transformer

INITIAL_SCALE = 0.02
"""Standard deviation of the weights of transformers checkpoints before training, where their config names none."""


@torch.no_grad()
def forget(model: LanguageModel, generator: torch.Generator) -> None:
    """Draw all weights of a model anew, in place: what is measured of it now is what the architecture alone gives.

    A decoder trained here is initialised as for training. In a transformers checkpoint matrices become normal with the
    config's initial scale, biases zero, and gains of normalisations one.
    """
    module = model.module
    if isinstance(module, Transformer):
        module.initialise(generator)
        return
    scale = float(getattr(getattr(module, "config", None), "initializer_range", INITIAL_SCALE))
    for owner in module.modules():
        normalises = not isinstance(owner, nn.Linear | nn.Embedding) and hasattr(owner, "weight")
        for name, parameter in owner.named_parameters(recurse=False):
            if parameter.ndim >= 2:
                drawn = torch.empty(parameter.shape, dtype=torch.float32).normal_(0.0, scale, generator=generator)
                parameter.copy_(drawn)
            else:
                parameter.fill_(1.0 if normalises and name == "weight" else 0.0)
