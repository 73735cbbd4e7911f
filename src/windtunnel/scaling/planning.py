"""From a budget to a plan: size, tokens, batch, steps, learning rate and expected loss, with what else it could buy."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from windtunnel.laboratory.errors import UsageError
from windtunnel.scaling.laws.chinchilla import Chinchilla
from windtunnel.scaling.laws.deployment import inference_aware
from windtunnel.scaling.laws.interface import Floats, checked_positive
from windtunnel.scaling.laws.repetition import DataConstrained
from windtunnel.scaling.planning_laws import PlanningLaw, planning_law
from windtunnel.scaling.planning_rules import RULES, Rule, rule_for
from windtunnel.scaling.resampling import percentile_interval
from windtunnel.statistics.estimates import Estimate

DEFAULT_LAW = "besiroglu-2024"
"""The refit of Hoffmann et al.'s runs: published, Chinchilla's form, and not misled by an early end of its fit."""

RATIOS = (0.25, 0.4, 0.6, 0.8, 1.0, 1.5, 2.2, 4.0)
"""Sizes of the table of suboptimal sizes, as shares of the best; from 0.6 to 2.2 is Kaplan et al.'s range."""

BUDGETS = (2.0, 10.0)
"""Multiples of the budget for which it is told what more would buy."""


@dataclass(frozen=True)
class OtherSize:
    """A size other than the best.

    Attributes:
        ratio: To the best size.
        parameters: N.
        tokens: That the budget buys.
        loss: At the same budget, nats per token.
        same_loss_tokens: To reach the best size's loss; infinite if it never does.
        same_loss_flops: What that costs, as a multiple of the budget.
    """

    ratio: float
    parameters: float
    tokens: float
    loss: float
    same_loss_tokens: float
    same_loss_flops: float


@dataclass(frozen=True)
class MoreBudget:
    """What a multiple of the budget buys.

    Attributes:
        factor: Of the budget.
        parameters: Best size.
        tokens: Best tokens.
        loss: Nats per token.
        gain: By how much the loss is lower.
    """

    factor: float
    parameters: Estimate
    tokens: Estimate
    loss: Estimate
    gain: Estimate


@dataclass(frozen=True)
class Served:
    """A model that will read and write `inference_tokens` over its life (Sardana et al., 2023; arXiv:2401.00448).

    Attributes:
        goal: `same loss` (as the compute-optimal model, at the least cost of training and use) or `same cost` (as that
            model's training and use, at the lowest loss).
        parameters: N.
        tokens: D trained on.
        loss: Nats per token.
        total_flops: 6 N D + 2 N D_inference.
        saved: Share of the compute-optimal model's total that is saved; None where the total is the same.
        gain: By how much the loss is lower; None where it is the same.
    """

    goal: str
    parameters: Estimate
    tokens: Estimate
    loss: Estimate
    total_flops: Estimate
    saved: Estimate | None
    gain: Estimate | None


@dataclass(frozen=True)
class DataLimited:
    """The best plan where there are only so many unique tokens (Muennighoff et al., 2023; arXiv:2305.16264).

    Attributes:
        unique_tokens: That there are.
        parameters: N.
        tokens: Seen, with repeats.
        epochs: Tokens seen per unique token.
        loss: Nats per token.
        lost: By how much that is more than with fresh tokens.
    """

    unique_tokens: float
    parameters: Estimate
    tokens: Estimate
    epochs: Estimate
    loss: Estimate
    lost: Estimate


@dataclass(frozen=True)
class Plan:
    """How a budget is best spent. Intervals are unbounded where the law comes without refits.

    Attributes:
        flops: 6 N D.
        law: Name of the law, and where it is from.
        parameters: Counted as the law's runs were (`counts`).
        tokens: To train on.
        tokens_per_parameter: Their ratio.
        loss: Expected, nats per token of the law's tokenizer.
        exponent: a of parameters ∝ FLOPs^a.
        rules: Batch, steps and learning rate, the chosen rule first. Intervals come from size and tokens alone,
            as the rules are published without any.
        other_sizes: The table of suboptimal sizes.
        more_budget: What more would buy.
        served: The inference-aware plans, if inference tokens were given.
        data_limited: The plan with repeated tokens, if unique tokens were given.
        counts: Which parameters the law counts, where that is known.
        warnings: What to know before trusting it, a sentence each.
    """

    flops: float
    law: dict[str, Any]
    parameters: Estimate
    tokens: Estimate
    tokens_per_parameter: Estimate
    loss: Estimate
    exponent: Estimate
    rules: list[Rule]
    other_sizes: list[OtherSize]
    more_budget: list[MoreBudget]
    served: list[Served] = field(default_factory=list)
    data_limited: DataLimited | None = None
    counts: str = ""
    warnings: list[str] = field(default_factory=list)

    def report(self) -> dict[str, Any]:
        """All of it, ready for JSON: an estimate is `{"value", "interval"}`, its interval null where there is none."""
        return {name: _plain(getattr(self, name)) for name in self.__dataclass_fields__}


