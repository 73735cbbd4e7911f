"""Policy gradient on lettered questions: what reward for right answers does to calibration (Section 3.3, in small)."""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor


class ExpectedReward:
    """An objective: the expected share of right letters, its expectation taken exactly over the letters.

    Its gradient is that of REINFORCE with reward 1 for the right letter and 0 for others, without the sampling noise.
    Nothing in it asks for honest probabilities, so that the most probable letter takes all.

    Args:
        letters: Tokens of the letters.
    """

    def __init__(self, letters: Sequence[int]) -> None:
        self.letters = torch.tensor(list(letters))

    def __call__(self, model: Any, batch: dict[str, Tensor]) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
        """Minus the summed reward of rows whose last token is the right letter, and their number."""
        tokens = batch["tokens"]
        logits = model(tokens[:, :-1])[:, -1]
        policy = torch.softmax(logits[:, self.letters.to(tokens.device)].float(), dim=-1)
        reward = policy[tokens[:, -1:] == self.letters.to(tokens.device)]
        return -reward.sum(), torch.tensor(float(len(tokens)), device=tokens.device)
