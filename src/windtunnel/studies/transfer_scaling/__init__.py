"""Scaling Laws for Transfer (Hernandez et al., 2021; arXiv:2102.01293).

Small models learn Python from scratch, after English, and after half English and half other code, over a grid of sizes
and of amounts of Python, each stopped at its best held-out loss. The data from scratch that would have given the same
loss say what the pre-training was worth: the effective data transferred, its law, where it turns into harm, and what
it saves in compute. Two synthetic languages of known proximity check the instrument against the truth, planted laws
its estimators, and the published constants its calculator.
"""

from typing import Literal, Self

from pydantic import Field, PositiveInt, model_validator

from windtunnel.laboratory.claims import AtLeast, AtMost, Between, Claim
from windtunnel.laboratory.run import Run
from windtunnel.laboratory.study import StudyConfig

Experiment = Literal[
    "few-shot",
    "planted",
    "definition",
    "law",
    "size",
    "compute",
    "ossification",
    "unified",
    "enough-data",
    "regimes",
    "epochs",
    "contamination",
    "forms",
    "proximity",
]

ON_TEXT: tuple[Experiment, ...] = (
    "definition",
    "law",
    "size",
    "compute",
    "ossification",
    "unified",
    "enough-data",
    "regimes",
    "epochs",
    "contamination",
)
"""Experiments that train models on English and Python."""


class Config(StudyConfig):
    """What is trained, on what, and what is measured."""

    experiments: tuple[Experiment, ...] = Field(
        ("few-shot", "planted", *ON_TEXT, "proximity"), min_length=1, description="which of the paper's experiments"
    )
    text: str = Field("offline-english", description="corpus of pre-training")
    other_code: str = Field("offline-code", description="corpus of the other half of the mixture")
    target: str = Field("offline-python", description="corpus that is fine-tuned on")
    vocabulary: int = Field(259, ge=259, description="token types; 259: bytes, so that tokens are characters")
    widths: tuple[PositiveInt, ...] = Field((16, 32, 48), min_length=2, description="residual stream of each size")
    layers: int = Field(2, ge=1, description="transformer blocks")
    head_width: int = Field(16, ge=2, description="width of an attention head")
    context: int = Field(64, ge=8, description="tokens")
    pretraining_tokens: int = Field(524_288, ge=1_024, description="tokens of pre-training, each read once")
    finetuning: tuple[PositiveInt, ...] = Field(
        (1_024, 4_096, 16_384), min_length=2, description="tokens of the target fine-tuned on: the D_F of the law"
    )
    saturating: tuple[PositiveInt, ...] = Field(
        (262_144,), description="more D_F, for the smallest size pre-trained on text: beyond what it needs"
    )
    scratch: tuple[PositiveInt, ...] = Field(
        (1_024, 4_096, 16_384, 65_536, 262_144), min_length=3, description="tokens of the target, from scratch"
    )
    seeds: int = Field(2, ge=1, le=100, description="repetitions: other data, other initial weights")
    batch_size: int = Field(8, ge=1, description="rows per step")
    steps: int = Field(900, ge=20, description="most steps of a run on the target")
    patience: float = Field(1.6, gt=1, description="a run ends at this multiple of its best step")
    learning_rates: tuple[float, ...] = Field((3e-3,), min_length=1, description="AdamW; the best for each run is kept")
    pretraining_rate: float = Field(3e-3, gt=0, description="peak learning rate of pre-training")
    warmup_steps: int = Field(20, ge=0, description="steps; few, so that no run ends inside them")
    held_out_rows: int = Field(64, ge=8, description="rows that choose the stop, and as many others that are reported")
    trace: float = Field(0.003, gt=0, lt=1, description="share of the target in contaminated pre-training")
    bootstrap: int = Field(200, ge=20, description="refits to resampled clusters (size, seed)")
    plantings: int = Field(100, ge=20, description="planted laws that each estimator is tested on")
    proximities: tuple[float, ...] = Field((0.0, 0.25, 0.5, 0.75, 1.0), min_length=3, description="shared fractions ρ")
    symbols: int = Field(32, ge=8, description="token types of the synthetic languages")
    synthetic_context: int = Field(32, ge=8, description="tokens their models read")
    synthetic_widths: tuple[PositiveInt, ...] = Field((32,), min_length=1, description="sizes of their models")
    synthetic_finetuning: tuple[PositiveInt, ...] = Field((512, 2_048), min_length=2, description="tokens, D_F")
    synthetic_scratch: tuple[PositiveInt, ...] = Field(
        (512, 2_048, 8_192, 32_768), min_length=3, description="tokens, from scratch"
    )
    synthetic_pretraining: tuple[PositiveInt, ...] = Field((65_536,), min_length=1, description="tokens of the source")
    synthetic_seeds: int = Field(3, ge=1, le=100, description="repetitions, each with languages of its own")
    synthetic_steps: int = Field(300, ge=20, description="most steps of a run on the synthetic target")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        for width in self.widths:
            if width % self.head_width:
                raise ValueError(f"width {width} is not divisible by head_width {self.head_width}")
        for ours, theirs, context in (
            (self.finetuning, self.scratch, self.context),
            (self.synthetic_finetuning, self.synthetic_scratch, self.synthetic_context),
        ):
            if not set(ours) <= set(theirs):
                raise ValueError(f"D_F {ours} must be among the sizes trained from scratch {theirs}")
            if min(theirs) < context:
                raise ValueError(f"{min(theirs)} tokens do not fill one context of {context}")
        if not set(self.saturating) <= set(self.scratch):
            raise ValueError(f"saturating {self.saturating} must be among the sizes trained from scratch")
        return self


