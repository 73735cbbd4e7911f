"""Linear layers with a low-rank update (Hu et al., 2021; arXiv:2106.09685), put in place of plain ones and back."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional
from transformers.pytorch_utils import Conv1D


@dataclass(frozen=True)
class LowRank:
    """Settings of one layer's update, scale · B A.

    Attributes:
        rank: Rows of A and columns of B.
        alpha: Numerator of the scale.
        dropout: Share of the layer's inputs set to zero on their way to A, in training.
        rank_stabilised: Scale by alpha / √rank instead of alpha / rank (Kalajdzievski, 2023; arXiv:2312.03732).
    """

    rank: int
    alpha: float
    dropout: float = 0.0
    rank_stabilised: bool = False

    @property
    def scale(self) -> float:
        """What multiplies B A x."""
        return self.alpha / (math.sqrt(self.rank) if self.rank_stabilised else self.rank)


class Adapted(nn.Module):
    """A linear layer h = W x + b + scale · B A x: A [rank, inputs] and B [outputs, rank] learn, W and b are frozen.

    W lies under the name `base_weight`: were a parameter called `weight` as well, whoever fetches parameters by their
    names (FSDP does) would take the sum for it.
    """

    original: ClassVar[type[nn.Module]]
    transposed: ClassVar[bool]
    base_weight: nn.Parameter
    bias: nn.Parameter | None
    low_rank: LowRank
    lora_A: nn.Parameter  # noqa: N815 (the symbols of the paper and the names of the format)
    lora_B: nn.Parameter  # noqa: N815

    @property
    def weight(self) -> Tensor:
        """W + scale · B A, as the layer stores its weight; writing into it changes nothing."""
        update = self.low_rank.scale * self.lora_B @ self.lora_A
        return (self.base_weight + (update.T if self.transposed else update)).to(self.base_weight.dtype)

    def forward(self, x: Float[Tensor, "*rows inputs"]) -> Float[Tensor, "*rows outputs"]:
        """Multiply by the frozen weight and add the update."""
        y = self._product(x)
        given = functional.dropout(x, self.low_rank.dropout, self.training).to(self.lora_A.dtype)
        update = functional.linear(functional.linear(given, self.lora_A), self.lora_B)
        return y + (self.low_rank.scale * update).to(y.dtype)

    def _product(self, x: Tensor) -> Tensor:
        raise NotImplementedError


class AdaptedLinear(Adapted, nn.Linear):  # type: ignore[misc, override]  # its weight cannot be written
    """An adapted `nn.Linear`."""

    original = nn.Linear
    transposed = False

    def _product(self, x: Tensor) -> Tensor:
        return functional.linear(x, self.base_weight, self.bias)


class AdaptedConv1D(Adapted, Conv1D):  # type: ignore[misc]
    """An adapted `Conv1D` of transformers, a linear layer that stores [inputs, outputs]."""

    original = Conv1D
    transposed = True

    def _product(self, x: Tensor) -> Tensor:
        assert self.bias is not None
        return torch.addmm(self.bias, x.flatten(0, -2), self.base_weight).view(*x.shape[:-1], -1)


ADAPTED: dict[type[nn.Module], type[Adapted]] = {kind.original: kind for kind in (AdaptedLinear, AdaptedConv1D)}
"""What a layer of each type becomes."""


def adapt(layer: nn.Module, low_rank: LowRank, down: Tensor, up: Tensor) -> None:
    """Turn a layer of a type in `ADAPTED` into an adapted one, the same object, that holds copies of A and B.

    They are kept on the layer's device, in its precision but no lower than float32.

    Args:
        layer: Changed in place.
        low_rank: The settings.
        down: A, [rank, inputs].
        up: B, [outputs, rank].
    """
    weight = layer.weight
    assert isinstance(weight, Tensor)
    device, dtype = weight.device, torch.promote_types(weight.dtype, torch.float32)
    layer.__class__ = ADAPTED[type(layer)]
    _rename(layer, "weight", "base_weight")
    layer.__dict__["low_rank"] = low_rank
    layer.lora_A = nn.Parameter(down.to(device, dtype, copy=True))
    layer.lora_B = nn.Parameter(up.to(device, dtype, copy=True))


def restore(layer: Adapted) -> None:
    """Undo `adapt`."""
    layer.__class__ = layer.original  # type: ignore[assignment]
    del layer.lora_A, layer.lora_B, layer.low_rank
    _rename(layer, "base_weight", "weight")


def _rename(layer: nn.Module, old: str, new: str) -> None:
    """Rename a parameter, keeping the order of all."""
    named = {new if name == old else name: parameter for name, parameter in layer._parameters.items()}
    layer._parameters.clear()
    layer._parameters.update(named)
