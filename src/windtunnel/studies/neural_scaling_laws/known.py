"""What needs no training: refits of published points, planted laws, and what follows from published constants."""

import csv
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from windtunnel.laboratory import plots
from windtunnel.laboratory.errors import DataError
from windtunnel.laboratory.run import Run
from windtunnel.scaling.fitting import Fit, fit
from windtunnel.scaling.isoflop import isoflop_parabolas, variable_projection
from windtunnel.scaling.kaplan_allocation import PUBLISHED, contradiction, suboptimal_size
from windtunnel.scaling.laws.chinchilla import Chinchilla
from windtunnel.scaling.laws.kaplan import PF_DAY, LossOfParametersAndTokens, compute_exponent
from windtunnel.scaling.planning import plan
from windtunnel.scaling.published import find_published
from windtunnel.scaling.reconciliation import count_twice
from windtunnel.scaling.staircase import read_published, staircase

if TYPE_CHECKING:
    from windtunnel.studies.neural_scaling_laws import Config

POINTS = "chinchilla-points.csv"
STAIRS = (
    Path("porian-2024") / "experiment_results.pickle.xz",  # every run
    Path("porian-2024") / "summary_df.pickle.xz",  # the losses at each budget, read off them
)
OUTLIERS = 5
"""Points with the fewest tokens per parameter, which Besiroglu et al. leave out of 245."""


def published(config: "Config", run: Run) -> None:
    """Refit the Chinchilla points, and hold the paper's own constants against what it says of them."""
    run.section("Published data and constants", "Nothing is trained here.")
    points = _chinchilla_points()
    if points is None:
        for claim in ("irreducible", "alpha", "beta", "allocation", "spread"):
            run.conclude(f"chinchilla-{claim}", note=_needs(POINTS))
        for claim in ("mean-misleads", "strict-agrees"):
            run.conclude(claim, note=_needs(POINTS))
    else:
        _refit(points, config, run)
    _plans(run)
    _efficient(run)
    _counts(run)


def _needs(name: str | Path) -> str:
    return f"Needs {name} in the directory that WINDTUNNEL_DATA names."


def _data(name: str | Path) -> Path | None:
    folder = os.environ.get("WINDTUNNEL_DATA")
    path = Path(folder) / name if folder else None
    return path if path is not None and path.exists() else None


def _chinchilla_points() -> dict[str, Any] | None:
    """The points read off Hoffmann et al.'s figure, D = C / 6 N, without those of fewest tokens per parameter."""
    path = _data(POINTS)
    if path is None:
        return None
    try:
        with path.open(newline="") as file:
            rows = list(csv.DictReader(file))
        table = np.array([[float(row[name]) for name in ("Model Size", "Training FLOP", "loss")] for row in rows])
    except (KeyError, ValueError, OSError) as error:
        raise DataError(f"{path} does not hold the Chinchilla points ({error}); fetch it again.") from error
    n, c, loss = table.T
    kept = np.argsort(c / n**2)[OUTLIERS:]
    return {"parameters": n[kept], "tokens": (c / (6 * n))[kept], "loss": loss[kept]}


def _refit(points: dict[str, Any], config: "Config", run: Run) -> None:
    found = fit("chinchilla", bootstrap=max(config.bootstrap, 100), seed=run.seed_for("refit"), **points)
    one: Any = found.law
    run.conclude("chinchilla-irreducible", one.E, evidence="chinchilla-points", note=_own(found, "E"))
    run.conclude("chinchilla-alpha", one.alpha, evidence="chinchilla-points", note=_own(found, "alpha"))
    run.conclude("chinchilla-beta", one.beta, evidence="chinchilla-points", note=_own(found, "beta"))
    run.conclude("chinchilla-allocation", one.exponent, evidence="chinchilla-points")
    replicates: Any = found.replicates
    run.conclude("chinchilla-spread", float(np.std(replicates.exponent, ddof=1)), note="Over bootstrap refits.")
    early: Any = fit("chinchilla", reduction="mean", tolerance="loose", **points)
    strict: Any = fit("chinchilla", reduction="mean", **points)
    run.conclude(
        "mean-misleads",
        abs(early.law.exponent - 0.514),
        note=f"Averaged, by SciPy's L-BFGS-B as it comes: a = {early.law.exponent:.4f}. " + " ".join(early.warnings),
    )
    run.conclude("strict-agrees", abs(strict.law.exponent - one.exponent))
    figure, axes = plots.figure(columns=2)
    predicted = found.predict(parameters=points["parameters"], tokens=points["tokens"])
    axes[0].scatter(points["parameters"], points["tokens"], c=points["loss"], s=9, cmap=plots.SEQUENTIAL)
    budget = np.geomspace(1e18, 1e24, 30)
    best = found.optimum(budget)
    axes[0].plot(best.parameters, best.tokens, color=plots.PALETTE[0], label="best split")
    axes[0].set(xscale="log", yscale="log", xlabel="parameters", ylabel="tokens", title="published runs")
    axes[0].legend()
    axes[1].plot([2, 5.2], [2, 5.2], color=plots.MUTED, linewidth=0.8)
    axes[1].scatter(predicted, points["loss"], s=6)
    axes[1].set(xlabel="fitted loss (nats)", ylabel="observed loss (nats)", title="fit")
    run.figure("chinchilla-points", figure, "The Chinchilla law refitted to 240 published points.", found.report())


