"""Scaling Laws for Neural Language Models (Kaplan et al., 2020; arXiv:2001.08361).

A ladder of decoders is trained on real text; every law is read off the same recorded runs: loss over size, data,
compute and steps, overfitting, critical batch, shape, position in the context, other text, LSTMs, and how a budget is
best split. Statements about the paper's constants, and the correction by Hoffmann et al. (2022) and its causes, are
tested on planted laws and on published data, since a laptop's exponents are not those of billions of parameters.
"""

from typing import Literal, Self, get_args

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from windtunnel.laboratory.claims import AtLeast, AtMost, Between, Claim
from windtunnel.laboratory.run import Run
from windtunnel.laboratory.study import StudyConfig

Experiment = Literal[
    "published",
    "planted",
    "sizes",
    "data",
    "compute",
    "shapes",
    "batches",
    "schedules",
    "contexts",
    "recurrent",
    "universal",
]
Shape = tuple[PositiveInt, PositiveInt]

EVERY: tuple[Experiment, ...] = get_args(Experiment)


class Config(StudyConfig):
    """What is trained, on what, and which experiments are made."""

    experiments: tuple[Experiment, ...] = Field(EVERY, min_length=1, description="which experiments to make")
    corpus: str = Field("offline-english", description="text that is learned from: file, directory or offline corpus")
    others: tuple[str, ...] = Field(("offline-python",), description="texts that are only measured on")
    vocabulary: int = Field(259, ge=259, description="token types; 259: bytes")
    text: int = Field(800_000, ge=2_000, description="tokens of the corpus that are read, at most")
    context: int = Field(64, ge=8, description="tokens a model reads")
    batch: int = Field(16, ge=1, description="rows per step")
    rows: int = Field(256, ge=8, description="held-out rows measured at the end of each run")
    rows_on_curve: int = Field(64, ge=4, description="held-out rows measured along the way")
    points: int = Field(16, ge=2, description="points of a learning curve")
    sizes: tuple[Shape, ...] = Field(
        ((1, 8), (2, 16), (2, 32), (3, 48), (4, 64)), min_length=2, description="layers and width of each size"
    )
    tokens: int = Field(600_000, ge=500, description="that each size is trained on")
    seeds: int = Field(3, ge=1, le=20, description="runs of one size, for the spread between seeds")
    data_sizes: tuple[Shape, ...] = Field(
        ((1, 8), (2, 24), (2, 48)), min_length=2, description="sizes on finite amounts of text"
    )
    subsets: tuple[int, ...] = Field((10_000, 30_000, 100_000), min_length=2, description="tokens of finite text")
    data_tokens: int = Field(250_000, ge=500, description="that those are trained on at most")
    data_dropout: float = Field(0.1, ge=0, lt=1, description="dropout of those, as in the paper")
    budgets: tuple[float, ...] = Field((1e10, 2.5e10, 6e10), min_length=2, description="FLOPs of IsoFLOP runs")
    compute_sizes: tuple[Shape, ...] = Field(
        ((1, 8), (1, 16), (2, 16), (2, 32), (3, 48)), min_length=3, description="sizes at every budget"
    )
    fewest_tokens: float = Field(4.0, gt=0, description="tokens per total parameter that a surface needs")
    shapes: tuple[Shape, ...] = Field(
        ((1, 44), (2, 32), (4, 22), (8, 16)), min_length=2, description="layers and width at one size"
    )
    shape_tokens: int = Field(300_000, ge=500, description="that each shape is trained on")
    mlp_ratios: tuple[PositiveFloat, ...] = Field((1.0, 8.0), description="widths of the MLP over the width, beside 4")
    batch_shape: Shape = Field((2, 16), description="size whose critical batch is measured")
    batches: tuple[int, ...] = Field((4, 8, 16, 32, 64), min_length=3, description="rows per step of the scan")
    batch_tokens: int = Field(250_000, ge=500, description="that each batch size is trained on")
    batch_levels: tuple[float, ...] = Field(
        (0.5, 0.7, 0.9), min_length=2, description="losses of the scan, as shares of the fall that all batches reach"
    )
    noise_rows: int = Field(128, ge=12, description="rows on which the gradient noise scale is measured")
    schedule_shape: Shape = Field((2, 32), description="size on which schedules are compared")
    schedule_tokens: int = Field(200_000, ge=500, description="that each schedule is run for")
    overlong: int = Field(4, ge=2, description="times too long that a mismatched schedule is laid out")
    short_context: int = Field(8, ge=2, description="context of a model held against the full one")
    recurrent_shapes: tuple[Shape, ...] = Field(((2, 32), (3, 48)), description="decoders that get an LSTM")
    recurrent_tokens: int = Field(300_000, ge=500, description="that each LSTM and its decoder are trained on")
    universal_shape: Shape = Field((2, 32), description="passes and width of a decoder of one block that is shared")
    planted_runs: int = Field(40, ge=8, description="runs drawn from a planted law")
    planted_repeats: int = Field(50, ge=4, description="times that is done")
    bootstrap: int = Field(100, ge=20, description="refits behind intervals of fits")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.short_context >= self.context:
            raise ValueError(f"short_context {self.short_context} is not below context {self.context}")
        if self.universal_shape[0] < 2:
            raise ValueError("universal_shape needs two passes or more")
        if len(set(self.sizes)) < len(self.sizes):
            raise ValueError("sizes holds one twice")
        return self


