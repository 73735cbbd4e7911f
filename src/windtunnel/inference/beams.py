"""Beam search: the most probable continuation that a few partial ones kept at each length lead to."""

import math
from collections.abc import Sequence, Set
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from windtunnel.inference.arrays import one_blas_thread
from windtunnel.inference.decoder import Decoder
from windtunnel.inference.endings import Decode, Endings, Sample, check
from windtunnel.inference.packed import Packed
from windtunnel.inference.rows import rows_of
from windtunnel.inference.sampling import log_probabilities
from windtunnel.laboratory.errors import UsageError


@dataclass(frozen=True)
class Beams:
    """How continuations are searched for.

    Attributes:
        max_new_tokens: Most tokens of one.
        beams: Unfinished ones kept at each length; with 1, the likeliest token that does not end is followed.
        length_penalty: α: the one with the greatest log-probability divided by ((5 + tokens) / 6)^α is found (Wu et
            al., 2016; arXiv:1609.08144, equation 14). At 0 short ones are favoured; GPT-3 has 0.6 with 4 beams.
        stop: Strings that end one.

    Raises:
        UsageError: A value is out of range.
    """

    max_new_tokens: int = 64
    beams: int = 4
    length_penalty: float = 0.6
    stop: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.max_new_tokens < 1 or self.beams < 1:
            raise UsageError(
                f"{self.beams} beams of {self.max_new_tokens} tokens cannot be searched; give at least one of both."
            )
        if not 0 <= self.length_penalty < float("inf"):
            raise UsageError(f"length_penalty must be 0 or more, not {self.length_penalty}.")
        if "" in self.stop:
            raise UsageError("A stop string is empty; every text holds it, so remove it.")

    def score(self, logprob: float, tokens: int) -> float:
        """What is greatest of the continuation found."""
        return logprob / math.pow((5 + tokens) / 6, self.length_penalty)


@dataclass(frozen=True)
class Partial:
    """A continuation under way: its tokens, the log-probability of each, and their sum, in nats."""

    token_ids: tuple[int, ...] = ()
    token_logprobs: tuple[float, ...] = ()
    total: float = 0.0

    def extended(self, token: int, logprob: float) -> "Partial":
        """It with one more token."""
        return Partial((*self.token_ids, token), (*self.token_logprobs, logprob), self.total + logprob)


class Search:
    """The search after one prompt.

    Attributes:
        live: Continuations under way, the most probable first.
        best: The best one that has ended, with its score.
    """

    def __init__(self, settings: Beams, endings: Endings) -> None:
        self.settings, self.endings = settings, endings
        self.live = [Partial()]
        self.best: tuple[float, Sample] | None = None

    def advance(self, logprobs: Float[Tensor, "live vocabulary"]) -> list[int]:
        """Take a token more; which of the live ones each new live one continues."""
        totals = logprobs.double() + torch.tensor([[each.total] for each in self.live], dtype=torch.float64)
        # Each end token can end every live one, and as many unfinished ones as there are beams are wanted besides.
        wanted = self.settings.beams * (1 + max(len(self.endings.ends), 1))
        ranked = totals.flatten().topk(min(wanted, totals.numel())).indices.tolist()
        sources: list[int] = []
        live: list[Partial] = []
        for place in ranked:
            source, token = divmod(place, logprobs.shape[1])
            grown = self.live[source].extended(token, float(logprobs[source, token]))
            reason = self.endings.reason(list(grown.token_ids))
            if reason is not None:
                score = self.settings.score(grown.total, len(grown.token_ids))
                if self.best is None or score > self.best[0]:
                    sample = self.endings.sample(list(grown.token_ids), list(grown.token_logprobs), reason)
                    self.best = score, sample
            elif len(live) < self.settings.beams:
                sources.append(source)
                live.append(grown)
        self.live = live
        return [] if self.finished else sources

    @property
    def finished(self) -> bool:
        """Whether nothing under way can become better than what has ended; more tokens only lower the sum."""
        if self.best is None or not self.live:
            return not self.live
        return self.best[0] >= self.settings.score(self.live[0].total, self.settings.max_new_tokens)


@torch.no_grad()
def beam_search(
    decoder: Decoder,
    prompts: Sequence[Sequence[int]],
    settings: Beams,
    *,
    ends: Set[int] = frozenset(),
    decode: Decode | None = None,
    batch_size: int = 16,
) -> list[Sample]:
    """The best continuation of each prompt that the search finds.

    Args:
        decoder: The model.
        prompts: Token ids, at least one each.
        settings: How it is searched.
        ends: Tokens that end a continuation.
        decode: Text of token ids; needed for stop strings.
        batch_size: Rows computed together: this many beams, of as many prompts as that allows.

    Raises:
        UsageError: A prompt is empty or leaves no room for the new tokens, or stop strings come without `decode`.
    """
    endings = Endings(settings.max_new_tokens, settings.stop, ends, decode)
    check(decoder, prompts, endings)
    together = max(batch_size // settings.beams, 1)
    order = sorted(range(len(prompts)), key=lambda index: len(prompts[index]), reverse=True)
    found: dict[int, Sample] = {}
    weights = Packed(decoder.module, min(together, len(order)) * settings.beams)
    with weights, one_blas_thread():
        for first in range(0, len(order), together):
            part = order[first : first + together]
            samples = _search(decoder, [tuple(prompts[index]) for index in part], settings, endings)
            found |= dict(zip(part, samples, strict=True))
    return [found[index] for index in range(len(prompts))]


def _search(decoder: Decoder, prompts: list[tuple[int, ...]], settings: Beams, endings: Endings) -> list[Sample]:
    """The searches of a few prompts, in step with each other."""
    rows = rows_of(decoder, max(map(len, prompts)) + settings.max_new_tokens)
    searches = [Search(settings, endings) for _ in prompts]
    logits = rows.admit(prompts)
    under_way = searches
    while under_way:
        logprobs, first, taken = log_probabilities(logits).cpu(), 0, []
        for search in under_way:
            size = len(search.live)
            taken += [first + source for source in search.advance(logprobs[first : first + size])]
            first += size
        under_way = [search for search in under_way if not search.finished]
        if under_way:
            rows.take(taken)
            last = [partial.token_ids[-1] for search in under_way for partial in search.live]
            logits = rows.step(torch.tensor(last, device=decoder.device))
    return [search.best[1] for search in searches if search.best is not None]
