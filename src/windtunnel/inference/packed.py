"""Weights laid out for products with few rows, while a model samples on a CPU.

A step of sampling multiplies a few rows by every weight of the model. The usual kernel copies a weight into blocks for
each product, which costs as much as a product of few rows does. Here the copy is made once for all steps: in the
blocks of oneDNN, or, for one row, transposed, so that BLAS reads each weight once and in order. Results differ in
rounding only.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

FEWEST_ROWS = 2
"""With one row no blocks are needed: a product reads each weight once."""


class Packed:
    """Inside `with`, linear layers of a model on a CPU multiply by copies of the weights they had at first.

    Args:
        module: The model.
        rows: How many rows will be multiplied at once.
    """

    def __init__(self, module: nn.Module, rows: int) -> None:
        self.products: dict[nn.Linear, Callable[[Tensor], Tensor]] = {}
        if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
            return
        for part in module.modules():
            if type(part) is not nn.Linear or "forward" in part.__dict__:
                continue
            if part.weight.device.type == "cpu" and part.weight.dtype == torch.float32:
                if rows >= FEWEST_ROWS:
                    self.products[part] = _in_blocks(part)
                else:
                    self.products[part] = _transposed(part)

    def __enter__(self) -> None:
        for linear, product in self.products.items():
            linear.__dict__["forward"] = product

    def __exit__(self, *_: object) -> None:
        for linear in self.products:
            del linear.__dict__["forward"]


def _in_blocks(linear: nn.Linear) -> Callable[[Tensor], Tensor]:
    weight = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach())
    bias = linear.bias

    def product(x: Tensor) -> Tensor:
        result: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
        return result

    return product


def _transposed(linear: nn.Linear) -> Callable[[Tensor], Tensor]:
    weight = linear.weight.detach().T.contiguous().numpy()
    bias = linear.bias

    def product(x: Tensor) -> Tensor:
        result = torch.from_numpy(x.detach().numpy() @ weight)
        return result if bias is None else result + bias

    return product
