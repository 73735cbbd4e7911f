"""The experiments: what holds without training, then every ladder in one sweep, then each domain by its claims."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from windtunnel.laboratory.run import Run
from windtunnel.laboratory.sweeps import Backend, sweep, values
from windtunnel.scaling.aspect import proportions
from windtunnel.scaling.inconsistency import compute_of_tokens
from windtunnel.scaling.irreducible import irreducible_loss
from windtunnel.scaling.material import Material, gather
from windtunnel.scaling.modalities import PF_DAY, TABLE_1, TABLE_3, TABLE_5
from windtunnel.studies.autoregressive_scaling.domains import shape
from windtunnel.studies.autoregressive_scaling.language import measure_language
from windtunnel.studies.autoregressive_scaling.laws import measure_images, measure_text
from windtunnel.studies.autoregressive_scaling.sequences import (
    measure_aspect,
    measure_captions,
    measure_classification,
    measure_maths,
    measure_video,
)
from windtunnel.studies.autoregressive_scaling.training import Found, Member, train_member

if TYPE_CHECKING:
    from windtunnel.studies.autoregressive_scaling import Config


def compare_domains(config: "Config", run: Run) -> None:
    """Train every ladder that is asked for, then measure each domain."""
    conclude_published(run)
    families = family(config, run)
    everyone = dict.fromkeys(member for members in families.values() for member in members)
    order = sorted(everyone, key=lambda member: -member.parameters * member.steps - 20_000 * member.steps)
    backend: Backend = "processes" if run.workers > 1 else "in-process"
    with run.watch([member.run for member in order]), run.progress("models", len(order)) as task:
        found = dict(
            zip(order, values(sweep(train_member, order, backend=backend, workers=run.workers, task=task)), strict=True)
        )
    ladders = {name: [found[member] for member in members] for name, members in families.items()}
    measures: dict[str, Callable[[Config, dict[str, Found], Run], None]] = {
        "images": measure_images,
        "text": measure_text,
        "video": measure_video,
        "captions": measure_captions,
        "maths": measure_maths,
        "classification": measure_classification,
        "aspect": measure_aspect,
        "language": measure_language,
    }
    for experiment, measure in measures.items():
        if experiment in config.experiments:
            measure(config, ladders, run)


def family(config: "Config", run: Run) -> dict[str, list[Member]]:
    """The members of every ladder, each from its smallest; a member of two ladders is trained once."""
    ladders: list[tuple[str, str, Sequence[tuple[int, int]], int]] = []
    if "images" in config.experiments:
        ladders.append(("images", "images", config.image_sizes, config.image_steps))
    if "text" in config.experiments:
        ladders.append(("text", "text", config.text_sizes, config.text_steps))
    if "video" in config.experiments:
        ladders.append(("video", "video", config.video_sizes, config.video_steps))
    if "captions" in config.experiments:
        for direction in ("text-to-image", "image-to-text"):
            ladders.append((direction, direction, config.caption_sizes, config.caption_steps))
            if config.mixed_sizes:
                ladders.append((f"{direction}, mixed", f"{direction}, mixed", config.mixed_sizes, config.caption_steps))
    if "maths" in config.experiments:
        ladders.append(("maths", "maths", config.maths_sizes, config.maths_steps))
    if "classification" in config.experiments:
        ladders.append(("classification", "classification", [config.classifier], config.generative_steps))
    if "aspect" in config.experiments:
        shapes = proportions(config.aspect_parameters, config.aspect_ratios, multiple=16)
        ladders.append(("aspect", "images", [(one.width, one.layers) for one in shapes], config.image_steps))
    if "language" in config.experiments:
        ladders.append(("language", "language", config.language_sizes, config.language_steps))
    found: dict[str, list[Member]] = {}
    trained: dict[tuple[str, int, int, int], Member] = {}
    material = _material(config, run) if "language" in config.experiments else None
    for name, domain, sizes, steps in ladders:
        for width, layers in sizes:
            key = (domain, width, layers, steps)
            if key not in trained:
                seed, place = run.seed_for("rows", domain), run.child(f"{name.replace(', ', '-')}-{width}x{layers}")
                text = material if domain == "language" else None
                trained[key] = Member(domain, width, layers, steps, config, place, seed, material=text)
            found.setdefault(name, []).append(trained[key])
    if "maths" in config.experiments and config.maths_rows:
        (width, layers), seed = config.maths_sizes[-1], run.seed_for("rows", "maths")
        found["maths-data"] = [
            Member("maths", width, layers, config.maths_steps, config, run.child(f"maths-{rows}-rows"), seed, rows)
            for rows in config.maths_rows
        ]
    return found


def _material(config: "Config", run: Run) -> Material:
    """The text of the language ladder, and as much held out as is measured."""
    tokens = config.batch_size * config.language_context * config.language_steps
    held_out = (config.language_context + 1) * config.language_rows
    return gather(run.directory / "text", config.corpus, (), tokens=tokens, held_out=held_out, shuffled=run.null)


# --- what holds without training -----------------------------------------------------------------------------


def conclude_published(run: Run) -> None:
    """The paper's own constants, the sizes of its Table 5, and fits of planted laws."""
    of_compute = TABLE_1["image 8x8"].of_compute
    assert of_compute is not None
    run.conclude("published-loss", float(of_compute.predict(x=1.0)))
    run.conclude("published-image", float(TABLE_3["image 8x8"].predict(x=1.0)))
    from windtunnel.models.counting import count_parameters

    counts = [count_parameters(shape(256, 192, width, layers)).matrices for _, width, layers, _ in TABLE_5]
    errors = [abs(count / row[0] - 1) for count, row in zip(counts, TABLE_5, strict=True)]
    run.conclude("table-5-sizes", max(errors), note="Weight matrices of the shape trained here.")
    planted = run.stage("planted", lambda: planted_fits(run))
    run.conclude(
        "planted-constant",
        float(np.median(planted["constants"])),
        note="200 planted laws, those of 8x8 images in Table 1.",
    )
    run.conclude(
        "planted-exponent",
        float(np.median(planted["exponents"])),
        note="200 planted laws, those of 8x8 images in Table 1.",
    )
    run.conclude("planted-coverage", float(np.mean(planted["covered"])), note="Of 90 % intervals of 200 planted laws.")
    optimum = TABLE_1["image 16x16"].optimum
    assert optimum is not None
    from windtunnel.scaling.laws.power import Growth

    law = compute_of_tokens(Growth(2.8e8, 0.74), PF_DAY)
    run.conclude("tokens-of-compute", float(law.k / 5e-42), note="From N_opt = 2.8e8 C^0.74, C in PF-days.")
    run.conclude("compute-exponent", float(law.gamma), note="1 / (1 - 0.74); the paper rounds to 3.9.")


def planted_fits(run: Run) -> dict[str, Any]:
    """Fits of the paper's law of 8x8 images at 8 sizes over 3 decades, with 1 % noise on the reducible loss."""
    law = TABLE_1["image 8x8"].of_parameters
    assert law is not None
    generator = run.generator("planted")
    sizes = np.geomspace(1e3, 1e6, 8)
    reducible = law.predict(x=sizes) - law.L_inf
    fits = [
        irreducible_loss(sizes, law.L_inf + reducible * (1 + 0.01 * generator.standard_normal(8)), points=2_000)
        for _ in range(200)
    ]
    return {
        "constants": np.array([abs(found.law.L_inf / law.L_inf - 1) for found in fits]),
        "exponents": np.array([abs(found.law.alpha / law.alpha - 1) for found in fits]),
        "covered": np.array([float(found.low <= law.L_inf <= found.high) for found in fits]),
    }
