"""Log-probabilities of continuations; what several of them share passes through the model once."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from windtunnel.inference.batches import left_padded, right_padded
from windtunnel.inference.cache import Cache
from windtunnel.inference.decoder import Codec, Decoder
from windtunnel.inference.sampling import log_probabilities
from windtunnel.inference.sharing import Row, rows_of, runs_of
from windtunnel.laboratory.errors import UsageError

BATCH_TOKENS = 8192
"""Most tokens, padding included, that pass through the model at once."""

ENOUGH_TOKENS = 256
"""Tokens from which on a CPU computes each as fast as in a larger batch, so that padding is worth avoiding."""

BATCH_LOGITS = 2**26
"""Most logits held at once: 256 MB in single precision."""


@dataclass(frozen=True)
class Score:
    """What a model thinks of one continuation.

    Attributes:
        token_ids: The continuation's tokens.
        token_logprobs: Log-probability of each given all before it, in nats.
        is_greedy: Whether each token is the model's most probable one.
    """

    token_ids: list[int]
    token_logprobs: list[float]
    is_greedy: bool

    @property
    def logprob(self) -> float:
        """Log-probability of the whole continuation, in nats."""
        return float(sum(self.token_logprobs))


@torch.no_grad()
def score(
    decoder: Decoder, pairs: Sequence[tuple[Sequence[int], Sequence[int]]], *, batch_size: int = 16
) -> list[Score]:
    """Score the continuation of each (prompt, continuation) pair of token ids.

    Continuations of the same prompt are laid side by side in one row, each seeing the prompt and itself, and what all
    of them begin with is laid once; a prefix that prompts share is computed once and its keys and values are copied;
    logits are computed where they are scored.

    Args:
        decoder: The model.
        pairs: Prompts of at least one token, and continuations; an empty continuation has log-probability 0.
        batch_size: Most rows computed together; it changes nothing but speed and memory.

    Raises:
        UsageError: A prompt is empty, or a pair is longer than the model's context.
    """
    if batch_size < 1:
        raise UsageError(f"batch_size must be at least 1, not {batch_size}.")
    for prompt, continuation in pairs:
        if not prompt:
            raise UsageError("A prompt has no token to condition on; begin it with the model's first token (BOS).")
        if len(prompt) + len(continuation) - 1 > decoder.context:
            raise UsageError(
                f"A prompt of {len(prompt)} and a continuation of {len(continuation)} tokens do not fit the model's "
                f"context of {decoder.context}; shorten the prompt."
            )
    whole = [(tuple(prompt), tuple(continuation)) for prompt, continuation in pairs]
    results = {index: Score([], [], True) for index, (_, continuation) in enumerate(whole) if not continuation}
    for run in runs_of(rows_of(whole, decoder.branching)):
        prefix = run.prefix if decoder.caches else 0
        shared = _prefix(decoder, run.rows[0].prompt[:prefix]) if prefix else None
        for batch in run.batches(batch_size, BATCH_TOKENS, _most_places(decoder), _enough(decoder)):
            results.update(_score_batch(decoder, batch, shared))
    return [results[index] for index in range(len(whole))]


def _most_places(decoder: Decoder) -> int:
    """Places at which logits may be computed at once."""
    return max(1, BATCH_LOGITS // decoder.vocabulary)


def _enough(decoder: Decoder) -> int:
    """Tokens that fill the device; a GPU takes as long for a few as for thousands."""
    return ENOUGH_TOKENS if decoder.device.type == "cpu" else BATCH_TOKENS


def _prefix(decoder: Decoder, tokens: tuple[int, ...]) -> Cache:
    """Keys and values of a prefix, as a cache of one row."""
    cache = Cache(1)
    first = torch.zeros(1, dtype=torch.long, device=decoder.device)
    decoder.logits(torch.tensor([tokens], device=decoder.device), cache=cache, keep=(first, first))
    return cache


@dataclass
class _Places:
    """Where the logits of a batch are wanted, and what for.

    Attributes:
        rows: Row of each place.
        columns: Column of each place.
        uses: For every scored token, in the order of the options: the place that predicts it.
    """

    rows: list[int]
    columns: list[int]
    uses: list[int]

    def add(self, row: int, column: int) -> int:
        """A new place."""
        self.rows.append(row)
        self.columns.append(column)
        return len(self.rows) - 1


def _score_batch(decoder: Decoder, batch: Sequence[Row], shared: Cache | None) -> dict[int, Score]:
    prefix = 0 if shared is None else shared.lengths[0]
    places = _Places([], [], [])
    lines: list[list[int]] = []
    positions: list[list[int]] = []
    branches: list[list[int]] = []
    for number, row in enumerate(batch):
        line = [*row.prompt[prefix:], *row.beginning]
        shared_columns = len(row.prompt) + len(row.beginning)
        position, branch = list(range(prefix, shared_columns)), [0] * len(line)
        first = len(row.prompt) - prefix - 1
        trunk = [places.add(number, column) for column in range(first, len(line))]
        for option, (_, tokens) in enumerate(row.options, start=1):
            rest = tokens[len(row.beginning) : -1]
            places.uses += trunk
            places.uses += [places.add(number, len(line) + offset) for offset in range(len(rest))]
            line += rest
            position += range(shared_columns, shared_columns + len(rest))
            branch += [option] * len(rest)
        lines.append(line)
        positions.append(position)
        branches.append(branch)
    logits = _logits(decoder, lines, positions, branches, places, shared)
    options = [option for row in batch for option in row.options]
    targets = torch.tensor([token for _, tokens in options for token in tokens], device=logits.device)
    uses = torch.tensor(places.uses, device=logits.device)
    logprobs = log_probabilities(logits)[uses, targets].tolist()
    greedy = (logits.argmax(dim=-1)[uses] == targets).tolist()
    scores, start = {}, 0
    for index, tokens in options:
        end = start + len(tokens)
        scores[index] = Score(list(tokens), logprobs[start:end], all(greedy[start:end]))
        start = end
    return scores


def _logits(
    decoder: Decoder,
    lines: list[list[int]],
    positions: list[list[int]],
    branches: list[list[int]],
    places: _Places,
    shared: Cache | None,
) -> Tensor:
    """Logits at the places, [place, vocabulary]."""
    device = decoder.device
    rows, columns = torch.tensor(places.rows, device=device), torch.tensor(places.columns, device=device)
    if not decoder.caches:
        tokens, mask = left_padded(lines, device)
        padding = torch.tensor([tokens.shape[1] - len(line) for line in lines], device=device)
        return decoder.logits(tokens, mask, keep=(rows, columns + padding[rows]))
    tokens, counts = right_padded(lines, device)
    cache = None
    if shared is not None:
        cache = Cache(0)
        cache.put(shared, [0] * len(lines))
    if all(branch[-1] <= 1 for branch in branches):  # one sequence after another: plain causality
        return decoder.logits(tokens, cache=cache, counts=counts if cache else None, keep=(rows, columns))
    return decoder.logits(
        tokens,
        cache=cache,
        counts=counts if cache else None,
        positions=right_padded(positions, device)[0],
        branches=right_padded(branches, device)[0],
        keep=(rows, columns),
    )


def encode_pair(codec: Codec, prompt: str, continuation: str) -> tuple[list[int], list[int]]:
    """Token ids of a prompt and its continuation, as the model would meet their joint text.

    The rule: the text prompt + continuation is tokenised once. The prompt's part is the longest prefix that it
    shares with the prompt tokenised alone; all other tokens are the continuation. So a token that straddles the
    boundary is scored with the continuation. If no prompt token is left (an empty prompt), the tokenizer's BOS, or
    else its EOS, stands before the text.

    Raises:
        UsageError: No prompt token is left and the tokenizer has neither.
    """
    whole, alone = codec.encode(prompt + continuation), codec.encode(prompt)
    shared = 0
    while shared < min(len(whole), len(alone)) and whole[shared] == alone[shared]:
        shared += 1
    if shared > 0:
        return whole[:shared], whole[shared:]
    first = codec.bos if codec.bos is not None else codec.eos
    if first is None:
        raise UsageError(
            f"The prompt {prompt[:40]!r} leaves no token to condition on and the tokenizer has no BOS token; "
            "begin the prompt with some text."
        )
    return [first], whole
