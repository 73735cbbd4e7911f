"""Rows of different lengths as one padded batch."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Int
from torch import Tensor


def left_padded(
    rows: Sequence[Sequence[int]], device: torch.device
) -> tuple[Int[Tensor, "batch position"], Bool[Tensor, "batch position"] | None]:
    """Token ids with padding before each row, and the mask of real tokens (None: all are)."""
    longest = max(len(row) for row in rows)
    tokens = torch.tensor([[0] * (longest - len(row)) + list(row) for row in rows], device=device)
    if all(len(row) == longest for row in rows):
        return tokens, None
    mask = torch.tensor([[False] * (longest - len(row)) + [True] * len(row) for row in rows], device=device)
    return tokens, mask


def right_padded(
    rows: Sequence[Sequence[int]], device: torch.device
) -> tuple[Int[Tensor, "batch position"], list[int]]:
    """Token ids with padding after each row, and the number of real tokens of each; no real token sees padding."""
    counts = [len(row) for row in rows]
    longest = max(counts)
    return torch.tensor([[*row, *[0] * (longest - len(row))] for row in rows], device=device), counts
