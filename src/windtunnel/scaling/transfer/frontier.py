"""When pre-training saves compute: the lowest loss within a budget, from scratch and fine-tuned (figures 4, 7, 8)."""

import numpy as np
from numpy.typing import ArrayLike

from windtunnel.laboratory.errors import DataError
from windtunnel.scaling.laws.interface import Floats, checked_positive


def lowest_within(budgets: Floats, flops: ArrayLike, loss: ArrayLike) -> Floats:
    """The lowest loss reached with at most so many FLOPs, at each budget; infinite where none was."""
    spent, losses = checked_positive(flops, "FLOPs"), checked_positive(loss, "losses")
    order = np.argsort(spent)
    best = np.minimum.accumulate(losses[order])
    place = np.searchsorted(spent[order], budgets, side="right") - 1
    return np.where(place >= 0, best[np.maximum(place, 0)], np.inf)


def share_on_frontier(
    scratch: tuple[ArrayLike, ArrayLike], finetuned: tuple[ArrayLike, ArrayLike], *, points: int = 200
) -> float:
    """Share of the budgets, evenly in their logarithm, at which fine-tuning reaches the lower loss.

    Budgets run from the first that reaches any loss to the largest spent either way; ties count half. Points of all
    sizes of model may be given together: the best size is chosen at each budget.

    Args:
        scratch: FLOPs and losses along trainings from scratch.
        finetuned: The same along fine-tunings, with or without the FLOPs of pre-training.
        points: Budgets compared.

    Raises:
        DataError: All were at one budget.
    """
    ends = np.concatenate([np.ravel(scratch[0]), np.ravel(finetuned[0])]).astype(np.float64)
    if not ends.max() > ends.min() > 0:
        raise DataError("A compute frontier needs losses at two budgets or more; measure along the training.")
    budgets = np.geomspace(ends.min(), ends.max(), points)
    ours, theirs = lowest_within(budgets, *scratch), lowest_within(budgets, *finetuned)
    return float(np.mean(np.where(theirs == ours, 0.5, theirs < ours)))
