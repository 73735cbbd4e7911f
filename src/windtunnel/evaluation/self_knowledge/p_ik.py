"""P(IK), "I know": a value head at the last token of a question that says whether the model will answer it rightly.

Two ways (Kadavath et al., 2022, Section 5): a logistic probe of a frozen model's residual stream, and training the
whole model under the head. Both learn from the share of right answers; thirty hard labels of one question have the same
loss as one soft label of their mean.
"""

from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from windtunnel.data.sources import Rows, derived_seed
from windtunnel.inference.batches import left_padded
from windtunnel.laboratory.errors import DataError, Unsupported, UsageError
from windtunnel.laboratory.run import Run
from windtunnel.statistics.intervals import Floats
from windtunnel.training.configuration import TrainingConfig
from windtunnel.training.loop import train

if TYPE_CHECKING:
    from collections.abc import Iterator

    from windtunnel.models.interface import LanguageModel

PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""Strengths of the probe's squared penalty that are compared on a part of its training questions."""


def soft_cross_entropy(
    logits: Float[Tensor, " question"], shares: Float[Tensor, " question"]
) -> Float[Tensor, " question"]:
    """−(k/n) ln σ(z) − (1 − k/n) ln(1 − σ(z)): the mean loss of n hard labels of which k are IK."""
    return functional.binary_cross_entropy_with_logits(logits, shares, reduction="none")


def last_tokens(
    model: "LanguageModel", prompts: Sequence[str | Sequence[int]], sites: Sequence[str], *, batch_size: int = 32
) -> dict[str, Float[Tensor, "question width"]]:
    """Activations at the last token of each prompt, by site.

    Args:
        model: A model whose inside can be read.
        prompts: Texts or token ids.
        sites: Names as in `models.sites`, such as `blocks.5.hook_resid_post`.
        batch_size: Prompts read together.

    Raises:
        Unsupported: The model is a black box.
        UsageError: An unknown site, or a prompt without tokens.
    """
    rows = [_ids(model, prompt) for prompt in prompts]
    device = _white_box(model).device
    order = sorted(range(len(rows)), key=lambda row: len(rows[row]))
    found: dict[str, list[Tensor]] = {site: [] for site in sites}
    with torch.no_grad():
        for start in range(0, len(order), batch_size):
            tokens, mask = left_padded([rows[row] for row in order[start : start + batch_size]], device)
            with model.record(*sites) as activations:
                model(tokens, mask)
            for site in sites:
                found[site].append(activations[site][:, -1].float().cpu())
    back = torch.empty(len(order), dtype=torch.long)
    back[torch.tensor(order)] = torch.arange(len(order))
    return {site: torch.cat(parts)[back] for site, parts in found.items()}


@dataclass(frozen=True)
class Probe:
    """A linear value head over standardised activations: P(IK) = σ(w·(x − mean)/scale + b).

    Attributes:
        mean: Of the activations it was fitted on, [width].
        scale: Their standard deviation, [width].
        weight: [width].
        bias: The logit of an average question.
        penalty: The squared penalty that was chosen.
    """

    mean: Floats
    scale: Floats
    weight: Floats
    bias: float
    penalty: float

    def __call__(self, activations: Float[Tensor, "question width"] | Floats) -> Floats:
        """P(IK) of each question."""
        inputs = (np.asarray(activations, dtype=np.float64) - self.mean) / self.scale
        return np.asarray(1 / (1 + np.exp(-np.clip(inputs @ self.weight + self.bias, -500, 500))))


