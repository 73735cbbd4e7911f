"""A model, a source and settings small enough for tests of the training loop."""

import torch

from windtunnel.data.worlds.copying import PastedSegments
from windtunnel.models.transformer import Transformer, TransformerConfig
from windtunnel.training.configuration import TrainingConfig

CONFIG = TrainingConfig(
    steps=12,
    batch_size=8,
    learning_rate=3e-3,
    warmup_steps=3,
    precision="fp32",
    evaluate_every=4,
    checkpoint_every=5,
    log_every=1,
    snapshots=(0, 6, 12),
    seed=0,
)


def model(**changes):
    settings = {"layers": 1, "width": 16, "heads": 2, "vocabulary": 16, "context": 16, **changes}
    return Transformer(TransformerConfig(**settings), torch.Generator().manual_seed(0))


def source(seed=0):
    return PastedSegments(16, 16, seed, spans=(3, 6))


def evaluate(trained, step):
    with torch.no_grad():
        logits = trained(source(1).rows(0, 4)["tokens"][:, :-1])
    return {"mean": float(logits.mean()), "logits": logits}
