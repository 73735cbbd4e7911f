"""What needs no training: the published law in a case of one's own, and estimators against planted laws."""

from typing import TYPE_CHECKING, Any

import numpy as np

from windtunnel.laboratory import plots
from windtunnel.laboratory.run import Run
from windtunnel.scaling.laws.kaplan import LossOfParametersAndTokens
from windtunnel.scaling.laws.transfer import DataTransferred
from windtunnel.scaling.transfer.calculator import PUBLISHED, calculate, data_like_bigger_model
from windtunnel.scaling.transfer.estimators import censored
from windtunnel.scaling.transfer.planted import planted
from windtunnel.scaling.transfer.surface import Runs, surface
from windtunnel.statistics.intervals import mean

if TYPE_CHECKING:
    from windtunnel.studies.transfer_scaling import Config

GPT3 = 1.75e11
"""Parameters."""

PLANTED = DataTransferred(1.9e4, 0.18, 0.38)
PLANTED_GRID = [each.ravel() for each in np.meshgrid(np.geomspace(1e5, 1e9, 6), np.geomspace(1e5, 1e8, 5))]
NOISE = 0.2
"""Standard deviation of ln D_T around a planted law."""

SURFACE = LossOfParametersAndTokens(6.4e13, 0.076, 1.8e13, 0.103)
"""Kaplan et al.'s L(N, D), refitted in their table 2."""


def few_shot(run: Run) -> None:
    """Section 6.2: what the published constants say of a large model and a few characters."""
    run.section("The published law", "Table 1 of the paper, in characters of Python.")
    rows = []
    for name, law in PUBLISHED.items():
        one, many = (calculate(law, GPT3, data) for data in (1, 300))
        run.conclude(f"few-shot-{name}", one.effective, note="From the published constants.")
        run.conclude(f"few-shot-growth-{name}", many.effective / one.effective, note="From the published constants.")
        for case in (calculate(law, 4e7, 3e5), one, many):
            rows.append(
                {
                    "pre-trained on": name,
                    "parameters": case.parameters,
                    "D_F": case.finetuning_data,
                    "D_T": case.transferred,
                    "multiplier": case.multiplier,
                }
            )
    run.table("published", rows, "The published law in three cases: the paper's first figure, and GPT-3's size.")
    run.conclude("model-or-data", data_like_bigger_model(PUBLISHED["text"]), note="10^(0.38 / 0.18).")


def check_estimators(config: "Config", run: Run) -> None:
    """Appendix C on laws that are known: 30 cells, 20 % noise, and the largest quarter censored."""
    run.section("Estimators against planted laws", "Grids of 6 sizes and 5 amounts of data that follow a known law.")
    found = run.stage("planted", lambda: _plantings(config, run))
    errors, bias = np.array(found["errors"]), np.array(found["censored"])
    run.conclude(
        "planted-exponents",
        float(np.quantile(np.abs(errors).max(axis=1), 0.95)),
        evidence="planted",
        note=f"95 % quantile over {len(errors)} plantings.",
    )
    by_exponent = [mean(bias[:, place]) for place in range(2)]
    worst = max(by_exponent, key=lambda estimate: abs(estimate.value))
    note = f"The larger of the two biases; {found['share']:.0%} of the cells censored."
    run.conclude("planted-censoring", worst, evidence="planted", note=note)
    run.conclude("inversion", _round_trip(), note="Over three sizes, where the loss still falls with data.")
    figure, axes = plots.figure(7.0, 3.0, columns=2, sharey=True)
    for axis, values, title in zip(axes, (errors, bias), ("all cells seen", "a quarter censored"), strict=True):
        for place, name in enumerate(("α", "β")):
            axis.hist(values[:, place], bins=20, alpha=0.6, label=name)
        axis.axvline(0, color=plots.MUTED, linewidth=1)
        axis.set(title=title, xlabel="estimate − truth")
    axes[0].set_ylabel("plantings")
    axes[0].legend()
    run.figure("planted", figure, "Errors of the exponents of planted laws, by censored maximum likelihood.", found)


def _plantings(config: "Config", run: Run) -> dict[str, Any]:
    n, d = PLANTED_GRID
    limit = float(np.quantile(PLANTED.predict(parameters=n, finetuning_data=d), 0.75))
    errors: dict[float, list[list[float]]] = {np.inf: [], limit: []}
    share = []
    for largest, into in errors.items():
        for number in range(config.plantings):
            generator = run.generator("planted", number)
            drawn = planted(PLANTED, n, d, NOISE, generator, largest=largest)
            law = censored(drawn)
            into.append([float(law.alpha - PLANTED.alpha), float(law.beta - PLANTED.beta)])
            share.append(1 - drawn.exact.mean())
    return {
        "errors": errors[np.inf],
        "censored": errors[limit],
        "share": float(np.mean(share[config.plantings :])),
    }


def _round_trip() -> float:
    """The largest error of D from scratch → loss → D, on data between those of the curve."""
    worst = 0.0
    for size in (1e6, 1e7, 1e8):
        data = np.geomspace(1e5, 1e10, 21)
        made = Runs.of(np.full(21, size), data, SURFACE.predict(parameters=np.full(21, size), tokens=data))
        between = np.geomspace(2e5, min(5e9, 10 * float(SURFACE.enough_tokens(size))), 50)
        low, _ = surface(made)[size].data_for(SURFACE.predict(parameters=np.full(50, size), tokens=between))
        worst = max(worst, float(np.abs(low / between - 1).max()))
    return worst
