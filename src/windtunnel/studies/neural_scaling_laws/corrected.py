"""Figures 1, 4, 13 and 18: laws of steps and compute, corrected for the batch, of runs that are trained anyway."""

import itertools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from windtunnel.laboratory import plots
from windtunnel.laboratory.errors import DataError
from windtunnel.laboratory.run import Run
from windtunnel.scaling.envelope import curves
from windtunnel.scaling.fitting import Fit, fit
from windtunnel.scaling.laws.kaplan import minimum_flops, minimum_steps
from windtunnel.scaling.rows import Row
from windtunnel.statistics.estimates import Estimate
from windtunnel.studies.neural_scaling_laws.batches import Scan, read_scan
from windtunnel.studies.neural_scaling_laws.sizes import WARM, shades

if TYPE_CHECKING:
    from windtunnel.studies.neural_scaling_laws import Config

BUDGETS = 40
"""Points of a frontier."""

DEEPER = (0.2, 0.35, 0.5, 0.65, 0.8, 0.95)
"""Losses at which the critical batch is measured for the correction: shares of the fall that three batches reach."""

COVERED = 0.5
"""Share of points whose loss must lie within those losses; elsewhere the correction is a constant factor."""


def read_corrected(found: Mapping[Any, dict[Any, Row]], config: "Config", run: Run) -> None:
    """L(N, S_min), L(C) and L(C_min), with the critical batch of the scan.

    The critical batch is a function of the loss only. It was measured on one size at a few losses, down to where three
    batches ended; between them it is interpolated, and beyond them held constant.
    """
    claims = ("batch-correction", "corrected-curves", "compute-law", "corrected-exponent")
    if not {"sizes", "batches"} <= set(found):
        for claim in claims:
            run.conclude(claim, note="Needs the experiments sizes and batches.")
        return
    run.section("Corrected for the batch", "Figures 1, 4, 13, 18: steps and compute at batches far from critical.")
    scan = read_scan(found["batches"], config.batch_levels)
    if len(scan.tradeoffs) < 2:
        for claim in claims:
            run.conclude(claim, note="Needs two losses that three batch sizes reach within the run.")
        return
    _batches_agree(scan, found["batches"], config, run)
    rows = sorted((row for key, row in found["sizes"].items() if key[0] == "size"), key=lambda row: row.parameters)
    deep = read_scan(found["batches"], DEEPER, reached_by=3)
    _curves(rows, deep, run)
    _compute([*rows, *found.get("compute", {}).values()], deep, run)


def _covered(losses: np.ndarray, scan: Scan) -> float:
    """Share of losses at which the critical batch was measured."""
    levels = list(scan.tradeoffs)
    return float(((losses >= min(levels)) & (losses <= max(levels))).mean()) if len(levels) > 1 else 0.0


def _uncovered(losses: np.ndarray, scan: Scan) -> str:
    lowest = f"{min(scan.tradeoffs):.2f}" if scan.tradeoffs else "no"
    return (
        f"Needs a critical batch at the losses corrected: it was measured down to {lowest} nats, and "
        f"{1 - _covered(losses, scan):.0%} of the points lie beyond. Scan batches for more tokens."
    )


def _batches_agree(scan: Scan, rows: dict[Any, Row], config: "Config", run: Run) -> None:
    """Whether S_min of a loss is the same for every batch, at losses between those that B_crit was fitted at."""
    shares = sorted(config.batch_levels)
    between = read_scan(rows, [(low + high) / 2 for low, high in itertools.pairwise(shares)])
    figure, axes = plots.figure(columns=2, sharey=True)
    left: list[float] = []
    for (loss, steps), colour in zip(between.steps.items(), shades(len(between.steps)), strict=True):
        reached = np.isfinite(steps)
        if reached.sum() < 3:
            continue
        corrected = minimum_steps(steps[reached], scan.batches[reached], scan.critical_batch(np.array(loss)))
        axes[0].plot(scan.batches[reached], steps[reached], "o-", color=colour, label=f"{loss:.2f} nats")
        axes[1].plot(scan.batches[reached], corrected, "o-", color=colour)
        left.append(float(np.log(corrected).std(ddof=1) / np.log(steps[reached]).std(ddof=1)))
    axes[0].set(xscale="log", yscale="log", xlabel="batch (tokens)", ylabel="steps", title="as taken")
    axes[1].set(xscale="log", yscale="log", xlabel="batch (tokens)", title="corrected")
    axes[0].legend()
    run.figure(
        "batch-correction", figure, "Steps to losses between those of the scan, and S_min = S / (1 + B_crit / B)."
    )
    if not left:
        run.conclude("batch-correction", note="Needs a loss between those of the scan that three batch sizes reach.")
        return
    spread = Estimate(float(np.mean(left)), min(left), max(left))
    note = f"At {len(left)} losses between those that the critical batch was fitted at; the interval is their range."
    run.conclude("batch-correction", spread, evidence="batch-correction", note=note)


