"""The experiments: every ladder in one sweep, then each domain's measurements against the claims."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import spearmanr

from windtunnel.data.worlds.video import MovingDot
from windtunnel.laboratory.errors import DataError
from windtunnel.laboratory.run import Run
from windtunnel.laboratory.sweeps import Backend, sweep, values
from windtunnel.scaling.aspect import best_ratio, proportions
from windtunnel.scaling.envelope import curves, envelope_law, frontier, lower_hull
from windtunnel.scaling.inconsistency import compute_of_tokens
from windtunnel.scaling.information import information
from windtunnel.scaling.irreducible import Irreducible, irreducible_loss
from windtunnel.scaling.items import PERCENTILES, improvement, percentile_curves, percentile_laws
from windtunnel.scaling.modalities import PF_DAY, TABLE_1, TABLE_3, TABLE_5
from windtunnel.statistics.comparisons import paired_difference
from windtunnel.studies.autoregressive_scaling import presentation as show
from windtunnel.studies.autoregressive_scaling.domains import shape
from windtunnel.studies.autoregressive_scaling.training import Member, train_member

if TYPE_CHECKING:
    from windtunnel.studies.autoregressive_scaling import Config

Found = list[dict[str, Any]]
"""What was measured of the members of a ladder, from the smallest."""

LEARNED = 1.5
"""By this factor a ladder's reducible loss must fall before a law of it is judged: flat losses follow any law."""


def compare_domains(config: "Config", run: Run) -> None:
    """Train every ladder that is asked for, then measure each domain."""
    conclude_published(run)
    everyone = family(config, run)
    order = sorted(everyone, key=lambda member: -member.parameters * member.steps - 20_000 * member.steps)
    backend: Backend = "processes" if run.workers > 1 else "in-process"
    with run.watch([member.run for member in order]), run.progress("models", len(order)) as task:
        found = dict(
            zip(order, values(sweep(train_member, order, backend=backend, workers=run.workers, task=task)), strict=True)
        )
    ladders: dict[str, Found] = {}
    for member in everyone:
        ladders.setdefault(member.run.directory.name.rsplit("-", 1)[0], []).append(found[member])
    measures: dict[str, Callable[[Config, dict[str, Found], Run], None]] = {
        "images": measure_images,
        "text": measure_text,
        "video": measure_video,
        "captions": measure_captions,
        "maths": measure_maths,
        "classification": measure_classification,
        "aspect": measure_aspect,
    }
    for experiment, measure in measures.items():
        if experiment in config.experiments:
            measure(config, ladders, run)


def family(config: "Config", run: Run) -> list[Member]:
    """The members of every ladder, each ladder from its smallest."""
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
    if "maths" in config.experiments:
        ladders.append(("maths", "maths", config.maths_sizes, config.maths_steps))
    if "classification" in config.experiments:
        ladders.append(("classification", "classification", [config.classifier], config.generative_steps))
    if "aspect" in config.experiments:
        shapes = proportions(config.aspect_parameters, config.aspect_ratios, multiple=16)
        ladders.append(("aspect", "images", [(one.width, one.layers) for one in shapes], config.image_steps))
    members = []
    for name, domain, sizes, steps in ladders:
        for width, layers in sizes:
            seed = run.seed_for("rows", domain)
            members.append(Member(domain, width, layers, steps, config, run.child(f"{name}-{width}x{layers}"), seed))
    return members


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


# --- images and text -----------------------------------------------------------------------------------------


