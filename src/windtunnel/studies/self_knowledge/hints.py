"""Section 5.4 on organisms: P(IK) of problems of several steps as more of a hint is shown, and of what kind it is."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from windtunnel.data.worlds.worked_problems import FIRST, Kind, Problems, WorkedProblems
from windtunnel.evaluation.self_knowledge.p_ik import fit_probe, last_tokens
from windtunnel.laboratory.run import Run
from windtunnel.laboratory.sweeps import Backend, sweep, values
from windtunnel.models.interface import LanguageModel, from_module
from windtunnel.models.transformer import Transformer, TransformerConfig
from windtunnel.studies.self_knowledge import figures
from windtunnel.studies.self_knowledge.knowledge import LAST, LEARNED, OVER, UNLEARNED, over
from windtunnel.training.configuration import TrainingConfig
from windtunnel.training.loop import train
from windtunnel.training.objectives import next_token

if TYPE_CHECKING:
    from windtunnel.studies.self_knowledge import Config

KINDS: tuple[Kind, ...] = ("good", "mistaken", "irrelevant")


@dataclass(frozen=True)
class Solver:
    """One model to train, on a world of its own."""

    config: "Config"
    run: Run

    @property
    def world(self) -> WorkedProblems:
        """What it learns from; in the null control hints and answers are drawn at random."""
        return WorkedProblems(self.run.seed_for("world"), steps=self.config.hint_length, shuffled=self.run.null)


def study_hints(config: "Config", run: Run) -> None:
    """Train models on problems and hints, and see what a head that never saw a hint makes of them."""
    run.section(
        "Hints",
        "Problems of one step up to several, whose first steps a hint may work out. A head learns P(IK) from problems "
        f"without one, and is asked about problems of {config.hint_length} steps as more of a hint is shown.",
    )
    solvers = [Solver(config, run.child(f"hints-{number}")) for number in range(config.organisms)]
    backend: Backend = "processes" if run.workers > 1 else "in-process"
    with run.watch([each.run for each in solvers]):
        found = values(sweep(measure_hints, solvers, backend=backend, workers=run.workers))
    figures.hints(found, KINDS, run)
    said = {kind: np.array([each["said"][kind] for each in found]) for kind in KINDS}  # [organism, steps shown]
    rises = said["good"][:, -1] - said["good"][:, 0]
    exact = np.array([each["exact"]["good"] for each in found])
    learned = bool((exact[:, -1] - exact[:, 0]).min() > LEARNED)
    better = (said["good"] - said["mistaken"])[:, 1:].mean(1)
    lower = said["irrelevant"][:, 1:].mean(1) - said["irrelevant"][:, 0]
    for claim, numbers in (("hints-raise", rises), ("good-hints", better), ("irrelevant-hints", lower)):
        value = over(numbers.tolist()) if learned else None
        run.conclude(claim, value, evidence="hints", note=OVER if learned else UNLEARNED)


def measure_hints(solver: Solver) -> dict[str, Any]:
    """Train a model and measure it behind hints; what is finished is read back."""
    return solver.run.stage("hints", lambda: _measure(solver))


def _measure(solver: Solver) -> dict[str, Any]:
    config, run, world = solver.config, solver.run, solver.world
    model = _learn(solver)
    drawn = torch.Generator().manual_seed(run.seed_for("problems"))
    learned, asked = (world.problems(config.hint_problems, drawn, length) for length in (None, config.hint_length))
    without = world.prompts(learned, torch.zeros(config.hint_problems, dtype=torch.long))
    right = right_answers(model, learned, without)
    share = np.random.default_rng(run.seed_for("labels")).binomial(config.draws, right.numpy()) / config.draws
    head = fit_probe(_states(model, without), share, seed=run.seed)
    found: dict[str, Any] = {"said": {}, "exact": {}}
    for kind in KINDS:
        prompts = [
            world.prompts(asked, torch.full((config.hint_problems,), shown), kind, drawn)
            for shown in range(config.hint_length + 1)
        ]
        found["said"][kind] = [float(head(_states(model, each)).mean()) for each in prompts]
        found["exact"][kind] = [float(right_answers(model, asked, each).mean()) for each in prompts]
    return found


def _learn(solver: Solver) -> LanguageModel:
    config, run, world = solver.config, solver.run, solver.world
    shape = TransformerConfig(
        vocabulary=world.vocabulary,
        context=world.context,
        layers=config.layers + 1,  # a step worked out in the head takes a layer or so
        width=config.width,
        heads=config.heads,
        embedding_scale=0.3,
    )
    settings = TrainingConfig(
        steps=config.hint_steps,
        batch_size=64,
        learning_rate=config.learning_rate,
        warmup_steps=min(50, config.hint_steps // 10),
        weight_decay=0.01,
        precision="fp32" if run.device == "cpu" else "auto",
        log_every=max(config.hint_steps // 50, 1),
        seed=run.seed,
    )
    module = Transformer(shape, torch.Generator().manual_seed(run.seed_for("weights")))
    train(module, next_token, world, settings, run=run, device=run.device)
    return from_module(module, name=run.directory.name)


@torch.no_grad()
def right_answers(model: LanguageModel, problems: Problems, prompts: Tensor) -> Tensor:
    """The exact probability of each right answer: [problem], float64."""
    logits: Tensor = model(prompts.to(model.device))[:, -1].double().cpu()
    return logits.softmax(-1).gather(1, FIRST + problems.answer[:, None])[:, 0]


def _states(model: LanguageModel, prompts: Tensor) -> Tensor:
    return last_tokens(model, prompts.tolist(), [LAST])[LAST]
