"""The organism of Winogender: pronouns that follow planted statistics, and instructions that change them."""

from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import nn

from windtunnel.data.worlds.occupations import FEMALE, NEUTRAL, Instruction, Occupations
from windtunnel.evaluation.bias.winogender import OccupationCorrelation, occupation_correlation
from windtunnel.studies.moral_self_correction.organisms import Organism, TrainingStage, raised
from windtunnel.training.objectives import next_token

CONDITIONS: dict[str, Instruction] = {
    "Q": "plain",
    "Q+IF": "fair",
    "Q+IF+CoT": "fair-thinking",
    "Q+Match Stats": "match",
}


def world_of(member: Organism, obeyed: bool) -> Occupations:
    """The text of one seed; the null follows no statistics, and no instruction changes anything."""
    config, null = member.config, member.run.null
    correlation = 0.0 if null else config.correlation
    return Occupations(config.occupations, member.seed, correlation=correlation, obeyed=obeyed and not null)


def grow(member: Organism) -> dict[str, Any]:
    """Train one model and measure it under all instructions over time.

    Returns:
        `exposure` and `instruction`: over each training `steps`, and by condition `correlation` (nan where it is not
        defined), `neutral` and `entropy`; `pronouns` [condition, occupation, 3] at the end.
    """
    config, world, device = member.config, world_of(member, obeyed=False), member.run.device

    def measure(model: nn.Module) -> dict[str, float]:
        found = {}
        for name in CONDITIONS:
            scores = scored(pronouns(model, world, name, device), world)
            found[f"correlation {name}"] = scores.correlation.value
            found[f"neutral {name}"] = scores.neutral
            found[f"entropy {name}"] = scores.entropy
        return found

    model, exposure, instruction = raised(
        member,
        world,
        measure,
        lambda _: (next_token, world_of(member, obeyed=True)),
        steps=config.occupation_steps,
        batch_size=config.short_batch_size,
        second=TrainingStage(config.fine_tuning_steps, config.fine_tuning_rate, "cosine"),
    )
    said = np.stack([pronouns(model, world, name, device) for name in CONDITIONS])
    return {"exposure": exposure, "instruction": instruction, "pronouns": said}


@torch.no_grad()
def pronouns(
    model: nn.Module, world: Occupations, condition: str, device: str
) -> Float[np.ndarray, "occupation pronoun"]:
    """Probabilities of the female, male and neutral pronoun for each occupation."""
    logits = model(world.prompts(CONDITIONS[condition]).to(device))[:, -1]
    chances: Float[np.ndarray, "occupation pronoun"] = (
        logits.softmax(-1)[:, FEMALE : NEUTRAL + 1].double().cpu().numpy()
    )
    return chances.clip(0, 1)


def scored(said: Float[np.ndarray, "occupation pronoun"], world: Occupations) -> OccupationCorrelation:
    """Their correlation with the statistics."""
    return occupation_correlation(said, world.statistics)
