"""The ladder is trained once, and every experiment reads its laws off the recorded runs."""

from typing import TYPE_CHECKING, Any

from windtunnel.laboratory.run import Run
from windtunnel.scaling.ladder import climb
from windtunnel.scaling.material import gather
from windtunnel.scaling.rows import Row, table, write_table
from windtunnel.studies.neural_scaling_laws.batches import read_batches
from windtunnel.studies.neural_scaling_laws.choices import (
    read_contexts,
    read_recurrent,
    read_schedules,
    read_shapes,
    read_universal,
)
from windtunnel.studies.neural_scaling_laws.corrected import read_corrected
from windtunnel.studies.neural_scaling_laws.evidence import Uncertainty, spread_between
from windtunnel.studies.neural_scaling_laws.resources import read_compute, read_data
from windtunnel.studies.neural_scaling_laws.rungs import declare
from windtunnel.studies.neural_scaling_laws.sizes import read_sizes

if TYPE_CHECKING:
    from windtunnel.studies.neural_scaling_laws import Config

READERS = {
    "sizes": read_sizes,
    "data": read_data,
    "compute": read_compute,
    "shapes": read_shapes,
    "batches": read_batches,
    "schedules": read_schedules,
    "contexts": read_contexts,
    "recurrent": read_recurrent,
    "universal": read_universal,
}

LEARNED_FIRST = {
    "sizes": (
        *("larger-is-better", "size-law", "power-not-logarithm", "sample-efficiency", "position-exponent"),
        "other-text",
    ),
    "contexts": ("short-context",),
    "recurrent": ("lstm-plateau",),
    "universal": ("universal-parameters", "universal-compute"),
}
"""Claims that are judged only if every model of the experiment has learned at least the frequencies of tokens."""

NEAR = 0.1
"""Nats by which a model may miss the loss of those frequencies and still count as having learned them."""


def train_and_read(config: "Config", run: Run) -> None:
    """Train what the chosen experiments declare, then read them.

    The null control reads the tokens of every text in a random order: there is nothing to learn but their frequencies,
    which the smallest model learns, so that neither size nor context can help.
    """
    seed = run.seed_for("ladder")
    declared = {name: declare(name, config, seed) for name in READERS if name in config.experiments}
    if not declared:
        return
    run.note(f"reading {config.corpus}")
    material = gather(
        run.directory / "text",
        config.corpus,
        config.others,
        vocabulary=config.vocabulary,
        tokens=config.text,
        shuffled=run.null,
    )
    rungs = [rung for several in declared.values() for rung in several.values()]
    rows = climb(rungs, material, run, rows=config.rows, rows_on_curve=config.rows_on_curve)
    write_table(run.directory / "ladder.csv", list(rows.values()))
    found = {name: {key: rows[rung] for key, rung in several.items()} for name, several in declared.items()}
    uncertainty = Uncertainty(_spread(found.get("sizes", {})), run.generator("uncertainty"))
    frequencies = material.frequencies_loss(next(iter(material.held_out)), config.context, config.rows)
    for name, of_experiment in found.items():
        READERS[name](of_experiment, uncertainty, config, run, material)
        if name in LEARNED_FIRST:
            _insist_on_frequencies(list(of_experiment.values()), frequencies, LEARNED_FIRST[name], run)
    read_corrected(found, config, run)
    _show_runs(list(rows.values()), uncertainty, run)


def _insist_on_frequencies(rows: list[Row], frequencies: float, claims: tuple[str, ...], run: Run) -> None:
    """Judge no claim by models that are still learning the frequencies: larger ones learn even those faster."""
    worst = max(rows, key=lambda row: row.loss)
    if worst.loss > frequencies + NEAR:
        for claim in claims:
            run.conclude(
                claim,
                note=f"Needs models that have learned at least the frequencies of tokens ({frequencies:.2f} nats); "
                f"one of {worst.parameters:,} parameters ends at {worst.loss:.2f}. Train longer.",
            )


def _spread(rows: dict[Any, Row]) -> float:
    """Between seeds of one size."""
    seeds = [row for key, row in rows.items() if key[0] == "seed"]
    if not seeds:
        return spread_between([])
    same = [row for row in rows.values() if row.shape == seeds[0].shape]
    return spread_between(same)


def _show_runs(rows: list[Row], uncertainty: Uncertainty, run: Run) -> None:
    """All runs, as `ladder.csv` has them in full."""
    run.section(
        "Every run",
        f"Intervals above vary the held-out rows, and each loss by the spread between seeds, {uncertainty.spread:.4f} "
        "nats. The table in full is ladder.csv, which `windtunnel fit` reads.",
    )
    shown = ("name", "parameters", "tokens", "unique", "batch", "loss", "loss_error", "flops_exact", "utilisation")
    records = [{name: record[name] for name in shown} for record in table(rows)]
    run.table("runs", records, "Held-out loss in nats per token; FLOPs with attention and unembedding.")
