"""Rows of tokens under way: prompts come in, every row grows by a token at a time, finished rows go out."""

from collections.abc import Iterator, Sequence
from typing import Protocol

import torch
from jaxtyping import Float, Int
from torch import Tensor

from windtunnel.inference.batches import left_padded, right_padded
from windtunnel.inference.cache import Cache
from windtunnel.inference.decoder import Decoder

Prompt = tuple[int, ...]

PROMPT_TOKENS = 8192
"""Most prompt tokens, padding included, that pass through the model at once; it bounds memory and changes no result."""


class Rows(Protocol):
    """Rows that grow together; the order of logits is the order in which rows were admitted, less those dropped."""

    def admit(self, prompts: Sequence[Prompt]) -> Float[Tensor, "prompts vocabulary"]:
        """Append a row for each prompt, and return the logits after it."""

    def step(self, tokens: Int[Tensor, " rows"]) -> Float[Tensor, "rows vocabulary"]:
        """Append a token to each row, and return the logits after it."""

    def drop(self, row: int) -> None:
        """Forget a row; the last row takes its place."""

    def take(self, rows: Sequence[int]) -> None:
        """Go on with copies of these rows, in this order; one may be named more than once, others are forgotten."""


def rows_of(decoder: Decoder, longest: int) -> Rows:
    """Rows with a cache where the decoder takes one; `longest`: tokens of the longest row to come, at most."""
    return CachedRows(decoder, longest) if decoder.caches else WholeRows(decoder)


class CachedRows:
    """Rows whose tokens pass through the model once; so does a prompt that several new rows share."""

    def __init__(self, decoder: Decoder, longest: int) -> None:
        self.decoder = decoder
        self.cache = Cache(0, room=longest)

    def admit(self, prompts: Sequence[Prompt]) -> Tensor:
        """Append a row for each prompt, and return the logits after it."""
        return torch.cat([self._admit(part) for part in _parts(prompts)])

    def _admit(self, prompts: Sequence[Prompt]) -> Tensor:
        place = {prompt: index for index, prompt in enumerate(dict.fromkeys(prompts))}
        tokens, counts = right_padded(list(place), self.decoder.device)
        # The first prompts fill the storage of all; what comes later is computed apart, and copied in.
        first = not self.cache.keys and not self.cache.states and len(place) == len(prompts)
        fresh = Cache(len(place), room=self.cache.room if first else 0)
        rows = torch.arange(len(place), device=tokens.device)
        last = torch.tensor(counts, device=tokens.device) - 1
        logits = self.decoder.logits(tokens, cache=fresh, counts=counts, keep=(rows, last))
        if first:
            self.cache = fresh
            return logits
        copies = [place[prompt] for prompt in prompts]
        self.cache.put(fresh, copies)
        return logits[copies]

    def step(self, tokens: Tensor) -> Tensor:
        """Append a token to each row, and return the logits after it."""
        return self.decoder.logits(tokens[:, None], cache=self.cache)[:, -1]

    def drop(self, row: int) -> None:
        """Forget a row; the last row takes its place."""
        self.cache.drop(row)

    def take(self, rows: Sequence[int]) -> None:
        """Go on with copies of these rows, in this order."""
        if list(rows) != list(range(self.cache.rows)):
            taken = Cache(0, room=self.cache.room)
            taken.put(self.cache, list(rows))
            taken.prepared, self.cache = self.cache.prepared, taken


class WholeRows:
    """Rows of a decoder without a cache: each step computes them anew from their first token."""

    def __init__(self, decoder: Decoder) -> None:
        self.decoder = decoder
        self.rows: list[Prompt] = []

    def admit(self, prompts: Sequence[Prompt]) -> Tensor:
        """Append a row for each prompt, and return the logits after it."""
        self.rows += prompts
        return torch.cat([self._logits(part) for part in _parts(prompts)])

    def step(self, tokens: Tensor) -> Tensor:
        """Append a token to each row, and return the logits after it."""
        self.rows = [(*row, token) for row, token in zip(self.rows, tokens.tolist(), strict=True)]
        return self._logits(self.rows)

    def drop(self, row: int) -> None:
        """Forget a row; the last row takes its place."""
        last = self.rows.pop()
        if row < len(self.rows):
            self.rows[row] = last

    def take(self, rows: Sequence[int]) -> None:
        """Go on with copies of these rows, in this order."""
        self.rows = [self.rows[row] for row in rows]

    def _logits(self, rows: Sequence[Prompt]) -> Tensor:
        tokens, mask = left_padded(rows, self.decoder.device)
        every = torch.arange(len(rows), device=tokens.device)
        return self.decoder.logits(tokens, mask, keep=(every, torch.full_like(every, tokens.shape[1] - 1)))


def _parts(prompts: Sequence[Prompt]) -> Iterator[list[Prompt]]:
    """Consecutive prompts whose padded batch is small enough."""
    part: list[Prompt] = []
    longest = 0
    for prompt in prompts:
        longest = max(longest, len(prompt))
        if part and longest * (len(part) + 1) > PROMPT_TOKENS:
            yield part
            part, longest = [], len(prompt)
        part.append(prompt)
    yield part
