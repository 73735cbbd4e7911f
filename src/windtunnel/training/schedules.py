"""Learning-rate schedules: pure functions from a step to a multiplier of the peak learning rate."""

import math
from typing import Literal

Schedule = Literal["constant", "linear", "cosine", "wsd"]


def multiplier(
    schedule: Schedule,
    step: int,
    *,
    steps: int,
    warmup_steps: int = 0,
    final_fraction: float = 0.0,
    decay_fraction: float = 0.2,
) -> float:
    """The share of the peak learning rate used for optimizer step `step`, counted from 0.

    Args:
        schedule: `constant`; `linear` or `cosine` from the peak after warm-up to the final fraction at the last step;
            `wsd` (warm-up, stable, decay): the peak until the last `decay_fraction` of the steps, then linear.
        step: The step about to be taken.
        steps: Steps in all.
        warmup_steps: Steps of linear warm-up; step 0 uses 1 / warmup_steps.
        final_fraction: Share of the peak that is left at the end.
        decay_fraction: Share of all steps over which `wsd` decays.
    """
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    if schedule == "constant":
        return 1.0
    start = warmup_steps if schedule != "wsd" else max(warmup_steps, round(steps * (1 - decay_fraction)))
    done = min(max(step - start, 0) / max(steps - 1 - start, 1), 1.0)
    fall = 0.5 * (1 - math.cos(math.pi * done)) if schedule == "cosine" else done
    return 1.0 - (1.0 - final_fraction) * fall
