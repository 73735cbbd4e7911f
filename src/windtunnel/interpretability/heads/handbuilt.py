"""An induction transformer with weights set by hand: the known truth that the head scores are tested against.

Two layers of attention only. Head 0 of layer 0 attends to the previous token and writes its identity beside the
current one; head 0 of layer 1 looks for positions whose previous token is the current token and writes the identity
found there where the unembedding reads (Elhage et al., 2021, "Induction heads"). Head 1 of either layer has zero
weights: it attends evenly and writes nothing.
"""

import torch
from torch import Tensor

from windtunnel.laboratory.errors import UsageError
from windtunnel.models.transformer import Block, Transformer, TransformerConfig

BOS = 0
"""Token 0 begins every sequence; a head with nothing to match rests on it."""

SHARPNESS = 30.0
"""Attention scores and logits of a match stand about this many nats above the rest."""


def induction_transformer(vocabulary: int = 64, context: int = 128) -> Transformer:
    """Build the model; it needs sequences that begin with token `BOS`.

    The residual stream has three blocks, each a one-hot vector beside its negative, so that its mean is zero and its
    length is known and the layer norms only rescale: `current` token, `previous` token, and `output`. A fourth block
    holds positions, which enter queries and keys only.

    Raises:
        UsageError: Fewer than three tokens, or a context shorter than two.
    """
    if vocabulary < 3 or context < 2:
        raise UsageError(f"An induction transformer needs 3 tokens and a context of 2, not {vocabulary} and {context}.")
    width = 6 * vocabulary + context
    config = TransformerConfig(
        vocabulary=vocabulary,
        context=context,
        layers=2,
        width=width,
        heads=2,
        head_width=max(vocabulary, context),
        mlp_ratio=None,
        positions="sinusoidal_qk",
        normalization_epsilon=1e-12,
    )
    model = Transformer(config)
    head_width = config.width_of_head
    current, previous, output = (2 * vocabulary * block for block in range(3))
    positions = 6 * vocabulary
    identity = torch.eye(vocabulary)

    def read(start: int) -> Tensor:
        """[width, head_width]: the token of a block, as a one-hot vector of length 1 whatever the norm did."""
        matrix = torch.zeros(width, head_width)
        matrix[start : start + vocabulary, :vocabulary] = identity / 2
        matrix[start + vocabulary : start + 2 * vocabulary, :vocabulary] = -identity / 2
        return matrix

    def write(start: int) -> Tensor:
        """[head_width, width]: a one-hot vector into a block, beside its negative."""
        matrix = torch.zeros(head_width, width)
        matrix[:vocabulary, start : start + vocabulary] = identity
        matrix[:vocabulary, start + vocabulary : start + 2 * vocabulary] = -identity
        return matrix

    def normalised(blocks: int) -> float:
        """Size of each entry after a layer norm over `blocks` filled blocks: their one-hot pairs have length √2."""
        return float((width / (2 * blocks)) ** 0.5)

    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        for name, parameter in model.named_parameters():
            if "normalization" in name:
                parameter.fill_(1.0)
        model.embedding.weight[:, current : current + vocabulary] = identity
        model.embedding.weight[:, current + vocabulary : current + 2 * vocabulary] = -identity
        assert model.position_vectors is not None
        model.position_vectors[:, positions : positions + context] = torch.eye(context)

        sharp = SHARPNESS * head_width**0.5  # undoes the scale 1 / sqrt(head_width)
        query, key, value = (torch.zeros(width, head_width) for _ in range(3))
        query[positions : positions + context, :context] = sharp * torch.eye(context)
        key[positions : positions + context - 1, 1:context] = torch.eye(context - 1)  # key j answers to query j + 1
        value = read(current) / normalised(1)
        _set_head(model, 0, query, key, value, write(previous))

        query = sharp * read(current) / normalised(2)
        key = read(previous) / normalised(2)
        key[positions, :vocabulary] = 0.5  # a half match with position 0, for a token without an earlier occurrence
        value = read(current) / normalised(2)
        value[:, BOS] = 0.0  # resting on BOS writes nothing
        _set_head(model, 1, query, key, value, write(output))

        assert model.unembedding is not None
        model.unembedding.weight.copy_((SHARPNESS * read(output)[:, :vocabulary] / normalised(3)).T)
    return model.eval()


def _set_head(model: Transformer, layer: int, query: Tensor, key: Tensor, value: Tensor, output: Tensor) -> None:
    """Write head 0 of a layer; head 1 keeps its zeros."""
    block = model.blocks[layer]
    assert isinstance(block, Block)
    attention = block.attention
    width = attention.head_width
    for index, matrix in enumerate((query, key, value)):
        start = index * attention.query_width
        attention.query_key_value.weight[start : start + width] = matrix.T
    attention.output.weight[:, :width] = output.T
