"""Sycophancy of the organism over sizes and over steps of preference training, with trends over behaviours."""

from typing import TYPE_CHECKING, Any

import numpy as np

from windtunnel.evaluation.behaviour import Measured, Trend, sign_test, trends
from windtunnel.laboratory import plots
from windtunnel.laboratory.errors import DataError
from windtunnel.laboratory.run import Run
from windtunnel.laboratory.sweeps import Backend, sweep, values
from windtunnel.statistics.intervals import mean
from windtunnel.studies.model_written_evaluations.organism import DOMAINS, family, grow, over_seeds

if TYPE_CHECKING:
    from windtunnel.studies.model_written_evaluations import Config

Grown = list[dict[str, Any]]
"""What was measured of each model, with its `width` and `number`."""

COPIES = [place for place, domain in enumerate(DOMAINS) if domain.matching > 0.5]
NEUTRAL = [place for place, domain in enumerate(DOMAINS) if domain.matching == 0.5]
DIFFER = 0.02
"""Standard deviation over domains below which a model's behaviours, or preferences, are all the same."""

LIKED = [place for place, domain in enumerate(DOMAINS) if domain.prefers > 0.5]


def study_organism(config: "Config", run: Run) -> None:
    """Train the family, measure it by paired prompts, train the largest by preferences, and test the trends."""
    members = family(config, run)
    backend: Backend = "processes" if run.workers > 1 else "in-process"
    with run.watch([member.run for member in members]):
        measured = values(sweep(grow, members, backend=backend, workers=run.workers))
    grown = [{"width": m.width, "number": m.number, **found} for m, found in zip(members, measured, strict=True)]
    largest = [each for each in grown if each["width"] == max(config.widths)]
    run.section(
        "Sycophancy over size",
        "Transformers of growing width learn from the same dialogues, in which answers copy the user's view with a "
        "planted probability in each of six domains; the user speaks of several topics and asks about one.",
    )
    found = _size_trends(grown, run)
    small_predicts_large(grown, run)
    _show_sizes(grown, run)
    _conclude_sizes(grown, largest, found, run)
    run.section(
        "Sycophancy over preference training",
        "The largest models are trained by policy gradients on the rewards of a preference model, which has learned "
        "from comparisons that people prefer the agreeing reply in some domains and not in others.",
    )
    _show_steps(largest, run)
    _conclude_steps(largest, run)
    agreement_with_size(grown, run)


def _size_trends(grown: Grown, run: Run) -> list[Trend]:
    """The trend of every domain over size, corrected for their number."""
    rows = [
        Measured(domain.name, each["parameters"], each["matching"][place], f"{each['width']}/{each['number']}")
        for place, domain in enumerate(DOMAINS)
        for each in grown
    ]
    if len({each["parameters"] for each in grown}) < 2 or len(grown) < 3:
        return []
    found = trends(rows, generator=run.generator("trends"))
    run.table(
        "trends",
        [
            {**each.as_row(), "planted": domain.matching, "rises": each.rises()}
            for each, domain in zip(found, DOMAINS, strict=True)
        ],
        "Trend of each domain: matching answers per decade of parameters, Student's interval over models, permutation "
        "p-value, and the same corrected by Benjamini and Hochberg.",
    )
    return found


def small_predicts_large(grown: Grown, run: Run) -> None:
    """How well each size predicts what the largest does, over domains (appendix A.2 of the paper), for every seed."""
    sizes = sorted({each["parameters"] for each in grown})
    behaviours = {(each["parameters"], each["number"]): each["matching"] for each in grown}
    largest = np.stack([row for (size, _), row in behaviours.items() if size == sizes[-1]])
    if len(sizes) < 2 or largest.std(1).min() < DIFFER:
        run.conclude("small-predicts-large", note="Needs a smaller size, and behaviours of the largest that differ.")
        return
    numbers = sorted({number for _, number in behaviours})
    rows = []
    for size in sizes[:-1]:
        pairs = [(behaviours[size, number], behaviours[sizes[-1], number]) for number in numbers]
        found = over_seeds(np.array([np.corrcoef(*pair)[0, 1] for pair in pairs]))
        rows.append({"parameters": size, "correlation": found.value, "least": found.low, "most": found.high})
    run.table("prediction", rows, "Whether a small model's behaviours are the largest one's, over six domains.")
    run.conclude("small-predicts-large", found, evidence="prediction", note=f"{size:,} of {sizes[-1]:,} parameters.")


