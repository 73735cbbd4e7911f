"""What heads are measured on: random tokens repeated, and ordinary sequences."""

from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor

from windtunnel.data.worlds.copying import repeated_tokens
from windtunnel.interpretability.heads.losses import ContextWindows, default_windows
from windtunnel.laboratory.errors import UsageError
from windtunnel.models.interface import LanguageModel

LENGTH = 25
"""Random tokens in a segment (Olsson et al., 2022)."""

COPIES = 4
"""Times the segment is said (Olsson et al., 2022)."""

LEFT_OUT = 0.1
"""Share of the vocabulary left out at either end, the commonest and the rarest tokens, when random tokens are drawn."""


@dataclass(frozen=True)
class RepeatedTokens:
    """Random segments, each said several times.

    Attributes:
        tokens: [sequences, position]: BOS if there is one, then the copies.
        length: Tokens in one copy.
        copies: How often each is said.
        bos: Whether the first token is the model's BOS.
    """

    tokens: Int[Tensor, "sequences position"]
    length: int
    copies: int
    bos: bool

    @property
    def segment(self) -> slice:
        """The positions of the first copy."""
        return slice(int(self.bos), int(self.bos) + self.length)


def repeated_probe(
    model: LanguageModel, *, generator: torch.Generator, sequences: int = 10, copies: int = COPIES
) -> RepeatedTokens:
    """The paper's probe for a model: BOS, if it has one, then 25 random tokens 4 times.

    In a shorter context as many copies as fit; where not even two fit, two shorter ones.

    Raises:
        UsageError: The context is too short for two copies of two tokens.
    """
    bos = None if model.tokenizer is None else model.tokenizer.bos
    room = model.shape.context - (bos is not None)
    copies = max(2, min(copies, room // LENGTH))
    length = min(LENGTH, room // copies)
    if length < 2:
        raise UsageError(
            f"The context of {model.name}, {model.shape.context} tokens, is too short to repeat tokens in."
        )
    vocabulary = model.shape.vocabulary
    tokens = repeated_tokens(
        sequences, vocabulary, generator, length=length, copies=copies, bos=bos, exclude=int(LEFT_OUT * vocabulary)
    )
    return RepeatedTokens(tokens, length, copies, bos is not None)


@dataclass(frozen=True)
class Material:
    """What every snapshot of every model of a study is measured on.

    Attributes:
        repeated: Random tokens repeated.
        text: Held-out ordinary sequences, [sequences, position].
        windows: Token indices of the in-context-learning score.
        marked: One token index per sequence of `text`, whose loss stands for it in the principal components.
    """

    repeated: RepeatedTokens
    text: Int[Tensor, "sequences position"]
    windows: ContextWindows
    marked: Int[Tensor, " sequences"]


def material(
    repeated: RepeatedTokens,
    text: Int[Tensor, "sequences position"],
    generator: torch.Generator,
    windows: ContextWindows | None = None,
) -> Material:
    """Put the measuring material together, marking one random token of each sequence."""
    windows = default_windows(text.shape[1]) if windows is None else windows
    marked = torch.randint(1, text.shape[1], (len(text),), generator=generator)
    return Material(repeated, text, windows, marked)