def measure_images(config: "Config", ladders: dict[str, Found], run: Run) -> None:
    """L(N), L(C), the best size of a budget, positions, single images, percentiles and other images."""
    ladder = ladders["images"]
    run.section(
        "Images",
        f"{len(ladder)} models of {ladder[0]['parameters']:,} to {ladder[-1]['parameters']:,} parameters on images of "
        f"{config.image_side} x {config.image_side} pixels"
        + (" whose entropy is known exactly." if config.image_source == "pictures" else f" ({config.image_source})."),
    )
    law = fit_ladder("images", ladder, run)
    conclude_entropy("image-entropy", "image-floor", ladder, law, "images-ladder", run)
    run.conclude("image-power-law", straightness(ladder), evidence="images-ladder", note=GUARD)
    beta = best_sizes(ladder) if falls(ladder) else None
    run.conclude(
        "image-compute",
        float("nan") if beta is None else beta["6 N per token"],
        interval=None if beta is None else (min(beta.values()), max(beta.values())),
        evidence="images-ladder",
        note="Interval: counting 6 N, or every operation. " + GUARD,
    )
    positions = {f"{one['parameters']:,}": one["position_losses"] for one in (ladder[0], ladder[-1])}
    if "best_positions" in ladder[-1]:
        positions["best possible"] = ladder[-1]["best_positions"]
    side = round(len(ladder[-1]["position_losses"]) ** 0.5)
    run.figure(
        "images-positions",
        show.maps(positions, side),
        "Loss at each pixel in raster order, nats.",
        data=positions,
    )
    conclude_percentiles(ladder, run)
    conclude_other_images(config, ladder, run)
    real = np.asarray(ladder[-1].get("samples"))
    run.figure(
        "images-samples",
        show.images(
            {f"{one['parameters']:,} parameters": one["samples"] for one in ladder[:: max(len(ladder) - 1, 1)]}
            | {"real": real_images(config, ladder, run, len(real))}
        ),
        "Images sampled from the smallest and the largest model, beside real ones.",
    )


def real_images(config: "Config", ladders: Found, run: Run, count: int) -> np.ndarray:
    """Held-out images."""
    from windtunnel.studies.autoregressive_scaling.domains import images

    return images(config, run.seed_for("rows", "images"), False).test["tokens"][:count, 1:].numpy()


def measure_text(config: "Config", ladders: dict[str, Found], run: Run) -> None:
    """L(N) of text of known entropy."""
    run.section("Text", f"A Markov chain of {config.text_vocabulary} token types, whose entropy rate is known exactly.")
    law = fit_ladder("text", ladders["text"], run)
    conclude_entropy("text-entropy", None, ladders["text"], law, "text-ladder", run)


GUARD = f"Judged only where the reducible loss falls by a factor of {LEARNED:g} over the ladder."


def fit_ladder(name: str, ladder: Found, run: Run) -> Irreducible | None:
    """L(N) with its constant and L(C) below all curves, as a figure and a table; None if the loss does not fall."""
    sizes, losses = column(ladder, "parameters"), column(ladder, "loss")
    law = None
    if len(ladder) >= 4:
        try:
            law = irreducible_loss(sizes, losses)
        except DataError as error:
            run.note(f"{name}: {error}")
    edge = below_curves(ladder)
    entropy = ladder[-1].get("entropy")
    run.figure(
        f"{name}-ladder",
        show.ladder(ladder, None if law is None else law.law, edge, entropy),
        "Left: loss against parameters, with the fitted power law plus constant. Right: training curves against "
        "compute (6 N per token), with the law constrained to lie below their hull. Dashed: the exact entropy.",
        data={"parameters": sizes, "loss": losses, "error": column(ladder, "loss_error"), "entropy": entropy},
    )
    rows: list[dict[str, Any]] = [
        {
            "width": one["width"],
            "layers": one["layers"],
            "parameters": one["parameters"],
            "loss (nats)": one["loss"],
            "standard error": one["loss_error"],
            "entropy": one["entropy"],
            "seconds": one["seconds"],
        }
        for one in ladder
    ]
    run.table(f"{name}-models", rows, f"The models ({name}).")
    laws = []
    if law is not None:
        laws.append(
            {"law": "L(N)", "L_∞": law.law.L_inf, "low": law.low, "high": law.high, "α": law.law.alpha}
            | {"R² of ln(L − L_∞)": law.r_squared, "entropy": entropy, "warnings": " ".join(law.warnings)}
        )
    for label, one in edge.items():
        laws.append({"law": f"L(C), {label}", "L_∞": one.L_inf, "α": one.alpha, "entropy": entropy})
    if laws:
        run.table(f"{name}-laws", laws, "Fitted laws; low and high are the 90 % interval of L_∞.")
    return law


