"""One model trained on one stream, and what is measured of it."""

import copy
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor, nn

from windtunnel.data.canaries import Canaries
from windtunnel.data.repetition import RepeatedSource
from windtunnel.data.sources import Rows, Source
from windtunnel.interpretability.heads.losses import copy_losses, token_losses
from windtunnel.interpretability.heads.probes import RepeatedTokens
from windtunnel.interpretability.heads.scores import prefix_scores
from windtunnel.laboratory.run import Run
from windtunnel.models.counting import count_parameters
from windtunnel.models.interface import from_module
from windtunnel.models.transformer import Transformer, TransformerConfig
from windtunnel.scaling.repetition.exposure import exposures
from windtunnel.training.configuration import TrainingConfig
from windtunnel.training.loop import train
from windtunnel.training.objectives import next_token

COPIES = 11
"""Times that a passage is said (section 4.1)."""


@dataclass(frozen=True)
class Measured:
    """What a model is measured on.

    Attributes:
        test: Held-out windows.
        other: Windows of other text, or None.
        passages: Passages said 11 times.
        probe: Random tokens repeated, for prefix matching, or None.
    """

    test: Rows
    other: Rows | None
    passages: RepeatedTokens
    probe: RepeatedTokens | None = None


def passages(tokens: Int[Tensor, "row token"], context: int) -> RepeatedTokens:
    """The beginnings of rows, each said 11 times, as long as the context allows."""
    length = context // COPIES
    return RepeatedTokens(tokens[:, :length].repeat(1, COPIES), length, COPIES, bos=False)


def learn(
    shape: TransformerConfig,
    source: Source,
    training: TrainingConfig,
    measured: Measured,
    run: Run,
    weights: int,
    tuning: tuple[Source, TrainingConfig] | None = None,
) -> dict[str, Any]:
    """Train a model and measure it.

    Args:
        shape: Of the model.
        source: What it learns from.
        training: The settings.
        measured: What it is measured on.
        run: Keeps checkpoints and evaluations; its device is used.
        weights: Seed of the initial weights.
        tuning: Other text on which it is trained on afterwards, and how.

    Returns:
        `parameters`; over time `steps`, `test`, `subset` (nan without a subset); at the end `other`, `copies` [copies],
        `first_passage` [position] (probability of each token), `prefix` (nan without a probe), `tuned` (loss on the
        other text after fine-tuning, nan without); `exposures` [canary] where secrets were planted.
    """
    model = Transformer(shape, torch.Generator().manual_seed(weights))
    subset = source.subset(64) if isinstance(source, RepeatedSource) else None

    def evaluate(module: nn.Module, step: int) -> dict[str, float]:
        return {"test": loss(module, measured.test), "subset": loss(module, subset)}

    result = train(model, next_token, source, training, run=run, evaluate=evaluate, device=run.device)
    curves = {name: [float(row[name]) for row in result.evaluations] for name in ("test", "subset")}
    with torch.no_grad():
        said = measured.passages.tokens.to(run.device)
        losses = token_losses(model(said), said)
        copies = copy_losses(losses, measured.passages.length, COPIES).mean(dim=0)
        language = from_module(model)
        prefix = nan if measured.probe is None else float(prefix_scores(language, measured.probe).mean(0).max())
        found = {
            "parameters": count_parameters(shape).non_embedding,
            "steps": [int(row["step"]) for row in result.evaluations],
            **curves,
            "other": loss(model, measured.other),
            "copies": copies.double().cpu().numpy(),
            "first_passage": (-losses[0]).exp().double().cpu().numpy(),
            "prefix": prefix,
            "tuned": nan,
        }
    if isinstance(source, Canaries):
        found["exposures"] = exposures(model, source, measured.test["tokens"][0], seed=weights)
    if tuning is not None:
        tuned = train(copy.deepcopy(model), next_token, *tuning, device=run.device)
        with torch.no_grad():
            found["tuned"] = loss(tuned.model, measured.other)
    return found


nan = float("nan")


@torch.no_grad()
def loss(model: nn.Module, rows: Rows | None) -> float:
    """Mean loss in nats per token; nan where there is nothing to measure."""
    if rows is None:
        return nan
    device = next(model.parameters()).device
    total, count = next_token(model, {name: value.to(device) for name, value in rows.items()})
    return float(total / count)


def settings(
    steps: int,
    batch_size: int,
    learning_rate: float,
    warmup_steps: int,
    evaluations: int,
    run: Run,
    weight_decay: float = 0.0,
) -> TrainingConfig:
    """The settings that all models share: AdamW, without weight decay unless asked, a cosine to a tenth."""
    return TrainingConfig(
        steps=steps,
        batch_size=batch_size,
        learning_rate=learning_rate,
        warmup_steps=min(warmup_steps, steps // 4),
        weight_decay=weight_decay,
        precision="fp32" if run.device == "cpu" else "auto",
        evaluate_every=max(steps // evaluations, 1),
        seed=run.seed,
    )
