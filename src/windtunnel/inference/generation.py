"""Batched sampling: a row depends on its own prompt and seed and not on its batch, and a row that ends makes room."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from windtunnel.inference.arrays import one_blas_thread
from windtunnel.inference.decoder import Decoder
from windtunnel.inference.packed import Packed
from windtunnel.inference.rows import Prompt, rows_of
from windtunnel.inference.sampling import Sampling, choose, log_probabilities
from windtunnel.laboratory.errors import UsageError

StopReason = Literal["end", "stop", "length"]
Decode = Callable[[list[int]], str]


@dataclass(frozen=True)
class Sample:
    """One sampled continuation.

    Attributes:
        text: The continuation without the end token, cut before the first stop string; empty without a tokenizer.
        token_ids: Every token sampled, the end token and the tokens of a stop string included.
        token_logprobs: The model's log-probability of each, in nats: of the model itself, before temperature,
            top-k, top-p and min-p, and so equal to what scoring the same tokens gives.
        stop_reason: `end` (the model's end token), `stop` (a stop string) or `length` (max_new_tokens).
    """

    text: str
    token_ids: list[int]
    token_logprobs: list[float]
    stop_reason: StopReason


@dataclass(frozen=True)
class Step:
    """One token of one row, as it is sampled.

    Attributes:
        row: Index of the row's prompt.
        token: The token.
        logprob: Its log-probability, in nats.
        sample: The whole continuation, with the row's last token; None before.
    """

    row: int
    token: int
    logprob: float
    sample: Sample | None


def generate(
    decoder: Decoder,
    prompts: Sequence[Sequence[int]],
    sampling: Sampling,
    *,
    seeds: Sequence[int],
    ends: Set[int] = frozenset(),
    decode: Decode | None = None,
    batch_size: int = 16,
) -> list[Sample]:
    """Sample one continuation of each prompt; arguments and errors as for `stream`."""
    samples: dict[int, Sample] = {}
    for step in stream(decoder, prompts, sampling, seeds=seeds, ends=ends, decode=decode, batch_size=batch_size):
        if step.sample is not None:
            samples[step.row] = step.sample
    return [samples[row] for row in range(len(prompts))]


def stream(
    decoder: Decoder,
    prompts: Sequence[Sequence[int]],
    sampling: Sampling,
    *,
    seeds: Sequence[int],
    ends: Set[int] = frozenset(),
    decode: Decode | None = None,
    batch_size: int = 16,
) -> Iterator[Step]:
    """Sample one continuation of each prompt, token by token.

    Args:
        decoder: The model.
        prompts: Token ids, at least one each; rows with the same prompt share its computation.
        sampling: How tokens are chosen.
        seeds: One per prompt.
        ends: Tokens that end a row.
        decode: Text of token ids; needed for stop strings.
        batch_size: Rows sampled together, a waiting prompt taking the place of a row that ends; it changes nothing
            but speed and memory.

    Raises:
        UsageError: A prompt is empty or leaves no room for the new tokens, or stop strings come without `decode`.
    """
    if sampling.stop and decode is None:
        raise UsageError("Stop strings need a tokenizer, and this model has none; use max_new_tokens.")
    if batch_size < 1:
        raise UsageError(f"batch_size must be at least 1, not {batch_size}.")
    for prompt in prompts:
        if not prompt:
            raise UsageError("A prompt has no token to continue; begin it with the model's first token (BOS).")
        if len(prompt) + sampling.max_new_tokens - 1 > decoder.context:
            raise UsageError(
                f"A prompt of {len(prompt)} tokens and {sampling.max_new_tokens} new ones do not fit the model's "
                f"context of {decoder.context}; shorten the prompt or lower max_new_tokens."
            )
    texts = [tuple(prompt) for prompt in prompts]
    rows = [_Row(index, seed, sampling, ends, decode) for index, seed in enumerate(seeds)]
    return _stream(decoder, texts, rows, sampling, batch_size)


def _stream(
    decoder: Decoder, prompts: list[Prompt], rows: "list[_Row]", sampling: Sampling, batch_size: int
) -> Iterator[Step]:
    # Long prompts first: prompts admitted together are of like length, and a lack of memory shows at once.
    waiting = deque(sorted(range(len(prompts)), key=lambda index: (len(prompts[index]), prompts[index]), reverse=True))
    under_way = rows_of(decoder, max(map(len, prompts), default=0) + sampling.max_new_tokens)
    active: list[_Row] = []
    weights = Packed(decoder.module, min(batch_size, len(prompts)))
    tokens: list[int] = []
    while waiting or active:
        # What a step needs is undone before its tokens are handed out: whoever takes them may train the model.
        with torch.no_grad(), weights, one_blas_thread():
            if active:
                logits = under_way.step(torch.tensor(tokens, device=decoder.device))
            admitted = [waiting.popleft() for _ in range(min(len(waiting), batch_size - len(active)))]
            if admitted:
                fresh = under_way.admit([prompts[index] for index in admitted])
                logits = torch.cat((logits, fresh)) if active else fresh
                active += [rows[index] for index in admitted]
            logprobs = log_probabilities(logits)
            uniform = torch.tensor([row.uniform[len(row.token_ids)] for row in active], dtype=torch.float64)
            chosen = choose(logprobs, sampling, uniform.to(logits.device))
            values = logprobs.gather(1, chosen[:, None])[:, 0].tolist()
        tokens = chosen.tolist()
        steps = [row.append(token, value) for row, token, value in zip(active, tokens, values, strict=True)]
        for place in reversed([place for place, step in enumerate(steps) if step.sample is not None]):
            under_way.drop(place)
            active[place], tokens[place] = active[-1], tokens[-1]
            del active[-1], tokens[-1]
        yield from steps


class _Row:
    """A continuation as it grows."""

    def __init__(self, index: int, seed: int, sampling: Sampling, ends: Set[int], decode: Decode | None) -> None:
        self.index, self.sampling, self.ends, self.decode = index, sampling, ends, decode
        # A number for every step, drawn from the row's own generator: whatever else is in the batch, and however
        # many tokens are asked for, step t of a row uses its own number t.
        self.uniform = np.random.default_rng(seed).random(sampling.max_new_tokens)
        self.token_ids: list[int] = []
        self.token_logprobs: list[float] = []
        self.tail = 4 * max((len(stop) for stop in sampling.stop), default=0) + 8  # tokens that may hold a stop string

    def append(self, token: int, logprob: float) -> Step:
        """Add a token."""
        self.token_ids.append(token)
        self.token_logprobs.append(logprob)
        reason: StopReason | None = None
        if token in self.ends:
            reason = "end"
        elif self.sampling.stop and self._stopped():
            reason = "stop"
        elif len(self.token_ids) == self.sampling.max_new_tokens:
            reason = "length"
        return Step(self.index, token, logprob, None if reason is None else self._sample(reason))

    def _stopped(self) -> bool:
        """Whether a stop string has appeared; the last tokens say so first, since a character has at most 4."""
        if not any(stop in self._text(self.token_ids[-self.tail :]) for stop in self.sampling.stop):
            return False
        return any(stop in self._text(self.token_ids) for stop in self.sampling.stop)

    def _sample(self, reason: StopReason) -> Sample:
        text = self._text(self.token_ids)
        if reason == "stop":
            text = text[: min(text.find(stop) for stop in self.sampling.stop if stop in text)]
        return Sample(text, self.token_ids, self.token_logprobs, reason)

    def _text(self, ids: list[int]) -> str:
        shown = [token for token in ids if token not in self.ends]
        return "" if self.decode is None else self.decode(shown)
