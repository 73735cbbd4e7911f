"""Exact parameter and FLOP counts of the from-scratch decoder (Kaplan et al., 2020; arXiv:2001.08361, Table 1)."""

from dataclasses import dataclass

from windtunnel.models.configuration import TransformerConfig


@dataclass(frozen=True)
class ParameterCount:
    """Parameters of a decoder.

    Attributes:
        embedding: Token embedding, position vectors and, if not tied, the unembedding.
        matrices: Weight matrices of attention and MLPs: Kaplan et al.'s N, 12 layers x width^2 in the usual shape.
        vectors: Biases, gains of normalisations, smearing parameters: what Kaplan et al. leave out as sub-leading.
    """

    embedding: int
    matrices: int
    vectors: int

    @property
    def non_embedding(self) -> int:
        """All but the embeddings."""
        return self.matrices + self.vectors

    @property
    def total(self) -> int:
        """Every parameter, equal to the sum of `numel` over the module."""
        return self.embedding + self.non_embedding


@dataclass(frozen=True)
class FlopCount:
    """Forward FLOPs per token by operation, a multiplication and an addition counting as two.

    The rows of Kaplan et al.'s Table 1. Nonlinearities, biases, normalisations, rotations and smearing are
    sub-leading and left out, as there.

    Attributes:
        embed: Looking up and adding token and position vectors.
        query_key_value: Projections to queries, keys and values.
        attention: Scores and weighted values, averaged over the positions of a causal sequence ("Mask").
        project: Output projection of attention.
        feed_forward: MLPs.
        unembed: Logits.
    """

    embed: int
    query_key_value: int
    attention: int
    project: int
    feed_forward: int
    unembed: int

    @property
    def total(self) -> int:
        """All operations."""
        return self.embed + self.query_key_value + self.attention + self.project + self.feed_forward + self.unembed


def count_parameters(config: TransformerConfig) -> ParameterCount:
    """Parameters of a decoder of this shape."""
    width, layers = config.width, config.layers
    embedding = config.vocabulary * width * (1 if config.tied_embeddings else 2)
    if config.positions in ("learned", "sinusoidal_qk"):
        embedding += config.context * width
    query_width, key_width, gates = _widths(config)
    matrices = layers * (width * (query_width + 2 * key_width) + query_width * width + gates * width * config.mlp_width)
    gain = width * (2 if config.bias and config.normalization == "layernorm" else 1)
    vectors = gain * (layers * (1 if config.mlp_ratio is None else 2) + 1)
    if config.smeared_keys:
        vectors += layers * config.grouped_heads
    if config.bias:
        vectors += layers * (query_width + 2 * key_width + width)
        if config.mlp_ratio is not None:
            vectors += layers * ((gates - 1) * config.mlp_width + width)
    return ParameterCount(embedding, matrices, vectors)


def forward_flops(config: TransformerConfig, length: int | None = None) -> FlopCount:
    """Forward FLOPs per token.

    Args:
        config: The decoder's shape.
        length: Tokens in the sequence; by default the whole context.
    """
    length = config.context if length is None else length
    width, layers = config.width, config.layers
    query_width, key_width, gates = _widths(config)
    vectors_added = 2 if config.positions in ("learned", "sinusoidal_qk") else 1
    return FlopCount(
        embed=2 * width * vectors_added,
        query_key_value=2 * layers * width * (query_width + 2 * key_width),
        # Scores and weighted values each cost 2 x length x query_width; a causal query sees half the keys on average.
        attention=2 * layers * length * query_width,
        project=2 * layers * query_width * width,
        feed_forward=2 * layers * gates * width * config.mlp_width,
        unembed=2 * width * config.vocabulary,
    )


def training_flops(config: TransformerConfig, length: int | None = None) -> int:
    """FLOPs per token of a training step, whose backward pass costs two forward ones (Kaplan et al., section 2.1)."""
    return 3 * forward_flops(config, length).total


def _widths(config: TransformerConfig) -> tuple[int, int, int]:
    """Width of all queries, of all keys, and matrices per MLP."""
    matrices = 3 if config.activation == "swiglu" else 2
    return config.heads * config.width_of_head, config.grouped_heads * config.width_of_head, matrices