def plan(
    flops: float,
    law: Any = DEFAULT_LAW,
    *,
    inference_tokens: float | None = None,
    unique_tokens: float | None = None,
    rule: str = RULES[0],
) -> Plan:
    """The best use of a training budget.

    Args:
        flops: 6 N D. `hardware.available_flops` makes them of device-hours.
        law: Name of a published law, a file written by `windtunnel fit`, a `Fit`, or a law with values.
        inference_tokens: Read and written over the model's life, for the inference-aware plans.
        unique_tokens: That there are, for the plan with repeats.
        rule: Which of `RULES` gives batch and learning rate; the others are told beside it.

    Raises:
        UsageError: The law has no compute-optimal split, or a number is out of range.
        DataError: The budget is not positive.
    """
    budget = float(checked_positive(flops, "flops"))
    known = planning_law(law)
    if rule not in RULES:
        raise UsageError(f"No rule of batch and learning rate is named {rule!r}; choose one of {', '.join(RULES)}.")
    if inference_tokens is not None and unique_tokens is not None:
        raise UsageError("Give inference tokens or unique tokens, not both: no law that covers both is known.")

    def estimate(function: Callable[[Any], Any]) -> Estimate:
        return _estimate(known, function)

    best = known.law.optimum(budget)
    n, d = float(best.parameters), float(best.tokens)
    warnings = list(known.warnings)
    if known.published is not None:
        warnings += known.published.extrapolations(parameters=n, tokens=d)
    if d / n < 1:
        warnings.append(f"{d / n:.2g} tokens per parameter is far from what such laws were fitted to.")
    limited = None if unique_tokens is None else _limited(known, budget, unique_tokens)
    if limited is not None and limited.epochs.value > 1 + 3 * known.repeats.R_D:
        warnings.append(
            f"{limited.epochs.value:.3g} epochs are past the point where repeats still teach: the budget is more than "
            "so few tokens can use, and much less would reach nearly the same loss."
        )
    return Plan(
        budget,
        known.described,
        estimate(lambda law: law.optimum(budget).parameters),
        estimate(lambda law: law.optimum(budget).tokens),
        estimate(lambda law: law.optimum(budget).tokens / law.optimum(budget).parameters),
        estimate(lambda law: law.optimum(budget).loss),
        estimate(lambda law: law.optimum(budget).exponent),
        [rule_for(name, budget, n, d, estimate) for name in sorted(RULES, key=lambda name: name != rule)],
        [_other_size(known.law, ratio, n, d, float(best.loss)) for ratio in RATIOS],
        [_more(factor, budget, estimate) for factor in BUDGETS],
        [] if inference_tokens is None else _served(known, budget, inference_tokens),
        limited,
        known.counts,
        warnings,
    )


def same_loss_tokens(law: Any, parameters: ArrayLike, loss: ArrayLike) -> Floats:
    """Tokens with which a size reaches a loss under L(N, D); infinite where it never does.

    Args:
        law: Chinchilla's or Kaplan et al.'s.
        parameters: N.
        loss: Nats per token.
    """
    n, wanted = np.asarray(parameters, dtype=np.float64), np.asarray(loss, dtype=np.float64)
    if isinstance(law, Chinchilla):
        left, scale, power = wanted - law.E - law.A * n**-law.alpha, law.B, 1 / law.beta
    else:
        left = wanted ** (1 / law.alpha_D) - (law.N_c / n) ** (law.alpha_N / law.alpha_D)
        scale, power = law.D_c, 1.0
    return np.where(left > 0, (scale / np.where(left > 0, left, 1.0)) ** power, np.inf)


def data_limited(law: DataConstrained, flops: float, unique_tokens: float) -> tuple[Floats, Floats, Floats]:
    """The size and the tokens of lowest loss for 6 N D FLOPs and so many unique tokens, on a grid refined twice.

    Args:
        law: May hold a batch [laws].
        flops: 6 N D.
        unique_tokens: U.

    Returns:
        Parameters, tokens and loss [laws] (or numbers).
    """
    values = law.vector()
    many = DataConstrained.of(np.atleast_2d(values)[:, None, :])
    centre, width = np.full((len(np.atleast_2d(values)), 1), np.log(flops / 6) / 2), np.log(flops / 6) / 2 - 1e-9
    for _ in range(5):
        grid = centre + np.linspace(-width, width, 401)
        loss = many.formula(np.exp(grid), flops / 6 / np.exp(grid), unique_tokens)
        place = np.argmin(loss, axis=1)[:, None]
        centre, width = np.take_along_axis(grid, place, axis=1), width / 100
    parameters, found = np.exp(centre[:, 0]), np.take_along_axis(loss, place, axis=1)[:, 0]
    if values.ndim == 1:
        parameters, found = parameters[0], found[0]
    return parameters, flops / 6 / parameters, found


