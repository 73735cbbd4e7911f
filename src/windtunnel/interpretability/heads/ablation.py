"""Ablation of heads: full (everything recomputed) and pattern-preserving (Olsson et al., 2022, Argument 3)."""

from collections import defaultdict
from collections.abc import Iterable
from contextlib import AbstractContextManager

import torch
from jaxtyping import Float, Int
from torch import Tensor

from windtunnel.interpretability.heads.losses import token_losses
from windtunnel.laboratory.errors import UsageError
from windtunnel.models.interface import LanguageModel
from windtunnel.models.sites import Intervention

Head = tuple[int, int]
"""A head as (layer, head)."""


def all_heads(model: LanguageModel) -> list[Head]:
    """Every head of a model, layer by layer."""
    return [(layer, head) for layer in range(model.shape.layers) for head in range(model.shape.heads)]


def zeroed(model: LanguageModel, heads: Iterable[Head]) -> AbstractContextManager[None]:
    """Set the results of these heads to zero in the forward passes inside the `with` block.

    Raises:
        UsageError: The model has no such head.
    """
    by_layer: dict[int, list[int]] = defaultdict(list)
    for layer, head in heads:
        if not (0 <= layer < model.shape.layers and 0 <= head < model.shape.heads):
            raise UsageError(
                f"{model.name} has no head {head} in layer {layer}; it has {model.shape.layers} layers of "
                f"{model.shape.heads} heads."
            )
        by_layer[layer].append(head)
    return model.intervene({f"blocks.{layer}.attn.hook_z": _zero(chosen) for layer, chosen in by_layer.items()})


def _zero(heads: list[int]) -> Intervention:
    def intervention(z: Tensor) -> Tensor:
        z[:, :, heads] = 0.0
        return z

    return intervention


@torch.no_grad()
def losses_without(
    model: LanguageModel,
    tokens: Int[Tensor, "rows position"],
    heads: Iterable[Head] = (),
    *,
    preserve_patterns: bool = False,
    batch_size: int = 64,
) -> Float[Tensor, "rows predicted"]:
    """Per-token losses with a set of heads ablated.

    Args:
        model: The model.
        tokens: Sequences.
        heads: Heads whose result is set to zero; none: the losses of the whole model.
        preserve_patterns: Force every head's attention to what it was before the ablation, so that only the values
            that pass through the ablated heads change. Otherwise later layers recompute their attention.
        batch_size: Sequences per forward pass; the patterns of so many are held at once.
    """
    heads = list(heads)
    return torch.cat([_losses(model, batch, heads, preserve_patterns) for batch in torch.split(tokens, batch_size)])


def _losses(model: LanguageModel, tokens: Tensor, heads: list[Head], preserve_patterns: bool) -> Tensor:
    tokens = tokens.to(model.device)
    if not heads:
        return token_losses(model(tokens), tokens)
    if not preserve_patterns:
        with zeroed(model, heads):
            return token_losses(model(tokens), tokens)
    later = [f"blocks.{layer}.attn.hook_pattern" for layer in range(min(heads)[0], model.shape.layers)]
    with model.record(*later) as patterns:
        model(tokens)
    with model.intervene({name: _forced(patterns[name]) for name in later}), zeroed(model, heads):
        return token_losses(model(tokens), tokens)


def _forced(pattern: Tensor) -> Intervention:
    return lambda _: pattern


def projection(
    change: Float[Tensor, "rows predicted"],
    before: Float[Tensor, "rows predicted"],
    after: Float[Tensor, "rows predicted"],
) -> float:
    """A change of per-token losses along the unit vector from the losses before the phase change to those after it.

    Negative: the ablation undoes the phase change. Dividing by the length of `after - before` gives the share undone.

    Raises:
        UsageError: The losses before and after are equal, so there is no direction.
    """
    direction = (after - before).double().flatten()
    length = direction.norm()
    if length == 0:
        raise UsageError("The losses before and after are equal, so a change cannot be projected on their difference.")
    return float(change.double().flatten() @ direction / length)
