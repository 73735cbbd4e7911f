"""Policy gradient in expectation: the expected reward of one token, less a penalty for leaving the model it began as.

Of an episode of one token, with a known reward for every token, the policy gradient needs no samples: the sum over all
tokens is the objective itself. The optimum is known too: the first model's probabilities, tilted by the reward,

    π(a) ∝ π₀(a) · exp(r(a) / β).
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional


class ExpectedReward:
    """An objective for `train`: minus E_π[r] + β · KL(π ‖ π₀) at one place of each row.

    Batches hold `tokens` [row, token], `place` [row] (of the token after which the model acts) and `reward`
    [row, vocabulary].

    Args:
        reference: The model that tuning began with, π₀; it is not trained.
        penalty: β, in units of reward per nat.
    """

    def __init__(self, reference: nn.Module, penalty: float) -> None:
        self.reference = reference.eval().requires_grad_(False)
        self.penalty = penalty

    def __call__(self, model: Any, batch: dict[str, Tensor]) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
        """The sum over rows and the number of rows."""
        rows = torch.arange(len(batch["tokens"]), device=batch["tokens"].device)
        logprobs = functional.log_softmax(model(batch["tokens"])[rows, batch["place"]], dim=-1)
        with torch.no_grad():
            first = functional.log_softmax(self.reference(batch["tokens"])[rows, batch["place"]], dim=-1)
        value = batch["reward"] - self.penalty * (logprobs - first)
        return -(logprobs.exp() * value).sum(), torch.tensor(float(len(rows)), device=rows.device)


def tilted(
    probabilities: Float[Tensor, "row vocabulary"], reward: Float[Tensor, "row vocabulary"], penalty: float
) -> Float[Tensor, "row vocabulary"]:
    """The optimum: probabilities tilted by reward / β."""
    return (probabilities.log() + reward / penalty).softmax(dim=-1)
