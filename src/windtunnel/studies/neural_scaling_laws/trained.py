"""The ladder is trained once, and every experiment reads its laws off the recorded runs."""

from typing import TYPE_CHECKING, Any

from windtunnel.laboratory.run import Run
from windtunnel.scaling.ladder import Row, climb, table, write_table
from windtunnel.scaling.material import gather
from windtunnel.studies.neural_scaling_laws.choices import (
    read_batches,
    read_contexts,
    read_recurrent,
    read_schedules,
    read_shapes,
)
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
}


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
    for name, of_experiment in found.items():
        READERS[name](of_experiment, uncertainty, config, run, material)
    _show_runs(list(rows.values()), uncertainty, run)


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
