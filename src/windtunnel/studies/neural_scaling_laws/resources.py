"""Figures 4, 9, 11, 14 and 16: finite data, and the best use of compute."""

from typing import TYPE_CHECKING, Any

import numpy as np

from windtunnel.laboratory import plots
from windtunnel.laboratory.errors import DataError
from windtunnel.laboratory.run import Run
from windtunnel.scaling import allocation_report
from windtunnel.scaling.allocation import compare
from windtunnel.scaling.fitting import fit
from windtunnel.scaling.isoflop import isoflop_parabolas
from windtunnel.scaling.material import Material
from windtunnel.scaling.rows import Row
from windtunnel.statistics.intervals import wilson
from windtunnel.studies.neural_scaling_laws.evidence import PAPERS_SPREAD, Uncertainty
from windtunnel.studies.neural_scaling_laws.sizes import WARM, shades

if TYPE_CHECKING:
    from windtunnel.studies.neural_scaling_laws import Config

CLEARLY = 0.01
"""Nats by which a best size must beat both ends of the sizes to count as inside them."""


def read_data(rows: dict[Any, Row], uncertainty: Uncertainty, config: "Config", run: Run, material: Material) -> None:
    """L(N, D) with early stopping, L(D), and overfitting as a function of N^x / D."""
    run.section("Data", "Figures 4, 9, 16: finite text read again and again, stopped at the best held-out loss.")
    groups: dict[Any, dict[int | None, Row]] = {}
    for (shape, unique), row in rows.items():
        groups.setdefault(shape, {})[unique] = row
    sized = sorted(groups.values(), key=lambda group: group[None].parameters)
    costs = [  # (N, D, δL, early-stopped loss)
        (group[None].parameters, unique, row.best_loss / group[None].best_loss - 1, row.best_loss)
        for group in sized
        for unique, row in group.items()
        if unique is not None
    ]
    n, d, cost, _ = np.array(costs, dtype=float).T
    every = [(row.parameters, row.unique, row.best_loss) for group in sized for row in group.values()]
    found = fit(
        "kaplan-parameters-tokens",
        delta=0.02,
        **dict(zip(("parameters", "tokens", "loss"), np.array(every, dtype=float).T, strict=True)),
    )
    ratio = found.parameters["alpha_N"] / found.parameters["alpha_D"]
    figure, axes = plots.figure(width=7.4, columns=3)
    for group, colour in zip(sized, shades(len(sized)), strict=True):
        finite = sorted((unique, row) for unique, row in group.items() if unique is not None)
        amounts = np.array([unique for unique, _ in finite])
        label = f"{group[None].parameters:,}"
        axes[0].plot(amounts, [row.best_loss for _, row in finite], "o-", color=colour, label=label)
        axes[0].axhline(group[None].best_loss, color=colour, linewidth=0.8, linestyle=":")
        reached = [max(row.best_loss / group[None].best_loss - 1, 1e-4) for _, row in finite]
        axes[1].plot(group[None].parameters ** ratio / amounts, reached, "o", color=colour)
        axes[2].plot(finite[0][1].curve_tokens / finite[0][0], finite[0][1].curve, color=colour)
    axes[0].set(xscale="log", xlabel="tokens of text", ylabel="nats per token, best", title="L(N, D)")
    axes[0].legend(title="parameters", fontsize=7.5, title_fontsize=7.5)
    axes[1].set(xscale="log", yscale="log", xlabel=f"N^{ratio:.2f} / D", ylabel="δL", title="collapse")
    axes[2].set(xscale="log", xlabel="epochs", ylabel="nats per token", title="least text")
    caption = (
        "Early-stopped loss over the amount of text (dotted: no repeats), its excess δL over N^x / D with x of the "
        "fitted law, and curves on the least text."
    )
    run.figure("data", figure, caption, {"n": n.tolist(), "d": d.tolist(), "cost": cost.tolist(), **found.report()})
    largest, least = sized[-1], min(config.subsets)
    worst = largest[least].best_loss / largest[None].best_loss - 1
    half = 1.96 * 2**0.5 * uncertainty.spread / largest[None].best_loss
    run.conclude(
        "overfitting",
        worst,
        interval=(worst - half, worst + half),
        evidence="data",
        note="The largest size on the least text; interval from the spread between seeds.",
    )
    _early_stop(sized, run)
    if cost.max() < PAPERS_SPREAD:
        run.conclude("overfitting-collapse", note="Nothing overfits by 2 %, so there is nothing to collapse.")
        return
    base = np.array([group[None].best_loss for group in sized for unique in group if unique is not None])
    drawn = [
        _rank(n**ratio / d, cost + uncertainty.spread * uncertainty.generator.standard_normal(len(cost)) / base)
        for _ in range(200)
    ]
    low, high = np.quantile(drawn, [0.025, 0.975])
    run.conclude(
        "overfitting-collapse",
        _rank(n**ratio / d, cost),
        interval=(float(low), float(high)),
        evidence="data",
        note=f"x = {ratio:.2f} (the paper: 0.74); interval from the spread between seeds.",
    )