def below_curves(ladder: Found) -> dict[str, Any]:
    """L(C) by the hull and constrained below all points, and by the 5 % quantile of all points."""
    flops = np.concatenate([6.0 * one["parameters"] * one["tokens"] for one in ladder])
    losses = np.concatenate([one["curve"] for one in ladder])
    found = {}
    try:
        corners = lower_hull(flops, losses)
        found["below the hull"] = envelope_law(flops[corners], losses[corners])
        found["5 % quantile"] = envelope_law(flops, losses, quantile=0.05)
    except DataError:
        pass
    return found


def best_sizes(ladder: Found) -> dict[str, float] | None:
    """The exponent of N_opt(C) along the frontier of training curves, counted in two ways; None if there is none."""
    found = {}
    for name, per_token in (
        ("6 N per token", [6.0 * one["parameters"] for one in ladder]),
        ("every operation", [one["flops_exact_per_token"] for one in ladder]),
    ):
        runs = np.repeat(np.arange(len(ladder)), [len(one["curve"]) for one in ladder])
        tokens = np.concatenate([one["tokens"] for one in ladder])
        try:
            best = frontier(
                curves(
                    column(ladder, "parameters")[runs],
                    tokens,
                    np.array(per_token)[runs] * tokens,
                    np.concatenate([one["curve"] for one in ladder]),
                    runs,
                )
            )
        except DataError:
            return None
        found[name] = best.exponent
    return found


def conclude_entropy(
    claim: str, floor: str | None, ladder: Found, law: Irreducible | None, evidence: str, run: Run
) -> None:
    """Hold the fitted constant, and every measured loss, against the known entropy."""
    entropy = ladder[-1]["entropy"]
    if entropy is None:
        run.conclude(claim, note="The entropy of real images is not known; run with image_source=pictures.")
    elif law is None:
        run.conclude(claim, float("nan"), note="The loss does not fall with size, or fewer than 4 sizes were trained.")
    else:
        note = "Interval: 90 %, of the constants at which the law is straight. " + " ".join(law.warnings)
        ends = (law.low / entropy, law.high / entropy)
        run.conclude(claim, float(law.law.L_inf) / entropy, interval=ends, evidence=evidence, note=note)
    if floor is not None and entropy is not None:
        scores = (column(ladder, "loss") - entropy) / np.maximum(column(ladder, "loss_error"), 1e-12)
        run.conclude(floor, float(scores.min()), evidence=evidence, note="The closest of the models.")


def straightness(ladder: Found) -> float | None:
    """R² of ln(L − S) over ln N, S being known; nan if it hardly falls, None if it is not known."""
    entropy = ladder[-1]["entropy"]
    if entropy is None:
        return None
    reducible = column(ladder, "loss") - entropy
    if (reducible <= 0).any() or not falls(ladder):
        return float("nan")
    return float(np.corrcoef(np.log(column(ladder, "parameters")), np.log(reducible))[0, 1] ** 2)


def falls(ladder: Found) -> bool:
    """Whether the reducible loss falls enough from the smallest to the largest; without an entropy, the loss by 5 %."""
    entropy, losses = ladder[-1]["entropy"], column(ladder, "loss")
    if entropy is None:
        return bool(losses[0] > 1.05 * losses[-1])
    return bool(losses[0] - entropy >= LEARNED * (losses[-1] - entropy))


def conclude_percentiles(ladder: Found, run: Run) -> None:
    """Laws of percentiles of images, and the images that improve most and least."""
    sizes, losses = column(ladder, "parameters"), np.stack([one["row_losses"] for one in ladder])
    found = percentile_curves(losses)
    laws: list[Irreducible | None] = [None] * len(PERCENTILES)
    if len(sizes) >= 4 and falls(ladder):
        try:
            laws = list(percentile_laws(list(sizes), losses))
        except DataError as error:
            run.note(f"percentiles: {error}")
    gain = improvement(losses)
    run.figure(
        "images-percentiles",
        show.percentiles(sizes, found, PERCENTILES, [None if law is None else law.law for law in laws], losses),
        "Left: percentiles over held-out images of the loss per image. Right: each image under the smallest and the "
        "largest model; above the line it improves.",
        data={"parameters": sizes, "percentiles": found, "most improved": gain.order()[:10], "ratio": gain.ratio},
    )
    least = min((law.r_squared for law in laws if law is not None), default=float("nan"))
    run.conclude(
        "image-percentiles",
        least,
        evidence="images-percentiles",
        note="The least straight of seven percentiles. " + GUARD,
    )


