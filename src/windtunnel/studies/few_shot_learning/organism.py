"""The organism: a family of small transformers trained on episodes, and what they do with 0 to 16 examples."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from windtunnel.data.sources import Rows, derived_seed
from windtunnel.data.worlds.episodes import Episodes, Part, in_context_slope
from windtunnel.interpretability.heads.growth import over_seeds
from windtunnel.laboratory.run import Run
from windtunnel.laboratory.sweeps import sweep, values
from windtunnel.models.counting import count_parameters, training_flops
from windtunnel.models.transformer import Transformer, TransformerConfig
from windtunnel.statistics.comparisons import paired_difference
from windtunnel.studies.few_shot_learning import figures
from windtunnel.training.configuration import TrainingConfig
from windtunnel.training.loop import train
from windtunnel.training.objectives import next_token

if TYPE_CHECKING:
    from windtunnel.studies.few_shot_learning import Config

Array = NDArray[np.float64]

CHUNK = 250
"""Episodes measured together."""


@dataclass(frozen=True)
class Member:
    """One model of a family.

    Attributes:
        layers: Blocks.
        width: Of the residual stream.
        attention_only: Whether it has no MLPs.
        number: Which seed.
        shared: Seed that the models of a family share: tasks and tests.
        config: The study's.
        run: The model's own.
    """

    layers: int
    width: int
    attention_only: bool
    number: int
    shared: int
    config: "Config"
    run: Run


def study_organism(config: "Config", run: Run) -> None:
    """Train every size with every seed and compare what they make of examples."""
    members = family(config, run)
    backend = "processes" if run.workers > 1 else "in-process"
    with run.watch([member.run for member in members]):
        found = values(sweep(train_member, members, backend=backend, workers=run.workers))  # type: ignore[arg-type]
    sized = [
        [row for member, row in zip(members, found, strict=True) if not member.attention_only and member.width == width]
        for width in config.widths
    ]
    shallow = [row for member, row in zip(members, found, strict=True) if member.attention_only]
    run.section(
        "The organism",
        "Models trained on episodes of tasks drawn anew, asked tasks that were held out of training. An organism: the "
        "paper's few-shot learning comes of natural text.",
    )
    best = None if run.null else episodes(config, 0, 0).best_accuracy().numpy()
    figures.show_curves(config, sized, shallow, best, run)
    figures.show_sizes(config, sized, run)
    figures.show_training(config, sized, run)
    conclude_organism(config, sized, shallow, best, run)


def family(config: "Config", run: Run) -> list[Member]:
    """Every size and the model of one attention-only layer with every seed, the largest first."""
    depths = config.layers if len(config.layers) > 1 else config.layers * len(config.widths)
    shapes = [(layers, width, False) for layers, width in zip(depths, config.widths, strict=True)]
    shapes = [*reversed(shapes), (1, config.shallow_width, True)]
    return [
        Member(
            layers,
            width,
            attention_only,
            number,
            run.seed_for("family", number),
            config,
            run.child(f"episodes-{layers}-{width}{'-attention' * attention_only}-seed-{number}"),
        )
        for layers, width, attention_only in shapes
        for number in range(config.seeds)
    ]


def episodes(
    config: "Config", seed: int, language: int, *, named_share: float = 0.0, part: Part = "all", carried: bool = True
) -> Episodes:
    """A stream of the organism's tasks."""
    return Episodes(
        config.symbols,
        config.shots + 1,
        config.family,
        seed,
        named=config.named,
        named_share=named_share,
        language=language,
        part=part,
        carried=carried,
    )


def train_member(member: Member) -> dict[str, Any]:
    """Train one model and measure it; a finished one is read back."""
    return member.run.stage("measured", lambda: _train_member(member))


