"""Double descent in repeats and in time, effective sizes, the band and fine-tuning, on English text."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from windtunnel.data.canaries import Canaries
from windtunnel.data.packing import PackedSource
from windtunnel.data.repetition import Mixture, RepeatedSource, UniqueSource, overlapping, seen
from windtunnel.data.sources import Source
from windtunnel.interpretability.heads.growth import over_seeds
from windtunnel.laboratory.errors import DataError
from windtunnel.laboratory.run import Run
from windtunnel.laboratory.sweeps import sweep, values
from windtunnel.models.counting import training_flops
from windtunnel.models.transformer import TransformerConfig
from windtunnel.scaling.repetition.band import fit_band
from windtunnel.scaling.repetition.effective_size import ControlLadder
from windtunnel.studies.repeated_data import figures
from windtunnel.studies.repeated_data.corpus import Corpus, held_out, open_corpus, prepare
from windtunnel.studies.repeated_data.memory import conclude_canaries, conclude_mitigation
from windtunnel.studies.repeated_data.training import Measured, learn, passages, settings

if TYPE_CHECKING:
    from windtunnel.studies.repeated_data import Config

MEMORISED = 0.2
"""Share of the loss on unrepeated windows below which the subset counts as memorised."""


@dataclass(frozen=True)
class Member:
    """One model: of what size, on which stream, where it keeps its run.

    Attributes:
        kind: `repeated`; `control`: all tokens unique; `unique`: the unique part alone; `scratch`: Python alone;
            `canaries`: as the control, with secrets planted.
        width: Of the residual stream.
        fraction: Share of the tokens repeated (of the controls: unused).
        repeats: Of the subset.
        number: Which seed.
        weights: Seed of the initial weights, shared by all streams of a seed.
        config: The study's.
        run: The member's own.
        corpus: Directory of the token files.
        mitigation: `dropout` or `weight decay`, where it is trained with much of it.
    """

    kind: str
    width: int
    fraction: float
    repeats: int
    number: int
    weights: int
    config: "Config"
    run: Run
    corpus: Path
    mitigation: str = ""


def study_text(config: "Config", run: Run) -> None:
    """Train every model on its stream, then compare."""
    run.note("reading and tokenising text")
    corpus = prepare(config, run.directory / "corpus")
    members = family(config, run)
    backend = "processes" if run.workers > 1 else "in-process"
    with run.watch([member.run for member in members]):
        found = values(sweep(train_member, members, backend=backend, workers=run.workers))  # type: ignore[arg-type]
    table = Table(config, list(zip(members, found, strict=True)))
    run.section("Test loss", "Figures 2 to 4: against repeats, over time, and as an effective size.")
    figures.show_repeats(table, run)
    figures.show_time(table, run)
    conclude_streams(config, corpus, run)
    conclude_losses(table, run)
    conclude_sizes(table, run)
    conclude_band(table, run)
    figures.show_map(table, run)
    if "fine-tuning" in config.experiments:
        conclude_tuning(table, run)
    if "canaries" in config.experiments:
        conclude_canaries(table, run)
    if "mitigation" in config.experiments:
        conclude_mitigation(table, run)


def family(config: "Config", run: Run) -> list[Member]:
    """Every model, the largest first so that the workers end together."""
    plan: list[tuple[Any, ...]] = []  # kind, width, fraction, repeats, and what it is regularised by
    for width in sorted({*config.widths, *config.control_widths}, reverse=True):
        plan.append(("control", width, config.fractions[0], 1))
        if width in config.widths:
            plan += [("repeated", width, share, count) for share in config.fractions for count in config.repeats]
    main = max(config.widths)
    plan.append(("repeated", main, config.long_fraction, config.long_repeats))
    plan += [("unique", main, share, count) for share in config.fractions for count in config.repeats[-1:]]
    if "fine-tuning" in config.experiments:
        plan.append(("scratch", main, config.fractions[0], 1))
    if "canaries" in config.experiments:
        plan.append(("canaries", main, config.fractions[0], 1))
    if "mitigation" in config.experiments:
        for regularised in config.mitigations:
            plan.append(("control", main, config.fractions[0], 1, regularised))
            plan.append(("repeated", main, config.fractions[-1], config.tuning_repeats, regularised))
    members = []
    for kind, width, share, count, *against in dict.fromkeys(plan):
        for number in range(config.seeds):
            name = "-".join([kind, f"{width}-{share:g}-{count}", *against]).replace(" ", "-")
            child = run.child(f"{name}-seed-{number}")
            weights = run.seed_for("weights", number)
            corpus = run.directory / "corpus"
            members.append(Member(kind, width, share, count, number, weights, config, child, corpus, *against))
    return members


def train_member(member: Member) -> dict[str, Any]:
    """Train one model and measure it; a finished member is read back."""
    return member.run.stage("measured", lambda: _train_member(member))


def _train_member(member: Member) -> dict[str, Any]:
    config, run = member.config, member.run
    corpus = open_corpus(member.corpus)
    shape = TransformerConfig(
        vocabulary=corpus.train.header.vocabulary,
        context=config.context,
        layers=config.layers,
        width=member.width,
        heads=config.heads,
        mlp_ratio=4.0 if config.mlp else None,
        dropout=config.dropout if member.mitigation == "dropout" else 0.0,
    )
    source, rows = stream(member, corpus)
    test = held_out(config, corpus.test, corpus.train, 0)
    python = PackedSource(corpus.python_test, config.context, 0, boundaries=False)
    other = python.rows(0, min(config.test_rows, python.epoch))
    measured = Measured(test, other, passages(test["tokens"][: config.passages], config.context))

    def training(count: int) -> Any:
        steps = max(count // config.batch_size, 1)
        rate, warm = config.learning_rate, config.warmup_steps
        decay = config.weight_decay if member.mitigation == "weight decay" else 0.0
        return settings(steps, config.batch_size, rate, warm, config.evaluations, run, decay)

    tuning = None
    if tuned(member):
        later = PackedSource(corpus.python, config.context, member.weights, boundaries=False)
        tuning = (later, training(config.tuning_rows))
    found = learn(shape, source, training(rows), measured, run, member.weights, tuning)
    return {**found, "flops": float(training_flops(shape)) * rows * config.context}


def tuned(member: Member) -> bool:
    """Whether a model is fine-tuned: the damaged one asked for and its control, of the largest size."""
    config = member.config
    if "fine-tuning" not in config.experiments or member.width != max(config.widths):
        return False
    if member.mitigation:
        return False
    chosen = (member.fraction, member.repeats) == (config.fractions[-1], config.tuning_repeats)
    return member.kind == "control" or (member.kind == "repeated" and chosen)


def stream(member: Member, corpus: Corpus) -> tuple[Source, int]:
    """What a model learns from, and how many rows of it.

    In the null control every copy is a window of its own.
    """
    config, order = member.config, member.run.seed
    if member.kind == "scratch":
        return PackedSource(corpus.python, config.context, member.weights, boundaries=False), config.tuning_rows
    english = PackedSource(corpus.train, config.context, member.weights, boundaries=False)
    if member.kind == "control":
        return RepeatedSource(english, Mixture.of(config.rows, member.fraction, 1), order), config.rows
    if member.kind == "canaries":
        repeats = [count for count in config.canary_repeats for _ in range(config.canaries_each)]
        return Canaries(english, config.rows, repeats, member.weights, hidden=member.run.null), config.rows
    mixture = Mixture.of(config.rows, member.fraction, member.repeats)
    if member.kind == "unique":
        return UniqueSource(english, mixture, order), mixture.unique
    return RepeatedSource(english, mixture, order, fresh=member.run.null), config.rows


@dataclass(frozen=True)
class Table:
    """What was measured of every model.

    Attributes:
        config: The study's.
        entries: Each model with its measurements.
    """

    config: "Config"
    entries: list[tuple[Member, dict[str, Any]]]

    @property
    def main(self) -> int:
        """The largest width on repeated streams."""
        return max(self.config.widths)

    def of(
        self,
        kind: str,
        width: int | None = None,
        fraction: float | None = None,
        repeats: int = 1,
        mitigation: str = "",
    ) -> list[Any]:
        """The measurements of one kind of model, in the order of seeds; of controls the fraction does not matter."""
        width = self.main if width is None else width
        return [
            row
            for member, row in self.entries
            if (member.kind, member.width, member.mitigation) == (kind, width, mitigation)
            and (kind in ("control", "scratch", "canaries") or fraction == member.fraction)
            and (kind != "repeated" or repeats == member.repeats)
        ]

    def losses(self, fraction: float, name: str = "test", width: int | None = None) -> np.ndarray:
        """Final losses by seed and repeats, the control first, [seeds, 1 + repeats]."""
        columns = [self.of("control", width)]
        columns += [self.of("repeated", width, fraction, count) for count in self.config.repeats]
        return np.array([[final(row[name]) for row in column] for column in columns]).T

    def ladder(self, name: str) -> ControlLadder:
        """The control ladder of a metric, over all sizes and seeds."""
        rows = [row for member, row in self.entries if member.kind == "control" and not member.mitigation]
        return ControlLadder.fit([row["parameters"] for row in rows], [final(row[name]) for row in rows])

    def compute_ladder(self) -> ControlLadder:
        """Test loss over training FLOPs, of controls of all sizes and of the unique parts alone."""
        kept = [row for m, row in self.entries if m.kind in ("control", "unique") and not m.mitigation]
        return ControlLadder.fit([row["flops"] for row in kept], [final(row["test"]) for row in kept])


def final(value: Any) -> float:
    """The last of a curve, the mean over later copies, or a number as it is."""
    if isinstance(value, np.ndarray):
        return float(value[1:].mean())
    return float(value[-1] if isinstance(value, list) else value)


def conclude_streams(config: "Config", corpus: Corpus, run: Run) -> None:
    """Hold every stream against what was asked: its fraction, how often windows are seen, and test text in it."""
    english = PackedSource(corpus.train, config.context, run.seed_for("weights", 0), boundaries=False)
    test = held_out(config, corpus.test, corpus.train, 0)["tokens"]
    violations, rows = 0, []
    shares = [(share, count) for share in config.fractions for count in config.repeats]
    for share, count in [*shares, (config.long_fraction, config.long_repeats)]:
        source = RepeatedSource(english, Mixture.of(config.rows, share, count), 0)
        times = seen(source).numpy()
        realised = float((source.order >= source.mixture.once).double().mean())
        shared = int(overlapping(test, english.rows(0, source.mixture.unique)["tokens"]).sum())
        violations += int(abs(realised - share) > 1e-3) + int((np.abs(times - count) > 1).sum()) + shared
        rows.append(
            {
                "asked fraction": share,
                "realised": realised,
                "asked repeats": count,
                "least seen": int(times.min()),
                "most seen": int(times.max()),
                "windows": source.mixture.windows,
                "unique share": source.mixture.unique / source.mixture.rows,
                "test windows in it": shared,
            }
        )
    run.table("streams", rows, f"Every stream, against {len(test)} test windows.")
    run.conclude("stream", violations, note="Fractions off by 0.1 %, windows seen too often or seldom, test windows.")


def conclude_losses(table: Table, run: Run) -> None:
    """The peak, its harm beyond leaving the repeated tokens out, what memorising pays, and descent in time."""
    share = table.config.fractions[-1]
    test, subset = table.losses(share), table.losses(share, "subset")
    seeds = "Interval: range over seeds."
    margins: list[float | None] = []
    for losses, own in zip(test, subset, strict=True):
        learned = own[1:-1] < MEMORISED * own[0]
        ends = max(losses[0], losses[-1])
        margins.append(float((losses[1:-1][learned] - ends).max()) if learned.any() else float(losses.min() - ends))
    note = f"At the worst repeats with less than {MEMORISED:.0%} of the unrepeated loss on the subset. {seeds}"
    run.conclude("peak", over_seeds(margins), evidence="repeats", note=note)
    worst = test[:, 1:].argmax(axis=1) + 1
    peak = np.take_along_axis(test, worst[:, None], axis=1)[:, 0]
    alone = np.array([final(row["test"]) for row in table.of("unique", fraction=share)])
    run.conclude("worse-than-leaving-out", over_seeds(peak - alone), evidence="repeats", note=seeds)
    objective = (1 - share) * test + share * subset
    gains = objective[:, 0] - np.take_along_axis(objective, worst[:, None], axis=1)[:, 0]  # own windows are easier once
    run.conclude("memorising-pays", over_seeds(gains), evidence="repeats", note=f"At the worst repeats. {seeds}")
    long = table.of("repeated", fraction=table.config.long_fraction, repeats=table.config.long_repeats)
    note = f"The lesser of the rise and the fall that follows it. {seeds}"
    run.conclude("double-descent", over_seeds([bump(row["test"]) for row in long]), evidence="time", note=note)


def bump(curve: Sequence[float]) -> float:
    """How far a curve rises from its least value so far and falls again after: the lesser of the two, at best."""
    y = np.asarray(curve)
    rise = y - np.minimum.accumulate(y)
    fall = y - np.minimum.accumulate(y[::-1])[::-1]
    return float(np.minimum(rise, fall).max())


def conclude_sizes(table: Table, run: Run) -> None:
    """Effective sizes at the worst repeats, by metric."""
    share, rows = table.config.fractions[-1], []
    test = table.losses(share)
    worst = table.config.repeats[int(test[:, 1:].mean(axis=0).argmax())]
    models = table.of("repeated", fraction=share, repeats=worst)
    for claim, name, shown in (
        ("effective-size", "test", "test loss"),
        ("other-text", "other", "loss on Python"),
        ("", "copies", "loss of copies 2 to 11 of a passage"),
    ):
        try:
            ladder = table.ladder(name)
        except DataError as error:
            if claim:
                run.conclude(claim, note=str(error))
            continue
        found = [ladder.invert(final(row[name]), row["parameters"]) for row in models]
        beyond = [size.censored for size in found if size.censored]
        row = {"metric": shown, "repeats": worst}
        rows.append({**row, "multiplier": float(np.mean([s.multiplier for s in found])), "censored": len(beyond)})
        note = f"At {worst} repeats of {share:.0%}. Interval: range over seeds."
        if beyond:
            note += f" {len(beyond)} of {len(found)} lie beyond the ladder and count as its end."
        if claim:
            run.conclude(claim, over_seeds([size.multiplier for size in found]), evidence="repeats", note=note)
    _conclude_compute(table, models, f"At {worst} repeats of {share:.0%}.", run)
    run.table("effective-sizes", rows, "Effective size over size of the most damaged models on text.")


def _conclude_compute(table: Table, models: Sequence[Any], where: str, run: Run) -> None:
    """The compute that unrepeated training needs for the loss of the most damaged models."""
    try:
        ladder = table.compute_ladder()
    except DataError as error:
        run.conclude("compute-equivalent", note=str(error))
        return
    found = [ladder.invert(final(row["test"]), row["flops"]) for row in models]
    beyond = sum(size.censored is not None for size in found)
    note = f"{where} Every operation counted. Interval: range over seeds."
    if beyond:
        note += f" {beyond} of {len(found)} lie beyond the controls and count as their end."
    run.conclude("compute-equivalent", over_seeds([size.multiplier for size in found]), evidence="repeats", note=note)


def conclude_band(table: Table, run: Run) -> None:
    """The band over sizes, where several sizes are trained."""
    config, share = table.config, table.config.fractions[-1]
    if len(config.widths) < 2:
        run.conclude("band-falls", note="It needs models of two or more sizes: set widths, or use the full preset.")
        return
    damage, rows = {}, []
    for width in config.widths:
        losses = table.losses(share, width=width)
        damage[float(table.of("control", width)[0]["parameters"])] = losses[:, 1:] - losses[:, :1]
    try:
        fit = fit_band(config.repeats, damage, generator=run.generator("band"))
    except DataError as error:
        run.conclude("band-falls", note=str(error))
        return
    for size, half in fit.halves.items():
        rows.append({"parameters": size, "left": half.left, "peak": half.peak, "right": half.right})
    run.table("band", rows, "Repeats of at least half the greatest harm, by size; blank where an edge is not measured.")
    worst = max((fit.intervals["left.gamma"], fit.intervals["right.gamma"]), key=lambda ends: ends[1])
    value = max(fit.band.left.gamma, fit.band.right.gamma)
    low, high = min(worst[0], value), max(worst[1], value)
    run.conclude("band-falls", value, interval=(low, high), note="The larger exponent; bootstrap over seeds.")


def conclude_tuning(table: Table, run: Run) -> None:
    """Python after damage, after undamaged English, and from scratch."""
    config = table.config
    damaged = table.of("repeated", fraction=config.fractions[-1], repeats=config.tuning_repeats)
    after = [final(row["tuned"]) for row in damaged]
    control = [final(row["tuned"]) for row in table.of("control")]
    scratch = [final(row["other"]) for row in table.of("scratch")]
    rows = [
        {"before": name, "loss on Python": float(np.mean(found)), "least": min(found), "most": max(found)}
        for name, found in (
            (f"{config.tuning_repeats} repeats of {config.fractions[-1]:.0%}", after),
            ("unique English", control),
            ("nothing", scratch),
        )
    ]
    run.table("fine-tuning", rows, f"Loss after {config.tuning_rows} windows of Python, nats; range over seeds.")
    # worse than from scratch may be for any earlier training; worse than the control is for the repetition
    harm = np.array(after) - np.maximum(scratch, control)
    run.conclude("fine-tuning", over_seeds(harm), note="Over the worse of the two. Interval: range over seeds.")