def conclude_other_images(config: "Config", ladder: Found, run: Run) -> None:
    """Whether the loss on other images is a function of the loss on the images learned, whatever size and step."""
    if "other_curve" not in ladder[0]:
        run.conclude("other-images", note="Needs image_source=pictures.")
        return
    own = np.concatenate([one["curve"] for one in ladder])
    other = np.concatenate([one["other_curve"] for one in ladder])
    sizes = np.repeat(column(ladder, "parameters"), [len(one["curve"]) for one in ladder])
    seen = own < 0.85 * frequencies_loss(config, run)
    explained, line = float("nan"), None
    if seen.sum() >= 12 and own[seen].max() > 1.2 * own[seen].min():
        line = np.polynomial.Polynomial.fit(own[seen], other[seen], 3)
        gaps = other[seen] - line(own[seen])
        explained = 1 - float((gaps**2).sum() / ((other[seen] - other[seen].mean()) ** 2).sum())
    run.figure(
        "images-other",
        show.scatter(own, other, sizes, line, "loss on images learned from (nats)", "loss on other images (nats)"),
        "Every point of every training curve: the loss on images of other sizes of shape, against the loss on the "
        "images learned.",
        data={"own": own, "other": other, "parameters": sizes},
    )
    run.conclude(
        "other-images",
        explained,
        evidence="images-other",
        note="By a cubic through all sizes and steps at which the loss is 15 % below that of knowing how often each "
        "grey level occurs; judged only where there are 12 such points over a factor of 1.2.",
    )


def frequencies_loss(config: "Config", run: Run) -> float:
    """The loss of predicting every pixel by how often its grey level occurs."""
    from windtunnel.studies.autoregressive_scaling.domains import images

    tokens = images(config, run.seed_for("rows", "images"), False).test["tokens"][:, 1:].numpy()
    shares = np.bincount(tokens.ravel()) / tokens.size
    return float(-(shares[shares > 0] * np.log(shares[shares > 0])).sum())


# --- video ---------------------------------------------------------------------------------------------------


def measure_video(config: "Config", ladders: dict[str, Found], run: Run) -> None:
    """The loss of each frame, against its exact floor."""
    ladder = ladders["video"]
    run.section("Video", "A dot moves by its clip's own habits; the best possible loss of every frame is known.")
    fit_ladder("video", ladder, run)
    best = MovingDot(config.video_side, config.frames, config.habit, 0).frame_entropy.numpy()
    frames = {  # the exact floor, and the mean excess over the best possible loss of each clip
        f"{one['parameters']:,}": best + by_frame(one["position_losses"] - one["best_positions"], config.frames)
        for one in ladder
    }
    largest = list(frames.values())[-1]
    rest = largest[1:]
    numbers = np.arange(2, config.frames + 1)
    fell = rest[0] > 1.05 * rest[-1]
    law = None
    if fell:
        try:
            law = irreducible_loss(numbers - 1, rest)
        except DataError as error:
            run.note(f"video: {error}")
    run.figure(
        "video-frames",
        show.frames(frames, best, None if law is None else law.law),
        "Loss per frame, with the best possible; line: power law plus constant from the second frame on.",
        data={**frames, "best possible": best},
    )
    run.conclude("video-first-frame", float(largest[0] / rest.mean()), evidence="video-frames")
    run.conclude(
        "video-decreasing",
        -float(spearmanr(np.arange(config.frames), largest).statistic) if largest[0] > 1.05 * largest[-1] else np.nan,
        evidence="video-frames",
        note="Judged only where the last frame is 5 % below the first.",
    )
    explained = float("nan")
    if law is not None:
        gaps = rest - law.law.predict(x=numbers - 1)
        explained = 1 - float((gaps**2).sum() / ((rest - rest.mean()) ** 2).sum())
    run.conclude(
        "video-power-law",
        explained,
        evidence="video-frames",
        note="In the number of frames seen; judged only where the last frame is 5 % below the second.",
    )


