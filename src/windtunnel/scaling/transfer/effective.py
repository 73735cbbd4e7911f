"""The effective data of fine-tuned runs: D_E from the curve from scratch, and the data transferred D_T = D_E − D_F."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from windtunnel.laboratory.errors import DataError
from windtunnel.scaling.laws.interface import Floats
from windtunnel.scaling.transfer.surface import Curve, Runs

LOW_DATA = 0.1
"""The law holds where D_F is at most this share of D(N) (Hernandez et al., section 2)."""

LEAST = 0.01
"""Share of D_F below which data transferred are not told from none where the noise between seeds is unknown."""


@dataclass(frozen=True)
class Transfers:
    """Fine-tuned runs and what their pre-training was worth, one entry each.

    Attributes:
        runs: The fine-tuned runs; `data` is D_F.
        low: Lower bound of D_E.
        high: Upper bound of D_E: equal to the lower where the curve from scratch reaches the loss, infinite where
            the loss is below all of it.
        spread: Standard deviation of ln D_E from the noise between seeds, sd(L) / |dL / d ln D|; nan where unknown.
        low_data: Whether D_F is at most a tenth of D(N).
    """

    runs: Runs
    low: Floats
    high: Floats
    spread: Floats
    low_data: np.ndarray

    @property
    def exact(self) -> np.ndarray:
        """Where D_E is a number and not a bound."""
        return np.asarray(self.low == self.high)

    @property
    def transferred(self) -> Floats:
        """D_T = D_E − D_F; the lower bound where right-censored, the upper where left-censored."""
        return np.where(np.isfinite(self.high), self.high, self.low) - self.runs.data

    @property
    def multiplier(self) -> Floats:
        """(D_F + D_T) / D_F; a bound where D_E is one."""
        return 1 + self.transferred / self.runs.data

    @property
    def floor(self) -> Floats:
        """The smallest D_T told from none: a standard deviation of D_E."""
        spread = np.where(np.isfinite(self.spread), self.spread, 0.0)
        return self.runs.data * np.maximum(np.expm1(np.minimum(spread, 10.0)), LEAST)

    def select(self, rows: np.ndarray) -> "Transfers":
        """Some of the runs."""
        return Transfers(
            self.runs.select(rows), self.low[rows], self.high[rows], self.spread[rows], self.low_data[rows]
        )


def transfers(curves: Mapping[float, Curve], finetuned: Runs) -> Transfers:
    """Hold fine-tuned runs against the curves from scratch of their sizes.

    Args:
        curves: The curve of each size of model.
        finetuned: Runs from one pre-training.

    Raises:
        DataError: A size was fine-tuned for which there is no curve.
    """
    low, high, spread = (np.empty(len(finetuned)) for _ in range(3))
    low_data = np.empty(len(finetuned), dtype=bool)
    for size in np.unique(finetuned.parameters):
        if float(size) not in curves:
            raise DataError(f"No runs from scratch have {size:g} parameters, as fine-tuned runs have; train them.")
        found, mine = curves[float(size)], finetuned.parameters == size
        low[mine], high[mine] = found.data_for(finetuned.loss[mine])
        at = np.where(np.isfinite(high[mine]) & (low[mine] > 0), low[mine], finetuned.data[mine])
        noise = found.noise * np.sqrt(1 + 1 / found.repeats)  # of the run, and of the curve at that place
        with np.errstate(divide="ignore", invalid="ignore"):
            spread[mine] = noise / np.abs(found.slope_at(at))
        low_data[mine] = finetuned.data[mine] <= LOW_DATA * found.enough()
    return Transfers(finetuned, low, high, spread, low_data)