PRESETS = {
    "quick": Config(),
    "full": Config.model_validate(
        {
            "text": 12_000_000,
            "rows": 512,
            "sizes": ((1, 8), (2, 16), (2, 32), (3, 48), (4, 64), (4, 96)),
            "tokens": 5_000_000,
            "data_sizes": ((2, 16), (2, 32), (3, 48), (4, 64)),
            "subsets": (20_000, 60_000, 200_000, 600_000, 2_000_000),
            "data_tokens": 2_500_000,
            "budgets": (1e12, 3e12, 1e13),
            "compute_sizes": ((2, 16), (2, 32), (3, 48), (4, 64), (4, 96), (6, 128)),
            "shapes": ((1, 128), (2, 88), (4, 64), (8, 44), (16, 32)),
            "shape_tokens": 2_000_000,
            "mlp_ratios": (0.5, 1.0, 2.0, 8.0),
            "universal_shape": (4, 64),
            "batch_shape": (3, 48),
            "batch_tokens": 5_000_000,
            "schedule_shape": (3, 48),
            "schedule_tokens": 2_000_000,
            "recurrent_shapes": ((2, 32), (3, 48), (4, 64)),
            "recurrent_tokens": 3_000_000,
            "context": 128,
            "batch": 16,
            "bootstrap": 300,
        }
    ),
    "paper": Config.model_validate(
        {
            "text": 23_000_000_000,
            "vocabulary": 50_257,
            "context": 1024,
            "batch": 512,
            "rows": 4_096,
            "points": 100,
            "sizes": ((2, 128), (4, 256), (6, 512), (12, 768), (24, 1024), (36, 1280), (48, 1600)),
            "tokens": 131_000_000_000,
            "data_sizes": ((4, 256), (6, 512), (12, 768), (36, 1280)),
            "subsets": (22_000_000, 86_000_000, 344_000_000, 1_370_000_000, 22_000_000_000),
            "data_tokens": 22_000_000_000,
            "budgets": (1e17, 1e18, 1e19, 1e20),
            "compute_sizes": ((4, 256), (6, 384), (6, 512), (8, 640), (12, 768), (24, 1024)),
            "shapes": ((6, 4288), (12, 3072), (24, 2144), (48, 1600)),
            "shape_tokens": 131_000_000_000,
            "mlp_ratios": (1.0, 2.0, 8.0),
            "universal_shape": (6, 512),
            "batch_shape": (6, 384),
            "batches": (4, 16, 64, 256, 1024, 4096),
            "batch_tokens": 20_000_000_000,
            "schedule_shape": (6, 384),
            "schedule_tokens": 10_000_000_000,
            "recurrent_shapes": ((4, 256), (6, 512)),
            "recurrent_tokens": 20_000_000_000,
            "bootstrap": 1_000,
        }
    ),
}