def by_frame(losses: np.ndarray, frames: int) -> np.ndarray:
    """Summed loss of each frame."""
    total: np.ndarray = np.asarray(losses).reshape(frames, -1).sum(1)
    return total


# --- captions ------------------------------------------------------------------------------------------------


def measure_captions(config: "Config", ladders: dict[str, Found], run: Run) -> None:
    """Mutual information of captions and images against the exact, before and after fine-tuning on blanks."""
    run.section(
        "Captions and images",
        "What one tells about the other: the loss with the other blank minus the loss with it. The exact information "
        "is a sum over all pictures and captions.",
    )
    rows, before_ratio = [], []
    points: dict[str, list[tuple[float, Any, float]]] = {}
    for direction, claim in (("text-to-image", "caption-to-image"), ("image-to-text", "image-to-caption")):
        ladder = ladders[direction]
        points[direction] = []
        for one in ladder:
            known = {"pointwise": one["pointwise"], "exact": one["information"]}
            tuned = information(one["told"], one["blank"], **known)
            before = information(one["told_before"], one["blank_before"], **known)
            points[direction].append((one["parameters"], tuned.nats, before.nats.value))
            rows.append(
                {"direction": direction, "parameters": one["parameters"], "information (nats)": str(tuned.nats)}
                | {"without blank tuning": before.nats.value, "exact": one["information"], "InfoGain": tuned.gain}
                | {"exact InfoGain": one["information"] / one["asked_entropy"]}
            )
        largest = points[direction][-1]
        run.conclude(
            claim,
            information(ladder[-1]["told"], ladder[-1]["blank"], **_truth(ladder[-1])).ratio,
            evidence="captions-information",
            note="Interval over held-out pairs, whose exact pointwise information is subtracted.",
        )
        learned = largest[1].value > 0.5 * ladder[-1]["information"]
        before_ratio.append(largest[2] / largest[1].value if learned else float("nan"))
    run.figure(
        "captions-information",
        show.information_of(points, ladders["text-to-image"][-1]["information"]),
        "Information measured after (filled) and before (open) fine-tuning on blanks. Dashed: exact.",
        data={name: [(n, nats.value, before) for n, nats, before in found] for name, found in points.items()},
    )
    run.table("captions-information", rows, "Mutual information and InfoGain by direction and size.")
    run.conclude(
        "blank-tuning",
        float(np.mean(before_ratio)),
        interval=(min(before_ratio), max(before_ratio)) if not np.isnan(before_ratio).any() else None,
        evidence="captions-information",
        note="Mean of both directions, interval their range; judged only where half of the information is measured.",
    )
    shown = ladders["text-to-image"][-1]
    run.figure(
        "captions-samples",
        show.captioned(shown["captions"], shown["samples"], shown["real"]),
        "Images sampled from captions by the largest model, below the real image of each caption.",
    )


def _truth(one: Mapping[str, Any]) -> dict[str, Any]:
    return {"pointwise": one["pointwise"], "exact": one["information"]}


# --- mathematics ---------------------------------------------------------------------------------------------


