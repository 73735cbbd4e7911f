"""Scores of weights: what an OV circuit copies and what a QK circuit matches (Elhage et al., 2021).

All are traces or eigenvalues of vocabulary-by-vocabulary matrices of rank at most the head's width, computed through
the cyclic identity eig(AB) = eig(BA) as head-width-by-head-width products.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor


def eigenvalue_positivity(matrices: Float[Tensor, "heads size size"]) -> Float[Tensor, " heads"]:
    """Sum of the eigenvalues over the sum of their absolute values: 1 if all are positive, -1 if all are negative."""
    eigenvalues = torch.linalg.eigvals(matrices.double())
    total = eigenvalues.abs().sum(dim=-1)
    return torch.where(total > 0, eigenvalues.real.sum(dim=-1) / total.clamp(min=1e-300), 0.0).float()


def copying_cycles(
    value: Float[Tensor, "heads width head_width"],
    output: Float[Tensor, "heads head_width width"],
    unembedding_embedding: Float[Tensor, "width width"],
) -> Float[Tensor, "heads head_width head_width"]:
    """Matrices whose eigenvalues are the non-zero ones of the OV circuit W_E W_V W_O W_U (Elhage et al., 2021).

    Args:
        value: W_V.
        output: W_O.
        unembedding_embedding: W_U W_E, the same for all heads.
    """
    return output.float() @ unembedding_embedding.float() @ value.float()


def copying(
    values: Float[Tensor, "batch position heads head_width"],
    output: Float[Tensor, "heads head_width width"],
    unembedding: Float[Tensor, "width vocabulary"],
    tokens: Int[Tensor, "batch position"],
) -> Float[Tensor, "batch heads"]:
    """Whether attending to a token raises that token's logit, on the direct path through OV and the unembedding.

    For every position: the head's output if all its attention were there, as logits of the sample's tokens; their mean
    subtracted; what is not raised dropped; the share of the raise that falls on the token attended to. The mean over
    positions, rescaled from [0, 1] to [-1, 1].

    Args:
        values: Value vectors, one per query head (grouped ones expanded).
        output: W_O.
        unembedding: W_U, the gain of the last normalisation folded in; the normalisation's scale cancels in the ratio.
        tokens: The sample, all different within a row.
    """
    results = torch.einsum("bphd,hdw->bphw", values.float(), output.float())
    sampled = unembedding.float()[:, tokens].permute(1, 2, 0)
    logits = torch.einsum("bphw,bsw->bhps", results, sampled)
    raised = (logits - logits.mean(dim=-1, keepdim=True)).clamp(min=0)
    total = raised.sum(dim=-1)
    share = raised.diagonal(dim1=2, dim2=3) / total.clamp(min=torch.finfo(total.dtype).tiny)
    return 2 * share.mean(dim=-1) - 1


def previous_token_map(
    value: Float[Tensor, "heads width head_width"],
    output: Float[Tensor, "heads head_width width"],
    scores: Float[Tensor, " heads"],
) -> Float[Tensor, "width width"]:
    """What a layer's heads write about the token before, as a linear map: sum of previous-token score x W_V W_O."""
    return torch.einsum("h,hwd,hdv->wv", scores.float(), value.float(), output.float())


def composed_key_traces(
    query: Float[Tensor, "heads width head_width"],
    key: Float[Tensor, "heads width head_width"],
    moved: Float[Tensor, "width width"],
    gram: Float[Tensor, "width width"],
) -> Float[Tensor, " heads"]:
    """QK traces with keys composed through earlier previous-token heads.

    W = sum over earlier heads of previous-token score x (W_E W_Q) (W_E W_V' W_O' W_K)^T: how well the query's own token
    matches the token before the key. Only this pure K-composition is kept; positions and other paths are left out. A
    positive trace means that tokens match themselves, which is what an induction head needs.

    Args:
        query: W_Q of the heads scored.
        key: W_K of the same heads.
        moved: The sum of `previous_token_map` over all earlier layers.
        gram: W_E^T W_E over the vocabulary size, the same for all heads.

    Returns:
        The trace of W (the sum of its eigenvalues) over the vocabulary size: the mean match of a token with itself.
    """
    matched = gram.float() @ moved.float() @ key.float()
    return (query.float() * matched).sum(dim=(1, 2))
