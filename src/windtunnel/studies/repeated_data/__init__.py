"""Scaling Laws and Interpretability of Learning from Repeated Data (Hernandez et al., 2022; arXiv:2205.10487).

Small decoders are trained on streams in which a subset of the windows is seen many times and the rest once, beside two
controls: as many unique tokens, and the unique part alone. The test loss is worst at a middling number of repeats, at
which the subset has just been memorised, and what a metric lost is told as a smaller model: the effective size of test
loss, of loss on other text (Python), of copying and of prefix matching. Copying is studied on a world of sequences that
quote themselves, in two-layer attention-only models. The published band of harm, the stream builder and a linear
regression that shows the same peak in closed form are checked beside them. The null control draws the content of every
copy anew.
"""

from typing import Annotated, Literal, Self

from pydantic import Field, PositiveInt, model_validator

from windtunnel.data.repetition import Mixture
from windtunnel.laboratory.claims import AtLeast, AtMost, Between, Claim
from windtunnel.laboratory.errors import UsageError
from windtunnel.laboratory.run import Run
from windtunnel.laboratory.study import StudyConfig

Experiment = Literal["instruments", "text", "fine-tuning", "copying", "canaries", "mitigation"]
ON_TEXT: tuple[Experiment, ...] = ("fine-tuning", "canaries", "mitigation")
Repeats = Annotated[int, Field(ge=2)]
Fraction = Annotated[float, Field(gt=0, lt=1)]


class Config(StudyConfig):
    """What is trained, on what streams, and what of it is measured."""

    experiments: tuple[Experiment, ...] = Field(
        ("instruments", "text", "fine-tuning", "copying"),
        min_length=1,
        description="instruments: identities and the regression companion; text: test loss against repeats, over time "
        "and other text; fine-tuning: on Python afterwards; canaries: planted secrets; mitigation: regularised models "
        "(these need text); copying: attention-only models on a world",
    )
    seeds: int = Field(3, ge=1, le=100, description="models of each kind on text")
    vocabulary: int = Field(512, ge=259, description="token types learned from the English")
    context: int = Field(64, ge=32, description="tokens in a window")
    layers: int = Field(2, ge=1, description="transformer blocks")
    heads: int = Field(4, ge=1, description="heads per layer")
    mlp: bool = Field(False, description="False: attention only; the models on the world have none in any case")
    widths: tuple[PositiveInt, ...] = Field((64,), min_length=1, description="sizes trained on repeated streams")
    control_widths: tuple[PositiveInt, ...] = Field((16, 32), description="further sizes of the control ladder")
    rows: int = Field(4_000, ge=16, description="windows in a stream, which is the budget of tokens over the context")
    fractions: tuple[Fraction, ...] = Field((0.5,), min_length=1, description="shares of the tokens that are repeated")
    repeats: tuple[Repeats, ...] = Field((10, 40, 100, 200, 1000), min_length=1, description="beside 1, the control")
    long_fraction: Fraction = Field(0.9, description="share repeated in the run that is followed over time")
    long_repeats: Repeats = Field(100, description="repeats in that run")
    batch_size: int = Field(8, ge=1, description="windows per step")
    learning_rate: float = Field(4e-3, gt=0, description="peak of AdamW, decaying as a cosine to a tenth")
    warmup_steps: int = Field(50, ge=0, description="steps")
    evaluations: int = Field(8, ge=2, description="times that losses are measured in a training")
    test_rows: int = Field(256, ge=8, description="held-out windows, before those that overlap training are left out")
    tuning_rows: int = Field(1_000, ge=8, description="windows of Python in fine-tuning")
    tuning_repeats: Repeats = Field(100, description="repeats of the damaged model that is fine-tuned")
    canary_repeats: tuple[PositiveInt, ...] = Field((1, 4, 16, 64), min_length=2, description="of planted secrets")
    canaries_each: int = Field(4, ge=1, description="secrets for each number of repeats")
    mitigations: tuple[Literal["dropout", "weight decay"], ...] = Field(
        ("dropout", "weight decay"), min_length=1, description="with which damaged models and controls are trained"
    )
    dropout: float = Field(0.2, gt=0, lt=1, description="of the models with dropout")
    weight_decay: float = Field(1.0, gt=0, description="of AdamW, of the models with weight decay")
    copying_seeds: int = Field(2, ge=1, le=100, description="models of each kind on the world")
    copying_vocabulary: int = Field(48, ge=16, description="token types of the world")
    copying_width: int = Field(64, ge=8, description="width of the models on repeated streams of the world")
    copying_controls: tuple[PositiveInt, ...] = Field((16, 32, 48), min_length=1, description="widths of the ladder")
    copying_smeared: bool = Field(True, description="smeared keys, with which induction heads form in few tokens")
    copying_rows: int = Field(8_000, ge=16, description="windows in a stream of the world")
    copying_batch: int = Field(16, ge=1, description="windows per step")
    copying_fraction: Fraction = Field(0.5, description="share repeated")
    copying_repeats: tuple[Repeats, ...] = Field((40, 100, 200), min_length=1, description="beside 1, the control")
    passages: int = Field(64, ge=2, description="passages said 11 times")
    draws: int = Field(300, ge=10, description="simulations of the regression for each number of repeats")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        for one in set(ON_TEXT) & set(self.experiments):
            if "text" not in self.experiments:
                raise ValueError(f"{one} needs the models of the experiment text; ask for both")
        if tuple(sorted(set(self.canary_repeats))) != self.canary_repeats:
            raise ValueError(f"canary_repeats {self.canary_repeats} must increase")
        for width in (*self.widths, *self.control_widths, self.copying_width, *self.copying_controls):
            if width % self.heads:
                raise ValueError(f"width {width} is not divisible by heads {self.heads}")
        if self.tuning_repeats not in self.repeats:
            raise ValueError(f"tuning_repeats {self.tuning_repeats} is none of the repeats {self.repeats}")
        if tuple(sorted(set(self.repeats))) != self.repeats:
            raise ValueError(f"repeats {self.repeats} must increase")
        try:
            self.mixtures()
        except UsageError as error:
            raise ValueError(str(error)) from None
        return self

    def mixtures(self) -> list[Mixture]:
        """Every repeated stream there is; what cannot be built is refused here."""
        text = [Mixture.of(self.rows, share, count) for share in self.fractions for count in self.repeats]
        long = Mixture.of(self.rows, self.long_fraction, self.long_repeats)
        world = [Mixture.of(self.copying_rows, self.copying_fraction, count) for count in self.copying_repeats]
        return [*text, long, *world]


