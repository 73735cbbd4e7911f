"""Hold the runs against the claims; each experiment's numbers, figure and verdict."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from windtunnel.laboratory.errors import DataError
from windtunnel.laboratory.run import Run
from windtunnel.scaling.resampling import percentile_interval, widening
from windtunnel.scaling.transfer.effective import transfers
from windtunnel.scaling.transfer.estimators import TransferFit, fit_transfer
from windtunnel.scaling.transfer.forms import compare_forms, unified_check
from windtunnel.scaling.transfer.frontier import share_on_frontier
from windtunnel.scaling.transfer.ossification import ossification
from windtunnel.scaling.transfer.surface import Runs, surface
from windtunnel.statistics.estimates import Estimate
from windtunnel.studies.transfer_scaling import figures
from windtunnel.studies.transfer_scaling.corpora import TRACE
from windtunnel.studies.transfer_scaling.grid import (
    SCRATCH,
    Grid,
    epochs_ratio,
    multiplier_slope,
    share_positive,
    size_slopes,
)
from windtunnel.studies.transfer_scaling.proximity import reference

if TYPE_CHECKING:
    from windtunnel.studies.transfer_scaling import Config

CLUSTERS = "90 % interval over clusters (size, seed), widened for few."
NOTHING = "There was nothing to measure: no run of the kind it needs."


def conclude_text(config: "Config", rows: Sequence[Mapping[str, Any]], run: Run) -> None:
    """Every experiment on English and Python that was asked for."""
    wanted = set(config.experiments)
    everything = Grid(rows)
    grid = Grid([row for row in rows if row["beginning"] != TRACE])
    run.section("From English to Python", "Best held-out loss of every run, and the data it would have taken.")
    run.table(
        "runs", _table(grid), "Every cell: mean over seeds. 'Ran out' counts runs whose best step was their last."
    )

    def conclude(claim: str, statistic: Any, evidence: str, note: str = CLUSTERS) -> None:
        found = grid.estimate(statistic, run.generator("interval", claim), config.bootstrap)
        note = note if found else NOTHING
        run.conclude(claim, found, evidence=evidence, note=note)

    if wanted & {"definition", "enough-data"}:
        figures.curves(grid, run)
    fits = _fits(config, grid, run) if wanted & {"law", "unified", "regimes"} else {}
    if "law" in wanted:
        figures.fractions(grid, fits, run)
        figures.multipliers(grid, run)
        conclude("data-transferred", share_positive, "multipliers")
        conclude("multiplier-falls", multiplier_slope, "multipliers")
        _conclude_law(fits, run)
    if "size" in wanted:
        figures.sizes(grid, run)
        slope = size_slopes(grid, "text")
        note = "After text. 90 % interval of a slope over clusters (size, seed), by Student's t."
        run.conclude("size-matters-again", slope, evidence="sizes", note=note if slope else NOTHING)
    if "compute" in wanted:
        figures.compute(grid, run)
        share = _share_of(grid, include=True)
        note = f"After text; with the compute of pre-training it is {share:.2f}. {CLUSTERS}"
        conclude("compute-frontier", lambda one: _share_of(one, include=False), "compute", note)
    if "ossification" in wanted:
        _conclude_ossification(grid, run)
    if "unified" in wanted:
        _conclude_unified(grid, fits, run)
    if "regimes" in wanted:
        figures.regimes(grid, fits, run)
    if "epochs" in wanted:
        figures.epochs(grid, run)
        conclude("fewer-epochs", lambda one: epochs_ratio(one, "text"), "epochs", f"After text. {CLUSTERS}")
    if "contamination" in wanted:
        _conclude_contamination(everything, config, run)


def _table(grid: Grid) -> list[dict[str, Any]]:
    cells: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    for row in grid.rows:
        cells.setdefault((row["beginning"], row["parameters"], row["data"]), []).append(row)
    shown = []
    for (beginning, size, data), members in sorted(cells.items(), key=lambda item: item[0]):
        loss = float(np.mean([row["loss"] for row in members]))
        line: dict[str, Any] = {
            "beginning": beginning,
            "parameters": size,
            "tokens": data,
            "loss": round(loss, 4),
            "epochs": round(float(np.mean([row["epochs"] for row in members])), 1),
            "ran out": sum(row["ended"] == "steps" for row in members),
        }
        if beginning != SCRATCH:
            low, high = grid.curves[float(size)].data_for(loss)
            bound = "> " if np.isinf(high[0]) else "< " if low[0] == 0 else ""
            line["D_E"] = f"{bound}{(high if low[0] == 0 else low)[0]:.3g}"
        else:
            line["D_E"] = ""
        shown.append(line)
    return shown


def _fits(config: "Config", grid: Grid, run: Run) -> dict[str, TransferFit]:
    """The law of each pre-training, all at one reference cell."""
    fits = {}
    middle = tuple(float(np.exp(np.log(each).mean())) for each in (grid.runs.parameters, config.finetuning))
    rows = []
    for name in grid.beginnings:
        generator = run.generator("law")  # the same for all, so that replicates are of the same clusters
        try:
            fits[name] = fit_transfer(
                grid.of(SCRATCH).runs,
                grid.of(name).runs,
                bootstrap=config.bootstrap,
                generator=generator,
                reference=(middle[0], middle[1]),
            )
        except DataError as error:
            run.note(f"{name}: {error}")
            continue
        for estimator, law in fits[name].laws.items():
            line: dict[str, Any] = {"pre-trained on": name, "estimator": estimator}
            for symbol, function in (
                ("k", lambda one: float(one.k)),
                ("α", lambda one: float(one.alpha)),
                ("β", lambda one: float(one.beta)),
                ("D_T at reference", fits[name].at_reference),
            ):
                low, high = fits[name].interval(function, estimator)
                line[symbol] = f"{function(law):.3g} [{low:.3g}, {high:.3g}]"
            rows.append(line)
    if rows:
        told = sorted({warning for fit in fits.values() for warning in fit.warnings})
        caption = f"D_T = k D_F^α N^β, 90 % intervals; reference N = {middle[0]:.3g}, D_F = {middle[1]:.3g}. "
        run.table("law", rows, caption + " ".join(told))
    return fits


def _conclude_law(fits: Mapping[str, TransferFit], run: Run) -> None:
    text, mixture = fits.get("text"), fits.get("mixture")
    if text is not None:
        beta = Estimate(float(text.law.beta), *text.interval(lambda law: float(law.beta)), text.level)
        run.conclude("grows-with-size", beta, evidence="fractions", note=f"After text, censored fit. {CLUSTERS}")
    if text is None or mixture is None:
        return
    ratio = mixture.at_reference(mixture.law) / text.at_reference(text.law)
    drawn = [
        np.array([fit.at_reference(type(fit.law)(*row)) for row in fit.replicates.get("censored", ())])
        for fit in (mixture, text)
    ]
    count = min(map(len, drawn))
    interval = (0.0, np.inf)
    if count:
        clusters = len(np.unique(np.stack([text.transfers.runs.parameters, text.transfers.runs.seed]), axis=1).T)
        low, high = percentile_interval(drawn[0][:count] / drawn[1][:count], text.level, widening(clusters, 3, 0.9))
        interval = (min(float(low), ratio), max(float(high), ratio))
    run.conclude("closer-mixture", ratio, interval=interval, evidence="fractions", note=f"Censored fits. {CLUSTERS}")


def _share_of(grid: Grid, *, include: bool) -> float:
    """Share of budgets at which fine-tuning after text is on the frontier, at the middle D_F; the best size each."""
    text, scratch = grid.of("text"), grid.of(SCRATCH)
    sizes = np.unique(text.column("data")[text.column("parameters") == text.column("parameters").max()])
    data = sizes[len(sizes) // 2]
    return share_on_frontier(figures.points(scratch, data, False), figures.points(text, data, include))


def _conclude_ossification(grid: Grid, run: Run) -> None:
    text = grid.of("text").runs
    smallest = text.parameters.min()
    cells = ossification(grid.curves, grid.of(SCRATCH).runs, text.select(text.parameters == smallest))
    if not cells:
        return
    figures.ossified(cells, run)
    last = max(cells, key=lambda cell: cell.data)
    enough = grid.curves[last.parameters].enough()
    note = (
        f"N = {last.parameters:.0f}, D_F = {last.data:.0f}, {last.data / enough:.2g} of the bound of D(N). "
        f"D_T / D_F = {last.transferred.value / last.data:.2f}, or more where the curve ends. Student's over seeds."
    )
    run.conclude("ossification", last.gap, evidence="ossification", note=note)


def _conclude_unified(grid: Grid, fits: Mapping[str, TransferFit], run: Run) -> None:
    checks, losses = {}, {}
    for name, fit in fits.items():
        kept = fit.transfers.runs.select(fit.transfers.low_data)
        try:
            checks[name] = unified_check(grid.of(SCRATCH).runs, kept, fit.law)
        except DataError as error:
            run.note(str(error))
            continue
        losses[name] = kept.loss
    if not checks:
        return
    figures.unified(checks, losses, run)
    ratio = float(np.mean([check.error / check.error_from_scratch for check in checks.values()]))
    errors = ", ".join(f"{name} {check.error:.3f}" for name, check in checks.items())
    low, high = _over_sizes(checks, losses, fits)
    note = f"Mean absolute error in nats: {errors}. Interval: range over sizes of model."
    run.conclude("unified-law", ratio, interval=(min(low, ratio), max(high, ratio)), evidence="unified", note=note)


def _over_sizes(checks: Mapping[str, Any], losses: Mapping[str, Any], fits: Mapping[str, TransferFit]) -> Any:
    """The least and the largest ratio of errors over sizes of model."""
    ratios = []
    for name, check in checks.items():
        kept = fits[name].transfers.runs.select(fits[name].transfers.low_data)
        misses = np.abs(check.predicted - losses[name])
        for size in np.unique(kept.parameters):
            ratios.append(float(misses[kept.parameters == size].mean() / check.error_from_scratch))
    return min(ratios), max(ratios)


def _conclude_contamination(everything: Grid, config: "Config", run: Run) -> None:
    """Effective data at the least D_F after contaminated pre-training over that after clean, by seed."""
    from windtunnel.statistics.intervals import mean

    trace = everything.of(TRACE)
    if not trace.rows:
        return
    size, data = trace.column("parameters")[0], trace.column("data").min()
    effective = {}
    for name in ("text", TRACE):
        part = everything.of(name).runs
        mine = part.select((part.parameters == size) & (part.data == data))
        found = transfers(everything.curves, mine.select(np.argsort(mine.seed)))
        effective[name] = np.where(np.isfinite(found.high), found.high, found.low)
    logs = mean(np.log(effective[TRACE]) - np.log(effective["text"]))
    estimate = Estimate(float(np.exp(logs.value)), float(np.exp(logs.low)), float(np.exp(min(logs.high, 700))))
    note = f"{config.trace:.1%} of the target in the text, N = {size:.0f}, D_F = {data:.0f}; Student's over seeds."
    run.conclude("trace", estimate, note=note)


def conclude_proximity(config: "Config", rows: Sequence[Mapping[str, Any]], run: Run) -> None:
    """Data transferred at the reference cell by proximity, and the frozen control."""
    from scipy.stats import spearmanr

    run.section("Languages of known proximity", "Markov chains that share a known part ρ of what follows what.")
    largest = max(config.synthetic_pretraining)
    scratch = [row for row in rows if row["kind"] == "scratch"]
    tuned = [row for row in rows if row["kind"] == "finetuned" and row["pretraining"] == largest]
    levels = sorted({row["proximity"] for row in tuned})
    middle = reference(config)
    by_language: dict[int, list[float]] = {}
    for language in sorted({row["language"] for row in tuned}):
        ours = _runs([row for row in scratch if row["language"] == language])
        curves = surface(ours, noise=float("nan"))
        by_language[language] = [
            _at_reference(curves, [row for row in tuned if (row["language"], row["proximity"]) == (language, level)])
            for level in levels
        ]
    correlations = [float(spearmanr(levels, worths).statistic) for worths in by_language.values()]
    correlations = [0.0 if np.isnan(one) else one for one in correlations]
    figures.proximity(levels, by_language, tuned, run)
    note = (
        "D_T at the reference cell: geometric mean of D_E over the cells less the mean D_F; mean over pairs of "
        f"languages, interval: their range. N = {middle[0]:.0f}, D_F = {middle[1]:.0f}."
    )
    value = float(np.mean(correlations))
    run.conclude(
        "proximity-orders", value, interval=(min(correlations), max(correlations)), evidence="proximity", note=note
    )
    _conclude_frozen(scratch, rows, run)


def _at_reference(curves: Any, rows: Sequence[Mapping[str, Any]]) -> float:
    """D_T in the middle of a balanced grid: what the plane through ln D_E is there, less D_F.

    The law itself cannot be fitted where the transfer is none or negative, as it must be allowed to be here.
    """
    found = transfers(curves, _runs(rows))
    effective = np.where(np.isfinite(found.high), np.where(found.low > 0, found.low, found.high), found.low)
    return float(np.exp(np.log(effective).mean()) - np.exp(np.log(found.runs.data).mean()))


def _runs(rows: Sequence[Mapping[str, Any]]) -> Runs:
    return Runs.of(*([row[name] for row in rows] for name in ("parameters", "data", "loss", "seed")))


def _conclude_frozen(scratch: Sequence[Mapping[str, Any]], rows: Sequence[Mapping[str, Any]], run: Run) -> None:
    control, frozen = ([row for row in rows if row["kind"] == f"control-{kind}"] for kind in ("scratch", "frozen"))
    if not control:
        return
    size, language = control[0]["parameters"], control[0]["language"]
    curve = [row for row in scratch if (row["parameters"], row["language"]) == (size, language)]
    cell = ossification(surface(_runs(curve), noise=float("nan")), _runs(control), _runs(frozen))[0]
    scaled = [end / cell.data for end in (cell.transferred.value, cell.transferred.low, cell.transferred.high)]
    note = f"D_F = {cell.data:.0f}, gap in loss {cell.gap} nats over {len(frozen)} seeds; detected: {cell.ossified}."
    run.conclude("ossification-detected", Estimate(*scaled), evidence="proximity", note=note)


def conclude_forms(config: "Config", rows: Sequence[Mapping[str, Any]], run: Run) -> None:
    """Which form the losses after different amounts of pre-training and fine-tuning follow."""
    lines = []
    for size in sorted({row["parameters"] for row in rows}):
        mine = [row for row in rows if row["kind"] == "finetuned" and row["proximity"] == 0.5]
        mine = [row for row in mine if row["parameters"] == size]
        columns = (np.array([row[name] for row in mine], dtype=float) for name in ("pretraining", "data", "loss"))
        try:
            found = compare_forms(*columns)
        except DataError as error:
            run.note(str(error))
            return
        for name, form in found.items():
            lines.append({"parameters": size, "form": name, "AICc": form.aicc, "error left out": form.left_out})
    run.table("forms", lines, "Transfer gap or effective data, on languages that share half: the lower the better.")
