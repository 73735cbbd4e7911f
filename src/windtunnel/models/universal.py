"""A decoder that reads every token with one block several times: weights shared across depth.

Kaplan et al. (2020; arXiv:2001.08361, appendix D.2, figure 17) hold such recurrent, or universal, transformers
(Dehghani et al., 2018; arXiv:1807.03819) against ordinary ones at equal parameters and at equal compute.
"""

from typing import Self

import torch
from jaxtyping import Float, Int
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn

from windtunnel.inference.cache import Cache
from windtunnel.models.attention import Shared
from windtunnel.models.configuration import TransformerConfig
from windtunnel.models.counting import ParameterCount, count_parameters, training_flops
from windtunnel.models.sites import Tap
from windtunnel.models.transformer import Transformer


class UniversalConfig(BaseModel):
    """The shape of a decoder with one block that is passed several times.

    Raises:
        pydantic.ValidationError: The decoder has more than one block.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    decoder: TransformerConfig = Field(description="with the one block: its layers are 1")
    passes: int = Field(ge=1, description="times that every token goes through the block")

    @model_validator(mode="after")
    def _one(self) -> Self:
        if self.decoder.layers != 1:
            raise ValueError(f"decoder has {self.decoder.layers} layers: weights are shared by passes of one")
        return self

    @property
    def context(self) -> int:
        """Longest sequence in tokens."""
        return self.decoder.context

    @property
    def width(self) -> int:
        """Of the residual stream."""
        return self.decoder.width

    @property
    def layers(self) -> int:
        """Depth: as many as passes."""
        return self.passes


class _Passes(nn.Module):
    """The block, several times in a row."""

    def __init__(self, block: nn.Module, passes: int) -> None:
        super().__init__()
        self.block = block
        self.passes = passes

    def forward(self, x: Tensor, shared: Shared, cache: Cache | None, taps: dict[str, Tap]) -> Tensor:
        for _ in range(self.passes):
            x = self.block(x, shared, cache, taps)
        return x


class Universal(nn.Module):
    """The decoder whose block is passed several times.

    Args:
        config: The shape.
        generator: Source of the initial weights; None: one seeded with 0.

    Attributes:
        config: The shape.
    """

    def __init__(self, config: UniversalConfig, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.config = config
        self.decoder = Transformer(config.decoder, generator)
        (block,) = self.decoder.blocks
        if config.decoder.residual_scaling:  # by the depth, not by the one block
            with torch.no_grad():
                for name, weight in block.named_parameters():
                    if name.endswith("output.weight"):
                        weight.div_(config.passes**0.5)
        self.decoder.blocks = nn.ModuleList([_Passes(block, config.passes)])

    def forward(self, tokens: Int[Tensor, "batch position"]) -> Float[Tensor, "batch position vocabulary"]:
        """Next-token logits."""
        logits: Tensor = self.decoder(tokens)
        return logits


def count_universal(config: UniversalConfig) -> ParameterCount:
    """Parameters, those of the block counted once."""
    return count_parameters(config.decoder)


def universal_flops(config: UniversalConfig) -> int:
    """FLOPs per token of a training step: those of an ordinary decoder of as many layers as passes."""
    return training_flops(config.decoder.model_copy(update={"layers": config.passes}))
