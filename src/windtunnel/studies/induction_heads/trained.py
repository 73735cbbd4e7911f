"""Arguments 1, 2, 3 and 5: small models are trained, measured at every snapshot, and compared."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from windtunnel.data.packing import PackedSource, TokenFile
from windtunnel.data.preparation import prepare
from windtunnel.data.sources import Source
from windtunnel.data.tokenizers import load as load_tokenizer
from windtunnel.data.worlds.copying import PastedSegments
from windtunnel.data.worlds.entropy import Unigram
from windtunnel.interpretability.heads.grow import grow
from windtunnel.interpretability.heads.growth import Growth, over_seeds
from windtunnel.interpretability.heads.probes import material, repeated_probe
from windtunnel.interpretability.heads.report import joint_trajectories, show_formation, show_heads
from windtunnel.interpretability.heads.scores import strongest
from windtunnel.interpretability.heads.trajectories import LossTrajectories
from windtunnel.laboratory.run import Run
from windtunnel.laboratory.sweeps import Backend, sweep, values
from windtunnel.models.interface import from_module
from windtunnel.models.transformer import Transformer, TransformerConfig
from windtunnel.statistics.comparisons import correlation
from windtunnel.training.configuration import TrainingConfig

if TYPE_CHECKING:
    from windtunnel.studies.induction_heads import Config

HELD_OUT = 2**40
"""First row of the held-out sequences: no training comes near it."""


@dataclass(frozen=True)
class Member:
    """One model to train: its kind, where it keeps its run, and the seed it shares with the other kinds."""

    layers: int
    smeared: bool
    mlp: bool
    config: "Config"
    run: Run
    shared_seed: int
    corpus: Path

    @property
    def kind(self) -> str:
        """What reports call this kind of model."""
        return f"{self.layers}-layer" + " smeared" * self.smeared + " with MLP" * self.mlp


def compare_trained(config: "Config", run: Run) -> None:
    """Arguments 1, 2, 3 and 5: train every kind of model with every seed, then compare."""
    members = family(config, run)
    if config.corpus == "text":
        run.note("learning a vocabulary from the offline English and writing its tokens")
        prepare("offline-english", members[0].corpus, config.vocabulary)
    backend: Backend = "processes" if run.workers > 1 else "in-process"
    with run.watch([member.run for member in members]):
        measured = values(sweep(train_member, members, backend=backend, workers=run.workers))
    grown: dict[str, list[Growth]] = {}
    for member, found in sorted(zip(members, measured, strict=True), key=lambda pair: pair[0].kind):
        grown.setdefault(member.kind, []).append(Growth(**found))
    run.section("The phase change", "Arguments 1 and 2: what forms when, in models that can and cannot compose heads.")
    show_formation(grown, run)
    run.section("The heads at the end of training", "Arguments 3 and 5: what they do, and what is lost without them.")
    shown = "2-layer" if "2-layer" in grown else next(iter(grown))
    show_heads(f"a {shown} model", grown[shown][0].table, run, key="trained")
    conclude_trained(config, grown, joint_trajectories(grown), run)


def family(config: "Config", run: Run) -> list[Member]:
    """Every kind of model with every seed, the most layers first so that the workers end together."""
    kinds = [(layers, False, mlp) for mlp in config.mlps for layers in config.layers]
    kinds += [(layers, True, mlp) for mlp in config.mlps for layers in config.smeared]
    members = []
    for layers, smeared, mlp in sorted(kinds, reverse=True):
        for number in range(config.seeds):
            name = f"{layers}-layer" + "-smeared" * smeared + "-mlp" * mlp + f"-seed-{number}"
            shared = run.seed_for("shared", number)
            members.append(Member(layers, smeared, mlp, config, run.child(name), shared, run.directory / "corpus"))
    return members


def train_member(member: Member) -> dict[str, Any]:
    """Train one model, measuring every snapshot, and analyse the last; a finished member is read back."""
    return member.run.stage("analysis", lambda: _train_member(member))


def _train_member(member: Member) -> dict[str, Any]:
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
    source, text = language(config, member.corpus, member.shared_seed, run.null)
    tokenizer = load_tokenizer(member.corpus) if config.corpus == "text" else None
    model = Transformer(shape, torch.Generator().manual_seed(run.seed))
    draws = torch.Generator().manual_seed(member.shared_seed)
    probe = repeated_probe(from_module(model, tokenizer), generator=draws, sequences=config.probes)
    return grow(
        model,
        source,
        material(probe, text[:, : min(config.context, 512)], draws),
        training,
        run,
        generator=run.generator("controls"),
        controls=config.controls,
        tokenizer=tokenizer,
    )


def language(config: "Config", corpus: Path, seed: int, null: bool) -> tuple[Source, Int[Tensor, "sequence token"]]:
    """What the models learn from, and held-out sequences of the same; for the null control, with nothing to copy.

    The null of the world is the same chain without pastes; that of text is its tokens in any order.
    """
    source: Source
    if config.corpus == "text" and not null:
        learned, held_out = (
            PackedSource(TokenFile.open(corpus / split), config.context, seed, boundaries=False)
            for split in ("train", "test")
        )
        return learned, held_out.rows(0, config.sequences)["tokens"]
    if config.corpus == "text":
        source = Unigram(TokenFile.open(corpus / "train").counts(), config.context, seed)
    else:
        source = PastedSegments(config.vocabulary, config.context, seed, pastes=0 if null else 2)
    return source, source.rows(HELD_OUT, config.sequences)["tokens"]


def conclude_trained(
    config: "Config", grown: Mapping[str, Sequence[Growth]], joint: Sequence[LossTrajectories], run: Run
) -> None:
    """Hold the models against the claims: the value is the mean over seeds, the interval their range."""
    one, two, smeared = (grown.get(kind, []) for kind in ("1-layer", "2-layer", "1-layer smeared"))
    everyone = [growth for models in grown.values() for growth in models]

    def conclude(claim: str, values: Any, evidence: str = "formation", note: str = "") -> None:
        found = over_seeds(values)
        if found is None:
            note = "There was nothing to measure: no model of that kind was trained, or it formed no induction heads."
        run.conclude(claim, found, evidence=evidence, note=note or "Interval: range over seeds.")

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
