"""The shape of a decoder trained from scratch: every option in one frozen record."""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class TransformerConfig(BaseModel):
    """A pre-normalisation decoder: GPT-2-like, Llama-like, attention-only, or anything between.

    The defaults give a GPT-2-like model without biases. A Llama-like one is `activation="swiglu",
    normalization="rmsnorm", positions="rotary"`. The small attention-only models of Olsson et al.
    (2022; arXiv:2209.11895) are `mlp_ratio=None, positions="sinusoidal_qk"`.

    Raises:
        pydantic.ValidationError: A value is out of range, a field is unknown, or two options contradict.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    vocabulary: int = Field(ge=1, description="number of token types")
    context: int = Field(ge=1, description="longest sequence in tokens")
    layers: int = Field(ge=1, description="transformer blocks")
    width: int = Field(ge=1, description="width of the residual stream (d_model)")
    heads: int = Field(ge=1, description="query heads per layer")
    key_value_heads: int | None = Field(None, ge=1, description="key-value heads per layer; None: as many as heads")
    head_width: int | None = Field(None, ge=1, description="width of a head; None: width / heads")
    mlp_ratio: float | None = Field(4.0, gt=0, description="MLP hidden width / width; None: attention only")
    activation: Literal["gelu", "swiglu"] = Field("gelu", description="gelu (erf form) or gated SiLU")
    normalization: Literal["layernorm", "rmsnorm"] = "layernorm"
    normalization_epsilon: float = Field(1e-5, gt=0)
    positions: Literal["learned", "sinusoidal_qk", "rotary", "none"] = Field(
        "learned",
        description="learned: vectors added to the embedding; sinusoidal_qk: vectors added to the inputs of the "
        "query and key projections only, never to the residual stream (Press et al., 2021, 'Shortformer'); "
        "rotary: queries and keys rotated (Su et al., 2021)",
    )
    positions_trainable: bool = Field(True, description="sinusoidal_qk only: train the vectors, or keep the sinusoids")
    rotary_base: float = Field(10_000.0, gt=0, description="rotary only: base of the wavelengths")
    smeared_keys: bool = Field(False, description="each key mixes in its predecessor (Olsson et al., 2022, Argument 2)")
    tied_embeddings: bool = Field(False, description="the unembedding is the embedding, transposed")
    bias: bool = Field(False, description="biases in projections and layer norms")
    dropout: float = Field(0.0, ge=0, lt=1, description="on the embedding, attention weights and block outputs")
    embedding_scale: float = Field(0.02, ge=0, description="standard deviation of embeddings and learned positions")
    weight_scale: float | None = Field(
        None, ge=0, description="standard deviation of weight matrices; None: 1 / sqrt(fan-in)"
    )
    residual_scaling: bool = Field(
        True, description="divide the initial output projections by sqrt(2 x layers) (Radford et al., 2019)"
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.head_width is None and self.width % self.heads:
            raise ValueError(f"width {self.width} is not divisible by heads {self.heads}: change one or set head_width")
        if self.heads % self.grouped_heads:
            raise ValueError(f"heads {self.heads} is not a multiple of key_value_heads {self.key_value_heads}")
        if self.positions == "rotary" and self.width_of_head % 2:
            raise ValueError(f"rotary positions need an even head_width, not {self.width_of_head}")
        if self.mlp_ratio is not None and self.mlp_width < 1:
            raise ValueError(f"mlp_ratio {self.mlp_ratio} leaves no hidden unit at width {self.width}")
        return self

    @property
    def grouped_heads(self) -> int:
        """Key-value heads per layer, resolved."""
        return self.heads if self.key_value_heads is None else self.key_value_heads

    @property
    def width_of_head(self) -> int:
        """Width of one head, resolved."""
        return self.width // self.heads if self.head_width is None else self.head_width

    @property
    def mlp_width(self) -> int:
        """Hidden width of the MLP; 0 in an attention-only model."""
        return 0 if self.mlp_ratio is None else round(self.mlp_ratio * self.width)