def fit_probe(
    activations: Float[Tensor, "question width"] | Floats,
    shares: Sequence[float] | Floats,
    *,
    seed: int = 0,
    penalties: Sequence[float] = PENALTIES,
) -> Probe:
    """A logistic probe by soft cross-entropy, its penalty chosen on a fifth of the questions and refitted on all.

    Args:
        activations: At the last token of each question.
        shares: Share of right answers of each, 0 to 1.
        seed: Decides the fifth.
        penalties: Candidates.

    Raises:
        DataError: Fewer than ten questions, or shares outside 0 to 1.
    """
    inputs, targets = np.asarray(activations, dtype=np.float64), np.asarray(shares, dtype=np.float64)
    if len(inputs) != len(targets) or len(inputs) < 10:
        raise DataError(f"A probe needs at least ten questions with one share each, not {len(inputs)}, {len(targets)}.")
    if not ((targets >= 0) & (targets <= 1)).all():
        raise DataError("A share of right answers is from 0 to 1.")
    mean, scale = inputs.mean(axis=0), inputs.std(axis=0)
    scale = np.where(scale > 1e-8, scale, 1.0)
    inputs = (inputs - mean) / scale
    order = np.random.default_rng(seed).permutation(len(inputs))
    held, kept = order[: len(order) // 5], order[len(order) // 5 :]
    losses = []
    for penalty in penalties:
        weight, bias = _logistic(inputs[kept], targets[kept], penalty)
        losses.append(_loss(inputs[held] @ weight + bias, targets[held]))
    best = penalties[int(np.argmin(losses))]
    weight, bias = _logistic(inputs, targets, best)
    return Probe(mean, scale, weight, bias, best)


def _loss(logits: Floats, targets: Floats) -> float:
    return float((np.logaddexp(0, logits) - targets * logits).mean())


def _logistic(inputs: Floats, targets: Floats, penalty: float) -> tuple[Floats, float]:
    """Soft logistic regression: convex, so that L-BFGS ends at the one minimum."""
    from scipy.optimize import minimize

    base = np.clip(targets.mean(), 1e-4, 1 - 1e-4)

    def objective(parameters: Floats) -> tuple[float, Any]:
        weight, bias = parameters[:-1], parameters[-1]
        logits = inputs @ weight + bias
        slope = (1 / (1 + np.exp(-np.clip(logits, -500, 500))) - targets) / len(targets)
        value = _loss(logits, targets) + penalty * float(weight @ weight) / 2
        return value, np.r_[inputs.T @ slope + penalty * weight, slope.sum()]

    start = np.r_[np.zeros(inputs.shape[1]), np.log(base / (1 - base))]
    found = minimize(objective, start, jac=True, method="L-BFGS-B", options={"maxiter": 500})
    return found.x[:-1], float(found.x[-1])


# --- training the whole model ----------------------------------------------------------------------------------


class ValueHead(nn.Module):
    """A model with a linear head on what its unembedding reads, at the last token."""

    SITE = "ln_final.hook_out"

    def __init__(self, model: "LanguageModel", generator: torch.Generator) -> None:
        super().__init__()
        self.trunk = _white_box(model).module
        self.head = nn.Linear(model.shape.width, 1)
        with torch.no_grad():
            self.head.weight.normal_(0.0, 0.02, generator=generator)
            self.head.bias.zero_()
        self.head.to(model.device)
        self._model = (model,)  # a tuple, that its module is not registered twice

    def forward(self, tokens: Tensor, mask: Tensor | None) -> Float[Tensor, " question"]:
        """Logits of P(IK); tokens and mask [question, position], padded on the left."""
        (model,) = self._model
        with model.record(self.SITE) as activations:
            model(tokens, mask)
        logits: Tensor = self.head(activations[self.SITE][:, -1].float())[:, 0]
        return logits


class _Questions:
    """Questions in another order each epoch, padded on the left."""

    def __init__(self, rows: list[list[int]], shares: Floats, seed: int, vocabulary: int) -> None:
        self.tokens, mask = left_padded(rows, torch.device("cpu"))
        self.mask = torch.ones_like(self.tokens, dtype=torch.bool) if mask is None else mask
        self.shares = torch.tensor(shares, dtype=torch.float32)
        self.seed = seed
        self.vocabulary, self.context = vocabulary, self.tokens.shape[1]
        self._order: tuple[int, Tensor] = (-1, torch.empty(0))

    def rows(self, start: int, count: int) -> Rows:
        """Questions `start` to `start + count - 1` of the endless order."""
        places = torch.tensor([self._place(row) for row in range(start, start + count)])
        return {"tokens": self.tokens[places], "mask": self.mask[places], "shares": self.shares[places]}

    def _place(self, row: int) -> int:
        epoch, place = divmod(row, len(self.tokens))
        if self._order[0] != epoch:
            generator = torch.Generator().manual_seed(derived_seed(self.seed, epoch))
            self._order = (epoch, torch.randperm(len(self.tokens), generator=generator))
        return int(self._order[1][place])


def _objective(head: nn.Module, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    losses = soft_cross_entropy(head(batch["tokens"], batch["mask"]), batch["shares"])
    return losses.sum(), torch.tensor(float(len(losses)), device=losses.device)


def fine_tune(
    model: "LanguageModel",
    prompts: Sequence[str | Sequence[int]],
    shares: Sequence[float] | Floats,
    training: TrainingConfig,
    *,
    seed: int = 0,
    run: Run | None = None,
) -> ValueHead:
    """Train a model in place, and a new head on it, to say the share of right answers at the last token of a prompt.

    The paper's rate is a third of pre-training's (its text reads "13"). The model loses its own answers on the way:
    sample and label before, or load it again afterwards.

    Args:
        model: A model whose weights can be trained.
        prompts: The very prompts with which the labels were sampled.
        shares: Share of right answers of each.
        training: Steps, batch and rate.
        seed: Decides the head's first weights and the order of questions.
        run: Where to keep checkpoints and metrics.

    Raises:
        Unsupported: The model is a black box.
        DataError: Not one share per prompt, or shares outside 0 to 1.
    """
    targets = np.asarray(shares, dtype=np.float64)
    if len(targets) != len(prompts) or not len(targets) or not ((targets >= 0) & (targets <= 1)).all():
        raise DataError(f"{len(prompts)} prompts need as many shares from 0 to 1.")
    head = ValueHead(model, torch.Generator().manual_seed(seed))
    rows = [_ids(model, prompt) for prompt in prompts]
    source = _Questions(rows, targets, seed, model.shape.vocabulary)
    train(head, _objective, source, training, run=run, device=str(model.device))
    return head


def predict(
    head: ValueHead, model: "LanguageModel", prompts: Sequence[str | Sequence[int]], *, batch_size: int = 64
) -> Floats:
    """P(IK) of each prompt by a fine-tuned head."""
    found = []
    rows = [_ids(model, prompt) for prompt in prompts]
    with torch.no_grad(), _evaluating(head):
        for start in range(0, len(rows), batch_size):
            tokens, mask = left_padded(rows[start : start + batch_size], model.device)
            found.append(torch.sigmoid(head(tokens, mask).double()).cpu().numpy())
    return np.concatenate(found)


@contextmanager
def _evaluating(module: nn.Module) -> "Iterator[None]":
    before = module.training
    module.eval()
    try:
        yield
    finally:
        module.train(before)


def _ids(model: "LanguageModel", prompt: str | Sequence[int]) -> list[int]:
    ids = _white_box(model).tokenize(prompt) if isinstance(prompt, str) else [int(token) for token in prompt]
    if not ids:
        raise UsageError("A prompt has no token to read at; begin it with some text.")
    return ids


def _white_box(model: "LanguageModel") -> Any:
    try:
        module = model.module
    except (Unsupported, AttributeError) as error:
        raise Unsupported(
            f"P(IK) reads the inside of a model, and {model.name} is a black box; load its weights here, or use "
            "P(True) and the baselines, which need no inside."
        ) from error
    if module is None:
        raise Unsupported(f"P(IK) reads the inside of a model, and {model.name} has none to read here.")
    return model
