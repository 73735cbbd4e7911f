"""What must hold whatever is learned: metrics of known predictors, floors, ceilings, temperatures, soft labels."""

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn import functional

from windtunnel.evaluation.self_knowledge.p_ik import soft_cross_entropy
from windtunnel.laboratory.run import Run
from windtunnel.statistics import (
    auroc,
    brier,
    calibration_error,
    calibration_floor,
    fit_temperature,
    softened,
)
from windtunnel.statistics.estimates import Estimate

if TYPE_CHECKING:
    from windtunnel.studies.self_knowledge import Config

QUESTIONS = 100_000
"""Questions of the ceilings: their error by chance is then far below the bar's width."""


def check_identities(config: "Config", run: Run) -> None:
    """Measure and conclude the claims that need no model."""
    found = run.stage("identities", lambda: _measure(config, run))
    run.conclude("metrics", found["metrics"])
    run.conclude("floor", _estimate(found["floor"]), note="Mean of simulations, with the mean's own interval.")
    run.conclude("duplication", found["duplication"])
    run.conclude("ceiling-auroc", _estimate(found["ceiling"][0]), note="100,000 questions, 30 samples each.")
    run.conclude("ceiling-brier", _estimate(found["ceiling"][1]), note="100,000 questions, 30 samples each.")
    run.conclude("temperature-recovered", found["temperature"], note="Fitted on 10,000 questions.")
    run.conclude("temperature-repairs", found["repair"], note="On 10,000 other questions.")


def _measure(config: "Config", run: Run) -> dict[str, Any]:
    generator = run.generator("identities")
    fast: dict[str, Any] = {"generator": generator, "resamples": 50}
    expected = [
        (calibration_error(np.full(1_000, 0.8), np.tile([1, 1, 1, 1, 0], 200), **fast), 0.0),
        (calibration_error(np.ones(1_000), np.tile([1, 1, 1, 0, 0], 200), **fast), 0.4),
        (brier(np.full(100, 0.5), np.tile([0, 1], 50), **fast), 0.25),
        (auroc(np.zeros(100), np.tile([0, 1], 50), **fast), 0.5),
    ]
    floors = [calibration_floor(generator.random(4_000), generator=generator, simulations=20).mean for _ in range(20)]
    logits = torch.tensor(generator.normal(0, 2, 1_000))
    counts = torch.tensor(generator.integers(0, 31, 1_000)).double()
    hard = (torch.arange(30) < counts[:, None]).double()
    thirty = functional.binary_cross_entropy_with_logits(logits[:, None].expand(-1, 30), hard, reduction="none")
    difference = (thirty.mean(dim=1) - soft_cross_entropy(logits, counts / 30)).abs().max()
    sharp = generator.normal(0, 1.5, (20_000, 4))
    right = (generator.random((20_000, 1)) > np.cumsum(softened(sharp), axis=1)).sum(axis=1)
    fitted = fit_temperature(2.5 * sharp[:10_000], right[:10_000], generator=generator, resamples=50)
    before, after = (
        _top_error(softened(2.5 * sharp[10_000:], each), right[10_000:], generator) for each in (1.0, fitted.value)
    )
    return {
        "metrics": max(abs(each.value - wanted) for each, wanted in expected),
        "floor": _mean_and_ends(np.array(floors)),
        "duplication": float(difference),
        "ceiling": _ceilings(generator),
        "temperature": fitted.value,
        "repair": 1 - after / before,
    }


def _ceilings(generator: np.random.Generator) -> list[list[float]]:
    """AUROC and Brier score of the exact P(IK), uniform over questions, with labels 1[share of 30 samples > 0.5]."""
    parts = []
    for _ in range(10):
        exact = generator.random(QUESTIONS // 10)
        label = generator.binomial(30, exact) / 30 > 0.5
        ranked = auroc(exact, label, generator=generator, resamples=2).value
        parts.append((ranked, float(((exact - label) ** 2).mean())))
    return [_mean_and_ends(np.array(column)) for column in zip(*parts, strict=True)]


def _top_error(probabilities: np.ndarray, right: np.ndarray, generator: np.random.Generator) -> float:
    correct = probabilities.argmax(axis=1) == right
    return calibration_error(probabilities.max(axis=1), correct, generator=generator, resamples=50).value


def _mean_and_ends(values: np.ndarray) -> list[float]:
    half = 1.96 * values.std(ddof=1) / len(values) ** 0.5
    return [float(values.mean()), float(values.mean() - half), float(values.mean() + half)]


def _estimate(ends: list[float]) -> Estimate:
    return Estimate(*ends)
