"""Hundreds of tiny independent models trained as one tensor program, with gradients written by hand.

The toy models of Elhage et al. (2022): x of n features is squeezed through m hidden dimensions and recovered.
A model's trajectory depends on its own seed, data and settings, and not on the bank it is trained in.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from windtunnel.data.sources import derived_seed
from windtunnel.data.worlds.sparse_features import SparseFeatures
from windtunnel.training.schedules import Schedule, multiplier

Kind = Literal["linear", "relu_output", "relu_hidden", "absolute"]
"""`linear`: x' = WᵀWx + b (in the paper's column convention); `relu_output`: ReLU of that; `relu_hidden`: also a ReLU
on the hidden layer; `absolute`: an untied network that computes |x|."""


@dataclass
class Bank:
    """The weights of k models; W has one row per feature, as in the authors' code.

    Attributes:
        kind: The architecture.
        encoder: [model, feature, hidden].
        bias: [model, feature].
        decoder: [model, hidden, feature] of the untied `absolute` network; None where the decoder is the encoder's
            transpose.
    """

    kind: Kind
    encoder: Float[Tensor, "model feature hidden"]
    bias: Float[Tensor, "model feature"]
    decoder: Float[Tensor, "model hidden feature"] | None = None

    @property
    def parameters(self) -> list[Tensor]:
        """All weights."""
        return [self.encoder, self.bias] + ([] if self.decoder is None else [self.decoder])

    def select(self, models: Tensor | slice) -> "Bank":
        """Some of the models."""
        decoder = None if self.decoder is None else self.decoder[models]
        return Bank(self.kind, self.encoder[models], self.bias[models], decoder)

    def __call__(self, x: Float[Tensor, "model sample feature"]) -> Float[Tensor, "model sample feature"]:
        """The models' outputs."""
        return self.forward(x)[2]

    def forward(self, x: Float[Tensor, "model sample feature"]) -> tuple[Tensor, Tensor, Tensor]:
        """Hidden activations, output before its ReLU, and output."""
        hidden = x @ self.encoder
        if self.kind in ("relu_hidden", "absolute"):
            hidden = hidden.clamp_min_(0)
        decoder = self.encoder.transpose(1, 2) if self.decoder is None else self.decoder
        before = torch.baddbmm(self.bias[:, None, :], hidden, decoder)
        return hidden, before, before if self.kind == "linear" else before.clamp_min(0)

    def target(self, x: Float[Tensor, "model sample feature"]) -> Float[Tensor, "model sample feature"]:
        """What the output should be."""
        return x.abs() if self.kind == "absolute" else x

    def losses(
        self, x: Float[Tensor, "model sample feature"], importance: Float[Tensor, "model feature"]
    ) -> Float[Tensor, " model"]:
        """Σ_i I_i (x_i − x'_i)² of each model, mean over samples (the paper's loss)."""
        error: Tensor = (self(x) - self.target(x)).square() * importance[:, None, :]
        by_model: Tensor = error.mean(1).sum(1)
        return by_model

    def set_gradients(
        self, x: Float[Tensor, "model sample feature"], importance: Float[Tensor, "model feature"]
    ) -> None:
        """Write the gradient of the mean over samples and features of I (x − x')² into each weight's `.grad`."""
        hidden, before, output = self.forward(x)
        error = output.sub_(self.target(x)) if self.kind != "linear" else before - x
        error.mul_(importance[:, None, :] * (2.0 / (x.shape[1] * x.shape[2])))
        if self.kind != "linear":
            error.mul_(before > 0)
        self.bias.grad = error.sum(1)
        decoder = self.encoder.transpose(1, 2) if self.decoder is None else self.decoder
        back = error @ decoder.transpose(1, 2)
        if self.kind in ("relu_hidden", "absolute"):
            back.mul_(hidden > 0)
        into = x.transpose(1, 2) @ back
        if self.decoder is None:
            self.encoder.grad = into.baddbmm_(error.transpose(1, 2), hidden)
        else:
            self.encoder.grad = into
            self.decoder.grad = hidden.transpose(1, 2) @ error


