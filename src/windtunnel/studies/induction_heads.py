"""In-context Learning and Induction Heads (Olsson et al., 2022; arXiv:2209.11895).

Small transformers are trained and measured at dense snapshots: how much they learn from context, and which of their
heads match prefixes, copy, or look at the previous token. Two-layer models form induction heads in a short phase
change, in which most of their in-context learning appears; one-layer models never do, unless each key is smeared with
its predecessor; and ablating the induction heads takes the learning away again. With `--model` the heads of a given
model, or of a series of its checkpoints, are analysed in the same way.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from windtunnel.laboratory.claims import AtLeast, AtMost, Between, Claim
from windtunnel.laboratory.run import Run
from windtunnel.laboratory.study import StudyConfig

if TYPE_CHECKING:
    from windtunnel.data.sources import Source
    from windtunnel.interpretability.heads.growth import Growth
    from windtunnel.interpretability.heads.probes import Material
    from windtunnel.interpretability.heads.trajectories import LossTrajectories
    from windtunnel.models.interface import LanguageModel


class Config(StudyConfig):
    """What is trained, on what, and how it is measured."""

    corpus: Literal["pasted-segments", "text"] = Field("pasted-segments", description="a world, or the offline corpus")
    layers: tuple[int, ...] = Field((1, 2), description="blocks of each plain model")
    smeared: tuple[int, ...] = Field((1,), description="blocks of each model with smeared keys")
    mlps: tuple[bool, ...] = Field((False,), description="False: attention only; True: with MLPs")
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
    given_sequences: int = Field(6, ge=2, description="text sequences on which a given model is measured")
    given_heads: int = Field(
        8, ge=1, description="heads of a given model of more than 64 heads that are ablated singly"
    )
    controls: int = Field(4, ge=1, description="random sets of heads ablated beside the induction heads")


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

HELD_OUT = 2**40
"""First row of the held-out sequences: no training comes near it."""


@dataclass(frozen=True)
class Member:
    """One model to train: its kind, where it keeps its run, and the seed it shares with the other kinds."""

    layers: int
    smeared: bool
    mlp: bool
    config: Config
    run: Run
    shared_seed: int

    @property
    def kind(self) -> str:
        """What reports call this kind of model."""
        return f"{self.layers}-layer" + " smeared" * self.smeared + " with MLP" * self.mlp


def run(config: Config, run: Run) -> None:
    """Train and compare small models, or analyse the model that the user named."""
    if run.model is None:
        compare_trained(config, run)
    else:
        analyse_given(config, run)
    for claim in GIVEN if run.model is None else TRAINED:
        needs = "a given model: name it with --model" if run.model is None else "models trained here: drop --model"
        run.conclude(claim.id, note=f"A claim about {needs}.")


def compare_trained(config: Config, run: Run) -> None:
    """Arguments 1, 2, 3 and 5: train every kind of model with every seed, then compare."""
    from windtunnel.interpretability.heads.growth import Growth
    from windtunnel.interpretability.heads.report import joint_trajectories, show_formation, show_heads
    from windtunnel.laboratory.sweeps import sweep, values

    members = family(config, run)
    with run.watch([member.run for member in members]):
        measured = values(sweep(train_member, members, workers=run.workers))
    grown: dict[str, list[Growth]] = {}
    for member, found in sorted(zip(members, measured, strict=True), key=lambda pair: pair[0].kind):
        grown.setdefault(member.kind, []).append(Growth(**found))
    run.section("The phase change", "Arguments 1 and 2: what forms when, in models that can and cannot compose heads.")
    show_formation(grown, run)
    run.section("The heads at the end of training", "Arguments 3 and 5: what they do, and what is lost without them.")
    shown = "2-layer" if "2-layer" in grown else next(iter(grown))
    show_heads(f"a {shown} model", grown[shown][0].table, run, key="trained")
    conclude_trained(config, grown, joint_trajectories(grown), run)


def family(config: Config, run: Run) -> list[Member]:
    """Every kind of model with every seed, the most layers first so that the workers end together."""
    kinds = [(layers, False, mlp) for mlp in config.mlps for layers in config.layers]
    kinds += [(layers, True, mlp) for mlp in config.mlps for layers in config.smeared]
    members = []
    for layers, smeared, mlp in sorted(kinds, reverse=True):
        for number in range(config.seeds):
            name = f"{layers}-layer" + "-smeared" * smeared + "-mlp" * mlp + f"-seed-{number}"
            members.append(Member(layers, smeared, mlp, config, run.child(name), run.seed_for("shared", number)))
    return members


def train_member(member: Member) -> dict[str, Any]:
    """Train one model, measuring every snapshot, and analyse the last; a finished member is read back."""
    return member.run.stage("analysis", lambda: _train_member(member))


def _train_member(member: Member) -> dict[str, Any]:
    import torch

    from windtunnel.interpretability.heads.grow import grow
    from windtunnel.models.interface import from_module
    from windtunnel.models.transformer import Transformer, TransformerConfig
    from windtunnel.training.configuration import TrainingConfig

    config, run = member.config, member.run
    shape = TransformerConfig(
        vocabulary=config.vocabulary,
        context=config.context,
        layers=member.layers,
        width=config.width,
        heads=config.heads,
        mlp_ratio=4.0 if member.mlp else None,
        positions="sinusoidal_qk",
        smeared_keys=member.smeared,
        embedding_scale=config.embedding_scale,
        weight_scale=(3 * config.width) ** -0.5,  # the spread of PyTorch's uniform initial weights
        residual_scaling=False,
    )
    training = TrainingConfig(
        steps=config.steps,
        batch_size=config.batch_size,
        learning_rate=config.learning_rate,
        schedule="constant",
        warmup_steps=config.warmup_steps,
        betas=(0.9, 0.98),
        weight_decay=0.01,
        clip=None,
        precision="fp32" if run.device == "cpu" else "auto",
        evaluate_every=config.evaluate_every,
        snapshots=tuple(range(0, config.steps + 1, config.snapshot_every)),
        seed=run.seed,
    )
    source = language(config, member.shared_seed, run.null)
    model = Transformer(shape, torch.Generator().manual_seed(run.seed))
    material = held_out(config, source, from_module(model), member.shared_seed)
    generator = run.generator("controls")
    return grow(model, source, material, training, run, generator=generator, controls=config.controls)


def language(config: Config, seed: int, null: bool) -> "Source":
    """What the models learn from; for the null control, the same with nothing to copy."""
    from windtunnel.data.worlds.copying import PastedSegments

    return PastedSegments(config.vocabulary, config.context, seed, pastes=0 if null else 2)


def held_out(config: Config, source: "Source", model: "LanguageModel", seed: int) -> "Material":
    """What all models of one seed are measured on: sequences far from those trained on, and repeated tokens."""
    import torch

    from windtunnel.interpretability.heads.probes import material, repeated_probe

    generator = torch.Generator().manual_seed(seed)
    text = source.rows(HELD_OUT, config.sequences)["tokens"][:, : min(config.context, 512)]
    return material(repeated_probe(model, generator=generator, sequences=config.probes), text, generator)


def conclude_trained(
    config: Config, grown: "Mapping[str, Sequence[Growth]]", joint: "Sequence[LossTrajectories]", run: Run
) -> None:
    """Hold the models against the claims: the value is the mean over seeds, the interval their range."""
    import numpy as np

    from windtunnel.interpretability.heads.growth import over_seeds
    from windtunnel.interpretability.heads.scores import strongest
    from windtunnel.statistics.comparisons import correlation

    one, two, smeared = (grown.get(kind, []) for kind in ("1-layer", "2-layer", "1-layer smeared"))
    everyone = [growth for models in grown.values() for growth in models]

    def conclude(claim: str, values: Any, evidence: str = "formation", note: str = "") -> None:
        run.conclude(claim, over_seeds(values), evidence=evidence, note=note or "Interval: range over seeds.")

    conclude("untrained-heads", [growth.highest("prefix_matching")[0] for growth in everyone])
    conclude("untrained-context", [growth.in_context[0] for growth in everyone])
    conclude("one-layer-heads", [growth.highest("prefix_matching").max() for growth in one])
    conclude("one-layer-repeats", [growth.copies[1] for growth in one], "copies")
    pairs = list(zip(one, two, strict=False))
    conclude("one-layer-gain", [a.gain / b.gain if b.forms_induction_heads else None for a, b in pairs], "copies")
    conclude("two-layer-heads", [growth.highest("prefix_matching")[-1] for growth in two])
    conclude("two-layer-repeats", [growth.copies[1] / growth.copies[0] for growth in two], "copies")
    conclude("co-occurrence", [growth.lag for growth in two])
    conclude("phase-change", [growth.window.share if growth.window else None for growth in two])
    early = config.steps // 5
    conclude("smeared-heads", [growth.highest("prefix_matching")[growth.steps <= early].max() for growth in smeared])
    onsets = [(a.onset, b.onset) for a, b in zip(smeared, two, strict=False)]
    conclude("smeared-earlier", [None if a is None or b is None else b - a for a, b in onsets])
    able = [growth for growth in two if growth.induction_heads]
    conclude("ablate-all", [growth.removed_by_all() for growth in able], "trained-ablations")
    each = "Mean over heads and seeds; interval: their range."
    single = [growth.removed_by(head) for growth in able for head in growth.induction_heads]
    conclude("ablate-one", single, "trained-ablations", each)
    carriers = [strongest(growth.table["measured"]["previous_token"][:1], 1)[0] for growth in able]
    removed = [growth.removed_by(head) for growth, head in zip(able, carriers, strict=True)]
    conclude("ablate-previous", removed, "trained-ablations")
    others = [
        growth.removed_by((0, head))
        for growth in able
        for head in range(config.heads)
        if growth.score("previous_token", (0, head)) <= 0.1
    ]
    conclude("ablate-others", others, "trained-ablations", each)
    conclude("last-layer-identity", [growth.difference_in_last_layer() for growth in everyone], "trained-ablations")
    traces = [growth.score("qk_trace", head) for growth in able for head in growth.induction_heads if head[0] > 0]
    conclude("key-composition", traces, "trained-heads", each)
    changed = any(growth.window for growth in two)
    conclude("two-components", [sum(found.explained) for found in joint if changed], "per-token-losses")
    paths = [found.coordinates[list(grown).index("2-layer")] for found in joint if two]
    conclude("turn-in-window", [a.turn(path) for a, path in zip(two, paths, strict=False)], "per-token-losses")
    scores = [
        [growth.table["measured"][name].ravel() for growth in everyone] for name in ("copying", "copying_eigenvalues")
    ]
    agreement = correlation(*(np.concatenate(values) for values in scores))
    run.conclude("copying-eigenvalues", agreement, evidence="trained-heads", note="Over all heads of all models.")


def analyse_given(config: Config, run: Run) -> None:
    """Arguments 3, 4 and 6: the heads of the model named by the user, and its formation if it left checkpoints."""
    import torch

    from windtunnel.interpretability.heads.analysis import analysis_table
    from windtunnel.interpretability.heads.controls import forget
    from windtunnel.interpretability.heads.growth import Growth
    from windtunnel.interpretability.heads.report import show_formation, show_given, show_heads
    from windtunnel.interpretability.heads.snapshots import checkpoint_series, measure_series
    from windtunnel.models.interface import load

    assert run.model is not None
    model = load(run.model, device=run.device)
    if run.null:
        forget(model, torch.Generator().manual_seed(run.seed))
    material = given_material(config, model, run)
    few = model.shape.layers * model.shape.heads <= 64
    singles = None if few else config.given_heads
    draws = run.generator("sets")
    table = run.stage(
        "analysis",
        lambda: analysis_table(model, material, generator=draws, singles=singles, controls=config.controls),
    )
    name = model.name.rstrip("/").rsplit("/", 1)[-1]  # of a path or hub name the last part
    series = checkpoint_series(run.model)
    if len(series) >= 4 and not run.null:
        run.section("The phase change", f"{len(series)} checkpoints.")
        trajectory = run.stage("trajectory", lambda: measure_series(series, material, run.device))
        show_formation({name: [Growth(trajectory, table)]}, run)
    run.section("The heads", "Arguments 3, 4 and 6: what they attend to and copy, and what is lost without them.")
    show_heads(name, table, run, key="given")
    show_given(name, table, run)
    conclude_given(table, run)


def given_material(config: Config, model: "LanguageModel", run: Run) -> "Material":
    """What a given model is measured on: repeated tokens, and natural text where it has a tokenizer."""
    import torch

    from windtunnel.data.worlds.copying import PastedSegments
    from windtunnel.interpretability.heads.probes import material, repeated_probe

    generator = torch.Generator().manual_seed(run.seed_for("material"))
    probe = repeated_probe(model, generator=generator, sequences=config.probes)
    length = min(model.shape.context, 512)
    world = PastedSegments(min(model.shape.vocabulary, 512), length, run.seed_for("language"))
    text = world.rows(0, config.given_sequences)["tokens"][:, :length]
    return material(probe, text, generator)


def conclude_given(table: "Mapping[str, Any]", run: Run) -> None:
    """Hold the given model against its claims, with intervals over the probes."""
    from windtunnel.statistics.comparisons import paired_difference
    from windtunnel.statistics.intervals import bootstrap

    def mean(values: Any, name: str) -> Any:
        return bootstrap(values, generator=run.generator("interval", name))

    copies = table["whole"]["copies"][0]
    run.conclude("given-heads", mean(table["prefix_by_sequence"], "heads"), evidence="given-heads")
    run.conclude("given-repeats", mean(copies[:, 1] / copies[:, 0], "repeats"), evidence="given-copies")
    without, others = (table[kind]["copies"][:, :, 1:].mean(axis=(0, 2)) for kind in ("together", "random"))
    difference = paired_difference(without, others, generator=run.generator("interval", "ablation"))
    count = len(table["induction"])
    note = f"{count} heads, against {len(table['random']['copies'])} sets of as many others, on copies after the first."
    run.conclude("given-ablation", difference.difference, evidence="given-copies", note=note)
