"""The measured grid as runs, by beginning, and the statistics over it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from windtunnel.laboratory.errors import DataError
from windtunnel.scaling.laws.interface import Floats
from windtunnel.scaling.resampling import percentile_interval, widening
from windtunnel.scaling.transfer.effective import Transfers, transfers
from windtunnel.scaling.transfer.surface import Curve, Runs, surface
from windtunnel.statistics.estimates import Estimate

SCRATCH = "scratch"
LEVEL = 0.9


@dataclass(frozen=True)
class Grid:
    """What was trained on text.

    Attributes:
        rows: One dict per run, as `training.on_target` and `text.train_lineage` give it.
    """

    rows: Sequence[Mapping[str, Any]]

    def of(self, beginning: str) -> "Grid":
        """The runs of one beginning."""
        return Grid([row for row in self.rows if row["beginning"] == beginning])

    @property
    def beginnings(self) -> list[str]:
        """What was pre-trained on, in order."""
        return [name for name in dict.fromkeys(row["beginning"] for row in self.rows) if name != SCRATCH]

    def column(self, name: str) -> Floats:
        """One number of every run."""
        return np.array([row[name] for row in self.rows], dtype=np.float64)

    @cached_property
    def runs(self) -> Runs:
        """As runs."""
        return Runs.of(*(self.column(name) for name in ("parameters", "data", "loss", "seed")))

    @cached_property
    def curves(self) -> dict[float, Curve]:
        """The curves from scratch."""
        return surface(self.of(SCRATCH).runs)

    def transfers(self, beginning: str) -> Transfers:
        """The runs of one beginning against the curves from scratch."""
        return transfers(self.curves, self.of(beginning).runs)

    @cached_property
    def clusters(self) -> list[tuple[float, float]]:
        """(N, seed) of the runs from scratch."""
        scratch = self.of(SCRATCH)
        return sorted(
            {
                (float(n), float(seed))
                for n, seed in zip(scratch.column("parameters"), scratch.column("seed"), strict=True)
            }
        )

    def drawn(self, generator: np.random.Generator) -> "Grid":
        """A resample of whole clusters (N, seed), with their runs from scratch and fine-tuned ones."""
        places = generator.integers(len(self.clusters), size=len(self.clusters))
        wanted = [self.clusters[place] for place in places]
        by_cluster: dict[tuple[float, float], list[Mapping[str, Any]]] = {}
        for row in self.rows:
            by_cluster.setdefault((float(row["parameters"]), float(row["seed"])), []).append(row)
        return Grid([row for cluster in wanted for row in by_cluster[cluster]])

    def estimate(
        self, statistic: Callable[["Grid"], float], generator: np.random.Generator, resamples: int
    ) -> Estimate | None:
        """A statistic with its percentile interval over clusters, widened for few; None where it cannot be taken.

        Resamples from which it cannot be taken are left out; where that is most of them, the interval is unbounded.
        """
        try:
            value = statistic(self)
        except DataError:
            return None
        drawn = []
        for _ in range(resamples):
            try:
                drawn.append(statistic(self.drawn(generator)))
            except DataError:
                continue
        found = [one for one in drawn if np.isfinite(one)]
        if len(found) < resamples / 2 or not np.isfinite(value):
            return Estimate(value, -np.inf, np.inf, LEVEL)
        low, high = percentile_interval(np.array(found), LEVEL, widening(len(self.clusters), 1, LEVEL))
        return Estimate(value, min(float(low), value), max(float(high), value), LEVEL)


def share_positive(grid: Grid) -> float:
    """Share of the low-data runs, of all pre-trainings, whose data transferred are more than none."""
    signs = [found.transferred[found.low_data] > 0 for name in grid.beginnings for found in [grid.transfers(name)]]
    together = np.concatenate(signs) if signs else np.array([])
    if not len(together):
        raise DataError("No run is in the low-data regime; train from scratch on more data.")
    return float(together.mean())


def multiplier_slope(grid: Grid) -> float:
    """Slope of ln multiplier over ln D_F in the low-data regime, each size and pre-training with a level of its own.

    Runs whose D_E is a bound are left out.
    """
    x, y = [], []
    for name in grid.beginnings:
        found = grid.transfers(name)
        found = found.select(found.low_data & found.exact)
        for size in np.unique(found.runs.parameters):
            mine = found.select(found.runs.parameters == size)
            x.append(np.log(mine.runs.data) - np.log(mine.runs.data).mean())
            logs = np.log(np.maximum(mine.multiplier, 1e-6))
            y.append(logs - logs.mean())
    if not x or not (spread := float((np.concatenate(x) ** 2).sum())) > 0:
        raise DataError("No size was fine-tuned on two amounts of data in the low-data regime; fine-tune on more.")
    return float((np.concatenate(x) * np.concatenate(y)).sum() / spread)


def size_slopes(grid: Grid, beginning: str) -> Estimate | None:
    """Nats per decade of N at the least D_F: fine-tuned minus from scratch; None where there is one size only.

    The slope of the differences within clusters (N, seed), by least squares with Student's interval: resamples of a few
    clusters at two or three sizes cannot spread as wide as their slope is uncertain.
    """
    from scipy.stats import linregress, t

    least = grid.of(beginning).column("data").min()
    losses: dict[tuple[float, float], dict[str, float]] = {}
    for row in grid.rows:
        if row["data"] == least:
            losses.setdefault((float(row["parameters"]), float(row["seed"])), {})[row["beginning"]] = row["loss"]
    pairs = [
        (n, found[beginning] - found[SCRATCH])
        for (n, _), found in losses.items()
        if {beginning, SCRATCH} <= found.keys()
    ]
    sizes = np.log10([n for n, _ in pairs])
    if len(np.unique(sizes)) < 2:
        return None
    fit = linregress(sizes, [difference for _, difference in pairs])
    free = len(pairs) - 2
    half = float(t.ppf(0.5 + LEVEL / 2, free) * fit.stderr) if free else np.inf
    return Estimate(float(fit.slope), float(fit.slope) - half, float(fit.slope) + half, LEVEL)


def epochs_ratio(grid: Grid, beginning: str) -> float:
    """Epochs to the best stop at the least D_F, fine-tuned over from scratch: mean over runs of each."""
    least = grid.of(beginning).column("data").min()
    means = []
    for name in (beginning, SCRATCH):
        part = grid.of(name)
        mine = part.column("epochs")[part.column("data") == least]
        if not len(mine) or not mine.mean() > 0:
            raise DataError("No run from scratch needed any training; nothing to compare.")
        means.append(float(mine.mean()))
    return means[0] / means[1]
