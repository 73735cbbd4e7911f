"""The law of a plan: a published one by name, a file, a fit, or a law with values."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from windtunnel.laboratory.errors import UsageError
from windtunnel.laboratory.study import nearest
from windtunnel.scaling.fitting import Fit
from windtunnel.scaling.laws.chinchilla import Chinchilla
from windtunnel.scaling.laws.deployment import OverTraining
from windtunnel.scaling.laws.interface import Floats, Law
from windtunnel.scaling.laws.repetition import DataConstrained
from windtunnel.scaling.published import PUBLISHED, Published, find_published
from windtunnel.scaling.saving import load_law

NO_REFITS = (
    "The law comes without refits to resampled runs, so that nothing here has an interval; fit it to runs with a "
    "bootstrap for that."
)


@dataclass(frozen=True)
class PlanningLaw:
    """A law with a compute-optimal split, and what is known of it.

    Attributes:
        law: Chinchilla's, or another with `optimum` and a formula of parameters and tokens.
        described: Its name, parameters and source, ready for JSON.
        refits: One law that holds the batch of refits, or none.
        level: Coverage of intervals.
        inflation: By how much deviations of refits are widened.
        counts: `total` or `non-embedding` parameters, where known.
        published: The entry, if it is a published law.
        repeats: The law whose decays say what repeated tokens are worth.
        warnings: What to know, a sentence each.
    """

    law: Any
    described: dict[str, Any]
    refits: Any = None
    level: float = 0.9
    inflation: float = 1.0
    counts: str = ""
    published: Published | None = None
    repeats: Any = field(default_factory=lambda: find_published("muennighoff-2023").law)
    warnings: list[str] = field(default_factory=list)


def planning_law(given: Any) -> PlanningLaw:
    """What `plan` works with, from what a user names.

    Raises:
        UsageError: No such published law or file, or the law has no compute-optimal split.
        DataError: The file does not hold a law.
    """
    if isinstance(given, Fit):
        return _fitted(given, "fitted to runs")
    if isinstance(given, Law):
        return _of(given, {"name": given.name, "source": "given"})
    if str(given) in PUBLISHED:
        entry = find_published(str(given))
        found = _of(entry.law, {"name": entry.name, "source": entry.source})
        warnings = [entry.caveat, *found.warnings]
        return PlanningLaw(
            found.law, found.described, counts=entry.counts, published=entry, repeats=found.repeats, warnings=warnings
        )
    path = Path(given)
    if path.is_file():
        return _fitted(load_law(path), str(path))
    names = [name for name, item in PUBLISHED.items() if _has_split(item.law)]
    raise UsageError(f"{given} is neither a file nor a published law; {nearest(str(given), names)}")


def _fitted(fit: Fit, source: str) -> PlanningLaw:
    return _of(fit.law, {"name": fit.law.name, "source": source}, fit)


def _of(law: Law, described: dict[str, Any], fitted: Fit | None = None) -> PlanningLaw:
    described = described | {
        "form": law.name,
        "parameters": {symbol: float(value) for symbol, value in law.parameters.items()},
    }
    refits = None if fitted is None else fitted.replicates
    warnings = [] if fitted is None else list(fitted.warnings)
    if refits is None:
        warnings.append(NO_REFITS)
    extra: dict[str, Any] = {"repeats": law} if isinstance(law, DataConstrained) else {}
    extra |= {"level": fitted.level, "inflation": fitted.inflation} if fitted is not None else {}
    return PlanningLaw(_split(law), described, None if refits is None else _split(refits), warnings=warnings, **extra)


def _split(law: Law) -> Any:
    """The law of parameters and fresh tokens that gives the split: of two laws, the Chinchilla form they hold."""
    if isinstance(law, DataConstrained):
        return law.base()
    if isinstance(law, OverTraining):  # with C = 6 N D and M = D / N both terms are powers of N and of D alone
        scale: Floats = np.asarray(6.0) ** -law.eta
        return Chinchilla(law.E, law.a * scale, law.b * scale, 2 * law.eta, 2 * law.eta)
    if not _has_split(law):
        raise UsageError(
            f"The law {law.name} has no compute-optimal split; plan with chinchilla, data-constrained, over-training, "
            "kaplan-parameters-tokens, or with a published law."
        )
    return law


def _has_split(law: Law) -> bool:
    return isinstance(law, DataConstrained | OverTraining) or hasattr(law, "optimum")