def _curves(rows: list[Row], scan: Scan, run: Run) -> None:
    """L(N, S_min) of the sizes' learning curves after warm-up."""
    points = [
        (row.parameters, tokens / row.batch, row.batch, loss, row.name)
        for row in rows
        for tokens, loss in zip(row.curve_tokens, row.curve, strict=True)
        if tokens > WARM * row.tokens
    ]
    if len(rows) < 3 or len(points) < 8:
        run.conclude("corrected-curves", note="Needs three sizes and eight points.")
        return
    n, taken, batch, losses, names = (np.array(column) for column in zip(*points, strict=True))
    steps = minimum_steps(taken, batch, scan.critical_batch(losses))
    found = fit("kaplan-parameters-steps", delta=0.02, clusters=names, parameters=n, minimum_steps=steps, loss=losses)
    predicted = found.predict(parameters=n, minimum_steps=steps)
    figure, axes = plots.figure()
    for row, colour in zip(rows, shades(len(rows)), strict=True):
        own = names == row.name
        axes.plot(steps[own], losses[own], "o", markersize=3, color=colour, label=f"{row.parameters:,}")
        axes.plot(steps[own], predicted[own], color=colour, linewidth=1)
    axes.set(xscale="log", xlabel="S_min, steps at a huge batch", ylabel="nats per token")
    axes.legend(title="parameters", fontsize=7.5, title_fontsize=7.5)
    run.figure("corrected-curves", figure, "Learning curves over corrected steps, with L(N, S_min).", found.report())
    if _covered(losses, scan) < COVERED:
        run.conclude("corrected-curves", note=_uncovered(losses, scan))
        return
    known = found.parameters
    note = f"α_N = {known['alpha_N']:.3f}, α_S = {known['alpha_S']:.3f} (the paper: 0.077, 0.76)."
    run.conclude(
        "corrected-curves", float(np.median(np.abs(predicted - losses))), evidence="corrected-curves", note=note
    )


def _compute(rows: list[Row], scan: Scan, run: Run) -> None:
    """L(C) and L(C_min): the lowest loss of all learning curves at every budget of 6 N B S."""
    figure, axes = plots.figure()
    laws: dict[str, Fit] = {}
    explained = []
    for name, corrected, colour in (("L(C)", False, plots.PALETTE[0]), ("L(C_min)", True, plots.PALETTE[1])):
        try:
            flops, losses = _frontier(rows, scan, corrected)
        except DataError as error:
            for claim in ("compute-law", "corrected-exponent"):
                run.conclude(claim, note=str(error))
            return
        laws[name] = fit("kaplan-flops", delta=np.inf, flops=flops, loss=losses)
        bent = fit("power-law-plus-constant", delta=np.inf, x=flops, loss=losses)
        left = np.log(losses) - np.log(bent.predict(x=flops))
        explained.append(1 - float((left**2).sum() / ((np.log(losses) - np.log(losses).mean()) ** 2).sum()))
        axes.plot(flops, losses, "o", markersize=3, color=colour, label=name)
        alpha = laws[name].parameters["alpha_C"]
        axes.plot(
            flops, laws[name].predict(flops=flops), "--", color=colour, linewidth=1, label=f"exponent {alpha:.3f}"
        )
        axes.plot(flops, bent.predict(x=flops), color=colour, linewidth=1)
    axes.set(xscale="log", yscale="log", xlabel="6 N B S or C_min, FLOPs", ylabel="lowest loss (nats per token)")
    axes.legend()
    caption = (
        "The lowest loss at every budget, plain and corrected, with power laws (dashed) and with a constant. As in "
        "the paper, points are taken inside runs whose schedule goes on: shorter runs would end lower."
    )
    run.figure("compute-law", figure, caption, {name: found.report() for name, found in laws.items()})
    plain, after = (found.parameters["alpha_C"] for found in laws.values())
    covered = _covered(losses, scan) >= COVERED
    which = "the worse of both" if covered else "L(C) alone"
    note = f"A power law and a constant; {which}. Exponents without one: {plain:.3f} and {after:.3f}."
    run.conclude("compute-law", min(explained) if covered else explained[0], evidence="compute-law", note=note)
    if not covered:
        run.conclude("corrected-exponent", note=_uncovered(losses, scan))
        return
    note = f"{after:.3f} over {plain:.3f}; the paper: 0.050 over 0.057."
    run.conclude("corrected-exponent", after / plain, evidence="compute-law", note=note)


def _frontier(rows: list[Row], scan: Scan, corrected: bool) -> tuple[np.ndarray, np.ndarray]:
    """Budgets, and the lowest loss of any run there."""
    columns: list[Any] = []
    for number, row in enumerate(rows):
        kept = row.curve_tokens > WARM * row.tokens
        flops = 6.0 * row.parameters * row.curve_tokens
        if corrected:
            flops = minimum_flops(flops, row.batch, scan.critical_batch(row.curve))
        for tokens, budget, loss in zip(row.curve_tokens[kept], flops[kept], row.curve[kept], strict=True):
            columns.append((row.parameters, tokens, budget, loss, number))
    parameters, tokens, spent, losses, runs = (np.array(column) for column in zip(*columns, strict=True))
    found = curves(parameters, tokens, spent, losses, runs, points=BUDGETS)
    return found.flops, np.minimum.accumulate(found.loss.min(axis=0))
