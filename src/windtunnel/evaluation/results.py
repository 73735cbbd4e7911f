"""What an evaluation found: every sample, counts that hide nothing, and numbers with intervals."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from windtunnel.evaluation.log import read_header, read_records
from windtunnel.evaluation.tasks import Mark, Output, Sample
from windtunnel.laboratory.errors import DataError, UsageError
from windtunnel.statistics.estimates import Estimate

if TYPE_CHECKING:
    import numpy as np

Key = tuple[str, int]
"""A sample's id and its epoch."""

FEWEST_FOR_BOOTSTRAP = 6
"""From fewer independent units a bootstrap cannot reach its level."""

OF_THE_QUESTION = frozenset({"chance", "mass"})
"""Metrics that say nothing of how well a sample was answered: summaries leave failed samples out of them."""


def is_failed(record: Mapping[str, Any]) -> bool:
    """Whether a record holds no answer or no mark."""
    mark = record["mark"]
    return record["output"].get("error") is not None or mark is None or mark.get("error") is not None


@dataclass(frozen=True)
class Results:
    """One evaluation of one model on one task.

    Attributes:
        directory: Where its log is, or None.
        header: What was asked, of whom, with what, and when.
        records: In the order of the dataset: `id`, `index`, `epoch`, `sample`, `output`, `mark`, each as JSON holds it.
    """

    directory: Path | None
    header: dict[str, Any]
    records: list[dict[str, Any]]

    @classmethod
    def load(cls, directory: str | Path) -> "Results":
        """Read an evaluation, also one that is not finished; or a log of Inspect, `.json` or `.eval`.

        Raises:
            DataError: There is none, or it is damaged.
        """
        directory = Path(directory)
        if directory.suffix in (".json", ".eval") and directory.is_file():
            from windtunnel.evaluation.inspect_logs import read_inspect_log

            return read_inspect_log(directory)
        header = read_header(directory)
        records = sorted(read_records(directory).values(), key=lambda record: (record["index"], record["epoch"]))
        return cls(directory, header, records)

    @property
    def counts(self) -> dict[str, int]:
        """What became of the samples, epochs counted.

        Returns:
            `planned`; `scored`: those with a mark; `refused`: those that the model declined to answer, whether the
            scorer has a mark for that or not; `failed`: those without an answer or without a mark, `unasked`: those
            still to come. Planned are scored, failed and unasked together.
        """
        failed = sum(map(is_failed, self.records))
        return {
            "planned": self.header["planned"],
            "scored": len(self.records) - failed,
            "refused": sum(bool(record["output"].get("refused")) for record in self.records),
            "failed": failed,
            "unasked": self.header["planned"] - len(self.records),
        }

    @property
    def complete(self) -> bool:
        """Whether every planned sample has a mark."""
        return self.counts["scored"] == self.counts["planned"]

    @cached_property
    def metrics(self) -> list[str]:
        """Names of the metrics that some sample has, the headline metric first."""
        found = dict.fromkeys([self.header["metric"]])
        for record in self.records:
            if not is_failed(record):
                found |= dict.fromkeys(record["mark"].get("values", {}))
        return [name for name in found if self.values(name)]

    def sample(self, record: Mapping[str, Any]) -> tuple[Sample, Output, Mark | None]:
        """A record as sample, output and mark."""
        mark = record["mark"]
        output = Output.from_dict(record["output"])
        return Sample.from_dict(record["sample"]), output, None if mark is None else Mark.from_dict(mark)

    def values(self, name: str | None = None) -> dict[Key, float]:
        """A metric by sample id and epoch, of the samples that have it."""
        name = name or self.header["metric"]
        return {
            (record["id"], record["epoch"]): float(record["mark"]["values"][name])
            for record in self.records
            if not is_failed(record) and name in record["mark"].get("values", {})
        }

    def counted(self, name: str | None = None, missing: float | None = 0.0) -> dict[Key, float]:
        """A metric by sample id and epoch, with a value for samples that failed.

        A metric that scored samples have only in part is of these samples alone, failed ones left out.

        Args:
            name: The metric; None: the headline metric.
            missing: What a failed sample counts as; None leaves it out.

        Raises:
            UsageError: No sample has the metric.
            DataError: Samples failed, and the metric is not one between 0 and 1 in which 0 would be failure.
        """
        name = name or self.header["metric"]
        values = self.values(name)
        scored = len(self.records) - sum(map(is_failed, self.records))
        if not values and scored:
            raise UsageError(f"No sample has the metric {name!r}; there are: {', '.join(self.metrics) or 'none'}.")
        failed = [(record["id"], record["epoch"]) for record in self.records if is_failed(record)]
        if not failed or missing is None or len(values) < scored:
            return values
        if missing == 0.0 and not all(0 <= value <= 1 for value in values.values()):
            raise DataError(
                f"{len(failed)} samples failed, and {name} is no number between 0 and 1 in which 0 would be failure; "
                "say what they count as: missing=NUMBER, or missing=None to leave them out."
            )
        values |= dict.fromkeys(failed, missing)
        order = {(record["id"], record["epoch"]): place for place, record in enumerate(self.records)}
        return dict(sorted(values.items(), key=lambda item: order[item[0]]))

    def metric(
        self,
        name: str | None = None,
        by: str | None = None,
        *,
        missing: float | None = 0.0,
        level: float = 0.95,
    ) -> Estimate:
        """Mean of a metric with its interval.

        Epochs of a sample are averaged first. Samples of one cluster are kept together. See `interval_of_mean`.

        Args:
            name: The metric; None: the headline metric.
            by: Metadata by which samples belong together, in place of their clusters.
            missing: What a failed sample counts as: as 0 it stays in the denominator; None leaves it out.
            level: Coverage aimed at.

        Raises:
            UsageError: No sample has the metric.
            DataError: There are no samples, or samples failed and 0 would be no failure.
        """
        return self._estimate(self.counted(name, missing), by, level)

    def by(
        self, key: str, name: str | None = None, *, missing: float | None = 0.0, level: float = 0.95
    ) -> dict[str, Estimate]:
        """Mean of a metric in each group of samples with one value of a metadata key; groups in sorted order.

        Raises:
            UsageError: No sample has the key, or none the metric.
            DataError: As for `metric`.
        """
        groups: dict[str, dict[Key, float]] = {}
        metadata = {record["id"]: record["sample"].get("metadata", {}) for record in self.records}
        for place, value in self.counted(name, missing).items():
            if key in metadata[place[0]]:
                groups.setdefault(str(metadata[place[0]][key]), {})[place] = value
        if not groups:
            known = sorted({each for facts in metadata.values() for each in facts})
            raise UsageError(f"No sample has the metadata {key!r}; there are: {', '.join(known) or 'none'}.")
        return {group: self._estimate(groups[group], None, level) for group in sorted(groups)}

    def bounds(self, name: str | None = None, *, low: float = 0.0, high: float = 1.0) -> tuple[float, float]:
        """The mean of a metric if every sample without a mark had the lowest value, and if it had the highest.

        Samples still to come count among them.

        Args:
            name: The metric; None: the headline metric.
            low: Its lowest possible value.
            high: Its highest possible value.

        Raises:
            DataError: A value lies outside of these.
        """
        name = name or self.header["metric"]
        values = list(self.values(name).values())
        if any(not low <= value <= high for value in values):
            raise DataError(f"{name} has values outside of {low:g} to {high:g}; give its low and high.")
        missing = self.counts["failed"] + self.counts["unasked"]
        count = len(values) + missing
        if count == 0:
            raise DataError("There is no sample to bound; ask one first.")
        return (sum(values) + low * missing) / count, (sum(values) + high * missing) / count

    @cached_property
    def clusters(self) -> dict[str, str]:
        """The cluster of each sample by id: its own where it has none."""
        return {record["id"]: cluster_of(record["sample"].get("cluster"), record["id"]) for record in self.records}

    def summary(self) -> dict[str, Any]:
        """What a person is told first, JSON-ready: task, model, counts, metrics with intervals, bounds, clusters."""
        from windtunnel.evaluation.whole import whole_metric, whole_metrics

        found: dict[str, Any] = {
            "task": self.header["task"],
            "model": self.header["model"],
            "directory": None if self.directory is None else str(self.directory),
            "counts": self.counts,
            "clusters": len(set(self.clusters.values())),
            "epochs": self.header["epochs"],
            "metrics": {},
        }
        for name in self.metrics:
            missing = 0.0 if name not in OF_THE_QUESTION and _is_share(self.values(name).values()) else None
            estimate = self.metric(name, missing=missing)
            found["metrics"][name] = {"value": estimate.value, "interval": list(estimate.interval)}
            if not self.complete and missing is not None:
                found["metrics"][name]["bounds"] = list(self.bounds(name))
        for name in whole_metrics(self):
            estimate = whole_metric(self, name)
            found["metrics"][name] = {"value": estimate.value, "interval": list(estimate.interval)}
        return found

    def page(self, out: str | Path | None = None) -> Path:
        """Write a page of all samples that opens offline; by default `samples.html` in the directory.

        Raises:
            UsageError: The results have no directory, and no path is given.
        """
        from windtunnel.evaluation.pages import write_page

        if out is None and self.directory is None:
            raise UsageError("These results are in memory only; give a path for the page.")
        path = Path(out) if out is not None else Path(str(self.directory)) / "samples.html"
        write_page(self, path)
        return path

    def generator(self, *names: str) -> "np.random.Generator":
        """A generator that depends on the evaluation's seed and the names only."""
        import numpy as np

        text = "\0".join(names).encode()
        return np.random.default_rng([int(self.header["seed"]) % 2**64, *text])

    def _estimate(self, values: Mapping[Key, float], by: str | None, level: float) -> Estimate:
        clusters: Mapping[str, str] = self.clusters
        if by is not None:
            clusters = {
                record["id"]: cluster_of(record["sample"].get("metadata", {}).get(by), record["id"])
                for record in self.records
            }
        means = mean_by_sample(values)
        return interval_of_mean(
            list(means.values()), [clusters[name] for name in means], generator=self.generator("metric"), level=level
        )


