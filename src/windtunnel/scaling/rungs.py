"""What a ladder declares: rungs, each one run with its settings, and the models that they hold."""

import hashlib
from collections.abc import Sequence
from typing import Any, Self

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import nn

from windtunnel.models.configuration import TransformerConfig
from windtunnel.models.counting import ParameterCount, count_parameters, training_flops
from windtunnel.models.recurrent import Recurrent, RecurrentConfig, count_recurrent, recurrent_flops
from windtunnel.models.transformer import Transformer
from windtunnel.models.universal import Universal, UniversalConfig, count_universal, universal_flops
from windtunnel.training.configuration import TrainingConfig
from windtunnel.training.schedules import Schedule

Model = TransformerConfig | RecurrentConfig | UniversalConfig
"""The shape of what a rung trains."""

LADDER: tuple[tuple[int, int], ...] = ((1, 8), (2, 16), (2, 32), (3, 48), (4, 64), (4, 96), (6, 128), (6, 192))
"""Layers and width of the sizes that two cores can train, from 768 to 2.65 million non-embedding parameters."""


def default_learning_rate(parameters: float) -> float:
    """Peak AdamW learning rate of a small model: 0.015 at 10^4 non-embedding parameters, falling as N^-0.3.

    Chosen from few trials on bytes of English (see the page on ladders); never above 0.02. Porian et al. (2024) find
    3.7 N^-0.36 for models a thousand times larger.
    """
    return float(min(0.02, 0.015 * (parameters / 1e4) ** -0.3))


class Rung(BaseModel):
    """One run of a ladder: a model, how long it is trained, and with what settings."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: Model
    tokens: int = Field(ge=1, description="predicted in training, rounded to whole steps")
    batch: int = Field(ge=1, description="rows per step")
    learning_rate: float = Field(gt=0, description="peak")
    warmup: int = Field(ge=0, description="tokens of linear warm-up")
    schedule: Schedule = "cosine"
    horizon: int | None = Field(None, ge=1, description="tokens the schedule is laid out for; None: those trained")
    final_fraction: float = Field(0.1, ge=0, le=1, description="share of the peak left at the end of the schedule")
    unique: int | None = Field(None, ge=2, description="tokens of text that are repeated; None: all there are")
    evaluations: int = Field(16, ge=1, description="points of the learning curve")
    seed: int = Field(0, ge=0, description="of weights and order")

    @classmethod
    def of(cls, model: Model, tokens: float, *, batch: int = 16, **changes: Any) -> Self:
        """A rung with the house rules: the learning rate by size, and a warm-up of N tokens, at most a tenth of all.

        Warm-up tied to size is one of the three causes of the difference between Kaplan's and Chinchilla's exponents
        (Porian et al., 2024; arXiv:2406.19146).
        """
        parameters = sizes(model).non_embedding
        settings = {
            "learning_rate": default_learning_rate(parameters),
            "warmup": round(min(parameters, tokens / 10)),
            **changes,
        }
        return cls(model=model, tokens=round(tokens), batch=batch, **settings)

    @property
    def step_tokens(self) -> int:
        """Tokens predicted per step: the batch in tokens."""
        return self.batch * self.model.context

    @property
    def steps(self) -> int:
        """Optimizer steps."""
        return max(1, round(self.tokens / self.step_tokens))

    @property
    def name(self) -> str:
        """Readable, and different for different rungs: equal rungs of two experiments are trained once."""
        digest = hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:8]
        return f"{kind(self.model)}-{self.model.layers}x{self.model.width}-{self.steps}-steps-{digest}"

    def training(self, device: str) -> TrainingConfig:
        """Settings of the loop."""
        laid_out = self.steps if self.horizon is None else max(1, round(self.horizon / self.step_tokens))
        return TrainingConfig(
            steps=self.steps,
            schedule_steps=None if laid_out == self.steps else laid_out,
            batch_size=self.batch,
            learning_rate=self.learning_rate,
            schedule=self.schedule,
            warmup_steps=round(self.warmup / self.step_tokens),
            final_fraction=self.final_fraction,
            betas=(0.9, 0.98),
            weight_decay=0.01,
            precision="fp32" if device == "cpu" else "auto",
            evaluate_every=max(1, self.steps // self.evaluations),
            checkpoint_every=max(500, self.steps),
            log_every=max(10, self.steps // 20),
            seed=self.seed,
        )


def sizes(model: Model) -> ParameterCount:
    """Parameters of any kind of model."""
    if isinstance(model, TransformerConfig):
        return count_parameters(model)
    return count_recurrent(model) if isinstance(model, RecurrentConfig) else count_universal(model)


def flops_per_token(model: Model) -> int:
    """Exact FLOPs of training per token of any kind of model."""
    if isinstance(model, TransformerConfig):
        return training_flops(model)
    return 3 * recurrent_flops(model) if isinstance(model, RecurrentConfig) else universal_flops(model)


def build(model: Model, seed: int) -> nn.Module:
    """The untrained model."""
    generator = torch.Generator().manual_seed(seed)
    if isinstance(model, TransformerConfig):
        return Transformer(model, generator)
    return Recurrent(model, generator) if isinstance(model, RecurrentConfig) else Universal(model, generator)


def kind(model: Model) -> str:
    """`transformer`, `lstm` or `universal`."""
    names: dict[type[Model], str] = {TransformerConfig: "transformer", RecurrentConfig: "lstm"}
    return names.get(type(model), "universal")


def decoder(
    layers: int, width: int, *, context: int = 64, vocabulary: int = 259, heads: int | None = None, **options: Any
) -> TransformerConfig:
    """A decoder of a ladder: rotary positions, heads 16 wide, embeddings that begin at 0.3, unless said otherwise.

    At these sizes learned positions and small embeddings cost a tenth of a nat in short runs.
    """
    heads = max(1, width // 16) if heads is None else heads
    settings = {"positions": "rotary", "embedding_scale": 0.3, **options}
    return TransformerConfig(
        vocabulary=vocabulary, context=context, layers=layers, width=width, heads=heads, **settings
    )


def isoflop_rungs(
    models: Sequence[TransformerConfig], budgets: Sequence[float], *, batch: int = 16, **changes: Any
) -> list[Rung]:
    """Every model at every budget of exact training FLOPs: the tokens are what the budget buys."""
    return [
        Rung.of(model, budget / flops_per_token(model), batch=batch, **changes)
        for budget in budgets
        for model in models
    ]
