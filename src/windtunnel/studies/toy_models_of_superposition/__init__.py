"""Toy Models of Superposition (Elhage et al., 2022; arXiv:2209.10652).

Tiny autoencoders squeeze n sparse features through m < n dimensions. Dense features leave the less important ones
unrepresented; sparse ones are stored in superposition, in regular geometric arrangements that a phase change creates.
"""

from typing import Any, Literal

from pydantic import Field

from windtunnel.laboratory.claims import AtLeast, AtMost, Between, Claim
from windtunnel.laboratory.run import Run
from windtunnel.laboratory.study import StudyConfig

Experiment = Literal[
    "polytopes",
    "introduction",
    "basics",
    "phase-diagram",
    "phase-diagram-three",
    "geometry",
    "perturbed",
    "correlated",
    "collapse",
    "dynamics",
    "adversarial",
    "privileged",
    "absolute",
]

QUICK: tuple[Experiment, ...] = (
    "phase-diagram",
    "basics",
    "adversarial",
    "introduction",
    "collapse",
    "correlated",
    "dynamics",
    "polytopes",
)


class Config(StudyConfig):
    """Sizes and budgets; densities are the paper's 1 - S."""

    experiments: tuple[Experiment, ...] = Field(QUICK, min_length=1, description="sections of the paper to run")
    seeds: int = Field(8, ge=2, description="models trained per setting, of which the best is shown")
    steps: int = Field(3_000, ge=1, description="optimizer steps of two- and three-dimensional models")
    learning_rate: float = Field(5e-3, gt=0, description="AdamW's, for two- and three-dimensional models")
    batch: int = Field(1_024, ge=1, description="samples per model and step")
    basics_steps: int = Field(4_000, ge=1, description="steps of n=20, m=5")
    basics_densities: tuple[float, ...] = Field((1.0, 0.3, 0.1, 0.03, 0.01), description="densities of n=20, m=5")
    basics_seeds: int = Field(5, ge=2, description="dense models of n=20, m=5, ReLU and linear")
    phase_cells: int = Field(10, ge=3, description="cells along each side of the phase diagram")
    phase_seeds: int = Field(4, ge=2, description="models per cell; the worst is dropped")
    phase_steps: int = Field(1_500, ge=1, description="steps of the phase diagram's models")
    phase_batch: int = Field(512, ge=1, description="samples per step of the phase diagram's models")
    geometry_features: int = Field(200, ge=2, description="n of the uniform-importance models")
    geometry_hidden: int = Field(20, ge=1, description="m of the uniform-importance models")
    geometry_levels: int = Field(20, ge=4, description="densities 20^(-k / (levels - 1))")
    geometry_steps: int = Field(10_000, ge=1, description="steps of the uniform-importance models")
    collapse_densities: tuple[float, ...] = Field((0.6, 0.35, 0.17, 0.1, 0.03), description="densities of the pairs")
    perturbed_ratios: tuple[float, ...] = Field(
        (0.2, 0.3, 0.4, 0.5, 0.7, 1.0, 1.4, 2.0, 3.0, 5.0), description="density of one feature relative to the others"
    )
    adversarial_features: int = Field(60, ge=2, description="n of the attacked models")
    adversarial_hidden: int = Field(12, ge=1, description="m of the attacked models")
    adversarial_densities: tuple[float, ...] = Field(
        (1.0, 0.5, 0.3, 0.2, 0.1, 0.05, 0.03),
        description="densities of the attacked models; the first is the dense one",
    )
    adversarial_steps: int = Field(2_500, ge=1, description="steps of the attacked models")
    privileged_models: int = Field(200, ge=2, description="fits per density of n=10, m=5, of which the best is kept")
    privileged_steps: int = Field(5_000, ge=1, description="steps of n=10, m=5")
    absolute_steps: int = Field(10_000, ge=1, description="steps of n=100, m=40")


EVERY = Experiment.__args__  # type: ignore[attr-defined]