def _own(found: Fit, symbol: str) -> str:
    low, high = found.intervals[symbol]
    return f"A point estimate against its published value; its own 90 % interval is {low:.4g} to {high:.4g}."


def _plans(run: Run) -> None:
    """Chinchilla's budget by two published laws, and the paper's own plan for 10 PF-days."""
    wanted = {"hoffmann-2022": (3.2e10, 3.0e12), "besiroglu-2024": (7.2e10, 1.33e12)}
    errors, rows = [], []
    for law, (parameters, tokens) in wanted.items():
        made = plan(5.76e23, law)
        errors += [made.parameters.value / parameters - 1, made.tokens.value / tokens - 1]
        rows.append({"law": law, "parameters": made.parameters.value, "tokens": made.tokens.value})
    run.table("plans", rows, "What published laws make of Chinchilla's budget of 5.76e23 FLOPs.")
    run.conclude("chinchilla-plan", float(np.abs(errors).max()), note="The worst of two sizes and two token counts.")
    ours = PUBLISHED.run(10 * PF_DAY)
    known = {"parameters": 7e9, "loss": 2.37, "critical_batch": 3.5e6, "minimum_steps": 5.8e3}
    worst = max(abs(float(getattr(ours, name)) / value - 1) for name, value in known.items())
    run.conclude("kaplan-plan", worst, note="The worst of parameters, loss, critical batch and fewest steps.")
    surface: Any = find_published("kaplan-2020-parameters-tokens").law
    run.conclude("enough-data", abs(float(surface.enough_tokens(1e9)) / 2.4e10 - 1))
    run.conclude("compute-exponent", compute_exponent(0.76, 0.21, 0.077))


def _efficient(run: Run) -> None:
    """How a budget is spent, what another size costs, and where the laws contradict each other."""
    law: Any = find_published("kaplan-2020-parameters-steps").law
    ratios = np.geomspace(0.15, 12, 200)
    cost, steps = suboptimal_size(law, ratios)
    ends = suboptimal_size(law, [0.6, 2.2])
    run.conclude("suboptimal-cost", float(ends[0].max() - 1), evidence="efficient")
    run.conclude("suboptimal-steps", float(1 - ends[1][1]), evidence="efficient")
    of_flops: Any = find_published("kaplan-2020-minimum-flops").law
    of_tokens: Any = find_published("kaplan-2020-tokens").law
    met = contradiction(of_flops, of_tokens, PUBLISHED.tokens, PUBLISHED.parameters)
    run.conclude(
        "contradiction",
        abs(float(np.log10(met.flops / (1e4 * PF_DAY)))),
        evidence="efficient",
        note=f"At {met.flops / PF_DAY:.2g} PF-days, {met.parameters:.2g} parameters, {met.tokens:.2g} tokens, "
        f"{met.loss:.2f} nats; the place depends exponentially on the exponents.",
    )
    figure, axes = plots.figure(width=7.4, columns=3)
    days = np.geomspace(1e-6, 1e7, 60)
    spent = PUBLISHED.run(days * PF_DAY)
    for values, name in (
        (spent.parameters, "model size"),
        (spent.critical_batch, "batch"),
        (spent.minimum_steps, "steps"),
    ):
        axes[0].plot(days, np.asarray(values) / np.asarray(values)[0], label=name)
    axes[0].set(xscale="log", yscale="log", xlabel="PF-days", ylabel="times as much", title="a budget's use")
    axes[1].plot(ratios, cost, label="compute")
    axes[1].plot(ratios, steps, label="steps")
    axes[1].axhline(1.2, color=plots.MUTED, linewidth=0.8, linestyle=":")
    axes[1].set(xscale="log", ylim=(0, 3), xlabel="times the best size", title="another size")
    tokens = PUBLISHED.tokens.predict(x=days * PF_DAY)
    axes[2].plot(days, of_flops.predict(minimum_flops=days * PF_DAY), label="L(C_min)")
    axes[2].plot(days, of_tokens.predict(tokens=tokens), label="L(D(C_min))")
    axes[2].axvline(met.flops / PF_DAY, color=plots.MUTED, linewidth=0.8, linestyle=":")
    axes[2].set(xscale="log", yscale="log", xlabel="PF-days", ylabel="nats per token", title="contradiction")
    for panel in axes:
        panel.legend()
    caption = "From the paper's constants: growth of size, batch and steps; other sizes; where two laws meet."
    run.figure("efficient", figure, caption, {"ratios": ratios.tolist(), "compute": cost.tolist()})


