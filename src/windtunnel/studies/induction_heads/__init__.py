"""In-context Learning and Induction Heads (Olsson et al., 2022; arXiv:2209.11895).

Small transformers are trained and measured at dense snapshots: how much they learn from context, and which of their
heads match prefixes, copy, or look at the previous token. Two-layer models form induction heads in a short phase
change, in which most of their in-context learning appears; one-layer models never do, unless each key is smeared with
its predecessor; and ablating the induction heads takes the learning away again. With `--model` the heads of a given
model, or of a series of its checkpoints, are analysed in the same way.
"""

from typing import Literal, Self

from pydantic import Field, PositiveInt, model_validator

from windtunnel.laboratory.claims import AtLeast, AtMost, Between, Claim
from windtunnel.laboratory.run import Run
from windtunnel.laboratory.study import StudyConfig


class Config(StudyConfig):
    """What is trained, on what, and how it is measured."""

    corpus: Literal["pasted-segments", "text"] = Field("pasted-segments", description="a world, or the offline corpus")
    layers: tuple[PositiveInt, ...] = Field((1, 2), min_length=1, description="blocks of each plain model")
    smeared: tuple[PositiveInt, ...] = Field((1,), description="blocks of each model with smeared keys")
    mlps: tuple[bool, ...] = Field((False,), min_length=1, description="False: attention only; True: with MLPs")
    seeds: int = Field(3, ge=1, le=100, description="models of each kind, each seed with a language of its own")
    vocabulary: int = Field(48, ge=16, description="token types")
    context: int = Field(64, ge=64, description="tokens")
    width: int = Field(64, ge=8, description="width of the residual stream")
    heads: int = Field(4, ge=1, description="heads per layer")
    embedding_scale: float = Field(0.1, gt=0, description="standard deviation of the initial embedding")
    steps: int = Field(2_000, ge=4, description="optimizer steps")
    batch_size: int = Field(32, ge=1, description="sequences per step")
    learning_rate: float = Field(3e-3, gt=0, description="AdamW, constant after warm-up")
    warmup_steps: int = Field(100, ge=0, description="steps")
    evaluate_every: int = Field(50, ge=1, description="steps between measured snapshots")
    snapshot_every: int = Field(500, ge=1, description="steps between snapshots whose weights are kept")
    sequences: int = Field(128, ge=4, description="held-out sequences measured at every snapshot")
    probes: int = Field(10, ge=4, description="sequences of repeated random tokens")
    given_sequences: int = Field(4, ge=2, description="text sequences on which a given model is measured")
    given_heads: int = Field(
        6, ge=1, description="heads of a given model of more than 64 heads that are ablated singly"
    )
    controls: int = Field(4, ge=1, description="random sets of heads ablated beside the induction heads")

    @model_validator(mode="after")
    def _divides(self) -> Self:
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is not divisible by heads {self.heads}")
        return self


_TEXT = {"corpus": "text", "layers": (1, 2, 3), "smeared": (1, 2, 3), "mlps": (False, True), "seeds": 1}

PRESETS = {
    "quick": Config(),
    "full": Config.model_validate(
        {**_TEXT, "vocabulary": 1024, "context": 256, "width": 128, "heads": 8, "steps": 3_000, "warmup_steps": 300}
        | {"learning_rate": 2e-3}
    ),
    "paper": Config.model_validate(
        {**_TEXT, "layers": (1, 2, 3, 4, 5, 6), "smeared": (1, 2), "vocabulary": 2**16, "context": 8192, "width": 768}
        | {"heads": 12, "steps": 10_000, "batch_size": 128, "learning_rate": 1e-3, "warmup_steps": 1_430}
        | {"snapshot_every": 50, "sequences": 10_000}
    ),
}

PREFIX, COPIES, GAIN = "highest prefix-matching score", "loss of copy 2 / copy 1", "of the gain on copy 2"
TABLE, ONE, TWO, THREE, FIVE = "Model Analysis Table", "Argument 1", "Argument 2", "Argument 3", "Argument 5"