PRESETS = {
    "quick": Config(),
    "full": Config(
        experiments=EVERY,
        seeds=16,
        steps=10_000,
        learning_rate=1e-3,
        basics_steps=10_000,
        basics_densities=(1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001),
        phase_cells=16,
        phase_seeds=10,
        phase_steps=3_000,
        adversarial_features=100,
        adversarial_hidden=20,
        adversarial_densities=(1.0, 0.7, 0.5, 0.3, 0.2, 0.1, 0.07, 0.05, 0.03, 0.02),
        adversarial_steps=8_000,
    ),
    "paper": Config(
        experiments=EVERY,
        seeds=32,
        steps=10_000,
        learning_rate=1e-3,
        basics_steps=10_000,
        basics_densities=(1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001),
        phase_cells=30,
        phase_seeds=10,
        phase_steps=10_000,
        phase_batch=1_024,
        geometry_features=400,
        geometry_hidden=30,
        geometry_levels=30,
        adversarial_features=100,
        adversarial_hidden=20,
        adversarial_densities=(1.0, 0.7, 0.5, 0.3, 0.2, 0.1, 0.07, 0.05, 0.03, 0.02, 0.01),
        adversarial_steps=10_000,
        privileged_models=1_000,
        privileged_steps=10_000,
    ),
}

