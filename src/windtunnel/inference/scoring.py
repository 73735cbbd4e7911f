"""Log-probabilities of continuations."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from windtunnel.inference.batches import by_length, left_padded
from windtunnel.inference.decoder import Codec, Decoder
from windtunnel.laboratory.errors import UsageError


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


def score(
    decoder: Decoder, pairs: Sequence[tuple[Sequence[int], Sequence[int]]], *, batch_size: int = 16
) -> list[Score]:
    """Score the continuation of each (prompt, continuation) pair of token ids.

    Args:
        decoder: The model.
        pairs: Prompts of at least one token, and continuations; an empty continuation has log-probability 0.
        batch_size: Rows computed together; it changes nothing but speed and memory.

    Raises:
        UsageError: A prompt is empty, or a pair is longer than the model's context.
    """
    for prompt, continuation in pairs:
        if not prompt:
            raise UsageError("A prompt has no token to condition on; begin it with the model's first token (BOS).")
        if len(prompt) + len(continuation) - 1 > decoder.context:
            raise UsageError(
                f"A prompt of {len(prompt)} and a continuation of {len(continuation)} tokens do not fit the model's "
                f"context of {decoder.context}; shorten the prompt."
            )
    inputs = [[*prompt, *continuation][:-1] for prompt, continuation in pairs]
    scores: list[Score | None] = [None] * len(pairs)
    for batch in by_length(inputs, batch_size):
        for index, result in zip(batch, _score_batch(decoder, [pairs[index] for index in batch]), strict=True):
            scores[index] = result
    return [result for result in scores if result is not None]


@torch.no_grad()
def _score_batch(decoder: Decoder, pairs: Sequence[tuple[Sequence[int], Sequence[int]]]) -> list[Score]:
    longest = max(len(continuation) for _, continuation in pairs)
    if longest == 0:
        return [Score([], [], True) for _ in pairs]
    # The token before the last predicts the last, so the last is not an input; padding on the left lines the
    # continuations up at the end, where alone logits are needed.
    inputs = [[*prompt, *continuation][:-1] or list(prompt) for prompt, continuation in pairs]
    tokens, mask = left_padded(inputs, decoder.device)
    logits = decoder.logits(tokens, mask, last=longest)
    results = []
    for row, (_, continuation) in zip(logits, pairs, strict=True):
        count = len(continuation)
        if count == 0:
            results.append(Score([], [], True))
            continue
        targets = torch.tensor(list(continuation), device=row.device)
        kept = row[-count:]
        logprobs = kept.log_softmax(dim=-1, dtype=torch.float32 if kept.dtype.itemsize < 4 else kept.dtype)
        chosen = logprobs.gather(1, targets[:, None])[:, 0]
        greedy = bool((kept.argmax(dim=-1) == targets).all())
        results.append(Score(list(continuation), chosen.tolist(), greedy))
    return results


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