def cluster_of(name: Any, sample: str) -> str:
    """The name of a sample's cluster, or one of its own that no cluster has."""
    return f"sample {sample}" if name is None else f"cluster {name}"


def mean_by_sample(values: Mapping[Key, float]) -> dict[str, float]:
    """The mean over epochs of each sample."""
    found: dict[str, list[float]] = {}
    for (name, _), value in values.items():
        found.setdefault(name, []).append(value)
    return {name: sum(each) / len(each) for name, each in found.items()}


def interval_of_mean(
    values: Sequence[float], clusters: Sequence[str], *, generator: "np.random.Generator", level: float = 0.95
) -> Estimate:
    """Mean over samples with an interval that resamples whole clusters.

    Zeros and ones of unrelated samples have Wilson's interval. Otherwise it is the clustered bootstrap; of fewer than
    six clusters, Student's t over them, from the clustered standard error (Miller, 2024, arXiv:2411.00640, section
    2.2) with as many degrees of freedom as clusters, less one, of zeros and ones cut at these. Where all clustered
    samples are 0, or all 1, resampling shows no doubt: then it is Wilson's, of as many trials as there are clusters.

    Raises:
        DataError: There are no values.
    """
    import numpy as np

    from windtunnel.statistics import intervals

    data = intervals.finite(values)
    units = len(set(clusters))
    if set(data) <= {0.0, 1.0} and (units == len(data) or len(set(data)) == 1):
        return intervals.wilson(round(float(data.mean()) * units), units, level=level)
    if units >= FEWEST_FOR_BOOTSTRAP:
        return intervals.bootstrap(
            data, generator=generator, clusters=None if units == len(data) else clusters, level=level
        )
    gaps = np.bincount(intervals.numbered(clusters, len(data)), weights=data - data.mean())
    found = intervals.mean(data.mean() + units / len(data) * gaps, level=level)
    if set(data) <= {0.0, 1.0}:  # Student's t knows of no ends
        return Estimate(found.value, max(found.low, 0.0), min(found.high, 1.0), level)
    return found


def _is_share(values: Any) -> bool:
    return all(0 <= value <= 1 for value in values)