def initialise(kind: Kind, seeds: Sequence[int], features: int, hidden: int) -> Bank:
    """Xavier-normal weights, each model from its own seed; biases 0."""
    scale = (2 / (features + hidden)) ** 0.5

    def draw(seed: int, part: str, *shape: int) -> Tensor:
        generator = torch.Generator().manual_seed(derived_seed(seed, part))
        drawn: Tensor = torch.randn(shape, generator=generator) * scale
        return drawn

    encoder = torch.stack([draw(seed, "encoder", features, hidden) for seed in seeds])
    decoder = None
    if kind == "absolute":
        decoder = torch.stack([draw(seed, "decoder", hidden, features) for seed in seeds])
    return Bank(kind, encoder, torch.zeros(len(seeds), features), decoder)


@dataclass
class TrainedBank:
    """A bank after training.

    Attributes:
        bank: The models.
        losses: Σ_i I_i (x_i − x'_i)² of each model on fresh samples.
        snapshots: The models at the steps asked for.
    """

    bank: Bank
    losses: Float[Tensor, " model"]
    snapshots: dict[int, Bank] = field(default_factory=dict)

    def best(self, groups: int) -> Float[Tensor, " group"]:
        """The index of the model with the least loss in each of `groups` consecutive groups of equal size."""
        by_group = self.losses.view(groups, -1)
        return by_group.argmin(1) + torch.arange(groups) * by_group.shape[1]


@torch.no_grad()
def train_bank(
    kind: Kind,
    data: SparseFeatures,
    hidden: int,
    *,
    importance: Float[Tensor, "model feature"],
    seeds: Sequence[int],
    steps: int = 10_000,
    batch: int = 1_024,
    learning_rate: float = 1e-3,
    weight_decay: float = 0.01,
    schedule: Schedule = "constant",
    snapshots: Sequence[int] = (),
    evaluation_samples: int = 16_384,
    progress: Callable[[int], None] | None = None,
    disturb: Callable[[Bank, Tensor], Tensor] | None = None,
) -> TrainedBank:
    """Train every model of a bank; defaults are the authors' (AdamW, 10,000 steps of 1,024 samples).

    Args:
        kind: Architecture.
        data: Features of each model.
        hidden: Hidden dimensions m.
        importance: Weight of each feature's error, by model.
        seeds: One per model: decides its initial weights and its data.
        steps: Optimizer steps; 0 leaves the initial weights (the untrained null).
        batch: Samples per model and step.
        learning_rate: Peak.
        weight_decay: AdamW's, on weights and biases as in the authors' code.
        schedule: Of the learning rate.
        snapshots: Steps after which a copy of the bank is kept.
        evaluation_samples: Fresh samples for the final losses, drawn alike for all models.
        progress: Told the number of steps taken, now and then.
        disturb: Changes each batch before the step (adversarial training): from the bank and a batch to the inputs.
    """
    bank = initialise(kind, seeds, data.features, hidden)
    generators = [torch.Generator().manual_seed(derived_seed(seed, "data")) for seed in seeds]
    optimizer = torch.optim.AdamW(bank.parameters, lr=learning_rate, weight_decay=weight_decay, fused=True)
    kept: dict[int, Bank] = {}
    x = torch.empty(data.models, batch, data.features)
    for step in range(steps + 1):
        if step in snapshots:
            kept[step] = Bank(kind, *(value.clone() for value in bank.parameters))
        if step == steps:
            break
        data.draw(batch, generators, out=x)
        bank.set_gradients(x if disturb is None else disturb(bank, x), importance)
        optimizer.param_groups[0]["lr"] = learning_rate * multiplier(schedule, step, steps=steps)
        optimizer.step()
        if progress is not None and step % 50 == 49:
            progress(step + 1)
    # The same draws for all models: their losses differ by what they learned and not by luck.
    fresh = [torch.Generator().manual_seed(derived_seed("evaluation")) for _ in seeds]
    chunks = [data.draw(1_024, fresh) for _ in range(max(evaluation_samples // 1_024, 1))]
    losses = torch.stack([bank.losses(chunk, importance) for chunk in chunks]).mean(0)
    return TrainedBank(bank, losses, kept)