PRESETS = {
    "quick": Config(),
    "full": Config(
        experiments=("few-shot", "planted", *ON_TEXT, "forms", "proximity"),
        widths=(16, 32, 64, 96, 128),
        context=128,
        pretraining_tokens=2_097_152,
        finetuning=(1_024, 4_096, 16_384, 65_536),
        saturating=(262_144, 1_048_576),
        scratch=(1_024, 4_096, 16_384, 65_536, 262_144, 1_048_576),
        steps=2_500,
        learning_rates=(3e-3,),
        held_out_rows=256,
        bootstrap=500,
        synthetic_pretraining=(16_384, 65_536, 262_144),
        synthetic_finetuning=(512, 2_048, 8_192),
        synthetic_scratch=(512, 2_048, 8_192, 32_768, 131_072),
        synthetic_widths=(16, 32, 64),
        synthetic_seeds=3,
        synthetic_steps=600,
    ),
    "paper": Config(
        experiments=("few-shot", "planted", *ON_TEXT, "forms", "proximity"),
        vocabulary=50_257,
        widths=(128, 256, 512, 1_024, 2_048),
        layers=12,
        head_width=64,
        context=2_048,
        pretraining_tokens=6_000_000_000,
        finetuning=(32_768, 131_072, 524_288, 2_097_152, 8_388_608, 33_554_432),
        saturating=(536_870_912, 2_147_483_648),
        scratch=(32_768, 131_072, 524_288, 2_097_152, 8_388_608, 33_554_432, 134_217_728, 536_870_912, 2_147_483_648),
        seeds=1,
        batch_size=256,
        steps=250_000,
        learning_rates=(1e-3, 3e-4),
        pretraining_rate=1e-3,
        warmup_steps=3_000,
        held_out_rows=2_048,
        bootstrap=1_000,
    ),
}

FEW, LAW, IDENTITY = "Section 6.2", "Figure 2, Table 1", False
EFFECTIVE = "characters of effective data"

