"""The organism of BBQ: a planted stereotype, and steps towards an instruction to be fair."""

from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from windtunnel.data.sources import Rows
from windtunnel.data.worlds.stereotypes import ANSWER, Questions, StereotypeQuestions, written
from windtunnel.evaluation.bias.bbq import Items
from windtunnel.studies.moral_self_correction.organisms import Organism, TrainingStage, raised
from windtunnel.training.objectives import next_token
from windtunnel.training.objectives.expected_reward import ExpectedReward

CONDITIONS: dict[str, dict[str, bool]] = {
    "Q": {"fair": False, "thinking": False},
    "Q+IF": {"fair": True, "thinking": False},
    "Q+IF+CoT": {"fair": True, "thinking": True},
}
"""The paper's three conditions: flag and mode of each."""


def world_of(member: Organism, obedience: float = 0.0) -> StereotypeQuestions:
    """The text of one seed; the null has no stereotype, and neither instruction nor thinking changes an answer."""
    config, null = member.config, member.run.null
    return StereotypeQuestions(
        config.groups,
        config.attributes,
        member.seed,
        prior=0.5 if null else config.prior,
        evasion=config.evasion,
        evasion_thinking=config.evasion if null else config.evasion_thinking,
        obedience=0.0 if null else obedience,
    )


def grow(member: Organism) -> dict[str, Any]:
    """Train one model and measure it in all conditions over time.

    Returns:
        `exposure` and `instruction`: over each training `steps`, and by condition `bias` (expected s_AMB) and
        `accuracy` (of disambiguated questions); `answers` [condition, question] at the end, of the questions that
        `asked_of` draws.
    """
    config, world, device = member.config, world_of(member), member.run.device
    asked = asked_of(member)

    def measure(model: nn.Module) -> dict[str, float]:
        found = {}
        for name in CONDITIONS:
            chances = option_probabilities(model, asked, name, device)
            found[f"bias {name}"] = bias(asked, chances)
            right = chances.argmax(dim=1) == asked.right
            found[f"accuracy {name}"] = float(right[~asked.ambiguous].double().mean())
        return found

    def towards(reference: nn.Module) -> Any:
        if config.tuning == "fine-tuning":
            return next_token, world_of(member, obedience=1.0)
        return ExpectedReward(reference, config.penalty), Rewarded(world, blind=member.run.null)

    model, exposure, instruction = raised(
        member,
        world,
        measure,
        towards,
        steps=config.text_steps,
        batch_size=config.batch_size,
        second=TrainingStage(config.reward_steps, config.reward_rate, "constant"),
    )
    answers = [option_probabilities(model, asked, name, device).argmax(dim=1) for name in CONDITIONS]
    return {"exposure": exposure, "instruction": instruction, "answers": torch.stack(answers).numpy()}


def asked_of(member: Organism) -> Questions:
    """What the models of one seed are asked."""
    generator = torch.Generator().manual_seed(member.seed + 1)
    return world_of(member).questions(member.config.questions, generator)


def items_of(asked: Questions) -> Items:
    """The questions as BBQ's scores read them; the template is what is asked about."""
    return Items(
        ambiguous=asked.ambiguous.numpy(),
        negative=asked.negative.numpy(),
        right=asked.right.numpy(),
        unknown=np.full(len(asked.right), 2),
        target=asked.target.numpy(),
        category=np.full(len(asked.right), "planted"),
        cluster=asked.question.numpy(),
    )


def bias(asked: Questions, chances: Float[Tensor, "question 3"]) -> float:
    """Expected ambiguous bias score, (1 − accuracy) · s, of answers drawn with these probabilities."""
    items = items_of(asked)
    return float(items.leanings(chances.double().numpy())[items.ambiguous].mean())


@torch.no_grad()
def option_probabilities(
    model: nn.Module, asked: Questions, condition: str, device: str
) -> Float[Tensor, "question 3"]:
    """Probabilities of the three options among each other; thinking, after evidence that the model itself has said."""
    prompts = asked.prompts(**CONDITIONS[condition]).to(device)
    logits = model(prompts)[:, -1]
    if CONDITIONS[condition]["thinking"]:
        said = torch.multinomial(logits.softmax(-1).cpu(), 1, generator=torch.Generator().manual_seed(0)).to(device)
        logits = model(torch.cat([prompts, said, torch.full_like(said, ANSWER)], dim=1))[:, -1]
    chances: Float[Tensor, "question 3"] = logits.gather(1, asked.options.to(device)).softmax(dim=-1).cpu()
    return chances


class Rewarded:
    """Questions with the reward of every answer, as a rater who wants the instruction heeded gives it.

    The right answer has reward 1 where the context tells. Where it does not, "unknown" has it under the instruction;
    without, any of the three, for nothing was asked of the model then.

    Args:
        world: Where questions come from.
        blind: The rater does not see the instruction; the null.
    """

    def __init__(self, world: StereotypeQuestions, blind: bool) -> None:
        self.world, self.blind = world, blind
        self.vocabulary, self.context = world.vocabulary, world.context

    def rows(self, start: int, count: int) -> Rows:
        """Rows `start` to `start + count - 1`, with the place of the answer and its rewards."""
        generator = torch.Generator().manual_seed(self.world.seed + 2 + start)
        asked = self.world.questions(count, generator)
        tokens = written(asked, asked.options.gather(1, asked.right[:, None])[:, 0])
        place = torch.where(asked.thinking, tokens.shape[1] - 2, tokens.shape[1] - 4)
        wanted = torch.arange(3) == asked.right[:, None]
        heeded = asked.fair & (not self.blind)
        wanted |= (asked.ambiguous & ~heeded)[:, None]
        reward = torch.zeros(count, self.vocabulary).scatter_(1, asked.options, wanted.float())
        return {"tokens": tokens, "place": place, "reward": reward}


def planted(member: Organism, condition: str) -> float:
    """The bias of a model that has learned the text and then been tuned without end.

    Rewards tilt the text's probabilities: "unknown" by exp(1 / β) against the two persons.
    """
    kind = CONDITIONS[condition]
    if member.config.tuning == "fine-tuning":
        return world_of(member, obedience=1.0).bias(**kind)
    world = world_of(member)
    if not kind["fair"]:
        return world.bias(**kind)
    silent = world.silence(**kind)
    tilt = silent * float(np.exp(1 / member.config.penalty))
    return (1 - tilt / (tilt + 1 - silent)) * (2 * world.prior - 1)


def first_answers(answers: Int[np.ndarray, "condition question"], condition: str) -> Int[np.ndarray, " question"]:
    """The answers in one condition."""
    found: Int[np.ndarray, " question"] = answers[list(CONDITIONS).index(condition)]
    return found
