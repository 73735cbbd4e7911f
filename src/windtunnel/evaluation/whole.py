"""Metrics of a whole set of answers that are no means over samples, but made of sums: BLEU, F1 of labels.

A scorer leaves what a sample adds to the sums in its mark's `parts`, by metric. Here the sums become the metric, and
resampling the samples, whole clusters of them, gives its interval. A failed sample adds what the worst answer would.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from windtunnel.evaluation.bleu import bleu, worst_translation
from windtunnel.evaluation.labels import f1_of_labels, worst_label
from windtunnel.evaluation.results import FEWEST_FOR_BOOTSTRAP, Results, interval_of_mean, is_failed
from windtunnel.evaluation.tasks import Sample
from windtunnel.laboratory.errors import UsageError
from windtunnel.statistics import intervals
from windtunnel.statistics.estimates import Estimate


@dataclass(frozen=True)
class WholeMetric:
    """A metric made of sums.

    Attributes:
        value: The metric of the sums.
        worst: What a sample adds whose answer could not be worse, by the description of the scorer.
    """

    value: Callable[[NDArray[np.float64]], float]
    worst: Callable[[Sample, Mapping[str, Any]], Sequence[float]]


METRICS = {"bleu": WholeMetric(bleu, worst_translation), "f1_of_labels": WholeMetric(f1_of_labels, worst_label)}
"""The metrics by name."""


def whole_metrics(results: Results) -> list[str]:
    """Names of the metrics that every marked sample has parts of."""
    marks = [record["mark"] for record in results.records if not is_failed(record)]
    return [name for name in METRICS if marks and all(name in mark.get("parts", {}) for mark in marks)]


def whole_metric(results: Results, name: str, *, level: float = 0.95) -> Estimate:
    """A metric of a whole set of answers, with the interval of resampled clusters.

    Of fewer than six clusters no interval can be trusted: it is unbounded.

    Args:
        results: Of a scorer that leaves the metric's parts.
        name: A name of `METRICS`.
        level: Coverage aimed at.

    Raises:
        UsageError: Samples lack parts of this metric.
    """
    if name not in whole_metrics(results):
        raise UsageError(
            f"These samples have no parts of a metric {name!r}; metrics of whole sets: {', '.join(METRICS)}."
        )
    metric, sums = METRICS[name], _by_cluster(results, name)
    if len(sums) < FEWEST_FOR_BOOTSTRAP:
        return Estimate(metric.value(sums.sum(0)), -np.inf, np.inf, level)

    def statistic(drawn: NDArray[np.float64], axis: int = -1) -> Any:
        return np.apply_along_axis(metric.value, -1, sums[drawn.astype(int)].sum(axis=drawn.ndim - 1))

    generator = results.generator("whole", name)
    return intervals.bootstrap(np.arange(len(sums)), generator=generator, statistic=statistic, level=level)


def all_right(results: Results, key: str) -> Estimate:
    """Share of questions of which every sample is right, as of all answers to a question of MultiRC.

    Args:
        results: With an `accuracy` of zeros and ones; a failed sample counts as wrong.
        key: Metadata that samples of one question share; intervals keep the clusters of their samples together.

    Raises:
        UsageError: A sample lacks the key, or none has an accuracy.
    """
    questions = {record["id"]: record["sample"].get("metadata", {}).get(key) for record in results.records}
    if None in questions.values():
        raise UsageError(f"A sample has no metadata {key!r}, so that it is of no question; name what all have.")
    right: dict[str, float] = {}
    cluster: dict[str, str] = {}
    for (sample, epoch), value in results.counted("accuracy").items():
        question = f"{questions[sample]} {epoch}"
        right[question] = min(right.get(question, 1.0), value)
        cluster[question] = results.clusters[sample]
    values, clusters = list(right.values()), [cluster[question] for question in right]
    return interval_of_mean(values, clusters, generator=results.generator("all right"))


def _by_cluster(results: Results, name: str) -> NDArray[np.float64]:
    """What each cluster adds to the sums."""
    found: dict[str, NDArray[np.float64]] = {}
    for record in results.records:
        if is_failed(record):
            parts = METRICS[name].worst(Sample.from_dict(record["sample"]), results.header["scorer"])
        else:
            parts = record["mark"]["parts"][name]
        cluster = results.clusters[record["id"]]
        found[cluster] = found.get(cluster, np.zeros(len(parts))) + np.asarray(parts, dtype=np.float64)
    return np.stack(list(found.values()))
