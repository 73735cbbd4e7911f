"""How a continuation ends: by an end token, by a stop string in its text, or by its length."""

from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from windtunnel.inference.decoder import Decoder
from windtunnel.laboratory.errors import UsageError

StopReason = Literal["end", "stop", "length"]
Decode = Callable[[list[int]], str]


@dataclass(frozen=True)
class Sample:
    """One continuation of a prompt.

    Attributes:
        text: The continuation without the end token, cut before the first stop string; empty without a tokenizer.
        token_ids: Every token, the end token and the tokens of a stop string included.
        token_logprobs: The model's log-probability of each, in nats: of the model itself, before temperature,
            top-k, top-p and min-p, and so equal to what scoring the same tokens gives.
        stop_reason: `end` (the model's end token), `stop` (a stop string) or `length` (max_new_tokens).
    """

    text: str
    token_ids: list[int]
    token_logprobs: list[float]
    stop_reason: StopReason


@dataclass(frozen=True)
class Endings:
    """What ends a continuation.

    Attributes:
        max_new_tokens: Most tokens.
        stop: Strings that end it.
        ends: Tokens that end it.
        decode: Text of token ids; needed for stop strings.
    """

    max_new_tokens: int
    stop: tuple[str, ...] = ()
    ends: Set[int] = frozenset()
    decode: Decode | None = None

    def reason(self, token_ids: list[int]) -> StopReason | None:
        """Why tokens end with the last of them, if they do."""
        if token_ids[-1] in self.ends:
            return "end"
        if self.stop and self._stopped(token_ids):
            return "stop"
        return "length" if len(token_ids) == self.max_new_tokens else None

    def sample(self, token_ids: list[int], token_logprobs: list[float], reason: StopReason) -> Sample:
        """A continuation that has ended."""
        text = self._text(token_ids)
        if reason == "stop":
            text = text[: min(text.find(stop) for stop in self.stop if stop in text)]
        return Sample(text, token_ids, token_logprobs, reason)

    @cached_property
    def _tail(self) -> int:
        """How many tokens may hold a stop string, since a character has at most 4."""
        return 4 * max((len(stop) for stop in self.stop), default=0) + 8

    def _stopped(self, token_ids: list[int]) -> bool:
        """Whether a stop string has appeared; the last tokens say so first."""
        if not any(stop in self._text(token_ids[-self._tail :]) for stop in self.stop):
            return False
        return any(stop in self._text(token_ids) for stop in self.stop)

    def _text(self, ids: list[int]) -> str:
        shown = [token for token in ids if token not in self.ends]
        return "" if self.decode is None else self.decode(shown)


def check(decoder: Decoder, prompts: Sequence[Sequence[int]], endings: Endings) -> None:
    """Refuse prompts that cannot be continued to these endings.

    Raises:
        UsageError: A prompt is empty or leaves no room for the new tokens, or stop strings come without `decode`.
    """
    if endings.stop and endings.decode is None:
        raise UsageError("Stop strings need a tokenizer, and this model has none; use max_new_tokens.")
    for prompt in prompts:
        if not prompt:
            raise UsageError("A prompt has no token to continue; begin it with the model's first token (BOS).")
        if len(prompt) + endings.max_new_tokens - 1 > decoder.context:
            raise UsageError(
                f"A prompt of {len(prompt)} tokens and {endings.max_new_tokens} new ones do not fit the model's "
                f"context of {decoder.context}; shorten the prompt or lower max_new_tokens."
            )