QUICK = Config()

FULL = Config(
    experiments=("instruments", "text", *ON_TEXT, "copying"),
    vocabulary=1024,
    context=128,
    layers=3,
    mlp=True,
    widths=(32, 64, 96),
    control_widths=(16, 48),
    rows=16_000,
    fractions=(0.1, 0.5),
    repeats=(4, 10, 40, 100, 400, 1600),
    long_repeats=400,
    batch_size=16,
    seeds=2,
    tuning_rows=4_000,
    tuning_repeats=40,
    copying_seeds=3,
    copying_smeared=False,
    copying_rows=64_000,
    copying_batch=32,
    copying_fraction=0.1,
    copying_repeats=(40, 100, 400),
)

PAPER = Config(  # 12 decoders of 1.6 to 805 million parameters, 100 billion tokens each, for a cluster
    experiments=("instruments", "text", *ON_TEXT, "copying"),
    vocabulary=50_304,
    context=8_192,
    layers=12,
    heads=16,
    mlp=True,
    widths=(256, 512, 1024, 2048),
    control_widths=(128, 384, 768, 1536),
    rows=12_000_000,
    fractions=(0.03, 0.1, 0.2, 0.5, 0.9),
    repeats=(2, 10, 40, 100, 400, 1000, 4000, 10_000),
    long_repeats=1000,
    batch_size=64,
    learning_rate=6e-4,
    warmup_steps=3_000,
    seeds=1,
    evaluations=50,
    test_rows=1_024,
    tuning_rows=1_200_000,
    copying_seeds=5,
    copying_smeared=False,
    copying_rows=1_000_000,
    copying_fraction=0.5,
    copying_batch=64,
)