def _counts(run: Run) -> None:
    """The correction: Chinchilla's law read without embeddings, and the staircase of repairs where its data are."""
    law: Any = find_published("besiroglu-2024").law
    twice = count_twice(law)
    run.conclude("pearce-non-embedding", twice.non_embedding.exponent, evidence="counting-simulated")
    run.conclude("pearce-total", twice.total.exponent, evidence="counting-simulated")
    figure, axes = plots.figure()
    for frontier, name in ((twice.non_embedding, "without embeddings"), (twice.total, "all parameters")):
        axes.plot(frontier.flops, frontier.parameters, ".", markersize=3, label=f"{name}: {frontier.exponent:.2f}")
    axes.set(xscale="log", yscale="log", xlabel="6 N D in that count", ylabel="best size in that count")
    axes.legend()
    run.figure("counting-simulated", figure, "One law, the same curves, two ways to count: Kaplan's exponent appears.")
    path = next((found for found in map(_data, STAIRS) if found is not None), None)
    if path is None:
        run.conclude("porian-staircase", note=f"{_needs(STAIRS[0])} Or {STAIRS[1]}; Porian et al. publish both.")
        return
    stairs = staircase(read_published(path))
    run.table(
        "staircase",
        [{"repair": stair.name, "exponent": stair.exponent, "published": stair.published} for stair in stairs],
        "The exponent of the best size after each repair, all earlier ones kept.",
    )
    figure, axes = plots.figure()
    for stair in stairs:
        axes.plot(stair.flops, stair.parameters, "o-", markersize=3, label=f"{stair.name}: {stair.exponent:.2f}")
    axes.set(xscale="log", yscale="log", xlabel="FLOPs", ylabel="best size, as counted there")
    axes.legend(fontsize=7.5)
    caption = "From Kaplan's exponent to Chinchilla's, one repair after another, on the runs of Porian et al. (2024)."
    run.figure("staircase", figure, caption)
    worst = max(abs(stair.exponent - stair.published) for stair in stairs)
    run.conclude("porian-staircase", worst, evidence="staircase", note=f"{len(stairs)} of 5 steps, {path.name}.")


def planted(config: "Config", run: Run) -> None:
    """Laws whose constants are known: recovery from noisy runs, coverage, and the bias of parabolas."""
    run.section("Planted laws", "Runs drawn from a law that is known.")
    found = run.stage("planted", lambda: _recover(config, run))
    errors, inside = np.array(found["errors"]), np.array(found["inside"])
    run.conclude(
        "planted-exponents",
        float(np.median(errors)),
        evidence="planted",
        note=f"The worse of both exponents, median of {len(errors)} repeats of {config.planted_runs} runs.",
    )
    run.conclude("planted-coverage", float(inside.mean()), note="Over repeats and exponents, 1 % noise.")
    figure, axes = plots.figure()
    axes.hist(100 * errors, bins=20)
    axes.axvline(5, color=plots.MUTED, linewidth=0.8, linestyle=":")
    axes.set(xlabel="error of the worse exponent (%)", ylabel="repeats")
    run.figure("planted", figure, "How far exponents fitted to runs with 1 % noise are from the planted ones.", found)
    truth = Chinchilla(1.8, 500.0, 400.0, 0.6, 0.2)
    budgets = np.geomspace(1e18, 1e21, 4)
    ladder = np.geomspace(0.1, 10, 9) * float(truth.optimum(3e19).parameters)  # the same sizes at every budget
    n, c = np.tile(ladder, len(budgets)), np.repeat(budgets, len(ladder))
    runs = (n, c / (6 * n))
    loss = np.asarray(truth.predict(parameters=runs[0], tokens=runs[1]))
    parabola = isoflop_parabolas(n, runs[1], c, loss).exponent
    projected: Any = variable_projection(*runs, loss)
    run.conclude(
        "parabola-bias", abs(parabola - truth.exponent), note=f"{parabola:.4f} for {truth.exponent:.4f}, α / β = 3."
    )
    run.conclude("projection-exact", abs(float(projected.exponent) - truth.exponent))


def _recover(config: "Config", run: Run) -> dict[str, Any]:
    truth = LossOfParametersAndTokens(6.4e13, 0.076, 1.8e13, 0.103)
    errors, inside = [], []
    for repeat in range(config.planted_repeats):
        generator = run.generator("planted", repeat)
        n = 10 ** generator.uniform(5, 9, config.planted_runs)
        d = 10 ** generator.uniform(7, 10.5, config.planted_runs)
        noise = np.exp(0.01 * generator.standard_normal(config.planted_runs))
        loss = truth.predict(parameters=n, tokens=d) * noise
        found = fit(
            LossOfParametersAndTokens,
            bootstrap=config.bootstrap,
            delta=np.inf,
            seed=repeat,
            parameters=n,
            tokens=d,
            loss=loss,
        )
        pairs = [(found.parameters[symbol], getattr(truth, symbol)) for symbol in ("alpha_N", "alpha_D")]
        errors.append(max(abs(fitted / real - 1) for fitted, real in pairs))
        ends = [found.intervals[symbol] for symbol in ("alpha_N", "alpha_D")]
        inside += [low <= real <= high for (low, high), (_, real) in zip(ends, pairs, strict=True)]
    return {"errors": errors, "inside": inside}
