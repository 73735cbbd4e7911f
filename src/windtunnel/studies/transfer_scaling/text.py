"""From English to Python: the grid of runs, and what the paper's experiments say of it."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from windtunnel.laboratory.run import Run
from windtunnel.laboratory.sweeps import Backend, sweep, values
from windtunnel.models.transformer import TransformerConfig
from windtunnel.studies.transfer_scaling.corpora import BEGINNINGS, TRACE, gather, pretraining, rows
from windtunnel.studies.transfer_scaling.training import any_tokens, on_target, parameters_of, pretrained, subset

if TYPE_CHECKING:
    from windtunnel.studies.transfer_scaling import Config

SCRATCH = "scratch"


@dataclass(frozen=True)
class Lineage:
    """One size of model with one beginning, trained on every data set of the target.

    Attributes:
        beginning: `scratch`, or what it was pre-trained on.
        width: Of the residual stream.
        seeds: Which repetitions: those from scratch are lineages of their own, so that workers end together.
        config: The study's.
        run: Where it keeps its runs.
        data_seeds: Seed of each repetition's data, common to all beginnings.
        place: Where the rows are.
    """

    beginning: str
    width: int
    seeds: tuple[int, ...]
    config: "Config"
    run: Run
    data_seeds: tuple[int, ...]
    place: Path

    @property
    def sizes(self) -> tuple[int, ...]:
        """Tokens of each data set, ascending."""
        config = self.config
        if self.beginning == SCRATCH:
            return tuple(sorted(config.scratch))
        if self.beginning == TRACE:
            return (min(config.finetuning),)
        more = config.saturating if self.width == min(config.widths) and self.beginning == "text" else ()
        return tuple(sorted({*config.finetuning, *(more if "ossification" in config.experiments else ())}))


def text_to_code(config: "Config", run: Run) -> None:
    """Train the grid, then measure, draw and conclude."""
    from windtunnel.studies.transfer_scaling.conclusions import conclude_text

    place = gather(config, run)
    lineages = family(config, run, place)
    backend: Backend = "processes" if run.workers > 1 else "in-process"
    with run.watch([lineage.run for lineage in lineages]):
        measured = values(sweep(train_lineage, lineages, backend=backend, workers=run.workers))
    conclude_text(config, [row for lineage in measured for row in lineage["rows"]], run)


def family(config: "Config", run: Run, place: Path) -> list[Lineage]:
    """Every lineage, the widest first."""
    data_seeds = tuple(run.seed_for("data", seed) for seed in range(config.seeds))
    every = tuple(range(config.seeds))
    found = []
    for width in sorted(config.widths, reverse=True):
        kinds = [(SCRATCH, (seed,)) for seed in every] + [(beginning, every) for beginning in BEGINNINGS]
        if "contamination" in config.experiments and width == sorted(config.widths)[len(config.widths) // 2]:
            kinds.append((TRACE, every))
        for beginning, seeds in kinds:
            name = f"{beginning.replace(' ', '-')}-width-{width}" + (f"-seed-{seeds[0]}" * (beginning == SCRATCH))
            found.append(Lineage(beginning, width, seeds, config, run.child(name), data_seeds, place))
    return found


def train_lineage(lineage: Lineage) -> dict[str, Any]:
    """Pre-train, and train on every data set; what is finished is read back."""
    config, run = lineage.config, lineage.run
    shape = TransformerConfig(
        vocabulary=config.vocabulary,
        context=config.context,
        layers=config.layers,
        width=lineage.width,
        heads=lineage.width // config.head_width,
        tied_embeddings=True,
    )
    names = [(seed, tokens) for seed in lineage.seeds for tokens in lineage.sizes]

    def all_runs() -> dict[str, Any]:
        found = rows(lineage.place)
        weights, spent = None, 0.0
        if lineage.beginning != SCRATCH:
            read = pretraining(found, lineage.beginning, config, run.seed)
            if run.null:
                read = any_tokens(read, config.vocabulary, run.seed)
            weights, spent = pretrained(shape, read, config, run.child("pretraining"))
        results = []
        with run.progress(f"{lineage.beginning}, width {lineage.width}", len(names)) as task:
            for done, (seed, tokens) in enumerate(names):

                def one(seed: int = seed, tokens: int = tokens) -> dict[str, Any]:
                    return on_target(
                        shape,
                        weights,
                        subset(found["target"], tokens, config.context, lineage.data_seeds[seed]),
                        (found["validation"].long(), found["test"].long()),
                        config,
                        steps=config.steps,
                        seed=run.seed_for("run", seed),
                        device=run.device,
                    )

                result = run.stage(f"{tokens}-tokens-seed-{seed}", one)
                facts = {
                    "beginning": lineage.beginning,
                    "parameters": parameters_of(shape),
                    "seed": seed,
                    "pretraining_flops": spent,
                }
                results.append({**facts, **result})
                task.update(done + 1)
        return {"rows": results}

    return run.stage("runs", all_runs)
