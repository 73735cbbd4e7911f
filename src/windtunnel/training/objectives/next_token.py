"""Next-token prediction: the cross-entropy every language model is trained on."""

from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

CHUNK = 2**24
"""Logits computed at once: beyond it the head is computed in pieces and again in the backward pass, to bound memory."""


def next_token(model: Any, batch: dict[str, Tensor]) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """The loss of predicting each token of a batch from those before it.

    Args:
        model: A `Transformer`, or any module from tokens [batch, position] to logits.
        batch: `tokens` [batch, position + 1]; optionally `documents` and `mask` as in `data.sources`.

    Returns:
        The sum of the losses in nats, and the number of tokens that count.
    """
    tokens = batch["tokens"]
    targets, counted = tokens[:, 1:], targets_that_count(batch)
    documents = batch.get("documents")
    options = {} if documents is None else {"documents": documents[:, :-1]}
    total = targets.numel() if counted is None else counted.sum()
    labels = targets if counted is None else targets.masked_fill(~counted, -100)
    if targets.numel() * _vocabulary(model) > CHUNK and hasattr(model, "features"):
        loss = _chunked(model, model.features(tokens[:, :-1], **options), labels)
    else:
        logits = model(tokens[:, :-1], **options)
        loss = functional.cross_entropy(_exact(logits.flatten(0, 1)), labels.flatten(), reduction="sum")
    return loss, torch.as_tensor(total, device=tokens.device)


def targets_that_count(batch: dict[str, Tensor]) -> Bool[Tensor, "batch position"] | None:
    """Which predictions count: those the mask allows, and none of a document's first token; None: all."""
    counted = None
    if "mask" in batch:
        counted = batch["mask"][:, 1:]
    if "documents" in batch:
        same = batch["documents"][:, 1:] == batch["documents"][:, :-1]
        counted = same if counted is None else counted & same
    return counted


def token_losses(
    logits: Float[Tensor, "batch position vocabulary"], targets: Int[Tensor, "batch position"]
) -> Float[Tensor, "batch position"]:
    """The loss of each token, in nats."""
    losses = functional.cross_entropy(_exact(logits.flatten(0, 1)), targets.flatten(), reduction="none")
    return losses.view_as(targets)


def _exact(logits: Tensor) -> Tensor:
    """Half-precision logits in 32 bits, others as they are."""
    return logits.float() if logits.dtype in (torch.bfloat16, torch.float16) else logits


def _vocabulary(model: Any) -> int:
    return int(getattr(getattr(model, "config", None), "vocabulary", 0))


def _chunked(model: Any, features: Tensor, labels: Tensor) -> Tensor:
    rows = max(CHUNK // _vocabulary(model), 1)

    def piece(part: Tensor, wanted: Tensor) -> Tensor:
        return functional.cross_entropy(_exact(model.unembed(part)), wanted, reduction="sum")

    pieces = zip(torch.split(features.flatten(0, 1), rows), torch.split(labels.flatten(), rows), strict=True)
    losses = [checkpoint(piece, part, wanted, use_reentrant=False) for part, wanted in pieces]
    return torch.stack(losses).sum()