def _early_stop(sized: list[dict[int | None, Row]], run: Run) -> None:
    """Equation 5.7: a run on finite text stops no earlier than one without repeats falls to the loss it stops at."""
    endless = [group[None] for group in sized]
    n, steps, losses, names = (
        np.array(column)
        for column in zip(
            *(
                (row.parameters, tokens / row.batch, loss, row.name)
                for row in endless
                for tokens, loss in zip(row.curve_tokens, row.curve, strict=True)
                if tokens > WARM * row.tokens
            ),
            strict=True,
        )
    )
    if len(endless) < 3 or len(n) < 8:
        run.conclude("early-stop", note="Needs three sizes and eight points.")
        return
    found = fit("kaplan-parameters-steps", delta=0.02, clusters=names, parameters=n, minimum_steps=steps, loss=losses)
    law: Any = found.law
    bounds, taken = [], []
    for row in (row for group in sized for unique, row in group.items() if unique is not None):
        gap = row.best_loss - float((law.N_c / row.parameters) ** law.alpha_N)
        place = int(np.argmin(row.curve))
        if gap > 0 and place < len(row.curve) - 1 and row.curve[-1] > row.best_loss + CLEARLY:
            bounds.append(float(law.earliest_stop(gap)))
            taken.append(float(row.curve_tokens[place + 1] / row.batch))  # its lowest point may lie up to here
    if len(bounds) < 3:
        run.conclude("early-stop", note=f"{len(bounds)} runs clearly pass a lowest loss, and it needs three.")
        return
    figure, axes = plots.figure(width=5.2)
    ends = [0.7 * min(*bounds, *taken), 1.4 * max(*bounds, *taken)]
    axes.plot(ends, ends, color=plots.MUTED, linewidth=0.8)
    axes.plot(bounds, taken, "o")
    axes.set(xscale="log", yscale="log", xlabel="bound (steps)", ylabel="lowest loss after (steps)")
    run.figure("early-stop", figure, "Where runs on finite text stop, over the bound of equation 5.7 (figure 16).")
    above = np.array(taken) >= np.array(bounds)
    note = f"{len(bounds)} runs that pass a lowest loss; steps of one batch, S_c and α_S of runs without repeats."
    run.conclude("early-stop", wilson(int(above.sum()), len(above)), evidence="early-stop", note=note)


def _rank(x: np.ndarray, y: np.ndarray) -> float:
    from scipy.stats import spearmanr

    return float(spearmanr(x, y).statistic)