def measure_maths(config: "Config", ladders: dict[str, Found], run: Run) -> None:
    """Accuracy against loss and against steps, and by difficulty beyond the training range."""
    ladder = ladders["maths"]
    run.section("Mathematics", f"Problems of 1 to {config.maths_digits} digits are learned, longer ones are tested.")
    fit_ladder("maths", ladder, run)
    gap, at_steps = collapse(ladder)
    difficulty = np.arange(1, 2 * config.maths_digits + 1)
    by_module: dict[str, list[list[float]]] = {
        module: [[one["accuracies"][f"{module} {size}"] for size in difficulty] for one in ladder]
        for module in config.maths_modules
    }
    run.figure(
        "maths",
        show.maths(ladder, difficulty, by_module, config.maths_digits),
        "Left: accuracy within the training range against the loss, every point of every curve; middle: against steps; "
        "right: by digits at the end, the shaded part beyond the training range.",
        data={"accuracy": by_module},
    )
    largest = np.mean([by_module[module][-1] for module in by_module], axis=0)
    beyond = largest[config.maths_digits - 1 :]
    able = max(one["accuracy_curve"].max() for one in ladder) >= 0.5
    note = "Judged only where a model answers half of the problems it is trained on."
    run.conclude("maths-collapse", gap if able else np.nan, evidence="maths", note=note)
    run.conclude("maths-steps", at_steps if able else np.nan, evidence="maths", note=note)
    falls = np.ptp(beyond) > 0 and able
    order = -float(spearmanr(np.arange(len(beyond)), beyond).statistic) if falls else float("nan")
    run.conclude("maths-beyond", order, evidence="maths", note="Of the largest model, all kinds together. " + note)


def collapse(ladder: Found) -> tuple[float, float]:
    """The largest difference of accuracy between sizes at equal loss, and at equal steps."""
    tops, bottoms = [one["curve"].max() for one in ladder], [one["curve"].min() for one in ladder]
    low, high = max(bottoms), min(tops)
    grid = np.linspace(low, high, 50)
    at_loss = [np.interp(grid, *_increasing(one["curve"], one["accuracy_curve"])) for one in ladder]
    at_steps = np.stack([one["accuracy_curve"] for one in ladder])
    gap = float(np.ptp(at_loss, axis=0).max()) if high > low else float("nan")
    return gap, float(np.ptp(at_steps, axis=0).max())


def _increasing(losses: np.ndarray, accuracies: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    order = np.argsort(losses)
    return losses[order], accuracies[order]


# --- classification and shape --------------------------------------------------------------------------------


def measure_classification(config: "Config", ladders: dict[str, Found], run: Run) -> None:
    """Digits classified by a model that has learned to draw them, and by one that has not."""
    (one,) = ladders["classification"]
    run.section(
        "Fine-tuning to classify",
        f"{config.labelled} labelled digits of scikit-learn; the last layer is averaged over positions and read by a "
        "linear head, and everything is trained.",
    )
    found = paired_difference(one["pretrained"], one["scratch"], generator=run.generator("classification"))
    accuracy = {name: float(one[name].mean()) for name in ("pretrained", "scratch")}
    rows = [{"begun from": name, "accuracy": value} for name, value in accuracy.items()]
    run.table("classification", rows, "Accuracy on held-out digits.")
    run.figure(
        "digits-samples",
        show.images({"sampled": one["samples"], "real": one["real"]}),
        "Digits sampled from the generative model beside real ones.",
        data=accuracy,
    )
    run.conclude("classification", found.difference, evidence="digits-samples", note="Interval over held-out digits.")


def measure_aspect(config: "Config", ladders: dict[str, Found], run: Run) -> None:
    """The loss over aspect ratios at about one size."""
    ladder = ladders["aspect"]
    run.section("Aspect ratio", f"Shapes of about {config.aspect_parameters:,.0f} parameters.")
    ratios, losses = np.array([one["width"] / one["layers"] for one in ladder]), column(ladder, "loss")
    run.figure(
        "aspect",
        show.aspect(ratios, losses, column(ladder, "parameters")),
        "Loss against width / layers.",
        data={"ratio": ratios, "loss": losses, "parameters": column(ladder, "parameters")},
    )
    entropy = ladder[0]["entropy"]
    fell = entropy is not None and np.ptp(losses) > 0.02 * entropy and losses.min() < LEARNED * entropy
    run.conclude(
        "aspect-ratio",
        best_ratio(ratios, losses) if fell else float("nan"),
        evidence="aspect",
        note="Bottom of the parabola over ln(width / layers); judged only where shapes differ by 2 % of the entropy.",
    )


def column(ladder: Found, name: str) -> np.ndarray:
    """One number of every member."""
    return np.array([one[name] for one in ladder], dtype=np.float64)
