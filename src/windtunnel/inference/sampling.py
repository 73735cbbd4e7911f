"""How the next token is chosen from a model's distribution."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from windtunnel.laboratory.errors import UsageError


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen.

    Attributes:
        max_new_tokens: Most tokens per row.
        temperature: Divides the logits; 0 takes the most probable token.
        top_k: Keep the k most probable tokens; None: all.
        top_p: Then keep the fewest of the most probable tokens whose probabilities, after the temperature and among
            those kept so far, sum to at least p; None: all.
        min_p: Keep only tokens at least this share as probable, after the temperature, as the most probable one
            (Nguyen et al., 2024; arXiv:2407.01082); None: all.
        stop: Strings that end a row as soon as its text holds one.

    Raises:
        UsageError: A value is out of range.
    """

    max_new_tokens: int = 64
    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    stop: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.max_new_tokens < 1:
            raise UsageError(f"max_new_tokens must be at least 1, not {self.max_new_tokens}.")
        if not 0 <= self.temperature < float("inf"):
            raise UsageError(f"temperature must be 0 or more, not {self.temperature}.")
        if self.top_k is not None and self.top_k < 1:
            raise UsageError(f"top_k must be at least 1, not {self.top_k}; None keeps every token.")
        for name, value in (("top_p", self.top_p), ("min_p", self.min_p)):
            if value is not None and not 0 < value <= 1:
                raise UsageError(f"{name} must be above 0 and at most 1, not {value}; None keeps every token.")
        if "" in self.stop:
            raise UsageError("A stop string is empty; every text holds it, so remove it.")


def log_probabilities(logits: Float[Tensor, "*batch vocabulary"]) -> Float[Tensor, "*batch vocabulary"]:
    """Log-softmax, in single precision at least; sampling and scoring report the same arithmetic."""
    return logits.log_softmax(dim=-1, dtype=torch.float32 if logits.dtype.itemsize < 4 else logits.dtype)


def choose(
    logprobs: Float[Tensor, "batch vocabulary"], sampling: Sampling, uniform: Float[Tensor, " batch"]
) -> Int[Tensor, " batch"]:
    """The next token of each row: the most probable one, or the quantile `uniform` of the kept distribution."""
    if sampling.temperature == 0:
        return logprobs.argmax(dim=-1)
    if sampling.top_k is None and sampling.top_p is None:
        probabilities = _tempered(logprobs, sampling.temperature)
        if sampling.min_p is not None:
            least = sampling.min_p * probabilities.amax(dim=-1, keepdim=True)
            probabilities = probabilities.masked_fill(probabilities < least, 0.0)
        return _quantile(probabilities, uniform)[:, 0]
    count = logprobs.shape[-1]
    ranked, order = logprobs.topk(count if sampling.top_k is None else min(sampling.top_k, count), dim=-1)
    probabilities = _tempered(ranked, sampling.temperature)
    if sampling.top_p is not None:
        before = probabilities.cumsum(dim=-1) - probabilities
        probabilities = probabilities.masked_fill(before >= sampling.top_p, 0.0)  # the first is always kept
    if sampling.min_p is not None:
        probabilities = probabilities.masked_fill(probabilities < sampling.min_p * probabilities[:, :1], 0.0)
    return order.gather(1, _quantile(probabilities, uniform))[:, 0]


def _tempered(logprobs: Tensor, temperature: float) -> Tensor:
    """Probabilities at a temperature, of those tokens alone that are given."""
    return (logprobs if temperature == 1 else logprobs / temperature).softmax(dim=-1)


def _quantile(probabilities: Tensor, uniform: Tensor) -> Tensor:
    """Index at which the cumulative probability passes `uniform` times the total; never one of probability 0."""
    cumulative = probabilities.cumsum(dim=-1, dtype=torch.float64)
    # A number below the total, also after rounding: what passes it has a probability.
    target = uniform.to(torch.float64)[:, None] * (cumulative[:, -1:] * (1 - 2**-52))
    return torch.searchsorted(cumulative, target, right=True)