PRESETS = {"quick": QUICK, "full": FULL, "paper": PAPER}

NATS = "nats"
CLAIMS = [
    Claim("band-edges", "The band of harm has the paper's edges.", "Figure 4", AtMost(0.02, "relative error"), False),
    Claim("band-place", "100 repeats are inside it at 800M.", "Figure 4", AtLeast(1, "inside"), False),
    Claim("stream", "Streams are as asked and hold no test text.", "Figure 1", AtMost(0, "violations"), False),
    Claim(
        "regression-peak",
        "In a regression on duplicates the risk peaks at 16 repeats.",
        "Companion (arXiv:2606.24998)",
        Between(1.34, 1.50, "of the risk without repeats"),
        False,
    ),
    Claim(
        "regression-interior",
        "More repeats do it less harm again.",
        "Companion (arXiv:2606.24998)",
        AtLeast(0, "risk at 16 less risk at 200"),
        False,
    ),
    Claim(
        "regression-closed-form",
        "A closed form gives its risks.",
        "Companion (arXiv:2606.24998)",
        AtMost(0.03, "relative error"),
        False,
    ),
    Claim("inversion", "A planted effective size is recovered.", "Section 2", AtMost(0.05, "relative error"), False),
    Claim(
        "break-even",
        "Memorising pays from 9.1 % repeated tokens on, for losses 2.0 and 2.2.",
        "Section 5.1",
        Between(0.0905, 0.0915, "of the tokens"),
        False,
    ),
    Claim(
        "peak",
        "The test loss is worst at a middling number of repeats, where the repeated tokens are memorised.",
        "Figure 2",
        AtLeast(0.03, "nats above fewest and most repeats"),
    ),
    Claim(
        "worse-than-leaving-out",
        "There the repeated tokens do more harm than leaving them out.",
        "Figure 2",
        AtLeast(0.03, "nats above the unique part alone"),
    ),
    Claim("memorising-pays", "The training objective prefers it.", "Section 5.1", AtLeast(0.03, "nats lower")),
    Claim("double-descent", "In time the test loss rises and falls again.", "Figure 3", AtLeast(0.03, NATS)),
    Claim("effective-size", "The model is worth one of half its size.", "Figure 2", AtMost(0.5, "of its size")),
    Claim(
        "compute-equivalent",
        "It is worth unrepeated training of two thirds of its compute.",
        "Follow-up (arXiv:2606.24998)",
        AtMost(0.67, "of its compute"),
    ),
    Claim("other-text", "On Python it is worth a smaller one, too.", "Figure 10", AtMost(0.84, "of its size")),
    Claim("band-falls", "Larger models are harmed by fewer repeats.", "Figure 4", AtMost(0, "exponent of both edges")),
    Claim(
        "copying-suffers-more",
        "Copying loses more effective size than the test loss.",
        "Figure 5",
        AtLeast(0.7, "of the damaged models"),
    ),
    Claim("prefix-matching", "Prefix matching loses effective size.", "Figure 6", AtMost(0.68, "of its size")),
    Claim(
        "fine-tuning",
        "Fine-tuned on Python, the damaged model is worse than the control, and than one trained on it from scratch.",
        "Figures 11 and 12",
        AtLeast(0.03, "nats worse than either"),
    ),
    Claim(
        "canaries",
        "Secrets are remembered that were seen often, not those seen once.",
        "Beyond the paper (arXiv:1802.08232)",
        AtLeast(4, "bits of exposure gained"),
    ),
    Claim(
        "mitigation",
        "Strong regularisation takes away a third of the harm.",
        "Beyond the paper (arXiv:2605.01640)",
        AtMost(0.67, "of the harm is left"),
    ),
]


def run(config: Config, run: Run) -> None:
    """Check the instruments, train on repeated streams beside their controls, and compare."""
    from windtunnel.studies.repeated_data.copying import study_copying
    from windtunnel.studies.repeated_data.identities import check_instruments
    from windtunnel.studies.repeated_data.text import study_text

    if "instruments" in config.experiments:
        check_instruments(config, run)
    if "text" in config.experiments:
        study_text(config, run)
    if "copying" in config.experiments:
        study_copying(config, run)
