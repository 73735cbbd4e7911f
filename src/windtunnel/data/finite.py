"""A data set of fixed size read over and over: what a model learns from when data, not compute, are scarce."""

import torch
from jaxtyping import Int
from torch import Tensor

from windtunnel.data.sources import Rows, derived_seed
from windtunnel.laboratory.errors import UsageError


class FiniteRows:
    """Some rows, in another order each epoch.

    Args:
        tokens: The rows, each `context + 1` tokens.
        vocabulary: Token types.
        seed: Decides the order of each epoch.

    Attributes:
        vocabulary: Token types.
        context: Tokens a model reads.
        epoch: Rows in an epoch.
        size: Tokens predicted in an epoch: the size D of the data set.

    Raises:
        UsageError: There is no row, or rows are too short to predict anything.
    """

    def __init__(self, tokens: Int[Tensor, "row token"], vocabulary: int, seed: int) -> None:
        if tokens.ndim != 2 or not len(tokens) or tokens.shape[1] < 2:
            raise UsageError(f"Rows of shape {tuple(tokens.shape)} hold nothing to predict; give one of two tokens.")
        self.vocabulary = vocabulary
        self.context = tokens.shape[1] - 1
        self.epoch = len(tokens)
        self.size = self.epoch * self.context
        self.seed = seed
        self._tokens = tokens
        self._order: tuple[int, Int[Tensor, " row"]] = (-1, torch.empty(0))

    def rows(self, start: int, count: int) -> Rows:
        """Rows `start` to `start + count - 1`."""
        places = torch.tensor([self._place(row) for row in range(start, start + count)])
        return {"tokens": self._tokens[places].long()}

    def _place(self, row: int) -> int:
        epoch, place = divmod(row, self.epoch)
        if self._order[0] != epoch:
            generator = torch.Generator().manual_seed(derived_seed(self.seed, epoch))
            self._order = (epoch, torch.randperm(self.epoch, generator=generator))
        return int(self._order[1][place])