def read_compute(
    rows: dict[Any, Row], uncertainty: Uncertainty, config: "Config", run: Run, material: Material
) -> None:
    """IsoFLOP runs in every count, by all approaches: the difference of Kaplan and Chinchilla on the same runs."""
    run.section("Compute", "Figures 11, 14, and the correction: the same runs, counted twice, by all approaches.")
    budgets = list(config.budgets)
    by_budget = [[rows[budget, shape] for shape in config.compute_sizes] for budget in budgets]
    figure, axes = plots.figure(columns=2, sharey=True)
    for several, budget, colour in zip(by_budget, budgets, shades(len(budgets)), strict=True):
        for panel, attribute in zip(axes, ("parameters", "parameters_total"), strict=True):
            order = sorted(several, key=lambda row: getattr(row, attribute))
            sizes = [getattr(row, attribute) for row in order]
            panel.plot(sizes, [row.loss for row in order], "o-", color=colour, label=f"{budget:.0e} FLOPs")
    axes[0].set(xscale="log", xlabel="non-embedding parameters", ylabel="nats per token")
    axes[1].set(xscale="log", xlabel="total parameters")
    axes[0].legend()
    run.figure("isoflop", figure, "Loss of every size at every budget of exact FLOPs.")
    everyone = [row for several in by_budget for row in several]
    width = len(config.compute_sizes)

    def inner(losses: np.ndarray) -> float:
        found = losses.reshape(len(budgets), width)
        return float(np.mean(found.min(1) < np.minimum(found[:, 0], found[:, -1]) - CLEARLY))

    note = f"Inside: at least {CLEARLY} nats below both the smallest and the largest size."
    run.conclude("inner-minima", uncertainty.estimate(everyone, inner), evidence="isoflop", note=note)
    _count(everyone, len(budgets), inner, uncertainty, run)
    _held_out(everyone, budgets, config, run)
    columns: dict[str, Any] = {
        "tokens": [row.tokens for row in everyone],
        "loss": [row.loss for row in everyone],
        "parameters": [row.parameters_total for row in everyone],
        "non_embedding": [row.parameters for row in everyone],
        "flops": [row.flops_exact for row in everyone],
    }
    found = compare(bootstrap=config.bootstrap, seed=run.seed_for("compare"), **columns)
    run.figure("allocation", allocation_report.sizes(found), "The best size by every approach in every count.")
    run.figure("exponents", allocation_report.exponents(found), "Its exponent, with 90 % intervals by run.")
    shown = [
        {
            "count": row["count"],
            "approach": row["approach"],
            "exponent": row["exponent"],
            "interval": row["interval"],
            "beware": " ".join(row["warnings"]),
        }
        for row in allocation_report.rows(found)
    ]
    run.table("allocation", shown, "Kaplan et al. report 0.73 without embeddings, Hoffmann et al. 0.50 with them.")


def _count(rows: list[Row], budgets: int, inner: Any, uncertainty: Uncertainty, run: Run) -> None:
    """How much faster the best size grows without embeddings, from parabolas through the same runs."""
    losses = np.array([row.loss for row in rows])
    if inner(losses) * budgets < 2:
        run.conclude("counting", note="Fewer than two budgets have their best size inside, so there is no exponent.")
        return
    member = np.repeat(np.arange(budgets), len(rows) // budgets)

    def exponent(attribute: str, values: np.ndarray) -> float:
        n = np.array([getattr(row, attribute) for row in rows], dtype=float)
        d = np.array([row.tokens for row in rows], dtype=float)
        try:
            return isoflop_parabolas(n, d, 6 * n * d, np.maximum(values, 1e-3), budget=member).exponent
        except DataError:
            return float("nan")

    def difference(values: np.ndarray) -> float:
        return exponent("parameters", values) - exponent("parameters_total", values)

    found = uncertainty.estimate(rows, difference)
    both = [exponent(name, losses) for name in ("parameters", "parameters_total")]
    run.conclude("counting", found, evidence="isoflop", note=f"Parabolas, 6 N D: {both[0]:.2f} against {both[1]:.2f}.")


def _held_out(rows: list[Row], budgets: list[float], config: "Config", run: Run) -> None:
    """Fit a surface to all budgets but the largest and predict that one."""
    last = len(rows) // len(budgets)
    enough = [row for row in rows if row.tokens / row.parameters_total >= config.fewest_tokens]
    learned = [row for row in enough if all(row is not each for each in rows[-last:])]
    asked = [row for row in enough if any(row is each for each in rows[-last:])]
    if len(learned) < 6 or not asked:
        run.conclude("held-out-budget", note="Needs more runs with enough tokens per parameter.")
        return

    def columns(several: list[Row]) -> dict[str, Any]:
        return {"parameters": [row.parameters_total for row in several], "tokens": [row.tokens for row in several]}

    found = fit("chinchilla", loss=[row.loss for row in learned], **columns(learned))
    errors = np.abs(found.predict(**columns(asked)) - [row.loss for row in asked])
    note = f"{len(asked)} runs of {budgets[-1]:.1e} FLOPs, from {len(learned)} of smaller budgets."
    run.conclude("held-out-budget", float(errors.mean()), evidence="isoflop", note=note)