TRAINED = [
    Claim("untrained-heads", "Untrained heads match prefixes by chance.", TABLE, Between(0.02, 0.05, PREFIX), False),
    Claim(
        "untrained-context", "Untrained models learn nothing from context.", TABLE, Between(-0.05, 0.05, "nats"), False
    ),
    Claim("one-layer-heads", "One layer forms no induction head.", ONE, AtMost(0.10, PREFIX), False),
    Claim("one-layer-repeats", "One layer does not predict repeats.", ONE, AtLeast(3.5, "nats, copy 2"), False),
    Claim("one-layer-gain", "One layer gains little on repeats.", ONE, AtMost(0.25, "of the gain of two layers")),
    Claim("two-layer-heads", "Two attention-only layers form induction heads.", ONE, AtLeast(0.25, PREFIX)),
    Claim("two-layer-repeats", "Two layers predict random tokens said again.", ONE, AtMost(0.3, COPIES)),
    Claim(
        "co-occurrence",
        "Context learning and prefix matching rise together.",
        ONE,
        AtMost(200, "steps between steepest"),
    ),
    Claim("phase-change", "In-context learning forms in the phase window.", ONE, AtLeast(0.75, "of the final score")),
    Claim("smeared-heads", "Smeared keys give one layer induction heads early.", TWO, AtLeast(0.4, PREFIX)),
    Claim("smeared-earlier", "They form earlier than in two plain layers.", TWO, AtLeast(50, "steps earlier")),
    Claim("ablate-all", "Without all its induction heads a model loses its gain.", THREE, AtLeast(0.8, GAIN)),
    Claim("ablate-one", "Without one of them it loses a part.", THREE, Between(0.10, 0.35, GAIN)),
    Claim("ablate-previous", "The previous-token head carries the gain, too.", THREE, AtLeast(0.2, GAIN)),
    Claim("ablate-others", "Other first-layer heads do not.", THREE, AtMost(0.05, GAIN)),
    Claim(
        "last-layer-identity",
        "In the last layer, preserving patterns changes nothing.",
        "Appendix, ablations",
        AtMost(1e-6, "nats, largest difference"),
        False,
    ),
    Claim("key-composition", "Induction heads match tokens by K-composition.", FIVE, AtLeast(0, "QK trace per token")),
    Claim("two-components", "Two components describe the losses.", "Per-token losses", AtLeast(0.8, "of the variance")),
    Claim(
        "turn-in-window", "Per-token losses turn in the phase window.", "Per-token losses", AtMost(0, "steps outside")
    ),
    Claim(  # not an effect: two readings of the same weights agree whatever the weights have learned
        "copying-eigenvalues",
        "Heads that copy have OV circuits with positive eigenvalues.",
        FIVE,
        AtLeast(0.7, "correlation"),
        False,
    ),
]

GIVEN = [
    Claim("given-heads", "The model has induction heads.", "Arguments 4 and 6", AtLeast(0.4, PREFIX)),
    Claim("given-repeats", "The model predicts random tokens said again.", "Arguments 4 and 6", AtMost(0.5, COPIES)),
    Claim(
        "given-ablation", "It needs its induction heads for that more than others.", THREE, AtLeast(0.25, "nats more")
    ),
]

CLAIMS = [*TRAINED, *GIVEN]


def run(config: Config, run: Run) -> None:
    """Train and compare small models, or analyse the model that the user named."""
    from windtunnel.studies.induction_heads.given import analyse_given
    from windtunnel.studies.induction_heads.trained import compare_trained

    if run.model is None:
        compare_trained(config, run)
    else:
        analyse_given(config, run)
    for claim in GIVEN if run.model is None else TRAINED:
        needs = "a given model: name it with --model" if run.model is None else "models trained here: drop --model"
        run.conclude(claim.id, note=f"A claim about {needs}.")
