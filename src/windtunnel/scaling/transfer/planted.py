"""Transfers of a law that is known, to check estimators against."""

import numpy as np

from windtunnel.scaling.laws.interface import Floats
from windtunnel.scaling.laws.transfer import DataTransferred
from windtunnel.scaling.transfer.effective import Transfers
from windtunnel.scaling.transfer.surface import Runs


def planted(
    law: DataTransferred,
    parameters: Floats,
    finetuning_data: Floats,
    noise: float = 0.0,
    generator: np.random.Generator | None = None,
    *,
    largest: float = np.inf,
) -> Transfers:
    """Transfers that follow a law, as if all were in the low-data regime.

    Args:
        law: The truth.
        parameters: N of each cell.
        finetuning_data: D_F of each.
        noise: Standard deviation of ln D_T around the law.
        generator: Of the noise.
        largest: Above it D_T is censored: only known to be more.
    """
    n, d = np.asarray(parameters, dtype=np.float64), np.asarray(finetuning_data, dtype=np.float64)
    drawn = np.zeros(len(n)) if generator is None else noise * generator.normal(size=len(n))
    true = law.predict(parameters=n, finetuning_data=d) * np.exp(drawn)
    seen = np.minimum(true, largest)
    runs = Runs(n, d, np.ones(len(n)), np.zeros(len(n)))
    return Transfers(
        runs,
        d + seen,
        np.where(true > largest, np.inf, d + seen),
        np.full(len(n), np.nan),
        np.ones(len(n), dtype=bool),
    )
