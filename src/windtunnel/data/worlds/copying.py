"""Worlds in which copying pays: sequences that repeat what they said before (Olsson et al., 2022, Section "Setup")."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from windtunnel.data.sources import BlockSource
from windtunnel.laboratory.errors import UsageError


def zipf(vocabulary: int, exponent: float) -> Float[Tensor, " vocabulary"]:
    """Probabilities proportional to 1 / rank^exponent, in float64."""
    weights = torch.arange(1, vocabulary + 1, dtype=torch.float64) ** -exponent
    return weights / weights.sum()


def repeated_tokens(
    sequences: int,
    vocabulary: int,
    generator: torch.Generator,
    *,
    length: int = 25,
    copies: int = 4,
    bos: int | None = None,
    exclude: int = 0,
) -> Int[Tensor, "sequence token"]:
    """The probe for induction: random tokens, repeated (Olsson et al., "prefix matching": 25 tokens, 4 times).

    Args:
        sequences: How many.
        vocabulary: Tokens are drawn from it without replacement where it is large enough, so that a token's earlier
            occurrence is never by chance.
        generator: Source of the draws.
        length: Tokens before the first repeat.
        copies: How often they are said.
        bos: A token put before them, or None.
        exclude: Token ids below this are not drawn: byte-pair vocabularies put special and commonest tokens there;
            as many at the top end, the rarest, are not drawn either.

    Raises:
        UsageError: Nothing is left to draw from.
    """
    low, high = exclude, vocabulary - exclude
    if high - low < 2:
        raise UsageError(f"A vocabulary of {vocabulary} leaves no tokens when {exclude} are excluded at both ends.")
    if high - low >= length:
        keys = torch.rand(sequences, high - low, generator=generator)
        drawn = keys.argsort(dim=1)[:, :length] + low
    else:
        drawn = torch.randint(low, high, (sequences, length), generator=generator)
    rows = drawn.repeat(1, copies)
    if bos is None:
        return rows
    return torch.cat([torch.full((sequences, 1), bos), rows], dim=1)


class PastedSegments(BlockSource):
    """A Zipf bigram chain into which earlier segments of the same row are pasted again.

    Each token has its own random order of successors, whose probabilities are Zipf's; this language is the same for
    all rows. Then, `pastes` times, with probability `paste_probability`, a span of the row is copied to a later,
    non-overlapping place. With pastes=0 it is the null: the same language, nothing to copy.

    Args:
        vocabulary: Token types.
        context: Tokens a model reads.
        seed: Decides the language and every row.
        exponent: Of Zipf's law.
        spans: Shortest and longest pasted span, both included.
        pastes: Most pastes per row.
        paste_probability: Of each.

    Raises:
        UsageError: A span does not fit twice into a row.
    """

    def __init__(
        self,
        vocabulary: int = 48,
        context: int = 64,
        seed: int = 0,
        *,
        exponent: float = 1.2,
        spans: tuple[int, int] = (12, 28),
        pastes: int = 2,
        paste_probability: float = 0.8,
    ) -> None:
        super().__init__(vocabulary, context, seed)
        if pastes and not 1 <= spans[0] <= spans[1] < context / 2:
            raise UsageError(
                f"Spans of {spans[0]} to {spans[1]} tokens do not fit twice into a context of {context}; shorten them."
            )
        self.spans = spans
        self.pastes = pastes
        self.paste_probability = paste_probability
        self.ranks = zipf(vocabulary, exponent)
        self._cumulative = self.ranks.cumsum(0)
        language = torch.Generator().manual_seed(seed)
        keys = torch.rand(vocabulary, vocabulary, generator=language)
        self.successors: Int[Tensor, "token rank"] = keys.argsort(dim=1)

    @property
    def transition(self) -> Float[Tensor, "token next"]:
        """The bigram probabilities, without pastes."""
        matrix = torch.zeros(self.vocabulary, self.vocabulary, dtype=torch.float64)
        return matrix.scatter_(1, self.successors, self.ranks.expand(self.vocabulary, -1))

    def draw(self, count: int, generator: torch.Generator) -> Int[Tensor, "row token"]:
        """Draw rows: the chain first, then the pastes in order."""
        length = self.context + 1
        uniform = torch.rand(count, length, generator=generator, dtype=torch.float64)
        ranks = torch.searchsorted(self._cumulative, uniform).clamp_(max=self.vocabulary - 1)
        tokens = torch.empty(count, length, dtype=torch.long)
        tokens[:, 0] = torch.randint(self.vocabulary, (count,), generator=generator)
        for position in range(1, length):
            tokens[:, position] = self.successors[tokens[:, position - 1], ranks[:, position]]
        for _ in range(self.pastes):
            tokens = self._paste(tokens, generator)
        return tokens

    def _paste(self, tokens: Tensor, generator: torch.Generator) -> Tensor:
        """Copy one span per row: source in [0, T - 2l), destination in [s + l, T - l], length l."""
        count, context = len(tokens), self.context
        draw = torch.rand(4, count, generator=generator)
        low, high = self.spans
        span = low + (draw[0] * (high - low + 1)).long().clamp_(max=high - low)
        source = (draw[1] * (context - 2 * span)).long()
        earliest = source + span
        target = earliest + (draw[2] * (context - span - earliest + 1)).long()
        position = torch.arange(tokens.shape[1])
        inside = (position >= target[:, None]) & (position < (target + span)[:, None])
        inside &= (draw[3] < self.paste_probability)[:, None]
        pasted = tokens.gather(1, (position - (target - source)[:, None]).clamp(min=0))
        return torch.where(inside, pasted, tokens)
