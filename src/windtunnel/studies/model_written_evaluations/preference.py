"""What preference training minimises here: comparisons for the preference model, rewards for the policy.

Answers are one token, so that a reward model and a policy gradient are a few lines each.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from windtunnel.data.worlds.sycophancy import START, Dialogues

Rewards = Float[Tensor, "row answer"]


def scores(model: nn.Module, tokens: Int[Tensor, "row position"]) -> Float[Tensor, " row"]:
    """A preference model's score of whole dialogues: its logit of the first token after the answer."""
    logits: Tensor = model(tokens)
    return logits[:, -1, START]


def rewards(model: nn.Module, prompts: Int[Tensor, "row position"], world: Dialogues) -> Rewards:
    """A preference model's score of either answer to each prompt."""
    found = [scores(model, with_answer(prompts, answer)) for answer in world.answers]
    return torch.stack(found, dim=1)


def with_answer(prompts: Int[Tensor, "row position"], answer: int) -> Int[Tensor, "row more"]:
    """Prompts with one answer after all of them."""
    return torch.cat([prompts, prompts.new_full((len(prompts), 1), answer)], dim=1)


def answer_logprobs(model: nn.Module, prompts: Int[Tensor, "row position"], world: Dialogues) -> Rewards:
    """Log-probabilities of the two answers among each other."""
    logits: Tensor = model(prompts)
    return functional.log_softmax(logits[:, -1, list(world.answers)], dim=1)


def comparison_loss(world: Dialogues) -> Callable[[nn.Module, dict[str, Tensor]], tuple[Tensor, Tensor]]:
    """The loss of a preference model on rows that end with the preferred answer (Bradley and Terry, 1952)."""

    def objective(model: nn.Module, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        tokens = batch["tokens"]
        both = rewards(model, tokens[:, :-1], world)
        preferred = (tokens[:, -1] == world.answers[1]).long()[:, None]
        gap = both.gather(1, preferred) - both.gather(1, 1 - preferred)
        return -functional.logsigmoid(gap).sum(), torch.tensor(len(tokens), device=tokens.device)

    return objective


def policy_gradient(
    world: Dialogues, judge: nn.Module, before: nn.Module, penalty: float
) -> Callable[[nn.Module, dict[str, Tensor]], tuple[Tensor, Tensor]]:
    """The surrogate loss of REINFORCE: an answer is drawn, and made likelier by how much it beats the batch.

    The reward is the preference model's, less `penalty` times the log-ratio to the policy before (nats), so that the
    optimum is the policy before tilted by exp(reward / penalty).
    """

    def objective(model: nn.Module, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        prompts = batch["tokens"][:, :-1]
        logprobs = answer_logprobs(model, prompts, world)
        drawn = torch.multinomial(logprobs.detach().exp(), 1)
        with torch.no_grad():
            ratio = logprobs - answer_logprobs(before, prompts, world)
            whole = rewards(judge, prompts, world) - penalty * ratio
            expected = (logprobs.exp() * whole).sum(1, keepdim=True)  # of either answer: a baseline without bias
            advantage = whole.gather(1, drawn) - expected
        return -(advantage * logprobs.gather(1, drawn)).sum(), torch.tensor(len(prompts), device=prompts.device)

    return objective


def tilted(logprobs: Rewards, found: Rewards, penalty: float) -> Rewards:
    """The optimum of the penalised reward: log-probabilities of π(a) exp(r(a) / penalty), normalised."""
    return functional.log_softmax(logprobs + found / penalty, dim=1)
