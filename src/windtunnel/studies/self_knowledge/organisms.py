"""The models that learn the planted facts, and everything that is read off each of them."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from windtunnel.data.worlds.planted_knowledge import (
    FALSE,
    IDEAS,
    LONGEST,
    PASS,
    ROW,
    TRUE,
    Facts,
    PlantedKnowledge,
    judgements,
    plant,
    questions,
    split,
)
from windtunnel.evaluation.self_knowledge.p_ik import fine_tune, last_tokens, predict
from windtunnel.laboratory.run import Run
from windtunnel.models.interface import LanguageModel, from_module
from windtunnel.models.transformer import Transformer, TransformerConfig
from windtunnel.training.configuration import TrainingConfig
from windtunnel.training.loop import train
from windtunnel.training.objectives import next_token

if TYPE_CHECKING:
    from windtunnel.studies.self_knowledge import Config

SOURCES = ("correct", "wrong", "irrelevant")

LENGTHS = tuple(range(1, LONGEST + 1))
"""Statements in right sources of other lengths than those in the text, which have three."""


@dataclass(frozen=True)
class Organism:
    """One model: the world it shares with the others, and what it alone is told how often."""

    number: int
    config: "Config"
    run: Run
    world_seed: int

    @property
    def facts(self) -> Facts:
        """The world, with this model's exposures."""
        config = self.config
        return plant(
            config.entities,
            config.relations,
            config.answers,
            self.world_seed,
            exposures=config.exposures,
            telling=self.number,
        )

    @property
    def parts(self) -> tuple[Tensor, Tensor, Tensor]:
        """Facts heads learn from, facts of other entities, facts of those entities' last relation."""
        return split(self.facts, self.world_seed, first=self.config.entities // 2)


def measure_organism(organism: Organism) -> dict[str, Any]:
    """Train an organism and read everything off it; what is finished is read back."""
    return organism.run.stage("measured", lambda: _measure(organism))


def _measure(organism: Organism) -> dict[str, Any]:
    config, run, facts = organism.config, organism.run, organism.facts
    model = _learn(organism)
    pairs = torch.cartesian_prod(torch.arange(facts.entities), torch.arange(facts.relations))
    gold = facts.answer[pairs[:, 0], pairs[:, 1]]
    draws = torch.Generator().manual_seed(run.seed_for("draws"))
    prompts = {"none": questions(facts, pairs)}
    prompts |= {source: questions(facts, pairs, source, draws) for source in SOURCES}  # type: ignore[arg-type]
    said = {source: _answers(model, facts, asked) for source, asked in prompts.items()}
    exact = {
        source: each.gather(1, facts.answer_token(pairs[:, 1], gold)[:, None])[:, 0] for source, each in said.items()
    }
    sites = [f"blocks.{layer}.hook_resid_post" for layer in range(config.layers)] + ["ln_final.hook_out"]
    states = {"none": last_tokens(model, prompts["none"].tolist(), sites)}
    states |= {source: last_tokens(model, prompts[source].tolist(), sites[-1:]) for source in SOURCES}
    lengths = torch.Generator().manual_seed(run.seed_for("lengths"))
    longer = {count: questions(facts, pairs, "correct", lengths, count) for count in LENGTHS}
    plain = said["none"]
    own = _own(plain, facts, pairs)
    share = np.random.default_rng(run.seed_for("labels")).binomial(config.draws, exact["none"].numpy()) / config.draws
    return {
        "exact": {source: each.reshape(facts.answer.shape) for source, each in exact.items()},
        "share": share.reshape(tuple(facts.answer.shape)),
        "greedy": (own.argmax(dim=1) == gold).reshape(facts.answer.shape),
        "entropy": -(plain * plain.clamp(min=1e-300).log()).sum(dim=1).reshape(facts.answer.shape),
        "passes": plain[:, PASS].reshape(facts.answer.shape),
        "own entropy": -(own * own.clamp(min=1e-300).log()).sum(dim=1).reshape(facts.answer.shape),
        "highest": plain.max(dim=1).values.reshape(facts.answer.shape),
        "exposure": facts.exposure,
        "states": states,
        "by length": {
            str(count): {
                "states": last_tokens(model, asked.tolist(), sites[-1:]),
                "exact": _answers(model, facts, asked).gather(1, facts.answer_token(pairs[:, 1], gold)[:, None])[:, 0],
            }
            for count, asked in longer.items()
        },
        "judged": _judge(model, facts, pairs, own, config, draws),
        "tuned": _tune(model, organism, prompts["none"], share.reshape(tuple(facts.answer.shape))),
    }


def _learn(organism: Organism) -> LanguageModel:
    config, run, facts = organism.config, organism.run, organism.facts
    shape = TransformerConfig(
        vocabulary=facts.vocabulary,
        context=ROW,
        layers=config.layers,
        width=config.width,
        heads=config.heads,
        smeared_keys=True,  # with which copying from a source is learned in hundreds of steps, not thousands
        embedding_scale=0.1,
        weight_scale=(3 * config.width) ** -0.5,
        residual_scaling=False,
    )
    training = TrainingConfig(
        steps=config.steps,
        batch_size=config.batch_size,
        learning_rate=config.learning_rate,
        schedule="wsd",
        warmup_steps=min(50, config.steps // 10),
        weight_decay=0.01,
        precision="fp32" if run.device == "cpu" else "auto",
        log_every=max(config.steps // 50, 1),
        seed=run.seed,
    )
    source = PlantedKnowledge(
        facts,
        run.seed_for("text"),
        noise=config.noise,
        copying=0.4,
        judged=config.entities // 2,
        passing=config.passing,
        shuffled=run.null,
    )
    module = Transformer(shape, torch.Generator().manual_seed(run.seed_for("weights")))
    train(module, next_token, source, training, run=run, device=run.device)
    return from_module(module, name=run.directory.name)


@torch.no_grad()
def _answers(model: LanguageModel, facts: Facts, prompts: Tensor) -> Float[Tensor, "fact token"]:
    """Probabilities of the next token over the whole vocabulary, in float64."""
    parts = [
        torch.softmax(model(part.to(model.device))[:, -1].double(), dim=-1).cpu() for part in torch.split(prompts, 512)
    ]
    return torch.cat(parts)


def _own(probabilities: Tensor, facts: Facts, pairs: Tensor) -> Float[Tensor, "fact answer"]:
    """Probabilities of the answers of each fact's relation, renormalised."""
    tokens = facts.answer_token(pairs[:, 1:], torch.arange(facts.answers)[None])
    chosen = probabilities.gather(1, tokens)
    return chosen / chosen.sum(dim=1, keepdim=True)


def _judge(
    model: LanguageModel, facts: Facts, pairs: Tensor, own: Tensor, config: "Config", draws: torch.Generator
) -> dict[str, Any]:
    """P(True) of own answers without and with ideas, and of a right and a wrong answer, of entities never judged."""
    held = pairs[:, 0] >= config.entities // 2
    pairs, own = pairs[held], own[held]
    gold = facts.answer[pairs[:, 0], pairs[:, 1]]
    ideas = torch.multinomial(own, IDEAS, replacement=True, generator=draws)
    wrong = (gold + torch.randint(1, facts.answers, gold.shape, generator=draws)) % facts.answers

    def p_true(proposed: Tensor, shown: Tensor | None = None) -> Tensor:
        said = _answers(model, facts, judgements(facts, pairs, proposed, shown))
        return said[:, TRUE] / (said[:, TRUE] + said[:, FALSE])

    count = config.judged_answers
    return {
        "alone": torch.stack([p_true(ideas[:, place]) for place in range(count)], dim=1),
        "helped": torch.stack([p_true(ideas[:, place], ideas) for place in range(count)], dim=1),
        "right": ideas[:, :count] == gold[:, None],
        "leaks": (ideas[:, :count, None] == ideas[:, None, :]).sum(dim=2),
        "of-right": p_true(gold),
        "of-wrong": p_true(wrong),
        "base": own.gather(1, gold[:, None])[:, 0],
    }


def _tune(model: LanguageModel, organism: Organism, prompts: Tensor, share: np.ndarray) -> dict[str, Any]:
    """P(IK) of all facts by the whole model fine-tuned on known entities: of all but the last relation, and of one."""
    config, run = organism.config, organism.run
    learned, _, _ = organism.parts
    first = learned.clone()
    first[:, 1:] = False
    training = TrainingConfig(
        steps=config.tuning_steps,
        batch_size=64,
        learning_rate=config.tuning_rate,
        schedule="linear",
        warmup_steps=min(20, config.tuning_steps // 10),
        precision="fp32" if run.device == "cpu" else "auto",
        checkpoint_every=config.tuning_steps,
        seed=run.seed,
    )
    found = {}
    weights = {name: value.detach().clone() for name, value in model.module.state_dict().items()}
    for name, chosen in (("all", learned), ("one", first)):
        model.module.load_state_dict(weights)
        places = torch.nonzero(chosen.flatten())[:, 0]
        head = fine_tune(
            model,
            prompts[places].tolist(),
            share.reshape(-1)[places.numpy()],
            training,
            seed=run.seed_for("head", name),
        )
        found[name] = predict(head, model, prompts.tolist()).reshape(share.shape)
    model.module.load_state_dict(weights)
    return found
