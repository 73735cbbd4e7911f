"""How well a model remembers planted secrets: their exposure (Carlini et al., 2019; arXiv:1802.08232, section 4).

The exposure of a secret is log2 of the number of secrets it might have been, less log2 of its rank among them by the
model's probability: 0 bits for one that is nothing special, and all the bits there are for one that the model finds the
likeliest. It is estimated from a sample of other secrets, so that it ends at log2 of the sample's size.
"""

import numpy as np
import torch
from jaxtyping import Int
from numpy.typing import ArrayLike
from torch import Tensor, nn

from windtunnel.data.canaries import PREFIX, SECRET, Canaries, paste
from windtunnel.laboratory.errors import DataError
from windtunnel.training.objectives import token_losses


def exposure(secret: float, others: ArrayLike) -> float:
    """Bits, from the log-probability of a secret and of others that it might have been.

    Raises:
        DataError: There are no others, or a number is not finite.
    """
    known = np.asarray(others, dtype=np.float64)
    if known.ndim != 1 or not len(known) or not np.isfinite(known).all() or not np.isfinite(secret):
        raise DataError("An exposure needs finite log-probabilities of a secret and of others it might have been.")
    rank = 1 + int((known >= secret).sum())
    return float(np.log2(len(known) + 1) - np.log2(rank))


@torch.no_grad()
def exposures(
    model: nn.Module, canaries: Canaries, row: Int[Tensor, " token"], *, others: int = 1023, seed: int = 0
) -> np.ndarray:
    """The exposure of every canary [canary], in bits.

    Args:
        model: From tokens to logits.
        canaries: What was planted.
        row: Text around the canary; its end is overwritten.
        others: Secrets that each is ranked among.
        seed: Decides them.
    """
    model.eval()
    device = next(model.parameters()).device
    generator = torch.Generator().manual_seed(seed)
    column = len(row) - PREFIX - SECRET
    found = []
    for prefix, secret in zip(canaries.prefixes, canaries.secrets, strict=True):
        tried = torch.cat([secret[None], canaries.draw(others, generator)])
        rows = torch.stack([paste(row, prefix, one, column) for one in tried]).to(device)
        parts = [token_losses(model(part[:, :-1]), part[:, 1:])[:, -SECRET:].sum(1) for part in torch.split(rows, 128)]
        scores = -torch.cat(parts).double().cpu().numpy()
        found.append(exposure(float(scores[0]), scores[1:]))
    return np.array(found)
