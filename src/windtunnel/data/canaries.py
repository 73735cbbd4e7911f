"""Secrets planted in a stream of rows, to measure what a model remembers of what it saw so often.

A canary (Carlini et al., 2019; arXiv:1802.08232) is a run of random tokens, its prefix, and a secret after it that
nothing but memory tells. It overwrites a part of so many rows of a source, the rest of which stays as it is.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Int
from torch import Tensor

from windtunnel.data.sources import Rows, Source, derived_seed
from windtunnel.laboratory.errors import UsageError

PREFIX, SECRET = 8, 4
"""Tokens of a canary's prefix and of its secret."""

ALPHABET = 32
"""Token types that secrets are of: 20 random bits."""


class Canaries:
    """A stream of a given length with canaries in it.

    Args:
        source: What the rows are of.
        rows: Length of the stream.
        repeats: How often each canary is seen.
        seed: Decides the canaries and where they are.
        hidden: Every copy has a secret of its own, so that there is none to remember: the null control.

    Attributes:
        vocabulary: Token types.
        context: Tokens a model reads.
        repeats: As given.
        prefixes: [canary, PREFIX]
        secrets: [canary, SECRET]

    Raises:
        UsageError: The canaries need more rows than there are, or rows longer than these.
    """

    def __init__(self, source: Source, rows: int, repeats: Sequence[int], seed: int, *, hidden: bool = False) -> None:
        if sum(repeats) > rows or source.context + 1 < PREFIX + SECRET:
            raise UsageError(
                f"{sum(repeats)} canaries of {PREFIX + SECRET} tokens do not fit {rows} rows of {source.context + 1}; "
                "plant fewer, or use a longer stream."
            )
        self.vocabulary, self.context, self.repeats = source.vocabulary, source.context, tuple(repeats)
        self._source, self._seed, self._hidden = source, seed, hidden
        generator = torch.Generator().manual_seed(derived_seed(seed, "canaries"))
        self.alphabet = torch.randperm(source.vocabulary, generator=generator)[:ALPHABET]
        count = len(self.repeats)
        self.prefixes = torch.randint(source.vocabulary, (count, PREFIX), generator=generator)
        self.secrets = self.draw(count, generator)
        chosen = torch.randperm(rows, generator=generator)[: sum(repeats)].tolist()
        numbers = [number for number, times in enumerate(self.repeats) for _ in range(times)]
        self._planted = dict(zip(chosen, numbers, strict=True))

    def draw(self, count: int, generator: torch.Generator) -> Int[Tensor, "secret token"]:
        """Secrets of the canaries' kind."""
        return self.alphabet[torch.randint(len(self.alphabet), (count, SECRET), generator=generator)]

    def rows(self, start: int, count: int) -> Rows:
        """Rows `start` to `start + count - 1`."""
        found = dict(self._source.rows(start, count))
        tokens = found["tokens"].clone()
        for place in range(count):
            number = self._planted.get(start + place)
            if number is not None:
                generator = torch.Generator().manual_seed(derived_seed(self._seed, "row", start + place))
                secret = self.draw(1, generator)[0] if self._hidden else self.secrets[number]
                column = int(torch.randint(tokens.shape[1] - PREFIX - SECRET + 1, (1,), generator=generator))
                tokens[place] = paste(tokens[place], self.prefixes[number], secret, column)
        return {**found, "tokens": tokens}


def paste(
    row: Int[Tensor, " token"], prefix: Int[Tensor, " prefix"], secret: Int[Tensor, " secret"], column: int
) -> Int[Tensor, " token"]:
    """The row with prefix and secret in place of what stood from a column on."""
    found = row.clone()
    found[column : column + len(prefix) + len(secret)] = torch.cat([prefix, secret])
    return found
