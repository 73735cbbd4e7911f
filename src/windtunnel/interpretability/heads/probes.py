"""Probes: sequences of random tokens repeated, on which head scores do not depend on natural statistics."""

from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor

from windtunnel.laboratory.errors import UsageError
from windtunnel.models.interface import LanguageModel

LENGTH = 25
"""Random tokens in a segment (Olsson et al., 2022)."""

REPEATS = 4
"""Times the segment is repeated (Olsson et al., 2022)."""


@dataclass(frozen=True)
class RepeatedTokens:
    """Random segments, each repeated.

    Attributes:
        tokens: [sequences, position]: BOS if there is one, then the copies.
        length: Tokens in one copy.
        repeats: Copies.
        bos: Whether the first token is the model's BOS.
    """

    tokens: Int[Tensor, "sequences position"]
    length: int
    repeats: int
    bos: bool

    @property
    def segment(self) -> Int[Tensor, "sequences length"]:
        """One copy of each segment."""
        return self.tokens[:, self.bos : self.bos + self.length]


def repeated_tokens(
    candidates: Int[Tensor, " candidates"],
    context: int,
    *,
    generator: torch.Generator,
    sequences: int = 10,
    length: int = LENGTH,
    repeats: int = REPEATS,
    bos: int | None = None,
) -> RepeatedTokens:
    """Draw random segments of different tokens and repeat each.

    Args:
        candidates: Tokens to draw from.
        context: Longest sequence the model reads: as many whole copies as fit, at most `repeats`.
        generator: Source of randomness.
        sequences: How many.
        length: Tokens in a segment.
        repeats: Copies of it.
        bos: Put before the first copy.

    Raises:
        UsageError: Too few candidates, or not even two copies fit.
    """
    start = 0 if bos is None else 1
    repeats = min(repeats, (context - start) // length)
    if repeats < 2:
        raise UsageError(f"Two copies of {length} tokens do not fit a context of {context}; use shorter segments.")
    if len(candidates) < length:
        raise UsageError(f"{len(candidates)} tokens are too few for segments of {length} different ones.")
    drawn = [candidates[torch.randperm(len(candidates), generator=generator)[:length]] for _ in range(sequences)]
    tokens = torch.stack(drawn).repeat(1, repeats)
    if bos is not None:
        tokens = torch.cat((torch.full((sequences, 1), bos), tokens), dim=1)
    return RepeatedTokens(tokens, length, repeats, bos is not None)


def common_and_rare_left_out(
    vocabulary: int, *, counts: Int[Tensor, " vocabulary"] | None = None, share: float = 0.1
) -> Int[Tensor, " kept"]:
    """Token ids without the most and the least common ones.

    Args:
        vocabulary: Number of token ids.
        counts: How often each occurs. Without counts the ids stand for the order of frequency, as in byte-pair
            vocabularies, which list their tokens in the order of merging.
        share: Share of the vocabulary left out at each end.
    """
    order = torch.arange(vocabulary) if counts is None else counts.argsort(descending=True, stable=True)
    cut = int(share * vocabulary)
    return order[cut : vocabulary - cut].sort().values


def probe_for(
    model: LanguageModel, *, generator: torch.Generator, sequences: int = 10, counts: Tensor | None = None
) -> RepeatedTokens:
    """The paper's probe for a model: its BOS, if it has one, then 25 random tokens as often as fit, at most 4 times."""
    candidates = common_and_rare_left_out(model.shape.vocabulary, counts=counts)
    bos = None if model.tokenizer is None else model.tokenizer.bos
    return repeated_tokens(
        candidates, model.shape.context, generator=generator, sequences=sequences, length=LENGTH, bos=bos
    )
