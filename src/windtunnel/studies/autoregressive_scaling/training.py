"""Training: one member of a ladder, from its weights to what is measured of it."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor, nn
from torch.nn import functional

from windtunnel.data.images import ImageRows, LabelledImages, digits
from windtunnel.data.sources import Rows
from windtunnel.data.worlds.arithmetic import answers
from windtunnel.laboratory.run import Run
from windtunnel.models.counting import count_parameters, training_flops
from windtunnel.models.interface import from_module
from windtunnel.models.transformer import Transformer
from windtunnel.scaling.information import part_losses
from windtunnel.scaling.material import Material
from windtunnel.scaling.rungs import decoder
from windtunnel.studies.autoregressive_scaling import domains
from windtunnel.training.configuration import TrainingConfig
from windtunnel.training.loop import train
from windtunnel.training.objectives import next_token, token_losses

if TYPE_CHECKING:
    from windtunnel.studies.autoregressive_scaling import Config

Found = list[dict[str, Any]]
"""What was measured of the members of a ladder, from the smallest."""

ON_CURVE = 128
"""Held-out rows measured along the way."""

LANGUAGE_RATE = 2.5
"""Learning rate on bytes of real text, over that of the other domains: as on the ladders of `scaling.rungs`."""

PROBLEMS = 64
"""Problems of each kind and difficulty."""


@dataclass(frozen=True)
class Member:
    """One model to train.

    Attributes:
        domain: Name of its domain, or `classification`.
        width: Of the residual stream.
        layers: Blocks.
        steps: Optimizer steps.
        config: The study's.
        run: Where it keeps everything.
        seed: Shared by the members of a domain, so that they learn from the same rows.
        unique: Rows that are repeated; None: all that are asked for differ.
        material: Real text, of members that learn it.
    """

    domain: str
    width: int
    layers: int
    steps: int
    config: "Config"
    run: Run
    seed: int
    unique: int | None = None
    material: Material | None = field(default=None, hash=False)

    @property
    def parameters(self) -> int:
        """3 · layers · width², and 12 of those that learn real text."""
        return (3 if self.material is None else 12) * self.layers * self.width**2


def settings(member: Member, steps: int, *, scale: float = 1.0) -> TrainingConfig:
    """The paper's recipe: warm-up, then linear decay to a tenth; the peak falls with the width as in Table 5."""
    config = member.config
    return TrainingConfig(
        steps=steps,
        batch_size=config.batch_size,
        learning_rate=scale * config.learning_rate * (32 / member.width) ** 0.75,
        schedule="linear",
        warmup_steps=min(config.warmup_steps, steps // 4),
        final_fraction=0.1,
        weight_decay=0.05 if member.domain == "maths" else 0.0,
        precision="fp32" if member.run.device == "cpu" else "auto",
        evaluate_every=max(1, steps // config.evaluations),
        checkpoint_every=max(steps, 1) if steps <= 5_000 else 5_000,
        log_every=max(1, min(10, steps // 4)),
        seed=member.run.seed,
    )


def train_member(member: Member) -> dict[str, Any]:
    """Train a member and measure it; a finished one is read back."""
    work = _classify if member.domain == "classification" else _generate
    return member.run.stage("measured", lambda: work(member))


def _generate(member: Member) -> dict[str, Any]:
    config, run = member.config, member.run
    if member.material is not None:
        domain = domains.language(member.material, config, member.seed)
    else:
        domain = domains.DOMAINS[member.domain](config, member.seed, run.null)
    source = domain.source if member.unique is None else domains.FirstRows(domain.source, member.unique)
    shape = domains.decoder(domain, member.width, member.layers)
    if member.material is not None:  # the paper's shape for language: attention as wide as the stream, an MLP of 4
        shape = decoder(member.layers, member.width, context=shape.context, vocabulary=shape.vocabulary)
    model = Transformer(shape, torch.Generator().manual_seed(run.seed))
    rows, best = domain.test["tokens"].to(run.device), domain.best
    mask = domain.test["mask"][:, 1:].numpy() if "mask" in domain.test else None
    other = None
    if member.domain == "images" and config.image_source == "pictures":
        other = domains.other_pictures(config, member.seed).to(run.device)
    tests = _all_problems(config, member.seed, run.device) if member.domain == "maths" else {}

    def evaluate(trained: nn.Module, step: int) -> dict[str, Any]:
        found = losses_of(trained, rows[:ON_CURVE])
        measured = {"loss": _expected(found, best, domain.entropy, mask)}
        if other is not None:
            measured["other"] = float(losses_of(trained, other[:ON_CURVE]).mean())
        if tests:
            inside = [right for (_, size), right in _accuracies(trained, tests).items() if size <= config.maths_digits]
            measured["accuracy"] = float(np.mean(inside))
        return measured

    training = settings(member, member.steps, scale=1.0 if member.material is None else LANGUAGE_RATE)
    result = train(model, next_token, source, training, run=run, evaluate=evaluate, device=run.device)
    losses = losses_of(model, rows)
    tokens = config.batch_size * domain.source.context
    found = {
        "width": member.width,
        "layers": member.layers,
        "parameters": member.parameters,
        "unique": float("inf") if member.unique is None else float(member.unique),
        "parameters_total": count_parameters(shape).total,
        "flops_exact_per_token": float(training_flops(shape)),
        "steps": np.array([point["step"] for point in result.evaluations[1:]]),
        "tokens": np.array([point["step"] * tokens for point in result.evaluations[1:]]),
        "curve": np.array([point["loss"] for point in result.evaluations[1:]]),
        "loss": _expected(losses, best, domain.entropy, mask),
        "loss_error": _error(losses, best, mask),
        "position_losses": losses.mean(0),
        "row_losses": losses.sum(1),
        "entropy": domain.entropy,
        "seconds": result.seconds,
    }
    if best is not None:
        found["best_positions"], found["best_rows"] = best.mean(0).numpy(), best.sum(1).numpy()
    if other is not None:
        found["other_curve"] = np.array([point["other"] for point in result.evaluations[1:]])
    if tests:
        found["accuracy_curve"] = np.array([point["accuracy"] for point in result.evaluations[1:]])
        found["accuracies"] = {f"{module} {size}": right for (module, size), right in _accuracies(model, tests).items()}
    if member.domain == "images":
        found["samples"] = sample_images(model, config.samples, run.seed)
    if member.domain in ("text-to-image", "image-to-text"):
        found |= _tell(member, model, rows)
    if member.domain.endswith(", mixed"):
        found |= _told(member, model, rows)
    if member.material is not None:
        half = rows.shape[1] // 2
        found["second_alone"] = losses_of(model, rows[:, half:]).sum(1)
        found["second_after"] = losses[:, half:].sum(1)
    return found


def _told(member: Member, model: Transformer, rows: Tensor) -> dict[str, Any]:
    """Losses with and without what is given, of a model that has seen blanks from the start."""
    direction = member.domain.removesuffix(", mixed")
    world = domains.captioned(direction, member.config, member.seed)  # type: ignore[arg-type]
    return {
        "information": world.information,
        "pointwise": world.pointwise_information(rows.cpu()).numpy(),
        "told": part_losses(model, rows, world.asked).cpu().numpy(),
        "blank": part_losses(model, world.blanked(rows), world.asked).cpu().numpy(),
    }


def _tell(member: Member, model: Transformer, rows: Tensor) -> dict[str, Any]:
    """Losses with and without what is given, before and after fine-tuning on rows half of which are blank."""
    config, run = member.config, member.run
    direction = "text-to-image" if member.domain == "text-to-image" else "image-to-text"
    world = domains.captioned(direction, config, member.seed)  # type: ignore[arg-type]
    found: dict[str, Any] = {
        "information": world.information,
        "pointwise": world.pointwise_information(rows.cpu()).numpy(),
        "told_before": part_losses(model, rows, world.asked).cpu().numpy(),
        "blank_before": part_losses(model, world.blanked(rows), world.asked).cpu().numpy(),
    }
    half = domains.captions(direction, config, member.seed, run.null, blank=0.5)  # type: ignore[arg-type]
    train(model, next_token, half.source, settings(member, config.blank_steps, scale=0.3), run=run.child("blank"))
    found["told"] = part_losses(model, rows, world.asked).cpu().numpy()
    found["blank"] = part_losses(model, world.blanked(rows), world.asked).cpu().numpy()
    asked = world.image_entropy if direction == "text-to-image" else world.caption_entropy
    found["asked_entropy"] = asked
    if direction == "text-to-image":
        told = rows[: config.samples, : world.given.stop].cpu()
        found["captions"] = [world.caption(row[world.given]) for row in told]
        found["real"] = rows[: config.samples, world.asked].cpu().numpy()
        found["samples"] = sample_images(model, len(told), run.seed, prompts=told)[:, -world.pictures.context :]
    return found


def losses_of(model: nn.Module, rows: Int[Tensor, "row token"]) -> np.ndarray:
    """The loss of every token but the first [row, position], in nats, without touching the generator."""
    model.eval()
    with torch.no_grad():
        parts = [token_losses(model(part[:, :-1]), part[:, 1:]).double().cpu() for part in torch.split(rows, 128)]
    return torch.cat(parts).numpy()


def _expected(losses: np.ndarray, best: Tensor | None, entropy: float | None, mask: np.ndarray | None) -> float:
    """The mean loss; where the best possible loss of each row is known, entropy plus the mean excess over it."""
    if mask is not None:
        return float(losses[mask[: len(losses)]].mean())
    if best is None or entropy is None:
        return float(losses.mean())
    return entropy + float((losses - best.numpy()[: len(losses)]).mean())


def _error(losses: np.ndarray, best: Tensor | None, mask: np.ndarray | None) -> float:
    """Standard error of `_expected` over rows."""
    excess = losses if best is None else losses - best.numpy()
    by_row = excess.mean(1) if mask is None else (excess * mask).sum(1) / mask.sum(1)
    return float(by_row.std(ddof=1) / len(by_row) ** 0.5)


def sample_images(
    model: Transformer, count: int, seed: int, prompts: Int[Tensor, "row token"] | None = None
) -> np.ndarray:
    """Images sampled from a model [image, token], in raster order.

    Args:
        model: Trained on rows that begin with the token after the last grey level.
        count: How many.
        seed: Decides them.
        prompts: What each begins with, captions say; by default the token that begins a row.
    """
    begun = [[model.config.vocabulary - 1]] * count if prompts is None else prompts.tolist()
    new = model.config.context + 1 - len(begun[0])
    found = from_module(model).generate(begun, max_new_tokens=new, seed=seed, batch_size=count)
    return np.array([sample.token_ids for sample in found])


def _all_problems(config: "Config", seed: int, device: str) -> dict[tuple[str, int], Tensor]:
    """Problems of every kind and every number of digits, up to twice those trained on."""
    return {
        (module, size): domains.problems(config, module, size, PROBLEMS, seed).to(device)
        for module in config.maths_modules
        for size in range(1, 2 * config.maths_digits + 1)
    }


@torch.no_grad()
def _accuracies(model: nn.Module, tests: dict[tuple[str, int], Tensor]) -> dict[tuple[str, int], float]:
    """Share of problems whose whole answer is the model's first choice, character by character."""
    model.eval()
    found = {}
    for key, rows in tests.items():
        wrong = (model(rows[:, :-1]).argmax(-1) != rows[:, 1:]) & answers(rows)[:, 1:]
        found[key] = float((~wrong.any(dim=1)).double().mean())
    return found


# --- classification ------------------------------------------------------------------------------------------


class Classifier(nn.Module):
    """A decoder whose last layer is averaged over positions and read by a linear head (the paper's Section 3.3)."""

    def __init__(self, decoder: Transformer, classes: int, seed: int) -> None:
        super().__init__()
        self.decoder = decoder
        self.head = nn.Linear(decoder.config.width, classes)
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            self.head.weight.normal_(0.0, decoder.config.width**-0.5, generator=generator)
            self.head.bias.zero_()

    def forward(self, tokens: Int[Tensor, "row token"]) -> Tensor:
        """Logits of the classes."""
        logits: Tensor = self.head(self.decoder.features(tokens[:, :-1]).mean(dim=1))
        return logits


def classification_loss(model: nn.Module, batch: Rows) -> tuple[Tensor, Tensor]:
    """Summed cross-entropy of the classes, and the number of rows."""
    loss = functional.cross_entropy(model(batch["tokens"]), batch["labels"], reduction="sum")
    return loss, torch.as_tensor(len(batch["labels"]))


class LabelledRows(ImageRows):
    """Rows of images with their labels."""

    def __init__(self, images: LabelledImages, seed: int) -> None:
        super().__init__(images, seed)
        self._labels = images.labels

    def rows(self, start: int, count: int) -> Rows:
        """Rows `start` to `start + count - 1`."""
        places = torch.tensor([self._place(row) for row in range(start, start + count)])
        return {"tokens": self._rows[places], "labels": self._labels[places]}


def _classify(member: Member) -> dict[str, Any]:
    """Fine-tune on the same few labels from a generative model and from the weights it began with.

    In the null control there is no generative training, so that the two are one.
    """
    config, run = member.config, member.run
    learned, test = digits()
    few = LabelledImages(learned.pixels[: config.labelled], learned.labels[: config.labelled], learned.levels, 8)
    shape = domains.shape(learned.levels + 1, 64, member.width, member.layers, "rotary")
    pretrained = Transformer(shape, torch.Generator().manual_seed(run.seed))
    if not run.null:
        rows = test.rows().to(run.device)

        def evaluate(trained: nn.Module, step: int) -> dict[str, Any]:
            return {"loss": float(losses_of(trained, rows[:ON_CURVE]).mean())}

        source = ImageRows(learned, member.seed)
        result = train(
            pretrained,
            next_token,
            source,
            settings(member, member.steps),
            run=run.child("generative"),
            evaluate=evaluate,
            device=run.device,
        )
        curve = np.array([[point["step"], point["loss"]] for point in result.evaluations])
    else:
        curve = np.zeros((0, 2))
    scratch = Transformer(shape, torch.Generator().manual_seed(run.seed))
    found: dict[str, Any] = {"curve": curve, "samples": sample_images(pretrained, config.samples, run.seed)}
    found["real"] = test.pixels[: config.samples].numpy()
    for name, begun in (("pretrained", pretrained), ("scratch", scratch)):
        model = Classifier(begun, 10, run.seed)
        training = settings(member, config.classify_steps, scale=0.5)
        train(
            model,
            classification_loss,
            LabelledRows(few, member.seed),
            training,
            run=run.child(name),
            device=run.device,
        )
        with torch.no_grad():
            found[name] = (model(test.rows().to(run.device)).argmax(1).cpu() == test.labels).double().numpy()
    return found


def column(ladder: Found, name: str) -> np.ndarray:
    """One number of every member."""
    return np.array([one[name] for one in ladder], dtype=np.float64)
