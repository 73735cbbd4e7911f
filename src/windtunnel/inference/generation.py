"""Batched sampling: a row depends on its own prompt and seed and not on its batch, and a row that ends makes room."""

from collections import deque
from collections.abc import Iterator, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch

from windtunnel.inference.arrays import one_blas_thread
from windtunnel.inference.decoder import Decoder
from windtunnel.inference.endings import Decode, Endings, Sample, check
from windtunnel.inference.packed import Packed
from windtunnel.inference.rows import rows_of
from windtunnel.inference.sampling import Sampling, choose, log_probabilities
from windtunnel.laboratory.errors import UsageError


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
    batch = _Batch(decoder, prompts, sampling, seeds, ends, decode, batch_size)
    samples: dict[int, Sample] = {}
    with batch.ready():
        while batch.unfinished:
            samples |= {step.row: step.sample for step in batch.advance() if step.sample is not None}
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
    return _stream(_Batch(decoder, prompts, sampling, seeds, ends, decode, batch_size))


def _stream(batch: "_Batch") -> Iterator[Step]:
    while batch.unfinished:
        with batch.ready():  # and undone before tokens are handed out: whoever takes them may train the model
            steps = batch.advance()
        yield from steps


class _Batch:
    """Rows under way and prompts that wait for their place; arguments and errors as for `stream`."""

    def __init__(
        self,
        decoder: Decoder,
        prompts: Sequence[Sequence[int]],
        sampling: Sampling,
        seeds: Sequence[int],
        ends: Set[int],
        decode: Decode | None,
        batch_size: int,
    ) -> None:
        endings = Endings(sampling.max_new_tokens, sampling.stop, ends, decode)
        check(decoder, prompts, endings)
        if batch_size < 1:
            raise UsageError(f"batch_size must be at least 1, not {batch_size}.")
        self.decoder, self.sampling, self.batch_size = decoder, sampling, batch_size
        self.prompts = [tuple(prompt) for prompt in prompts]
        self.rows = [_Row(index, seed, endings) for index, seed in enumerate(seeds)]
        # Long prompts first: prompts admitted together are of like length, and a lack of memory shows at once.
        order = sorted(range(len(prompts)), key=lambda index: (len(prompts[index]), self.prompts[index]), reverse=True)
        self.waiting = deque(order)
        self.under_way = rows_of(decoder, max(map(len, prompts), default=0) + sampling.max_new_tokens)
        self.active: list[_Row] = []
        self.tokens: list[int] = []
        self.weights: Packed | None = None

    @property
    def unfinished(self) -> bool:
        """Whether there are tokens to come."""
        return bool(self.waiting or self.active)

    @contextmanager
    def ready(self) -> Iterator[None]:
        """What `advance` is called in."""
        if self.weights is None:
            self.weights = Packed(self.decoder.module, min(self.batch_size, len(self.prompts)))
        with torch.no_grad(), self.weights, one_blas_thread():
            yield

    def advance(self) -> list[Step]:
        """A token more of every row; where rows have ended, prompts take their place."""
        active, rows = self.active, self.under_way
        if active:
            logits = rows.step(torch.tensor(self.tokens, device=self.decoder.device))
        free = self.batch_size - len(active)
        if self.waiting and free:
            admitted = [self.waiting.popleft() for _ in range(min(len(self.waiting), free))]
            fresh = rows.admit([self.prompts[index] for index in admitted])
            logits = torch.cat((logits, fresh)) if active else fresh
            active += [self.rows[index] for index in admitted]
        logprobs = log_probabilities(logits)
        uniform = torch.from_numpy(np.array([row.uniform[len(row.token_ids)] for row in active]))
        chosen = choose(logprobs, self.sampling, uniform.to(logits.device))
        values = logprobs.gather(1, chosen[:, None])[:, 0].tolist()
        tokens = self.tokens = chosen.tolist()
        steps = [row.append(token, value) for row, token, value in zip(active, tokens, values, strict=True)]
        for place in reversed([place for place, step in enumerate(steps) if step.sample is not None]):
            rows.drop(place)
            active[place], tokens[place] = active[-1], tokens[-1]
            del active[-1], tokens[-1]
        return steps


class _Row:
    """A continuation as it grows."""

    def __init__(self, index: int, seed: int, endings: Endings) -> None:
        self.index, self.endings = index, endings
        # A number for every step, drawn from the row's own generator: whatever else is in the batch, and however
        # many tokens are asked for, step t of a row uses its own number t.
        self.uniform = np.random.default_rng(seed).random(endings.max_new_tokens)
        self.token_ids: list[int] = []
        self.token_logprobs: list[float] = []

    def append(self, token: int, logprob: float) -> Step:
        """Add a token."""
        self.token_ids.append(token)
        self.token_logprobs.append(logprob)
        reason = self.endings.reason(self.token_ids)
        sample = None if reason is None else self.endings.sample(self.token_ids, self.token_logprobs, reason)
        return Step(self.index, token, logprob, sample)
