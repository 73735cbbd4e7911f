"""Batch and learning rate of a plan, by published rules side by side, as they disagree."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from windtunnel.scaling.published import find_published
from windtunnel.statistics.estimates import Estimate

Uncertain = Callable[[Callable[[Any], Any]], Estimate]
"""From something that follows from a law to its value and interval."""

RULES = ("step-law-2025", "deepseek-2024", "porian-2024")
"""Published rules of batch size and learning rate; the first is used unless another is asked for."""


@dataclass(frozen=True)
class Rule:
    """Batch and learning rate by one published rule.

    Attributes:
        name: One of `RULES`.
        batch: Tokens.
        steps: Optimizer steps of that batch.
        learning_rate: Peak.
        warnings: Where the rule is extrapolated.
    """

    name: str
    batch: Estimate
    steps: Estimate
    learning_rate: Estimate
    warnings: list[str] = field(default_factory=list)


def rule_for(name: str, budget: float, n: float, d: float, estimate: Uncertain) -> Rule:
    """What a rule says of the best run of a budget.

    Args:
        name: One of `RULES`.
        budget: FLOPs.
        n: Best parameters there.
        d: Best tokens there.
        estimate: Gives intervals.
    """
    batch, rate = find_published(f"{name}-batch-size"), find_published(f"{name}-learning-rate")

    def of(law: Any, wanted: Any) -> Any:
        best = law.optimum(budget)
        return wanted.predict(parameters=best.parameters, tokens=best.tokens)

    def uncertain(function: Callable[[Any], Any]) -> Estimate:
        found = estimate(function)
        if found.high - found.low > 1e-9 * found.value:
            return found
        return Estimate(found.value, -np.inf, np.inf, found.level)  # a rule of FLOPs alone learns nothing from refits

    return Rule(
        name,
        uncertain(lambda law: of(law, batch.law)),
        uncertain(lambda law: law.optimum(budget).tokens / of(law, batch.law)),
        uncertain(lambda law: of(law, rate.law)),
        [*batch.extrapolations(parameters=n, tokens=d), *rate.extrapolations(parameters=n, tokens=d)],
    )
