"""Losses of trained runs with what is not sure about them: the held-out rows, and the seed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from windtunnel.scaling.rows import Row
from windtunnel.statistics.estimates import Estimate

PAPERS_SPREAD = 0.02
"""Standard deviation between seeds in nats (section 4.2), taken where it is not measured."""

REPLICATES = 200


@dataclass(frozen=True)
class Uncertainty:
    """How losses are varied for intervals.

    All runs were measured on the same held-out rows, which are resampled together, so that differences are as sure as
    they are; and each loss gets an error of its own with the spread that was measured between seeds.

    Attributes:
        spread: Between seeds, nats.
        generator: Of the variation.
    """

    spread: float
    generator: np.random.Generator

    def estimate(
        self,
        rows: Sequence[Row],
        statistic: Callable[[np.ndarray], float],
        of: Callable[[Row], np.ndarray] = lambda row: row.row_losses,
        replicates: int = REPLICATES,
    ) -> Estimate:
        """A statistic of the losses of several runs with its 95 % interval.

        Args:
            rows: The runs.
            statistic: From losses [run, ...] to a number.
            of: From a run to what was measured on each held-out row [row, ...].
            replicates: How many variations.
        """
        measured = np.stack([of(row) for row in rows])
        count = measured.shape[1]
        drawn = []
        for _ in range(replicates):
            chosen = self.generator.integers(count, size=count)
            noise = self.spread * self.generator.standard_normal(len(rows))
            losses = measured[:, chosen].mean(1)
            drawn.append(statistic(losses + noise.reshape(-1, *[1] * (losses.ndim - 1))))
        low, high = np.nanquantile(drawn, [0.025, 0.975]) if np.isfinite(drawn).any() else (np.nan, np.nan)
        return Estimate(float(statistic(measured.mean(1))), float(low), float(high))


def spread_between(rows: Sequence[Row]) -> float:
    """Standard deviation of the loss between runs that differ in their seed only."""
    losses: Any = [row.loss for row in rows]
    return float(np.std(losses, ddof=1)) if len(losses) > 1 else PAPERS_SPREAD
