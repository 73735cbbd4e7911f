"""Section 3 on lettered questions with planted doubt: formats, "none of the above", reward, and one temperature."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from windtunnel.data.worlds.lettered_choices import OPTIONS, LetteredChoices, reordered, without_the_last
from windtunnel.evaluation.self_knowledge.sharpening import ExpectedReward
from windtunnel.laboratory.run import Run
from windtunnel.laboratory.sweeps import Backend, sweep, values
from windtunnel.models.transformer import Transformer, TransformerConfig
from windtunnel.statistics import calibration_error, calibration_floor, fit_temperature, softened
from windtunnel.statistics.intervals import Floats
from windtunnel.studies.self_knowledge import figures
from windtunnel.studies.self_knowledge.knowledge import LEARNED, OVER, UNLEARNED, over
from windtunnel.training.configuration import TrainingConfig
from windtunnel.training.loop import train

if TYPE_CHECKING:
    from windtunnel.studies.self_knowledge import Config

HELD_OUT = 2**40
"""First row of the questions measured: no training comes near it."""


@dataclass(frozen=True)
class Member:
    """One model of lettered questions; those of one number and several widths share a world."""

    number: int
    width: int
    config: "Config"
    run: Run
    world_seed: int

    @property
    def shape(self) -> TransformerConfig:
        """Its decoder."""
        world = self.world("text")
        return TransformerConfig(
            vocabulary=world.vocabulary,
            context=world.context,
            layers=2,
            width=self.width,
            heads=self.config.heads,
            smeared_keys=True,
            embedding_scale=0.1,
            weight_scale=(3 * self.width) ** -0.5,
            residual_scaling=False,
        )

    def world(self, rows: str) -> LetteredChoices:
        """Its world, with rows of their own for each purpose."""
        config, run = self.config, self.run
        return LetteredChoices(
            config.items, config.items, self.world_seed, rows_seed=run.seed_for(rows), shuffled=run.null
        )


def study_letters(config: "Config", run: Run) -> tuple[list[Member], list[dict[str, Any]]]:
    """Train the models, ask them in every way, sharpen them by reward, and repair them.

    Returns:
        The models and what they said, in every condition.
    """
    runs = [run.child(f"lettered-{number}") for number in range(config.lettered)]
    members = [Member(number, config.width, config, each, each.seed_for("world")) for number, each in enumerate(runs)]
    backend: Backend = "processes" if run.workers > 1 else "in-process"
    with run.watch([each.run for each in members]):
        asked = values(sweep(ask_member, members, backend=backend, workers=run.workers))
    generator = run.generator("lettered")
    found = [_measure(each, generator) for each in asked]
    run.section("Letters", "Multiple choice where the best probability of every option is known.")
    figures.letters(asked[0], found[0], generator, run)
    _conclude(found, run)
    return members, asked


def ask_member(member: Member) -> dict[str, Any]:
    """Train one model and keep its logits of the letters in every condition; a finished one is read back."""
    return member.run.stage("asked", lambda: _ask(member))


def _ask(member: Member) -> dict[str, Any]:
    config, run = member.config, member.run
    model, tokens, found = learn(member)
    found["orders"] = _averaged(model, tokens, run.device)
    rewarding = TrainingConfig(
        steps=config.reward_steps,
        learning_rate=1e-3,
        schedule="constant",
        warmup_steps=10,
        weight_decay=0.0,
        **_common(run),
    )
    train(model, ExpectedReward(range(OPTIONS)), member.world("reward"), rewarding, device=run.device)
    return found | {"rewarded": letters(model, tokens, run.device)}


def learn(member: Member) -> tuple[nn.Module, Int[Tensor, "row token"], dict[str, Any]]:
    """Train a model on its world, and ask it held-out questions as they are and with "none of the above".

    Returns:
        The model, the questions, and their answers, best probabilities and the model's logits of the letters.
    """
    config, run = member.config, member.run
    world = member.world("text")
    model = Transformer(member.shape, torch.Generator().manual_seed(run.seed_for("weights")))
    learning = TrainingConfig(
        steps=config.lettered_steps,
        learning_rate=3e-3,
        schedule="wsd",
        warmup_steps=min(30, config.lettered_steps // 10),
        weight_decay=0.01,
        **_common(run),
    )
    train(model, _last_token, world, learning, device=run.device)
    tokens = world.rows(HELD_OUT, config.lettered_questions)["tokens"]
    found = {
        "answers": tokens[:, -1],
        "best": world.best(tokens),
        "lettered": letters(model, tokens, run.device),
        "none of the above": letters(model, without_the_last(tokens), run.device),
    }
    return model, tokens, found


def _common(run: Run) -> dict[str, Any]:
    precision = "fp32" if run.device == "cpu" else "auto"
    return {"batch_size": 128, "precision": precision, "log_every": 50, "seed": run.seed}


def _last_token(model: nn.Module, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Loss of the letter alone, in nats."""
    tokens = batch["tokens"]
    loss = functional.cross_entropy(model(tokens[:, :-1])[:, -1].float(), tokens[:, -1], reduction="sum")
    return loss, torch.tensor(float(len(tokens)), device=tokens.device)


