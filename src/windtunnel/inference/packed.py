"""Weights laid out for products with few rows, while a model samples on a CPU.

A step of sampling multiplies a few rows by every weight of the model. The usual kernel copies a weight into blocks for
each product, which costs as much as a product of few rows does. Here the copy is made once for all steps: in the
blocks of oneDNN, or transposed, so that BLAS reads each weight once and in order. Copies are kept from one call to the
next as long as the weights stay what they were. Results differ in rounding only.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeGuard
from weakref import WeakKeyDictionary

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from windtunnel.inference.arrays import Array, one_blas_thread

MOST_KEPT = 2**30
"""Bytes of a model's copies that are kept, at most; those of a larger model are made anew for each call."""

Multiply = Callable[[Array], Array]
"""A product of rows, [rows, in], and weights that lie in some layout."""

Layout = Callable[[Tensor], Multiply]


@dataclass(frozen=True)
class Copy:
    """A layer's weights in another layout.

    Attributes:
        layout: What made it.
        fingerprint: Of the weights it was made from.
        multiply: Multiplies by it.
    """

    layout: Layout
    fingerprint: Array
    multiply: Multiply


_KEPT: WeakKeyDictionary[nn.Linear, Copy] = WeakKeyDictionary()


class Product:
    """What stands for a linear layer's `forward`.

    Args:
        multiply: Multiplies by the layer's weights.
        bias: The layer's bias.
    """

    def __init__(self, multiply: Multiply, bias: Tensor | None) -> None:
        self.multiply = multiply
        self.bias = None if bias is None else bias.detach().numpy()

    def __call__(self, x: Float[Tensor, "*batch in"]) -> Float[Tensor, "*batch out"]:
        """What the layer computes; NumPy would multiply a stack of matrices one by one, so they come as one."""
        rows = self.of_rows(x.detach().numpy().reshape(-1, x.shape[-1]))
        return torch.from_numpy(rows).view(*x.shape[:-1], -1)

    def of_rows(self, x: Float[Array, "rows in"]) -> Float[Array, "rows out"]:
        """It in arrays."""
        result = self.multiply(x)
        if self.bias is not None:
            result += self.bias
        return result


class Packed:
    """Inside `with`, linear layers of a model on a CPU multiply by copies of the weights they had at first.

    Args:
        module: The model.
        rows: How many rows will be multiplied at once.
    """

    def __init__(self, module: nn.Module, rows: int) -> None:
        available: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
        linears = [part for part in module.modules() if available and _packs(part)]
        layout = fastest_layout(rows)
        keep = sum(linear.weight.nbytes for linear in linears) <= MOST_KEPT
        with one_blas_thread():
            self.products = {linear: Product(_multiply(linear, layout, keep), linear.bias) for linear in linears}

    def __enter__(self) -> None:
        for linear, product in self.products.items():
            linear.__dict__["forward"] = product

    def __exit__(self, *_: object) -> None:
        for linear in self.products:
            del linear.__dict__["forward"]


def fastest_layout(rows: int) -> Layout:
    """How weights should lie for products with so many rows at once.

    One row needs no blocks: a product reads each weight once. Of more rows oneDNN's products are the faster ones where
    it has AVX-512 or several threads, and BLAS's elsewhere (benchmarks/README.md).
    """
    wide = torch.backends.cpu.get_cpu_capability() == "AVX512"
    return in_blocks if rows > 1 and (wide or torch.get_num_threads() > 1) else transposed


def in_blocks(weight: Float[Tensor, "out in"]) -> Multiply:
    """Products with a copy in the blocks of oneDNN."""
    blocks = torch.ops.mkldnn._reorder_linear_weight(weight)

    def multiply(x: Array) -> Array:
        result: Tensor = torch.ops.mkldnn._linear_pointwise(torch.from_numpy(x), blocks, None, "none", [], "")
        return result.numpy()

    return multiply


def transposed(weight: Float[Tensor, "out in"]) -> Multiply:
    """Products with a transposed copy, by NumPy's BLAS."""
    copy = weight.T.contiguous().numpy()

    def multiply(x: Array) -> Array:
        result: Array = x @ copy
        return result

    return multiply


def _packs(part: nn.Module) -> TypeGuard[nn.Linear]:
    if type(part) is not nn.Linear or "forward" in part.__dict__:
        return False
    return part.weight.device.type == "cpu" and part.weight.dtype == torch.float32


def _multiply(linear: nn.Linear, layout: Layout, keep: bool) -> Multiply:
    weight = linear.weight.detach()
    if not keep:
        return layout(weight)
    fingerprint, kept = _fingerprint(weight), _KEPT.get(linear)
    if kept is None or kept.layout is not layout or not np.array_equal(kept.fingerprint, fingerprint):
        kept = _KEPT[linear] = Copy(layout, fingerprint, layout(weight))
    return kept.multiply


def _fingerprint(weight: Float[Tensor, "out in"]) -> Float[Array, " out"]:
    """A product with fixed random numbers: other weights give other numbers, but for changes lost in rounding."""
    fingerprint: Array = weight.numpy() @ _probe(weight.shape[1])
    return fingerprint


@functools.cache
def _probe(width: int) -> Float[Array, " width"]:
    return np.random.default_rng(width).standard_normal(width, dtype=np.float32)