def agreement_with_size(grown: Grown, run: Run) -> None:
    """Whether larger policies show what larger preference models prefer, over domains (appendix A.1 of the paper)."""
    rows = []
    for each in grown:
        told = each.get("preferences")
        if told is not None:
            related = float(np.corrcoef(told["agreement"], told["path"][-1]["matching"])[0, 1])
            rows.append(Measured("agreement", each["parameters"], related, f"{each['width']}/{each['number']}"))
    sizes = sorted({row.x for row in rows})
    if len(sizes) < 2 or len(rows) < 3:
        run.conclude("agreement-with-size", note="Needs preference training at two widths; set preferred_widths.")
        return
    largest = [each["preferences"]["agreement"].std() for each in grown if each["parameters"] == sizes[-1]]
    if min(largest) < DIFFER:
        run.conclude("agreement-with-size", note="The largest preference model prefers nothing more than another.")
        return
    table = []
    for size in sizes:
        found = over_seeds(np.array([row.value for row in rows if row.x == size]))
        table.append({"parameters": size, "correlation": found.value, "least": found.low, "most": found.high})
    run.table("agreement", table, "Over six domains: what the preference model prefers and what its policy does.")
    slope = trends(rows, generator=run.generator("agreement"))[0].slope
    run.conclude("agreement-with-size", slope, evidence="agreement")


def _conclude_sizes(grown: Grown, largest: Grown, found: list[Trend], run: Run) -> None:
    planted = np.array([domain.matching for domain in DOMAINS])
    gaps = np.abs(np.stack([each["matching"] for each in largest]) - planted).max(1)
    run.conclude("sycophancy-planted", over_seeds(gaps), evidence="sizes")
    high = [place for place, domain in enumerate(DOMAINS) if domain.matching == planted.max()]
    swings = np.array([each["swing"][high].mean() for each in largest])
    run.conclude("sycophancy-swing", over_seeds(swings), evidence="sizes")
    run.conclude("opinion-kept", over_seeds(np.array([each["opinion"] for each in largest])))
    if not found:
        for claim in ("rises-with-size", "neutral-with-size", "trends-told-right"):
            run.conclude(claim, note="A trend needs models of several widths.")
        return
    groups = {"rises-with-size": COPIES, "neutral-with-size": NEUTRAL}
    for claim, places in groups.items():
        rows = [Measured(claim, each["parameters"], float(each["matching"][places].mean())) for each in grown]
        run.conclude(claim, trends(rows, generator=run.generator(claim))[0].slope, evidence="sizes")
    try:
        signs = sign_test(found)
        note = f"{signs.rising} domains rise and {signs.falling} fall, sign test p = {signs.p_value:.2g}."
    except DataError:
        note = "No domain rises or falls at all."
    right = [each.rises() == (place in COPIES) and not each.falls() for place, each in enumerate(found)]
    run.conclude("trends-told-right", float(np.mean(right)), evidence="sizes", note=note)


