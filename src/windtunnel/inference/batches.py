"""Rows of different lengths as one left-padded batch."""

from collections.abc import Iterator, Sequence

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


def by_length(rows: Sequence[Sequence[int]], batch_size: int) -> Iterator[list[int]]:
    """Indices of the rows in batches, longest first: little padding, and a lack of memory shows at once."""
    order = sorted(range(len(rows)), key=lambda index: len(rows[index]), reverse=True)
    for start in range(0, len(order), batch_size):
        yield order[start : start + batch_size]
