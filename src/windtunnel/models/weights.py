"""Weight matrices by head, the same for decoders trained here and for pretrained ones."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from windtunnel.laboratory.errors import UsageError
from windtunnel.models.interface import LanguageModel
from windtunnel.models.normalization import gain
from windtunnel.models.shape import AttentionWeights

__all__ = ["AttentionWeights", "attention_weights", "embedding", "normalization_map", "unembedding"]


def attention_weights(model: LanguageModel, layer: int) -> AttentionWeights:
    """Query, key, value and output weights of one layer, by query head.

    They act on row vectors: `q = x @ query[head]`, and head h adds `z @ output[h]` to the residual stream. Biases and
    the gain of the normalisation before the layer are not folded in.

    Raises:
        UsageError: The model has no such layer.
        Unsupported: The architecture has no map of its weights.
    """
    if not 0 <= layer < model.shape.layers:
        raise UsageError(f"There is no layer {layer}; {model.name} has layers 0 to {model.shape.layers - 1}.")
    return model.backend.attention_weights(layer)


def embedding(model: LanguageModel) -> Float[Tensor, "vocabulary width"]:
    """Token embedding."""
    return model.backend.embedding()


def unembedding(model: LanguageModel) -> Float[Tensor, "width vocabulary"]:
    """Unembedding: `logits = normalised @ unembedding`."""
    return model.backend.unembedding()


def normalization_map(model: LanguageModel, layer: int | None) -> Float[Tensor, "width width"]:
    """Linear part of the normalisation before a layer's attention, or before the unembedding.

    `normalised = scale * (x @ map)` plus a bias, where only the scale depends on x: fold it into the weights that read
    the normalised stream to get a circuit over the residual stream itself.

    Args:
        model: The model.
        layer: The layer; None: the last normalisation.

    Raises:
        Unsupported: The architecture has no map of its weights.
    """
    module = model.backend.normalization(layer)
    gains = gain(module)
    identity = torch.eye(len(gains), device=gains.device, dtype=gains.dtype)
    if isinstance(module, nn.LayerNorm):  # subtracts the mean, which RMS normalisations do not
        identity = identity - 1.0 / len(gains)
    return identity * gains