GEOMETRY = "The Geometry of Superposition"
CLAIMS = [
    Claim(
        "polytope-identities",
        "Regular polytopes give their features exactly 1, 3/4, 2/3, 1/2, 2/5 and 3/8 of a dimension.",
        GEOMETRY,
        AtMost(1e-12, "largest error of a dimensionality"),
        effect=False,
    ),
    Claim(
        "dense-pair",
        "Without sparsity a model of two dimensions represents two features, at a right angle.",
        "Background and Motivation",
        AtMost(4.0, "degrees from 90, or 90 if not two features"),
    ),
    Claim(
        "pentagon",
        "Sparse features of near-equal importance form a regular pentagon in two dimensions.",
        "Background and Motivation",
        AtMost(4.0, "degrees, largest deviation of a gap from 72"),
    ),
    Claim(
        "pentagon-dimensionality",
        "Each feature of the pentagon has 2/5 of a dimension.",
        GEOMETRY,
        AtMost(0.02, "largest deviation of D_i from 0.4"),
    ),
    Claim(
        "linear-is-pca",
        "The linear model learns principal components: its loss is the best possible.",
        "Basic Results",
        AtMost(0.01, "relative excess over the PCA optimum"),
    ),
    Claim(
        "linear-no-superposition",
        "The linear model never represents more features than it has dimensions.",
        "Basic Results",
        AtMost(5.0, "features with norm above 0.5, the most at any density"),
    ),
    Claim(
        "dense-top-features",
        "With dense features the ReLU model represents exactly the most important ones.",
        "Basic Results",
        AtMost(0.2, "wrongly kept or dropped features per model"),
    ),
    Claim(
        "dense-orthogonal",
        "With dense features the represented ones do not interfere.",
        "Basic Results",
        AtMost(0.05, "largest off-diagonal entry of WᵀW"),
    ),
    Claim(
        "boundary-closed-form",
        "Without biases the antipodal pair wins below a density of 0.16 at importance 0.1.",
        "Superposition as a Phase Change",
        Between(0.159, 0.161, "density"),
        effect=False,
    ),
    Claim(
        "boundary-optimised",
        "With norms and biases free the boundary at importance 0.1 lies somewhat higher.",
        "Superposition as a Phase Change",
        Between(0.17, 0.23, "density"),
        effect=False,
    ),
    Claim(
        "phase-diagram-agrees",
        "Trained models are in the phase that theory predicts, away from the boundary.",
        "Superposition as a Phase Change",
        AtLeast(0.9, "share of cells"),
    ),
    Claim(
        "phase-diagram-symmetric",
        "Exchanging the two features exchanges the phases: dedicated cells mirror under r → 1/r.",
        "Superposition as a Phase Change",
        AtLeast(0.9, "share of mirrored dedicated pairs"),
    ),
    Claim(
        "one-feature-per-dimension",
        "Dense features of uniform importance get one dimension each.",
        GEOMETRY,
        Between(0.98, 1.02, "D* at density 1"),
    ),
    Claim(
        "sticky-half",
        "Dimensions per feature stick at 1/2, where features pair up as digons.",
        GEOMETRY,
        AtLeast(3, "densities with |D* − 1/2| ≤ 0.03"),
    ),
    Claim("line-at-half", "Features gather at 1/2 of a dimension.", GEOMETRY, AtLeast(10, "features on the line")),
    Claim(
        "other-lines",
        "Features gather at another polytope's dimensionality too.",
        GEOMETRY,
        AtLeast(1, "of the lines 3/4, 2/3, 2/5, 3/8"),
    ),
    Claim(
        "sparse-packing",
        "At density 1/14.6 a feature has about a sixth of a dimension.",
        GEOMETRY,
        Between(0.15, 0.19, "D*"),
    ),
    Claim(
        "packing-tightens",
        "Sparser features share dimensions more: D* falls from level to level.",
        GEOMETRY,
        AtLeast(0.8, "fall of D* if it never rises by 0.005, else 0"),
    ),
    Claim(
        "anticorrelated-antipodal",
        "Anticorrelated features are stored as antipodal pairs.",
        "Correlated and Anticorrelated Features",
        AtMost(-0.9, "largest cosine within a pair"),
    ),
    Claim(
        "correlated-orthogonal",
        "Correlated features are stored at right angles.",
        "Correlated and Anticorrelated Features",
        AtMost(0.1, "largest |cosine| within a pair"),
    ),
    Claim(
        "collapse-when-dense",
        "Dense correlated pairs collapse into their principal component.",
        "Correlated and Anticorrelated Features",
        AtLeast(3, "pairs collapsed at density 0.35"),
    ),
    Claim(
        "collapse-order",
        "Collapse is undone pair by pair as features become sparse.",
        "Correlated and Anticorrelated Features",
        AtLeast(3, "fewer collapsed pairs at 0.03 than at 0.35, or minus the largest rise"),
    ),
    Claim(
        "superposition-is-vulnerable",
        "Superposition makes models several times more vulnerable to adversarial examples.",
        "Superposition and Adversarial Examples",
        AtLeast(3.0, "vulnerability at density 0.03 relative to dense"),
    ),
    Claim(
        "vulnerability-tracks-packing",
        "Vulnerability is proportional to features per dimension.",
        "Superposition and Adversarial Examples",
        AtLeast(0.9, "correlation with 1/D*"),
    ),
    Claim(
        "privileged-dense",
        "With a ReLU on the hidden layer, dense features each get neurons of their own.",
        "Superposition in a Privileged Basis",
        AtLeast(0.9, "monosemantic share of neurons at density 0.5"),
    ),
    Claim(
        "privileged-sparse",
        "Sparse features share neurons.",
        "Superposition in a Privileged Basis",
        AtLeast(0.7, "fall of that share to density 0.03"),
    ),
    Claim(
        "absolute-dense",
        "Networks that compute |x| of dense features use monosemantic neurons.",
        "Computation in Superposition",
        AtLeast(0.9, "monosemantic share of neurons at density 1"),
    ),
    Claim(
        "absolute-sparse",
        "Of sparse features they compute |x| in superposition.",
        "Computation in Superposition",
        AtLeast(0.7, "fall of that share to density 0.001"),
    ),
]


def run(config: Config, run: Run) -> None:
    """Train every experiment's models in worker processes, then draw and conclude in the paper's order."""
    from windtunnel.laboratory.sweeps import sweep, values
    from windtunnel.studies.toy_models_of_superposition.measurements import measure
    from windtunnel.studies.toy_models_of_superposition.presentation import SECTIONS

    tasks = [(name, config, run.child(name)) for name in config.experiments]
    with run.watch([child for _, _, child in tasks]):
        backend: Any = "processes" if run.workers > 1 else "in-process"
        measured = values(sweep(measure, tasks, backend=backend, workers=run.workers))
    results = dict(zip(config.experiments, measured, strict=True))
    for name in EVERY:
        if name in results:
            SECTIONS[name](results[name], run)