REFIT, PITFALL, CORRECTION = "Hoffmann et al., refitted", "Besiroglu et al.", "Pearce and Song; Porian et al."
OF_A = "of a, parameters ∝ FLOPs^a"

KNOWN = [  # published data, planted laws and the paper's own constants: nothing is trained, so no null can remove them
    Claim("chinchilla-irreducible", "E of the Chinchilla points.", REFIT, Between(1.807, 1.827, "nats"), False),
    Claim("chinchilla-alpha", "Exponent of parameters.", REFIT, Between(0.342, 0.352, "exponent"), False),
    Claim("chinchilla-beta", "Exponent of tokens.", REFIT, Between(0.357, 0.377, "exponent"), False),
    Claim("chinchilla-allocation", "Parameters and data grow alike.", REFIT, Between(0.504, 0.524, "exponent"), False),
    Claim("chinchilla-spread", "How well the points know it.", REFIT, Between(0.015, 0.025, "sd " + OF_A), False),
    Claim("mean-misleads", "A mean Huber loss at ordinary tolerance stops early.", PITFALL, AtLeast(0.02, OF_A), False),
    Claim("strict-agrees", "At strict tolerance mean and sum agree.", PITFALL, AtMost(1e-3, OF_A), False),
    Claim("planted-exponents", "Planted exponents are found.", "Section 4", AtMost(0.05, "relative error"), False),
    Claim("planted-coverage", "Their 90 % intervals hold them.", "Section 4", Between(0.8, 0.97, "of repeats"), False),
    Claim("chinchilla-plan", "Published laws plan Chinchilla's budget.", REFIT, AtMost(0.03, "relative error"), False),
    Claim("kaplan-plan", "The paper's plan for 10 PF-days.", "Table 6", AtMost(0.03, "relative error"), False),
    Claim("enough-data", "A billion parameters need 2.4e10 tokens.", "Equation 4.4", AtMost(0.03, "relative"), False),
    Claim(
        "compute-exponent", "L(C_min) follows from the others.", "Equation 6.4", Between(0.0522, 0.0526, "α_C"), False
    ),
    Claim("suboptimal-cost", "0.6 to 2.2 times the best size costs 20 %.", "Figure 12", AtMost(0.2, "more"), False),
    Claim("suboptimal-steps", "2.2 times saves 45 % of steps.", "Figure 12", Between(0.44, 0.46, "fewer"), False),
    Claim("contradiction", "The laws meet near 1e4 PF-days.", "Figure 15", AtMost(1.0, "decades away"), False),
    Claim(
        "pearce-non-embedding",
        "Chinchilla's law without embeddings looks like Kaplan's.",
        CORRECTION,
        Between(0.74, 0.82, "exponent"),
        False,
    ),
    Claim("pearce-total", "With them it is Chinchilla's.", CORRECTION, Between(0.50, 0.52, "exponent"), False),
    Claim("porian-staircase", "Repairs lead from 0.84 to 0.50.", CORRECTION, AtMost(0.02, "from each step"), False),
    Claim("parabola-bias", "Parabolas are biased without noise.", "Czech et al.", AtLeast(0.01, "exponent"), False),
    Claim("projection-exact", "Variable projection is not.", "Czech et al.", AtMost(1e-6, "exponent"), False),
]

