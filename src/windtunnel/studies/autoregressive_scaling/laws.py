"""Images and text: laws of size and compute, the irreducible loss against the truth, single images, other images."""

from typing import TYPE_CHECKING, Any

import numpy as np

from windtunnel.laboratory.errors import DataError
from windtunnel.laboratory.run import Run
from windtunnel.scaling.envelope import Frontier, curves, envelope_law, frontier, lower_hull
from windtunnel.scaling.inconsistency import Inconsistency
from windtunnel.scaling.irreducible import Irreducible, irreducible_loss
from windtunnel.scaling.items import PERCENTILES, improvement, percentile_curves, percentile_laws
from windtunnel.scaling.laws.power import Growth
from windtunnel.studies.autoregressive_scaling import presentation as show
from windtunnel.studies.autoregressive_scaling.training import Found, column

if TYPE_CHECKING:
    from windtunnel.studies.autoregressive_scaling import Config

LEARNED = 1.5
"""By this factor a ladder's reducible loss must fall before a law of it is judged: flat losses follow any law."""


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
    conclude_two_laws(ladder, run)
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
    """L(C) by the hull and constrained below all points, and by the 5 % quantile of all points, each where it fits."""
    flops = np.concatenate([6.0 * one["parameters"] * one["tokens"] for one in ladder])
    losses = np.concatenate([one["curve"] for one in ladder])
    found = {"below the hull": below_hull(flops, losses), "5 % quantile": _fitted(flops, losses, quantile=0.05)}
    return {name: law for name, law in found.items() if law is not None}


def below_hull(x: np.ndarray, losses: np.ndarray) -> Any:
    """The law constrained to lie below the hull of points; None where the hull has too few corners to fit it to."""
    corners = lower_hull(x, losses)
    return _fitted(x[corners], losses[corners])


def _fitted(x: np.ndarray, losses: np.ndarray, **options: Any) -> Any:
    """`envelope_law`, or None where the points are too few or too alike for it."""
    try:
        return envelope_law(x, losses, **options)
    except DataError:
        return None


def conclude_two_laws(ladder: Found, run: Run) -> None:
    """L(D) against L(C) of the same runs (Section 6): they should end at one constant, and cannot both hold on the way.

    L(D) is the law below all curves over the tokens read: that of a model large enough not to matter, as far as the
    ladder goes. Nothing is read twice.
    """
    note = f"Both by the hull of training curves. {GUARD}"
    tokens = np.concatenate([one["tokens"] for one in ladder])
    losses = np.concatenate([one["curve"] for one in ladder])
    of_compute, best = below_curves(ladder).get("below the hull"), _frontier(ladder)
    of_tokens = below_hull(tokens, losses)
    if of_compute is None or of_tokens is None or best is None or not falls(ladder):
        run.conclude("two-constants", float("nan"), note=note)
        return
    both = Inconsistency(of_compute, of_tokens, Growth(best.coefficient, best.exponent))
    grid = np.geomspace(best.flops[0], best.flops[-1] * 1e6, 200)
    allowed = of_tokens.predict(x=both.tokens(grid))
    entropy = ladder[-1]["entropy"]
    run.figure(
        "images-two-laws",
        show.two_laws(grid, of_compute.predict(x=grid), allowed, entropy),
        "What compute promises, and what the tokens that it reads allow; drawn a million times beyond the runs.",
        data={"compute": grid, "L(C)": of_compute.predict(x=grid), "L(D)": allowed},
    )
    met = both.intersection(float(grid[0]), float(grid[-1]))
    where = "They do not meet in the figure." if met is None else f"They meet at {met:.2g} FLOPs."
    constants = of_tokens.L_inf, of_compute.L_inf
    scale = entropy if entropy is not None else losses.min()
    note = f"{constants[0]:.3f} and {constants[1]:.3f} nats. {where} {note}"
    run.conclude("two-constants", abs(constants[0] - constants[1]) / scale, evidence="images-two-laws", note=note)


def _frontier(ladder: Found) -> Frontier | None:
    """The best size of a budget of 6 N D along training curves."""
    runs = np.repeat(np.arange(len(ladder)), [len(one["curve"]) for one in ladder])
    n, tokens = column(ladder, "parameters")[runs], np.concatenate([one["tokens"] for one in ladder])
    try:
        return frontier(curves(n, tokens, 6 * n * tokens, np.concatenate([one["curve"] for one in ladder]), runs))
    except DataError:
        return None


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
