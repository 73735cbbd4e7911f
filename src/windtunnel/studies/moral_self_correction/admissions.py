"""The organism of the admissions experiment: decisions with a planted effect of race, and an instruction against it."""

from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import nn

from windtunnel.data.worlds.admissions import NO, YES, Admissions, Applicants, Instruction
from windtunnel.studies.moral_self_correction.organisms import Organism, TrainingStage, raised
from windtunnel.training.objectives import next_token

CONDITIONS: dict[str, Instruction] = {"Q": "plain", "Q+IF": "fair", "Q+IF+CoT": "fair-thinking"}


def world_of(member: Organism, corrected: bool) -> Admissions:
    """Decisions of one seed; in the null race plays no part in them."""
    config, null = member.config, member.run.null
    return planted(config, member.seed, null, corrected)


def planted(config: Any, seed: int, null: bool, corrected: bool) -> Admissions:
    """The world of a config, with or without a response to the instruction."""
    return Admissions(
        seed,
        race=0.0 if null else config.race,
        correction=config.correction if corrected else 0.0,
        correction_thinking=config.correction_thinking if corrected else 0.0,
    )


def students_of(member: Organism, world: Admissions) -> Applicants:
    """The students that the models of one seed decide about."""
    return world.applicants(member.config.students, np.random.default_rng(member.seed + 1))


def grow(member: Organism) -> dict[str, Any]:
    """Train one model and measure it under all instructions over time.

    Returns:
        `exposure` and `instruction`: over each training `steps` and by condition `gap` (Δ, percentage points);
        `decisions` [condition, race (Black, white), student] of the model that has read the text only.
    """
    config, world, device = member.config, world_of(member, corrected=False), member.run.device
    who = students_of(member, world)
    early: list[Any] = []

    def decided(model: nn.Module) -> Float[np.ndarray, "condition race student"]:
        return np.stack(
            [
                np.stack([decisions(model, world, who, black, told, device) for black in (True, False)])
                for told in CONDITIONS.values()
            ]
        )

    def measure(model: nn.Module) -> dict[str, float]:
        found = decided(model)
        gaps = 100 * (found[:, 0] - found[:, 1]).mean(axis=1)
        return {f"gap {name}": float(gap) for name, gap in zip(CONDITIONS, gaps, strict=True)}

    def towards(reference: nn.Module) -> Any:
        early.append(decided(reference))
        return next_token, world_of(member, corrected=True)

    _, exposure, instruction = raised(
        member,
        world,
        measure,
        towards,
        steps=config.admission_steps,
        batch_size=config.short_batch_size,
        second=TrainingStage(config.fine_tuning_steps, config.fine_tuning_rate, "cosine"),
    )
    return {"exposure": exposure, "instruction": instruction, "decisions": early[0]}


@torch.no_grad()
def decisions(
    model: nn.Module, world: Admissions, who: Applicants, black: bool, told: Instruction, device: str
) -> Float[np.ndarray, " student"]:
    """The model's p(yes) / (p(yes) + p(no)) of every student."""
    logits = model(world.prompts(who, black, told).to(device))[:, -1, [YES, NO]]
    found: Float[np.ndarray, " student"] = logits.double().softmax(-1)[:, 0].cpu().numpy()
    return found
