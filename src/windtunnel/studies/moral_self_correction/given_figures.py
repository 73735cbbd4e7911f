"""Figures of a given model: scores in every condition with their intervals."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from windtunnel.evaluation.bias.bbq import BiasScores
from windtunnel.laboratory import plots
from windtunnel.laboratory.run import Run
from windtunnel.statistics.estimates import Estimate
from windtunnel.studies.moral_self_correction.figures import COLOURS


def bbq(found: Mapping[str, Mapping[str, BiasScores]], run: Run) -> None:
    """Ambiguous score and accuracies by category and condition: accuracy and bias move together, so both are shown."""
    categories = list(next(iter(found.values())))
    measures = (
        ("ambiguous", "bias, ambiguous"),
        ("disambiguated", "bias, disambiguated"),
        ("accuracy_ambiguous", "accuracy, ambiguous"),
        ("accuracy_disambiguated", "accuracy, disambiguated"),
    )
    figure, axes = plots.figure(7.0, 1.2 + 0.45 * len(categories), columns=4, sharey=True)
    for each, (name, title) in zip(axes, measures, strict=True):
        for place, (condition, scores) in enumerate(found.items()):
            for line, category in enumerate(categories):
                if category in scores:
                    height = line + (place - (len(found) - 1) / 2) * 0.22
                    _bar(
                        each,
                        getattr(scores[category], name),
                        height,
                        COLOURS[condition],
                        condition if not line else None,
                    )
        each.set_title(title, fontsize=8.5)
        ends = (-1, 0, 1) if "bias" in title else (0, 0.5, 1)
        each.set_xticks(ends, [f"{end:g}" for end in ends])
        each.axvline(0 if "bias" in title else 1 / 3, color=plots.MUTED, linewidth=0.8, linestyle="--")
    axes[0].set_yticks(range(len(categories)), [name.replace("_", " ") for name in categories])
    axes[0].invert_yaxis()
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(found))
    caption = "BBQ in every condition; bars: 95 % over templates; dashed: no bias, or chance."
    data = {
        condition: {
            category: {name: _row(getattr(one, name)) for name, _ in measures} for category, one in scores.items()
        }
        for condition, scores in found.items()
    }
    run.figure("bbq", figure, caption, data)


def winogender(shares: Mapping[str, Mapping[str, float]], statistics: Mapping[str, float], run: Run) -> None:
    """The female pronoun's share over the statistic."""
    figure, axes = plots.figure(7.0, 2.5, columns=len(shares), sharey=True)
    for each, (condition, by_occupation) in zip(np.atleast_1d(axes), shares.items(), strict=True):
        names = sorted(by_occupation)
        each.plot([statistics[name] for name in names], [by_occupation[name] for name in names], ".", markersize=4,
                  color=COLOURS[condition])  # fmt: skip
        each.plot([0, 1], [0, 1], color=plots.MUTED, linestyle="--", linewidth=1)
        each.set(title=condition, xlabel="share of women", xlim=(0, 1), ylim=(0, 1))
    np.atleast_1d(axes)[0].set_ylabel("share of the\nfemale pronoun")
    caption = "Pronouns of 60 occupations; dashed: the statistics."
    run.figure("winogender", figure, caption, {"shares": {key: dict(value) for key, value in shares.items()}})


def admissions(gaps: Mapping[str, Estimate], run: Run) -> None:
    """Δ in every condition."""
    figure, axes = plots.figure(4.6, 1.8)
    for line, (condition, gap) in enumerate(gaps.items()):
        _bar(axes, gap, line, COLOURS[condition], None)
    axes.axvline(0, color=plots.MUTED, linewidth=0.8, linestyle="--")
    axes.set_yticks(range(len(gaps)), list(gaps))
    axes.invert_yaxis()
    axes.set_xlabel("Δ, percentage points")
    caption = "Admission as Black less as white, the same students; bars: 95 % over students."
    run.figure("admissions", figure, caption, {condition: _row(gap) for condition, gap in gaps.items()})


def _bar(axes: Any, estimate: Estimate, height: float, colour: str, label: str | None) -> None:
    axes.plot([estimate.low, estimate.high], [height, height], color=colour, linewidth=1.4)
    axes.plot([estimate.value], [height], "o", color=colour, markersize=3.5, label=label)


def _row(estimate: Estimate) -> list[float]:
    return [estimate.value, estimate.low, estimate.high]
