"""What a model loses without some of its heads: on repeated tokens and in learning from context."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from windtunnel.interpretability.heads.ablation import Head, losses_without, projection
from windtunnel.interpretability.heads.losses import copy_losses, in_context_score
from windtunnel.interpretability.heads.probes import Material
from windtunnel.models.interface import LanguageModel

Losses = NDArray[np.float64]


@dataclass(frozen=True)
class Ablation:
    """One set of heads ablated.

    Attributes:
        heads: The set.
        copies: Loss of each copy of the repeated tokens, [probes, copies].
        repeated: Loss of each token index of the repeated tokens from 1, mean over probes, [predicted].
        in_context: In-context-learning score of each sequence of the text.
        undone: Share of the per-token-loss change from before training to after that the ablation undoes: the
            projection on the unit before-to-after vector over that vector's length, negated; nan without a before.
    """

    heads: tuple[Head, ...]
    copies: Losses
    repeated: Losses
    in_context: Losses
    undone: float


@torch.no_grad()
def ablate_sets(
    model: LanguageModel,
    material: Material,
    sets: Sequence[Sequence[Head]],
    *,
    preserve_patterns: bool = False,
    before: LanguageModel | None = None,
) -> list[Ablation]:
    """Ablate each set of heads in turn; an empty set is the whole model.

    Args:
        model: The model.
        material: What to measure on.
        sets: The sets.
        preserve_patterns: As in `losses_without`.
        before: The same model before training (or before the phase change), for `Ablation.undone`.
    """
    probe = material.repeated
    after_losses = before_losses = None
    if before is not None:
        before_losses, after_losses = losses_without(before, material.text), losses_without(model, material.text)
    found = []
    for heads in sets:
        repeated = losses_without(model, probe.tokens, heads, preserve_patterns=preserve_patterns)
        copies = copy_losses(repeated, probe.length, probe.copies)
        text = losses_without(model, material.text, heads, preserve_patterns=preserve_patterns)
        undone = float("nan")
        if before_losses is not None and after_losses is not None:
            length = float((after_losses - before_losses).double().norm())
            undone = -projection(text - after_losses, before_losses, after_losses) / length
        scores = in_context_score(text, material.windows)
        found.append(Ablation(tuple(heads), _array(copies), _array(repeated.mean(dim=0)), _array(scores), undone))
    return found


def gain_removed(whole: Losses, ablated: Losses) -> Losses:
    """Share of the gain on repeated tokens that an ablation removes, of each probe.

    The gain is the loss of the first copy minus that of the second; what is removed is the rise of the second copy's
    loss, over the mean gain. nan where the whole model gains nothing.

    Args:
        whole: Loss of each copy in the whole model, [probes, copies].
        ablated: The same with heads ablated.
    """
    gain = (whole[:, 0] - whole[:, 1]).mean()
    rise = ablated[:, 1] - whole[:, 1]
    return np.asarray(rise / gain if gain > 0 else np.full_like(rise, np.nan))


def random_sets(
    heads: Sequence[Head], left_out: Sequence[Head], size: int, count: int, generator: np.random.Generator
) -> list[list[Head]]:
    """Draw sets of heads without the ones left out, to compare an ablation with.

    Args:
        heads: All heads of the model.
        left_out: The set under study.
        size: Heads in a set; fewer where not so many are left.
        count: Sets.
        generator: Source of randomness.
    """
    rest = [head for head in heads if head not in set(left_out)]
    return [[rest[index] for index in generator.permutation(len(rest))[: min(size, len(rest))]] for _ in range(count)]


def _array(values: torch.Tensor) -> Losses:
    return np.asarray(values.detach().cpu().double().numpy())
