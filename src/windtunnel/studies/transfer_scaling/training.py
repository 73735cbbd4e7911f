"""How every model of the study is trained: one rule on the target, whatever it starts from."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor, nn

from windtunnel.data.finite import FiniteRows
from windtunnel.laboratory.run import Run
from windtunnel.models.counting import count_parameters, training_flops
from windtunnel.models.transformer import Transformer, TransformerConfig
from windtunnel.training.configuration import TrainingConfig
from windtunnel.training.early_stopping import Stopping, train_to_best
from windtunnel.training.loop import train
from windtunnel.training.objectives import next_token

if TYPE_CHECKING:
    from windtunnel.studies.transfer_scaling import Config

Rows = Int[Tensor, "row token"]
HeldOut = tuple[Rows, Rows]
"""Rows that choose the stop, and rows that are reported."""


def parameters_of(shape: TransformerConfig) -> int:
    """Non-embedding parameters N."""
    return count_parameters(shape).non_embedding


def pretrained(shape: TransformerConfig, rows: Rows, config: "Config", run: Run) -> tuple[dict[str, Tensor], float]:
    """The weights of a model that has read all rows once, and the FLOPs that took; kept in the run's directory."""
    model = Transformer(shape, torch.Generator().manual_seed(run.seed_for("weights")))
    steps = max(len(rows) // config.batch_size, 1)
    training = TrainingConfig(
        steps=steps,
        batch_size=config.batch_size,
        learning_rate=config.pretraining_rate,
        schedule="cosine",
        warmup_steps=min(100, steps // 10),
        precision="fp32" if run.device == "cpu" else "auto",
        checkpoint_every=max(steps, 1),
        log_every=max(steps // 20, 1),
        seed=run.seed,
    )
    source = FiniteRows(rows, shape.vocabulary, run.seed_for("order"))
    train(model, next_token, source, training, run=run, device=run.device)
    weights = {name: value.detach().cpu() for name, value in model.state_dict().items()}
    return weights, float(training_flops(shape)) * steps * config.batch_size * shape.context


def on_target(
    shape: TransformerConfig,
    weights: dict[str, Tensor] | None,
    rows: Rows,
    held_out: HeldOut,
    config: "Config",
    *,
    steps: int,
    seed: int,
    device: str,
    prepare: Callable[[nn.Module], Any] | None = None,
) -> dict[str, Any]:
    """Train on a data set of the target to the best stop, from given weights or from new ones.

    Args:
        shape: The model's.
        weights: What it starts from; None: new weights of the seed.
        rows: The data set.
        held_out: Rows that choose the stop and the learning rate, and rows that are reported.
        config: The study's.
        steps: Most steps.
        seed: Decides new weights and the order of rows.
        device: Torch device.
        prepare: Done to the model before training (freezing, say).
    """
    best: dict[str, Any] | None = None
    chooses = np.inf
    for rate in config.learning_rates:
        model = Transformer(shape, torch.Generator().manual_seed(seed))
        if weights is not None:
            model.load_state_dict(weights)
        if prepare is not None:
            prepare(model)
        training = TrainingConfig(
            steps=steps,
            batch_size=config.batch_size,
            learning_rate=rate,
            schedule="constant",
            warmup_steps=config.warmup_steps,
            precision="fp32" if device == "cpu" else "auto",
            log_every=100,
            seed=seed,
        )
        found = train_to_best(
            model,
            next_token,
            FiniteRows(rows, shape.vocabulary, seed),
            training,
            lambda trained: (mean_loss(trained, held_out[0], device), mean_loss(trained, held_out[1], device)),
            rule=Stopping(patience=config.patience),
            device=device,
        )
        least = min(measured for _, measured, _ in found.path)
        if least < chooses:
            chooses = least
            tokens = config.batch_size * shape.context
            path = np.array(found.path)
            best = {
                "data": len(rows) * shape.context,
                "loss": found.loss,
                "step": found.step,
                "epochs": found.step * config.batch_size / len(rows),
                "ended": found.ended,
                "learning_rate": rate,
                "flops": path[:, 0] * tokens * training_flops(shape),
                "losses": path[:, 2],
            }
    assert best is not None
    return best


@torch.no_grad()
def mean_loss(model: nn.Module, rows: Rows, device: str) -> float:
    """Nats per token."""
    total, count = next_token(model, {"tokens": rows.to(device)})
    return float(total / count)


def subset(pool: Rows, tokens: int, context: int, seed: int) -> Rows:
    """A data set of so many tokens; the smaller of two of one seed is part of the larger."""
    order = torch.randperm(len(pool), generator=torch.Generator().manual_seed(seed))
    return pool[order[: max(tokens // context, 1)]].long()


def any_tokens(rows: Rows, vocabulary: int, seed: int) -> Rows:
    """The null control's pre-training: as many rows of tokens drawn evenly, in which there is nothing to learn."""
    return torch.randint(vocabulary, rows.shape, generator=torch.Generator().manual_seed(seed))
