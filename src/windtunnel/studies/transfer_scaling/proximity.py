"""Languages of known proximity: what the instrument says of pre-training whose worth is known, and two controls."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import nn

from windtunnel.data.worlds.proximity import Pair, proximity_pair
from windtunnel.laboratory.run import Run
from windtunnel.laboratory.sweeps import Backend, sweep, values
from windtunnel.models.transformer import TransformerConfig
from windtunnel.studies.transfer_scaling.training import any_tokens, on_target, parameters_of, pretrained

if TYPE_CHECKING:
    from windtunnel.studies.transfer_scaling import Config

HELD_OUT = 2**40
"""First row of the held-out rows: no training comes near it."""

FROZEN_SEEDS = 4
"""Repetitions of the frozen control, so that an interval from them is one."""


@dataclass(frozen=True)
class Language:
    """One repetition: a pair of languages at every proximity, models from scratch, and the frozen control."""

    number: int
    width: int
    config: "Config"
    run: Run
    seed: int


def languages_of_known_proximity(config: "Config", run: Run) -> None:
    """Train on the target after sources that share more and more of it, then measure, draw and conclude."""
    from windtunnel.studies.transfer_scaling.conclusions import conclude_forms, conclude_proximity

    members = [
        Language(number, width, config, run.child(f"language-{number}-width-{width}"), run.seed_for("language", number))
        for width in sorted(config.synthetic_widths, reverse=True)
        for number in range(config.synthetic_seeds)
    ]
    backend: Backend = "processes" if run.workers > 1 else "in-process"
    with run.watch([member.run for member in members]):
        measured = values(sweep(train_language, members, backend=backend, workers=run.workers))
    found = [row for member in measured for row in member["rows"]]
    if "proximity" in config.experiments:
        conclude_proximity(config, found, run)
    if "forms" in config.experiments:
        conclude_forms(config, found, run)


def train_language(member: Language) -> dict[str, Any]:
    """All runs of one pair of languages and one size; what is finished is read back."""
    return member.run.stage("runs", lambda: {"rows": _train_language(member)})


def _train_language(member: Language) -> list[dict[str, Any]]:
    config, run = member.config, member.run
    context = config.synthetic_context
    shape = TransformerConfig(
        vocabulary=config.symbols, context=context, layers=1, width=member.width, heads=2, tied_embeddings=False
    )
    target = pair_of(config, 0.0, member.seed).target
    held_out = tuple(target.rows(HELD_OUT + 4_096 * part, config.held_out_rows)["tokens"] for part in range(2))
    results: list[dict[str, Any]] = []

    def learn(name: str, tokens: int, weights: Any, facts: dict[str, Any], seed: int = 0, prepare: Any = None) -> None:
        data = target.rows(2**30 * seed, max(tokens // context, 1))["tokens"]

        def one() -> dict[str, Any]:
            return on_target(
                shape,
                weights,
                data,
                (held_out[0], held_out[1]),
                config,
                steps=config.synthetic_steps,
                seed=run.seed_for("run", name, seed),
                device=run.device,
                prepare=prepare,
            )

        kept = {"parameters": parameters_of(shape), "language": member.number, "seed": seed}
        results.append({**kept, **facts, **run.stage(f"{name}-{tokens}-{seed}", one)})

    for tokens in config.synthetic_scratch:
        learn("scratch", tokens, None, {"kind": "scratch"})
    amounts = config.synthetic_pretraining if "forms" in config.experiments else config.synthetic_pretraining[-1:]
    for level in config.proximities:
        pair = pair_of(config, level, member.seed)
        for amount in amounts if level == 0.5 else amounts[-1:]:
            read = pair.source.rows(0, amount // context)["tokens"]
            if run.null:
                read = any_tokens(read, config.symbols, run.seed_for("null", level))
            weights, _ = pretrained(shape, read, config, run.child(f"proximity-{level:g}-tokens-{amount}"))
            facts = {
                "kind": "finetuned",
                "proximity": level,
                "distance": pair.distance,
                "pretraining": amount,
            }
            for tokens in config.synthetic_finetuning:
                learn(f"proximity-{level:g}-tokens-{amount}", tokens, weights, facts)
            if level == min(config.proximities) and member.number == 0 and member.width == min(config.synthetic_widths):
                _frozen_control(config, learn, weights)
    return results


def _frozen_control(config: "Config", learn: Any, weights: Any) -> None:
    """Half of the weights kept as the least related source left them, and models from scratch on the same data.

    On the most data, where ossification shows: on few, a model that can learn less also overfits less.
    """
    tokens = max(config.synthetic_scratch)
    for seed in range(1, 1 + FROZEN_SEEDS):
        learn("control-scratch", tokens, None, {"kind": "control-scratch"}, seed)
        learn("control-frozen", tokens, weights, {"kind": "control-frozen"}, seed, freeze_half)


def pair_of(config: "Config", level: float, seed: int) -> Pair:
    """The languages of a repetition at one proximity; its target is the same at all."""
    return proximity_pair(config.symbols, level, config.synthetic_context, seed)


def freeze_half(model: nn.Module) -> None:
    """Freeze whole matrices, embeddings first and then in order, until half of all parameters are frozen."""
    named = [(name, parameter) for name, parameter in model.named_parameters() if parameter.ndim >= 2]
    left = sum(parameter.numel() for parameter in model.parameters()) / 2
    # what maps tokens to the stream and back is what another language needs changed most
    for _, parameter in sorted(named, key=lambda pair: "embedding" not in pair[0]):
        if left <= 0:
            break
        parameter.requires_grad_(False)
        left -= parameter.numel()


def reference(config: "Config") -> tuple[float, float]:
    """The size and the fine-tuning data in the middle of the synthetic grid."""
    sizes = []
    for width in config.synthetic_widths:
        shape = TransformerConfig(vocabulary=config.symbols, context=8, layers=1, width=width, heads=2)
        sizes.append(parameters_of(shape))
    return float(np.exp(np.log(sizes).mean())), float(np.exp(np.log(config.synthetic_finetuning).mean()))
