"""Batched sampling with a key-value cache; a row depends on its own prompt and seed and not on its batch."""

from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from windtunnel.inference.batches import by_length, left_padded
from windtunnel.inference.decoder import Decoder
from windtunnel.laboratory.errors import UsageError

StopReason = Literal["end", "stop", "length"]


@dataclass(frozen=True)
class Sample:
    """One sampled continuation.

    Attributes:
        text: The continuation without the end token, cut before the first stop string; empty without a tokenizer.
        token_ids: Every token sampled, the end token and the tokens of a stop string included.
        token_logprobs: The model's log-probability of each, in nats: of the model itself, before temperature,
            top-k and top-p, and so equal to what scoring the same tokens gives.
        stop_reason: `end` (the model's end token), `stop` (a stop string) or `length` (max_new_tokens).
    """

    text: str
    token_ids: list[int]
    token_logprobs: list[float]
    stop_reason: StopReason


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen.

    Attributes:
        max_new_tokens: Most tokens per row.
        temperature: Divides the logits; 0 takes the most probable token.
        top_k: Keep the k most probable tokens; None: all.
        top_p: Then keep the fewest of the most probable tokens whose probabilities sum to at least p; None: all.
        stop: Strings that end a row as soon as its text holds one.

    Raises:
        UsageError: A value is out of range.
    """

    max_new_tokens: int = 64
    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    stop: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.max_new_tokens < 1:
            raise UsageError(f"max_new_tokens must be at least 1, not {self.max_new_tokens}.")
        if not 0 <= self.temperature < float("inf"):
            raise UsageError(f"temperature must be 0 or more, not {self.temperature}.")
        if self.top_k is not None and self.top_k < 1:
            raise UsageError(f"top_k must be at least 1, not {self.top_k}; None keeps every token.")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise UsageError(f"top_p must be above 0 and at most 1, not {self.top_p}; None keeps every token.")
        if "" in self.stop:
            raise UsageError("A stop string is empty; every text holds it, so remove it.")


def generate(
    decoder: Decoder,
    prompts: Sequence[Sequence[int]],
    sampling: Sampling,
    *,
    seeds: Sequence[int],
    ends: Set[int] = frozenset(),
    decode: Callable[[list[int]], str] | None = None,
    batch_size: int = 16,
) -> list[Sample]:
    """Sample one continuation of each prompt.

    Args:
        decoder: The model.
        prompts: Token ids, at least one each.
        sampling: How tokens are chosen.
        seeds: One per prompt.
        ends: Tokens that end a row.
        decode: Text of token ids; needed for stop strings.
        batch_size: Rows sampled together; it changes nothing but speed and memory.

    Raises:
        UsageError: A prompt is empty or leaves no room for the new tokens, or stop strings come without `decode`.
    """
    if sampling.stop and decode is None:
        raise UsageError("Stop strings need a tokenizer, and this model has none; use max_new_tokens.")
    for prompt in prompts:
        if not prompt:
            raise UsageError("A prompt has no token to continue; begin it with the model's first token (BOS).")
        if len(prompt) + sampling.max_new_tokens - 1 > decoder.context:
            raise UsageError(
                f"A prompt of {len(prompt)} tokens and {sampling.max_new_tokens} new ones do not fit the model's "
                f"context of {decoder.context}; shorten the prompt or lower max_new_tokens."
            )
    samples: list[Sample | None] = [None] * len(prompts)
    for batch in by_length(prompts, batch_size):
        rows = [prompts[index] for index in batch]
        results = _generate_batch(decoder, rows, sampling, [seeds[index] for index in batch], ends, decode)
        for index, sample in zip(batch, results, strict=True):
            samples[index] = sample
    return [sample for sample in samples if sample is not None]


@torch.no_grad()
def _generate_batch(
    decoder: Decoder,
    prompts: Sequence[Sequence[int]],
    sampling: Sampling,
    seeds: Sequence[int],
    ends: Set[int],
    decode: Callable[[list[int]], str] | None,
) -> list[Sample]:
    # One uniform number per row and step, drawn before the first step from the row's own generator: whatever else
    # is in the batch, and however long other rows run, step t of a row uses its own number t.
    uniform = torch.from_numpy(
        np.stack([np.random.default_rng(seed).random(sampling.max_new_tokens) for seed in seeds])
    )
    tokens, mask = left_padded(prompts, decoder.device)
    cache = decoder.new_cache(len(prompts), tokens.shape[1] + sampling.max_new_tokens - 1)
    logits = decoder.extend(cache, tokens, mask)
    rows = [_Row(sampling, ends, decode) for _ in prompts]
    for step in range(sampling.max_new_tokens):
        logprobs = logits.log_softmax(dim=-1, dtype=torch.float32 if logits.dtype.itemsize < 4 else logits.dtype)
        chosen = choose(logprobs, sampling, uniform[:, step].to(logits.device))
        values = logprobs.gather(1, chosen[:, None])[:, 0]
        for row, token, value in zip(rows, chosen.tolist(), values.tolist(), strict=True):
            row.append(token, value)
        if step + 1 == sampling.max_new_tokens or all(row.reason is not None for row in rows):
            break
        logits = decoder.extend(cache, chosen[:, None])
    return [row.sample() for row in rows]


def choose(
    logprobs: Float[Tensor, "batch vocabulary"], sampling: Sampling, uniform: Float[Tensor, " batch"]
) -> Int[Tensor, " batch"]:
    """The next token of each row: the most probable one, or the quantile `uniform` of the kept distribution."""
    if sampling.temperature == 0:
        return logprobs.argmax(dim=-1)
    if sampling.top_k is None and sampling.top_p is None:
        return _quantile(_tempered(logprobs, sampling.temperature), uniform)[:, 0]
    count = logprobs.shape[-1]
    ranked, order = logprobs.topk(count if sampling.top_k is None else min(sampling.top_k, count), dim=-1)
    probabilities = _tempered(ranked, sampling.temperature)
    if sampling.top_p is not None:
        before = probabilities.cumsum(dim=-1) - probabilities
        probabilities = probabilities.masked_fill(before >= sampling.top_p, 0.0)  # the first is always kept
    return order.gather(1, _quantile(probabilities, uniform))[:, 0]


def _tempered(logprobs: Tensor, temperature: float) -> Tensor:
    return (logprobs.double() / temperature).softmax(dim=-1)


def _quantile(probabilities: Tensor, uniform: Tensor) -> Tensor:
    """Index at which the cumulative probability passes `uniform` times the total; never one of probability 0."""
    cumulative = probabilities.cumsum(dim=-1)
    target = uniform.to(cumulative.dtype)[:, None] * cumulative[:, -1:]
    index = torch.searchsorted(cumulative, target, right=True)
    last = probabilities.shape[-1] - 1 - (probabilities.flip(-1) > 0).int().argmax(dim=-1, keepdim=True)
    return torch.minimum(index, last)


class _Row:
    """A continuation as it grows."""

    def __init__(self, sampling: Sampling, ends: Set[int], decode: Callable[[list[int]], str] | None) -> None:
        self.sampling, self.ends, self.decode = sampling, ends, decode
        self.token_ids: list[int] = []
        self.token_logprobs: list[float] = []
        self.reason: StopReason | None = None

    def append(self, token: int, logprob: float) -> None:
        """Add a token, unless the row has ended while others in its batch go on."""
        if self.reason is not None:
            return
        self.token_ids.append(token)
        self.token_logprobs.append(logprob)
        if token in self.ends:
            self.reason = "end"
        elif any(stop in self._text() for stop in self.sampling.stop):
            self.reason = "stop"

    def sample(self) -> Sample:
        """The finished row."""
        text = self._text()
        if self.reason == "stop":
            text = text[: min(text.find(stop) for stop in self.sampling.stop if stop in text)]
        return Sample(text, self.token_ids, self.token_logprobs, self.reason or "length")

    def _text(self) -> str:
        shown = [token for token in self.token_ids if token not in self.ends]
        return "" if self.decode is None else self.decode(shown)
