"""The measurements of each section of the paper: what is trained, and what is kept of it.

Every function takes the config and a sub-run, trains one bank of models (or several) and returns arrays. Under the
null control no model is trained: the weights stay as they were drawn.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from windtunnel.data.worlds.sparse_features import Dependence, SparseFeatures
from windtunnel.interpretability.toy_models import attacks, geometry, neurons, theory
from windtunnel.laboratory.run import Run
from windtunnel.training.bank import Bank, Kind, TrainedBank, train_bank

if TYPE_CHECKING:
    from windtunnel.studies.toy_models_of_superposition import Config

Result = dict[str, Any]
Floats = NDArray[np.float64]


def measure(task: tuple[str, "Config", Run]) -> Result:
    """Run one experiment in its sub-run, or read back what an earlier run of it stored."""
    name, config, run = task
    torch.set_flush_denormal(True)  # weights that fade to nothing would slow the processor several-fold
    try:
        return run.stage("measured", lambda: EXPERIMENTS[name](config, run))
    finally:
        torch.set_flush_denormal(False)


def bank(
    run: Run,
    label: str,
    densities: Sequence[float] | Floats | Tensor,
    *,
    models: int,
    features: int,
    hidden: int,
    steps: int,
    importance: float | Tensor = 1.0,
    kind: Kind = "relu_output",
    dependence: Dependence = "independent",
    set_size: int = 1,
    **settings: Any,
) -> TrainedBank:
    """Train `models` models at each density; model k of a density is number density·models + k of the bank.

    Args:
        run: Gives the seeds and shows the progress.
        label: Names the seeds.
        densities: One per group of models, or [group, feature].
        models: Per group.
        features: n.
        hidden: m.
        steps: Optimizer steps; none are taken under the null control.
        importance: A base b for I_i = b^i, or importances as [group, feature].
        kind: Architecture.
        dependence: Between the features of a set.
        set_size: Features per set.
        **settings: Passed to `train_bank`.
    """
    density = torch.as_tensor(densities, dtype=torch.float32)
    density = density[:, None].expand(-1, features) if density.ndim == 1 else density
    groups = len(density)
    if not isinstance(importance, Tensor):
        importance = (importance ** torch.arange(features))[None].expand(groups, -1)
    data = SparseFeatures(
        density.repeat_interleave(models, 0),
        dependence=dependence,
        set_size=set_size,
        signed=kind == "absolute",
    )
    seeds = [run.seed_for(label, group, model) for group in range(groups) for model in range(models)]
    steps = 0 if run.null else steps
    with run.progress(label, max(steps, 1)) as task:
        return train_bank(
            kind,
            data,
            hidden,
            importance=importance.repeat_interleave(models, 0),
            seeds=seeds,
            steps=steps,
            progress=task.update,
            **settings,
        )


def weights_of(trained: TrainedBank) -> Floats:
    """Encoders as float64 [model, feature, hidden]."""
    return trained.bank.encoder.double().numpy()


def polytopes(config: "Config", run: Run) -> Result:
    """The dimensionalities of the named polytopes, turned at random into 20 dimensions."""
    shapes = {
        "dedicated dimension": (np.eye(1), 1.0),
        "tetrahedron": (geometry.simplex(4), 3 / 4),
        "triangle": (geometry.polygon(3), 2 / 3),
        "digon": (geometry.polygon(2), 1 / 2),
        "pentagon": (geometry.polygon(5), 2 / 5),
        "square antiprism": (geometry.square_antiprism(), 3 / 8),
        "triangular bipyramid": (geometry.tegum(geometry.polygon(3), geometry.polygon(2)), None),
    }
    generator = run.generator("rotation")
    rows = []
    for name, (shape, exact) in shapes.items():
        turn = np.linalg.qr(generator.normal(size=(20, 20)))[0][: shape.shape[1]]
        found = geometry.dimensionality(shape @ turn)
        wanted = np.array([2 / 3] * 3 + [1 / 2] * 2) if exact is None else np.full(len(shape), exact)
        rows.append({"polytope": name, "features": len(shape), "error": float(np.abs(found - wanted).max())})
    return {"rows": rows}


def introduction(config: "Config", run: Run) -> Result:
    """With n = 5, m = 2, I = 0.9^i at four densities, several seeds each."""
    densities = (1.0, 0.2, 0.1, 0.05)
    trained = bank(
        run,
        "five features in two dimensions",
        densities,
        models=config.seeds,
        features=5,
        hidden=2,
        importance=0.9,
        steps=config.steps,
        learning_rate=config.learning_rate,
        batch=config.batch,
    )
    return {"densities": densities, "weights": weights_of(trained), "losses": trained.losses}


def basics(config: "Config", run: Run) -> Result:
    """With n = 20, m = 5, I = 0.7^i: ReLU and linear models; several dense ones, one at each other density."""
    dense, sparse = (1.0,), config.basics_densities[1:]
    common: dict[str, Any] = {
        "features": 20,
        "hidden": 5,
        "importance": 0.7,
        "steps": config.basics_steps,
        "learning_rate": 2e-3,
        "schedule": "linear",
        "batch": config.batch,
    }
    many = bank(run, "twenty in five, dense", dense, models=config.basics_seeds, **common)
    single = bank(run, "twenty in five, sparse", sparse, models=1, **common)
    # Weight decay is off where the optimum is compared with a closed form that knows none.
    plain = {**common, "kind": "linear", "weight_decay": 0.0, "learning_rate": 5e-3}
    linear = bank(run, "twenty in five, linear", dense, models=config.basics_seeds, **plain)
    linear_sparse = bank(run, "twenty in five, linear and sparse", sparse, models=1, **plain)
    importance: Floats = np.power(0.7, np.arange(20))
    optimum = theory.linear_optimum(importance, 1.0, 5)
    return {
        "densities": config.basics_densities,
        "dense": weights_of(many),
        "sparse": weights_of(single),
        "bias": torch.cat([many.bank.bias[:1], single.bank.bias]),
        "linear": weights_of(linear),
        "linear_sparse": weights_of(linear_sparse),
        "linear_losses": [
            exact_linear_loss(weights, bias, importance)
            for weights, bias in zip(weights_of(linear), linear.bank.bias.double().numpy(), strict=True)
        ],
        "linear_optimum": optimum,
    }


def exact_linear_loss(weights: Floats, bias: Floats, importance: Floats) -> float:
    """Expected Σ_i I_i (x_i − x'_i)² of x' = x WWᵀ + b for dense features uniform on [0, 1], in closed form."""
    residual = np.eye(len(bias)) - weights @ weights.T
    offset = residual.sum(0) / 2 - bias
    return float((importance * ((residual**2).sum(0) / 12 + offset**2)).sum())


def phase_diagram(config: "Config", run: Run) -> Result:
    """With n = 2, m = 1: importance of the second feature against density, trained and by theory."""
    densities, importances = phase_axes(config)
    cells = [(density, importance) for density in densities for importance in importances]
    trained = phase_bank(config, run, cells, features=2, hidden=1)
    half = [theory.optimised_boundary(importance) for importance in importances[: (len(importances) + 1) // 2]]
    boundary = np.array([*half, *half[: len(importances) // 2][::-1]])  # r and 1/r share a boundary
    density, importance = np.array(cells).T
    limit = np.tile(boundary, len(densities))
    return {
        "densities": densities,
        "importances": importances,
        "weights": weights_of(trained),
        "losses": trained.losses,
        "theory": np.where(density < limit, 2, np.where(importance <= 1, 0, 1)),
        "away": np.abs(np.log(density / limit)) > np.log(1.2),
        "boundary": boundary,
        "boundary_at_a_tenth": theory.optimised_boundary(0.1),
    }


def phase_diagram_three(config: "Config", run: Run) -> Result:
    """With n = 3, m = 2, I = (1, 1, r), trained and by the closed forms of four strategies."""
    densities, importances = phase_axes(config)
    cells = [(density, importance) for density in densities for importance in importances]
    trained = phase_bank(config, run, cells, features=3, hidden=2)
    return {
        "densities": densities,
        "importances": importances,
        "weights": weights_of(trained),
        "losses": trained.losses,
        "theory": np.array([theory.three_feature_strategy(*cell) for cell in cells]),
    }


def phase_axes(config: "Config") -> tuple[Floats, Floats]:
    """Densities from 1 to 0.01 and importances from 0.1 to 10, evenly in their logarithms."""
    return np.geomspace(1.0, 0.01, config.phase_cells), np.geomspace(0.1, 10.0, config.phase_cells)


def phase_bank(
    config: "Config", run: Run, cells: Sequence[tuple[float, float]], features: int, hidden: int
) -> TrainedBank:
    """Models whose last feature's importance varies by cell."""
    importance = torch.ones(len(cells), features)
    importance[:, -1] = torch.tensor([cell[1] for cell in cells])
    return bank(
        run,
        f"phase diagram of {features} features",
        [cell[0] for cell in cells],
        models=config.phase_seeds,
        features=features,
        hidden=hidden,
        importance=importance,
        steps=config.phase_steps,
        learning_rate=1e-2,
        schedule="linear",
        weight_decay=0.0,  # theory knows no decay, and decay would favour ignoring what is rare
        batch=config.phase_batch,
    )


def uniform_geometry(config: "Config", run: Run) -> Result:
    """Uniform importance: dimensionalities at every density."""
    levels = 20.0 ** -(np.arange(config.geometry_levels) / (config.geometry_levels - 1))
    trained = bank(
        run,
        "uniform importance",
        levels,
        models=1,
        features=config.geometry_features,
        hidden=config.geometry_hidden,
        steps=config.geometry_steps,
        batch=config.batch,
    )
    weights = weights_of(trained)
    return {
        "densities": levels,
        "per_feature": np.array([geometry.dimensions_per_feature(model) for model in weights]),
        "dimensionality": geometry.dimensionality(weights),
        "norms": geometry.norms(weights),
        "polytopes": [polytope_counts(model) for model in weights],
    }


def polytope_counts(weights: Floats) -> dict[str, int]:
    """How many groups of features form each polytope."""
    names = [geometry.name_polytope(weights, group) for group in geometry.clusters(weights)]
    return {name: names.count(name) for name in sorted(set(names))}


def perturbed(config: "Config", run: Run) -> Result:
    """With n = 5, m = 2, density 0.05: one feature made denser or sparser."""
    density = torch.full((len(config.perturbed_ratios), 5), 0.05)
    density[:, 0] *= torch.tensor(config.perturbed_ratios)
    trained = bank(
        run,
        "one feature perturbed",
        density.clamp(max=1.0),
        models=config.seeds,
        features=5,
        hidden=2,
        steps=config.steps,
        learning_rate=config.learning_rate,
        batch=config.batch,
    )
    return {"ratios": config.perturbed_ratios, "weights": weights_of(trained), "losses": trained.losses}


def correlated(config: "Config", run: Run) -> Result:
    """Two sets of two in two dimensions, correlated and anticorrelated; and local bases of two sets of ten in ten."""
    dependences: tuple[Dependence, ...] = ("correlated", "anticorrelated")
    result: Result = {}
    for dependence in dependences:
        trained = bank(
            run,
            f"{dependence} pairs",
            [0.05],
            models=config.seeds,
            features=4,
            hidden=2,
            steps=config.steps,
            learning_rate=config.learning_rate,
            dependence=dependence,
            set_size=2,
            batch=config.batch,
        )
        result[dependence] = {"weights": weights_of(trained), "losses": trained.losses}
    local = bank(
        run,
        "local bases",
        [0.05],
        models=1,
        features=20,
        hidden=10,
        steps=config.basics_steps,
        dependence="correlated",
        set_size=10,
        batch=config.batch,
    )
    result["local"] = weights_of(local)[0]
    return result


def collapse(config: "Config", run: Run) -> Result:
    """Three correlated pairs in two dimensions: at which densities pairs collapse into one direction."""
    trained = bank(
        run,
        "collapse of pairs",
        config.collapse_densities,
        models=config.seeds,
        features=6,
        hidden=2,
        steps=config.steps,
        learning_rate=config.learning_rate,
        dependence="correlated",
        set_size=2,
        batch=config.batch,
    )
    return {"densities": config.collapse_densities, "weights": weights_of(trained), "losses": trained.losses}


def dynamics(config: "Config", run: Run) -> Result:
    """With n = 6, m = 3, two sets of three correlated features: dimensionalities and loss along training."""
    steps = 2 * config.steps
    grid = sorted({round(step) for step in np.geomspace(1, steps, 60)} | {0})
    trained = bank(
        run,
        "learning dynamics",
        [0.05],
        models=config.seeds,
        features=6,
        hidden=3,
        steps=steps,
        learning_rate=config.learning_rate / 5,
        dependence="correlated",
        set_size=3,
        snapshots=grid,
        batch=config.batch,
    )
    best = int(trained.losses.argmin())
    data = SparseFeatures(torch.full((1, 6), 0.05), dependence="correlated", set_size=3)
    x = data.draw(8_192, [torch.Generator().manual_seed(run.seed_for("dynamics"))])
    models = {step: snapshot.select(slice(best, best + 1)) for step, snapshot in sorted(trained.snapshots.items())}
    return {
        "steps": list(models),
        "weights": np.stack([model.encoder[0].double().numpy() for model in models.values()]),
        "losses": [float(model.losses(x, torch.ones(1, 6))) for model in models.values()],
    }


def adversarial(config: "Config", run: Run) -> Result:
    """Uniform importance: loss added by the worst analytic attack, to each model and to one without superposition.

    The dense model has no superposition; attacked with the same inputs as each sparse one, it is the baseline.
    """
    densities = config.adversarial_densities
    count, features = len(densities), config.adversarial_features
    settings: dict[str, Any] = {
        "models": 1,
        "features": features,
        "hidden": config.adversarial_hidden,
        "steps": config.adversarial_steps,
        "learning_rate": 3e-3,
        "schedule": "linear",
        "batch": config.batch,
    }
    plain = bank(run, "models to attack", densities, **settings)
    hardened = bank(
        run,
        "models trained against attacks",
        densities[-1:],
        **settings,
        disturb=lambda models, x: attacks.worst_disturbance(models, x, strength=0.8),
    )
    data = SparseFeatures(torch.tensor(densities)[:, None].expand(-1, features).contiguous())
    x = data.draw(4_096, [torch.Generator().manual_seed(run.seed_for("attack", level)) for level in range(count)])
    dense = plain.bank.select(torch.zeros(count, dtype=torch.long))

    def added(models: Bank, x: Tensor) -> Tensor:
        clean, attacked = attacks.attacked_losses(models, x, torch.ones(len(x), 1))
        return attacked - clean

    return {
        "densities": densities,
        "added": added(plain.bank, x),
        "added_without_superposition": added(dense, x),
        "added_after_training_against": added(hardened.bank, x[-1:]),
        "per_feature": [geometry.dimensions_per_feature(model) for model in weights_of(plain)],
        "per_feature_after": [geometry.dimensions_per_feature(model) for model in weights_of(hardened)],
    }


def privileged(config: "Config", run: Run) -> Result:
    """With n = 10, m = 5, I = 0.75^i with a ReLU on the hidden layer: the best of many fits per density."""
    densities = (0.7, 0.5, 0.3, 0.2, 0.15, 0.1, 0.06, 0.03)
    best = []
    for density in densities:
        trained = bank(
            run,
            f"privileged basis at density {density}",
            [density],
            models=config.privileged_models,
            features=10,
            hidden=5,
            importance=0.75,
            kind="relu_hidden",
            steps=config.privileged_steps,
            batch=config.batch,
        )
        best.append(weights_of(trained)[int(trained.losses.argmin())])
    return {"densities": densities, "weights": np.stack(best), "monosemantic": monosemantic(best)}


def absolute(config: "Config", run: Run) -> Result:
    """With n = 100, m = 40, I = 0.8^i: networks that compute |x|, dense to sparse; and n = 3, m = 6, which has room."""
    densities = (1.0, 0.3, 0.1, 0.03, 0.01, 0.001)
    common: dict[str, Any] = {"kind": "absolute", "steps": config.absolute_steps, "batch": config.batch}
    large = bank(run, "absolute values", densities, models=1, features=100, hidden=40, importance=0.8, **common)
    small = bank(run, "absolute values with room", [1.0], models=config.seeds, features=3, hidden=6, **common)
    weights = weights_of(large)
    return {
        "densities": densities,
        "weights": weights,
        "monosemantic": monosemantic(list(weights)),
        "small": weights_of(small)[int(small.losses.argmin())],
        "small_loss": float(small.losses.min()),
    }


def monosemantic(models: Sequence[Floats]) -> list[float]:
    """The monosemantic share of neurons of each model."""
    return [neurons.monosemantic_fraction(model) for model in models]


EXPERIMENTS: dict[str, Callable[["Config", Run], Result]] = {
    "polytopes": polytopes,
    "introduction": introduction,
    "basics": basics,
    "phase-diagram": phase_diagram,
    "phase-diagram-three": phase_diagram_three,
    "geometry": uniform_geometry,
    "perturbed": perturbed,
    "correlated": correlated,
    "collapse": collapse,
    "dynamics": dynamics,
    "adversarial": adversarial,
    "privileged": privileged,
    "absolute": absolute,
}
