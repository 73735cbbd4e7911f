"""A recurrent language model to hold transformers against: stacked LSTMs trained from scratch by the same loop.

Kaplan et al. (2020; arXiv:2001.08361, section 3.2.1) compare the two at equal numbers of non-embedding parameters.
"""

import torch
from jaxtyping import Float, Int
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from windtunnel.models.configuration import TransformerConfig
from windtunnel.models.counting import ParameterCount, count_parameters


class RecurrentConfig(BaseModel):
    """The shape of an LSTM language model.

    Raises:
        pydantic.ValidationError: A value is out of range or a field is unknown.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    vocabulary: int = Field(ge=1, description="number of token types")
    context: int = Field(ge=1, description="tokens it is trained on at once; it can read more")
    layers: int = Field(ge=1, description="LSTM layers")
    width: int = Field(ge=1, description="width of embeddings, cells and hidden states")
    dropout: float = Field(0.0, ge=0, lt=1, description="on the embedding")


class Recurrent(nn.Module):
    """Embedding, LSTM layers, a layer norm, unembedding.

    Args:
        config: The shape.
        generator: Source of the initial weights; None: one seeded with 0. The global generator is never used.

    Attributes:
        config: The shape.
    """

    def __init__(self, config: RecurrentConfig, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.config = config
        with torch.device("meta"):
            self.embedding = nn.Embedding(config.vocabulary, config.width)
            self.lstm = nn.LSTM(config.width, config.width, config.layers, batch_first=True)
            self.final_normalization = nn.LayerNorm(config.width, bias=False)
            self.unembedding = nn.Linear(config.width, config.vocabulary, bias=False)
        self.to_empty(device=torch.get_default_device())
        self.initialise(torch.Generator().manual_seed(0) if generator is None else generator)

    @torch.no_grad()
    def initialise(self, generator: torch.Generator) -> None:
        """Draw all weights anew, in a fixed order.

        LSTM weights are uniform in ±1 / √width, as in PyTorch; biases are 0, of forget gates 1 in sum (Jozefowicz et
        al., 2015), so that the cell remembers before it has learned what to forget.
        """
        width = self.config.width

        def draw(parameter: Tensor, *, bound: float | None = None, scale: float = 1.0) -> None:
            drawn = torch.empty(parameter.shape, device=generator.device)
            if bound is None:
                drawn.normal_(0.0, scale, generator=generator)
            else:
                drawn.uniform_(-bound, bound, generator=generator)
            parameter.copy_(drawn)

        draw(self.embedding.weight, scale=1.0)
        for name, parameter in self.lstm.named_parameters():
            if parameter.ndim == 2:
                draw(parameter, bound=width**-0.5)
            else:
                parameter.zero_()
                if name.startswith("bias_hh"):
                    parameter[width : 2 * width] = 1.0
        draw(self.unembedding.weight, scale=width**-0.5)
        self.final_normalization.reset_parameters()

    def forward(self, tokens: Int[Tensor, "batch position"]) -> Float[Tensor, "batch position vocabulary"]:
        """Next-token logits; each row begins with an empty memory."""
        x = self.embedding(tokens)
        drop = self.config.dropout if self.training else 0.0
        if drop:
            x = nn.functional.dropout(x, drop)
        hidden, _ = self.lstm(x)
        logits: Tensor = self.unembedding(self.final_normalization(hidden))
        return logits


def count_recurrent(config: RecurrentConfig) -> ParameterCount:
    """Parameters of an LSTM of this shape: 8 layers × width² in matrices, to a transformer's 12."""
    width, layers = config.width, config.layers
    return ParameterCount(
        embedding=2 * config.vocabulary * width,
        matrices=8 * layers * width**2,
        vectors=8 * layers * width + width,
    )


def recurrent_flops(config: RecurrentConfig) -> int:
    """Forward FLOPs per token, nonlinearities left out as in Kaplan et al.'s Table 1."""
    return 2 * (8 * config.layers * config.width**2 + config.width + config.width * config.vocabulary)


def matched(config: TransformerConfig, layers: int = 2) -> RecurrentConfig:
    """The LSTM of so many layers whose non-embedding parameters are nearest to a transformer's."""
    wanted = count_parameters(config).non_embedding
    guess = (wanted / (8 * layers)) ** 0.5
    widths = range(max(1, int(guess) - 4), int(guess) + 3)
    shapes = [
        RecurrentConfig(vocabulary=config.vocabulary, context=config.context, layers=layers, width=width)
        for width in widths
    ]
    return min(shapes, key=lambda shape: abs(count_recurrent(shape).non_embedding - wanted))
