"""What the report shows of each experiment, and what it concludes about the paper's claims."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from windtunnel.interpretability.toy_models import figures, geometry
from windtunnel.laboratory import plots
from windtunnel.laboratory.run import Run
from windtunnel.statistics import Estimate, bootstrap, correlation, mean, proportion

Result = dict[str, Any]
Floats = NDArray[np.float64]

REPRESENTED = 0.5
"""A feature is represented when its norm is above this."""


def best_of(losses: Floats, values: Floats, generator: np.random.Generator, resamples: int = 2_000) -> Estimate:
    """A value of the best of several models, with the interval that other seeds would give (bootstrap over seeds)."""
    drawn = generator.integers(len(losses), size=(resamples, len(losses)))
    chosen = drawn[np.arange(resamples), losses[drawn].argmin(1)]
    low, high = np.quantile(values[chosen], [0.025, 0.975])
    return Estimate(float(values[losses.argmin()]), float(low), float(high))


def by_density(result: Result, key: str = "densities") -> tuple[Floats, Floats]:
    """Weights as [density, model, feature, hidden] and losses as [density, model]."""
    groups = len(result[key])
    losses = np.asarray(result["losses"], dtype=np.float64).reshape(groups, -1)
    weights = np.asarray(result["weights"])
    return weights.reshape(groups, losses.shape[1], *weights.shape[1:]), losses


def best_models(result: Result, key: str, label: str) -> list[tuple[str, Floats]]:
    """The best model at each density (or ratio), with a title."""
    weights, losses = by_density(result, key)
    return [
        (f"{label} {value:g}", models[loss.argmin()])
        for value, models, loss in zip(result[key], weights, losses, strict=True)
    ]


def cosines(weights: Floats, size: int = 2) -> Floats:
    """The cosine between the two features of each consecutive pair."""
    unit = geometry.directions(weights).reshape(*weights.shape[:-2], -1, size, weights.shape[-1])
    return np.asarray((unit[..., 0, :] * unit[..., 1, :]).sum(-1))


def show_polytopes(result: Result, run: Run) -> None:
    """Identities of geometry, which need no training."""
    run.section(
        "Polytopes",
        "The dimensionality of a feature is the share of a hidden dimension it has to itself. Regular polytopes give "
        "their corners known fractions; here they are turned at random into twenty dimensions.",
    )
    run.table("polytopes", result["rows"], "Largest error of any corner's dimensionality.")
    run.conclude("polytope-identities", max(row["error"] for row in result["rows"]))


def show_introduction(result: Result, run: Run) -> None:
    """Two features, then a square of digons or a pentagon."""
    run.section(
        "Five features in two dimensions",
        "As features become sparse, a model of two dimensions goes from representing the two most important ones at "
        "a right angle to holding all five in superposition.",
    )
    models = best_models(result, "densities", "density")
    run.figure("introduction", figures.planes(models), "Features of the best model at each density.")
    weights, losses = by_density(result)
    generator = run.generator("introduction")

    def gaps_off(model: Floats, corners: int, angle: float) -> float:
        gaps = geometry.angles(model)
        if len(gaps) != corners:
            return 90.0
        return float(np.abs((gaps if corners > 2 else gaps.min()) - angle).max())

    dense = np.array([gaps_off(model, 2, 90.0) for model in weights[0]])
    pentagon = np.array([gaps_off(model, 5, 72.0) for model in weights[-1]])
    share = np.array([np.abs(geometry.dimensionality(model) - 0.4).max() for model in weights[-1]])
    seeds = f"Best of {losses.shape[1]} seeds; the interval is over resampled seeds."
    run.conclude("dense-pair", best_of(losses[0], dense, generator), evidence="introduction", note=seeds)
    run.conclude("pentagon", best_of(losses[-1], pentagon, generator), evidence="introduction", note=seeds)
    run.conclude("pentagon-dimensionality", best_of(losses[-1], share, generator), evidence="introduction", note=seeds)


def show_basics(result: Result, run: Run) -> None:
    """Superposition appears with sparsity; the linear model never shows it."""
    run.section(
        "Basic results",
        "Twenty features of falling importance in five dimensions. Dense features: the five most important ones and "
        "nothing else. Sparse features: more and more of them, at the price of interference. A linear model does "
        "principal component analysis whatever the sparsity.",
    )
    dense, linear = np.asarray(result["dense"]), np.asarray(result["linear"])
    relu = [("dense", dense[0])] + [
        (f"density {density:g}", model)
        for density, model in zip(result["densities"][1:], result["sparse"], strict=True)
    ]
    run.figure("basics", figures.gram_stack([*relu, ("linear, dense", linear[0])]), BASICS)
    expected = np.arange(20) < 5
    wrong = [int(((geometry.norms(model) > REPRESENTED) != expected).sum()) for model in dense]
    off = [float(np.abs(model @ model.T - np.diag(np.diag(model @ model.T)))[:5, :5].max()) for model in dense]
    excess = np.array(result["linear_losses"]) / result["linear_optimum"] - 1
    kept = [
        int((geometry.norms(model) > REPRESENTED).sum()) for model in [*linear, *np.asarray(result["linear_sparse"])]
    ]
    generator = run.generator("basics")
    run.conclude("linear-is-pca", mean(excess), note=f"Mean of {len(excess)} seeds, by exact expected loss.")
    run.conclude("linear-no-superposition", max(kept), evidence="basics", note=f"Of {len(kept)} linear models.")
    run.conclude("dense-top-features", bootstrap(wrong, generator=generator), evidence="basics")
    run.conclude("dense-orthogonal", mean(off), evidence="basics", note=f"Mean of {len(off)} seeds.")


BASICS = "Above, WᵀW; below, norms of the features, in yellow where others lie in their direction, dark where none do."


def phases(result: Result, classify: Callable[[Floats], int]) -> NDArray[np.int_]:
    """The phase of each cell: that of its model with the least loss, since theory too takes the least loss."""
    weights, losses = np.asarray(result["weights"]), np.asarray(result["losses"])
    cells = len(result["densities"]) * len(result["importances"])
    weights = weights.reshape(cells, -1, *weights.shape[1:])
    best = losses.reshape(cells, -1).argmin(1)
    found = [classify(models[index]) for models, index in zip(weights, best, strict=True)]
    return np.array(found).reshape(len(result["densities"]), -1)


def show_phase_diagram(result: Result, run: Run) -> None:
    """Trained phases beside those of theory."""
    run.section(
        "Superposition as a phase change",
        "Two features, one dimension. Whether the second feature is ignored, takes the dimension for itself, or shares "
        "it as an antipodal pair changes abruptly with its importance and density.",
    )

    def classify(model: Floats) -> int:
        size = geometry.norms(model)
        return 2 if size.min() > 0.3 else int(size.argmax())

    trained = phases(result, classify)
    shape = trained.shape
    theory, away = np.asarray(result["theory"]).reshape(shape), np.asarray(result["away"]).reshape(shape)
    importances = np.asarray(result["importances"])
    curves = [
        ("boundary, all free", np.asarray(result["boundary"]), "-"),
        (
            "boundary, no biases",
            np.where(importances <= 1, 4 * importances / (2 + 5 * importances), 4 / (5 + 2 * importances)),
            "--",
        ),
    ]
    maps = [("trained", trained), ("theory", theory)]
    names = ["first feature only", "second feature only", "superposition"]
    figure = figures.phase_maps(maps, np.asarray(result["densities"]), importances, names, curves)
    run.figure("phase-diagram", figure, "Phases of trained models and of theory, with the boundaries of theory.")
    agree = (trained == theory)[away]
    alone = (theory < 2) & (theory[:, ::-1] < 2) & away & away[:, ::-1]
    mirrored = (trained == theory) & (trained[:, ::-1] == theory[:, ::-1])
    half = np.arange(shape[1]) < shape[1] // 2
    pairs = mirrored[:, half][alone[:, half]]
    run.conclude("boundary-closed-form", 4 * 0.1 / (2 + 5 * 0.1))
    run.conclude("boundary-optimised", result["boundary_at_a_tenth"], evidence="phase-diagram")
    run.conclude(
        "phase-diagram-agrees",
        proportion(int(agree.sum()), agree.size),
        evidence="phase-diagram",
        note=f"{agree.size} cells more than 20 % in density from the boundary; exact interval over cells.",
    )
    run.conclude("phase-diagram-symmetric", proportion(int(pairs.sum()), pairs.size), evidence="phase-diagram")


def show_phase_diagram_three(result: Result, run: Run) -> None:
    """Three features in two dimensions."""

    def classify(model: Floats) -> int:
        size = geometry.norms(model)
        if size.min() < 0.3:
            return 0 if size.argmin() == 2 else 1
        unit = geometry.directions(model)
        overlap = [unit[0] @ unit[1], unit[1] @ unit[2], unit[0] @ unit[2]]
        return 3 if int(np.argmin(overlap)) == 0 else 2

    names = ["third ignored", "one of the first ignored", "third antipodal to one", "first two antipodal"]
    theory = np.asarray(result["theory"]).reshape(len(result["densities"]), -1)
    maps = [("trained", phases(result, classify)), ("theory", theory)]
    figure = figures.phase_maps(maps, np.asarray(result["densities"]), np.asarray(result["importances"]), names, [])
    run.figure("phase-diagram-three", figure, "Three features in two dimensions; theory by closed forms without bias.")


def show_geometry(result: Result, run: Run) -> None:
    """Dimensions per feature, and the lines where features gather."""
    run.section(
        "The geometry of superposition",
        "Features of uniform importance. As they become sparse, dimensions per feature fall from 1, stick at 1/2, and "
        "features gather at the dimensionalities of regular polytopes.",
    )
    densities, per_feature = np.asarray(result["densities"]), np.asarray(result["per_feature"])
    dimensionality, norms = np.asarray(result["dimensionality"]), np.asarray(result["norms"])
    figure = figures.dimensionality_plot(densities, per_feature, dimensionality, norms)
    run.figure("geometry", figure, "Above, dimensions per feature; below, each represented feature's dimensionality.")
    rows = [
        {"1 / density": float(1 / density), "D*": float(value), **counts}
        for density, value, counts in zip(densities, per_feature, result["polytopes"], strict=True)
    ]
    run.table("polytope-counts", rows, "Groups of features that form a polytope, at each density.")
    pooled = dimensionality[norms > 0.1]
    lines = {name: geometry.line_test(pooled, fraction) for name, fraction in geometry.FRACTIONS.items()}
    half = lines.pop("digon")
    rises = np.diff(per_feature).max()
    sixth = int(np.abs(1 / densities - 14.6).argmin())
    run.conclude("one-feature-per-dimension", per_feature[0], evidence="geometry")
    run.conclude("sticky-half", int((np.abs(per_feature - 0.5) <= 0.03).sum()), evidence="geometry")
    flanks = f"{half.count} within 0.005 of 1/2; {half.flanks[0]} and {half.flanks[1]} in equal windows beside it."
    run.conclude("line-at-half", half.count if half.present else 0, evidence="geometry", note=flanks)
    counts = ", ".join(f"{name} {line.count} ({line.flanks[0]}, {line.flanks[1]})" for name, line in lines.items())
    run.conclude("other-lines", sum(line.present for line in lines.values()), evidence="geometry", note=counts)
    run.conclude("sparse-packing", per_feature[sixth], evidence="geometry")
    fall = float(per_feature[0] - per_feature[-1])
    run.conclude("packing-tightens", fall if rises < 0.005 else 0.0, evidence="geometry")


def show_perturbed(result: Result, run: Run) -> None:
    """The pentagon deforms until it falls into two digons."""
    run.section("One feature perturbed", "Five equal features at density 0.05, one of them made sparser or denser.")
    models = best_models(result, "ratios", "ratio")
    run.figure("perturbed", figures.planes(models), "Best model at each relative density of the first (blue) feature.")


def show_correlated(result: Result, run: Run) -> None:
    """Antipodal when never together, orthogonal when always together."""
    run.section(
        "Correlated and anticorrelated features",
        "Features that are never active together may interfere and are stored as antipodal pairs; features that are "
        "always active together are stored at right angles.",
    )
    models = []
    for name, claim in (("correlated", "correlated-orthogonal"), ("anticorrelated", "anticorrelated-antipodal")):
        weights, losses = np.asarray(result[name]["weights"]), np.asarray(result[name]["losses"])
        models.append((name, weights[losses.argmin()]))
        pairs = cosines(weights)
        worst = np.abs(pairs).max(-1) if name == "correlated" else pairs.max(-1)
        estimate = best_of(losses, worst, run.generator(name))
        run.conclude(claim, estimate, evidence="correlated", note=f"Best of {len(losses)} seeds.")
    run.figure("correlated", figures.planes(models, sets=2), "Two pairs in two dimensions; a pair shares a colour.")
    local = figures.gram_stack([("two sets of ten", np.asarray(result["local"]))])
    run.figure("local-bases", local, "Two sets of ten correlated features in ten dimensions: local bases in WᵀW.")


def show_collapse(result: Result, run: Run) -> None:
    """Pairs collapse into their principal component when dense."""
    run.section("Collapse of correlated pairs", "Three correlated pairs in two dimensions, from dense to sparse.")
    models = best_models(result, "densities", "density")
    run.figure("collapse", figures.planes(models, sets=2), "Best model at each density; a pair shares a colour.")
    densities = list(result["densities"])
    weights, losses = by_density(result)
    collapsed = (cosines(weights) > 0.9) & (geometry.norms(weights).reshape(*losses.shape, 3, 2).min(-1) > 0.3)
    counts = [int(group[loss.argmin()].sum()) for group, loss in zip(collapsed, losses, strict=True)]
    run.table(
        "collapse",
        [{"density": d, "collapsed pairs": c} for d, c in zip(densities, counts, strict=True)],
        "Pairs whose two features have a cosine above 0.9 in the best model.",
    )
    if 0.35 not in densities or 0.03 not in densities:
        return
    dense, sparse = densities.index(0.35), densities.index(0.03)
    rise = max(np.diff(counts).max(), 0)
    run.conclude("collapse-when-dense", counts[dense], evidence="collapse")
    run.conclude("collapse-order", -rise if rise else counts[dense] - counts[sparse], evidence="collapse")


def show_dynamics(result: Result, run: Run) -> None:
    """Features jump between dimensionalities as the loss drops."""
    run.section(
        "Learning dynamics",
        "Two sets of three correlated features in three dimensions. Dimensionalities move in jumps that go with drops "
        "of the loss.",
    )
    weights, steps = np.asarray(result["weights"]), np.maximum(result["steps"], 1)
    figure, (above, below) = plots.figure(7.2, 4.6, rows=2, sharex=True)
    above.plot(steps, result["losses"], color="black")
    above.set(ylabel="loss", yscale="log")
    for feature in range(weights.shape[1]):
        colour = plots.PALETTE[feature // 3]
        below.plot(steps, [geometry.dimensionality(model)[feature] for model in weights], color=colour)
    below.set(xscale="log", xlabel="step", ylabel="dimensionality D$_i$")
    run.figure(
        "dynamics", figure, "Loss, and dimensionality of each feature; a set of correlated features shares a colour."
    )


def show_adversarial(result: Result, run: Run) -> None:
    """Vulnerability follows features per dimension."""
    run.section(
        "Superposition and adversarial examples",
        "The worst analytic attack of a tenth of the mean input's length. Vulnerability is the loss it adds, relative "
        "to what the same attack adds to a model without superposition (the one trained on dense features).",
    )
    added = np.asarray(result["added"], dtype=np.float64)
    baseline = np.asarray(result["added_without_superposition"], dtype=np.float64)
    vulnerability = added / baseline
    packing = 1 / np.asarray(result["per_feature"])
    densities = np.asarray(result["densities"])
    figure, (left, right) = plots.figure(7.2, 3.2, columns=2)
    left.plot(1 / densities, vulnerability, "o-", label="vulnerability")
    left.plot(1 / densities, packing, "s--", label="features per dimension 1/D*")
    left.set(xscale="log", xlabel="1 / density")
    left.legend()
    right.plot(packing, vulnerability, "o")
    right.set(xlabel="features per dimension 1/D*", ylabel="vulnerability")
    run.figure("adversarial", figure, "Vulnerability against sparsity, and against how densely features are packed.")
    after = float(result["added_after_training_against"][0]) / baseline[-1]
    note = (
        f"At density {densities[-1]:g}. After adversarial training with attacks of 80 % of the mean length: "
        f"{after:.2g}, at {1 / result['per_feature_after'][0]:.2g} features per dimension."
    )
    run.conclude("superposition-is-vulnerable", float(vulnerability[-1]), evidence="adversarial", note=note)
    if np.ptp(vulnerability) > 0 and np.ptp(packing) > 0:
        estimate = correlation(packing, vulnerability)
        run.conclude(
            "vulnerability-tracks-packing", estimate, evidence="adversarial", note=f"{len(packing)} densities."
        )


def show_privileged(result: Result, run: Run) -> None:
    """Neurons go from one feature each to several."""
    run.section("Superposition in a privileged basis", "A ReLU on the hidden layer makes neurons meaningful.")
    densities = list(result["densities"])
    weights = np.asarray(result["weights"])
    chosen = [index for index, density in enumerate(densities) if density in (0.5, 0.2, 0.1, 0.03)]
    stacks = [(f"density {densities[index]:g}", weights[index]) for index in chosen]
    run.figure("privileged", figures.neuron_stack(stacks), "Input weights of each neuron, a colour per feature.")
    share = dict(zip(densities, result["monosemantic"], strict=True))
    run.conclude("privileged-dense", share[0.5], evidence="privileged")
    run.conclude("privileged-sparse", share[0.5] - share[0.03], evidence="privileged")


def show_absolute(result: Result, run: Run) -> None:
    """Computation moves into superposition as well."""
    run.section("Computation in superposition", "Untied networks with one ReLU layer that compute |x|.")
    densities = list(result["densities"])
    weights = np.asarray(result["weights"])
    stacks = [("n = 3, m = 6, dense", np.asarray(result["small"]))]
    stacks += [(f"n = 100, m = 40, density {densities[index]:g}", weights[index]) for index in (0, 3, 5)]
    run.figure("absolute", figures.neuron_stack(stacks), "Input weights of each neuron, a colour per feature.")
    share = result["monosemantic"]
    run.conclude("absolute-dense", share[0], evidence="absolute")
    run.conclude("absolute-sparse", share[0] - share[-1], evidence="absolute")


SECTIONS: dict[str, Callable[[Result, Run], None]] = {
    "polytopes": show_polytopes,
    "introduction": show_introduction,
    "basics": show_basics,
    "phase-diagram": show_phase_diagram,
    "phase-diagram-three": show_phase_diagram_three,
    "geometry": show_geometry,
    "perturbed": show_perturbed,
    "correlated": show_correlated,
    "collapse": show_collapse,
    "dynamics": show_dynamics,
    "adversarial": show_adversarial,
    "privileged": show_privileged,
    "absolute": show_absolute,
}
