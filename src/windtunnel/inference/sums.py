"""Weighted sums of rows of a table: how a model that samples on a CPU reads memory.

A step of sampling multiplies one vector by a matrix again and again: a row's activation by each weight, its query by
the keys so far, its pattern by the values. Each number in memory is used once, so the step takes as long as reading.
torch has a kernel for such sums, made for bags of embeddings, which fetches memory ahead; kernels for matrix products
do not, and wait. Beyond the processor's cache it is about twice as fast as they are.
"""

import functools

import torch
from jaxtyping import Float, Int
from torch import Tensor


@functools.cache
def fast(device_type: str) -> bool:
    """Whether torch has its fast kernel there: on x86 processors."""
    return device_type == "cpu" and "fbgemm" in torch.backends.quantized.supported_engines


def weighted_sums(
    table: Float[Tensor, "rows width"],
    rows: Int[Tensor, " terms"],
    starts: Int[Tensor, " sums"],
    weights: Float[Tensor, " terms"],
) -> Float[Tensor, "sums width"]:
    """Sums of rows of `table`, each multiplied by its weight.

    Args:
        table: The rows; contiguous.
        rows: Which row each term is.
        starts: The first term of each sum.
        weights: What each term's row is multiplied by.
    """
    sums: Tensor = torch.embedding_bag(table, rows, starts, mode=0, per_sample_weights=weights)[0]
    return sums
