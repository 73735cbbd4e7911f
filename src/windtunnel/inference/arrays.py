"""What a model that samples on a CPU computes with NumPy.

A step of sampling is a few hundred operations on few numbers each. NumPy begins one several times faster than torch,
its BLAS multiplies a vector by a matrix at the speed of memory, and stacks of small matrices without copying them.
Arrays and tensors share their memory, so nothing is converted.
"""

import functools
import math
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from torch import Tensor

Array = NDArray[Any]


def usable(tensor: Tensor) -> bool:
    """Whether NumPy can read a tensor's memory and compute in its dtype."""
    return tensor.device.type == "cpu" and tensor.dtype in (torch.float32, torch.float64)


def one_blas_thread() -> AbstractContextManager[Any]:
    """Inside, NumPy's BLAS uses one thread: its products here are too small to share."""
    limits: AbstractContextManager[Any] = _blas().limit(limits=1)
    return limits


@functools.cache
def _blas() -> Any:
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController().select(user_api="blas")


def attend_once(
    query: Float[Array, "batch heads head_width"],
    key: Float[Array, "batch key_value_heads key head_width"],
    value: Float[Array, "batch key_value_heads key value_width"],
    allowed: Bool[Array, "batch 1 1 key"] | None,
    scale: float,
) -> Float[Array, "batch heads value_width"]:
    """The mean of the values that one query a row sees, weighted by the softmax of its scaled products with keys."""
    batch, heads, width = query.shape
    shared = key.shape[1]
    grouped = (query * query.dtype.type(scale)).reshape(batch, shared, heads // shared, width)
    scores = np.matmul(grouped, key.swapaxes(2, 3))
    if allowed is not None:
        np.copyto(scores, -math.inf, where=~allowed)
    pattern = torch.from_numpy(scores).softmax(dim=-1).numpy()
    mixed: Array = np.matmul(pattern, value).reshape(batch, heads, -1)
    return mixed