CLAIMS = [
    Claim(
        "few-shot-text",
        "A model of GPT-3's size pre-trained on text is worth 3.56e8 characters of Python at one character.",
        FEW,
        Between(0.98 * 3.56e8, 1.02 * 3.56e8, EFFECTIVE),
        IDENTITY,
    ),
    Claim(
        "few-shot-mixture",
        "Pre-trained on text and other code it is worth 3.93e9.",
        FEW,
        Between(0.98 * 3.93e9, 1.02 * 3.93e9, EFFECTIVE),
        IDENTITY,
    ),
    Claim(
        "few-shot-growth-text",
        "300 characters multiply that by 2.79 (text).",
        FEW,
        Between(0.98 * 2.79, 1.02 * 2.79, "times"),
        IDENTITY,
    ),
    Claim(
        "few-shot-growth-mixture",
        "300 characters multiply it by 1.73 (mixture).",
        FEW,
        Between(0.98 * 1.73, 1.02 * 1.73, "times"),
        IDENTITY,
    ),
    Claim(
        "model-or-data",
        "Ten times the model transfer as much as 129 times the fine-tuning data (text).",
        "Equation 1.2",
        Between(128, 130, "times the data"),
        IDENTITY,
    ),
    Claim(
        "planted-exponents",
        "Exponents of a planted law with 20 % noise are recovered.",
        "Appendix C",
        AtMost(0.05, "error of α or β, 95 % of plantings"),
        IDENTITY,
    ),
    Claim(
        "planted-censoring",
        "Censored cells do not bend the exponents.",
        "Appendix C",
        Between(-0.05, 0.05, "largest bias of α or β"),
        IDENTITY,
    ),
    Claim(
        "inversion",
        "Loss from scratch, inverted, gives back the data.",
        "Figure 1",
        AtMost(0.02, "largest relative error"),
        IDENTITY,
    ),
    Claim(
        "data-transferred",
        "In the low-data regime pre-training is worth data.",
        "Figure 1",
        AtLeast(0.8, "of low-data runs with D_T > 0"),
    ),
    Claim(
        "multiplier-falls",
        "The multiplier of the data falls with more of them as a power.",
        "Equation 1.2",
        Between(-1.1, -0.3, "slope of ln multiplier over ln D_F"),
    ),
    Claim("grows-with-size", "Bigger models transfer more data.", LAW, AtLeast(0, "β")),
    Claim(
        "closer-mixture",
        "Pre-training with other code is worth more than text alone.",
        LAW,
        AtLeast(1, "D_T of mixture / of text at the reference cell"),
    ),
    Claim(
        "size-matters-again",
        "With little data size helps fine-tuned models more than models from scratch.",
        "Figure 3",
        AtMost(-0.05, "nats per decade of N, fine-tuned − scratch"),
    ),
    Claim(
        "compute-frontier",
        "Leaving out the compute of pre-training, fine-tuning is on the frontier most of the time.",
        "Figures 4, 7 and 8",
        AtLeast(0.5, "of budgets, by their logarithm"),
    ),
    Claim(  # not an effect of what was read: the null removes the text, and pre-training may harm all the same
        "ossification",
        "With much data a small pre-trained model ends worse than one from scratch.",
        "Figures 5 and 6",
        AtLeast(0, "nats above the loss from scratch, which is D_T < 0; smallest size, most data"),
        False,
    ),
    Claim(
        "unified-law",
        "Losses follow from the law from scratch and the data transferred.",
        "Section 6.1",
        AtMost(0.5, "of the error of the law from scratch at D_F"),
    ),
    Claim(
        "fewer-epochs",
        "On the smallest data sets pre-trained models need fewer epochs.",
        "Appendix E",
        AtMost(0.5, "of the epochs from scratch"),
    ),
    Claim(
        "trace",
        "A trace of the target in pre-training more than doubles the effective data.",
        "Appendix F",
        AtLeast(2, "times the effective data at the least D_F"),
    ),
    Claim(
        "proximity-orders",
        "The closer the languages, the more data are transferred.",
        "Section 2, α as proximity",
        AtLeast(0.9, "Spearman correlation of D_T with ρ"),
    ),
    Claim(
        "ossification-detected",
        "A model of which half is frozen is found to be ossified.",
        "Figures 5 and 6, control",
        AtMost(0, "D_T / D_F"),
        False,
    ),
]


def run(config: Config, run: Run) -> None:
    """The published law, planted laws, the grid on text, and the languages of known proximity."""
    from windtunnel.studies.transfer_scaling.checks import check_estimators, few_shot
    from windtunnel.studies.transfer_scaling.proximity import languages_of_known_proximity
    from windtunnel.studies.transfer_scaling.text import text_to_code

    if "few-shot" in config.experiments:
        few_shot(run)
    if "planted" in config.experiments:
        check_estimators(config, run)
    if set(config.experiments) & set(ON_TEXT):
        text_to_code(config, run)
    if set(config.experiments) & {"proximity", "forms"}:
        languages_of_known_proximity(config, run)