def _conclude_steps(largest: Grown, run: Run) -> None:
    told = [each["preferences"] for each in largest]
    run.conclude(
        "preference-model", over_seeds(np.array([each["margin"][LIKED].mean() for each in told])), evidence="steps"
    )
    begins, ends = (np.stack([each["path"][place]["matching"] for each in told]) for place in (0, -1))
    optimum = np.stack([each["optimum"] for each in told])
    change = (ends - begins)[:, LIKED].mean(1)
    run.conclude("rises-with-steps", mean(change) if len(change) > 1 else float(change[0]), evidence="steps")
    run.conclude("reaches-optimum", over_seeds(np.abs(ends - optimum).mean(1)), evidence="steps")
    moved = (optimum - begins).std(1)
    if (moved < 0.01).any():
        run.conclude("follows-preferences", note="The preference model has no preferences to follow.")
        return
    changes = zip(ends - begins, optimum - begins, strict=True)
    related = np.array([np.corrcoef(one, other)[0, 1] for one, other in changes])
    run.conclude("follows-preferences", over_seeds(related), evidence="steps")
    rows = [
        {
            "domain": domain.name,
            "planted matching": domain.matching,
            "people prefer agreement": domain.prefers,
            "margin, nats": float(np.mean([each["margin"][place] for each in told])),
            "before": float(begins[:, place].mean()),
            "after": float(ends[:, place].mean()),
            "optimum": float(optimum[:, place].mean()),
            "most probable answer matches, after": float(np.mean([each["path"][-1]["said"][place] for each in told])),
        }
        for place, domain in enumerate(DOMAINS)
    ]
    run.table("preferences", rows, "What the preference model prefers, and what training by it does; means over seeds.")


def _show_sizes(grown: Grown, run: Run) -> None:
    figure, axes = plots.figure(7.0, 3.4, columns=2, sharex=True)
    sizes = sorted({each["parameters"] for each in grown})
    for panel, key, label in (
        (axes[0], "matching", "probability of the user's view"),
        (axes[1], "swing", "swing with the view"),
    ):
        for place, domain in enumerate(DOMAINS):
            mine = [[each[key][place] for each in grown if each["parameters"] == size] for size in sizes]
            middle = [float(np.mean(each)) for each in mine]
            colour = plots.PALETTE[place]
            panel.plot(sizes, middle, marker="o", ms=3.5, color=colour, label=f"{domain.name} ({domain.matching:g})")
            panel.fill_between(sizes, [min(e) for e in mine], [max(e) for e in mine], color=colour, alpha=0.15, lw=0)
        for planted in sorted({domain.matching for domain in DOMAINS}):
            panel.axhline(planted if key == "matching" else 2 * planted - 1, color=plots.MUTED, lw=0.8, ls="--")
        panel.set_xscale("log")
        panel.set_xlabel("parameters")
        panel.set_ylabel(label)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    run.figure(
        "sizes",
        figure,
        "Sycophancy over size in six domains, planted as in brackets and dashed; bands: range over seeds. Left: mean "
        "probability of the user's view; right: how much it moves with the view.",
        {"parameters": sizes, "domains": [domain.name for domain in DOMAINS]},
    )


def _show_steps(largest: Grown, run: Run) -> None:
    figure, (left, right) = plots.figure(7.0, 3.4, columns=2, width_ratios=(1.5, 1))
    told = [each["preferences"] for each in largest]
    steps = [row["step"] for row in told[0]["path"]]
    paths = np.stack([[row["matching"] for row in each["path"]] for each in told])
    optimum = np.stack([each["optimum"] for each in told]).mean(0)
    margin = np.stack([each["margin"] for each in told]).mean(0)
    for place, domain in enumerate(DOMAINS):
        colour = plots.PALETTE[place]
        label = f"{domain.name} ({domain.prefers:g})"
        left.plot(steps, paths[:, :, place].mean(0), color=colour, label=label)
        left.fill_between(steps, paths[:, :, place].min(0), paths[:, :, place].max(0), color=colour, alpha=0.15, lw=0)
        left.plot(steps[-1] * 1.03, optimum[place], marker="<", ms=5, color=colour, clip_on=False)
        change = paths[:, -1, place].mean() - paths[:, 0, place].mean()
        right.scatter(margin[place], change, color=colour, s=26)
    left.set_xlabel("policy-gradient steps")
    left.set_ylabel("probability of the user's view")
    right.axhline(0, color=plots.MUTED, lw=0.8)
    right.axvline(0, color=plots.MUTED, lw=0.8)
    right.set_xlabel("reward for agreeing, nats")
    right.set_ylabel("change by training")
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=3)
    run.figure(
        "steps",
        figure,
        "Left: sycophancy over steps of training by a preference model; in brackets how often people prefer the "
        "agreeing reply; triangles: the exact optimum. Right: change against what the preference model prefers.",
        {"steps": steps, "matching": paths},
    )
