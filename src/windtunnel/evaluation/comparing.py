"""Two evaluations of the same samples compared sample by sample."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from windtunnel.evaluation.results import Key, Results, is_failed, mean_by_sample
from windtunnel.laboratory.errors import DataError, UsageError
from windtunnel.statistics.estimates import Estimate


@dataclass(frozen=True)
class PairedComparison:
    """How two evaluations differ in a metric on the samples that both have.

    Attributes:
        metric: What is compared.
        first: Name of the first model.
        second: Name of the second model.
        first_value: Mean of the first over matched samples.
        second_value: Mean of the second over matched samples.
        difference: First minus second, with the interval of paired, clustered resampling.
        p_value: Of the sign-flip test over clusters, under no difference.
        mcnemar: Exact p-value of McNemar's test, where every value is 0 or 1 and no sample shares a cluster; None
            elsewhere.
        only_first_right: Matched samples of which the first alone has 1, where every value is 0 or 1; else None.
        only_second_right: The same of the second.
        matched: Samples that both have.
        clusters: Clusters of these samples.
        pairs: Pairs of (id, epoch).
        failed: Pairs of which one or both failed; a failed one counts as 0.
        bounds: The difference if all that failed had been worst for the first and best for the second, and the reverse.
        unmatched_first: Pairs that the first alone has.
        unmatched_second: Pairs that the second alone has.
    """

    metric: str
    first: str
    second: str
    first_value: float
    second_value: float
    difference: Estimate
    p_value: float
    mcnemar: float | None
    only_first_right: int | None
    only_second_right: int | None
    matched: int
    clusters: int
    pairs: int
    failed: int
    bounds: tuple[float, float] | None
    unmatched_first: int
    unmatched_second: int

    def __str__(self) -> str:
        parts = [
            f"{self.metric}: {self.first} {self.first_value:.4g}, {self.second} {self.second_value:.4g}, "
            f"difference {self.difference}, p = {self.p_value:.3g}"
        ]
        if self.mcnemar is not None:
            parts.append(
                f"McNemar p = {self.mcnemar:.3g} ({self.only_first_right} only the first has right, "
                f"{self.only_second_right} only the second)"
            )
        parts.append(f"{self.matched} samples matched in {self.clusters} clusters")
        left = (self.unmatched_first, self.unmatched_second)
        if any(left):
            parts.append(f"{sum(left)} left out ({left[0]} only in the first, {left[1]} only in the second)")
        if self.failed:
            within = "" if self.bounds is None else f"; bounds {self.bounds[0]:.4g} to {self.bounds[1]:.4g}"
            parts.append(f"{self.failed} failed in one or both and count as 0{within}")
        return "; ".join(parts)

    def as_dict(self) -> dict[str, Any]:
        """It all, JSON-ready."""
        found = dict(vars(self))
        found["difference"] = {"value": self.difference.value, "interval": list(self.difference.interval)}
        found["bounds"] = None if self.bounds is None else list(self.bounds)
        return found


def compare(
    first: Results, second: Results, metric: str | None = None, *, any_task: bool = False, level: float = 0.95
) -> PairedComparison:
    """Compare two evaluations on the samples that both have, matched by id and epoch.

    Epochs of a sample are averaged, and samples of one cluster kept together, as in `Results.metric`; a failed sample
    counts as 0 as it does there.

    Args:
        first: One evaluation.
        second: The other, of the same task.
        metric: Which metric; None: the headline metric of the first.
        any_task: Compare even if the tasks are not the very same; samples are still matched by id.
        level: Coverage aimed at.

    Raises:
        UsageError: The tasks differ and `any_task` is False, or no sample has the metric.
        DataError: No sample is in both.
    """
    import numpy as np

    from windtunnel.statistics import comparisons

    if first.header["digest"] != second.header["digest"] and not any_task:
        raise UsageError(
            f"The two evaluations are not of the same task ({_named(first)} and {_named(second)}): samples, prompts, "
            "scorer or version differ; compare runs of one task, or add --any-task to match samples by id all the same."
        )
    metric = metric or first.header["metric"]
    one, other = first.counted(metric), second.counted(metric)
    keys = [key for key in one if key in other]
    if not keys:
        raise DataError("No sample is in both evaluations; compare runs of the same samples and epochs.")
    ones, others = mean_by_sample({key: one[key] for key in keys}), mean_by_sample({key: other[key] for key in keys})
    names = list(ones)
    clusters = [first.clusters[name] for name in names]
    x, y = np.array([ones[name] for name in names]), np.array([others[name] for name in names])
    alone = len(set(clusters)) == len(names)
    found = comparisons.paired_difference(
        x, y, generator=first.generator("compare"), clusters=None if alone else clusters, level=level
    )
    binary = bool(np.isin(np.concatenate([x, y]), (0.0, 1.0)).all())
    failed_one, failed_other = _failed(first, keys), _failed(second, keys)
    return PairedComparison(
        metric=metric,
        first=first.header["model"],
        second=second.header["model"],
        first_value=float(x.mean()),
        second_value=float(y.mean()),
        difference=found.difference,
        p_value=found.p_value,
        mcnemar=comparisons.mcnemar(x, y) if binary and alone else None,
        only_first_right=int((x > y).sum()) if binary else None,
        only_second_right=int((y > x).sum()) if binary else None,
        matched=len(names),
        clusters=len(set(clusters)),
        pairs=len(keys),
        failed=len(failed_one | failed_other),
        bounds=_bounds(one, other, keys, failed_one, failed_other),
        unmatched_first=len(one) - len(keys),
        unmatched_second=len(other) - len(keys),
    )


def compare_all(results: Sequence[Results], metric: str | None = None) -> list[tuple[PairedComparison, float]]:
    """Every pair of several evaluations of one task, each with its p-value adjusted for their number (Holm, 1979).

    Raises:
        UsageError: As for `compare`.
        DataError: As for `compare`.
    """
    from windtunnel.statistics import comparisons

    found = [compare(one, other, metric) for one, other in combinations(results, 2)]
    adjusted = comparisons.holm([each.p_value for each in found])
    return list(zip(found, adjusted, strict=True))


def _named(results: Results) -> str:
    return f"{results.header['task']} version {results.header['version']}, {results.header['digest'][:12]}"


def _failed(results: Results, keys: Sequence[Key]) -> set[Key]:
    failed = {(record["id"], record["epoch"]) for record in results.records if is_failed(record)}
    return failed & set(keys)


def _bounds(
    one: dict[Key, float], other: dict[Key, float], keys: Sequence[Key], failed_one: set[Key], failed_other: set[Key]
) -> tuple[float, float] | None:
    """Ends of the difference over what failed samples may have been; None where none failed."""
    if not failed_one and not failed_other:
        return None
    ends = []
    for lowest in (True, False):
        gaps = {
            key: (float(not lowest) if key in failed_one else one[key])
            - (float(lowest) if key in failed_other else other[key])
            for key in keys
        }
        means = mean_by_sample(gaps)
        ends.append(sum(means.values()) / len(means))
    return ends[0], ends[1]
