"""Scores of attention patterns: prefix matching and previous token (Olsson et al., 2022, Model Analysis Table)."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from windtunnel.laboratory.errors import UsageError


@dataclass(frozen=True)
class PrefixMatching:
    """How much attention goes where induction says.

    Attributes:
        paper: Mean over all queries, as the paper defines it; a query whose token has not occurred before counts as
            zero, so a perfect head scores (repeats - 1) / repeats.
        normalised: Mean over the queries whose token occurred before; a perfect head scores 1.
    """

    paper: Float[Tensor, "batch heads"]
    normalised: Float[Tensor, "batch heads"]


def induction_targets(tokens: Int[Tensor, "batch position"]) -> Bool[Tensor, "batch query key"]:
    """Where induction says to look: the positions just after earlier occurrences of the query's token.

    Key j is a target of query i if token j - 1 equals token i and j - 1 < i. Neither the earlier occurrence itself
    (that is a duplicate-token head) nor the position before it is one.
    """
    length = tokens.shape[1]
    same = tokens[:, :, None] == tokens[:, None, :]
    earlier = torch.ones(length, length, dtype=torch.bool, device=tokens.device).tril(-1)
    targets = torch.zeros_like(same)
    targets[:, :, 1:] = (same & earlier)[:, :, :-1]
    return targets


def prefix_matching(
    pattern: Float[Tensor, "batch heads query key"], tokens: Int[Tensor, "batch position"]
) -> PrefixMatching:
    """Attention from each token to the positions following all earlier occurrences of that token.

    Args:
        pattern: Attention weights.
        tokens: What was attended over, usually random tokens repeated.

    Raises:
        UsageError: No token of some row occurs twice, so there is nothing to match.
    """
    targets = induction_targets(tokens)
    has_earlier = targets.any(dim=2)
    if not bool(has_earlier.any(dim=1).all()):
        raise UsageError("A row of the probe repeats no token, so prefix matching is undefined; repeat the tokens.")
    attended = torch.einsum("bhqk,bqk->bhq", pattern.float(), targets.float())
    total = attended.sum(dim=2)
    queries = has_earlier.sum(dim=1, keepdim=True)
    return PrefixMatching(paper=total / tokens.shape[1], normalised=total / queries)


def previous_token(pattern: Float[Tensor, "batch heads query key"]) -> Float[Tensor, "batch heads"]:
    """Mean attention from each token to the one before it; the first token, which has none, is left out."""
    return pattern.float().diagonal(offset=-1, dim1=2, dim2=3).mean(dim=2)
