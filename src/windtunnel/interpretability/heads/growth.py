"""How the heads of one model grew over training: curves over its snapshots, and the phase change in them."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from windtunnel.interpretability.heads.ablation import Head
from windtunnel.interpretability.heads.effects import gain_removed
from windtunnel.interpretability.heads.trajectories import (
    PhaseWindow,
    moving_average,
    onset,
    phase_window,
    phase_window_interval,
    pivot,
)
from windtunnel.statistics.estimates import Estimate

Array = NDArray[np.float64]

PHASE_CHANGE = 0.25
"""Nats by which the in-context-learning score must fall to be a phase change: in the paper it goes from 0.15 to 0.4."""

MATCHES = 0.1
"""Prefix-matching score from which a model is said to match prefixes at all: three times chance."""


@dataclass(frozen=True)
class Growth:
    """One model over training.

    Attributes:
        trajectory: Measurements stacked over snapshots (`snapshots.series`).
        table: The last snapshot's analysis (`analysis.analysis_table`).
    """

    trajectory: dict[str, Array]
    table: dict[str, Any]

    @property
    def steps(self) -> Array:
        """Steps of the snapshots."""
        return self.trajectory["step"]

    @property
    def in_context(self) -> Array:
        """In-context-learning score at every snapshot."""
        return np.asarray(self.trajectory["in_context"].mean(axis=1))

    def highest(self, score: str) -> Array:
        """The highest score of any head at every snapshot."""
        return np.asarray(self.trajectory[score].max(axis=(1, 2)))

    @property
    def forms_induction_heads(self) -> bool:
        """Whether some head matches prefixes at the end."""
        return bool(self.highest("prefix_matching")[-1] >= MATCHES)

    @property
    def window(self) -> PhaseWindow | None:
        """The phase change of the in-context-learning score; None without one, or without induction heads."""
        if not self.forms_induction_heads:
            return None
        return phase_window(self.steps, self.in_context, least_change=PHASE_CHANGE)

    def window_interval(self, generator: np.random.Generator) -> tuple[Estimate, Estimate] | None:
        """Start and end of the window, with intervals over the evaluation sequences."""
        if self.window is None:
            return None
        curves = self.trajectory["in_context"]
        return phase_window_interval(self.steps, curves, least_change=PHASE_CHANGE, generator=generator)

    @property
    def onset(self) -> float | None:
        """The step at which some head first matches prefixes."""
        return onset(self.steps, self.highest("prefix_matching"), MATCHES)

    @property
    def lag(self) -> float | None:
        """Steps between the fastest changes of in-context learning and of prefix matching; None without a window."""
        if self.window is None:
            return None
        falls = np.diff(moving_average(self.in_context, 3)) / np.diff(self.steps)
        rises = np.diff(moving_average(self.highest("prefix_matching"), 3)) / np.diff(self.steps)
        return float(abs(self.steps[falls.argmin()] - self.steps[rises.argmax()]))

    def turn(self, path: Array) -> float | None:
        """Steps from the phase window to the sharpest turn of a trajectory, 0 inside; None without a window."""
        if self.window is None:
            return None
        step = self.steps[pivot(path, reach=max(2, len(path) // 10))]
        return float(max(self.window.start - step, step - self.window.end, 0.0))

    @property
    def copies(self) -> Array:
        """Loss of each copy of repeated tokens at the end."""
        return np.asarray(self.table["whole"]["copies"][0].mean(axis=0))

    @property
    def gain(self) -> float:
        """Loss of the first copy minus loss of the second, at the end."""
        return float(self.copies[0] - self.copies[1])

    @property
    def induction_heads(self) -> list[Head]:
        """The induction heads at the end; none if no head matches prefixes."""
        return [tuple(head) for head in self.table["induction"].tolist()] if self.forms_induction_heads else []

    def score(self, name: str, head: Head) -> float:
        """A score of one head at the end."""
        return float(self.table["measured"][name][head])

    def removed_by(self, head: Head, kind: str = "full") -> float:
        """Share of the gain on repeated tokens that ablating one head removes."""
        return float(self._removed(self.table[kind]["copies"][self._place(head)]))

    def removed_by_all(self) -> float | None:
        """Share of the gain that ablating all induction heads removes; None if there are none."""
        return float(self._removed(self.table["together"]["copies"][0])) if self.induction_heads else None

    def difference_in_last_layer(self) -> float:
        """Largest difference in a copy's mean loss between the two kinds of ablation, over heads of the last layer."""
        last = self.table["heads"][:, 0] == self.table["heads"][:, 0].max()
        full, preserved = (self.table[kind]["copies"][last].mean(axis=1) for kind in ("full", "preserved"))
        return float(np.abs(full - preserved).max())

    def _removed(self, copies: Array) -> Any:
        return gain_removed(self.table["whole"]["copies"][0], copies).mean()

    def _place(self, head: Head) -> int:
        return int(np.flatnonzero((self.table["heads"] == np.array(head)).all(axis=1))[0])


def over_seeds(values: Iterable[float | None]) -> Estimate | None:
    """The mean over seeds (or heads), with their range as the interval: a claim holds if it holds for every one.

    Returns:
        None where nothing was measured; nan where some seeds lack a value that others have.
    """
    found = list(values)
    numbers = np.array([value for value in found if value is not None])
    if not numbers.size:
        return None
    if len(numbers) < len(found):
        return Estimate(float("nan"), float("nan"), float("nan"), 1.0)
    return Estimate(float(numbers.mean()), float(numbers.min()), float(numbers.max()), 1.0)
