"""The law D_T = k D_F^α N^β fitted to transfers in the low-data regime, in two ways, with a joint bootstrap."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from windtunnel.laboratory.errors import DataError
from windtunnel.scaling.laws.interface import Floats
from windtunnel.scaling.laws.transfer import DataTransferred
from windtunnel.scaling.resampling import percentile_interval, widening
from windtunnel.scaling.transfer.effective import Transfers, transfers
from windtunnel.scaling.transfer.surface import Runs, surface


def fit_of_fits(found: Transfers) -> DataTransferred:
    """The paper's estimate (appendix C): a logistic curve in ln N at each D_F, then a line through their midpoints.

    logit[D_T / (D_F + D_T)] = β (ln N − ln N*), with β common to all D_F; then ln N* = [(1 − α) ln D_F − ln k] / β,
    each D_F weighing the same. Cells whose D_E is a bound, or whose D_T is not positive, have no logit and are left
    out, as in the paper: `censored` uses them.

    Raises:
        DataError: What is left does not have two sizes at one D_F and two D_F.
    """
    kept = found.select(found.low_data & found.exact & (found.transferred > 0))
    n, d = np.log(kept.runs.parameters), np.log(kept.runs.data)
    sizes, member = np.unique(d, return_inverse=True)
    if len(sizes) < 2 or not len(n):
        raise DataError("Fewer than two data sizes of the low-data regime have data transferred; fine-tune on more.")
    counts = np.bincount(member)
    logit = np.log(kept.transferred / kept.runs.data)
    around_n = n - (np.bincount(member, weights=n) / counts)[member]
    if not (around_n**2).sum() > 0:
        raise DataError("No data size was fine-tuned at two sizes of model with data transferred; fine-tune more.")
    beta = float((around_n * logit).sum() / (around_n**2).sum())
    intercepts = np.bincount(member, weights=logit - beta * n) / counts  # = −β ln N* = ln k − (1 − α) ln D_F
    slope, log_k = np.polyfit(sizes, intercepts, 1)
    return DataTransferred(float(np.exp(log_k)), float(1 + slope), beta)


def censored(found: Transfers) -> DataTransferred:
    """Censored maximum likelihood (Tobin, 1958) of ln D_T = ln k + α ln D_F + β ln N + ε in the low-data regime.

    ε is normal with a variance that is fitted, to which that of the noise between seeds is added. A run below all of
    its curve says that D_T is more than the curve's end; one whose D_T is not told from none (`Transfers.floor`) says
    that it is less than that.

    Raises:
        DataError: Fewer than four cells, or not two sizes of model and of data among them.
    """
    kept = found.select(found.low_data)
    log_n, log_d = np.log(kept.runs.parameters), np.log(kept.runs.data)
    if len(kept.runs) < 4 or min(len(np.unique(log_n)), len(np.unique(log_d))) < 2:
        raise DataError("The law needs four low-data runs of two sizes of model and of data at least; fine-tune more.")
    right = ~np.isfinite(kept.high)
    left = ~right & (kept.transferred < kept.floor)
    bound = np.log(np.maximum(kept.transferred, kept.floor))
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        # d ln D_T = (D_E / D_T) d ln D_E
        noise = kept.spread * (kept.transferred + kept.runs.data) / np.exp(bound)
    noise = np.where(np.isfinite(noise) & ~left & ~right, np.minimum(noise, 5.0), 0.0)
    return DataTransferred(*_tobit(log_d, log_n, bound, noise, left, right))


def _tobit(log_d: Floats, log_n: Floats, y: Floats, noise: Floats, left: Any, right: Any) -> tuple[float, float, float]:
    """k, α and β of the censored regression; coordinates are centred and scaled, so that the search is well posed."""
    from scipy.optimize import minimize
    from scipy.special import log_ndtr

    centre, scale = (np.array([f(log_d), f(log_n)]) for f in (np.mean, np.std))
    columns = np.column_stack([np.ones(len(y)), (log_d - centre[0]) / scale[0], (log_n - centre[1]) / scale[1]])
    exact = ~(left | right)
    side = np.where(left, 1.0, -1.0)

    def objective(theta: Floats) -> tuple[float, Floats]:
        sigma = np.exp(theta[3])
        spread = np.sqrt(sigma**2 + noise**2)
        z = (y - columns @ theta[:3]) / spread
        loss = np.where(exact, 0.5 * z**2 + np.log(spread), -log_ndtr(side * z))
        mills = np.exp(-0.5 * z**2 - 0.5 * np.log(2 * np.pi) - log_ndtr(side * z))
        by_z = np.where(exact, z, -side * mills)
        by_log_sigma = (np.where(exact, 1.0, 0.0) - by_z * z) * (sigma / spread) ** 2
        prior = 1e-6 * theta[3] ** 2  # keeps the variance from running to 0 where the fit is perfect
        gradient = np.append(-(by_z / spread) @ columns, by_log_sigma.sum() + 2e-6 * theta[3])
        return float(loss.sum() + prior), gradient

    start = np.append(np.linalg.lstsq(columns, y, rcond=None)[0], np.log(max(float(np.std(y)), 0.1)))
    bounds = [(None, None)] * 3 + [(np.log(1e-3), np.log(1e2))]
    theta = minimize(objective, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 500}).x
    alpha, beta = theta[1:3] / scale
    return float(np.exp(theta[0] - alpha * centre[0] - beta * centre[1])), float(alpha), float(beta)


ESTIMATORS: dict[str, Callable[[Transfers], DataTransferred]] = {"fit-of-fits": fit_of_fits, "censored": censored}


@dataclass(frozen=True)
class TransferFit:
    """The law fitted to runs.

    Attributes:
        laws: By estimator; one that had too little to go on is missing.
        transfers: What was fitted.
        reference: (N, D_F) in the middle of what was fitted, at which laws are compared instead of by k.
        replicates: Laws refitted to resampled runs, by estimator [replicate, (k, α, β)].
        level: Coverage the intervals aim at.
        warnings: What a reader should know before trusting the numbers, a sentence each.
    """

    laws: dict[str, DataTransferred]
    transfers: Transfers
    reference: tuple[float, float]
    replicates: dict[str, Floats] = field(default_factory=dict)
    level: float = 0.9
    warnings: list[str] = field(default_factory=list)

    @property
    def law(self) -> DataTransferred:
        """The censored estimate, or the only one there is."""
        return self.laws.get("censored") or next(iter(self.laws.values()))

    def interval(
        self, function: Callable[[DataTransferred], float], estimator: str = "censored"
    ) -> tuple[float, float]:
        """Bootstrap interval, widened for few clusters, of what follows from the law; unbounded without a bootstrap."""
        rows = self.replicates.get(estimator)
        if rows is None or not len(rows):
            return (-np.inf, np.inf)
        drawn = [function(DataTransferred(*row)) for row in rows]
        clusters = len(np.unique(np.stack([self.transfers.runs.parameters, self.transfers.runs.seed]), axis=1).T)
        low, high = percentile_interval(np.array(drawn), self.level, widening(clusters, 3, self.level))
        return float(low), float(high)

    def at_reference(self, law: DataTransferred) -> float:
        """D_T at the reference cell."""
        return float(law.predict(parameters=self.reference[0], finetuning_data=self.reference[1]))

    def report(self) -> dict[str, Any]:
        """All of it that is worth printing, ready for JSON."""
        return {
            "estimators": {
                name: {
                    **{symbol: float(value) for symbol, value in law.parameters.items()},
                    "at_reference": self.at_reference(law),
                    "intervals": {
                        **{
                            symbol: list(self.interval(lambda one, s=symbol: float(one.parameters[s]), name))  # type: ignore[misc]
                            for symbol in law.symbols()
                        },
                        "at_reference": list(self.interval(self.at_reference, name)),
                    },
                }
                for name, law in self.laws.items()
            },
            "reference": {"parameters": self.reference[0], "finetuning_data": self.reference[1]},
            "level": self.level,
            "cells": len(self.transfers.runs),
            "low_data_cells": int(self.transfers.low_data.sum()),
            "right_censored": int((~np.isfinite(self.transfers.high)).sum()),
            "warnings": self.warnings,
        }


def fit_transfer(
    scratch: Runs,
    finetuned: Runs,
    *,
    bootstrap: int = 0,
    level: float = 0.9,
    generator: np.random.Generator | None = None,
    noise: float | None = None,
    reference: tuple[float, float] | None = None,
) -> TransferFit:
    """Fit the law of transfer, curves from scratch and all, by both estimators.

    Args:
        scratch: Runs from scratch, over data sizes at every size of model that was fine-tuned.
        finetuned: Runs from one pre-training.
        bootstrap: Refits to resampled clusters (N, seed), each with its runs from scratch and fine-tuned ones.
        level: Coverage of the intervals.
        generator: Of the resampling; by default one seeded with 0.
        noise: Standard deviation of a run's loss between seeds; by default from repeated runs from scratch.
        reference: (N, D_F) at which data transferred are reported; by default the geometric middle of the cells.

    Raises:
        DataError: Neither estimator has enough to go on, or a size lacks a curve from scratch.
    """
    found = transfers(surface(scratch, noise), finetuned)
    laws, faults = _laws(found)
    if not laws:
        raise DataError(faults[0])
    used = found.select(found.low_data)
    if reference is None:
        reference = (
            float(np.exp(np.log(used.runs.parameters).mean())),
            float(np.exp(np.log(used.runs.data).mean())),
        )
    replicates = _replicates(scratch, finetuned, bootstrap, generator or np.random.default_rng(0), noise)
    return TransferFit(laws, found, reference, replicates, level, [*faults, *warnings(found, laws)])


def warnings(found: Transfers, laws: dict[str, DataTransferred]) -> list[str]:
    """What a reader should know before trusting a fit, a sentence each."""
    kept = found.select(found.low_data)
    told = []
    outside = int((~found.low_data).sum())
    if outside:
        told.append(f"{outside} of {len(found.runs)} runs have D_F above a tenth of D(N) and were left out.")
    if (share := float((~np.isfinite(kept.high)).mean())) > 0.3:
        told.append(f"{share:.0%} of the cells are below their curve from scratch: train from scratch on more data.")
    for name, column in (("model", kept.runs.parameters), ("fine-tuning data", kept.runs.data)):
        if (decades := float(np.log10(column.max() / column.min()))) < 1.5:
            told.append(f"Sizes of {name} span {decades:.1f} decades; an exponent of less than 1.5 is fragile.")
    if not np.isfinite(found.spread).any():
        told.append("No cell from scratch was repeated, so the noise between seeds is not known.")
    if (alpha := float(next(iter(laws.values())).alpha)) >= 1:
        told.append(f"α is {alpha:.2f}; from 1 on, more fine-tuning data would make pre-training worth more.")
    return told


def _laws(found: Transfers) -> tuple[dict[str, DataTransferred], list[str]]:
    laws, faults = {}, []
    for name, estimator in ESTIMATORS.items():
        try:
            laws[name] = estimator(found)
        except DataError as error:
            faults.append(str(error))
    return laws, faults


def _replicates(
    scratch: Runs, finetuned: Runs, count: int, generator: np.random.Generator, noise: float | None
) -> dict[str, Floats]:
    """Refits to clusters (N, seed) drawn with replacement; a draw from which nothing can be fitted is drawn anew."""
    keys = np.unique(np.stack([scratch.parameters, scratch.seed]), axis=1).T
    ours = [np.flatnonzero((scratch.parameters == n) & (scratch.seed == seed)) for n, seed in keys]
    theirs = [np.flatnonzero((finetuned.parameters == n) & (finetuned.seed == seed)) for n, seed in keys]
    kept: dict[str, list[Floats]] = {name: [] for name in ESTIMATORS}
    for _ in range(count):
        drawn = generator.integers(len(keys), size=len(keys))
        rows = np.concatenate([theirs[place] for place in drawn])
        try:
            again = surface(scratch.select(np.concatenate([ours[place] for place in drawn])), noise)
            laws, _ = _laws(transfers(again, finetuned.select(rows)))
        except DataError:
            continue
        for name, law in laws.items():
            kept[name].append(law.vector())
    return {name: np.array(rows) for name, rows in kept.items() if len(rows) >= max(10, count // 2)}
