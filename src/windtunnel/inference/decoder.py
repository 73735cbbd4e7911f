"""What sampling and scoring need of a model: a callable decoder with a cache, and no more."""

from typing import Any, Protocol

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


class Decoder(Protocol):
    """A causal language model over token ids.

    Attributes:
        context: Longest sequence in tokens.
        device: Where token ids must be.
    """

    @property
    def context(self) -> int:
        """Longest sequence in tokens."""

    @property
    def device(self) -> torch.device:
        """Where token ids must be."""

    def logits(
        self,
        tokens: Int[Tensor, "batch position"],
        mask: Bool[Tensor, "batch position"] | None = None,
        last: int | None = None,
    ) -> Float[Tensor, "batch kept vocabulary"]:
        """Next-token logits at the last `last` positions, or at all; `mask` is True at real tokens."""

    def new_cache(self, batch: int, capacity: int) -> Any:
        """State of `batch` rows that will hold at most `capacity` tokens each, padding included."""

    def extend(
        self, cache: Any, tokens: Int[Tensor, "batch position"], mask: Bool[Tensor, "batch position"] | None = None
    ) -> Float[Tensor, "batch vocabulary"]:
        """Append tokens to every row of the cache and return the logits after each row's last position."""


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
