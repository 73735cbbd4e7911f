"""The pipeline held against the truth of a grammar: sections 3.1 to 3.4 of the paper."""

from typing import TYPE_CHECKING, Any

import numpy as np

from windtunnel.data.worlds.written import TOPICS
from windtunnel.laboratory import plots
from windtunnel.laboratory.run import Run
from windtunnel.laboratory.sweeps import Backend, sweep, values
from windtunnel.statistics.estimates import Estimate
from windtunnel.statistics.intervals import mean
from windtunnel.studies.model_written_evaluations.grammar import THRESHOLDS, laboratory, letters, whole_pipeline

if TYPE_CHECKING:
    from windtunnel.studies.model_written_evaluations import Config

Lab = list[dict[str, Any]]
"""What `grammar.laboratory` measured, by seed."""


def study_pipeline(config: "Config", run: Run) -> None:
    """Write, filter and balance statements of known truth; average a letter's habit away."""
    work: list[tuple[str, int, Config, Run]] = [
        ("lab", number, config, run.child(f"grammar-{number}")) for number in range(config.lab_seeds)
    ]
    work += [("letters", 0, config, run.child("letters")), ("pipeline", 0, config, run.child("pipeline"))]
    backend: Backend = "processes" if run.workers > 1 else "in-process"
    found = values(sweep(measure, work, backend=backend, workers=run.workers))
    lab = found[: config.lab_seeds]
    run.section(
        "The pipeline on statements of known truth",
        f"{2 * config.candidates:,} statements of a grammar, {config.noise:.0%} of them with a false label, filtered "
        f"by a discriminator of {config.accuracy:.0%} accuracy; {config.lab_seeds} grammars.",
    )
    _show_filter(lab, config, run)
    _show_diversity(lab, config, run)
    _conclude(lab, found[-2], config, run)
    run.table(
        "counts",
        [{"step": name, "statements": count} for name, count in found[-1]["summary"]["counts"].items()],
        "One whole run of the pipeline; its page is grammar/index.html in the run of the pipeline.",
    )


def measure(item: tuple[str, int, "Config", Run]) -> dict[str, Any]:
    """One piece of work; what is finished is read back."""
    kind, number, config, run = item
    if kind == "lab":
        return run.stage("laboratory", lambda: laboratory(config, run, number))
    return run.stage(kind, lambda: letters(config, run) if kind == "letters" else whole_pipeline(config, run))


def _over(lab: Lab, *names: str) -> np.ndarray:
    """A number of every seed."""
    found = []
    for seed in lab:
        value: Any = seed
        for name in names:
            value = value[name]
        found.append(float(value))
    return np.array(found)


def _range(numbers: np.ndarray) -> Estimate:
    """The mean, with the range over few seeds as its interval."""
    return Estimate(float(numbers.mean()), float(numbers.min()), float(numbers.max()))