def _train_member(member: Member) -> dict[str, Any]:
    config, run, carried = member.config, member.run, not member.run.null
    learned = episodes(config, run.seed, member.shared, named_share=config.named_share, part="learned", carried=carried)
    seed = derived_seed(member.shared, "test")
    new = episodes(config, seed, member.shared, part="held-out", carried=carried).rows(0, config.test_episodes)
    named = episodes(config, seed + 1, member.shared, named_share=1.0, carried=carried).rows(0, config.test_episodes)
    shape = TransformerConfig(
        vocabulary=learned.vocabulary,
        context=learned.context,
        layers=member.layers,
        width=member.width,
        heads=member.width // config.head_width,
        mlp_ratio=None if member.attention_only else 4.0,
        positions="rotary",
        embedding_scale=0.1,
    )
    training = TrainingConfig(
        steps=config.steps,
        batch_size=config.batch_size,
        learning_rate=config.learning_rate,
        warmup_steps=min(config.warmup_steps, config.steps // 4),
        weight_decay=0.0,
        precision="fp32" if run.device == "cpu" else "auto",
        evaluate_every=max(config.steps // config.evaluations, 1),
        seed=run.seed,
    )
    model = Transformer(shape, torch.Generator().manual_seed(run.seed))

    def evaluate(module: nn.Module, step: int) -> dict[str, float]:
        right, losses = measure(module, {name: value[:CHUNK] for name, value in new.items()})
        return {"accuracy": float(right[:, -1].mean()), "loss": float(losses.mean())}

    result = train(model, next_token, learned, training, run=run, evaluate=evaluate, device=run.device)
    right, losses = measure(model, new)
    named_right, named_losses = measure(model, named)
    return {
        "parameters": count_parameters(shape).non_embedding,
        "flops": training_flops(shape) * learned.context * config.batch_size * config.steps,
        "right": right.astype(np.float64),
        "losses": losses,
        "named": named_right.mean(axis=0),
        "named_losses": named_losses.mean(axis=0),
        "steps": [int(row["step"]) for row in result.evaluations],
        "accuracy_over_training": [float(row["accuracy"]) for row in result.evaluations],
        "loss_over_training": [float(row["loss"]) for row in result.evaluations],
    }


@torch.no_grad()
def measure(module: nn.Module, rows: Rows) -> tuple[NDArray[np.bool_], Array]:
    """Whether each answer of each episode is right [episode, shots], and its loss in nats."""
    device = next(module.parameters()).device
    right, losses = [], []
    for tokens in torch.split(rows["tokens"], CHUNK):
        logits = module(tokens[:, :-1].to(device))[:, 1::2].float().cpu()
        answers = tokens[:, 2::2]
        right.append(logits.argmax(dim=-1) == answers)
        losses.append(functional.cross_entropy(logits.transpose(1, 2), answers, reduction="none"))
    return torch.cat(right).numpy(), torch.cat(losses).double().numpy()


def gain(row: dict[str, Any]) -> float:
    """Accuracy with the most shots less that with none."""
    return float(row["right"][:, -1].mean() - row["right"][:, 0].mean())


def nats(row: dict[str, Any]) -> float:
    """Loss with no shots less that with the most."""
    return float(row["losses"][:, 0].mean() - row["losses"][:, -1].mean())


def conclude_organism(
    config: "Config",
    sized: Sequence[Sequence[dict[str, Any]]],
    shallow: Sequence[dict[str, Any]],
    best: Array | None,
    run: Run,
) -> None:
    """Hold the family against the claims: the value is the mean over seeds, the interval their range."""
    note = "Held-out tasks; interval: range over seeds."
    small, large = sized[0], sized[-1]

    def conclude(claim: str, found: Sequence[float], evidence: str = "curves", note: str = note) -> None:
        run.conclude(claim, over_seeds(found), evidence=evidence, note=note)

    conclude("few-shot-gain", [gain(row) for row in large], note=f"The largest model. {note}")
    conclude(
        "one-layer-gain",
        [gain(row) for row in shallow],
        note="One layer can tell that an input was seen, and what answers were, though not which is its own. " + note,
    )
    conclude("monotone", [residual(row["right"].mean(axis=0)) for row in large])
    steeper = [
        steeper_beyond_chance(one, other, run.generator("slope", number))
        for number, (one, other) in enumerate(zip(small, large, strict=True))
    ]
    run.conclude(
        "larger-is-steeper",
        float(np.mean(steeper)),
        evidence="curves",
        note="Per doubling of the examples plus one; beyond chance: the 95 % interval over episodes is above 0.",
    )
    conclude("gap-grows", [gain(other) - gain(one) for one, other in zip(small, large, strict=True)], "sizes")
    conclude("context-use", [nats(other) - nats(one) for one, other in zip(small, large, strict=True)], "sizes")
    if best is None:
        run.conclude("near-best", note="There is no best answer where the context tells nothing.")
    else:
        conclude("near-best", [float(best[-1] - row["right"][:, -1].mean()) for row in large])
    helps = [row["named"] - row["right"].mean(axis=0) for row in large]
    conclude("name-helps", [float(each[0]) for each in helps], note="The largest model; range over seeds.")
    conclude("name-helps-less", [float(each[0] - each[-1]) for each in helps], note="The largest; range over seeds.")


def residual(curve: Array) -> float:
    """The largest distance of a curve from the nearest one that never falls (isotonic regression)."""
    from sklearn.isotonic import IsotonicRegression

    places = np.arange(len(curve))
    return float(np.abs(IsotonicRegression().fit_transform(places, curve) - curve).max())


def steeper_beyond_chance(small: dict[str, Any], large: dict[str, Any], generator: np.random.Generator) -> bool:
    """Whether the larger model's slope exceeds the smaller's by more than the same episodes' chance."""
    shots = small["right"].shape[1]
    weights = np.array([in_context_slope(np.eye(shots)[place]) for place in range(shots)])  # the slope is linear
    found = paired_difference(large["right"] @ weights, small["right"] @ weights, generator=generator, resamples=500)
    return found.difference.low > 0
