"""Losses by position: per-token losses, the in-context-learning score and derivatives of the loss."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import ArrayLike, NDArray
from torch import Tensor
from torch.nn import functional

from windtunnel.laboratory.errors import UsageError

PAPER_CONTEXT = 512
"""Context in which the paper measures in-context learning: loss of the 500th token minus loss of the 50th."""


@dataclass(frozen=True)
class ContextWindows:
    """The token indices compared by the in-context-learning score; both ranges are half-open, counted from 1.

    Attributes:
        early: First and one past the last early token index.
        late: First and one past the last late token index.
    """

    early: tuple[int, int]
    late: tuple[int, int]

    def __str__(self) -> str:
        early, late = (
            f"token {first}" if last == first + 1 else f"tokens {first}–{last - 1}"
            for first, last in (self.early, self.late)
        )
        return f"loss at {late} − loss at {early}"


def default_windows(context: int) -> ContextWindows:
    """The paper's tokens 50 and 500 where the context allows it, otherwise the same parts of a shorter context.

    In a short context single tokens are noisy, so an eighth to five sixteenths is compared with the part from 25/32 to
    just before the end (8-19 and 50-61 of 64).

    Raises:
        UsageError: The context is shorter than 16 tokens.
    """
    if context >= PAPER_CONTEXT:
        return ContextWindows((50, 51), (500, 501))
    if context < 16:
        raise UsageError(
            f"A context of {context} tokens is too short to compare early with late tokens; use 16 or more."
        )
    return ContextWindows((context // 8, 5 * context // 16), (25 * context // 32, context - 2))


def token_losses(
    logits: Float[Tensor, "batch position vocabulary"], tokens: Int[Tensor, "batch position"]
) -> Float[Tensor, "batch predicted"]:
    """Loss in nats of every token but the first, so that entry t is the loss of token index t + 1.

    Args:
        logits: One row per token of `tokens`; the last row predicts nothing that is known.
        tokens: The tokens read.
    """
    batch, length = tokens.shape
    if length < 2:
        raise UsageError("A sequence of one token predicts nothing; give at least two tokens.")
    predictions = logits[:, :-1].float().reshape(batch * (length - 1), -1)
    return functional.cross_entropy(predictions, tokens[:, 1:].reshape(-1), reduction="none").view(batch, length - 1)


def in_context_score(
    losses: Float[Tensor, "batch predicted"], windows: ContextWindows | None = None
) -> Float[Tensor, " batch"]:
    """Late loss minus early loss of each sequence, in nats; more negative means more learning from context.

    Args:
        losses: From `token_losses`: entry t is token index t + 1.
        windows: Which token indices; by default `default_windows` of the length.

    Raises:
        UsageError: A window lies outside the sequence.
    """
    windows = default_windows(losses.shape[1] + 1) if windows is None else windows

    def mean(first: int, last: int) -> Tensor:
        if not 1 <= first < last <= losses.shape[1] + 1:
            raise UsageError(
                f"Tokens {first} to {last - 1} are not all predicted in a sequence of {losses.shape[1] + 1} tokens; "
                "choose other windows."
            )
        return losses[:, first - 1 : last - 1].mean(dim=1)

    return mean(*windows.late) - mean(*windows.early)


def copy_losses(losses: Float[Tensor, "batch predicted"], length: int, repeats: int) -> Float[Tensor, "batch repeats"]:
    """Mean loss of each copy of a repeated segment that ends the sequence, its first token left out.

    The first token of a copy cannot be predicted from the copy before it alone, so every copy is the mean of its other
    `length` - 1 tokens and the copies compare like with like.

    Args:
        losses: From `token_losses` of a sequence whose last `repeats` x `length` tokens are the copies.
        length: Tokens in one copy.
        repeats: Copies.
    """
    if length < 2:
        raise UsageError(f"A copy of {length} token has no token that follows another; use 2 or more.")
    ends = losses.shape[1]
    starts = [ends - length * (repeats - copy) for copy in range(repeats)]
    return torch.stack([losses[:, start + 1 : start + length].mean(dim=1) for start in starts], dim=1)


def derivative_by_log(values: ArrayLike, coordinates: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
    """Derivative of each row's values by the natural logarithm of the coordinate (d loss / d ln index, d ln step).

    Args:
        values: [..., coordinate].
        coordinates: Positive and increasing: token indices or steps.

    Returns:
        Central differences on the logarithmic grid, one-sided at the ends; the shape of `values`.

    Raises:
        UsageError: Fewer than two coordinates, or one that is not positive.
    """
    grid = np.asarray(coordinates, dtype=float)
    if grid.size < 2 or grid.min() <= 0:
        raise UsageError("A derivative by the logarithm needs two or more positive coordinates.")
    return np.asarray(np.gradient(np.asarray(values, dtype=float), np.log(grid), axis=-1))


def logarithmic_bins(count: int, bins: int) -> list[tuple[int, int]]:
    """Half-open ranges covering token indices 1 to `count`, equally long on a logarithmic axis where they can be."""
    edges = sorted({round(math.exp(x)) for x in np.linspace(0, math.log(count + 1), bins + 1)})
    return list(itertools.pairwise(edges))