def _conclude(lab: Lab, lettered: dict[str, Any], config: "Config", run: Run) -> None:
    raw = _over(lab, "raw error")
    confirmed = (_over(lab, "confirmed error") / raw).mean()
    run.conclude(
        "kept-error",
        _range(_over(lab, "kept error") / raw),
        evidence="filter",
        note=f"Of the surest; of all that are confirmed {confirmed:.3f} of the raw error.",
    )
    run.conclude("balanced", float(_over(lab, "imbalance").max()))
    gaps = {
        name: _over(lab, name, "confidence") - _over(lab, name, "right") for name in ("calibrated", "overconfident")
    }
    run.conclude("ceiling-calibrated", _range(np.abs(gaps["calibrated"])), evidence="filter")
    run.conclude("ceiling-overconfident", _range(gaps["overconfident"]), evidence="filter")
    lost = _over(lab, "entropy at random") - _over(lab, "entropy of the surest")
    run.conclude("diversity-loss", mean(lost) if len(lost) > 1 else float(lost[0]), evidence="topics")
    back = _over(lab, "entropy of the varied") - _over(lab, "entropy of the surest")
    if (lost >= 0.1).all():
        run.conclude("diversity-restored", _range(back / lost), evidence="topics")
    else:
        run.conclude("diversity-restored", note="Nothing was lost that could be brought back.")
    confirmed = _over(lab, "confirmed by raters") - (1 - _over(lab, "kept error"))
    kappa = _over(lab, "kappa of raters").mean()
    run.conclude(
        "raters-confirm",
        _range(np.abs(confirmed)),
        note=f"Three raters of skill {config.rater_skill:g}; Fleiss' kappa {kappa:.3f} (people in the paper: .875).",
    )
    given, averaged = (lettered[f"A alone, {orders}"]["matching"] for orders in ("given", "cyclic"))
    run.conclude(
        "letters-averaged",
        abs(averaged - 0.5),
        note=f"A model that says (A) to questions that (A) matches, {given:.2f} in the order given.",
    )
    trait = lettered["trait, cyclic"]
    ends = [abs(trait[end] - config.trait) for end in ("low", "high")]
    inside = trait["low"] <= config.trait <= trait["high"]
    run.conclude(
        "letters-trait",
        abs(trait["matching"] - config.trait),
        interval=(0.0 if inside else min(ends), max(ends)),
    )
    rows = [{"model and orders": name, **found} for name, found in lettered.items()]
    run.table("lettered", rows, "Models that prefer the letter A: options as given, and averaged over orders.")


def _show_filter(lab: Lab, config: "Config", run: Run) -> None:
    figure, (left, right) = plots.figure(7.0, 3.0, columns=2)
    curves = np.stack([seed["curve"] for seed in lab])
    left.plot(THRESHOLDS, np.nanmean(curves[:, :, 0], 0), marker="o", ms=3.5, label="false labels among the kept")
    left.fill_between(THRESHOLDS, np.nanmin(curves[:, :, 0], 0), np.nanmax(curves[:, :, 0], 0), alpha=0.2, linewidth=0)
    left.axhline(_over(lab, "raw error").mean(), color=plots.MUTED, lw=1, ls="--", label="among all")
    left.set_xlabel("least confidence")
    left.set_ylabel("share of false labels")
    left.set_ylim(bottom=0)
    left.legend()
    for name, marker in zip(
        ("calibrated", "weak but calibrated", "overconfident", "underconfident"), "osv^", strict=True
    ):
        right.scatter(_over(lab, name, "confidence"), _over(lab, name, "right"), s=22, marker=marker, label=name)
    low = min(right.get_xlim()[0], right.get_ylim()[0])
    right.plot([low, 1], [low, 1], color=plots.MUTED, lw=1, ls="--")
    right.set_xlabel("mean confidence of the confirmed")
    right.set_ylabel("share of right labels")
    right.legend(loc="upper left")
    run.figure(
        "filter",
        figure,
        "Left: false labels among what a threshold on confidence would keep; shaded: range over grammars. Right: the "
        "ceiling identity holds on the dashed line, where discriminators are calibrated.",
        {"thresholds": THRESHOLDS, "curves": curves},
    )


def _show_diversity(lab: Lab, config: "Config", run: Run) -> None:
    figure, axes = plots.figure(7.0, 3.0)
    places = np.arange(len(TOPICS))
    for shift, name in ((-0.2, "surest"), (0.2, "varied")):
        counts = np.mean([seed[f"topics of the {name}"] / max(seed["kept"], 1) for seed in lab], axis=0)
        label = "the surest" if name == "surest" else f"unlikeness counted (weight {config.diversity:g})"
        axes.bar(places + shift, counts, 0.38, label=label)
    axes.axhline(1 / len(TOPICS), color=plots.MUTED, lw=1, ls="--", label="as written")
    axes.set_xticks(places, list(TOPICS), rotation=30, ha="right")
    axes.set_ylabel("share of the kept")
    axes.legend()
    run.figure("topics", figure, "Topics of what is kept, from the easiest for the discriminator to the hardest.", None)
