"""Copying and prefix matching after repetition: small attention-only models on a world that quotes itself."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from windtunnel.data.repetition import HeldRows, Mixture, RepeatedSource
from windtunnel.data.worlds.copying import PastedSegments, repeated_tokens
from windtunnel.interpretability.heads.growth import over_seeds
from windtunnel.interpretability.heads.probes import LENGTH, RepeatedTokens
from windtunnel.laboratory.errors import DataError
from windtunnel.laboratory.run import Run
from windtunnel.laboratory.sweeps import sweep, values
from windtunnel.models.transformer import TransformerConfig
from windtunnel.scaling.repetition.effective_size import ControlLadder, EffectiveSize
from windtunnel.statistics.estimates import Estimate
from windtunnel.statistics.intervals import worst_case
from windtunnel.studies.repeated_data import figures
from windtunnel.studies.repeated_data.text import final
from windtunnel.studies.repeated_data.training import Measured, learn, passages, settings

if TYPE_CHECKING:
    from windtunnel.studies.repeated_data import Config

HELD_OUT = 2**40
"""First row of the held-out sequences: no training comes near it."""

DAMAGED = 0.05
"""Nats of test loss above the control from which a model counts as damaged."""

METRICS = {"test": "test loss", "copies": "loss of copies 2 to 11", "prefix": "prefix matching"}


@dataclass(frozen=True)
class Copier:
    """One model on the world.

    Attributes:
        width: Of the residual stream.
        repeats: Of the subset; 1 is the control.
        number: Which seed.
        shared: Seed of the weights and of the world's language, shared by all streams of a seed.
        config: The study's.
        run: The model's own.
    """

    width: int
    repeats: int
    number: int
    shared: int
    config: "Config"
    run: Run


def study_copying(config: "Config", run: Run) -> None:
    """Train the ladder and the damaged models, then compare what each metric lost."""
    plan = [(config.copying_width, repeats) for repeats in (1, *config.copying_repeats)]
    plan += [(width, 1) for width in sorted(set(config.copying_controls) - {config.copying_width}, reverse=True)]
    members = [
        Copier(
            width,
            repeats,
            number,
            run.seed_for("world", number),
            config,
            run.child(f"world-{width}-{repeats}-seed-{number}"),
        )
        for width, repeats in plan
        for number in range(config.copying_seeds)
    ]
    backend = "processes" if run.workers > 1 else "in-process"
    with run.watch([member.run for member in members]):
        found = values(sweep(train_copier, members, backend=backend, workers=run.workers))  # type: ignore[arg-type]
    entries = list(zip(members, found, strict=True))
    run.section("Copying", "Figures 5 to 9: what two-layer attention-only models lose on a world that quotes itself.")
    figures.show_copies(config, entries, run)
    figures.show_passage(config, entries, run)
    conclude_copying(config, entries, run)


def train_copier(member: Copier) -> dict[str, Any]:
    """Train one model and measure it; a finished one is read back."""
    return member.run.stage("measured", lambda: _train_copier(member))


def _train_copier(member: Copier) -> dict[str, Any]:
    config, run = member.config, member.run
    shape = TransformerConfig(
        vocabulary=config.copying_vocabulary,
        context=config.context,
        layers=2,
        width=member.width,
        heads=config.heads,
        mlp_ratio=None,
        positions="sinusoidal_qk",
        smeared_keys=config.copying_smeared,
        embedding_scale=0.1,
        weight_scale=(3 * member.width) ** -0.5,  # as in the study of induction heads
        residual_scaling=False,
    )
    world = PastedSegments(config.copying_vocabulary, config.context, member.shared)
    plain = PastedSegments(config.copying_vocabulary, config.context, member.shared, pastes=0)
    mixture = Mixture.of(config.copying_rows, config.copying_fraction, member.repeats)
    held = HeldRows(world, mixture.rows if run.null else mixture.unique)
    source = RepeatedSource(held, mixture, run.seed, fresh=run.null)
    measured = Measured(
        test=world.rows(HELD_OUT, config.test_rows),
        other=None,
        passages=passages(plain.rows(HELD_OUT, config.passages)["tokens"], config.context),
        probe=probe(config, member.shared),
    )
    steps = max(config.copying_rows // config.copying_batch, 1)
    training = settings(steps, config.copying_batch, config.learning_rate, config.warmup_steps, config.evaluations, run)
    return learn(shape, source, training, measured, run, member.shared)


def probe(config: "Config", seed: int) -> RepeatedTokens:
    """Random tokens said twice."""
    length = min(LENGTH, config.context // 2)
    tokens = repeated_tokens(
        32, config.copying_vocabulary, torch.Generator().manual_seed(seed), length=length, copies=2
    )
    return RepeatedTokens(tokens, length, 2, bos=False)


def conclude_copying(config: "Config", entries: list[tuple[Copier, dict[str, Any]]], run: Run) -> None:
    """Effective sizes by metric, and whether copying lost more than the test loss in each damaged model."""
    controls = [row for member, row in entries if member.repeats == 1]
    ladders, missing = {}, {}
    for name in METRICS:
        try:
            sizes, measured = [row["parameters"] for row in controls], [final(row[name]) for row in controls]
            ladders[name] = ControlLadder.fit(sizes, measured)
        except DataError as error:
            missing[name] = str(error)
    normal = {
        member.number: final(row["test"])
        for member, row in entries
        if (member.width, member.repeats) == (config.copying_width, 1)
    }
    rows, damaged = [], []
    for member, row in entries:
        if member.repeats == 1:
            continue
        sizes_by = {name: ladder.invert(final(row[name]), row["parameters"]) for name, ladder in ladders.items()}
        harm = final(row["test"]) - normal[member.number]
        rows.append(
            {
                "repeats": member.repeats,
                "seed": member.number,
                "harm in nats": harm,
                **{METRICS[name]: _shown(size) for name, size in sizes_by.items()},
            }
        )
        if harm >= DAMAGED:
            damaged.append(sizes_by)
    run.table("copying", rows, "Effective size over size by metric; ≤ and ≥ where the model lies beyond the ladder.")
    if not damaged or "test" in missing:
        note = missing.get("test", f"No model's test loss is {DAMAGED} nats above its control's.")
        run.conclude("copying-suffers-more", note=note)
        run.conclude("prefix-matching", note=note)
        return
    pairs = [(sizes["test"], sizes["copies"]) for sizes in damaged] if "copies" in ladders else []
    if pairs:
        both = sum(test.censored == copies.censored == "below" for test, copies in pairs)
        more = sum(copies.size <= test.size for test, copies in pairs) - both
        low, high = worst_case(more, both, len(pairs))
        note = f"{len(pairs)} damaged models; in {both} both are below the ladder, which the interval leaves open."
        share = more / (len(pairs) - both) if both < len(pairs) else float("nan")
        run.conclude("copying-suffers-more", Estimate(share, low, high, 1.0), evidence="copies", note=note)
    else:
        run.conclude("copying-suffers-more", note=missing["copies"])
    if "prefix" in ladders:
        multipliers = [sizes["prefix"].multiplier for sizes in damaged]
        note = "Over damaged models; interval: their range."
        run.conclude("prefix-matching", over_seeds(multipliers), evidence="copies", note=note)
    else:
        run.conclude("prefix-matching", note=missing["prefix"])


def _shown(size: EffectiveSize) -> str:
    sign = {"below": "≤ ", "above": "≥ ", None: ""}[size.censored]
    return f"{sign}{size.multiplier:.3g}"