NATS = "nats"
LARGEST, COUNT = "of what all batches reach", "of non-embedding minus total"
TRAINED = [
    Claim(
        "larger-is-better",
        "At equal tokens the loss falls with every size (losses rounded to 0.02 nats, the paper's spread of seeds).",
        "Figure 1",
        AtMost(-1, "rank correlation"),
    ),
    Claim("size-law", "A power law and a constant describe L(N).", "Equation 1.1", AtLeast(0.98, "of the variance")),
    Claim(
        "power-not-logarithm",
        "A power law describes L(N) better than a logarithm.",
        "Figure 23",
        AtMost(0.9, "of its squared error"),
    ),
    Claim("seed-spread", "Seeds hardly matter.", "Section 4.2", AtMost(0.02, "nats, sd"), False),
    Claim("sample-efficiency", "Larger models need fewer tokens.", "Figure 2", AtLeast(2, "times fewer tokens")),
    Claim(  # flat curves are described as well
        "learning-curves", "L(N, S) describes learning curves.", "Equation 1.6", AtMost(0.03, "nats, median"), False
    ),
    Claim("position-exponent", "Larger models gain more along the context.", "Figure 20", AtLeast(0.01, "exponent")),
    Claim("other-text", "Loss on other text moves along.", "Figure 8", Between(0.7, 1.3, "nats per nat")),
    Claim("overfitting", "Little data costs a large model.", "Figure 9", AtLeast(0.02, "of the loss")),
    Claim("overfitting-collapse", "The cost is one function of N^x / D.", "Figure 9", AtLeast(0.9, "rank correlation")),
    Claim(  # whatever is learned: the bound follows from data that repeat
        "early-stop", "Runs stop no earlier than a bound from L(N, S).", "Equation 5.7", AtLeast(0.9, "of runs"), False
    ),
    Claim("inner-minima", "Every budget has a best size inside.", "Figure 14", AtLeast(1, "of the budgets")),
    Claim("counting", "Without embeddings the best size grows faster.", CORRECTION, AtLeast(0.1, "exponent, " + COUNT)),
    Claim(  # flat losses are predicted as well
        "held-out-budget", "Smaller budgets predict the largest.", "Section 6", AtMost(0.05, "nats, mean"), False
    ),
    Claim("shape", "Shape hardly matters at one size.", "Figure 5", AtMost(0.05, "of the loss"), False),
    Claim("mlp-width", "Nor does the width of the MLP.", "Figure 5", AtMost(0.05, "of the loss"), False),
    Claim("critical-batch", "The critical batch grows as the loss falls.", "Figure 10", AtLeast(1, "times")),
    Claim(  # the noise drowns the gradient as the loss falls, whatever is learned, frequencies too
        "noise-scale", "So does the gradient noise scale.", "Section 5.1", AtLeast(2, "times"), False
    ),
    # Frequencies alone take steps and compute as well, so that these four hold without text:
    Claim(
        "batch-correction",
        "Corrected steps to a loss are the same for every batch.",
        "Equation 5.4",
        AtMost(0.5, "of the spread of plain steps"),
        False,
    ),
    Claim(
        "corrected-curves", "L(N, S_min) describes learning curves.", "Figure 4", AtMost(0.03, "nats, median"), False
    ),
    Claim("compute-law", "L(C), L(C_min) are power laws.", "Figures 1, 13", AtLeast(0.98, "of the variance"), False),
    Claim("corrected-exponent", "L(C_min) falls slower than L(C).", "Table 5", AtMost(1.0, "of its exponent"), False),
    Claim("schedule-mismatch", "A schedule that is cut short costs.", "Appendix D.6", AtLeast(0.02, NATS)),
    Claim("schedule-shapes", "How it decays hardly matters.", "Figure 22", AtMost(0.05, "nats, range"), False),
    Claim("short-context", "A short context is better on first tokens.", "Figure 20", AtLeast(0.005, NATS)),
    Claim("lstm-plateau", "An LSTM gains less from late context.", "Figure 7", AtLeast(0.02, "nats more behind")),
    Claim("universal-parameters", "A shared layer passed again helps.", "Figure 17", AtLeast(0.01, NATS)),
    Claim("universal-compute", "Layers of their own help more.", "Figure 17", AtLeast(0.01, NATS)),
]

CLAIMS = [*KNOWN, *TRAINED]


def run(config: Config, run: Run) -> None:
    """Test what is known, then train the ladder once and read every law off it."""
    from windtunnel.studies.neural_scaling_laws.known import planted, published
    from windtunnel.studies.neural_scaling_laws.trained import train_and_read

    if "published" in config.experiments:
        published(config, run)
    if "planted" in config.experiments:
        planted(config, run)
    train_and_read(config, run)
