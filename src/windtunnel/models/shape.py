"""What the two white-box backends share: a model's shape and its attention weights."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class Shape:
    """Dimensions of a decoder.

    Attributes:
        layers: Blocks.
        width: Width of the residual stream.
        heads: Query heads per layer.
        key_value_heads: Key-value heads per layer.
        head_width: Width of a head.
        vocabulary: Token types.
        context: Longest sequence in tokens.
    """

    layers: int
    width: int
    heads: int
    key_value_heads: int
    head_width: int
    vocabulary: int
    context: int


@dataclass(frozen=True)
class AttentionWeights:
    """Weights of one attention layer by query head, acting on row vectors from the left: q = x @ query[head].

    Under grouped-query attention each key and value head appears once for every query head that uses it. Biases,
    and the gain of the normalisation before the layer, are not included.
    """

    query: Float[Tensor, "heads width head_width"]
    key: Float[Tensor, "heads width head_width"]
    value: Float[Tensor, "heads width head_width"]
    output: Float[Tensor, "heads head_width width"]


def by_head(weight: Float[Tensor, "outputs width"], shape: Shape) -> Float[Tensor, "heads width head_width"]:
    """Split a query, key or value projection into heads, repeating the key-value heads that queries share."""
    heads = weight.reshape(-1, shape.head_width, shape.width).transpose(1, 2)
    return heads.repeat_interleave(shape.heads // heads.shape[0], dim=0)


def output_by_head(weight: Float[Tensor, "width inputs"], shape: Shape) -> Float[Tensor, "heads head_width width"]:
    """Split an output projection into heads."""
    return weight.T.reshape(shape.heads, shape.head_width, shape.width)
