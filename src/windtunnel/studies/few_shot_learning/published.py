"""Tables of Brown et al. (2020) that the study computes anew."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """A model of Table 2.1 with its training compute of Table D.1.

    Attributes:
        name: As printed.
        parameters: As printed.
        layers: Blocks.
        width: d_model.
        heads: Per layer.
        head_width: d_head.
        batch: Tokens per step.
        learning_rate: Peak.
        flops: Total training compute, as printed.
    """

    name: str
    parameters: float
    layers: int
    width: int
    heads: int
    head_width: int
    batch: float
    learning_rate: float
    flops: float


TABLE = (
    Row("GPT-3 Small", 125e6, 12, 768, 12, 64, 0.5e6, 6.0e-4, 2.25e20),
    Row("GPT-3 Medium", 350e6, 24, 1024, 16, 64, 0.5e6, 3.0e-4, 6.41e20),
    Row("GPT-3 Large", 760e6, 24, 1536, 16, 96, 0.5e6, 2.5e-4, 1.37e21),
    Row("GPT-3 XL", 1.3e9, 24, 2048, 24, 128, 1e6, 2.0e-4, 2.38e21),
    Row("GPT-3 2.7B", 2.7e9, 32, 2560, 32, 80, 1e6, 1.6e-4, 4.77e21),
    Row("GPT-3 6.7B", 6.7e9, 32, 4096, 32, 128, 2e6, 1.2e-4, 1.20e22),
    Row("GPT-3 13B", 13.0e9, 40, 5140, 40, 128, 2e6, 1.0e-4, 2.31e22),
    Row("GPT-3 175B", 175.0e9, 96, 12288, 96, 128, 3.2e6, 0.6e-4, 3.14e23),
)

TOKENS = 300e9
"""Every model is trained on so many."""

VOCABULARY, CONTEXT = 50_257, 2_048

LARGEST_PF_DAYS = 3_640.0
"""Training compute of the largest model (Table D.1)."""

LOSS_SCALE, LOSS_EXPONENT = 2.57, -0.048
"""L = 2.57 C^−0.048, C in PF-days (Figure 3.1)."""

DETECTION = {  # parameters, mean accuracy, low and high of its 95 % interval (Table 3.11)
    "control": (None, 0.86, 0.83, 0.90),
    "GPT-3 Small": (125e6, 0.76, 0.72, 0.80),
    "GPT-3 Medium": (350e6, 0.61, 0.58, 0.65),
    "GPT-3 Large": (760e6, 0.68, 0.64, 0.72),
    "GPT-3 XL": (1.3e9, 0.62, 0.59, 0.65),
    "GPT-3 2.7B": (2.7e9, 0.62, 0.58, 0.65),
    "GPT-3 6.7B": (6.7e9, 0.60, 0.56, 0.63),
    "GPT-3 13B": (13e9, 0.55, 0.52, 0.58),
    "GPT-3 175B": (175e9, 0.52, 0.49, 0.54),
}

T_STATISTIC = 16.9
"""Of the control against the largest model (Table 3.11)."""
