"""Video, captions, mathematics, classification and the shape of a model: what each is measured by."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import spearmanr

from windtunnel.data.worlds.video import MovingDot
from windtunnel.laboratory.errors import DataError
from windtunnel.laboratory.run import Run
from windtunnel.scaling.aspect import best_ratio
from windtunnel.scaling.information import gain_law, information
from windtunnel.scaling.irreducible import irreducible_loss
from windtunnel.statistics.comparisons import paired_difference
from windtunnel.studies.autoregressive_scaling import presentation as show
from windtunnel.studies.autoregressive_scaling.laws import LEARNED, fit_ladder
from windtunnel.studies.autoregressive_scaling.training import Found, column

if TYPE_CHECKING:
    from windtunnel.studies.autoregressive_scaling import Config


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
    _gain_by_size(ladders["text-to-image"], run)
    _mixed(ladders, run)
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


def _gain_by_size(ladder: Found, run: Run) -> None:
    """InfoGain = λ ln(N / N_c) over the sizes."""
    if len(ladder) < 3:
        run.conclude("gain-logarithm", note="Needs three sizes: set caption_sizes.")
        return
    found = [information(one["told"], one["blank"], **_truth(one)) for one in ladder]
    law = gain_law(column(ladder, "parameters"), [one.gain for one in found])
    learned = found[-1].nats.value > 0.5 * ladder[-1]["information"] and found[0].gain < found[-1].gain
    note = f"λ = {law.slope:.3g}, N_c = {law.threshold:.3g}; judged only where half of the information is measured."
    run.conclude(
        "gain-logarithm", law.r_squared if learned else float("nan"), evidence="captions-information", note=note
    )


def _mixed(ladders: dict[str, Found], run: Run) -> None:
    """The estimate of models that saw 95 % captions and 5 % blanks from the start."""
    if "text-to-image, mixed" not in ladders:
        run.conclude("mixed-blanks", note="Needs models trained with blanks from the start: set mixed_sizes.")
        return
    each = [
        information(one["told"], one["blank"], **_truth(one)).ratio
        for one in (ladders[f"{direction}, mixed"][-1] for direction in ("text-to-image", "image-to-text"))
    ]
    known = [ratio for ratio in each if ratio is not None]
    run.conclude(
        "mixed-blanks",
        float(np.mean([ratio.value for ratio in known])),
        interval=(min(ratio.low for ratio in known), max(ratio.high for ratio in known)),
        evidence="captions-information",
        note="The largest model of both directions; interval: from the lower end of one to the upper of the other.",
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
    if "maths-data" in ladders:
        measure_maths_data(ladders["maths-data"], run)
    else:
        run.conclude("maths-data", note="Needs trainings on few problems: set maths_rows.")


def measure_maths_data(ladder: Found, run: Run) -> None:
    """L(D): the least loss of a training on so many rows, again and again."""
    rows = column(ladder, "unique")
    least = np.array([one["curve"].min() for one in ladder])
    run.figure(
        "maths-data",
        show.over_data(rows, least, [one["curve"] for one in ladder], ladder[-1]["steps"]),
        "The least held-out loss on so many rows of problems that are repeated, and the curves.",
        data={"rows": rows, "loss": least},
    )
    fell = least[0] > LEARNED * least[-1]
    explained = float(np.corrcoef(np.log(rows), np.log(least))[0, 1] ** 2) if fell else float("nan")
    note = f"R² of ln L over ln D; judged only where the least loss falls by a factor of {LEARNED:g}."
    run.conclude("maths-data", explained, evidence="maths-data", note=note)


def collapse(ladder: Found) -> tuple[float, float]:
    """The largest difference of accuracy between sizes at a loss that two or more of them pass, and at equal steps."""
    losses = np.concatenate([one["curve"] for one in ladder])
    grid = np.linspace(losses.min(), losses.max(), 500)
    at_loss = np.stack(
        [
            np.interp(grid, *_increasing(one["curve"], one["accuracy_curve"]), left=np.nan, right=np.nan)
            for one in ladder
        ]
    )
    shared = at_loss[:, np.isfinite(at_loss).sum(0) > 1]
    at_steps = np.stack([one["accuracy_curve"] for one in ladder])
    gap = float((np.nanmax(shared, 0) - np.nanmin(shared, 0)).max()) if shared.size else float("nan")
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
        note="Bottom of the parabola over ln(width / layers); judged only where shapes differ by 2 % of the entropy. "
        f"Sizes: {', '.join(f'{size:,.0f}' for size in column(ladder, 'parameters'))}.",
    )