def _estimate(known: PlanningLaw, function: Callable[[Any], Any]) -> Estimate:
    """A number that follows from the law, with the interval of its refits."""
    value = float(function(known.law))
    if known.refits is None:
        return Estimate(value, -np.inf, np.inf, known.level)
    low, high = percentile_interval(np.asarray(function(known.refits), dtype=np.float64), known.level, known.inflation)
    return Estimate(value, float(low), float(high), known.level)


def _other_size(law: Any, ratio: float, n: float, d: float, loss: float) -> OtherSize:
    size, tokens = ratio * n, d / ratio
    needed = float(same_loss_tokens(law, size, loss)) if ratio != 1 else d
    return OtherSize(ratio, size, tokens, float(law.formula(size, tokens)), needed, needed * ratio / d)


def _more(factor: float, budget: float, estimate: Callable[[Callable[[Any], Any]], Estimate]) -> MoreBudget:
    return MoreBudget(
        factor,
        estimate(lambda law: law.optimum(factor * budget).parameters),
        estimate(lambda law: law.optimum(factor * budget).tokens),
        estimate(lambda law: law.optimum(factor * budget).loss),
        estimate(lambda law: law.optimum(budget).loss - law.optimum(factor * budget).loss),
    )


def _served(known: PlanningLaw, budget: float, inference_tokens: float) -> list[Served]:
    if not isinstance(known.law, Chinchilla):
        raise UsageError(
            f"The inference-aware plan needs a law of the form E + A / N^alpha + B / D^beta, and {known.law.name} is "
            "none; choose another --law."
        )
    if not 0 <= inference_tokens < np.inf:
        raise UsageError(f"The inference tokens must be 0 or more, not {inference_tokens}.")

    def total(law: Any) -> Any:
        return budget + 2 * law.optimum(budget).parameters * inference_tokens

    def same_loss(law: Any) -> Any:
        return inference_aware(law, inference_tokens, loss=law.optimum(budget).loss)

    def same_cost(law: Any) -> Any:
        return inference_aware(law, inference_tokens, flops=total(law))

    def served(goal: str, way: Callable[[Any], Any], saved: Estimate | None, gain: Estimate | None) -> Served:
        parameters = _estimate(known, lambda law: way(law).parameters)
        tokens = _estimate(known, lambda law: way(law).tokens)
        loss = _estimate(known, lambda law: way(law).loss)
        spent = _estimate(known, lambda law: way(law).training_flops + way(law).inference_flops)
        return Served(goal, parameters, tokens, loss, spent, saved, gain)

    def saving(law: Any) -> Any:
        found = same_loss(law)
        return 1 - (found.training_flops + found.inference_flops) / total(law)

    gain = _estimate(known, lambda law: law.optimum(budget).loss - same_cost(law).loss)
    return [
        served("same loss", same_loss, _estimate(known, saving), None),
        served("same cost", same_cost, None, gain),
    ]


def _limited(known: PlanningLaw, budget: float, unique_tokens: float) -> DataLimited:
    if not isinstance(known.law, Chinchilla):
        raise UsageError(
            f"The data-limited plan needs a law of the form E + A / N^alpha + B / D^beta, and {known.law.name} is "
            "none; choose another --law."
        )
    unique = float(checked_positive(unique_tokens, "unique_tokens"))

    def best(law: Any) -> tuple[Floats, Floats, Floats]:
        values = law.vector()
        decays = np.broadcast_to(np.array([known.repeats.R_D, known.repeats.R_N]), (*values.shape[:-1], 2))
        return data_limited(DataConstrained.of(np.concatenate([values, decays], axis=-1)), budget, unique)

    def of(function: Callable[[Any], Any]) -> Estimate:
        return _estimate(known, function)

    return DataLimited(
        unique,
        of(lambda law: best(law)[0]),
        of(lambda law: best(law)[1]),
        of(lambda law: best(law)[1] / unique),
        of(lambda law: best(law)[2]),
        of(lambda law: best(law)[2] - law.optimum(budget).loss),
    )


def _plain(value: Any) -> Any:
    """Estimates as values with intervals, and everything else as JSON has it; what is infinite has no value."""
    if isinstance(value, Estimate):
        ends = None if not np.isfinite(value.interval).all() else list(value.interval)
        return {"value": value.value, "interval": ends}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if hasattr(value, "__dataclass_fields__"):
        return {name: _plain(getattr(value, name)) for name in value.__dataclass_fields__}
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    return None if isinstance(value, float) and not np.isfinite(value) else value
