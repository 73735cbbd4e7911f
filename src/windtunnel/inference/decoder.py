"""What sampling and scoring need of a model: a callable decoder, and no more."""

from typing import Protocol

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from windtunnel.inference.cache import Cache

Kept = tuple[Int[Tensor, " kept"], Int[Tensor, " kept"]]
"""Rows and columns at which logits are wanted."""


class Decoder(Protocol):
    """A causal language model over token ids.

    Attributes:
        module: The torch module whose linear layers do the work.
        context: Longest sequence in tokens.
        vocabulary: Number of token types.
        device: Where token ids must be.
        caches: Whether `logits` takes a cache; a decoder that does not is asked for whole rows.
        branching: Whether `logits` takes rows in branches.
    """

    module: nn.Module
    caches: bool
    branching: bool

    @property
    def context(self) -> int:
        """Longest sequence in tokens."""

    @property
    def vocabulary(self) -> int:
        """Number of token types."""

    @property
    def device(self) -> torch.device:
        """Where token ids must be."""

    def logits(
        self,
        tokens: Int[Tensor, "batch position"],
        mask: Bool[Tensor, "batch position"] | None = None,
        *,
        cache: Cache | None = None,
        counts: list[int] | None = None,
        positions: Int[Tensor, "batch position"] | None = None,
        branches: Int[Tensor, "batch position"] | None = None,
        keep: Kept | None = None,
    ) -> Float[Tensor, "batch position vocabulary"] | Float[Tensor, "kept vocabulary"]:
        """Next-token logits, everywhere or at the places to `keep`.

        Args:
            tokens: Token ids.
            mask: True at real tokens; padding may be on either side. Not together with a cache.
            cache: Earlier tokens of each row, which `tokens` continue; extended by this call.
            counts: With a cache: how many tokens of each row are real, the rest being padding on the right; None: all.
            positions: Where each token stands in its sequence; by default one after the other.
            branches: Continuations side by side in one row: a token of branch b sees, of the tokens before it in
                `tokens`, those of branch 0 (the trunk) and of branch b; those in the cache are seen by all.
            keep: Rows and columns of the logits wanted.
        """


class Codec(Protocol):
    """Text to token ids and back, as every tokenizer of this package offers.

    Attributes:
        vocabulary: Number of token types.
        bos: Id that begins a sequence, if the tokenizer has one.
        eos: Id that ends one.
        pad: Id for padding; never seen by a model, since padding is masked.
    """

    @property
    def vocabulary(self) -> int:
        """Number of token types."""

    @property
    def bos(self) -> int | None:
        """Id that begins a sequence."""

    @property
    def eos(self) -> int | None:
        """Id that ends a sequence."""

    @property
    def pad(self) -> int | None:
        """Id for padding."""

    def encode(self, text: str) -> list[int]:
        """Token ids of a text."""

    def decode(self, ids: list[int]) -> str:
        """Text of token ids."""
