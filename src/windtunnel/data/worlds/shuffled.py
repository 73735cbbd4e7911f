"""The null of any source of rows: the same tokens in any order, so that only their frequencies can be learned."""

import torch

from windtunnel.data.sources import Rows, Source, derived_seed


class Shuffled:
    """Rows of a source with their tokens, after the first, in random order.

    Args:
        source: Where the rows come from.
        seed: Decides the orders.

    Attributes:
        vocabulary: Token types.
        context: Tokens a model reads.
    """

    def __init__(self, source: Source, seed: int) -> None:
        self.source, self.seed = source, seed
        self.vocabulary, self.context = source.vocabulary, source.context

    def rows(self, start: int, count: int) -> Rows:
        """Rows `start` to `start + count - 1`."""
        tokens = self.source.rows(start, count)["tokens"].clone()
        for place, row in enumerate(range(start, start + count)):
            generator = torch.Generator().manual_seed(derived_seed(self.seed, "shuffled", row))
            tokens[place, 1:] = tokens[place, 1:][torch.randperm(self.context, generator=generator)]
        return {"tokens": tokens}
