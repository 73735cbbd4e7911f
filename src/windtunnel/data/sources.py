"""Sources: endless rows of tokens in which row i is a pure function of the source's seed and i.

So the position of a training run is one integer, and the same rows come whatever the batch size, the accumulation or
the number of processes.
"""

import hashlib
from abc import ABC, abstractmethod
from typing import Protocol

import torch
from jaxtyping import Int
from torch import Tensor

Rows = dict[str, Tensor]
"""A batch of rows: `tokens` int64 [row, context + 1]; optionally `documents` (the number of each token's document in
its row; attention and loss do not cross documents) and `mask` (whether predicting that token counts)."""


class Source(Protocol):
    """What a model learns from.

    Attributes:
        vocabulary: Token types.
        context: Tokens a model reads; rows have one more, the last to predict.
    """

    vocabulary: int
    context: int

    def rows(self, start: int, count: int) -> Rows:
        """Rows `start` to `start + count - 1` of the source's one endless order."""


def derived_seed(*parts: object) -> int:
    """A 63-bit seed that depends on the parts only."""
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


class BlockSource(ABC):
    """A source that draws its rows in blocks, each from a generator of its own.

    Attributes:
        vocabulary: Token types.
        context: Tokens a model reads.
        seed: Decides every row.
    """

    BLOCK = 256
    """Rows drawn together: part of what row i is."""

    def __init__(self, vocabulary: int, context: int, seed: int) -> None:
        self.vocabulary = vocabulary
        self.context = context
        self.seed = seed
        self._last: tuple[int, Tensor] | None = None

    @abstractmethod
    def draw(self, count: int, generator: torch.Generator) -> Int[Tensor, "row token"]:
        """Draw `count` rows of `context + 1` tokens."""

    def rows(self, start: int, count: int) -> Rows:
        """Rows `start` to `start + count - 1`."""
        first, last = start // self.BLOCK, (start + count - 1) // self.BLOCK
        drawn = torch.cat([self._block(index) for index in range(first, last + 1)])
        offset = start - first * self.BLOCK
        return {"tokens": drawn[offset : offset + count]}

    def _block(self, index: int) -> Tensor:
        if self._last is None or self._last[0] != index:
            generator = torch.Generator().manual_seed(derived_seed(self.seed, index))
            self._last = (index, self.draw(self.BLOCK, generator))
        return self._last[1]


class AnswerSource(BlockSource):
    """A source of questions: of a row only its last token counts, which is the answer."""

    def rows(self, start: int, count: int) -> Rows:
        """Rows `start` to `start + count - 1`, with a mask of what counts."""
        found = super().rows(start, count)
        mask = torch.zeros_like(found["tokens"], dtype=torch.bool)
        mask[:, -1] = True
        return {**found, "mask": mask}