@torch.no_grad()
def letters(model: nn.Module, tokens: Int[Tensor, "row token"], device: str) -> Float[Tensor, "row letter"]:
    """Logits of the four letters."""
    model.eval()
    return torch.cat(
        [model(part[:, :-1].to(device))[:, -1, :OPTIONS].double().cpu() for part in torch.split(tokens, 1_000)]
    )


def _averaged(model: nn.Module, tokens: Tensor, device: str) -> Float[Tensor, "row letter"]:
    """Logarithms of probabilities averaged over the four cyclic orders of the options."""
    total = torch.zeros(len(tokens), OPTIONS, dtype=torch.float64)
    for shift in range(OPTIONS):
        said = torch.softmax(letters(model, reordered(tokens, shift), device), dim=1)
        total += said.roll(-shift, dims=1) / OPTIONS
    return total.log()


def _measure(asked: dict[str, Any], generator: np.random.Generator) -> dict[str, Any]:
    answers = np.asarray(asked["answers"])
    half = len(answers) // 2
    fitted = {
        name: fit_temperature(asked[name][:half], answers[:half], generator=generator, resamples=100)
        for name in ("lettered", "rewarded")
    }
    said = {
        "best possible": np.asarray(asked["best"]),
        "lettered": softened(asked["lettered"]),
        "lettered, over orders": softened(asked["orders"]),
        "none of the above": softened(asked["none of the above"]),
        "rewarded": softened(asked["rewarded"]),
        "rewarded, repaired": softened(asked["rewarded"], fitted["rewarded"].value),
    }
    rows = {}
    for name, each in said.items():
        top, right = most_probable(each[half:], answers[half:])
        rows[name] = {
            "accuracy": float(right.mean()),
            "ECE": calibration_error(top, right, generator=generator, resamples=2).value,
            "floor": calibration_floor(top, generator=generator, simulations=200).mean,
            "last option said": float((each[half:].argmax(axis=1) == OPTIONS - 1).mean()),
        }
    return {"rows": rows, "temperature": {name: each.value for name, each in fitted.items()}}


def most_probable(probabilities: Floats, answers: Floats) -> tuple[Floats, Floats]:
    """The highest probability of each question, and whether its option is the answer."""
    return probabilities.max(axis=1), (probabilities.argmax(axis=1) == answers).astype(float)


def _conclude(found: Sequence[dict[str, Any]], run: Run) -> None:
    def numbers(name: str, what: str) -> Floats:
        return np.array([each["rows"][name][what] for each in found])

    evidence = "letters"
    run.conclude("lettered-calibrated", over(list(numbers("lettered", "ECE"))), evidence=evidence, note=OVER)
    lost = numbers("lettered", "accuracy") - numbers("none of the above", "accuracy")
    run.conclude("nota-accuracy", over(list(lost)), evidence=evidence, note=OVER)
    gained = numbers("none of the above", "ECE") - numbers("lettered", "ECE")
    run.conclude("nota-calibration", over(list(gained)), evidence=evidence, note=OVER)
    harmed = numbers("rewarded", "ECE") - numbers("lettered", "ECE")
    # reward by chance makes a model that knows nothing drift into certainty, too: that is no sharpening of knowledge
    learned = float(numbers("lettered", "accuracy").min()) > 1 / OPTIONS + LEARNED
    value = over(list(harmed)) if learned else None
    run.conclude("reward-sharpens", value, evidence=evidence, note=OVER if learned else UNLEARNED)
    repaired = 1 - numbers("rewarded, repaired", "ECE") / numbers("rewarded", "ECE")
    tested = learned and float(harmed.min()) > LEARNED
    value = over(list(repaired)) if tested else None
    run.conclude("one-temperature", value, evidence=evidence, note=OVER if tested else UNLEARNED)
    rows = []
    for name in found[0]["rows"]:
        row = {what: float(numbers(name, what).mean()) for what in ("accuracy", "ECE", "floor", "last option said")}
        rows.append({"condition": name, **row})
    fitted = ", ".join(f"{each['temperature']['rewarded']:.2f}" for each in found)
    before = ", ".join(f"{each['temperature']['lettered']:.2f}" for each in found)
    run.table(
        "formats",
        rows,
        f"Lettered questions, means over models. Temperatures fitted before reward: {before}; after it: {fitted}.",
    )
