"""Fewer samples of a task, drawn by seed and spread evenly over groups."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from windtunnel.evaluation.tasks import Sample, Task
from windtunnel.laboratory.errors import UsageError


def subset(task: Task, count: int, *, seed: int = 0, by: Sequence[str] = ()) -> Task:
    """The task with `count` of its samples, in the order of its dataset.

    Args:
        task: The task.
        count: Samples wanted; all are kept if there are no more.
        seed: Of the draw.
        by: Keys of the samples' metadata: groups of equal values get equally many samples, as far as they reach. The
            mean over such a subset is the mean over groups, not over the task.

    Raises:
        UsageError: The count is not positive.
    """
    return replace(task, dataset=drawn(task.dataset, count, seed=seed, by=by))


def drawn(samples: Sequence[Sample], count: int, *, seed: int = 0, by: Sequence[str] = ()) -> list[Sample]:
    """`count` of some samples; arguments and errors as for `subset`."""
    if count < 1:
        raise UsageError(f"A subset has at least 1 sample, not {count}.")
    groups: dict[tuple[str, ...], list[int]] = {}
    for place in np.random.default_rng(seed).permutation(len(samples)):
        key = tuple(str(samples[place].metadata.get(name)) for name in by)
        groups.setdefault(key, []).append(int(place))
    kept: list[int] = []
    ordered = [groups[key] for key in sorted(groups)]
    while len(kept) < min(count, len(samples)):
        for group in ordered:
            if group and len(kept) < count:
                kept.append(group.pop())
    return [samples[place] for place in sorted(kept)]
