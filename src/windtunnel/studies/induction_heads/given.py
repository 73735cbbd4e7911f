"""Arguments 3, 4 and 6: the heads of a model that the user names."""

from collections.abc import Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any

import torch

from windtunnel.data.corpora import documents
from windtunnel.data.worlds.copying import PastedSegments
from windtunnel.interpretability.heads.analysis import analysis_table
from windtunnel.interpretability.heads.controls import forget
from windtunnel.interpretability.heads.growth import Growth
from windtunnel.interpretability.heads.losses import ContextWindows
from windtunnel.interpretability.heads.probes import Material, material, repeated_probe
from windtunnel.interpretability.heads.report import show_formation, show_given, show_heads
from windtunnel.interpretability.heads.snapshots import checkpoint_series, measure_series
from windtunnel.laboratory.run import Run
from windtunnel.models.interface import LanguageModel, load
from windtunnel.statistics.comparisons import paired_difference
from windtunnel.statistics.intervals import bootstrap

if TYPE_CHECKING:
    from windtunnel.studies.induction_heads import Config

TEXT = 512
"""Tokens in a sequence of text, where the model reads as many (the paper's)."""

NEIGHBOURS = ContextWindows((40, 61), (490, 511))
"""The paper's tokens 50 and 500 with ten on either side, since few sequences are read where it read 10,000."""


def analyse_given(config: "Config", run: Run) -> None:
    """Arguments 3, 4 and 6: the heads of the model named by the user, and its formation if it left checkpoints."""
    assert run.model is not None
    model = load(run.model, device=run.device, dtype="float32")
    if run.null:
        forget(model, torch.Generator().manual_seed(run.seed))
    measured_on = given_material(config, model, run)
    few = model.shape.layers * model.shape.heads <= 64
    singles = None if few else config.given_heads
    draws = run.generator("sets")
    table = run.stage(
        "analysis",
        lambda: analysis_table(model, measured_on, generator=draws, singles=singles, controls=config.controls),
    )
    name = model.name.rstrip("/").rsplit("/", 1)[-1]  # of a path or hub name the last part
    series = checkpoint_series(run.model)
    if len(series) >= 4 and not run.null:
        run.section("The phase change", f"{len(series)} checkpoints.")
        trajectory = run.stage("trajectory", lambda: measure_series(series, measured_on, run.device))
        show_formation({name: [Growth(trajectory, table)]}, run)
    run.section("The heads", "Arguments 3, 4 and 6: what they attend to and copy, and what is lost without them.")
    show_heads(name, table, run, key="given")
    show_given(name, table, run)
    conclude_given(table, run)


def given_material(config: "Config", model: LanguageModel, run: Run) -> Material:
    """What a given model is measured on: repeated tokens, and held-out English where it has a tokenizer."""
    generator = torch.Generator().manual_seed(run.seed_for("material"))
    probe = repeated_probe(model, generator=generator, sequences=config.probes)
    length = min(model.shape.context, TEXT)
    windows = NEIGHBOURS if length == TEXT else None
    if model.tokenizer is None:
        world = PastedSegments(min(model.shape.vocabulary, 512), length, run.seed_for("language"))
        return material(probe, world.rows(0, config.given_sequences)["tokens"][:, :length], generator, windows)
    read = (model.tokenize(text) for text in documents("offline-english", split="test"))
    long_enough = [ids[:length] for ids in islice((ids for ids in read if len(ids) >= length), config.given_sequences)]
    return material(probe, torch.tensor(long_enough), generator, windows)


def conclude_given(table: Mapping[str, Any], run: Run) -> None:
    """Hold the given model against its claims, with intervals over the probes."""

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
