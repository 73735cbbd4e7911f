"""Models grown on planted worlds: first on text that knows no instruction, then in steps towards heeding it."""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import nn

from windtunnel.data.sources import Source
from windtunnel.laboratory.run import Run
from windtunnel.laboratory.sweeps import Backend, sweep, values
from windtunnel.models.transformer import Transformer, TransformerConfig
from windtunnel.training.configuration import TrainingConfig
from windtunnel.training.loop import Objective, train
from windtunnel.training.objectives import next_token

if TYPE_CHECKING:
    from windtunnel.studies.moral_self_correction import Config

World = Literal["questions", "occupations", "admissions"]


@dataclass(frozen=True)
class TrainingStage:
    """The steps towards the instruction: how many, at which rate, and whether the rate falls."""

    steps: int
    rate: float
    schedule: Literal["cosine", "constant"]


HEAD = 8
"""Width of an attention head, where the model is as wide."""


@dataclass(frozen=True)
class Organism:
    """One model: a world, a size, a seed."""

    world: World
    width: int
    number: int
    config: "Config"
    run: Run
    seed: int


def organisms(config: "Config", run: Run, worlds: tuple[World, ...]) -> dict[World, dict[int, list[dict[str, Any]]]]:
    """Grow every size of every seed on every world; what each measured, by world and width, seeds in order."""
    members = [
        member_of(config, run, world, width, number)
        for width in sorted(config.widths, reverse=True)
        for world in worlds
        for number in range(config.seeds)
    ]
    backend: Backend = "processes" if run.workers > 1 else "in-process"
    with run.watch([member.run for member in members]), run.progress("organisms", len(members)) as task:
        grown = values(sweep(grow, members, backend=backend, workers=run.workers, task=task))
    return {
        world: {
            width: [
                found
                for member, found in zip(members, grown, strict=True)
                if (member.world, member.width) == (world, width)
            ]
            for width in sorted(config.widths)
        }
        for world in worlds
    }


def member_of(config: "Config", run: Run, world: World, width: int, number: int) -> Organism:
    """A model of the study: the sizes of a seed share their world, but each has its own text of decisions."""
    seed = run.seed_for(world, number, width) if world == "admissions" else run.seed_for(world, number)
    return Organism(world, width, number, config, run.child(f"{world}-width-{width}-{number}"), seed)


def grow(member: Organism) -> dict[str, Any]:
    """Train and measure one model; a finished one is read back."""
    from windtunnel.studies.moral_self_correction import admissions, occupations, questions

    rooms = {"questions": questions, "occupations": occupations, "admissions": admissions}
    return member.run.stage("grown", lambda: rooms[member.world].grow(member))


def raised(
    member: Organism,
    text: Source,
    measure: Callable[[nn.Module], Mapping[str, float]],
    towards: Callable[[nn.Module], tuple[Objective, Source]],
    *,
    steps: int,
    batch_size: int,
    second: TrainingStage,
) -> tuple[nn.Module, dict[str, list[float]], dict[str, list[float]]]:
    """Train on the text, then in steps towards the instruction.

    Args:
        member: Which model.
        text: What it learns from first.
        measure: What is measured of it over time.
        towards: From the model that the text made, the objective and the rows of the second training.
        steps: Of the first training.
        batch_size: Rows per step of both.
        second: Settings of the second training.

    Returns:
        The model; and over each of the two trainings what was measured, each list beside `steps`.
    """
    config, run = member.config, member.run
    shape = TransformerConfig(
        vocabulary=text.vocabulary,
        context=text.context + 1,
        layers=config.layers,
        width=member.width,
        heads=max(member.width // HEAD, 1),
        positions="rotary",
        tied_embeddings=False,
    )
    model: nn.Module = Transformer(shape, torch.Generator().manual_seed(run.seed_for("weights")))

    def evaluate(module: nn.Module, _: int) -> dict[str, float]:
        return dict(measure(module))

    def settings(steps: int, rate: float, schedule: Literal["cosine", "constant"], points: int) -> TrainingConfig:
        return TrainingConfig(
            steps=steps,
            batch_size=batch_size,
            learning_rate=rate,
            schedule=schedule,
            warmup_steps=min(50, steps // 4),
            final_fraction=0.02,
            weight_decay=0.0,
            precision="fp32" if run.device == "cpu" else "auto",
            evaluate_every=max(steps // points, 1),
            checkpoint_every=2_000,
            log_every=50,
        )

    first = train(
        model,
        next_token,
        text,
        settings(steps, config.learning_rate, "cosine", config.exposures),
        run=run.child("text"),
        evaluate=evaluate,
        device=run.device,
    )
    objective, rows = towards(copy.deepcopy(first.model))
    last = train(
        first.model,
        objective,
        rows,
        settings(second.steps, second.rate, second.schedule, config.checkpoints),
        run=run.child("instruction"),
        evaluate=evaluate,
        device=run.device,
    )
    return last.model, _columns(first.evaluations), _columns(last.evaluations)


def _columns(evaluations: list[dict[str, Any]]) -> dict[str, list[float]]:
    columns = {name: [float(row[name]) for row in evaluations] for name in evaluations[0] if name != "step"}
    return {"steps": [float(row["step"]) for row in evaluations], **columns}
