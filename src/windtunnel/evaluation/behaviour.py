"""A behaviour over a family of models: whether it rises or falls with size, or with steps of training, and how surely.

Inverse scaling is here a statement with an interval: the slope of an unwanted behaviour per decade of parameters, with
a permutation p-value, corrected for the number of behaviours looked at (Perez et al., 2022, Figures 3 and 4, where
curves are shown without). The unit is the run: one trained model, not a checkpoint or a question.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from windtunnel.laboratory.errors import DataError, UsageError
from windtunnel.statistics.comparisons import benjamini_hochberg, paired
from windtunnel.statistics.estimates import Estimate
from windtunnel.statistics.intervals import Floats, bootstrap, checked, proportion

if TYPE_CHECKING:
    from windtunnel.evaluation.results import Results

Axis = Literal["decades", "linear"]
"""What a slope is per: a factor of ten of x (parameters), or one unit of x (steps)."""


@dataclass(frozen=True)
class Measured:
    """What was measured of one behaviour of one model.

    Attributes:
        behaviour: Its name.
        x: Parameters, steps, or whatever orders the family.
        value: The metric, as a share of answers that match.
        run: The model's own name, so that models of one x are told apart.
    """

    behaviour: str
    x: float
    value: float
    run: str = ""


@dataclass(frozen=True)
class Trend:
    """How a behaviour changes along a family.

    Attributes:
        behaviour: Its name.
        slope: Change of the metric per decade or unit of x, by least squares, with Student's interval over runs.
        p_value: Two-sided, by permuting which run has which x; exact where there are few runs.
        rank_correlation: Spearman's.
        runs: How many.
        adjusted: The p-value corrected for the number of behaviours tested together; None: it was tested alone.
    """

    behaviour: str
    slope: Estimate
    p_value: float
    rank_correlation: float
    runs: int
    adjusted: float | None = None

    def rises(self, rate: float = 0.05) -> bool:
        """Whether it rises: the interval is above 0 and the (corrected) p-value at most `rate`."""
        return self.slope.low > 0 and (self.p_value if self.adjusted is None else self.adjusted) <= rate

    def falls(self, rate: float = 0.05) -> bool:
        """Whether it falls, likewise."""
        return self.slope.high < 0 and (self.p_value if self.adjusted is None else self.adjusted) <= rate

    def as_row(self) -> dict[str, Any]:
        """A row of a table."""
        return {
            "behaviour": self.behaviour,
            "slope": self.slope.value,
            "low": self.slope.low,
            "high": self.slope.high,
            "p": self.p_value,
            "p corrected": self.adjusted,
            "Spearman": self.rank_correlation,
            "runs": self.runs,
        }


def trend(
    x: ArrayLike,
    values: ArrayLike,
    *,
    generator: np.random.Generator,
    behaviour: str = "",
    axis: Axis = "decades",
    level: float = 0.95,
    permutations: int = 5_000,
) -> Trend:
    """The trend of one behaviour.

    Args:
        x: Parameters or steps of each run.
        values: The metric of each run.
        generator: Source of the permutations, where there are too many to try all.
        behaviour: Its name.
        axis: `decades`: slope per factor of ten of x; `linear`: per unit.
        level: Coverage aimed at.
        permutations: Most permutations tried.

    Raises:
        DataError: Fewer than three runs, all of one x, or an x that has no logarithm.
        UsageError: Not one value per x.
    """
    from scipy.stats import permutation_test, spearmanr, t

    places, found = paired(x, values)
    places = _along(places, axis)
    if len(places) < 3 or np.ptp(places) == 0:
        raise DataError(f"A trend needs three runs at two sizes or more, not {len(places)}; measure more models.")
    centred = places - places.mean()
    value = float(centred @ found / (centred @ centred))
    residual = found - found.mean() - value * centred
    error = float((residual @ residual / (len(found) - 2) / (centred @ centred)) ** 0.5)
    half = float(t.ppf(0.5 + checked(level) / 2, len(found) - 2)) * error
    tested = permutation_test(
        (centred,),
        lambda drawn, axis: (drawn * (found - found.mean())).sum(axis),
        permutation_type="pairings",
        vectorized=True,
        n_resamples=permutations,
        rng=generator,
    )
    flat = np.ptp(found) == 0
    rank = 0.0 if flat else float(spearmanr(places, found).statistic)
    slope = Estimate(value, value - half, value + half, level)
    return Trend(behaviour, slope, 1.0 if flat else float(tested.pvalue), rank, len(found))


def trends(
    rows: Sequence[Measured],
    *,
    generator: np.random.Generator,
    axis: Axis = "decades",
    level: float = 0.95,
    permutations: int = 5_000,
) -> list[Trend]:
    """The trend of every behaviour, with p-values corrected by Benjamini and Hochberg over all of them.

    Raises:
        DataError: As for `trend`.
    """
    names = list(dict.fromkeys(row.behaviour for row in rows))
    found = []
    for name in names:
        mine = [row for row in rows if row.behaviour == name]
        options = {"axis": axis, "level": level, "permutations": permutations}
        x, values = [row.x for row in mine], [row.value for row in mine]
        found.append(trend(x, values, generator=generator, behaviour=name, **options))  # type: ignore[arg-type]
    corrected = benjamini_hochberg([each.p_value for each in found])
    return [replace(each, adjusted=value) for each, value in zip(found, corrected, strict=True)]


@dataclass(frozen=True)
class Signs:
    """How many behaviours rise and fall.

    Attributes:
        rising: Behaviours whose slope is above 0.
        falling: Below 0; those of slope 0 are in neither.
        share: Of the rising ones among both, with the exact interval.
        p_value: Two-sided, if each were as likely to rise as to fall.
    """

    rising: int
    falling: int
    share: Estimate
    p_value: float


def sign_test(found: Sequence[Trend]) -> Signs:
    """Whether more behaviours rise than fall, by the signs of their slopes; behaviours are taken as independent.

    Raises:
        DataError: No slope differs from 0.
    """
    from scipy.stats import binomtest

    rising = sum(each.slope.value > 0 for each in found)
    falling = sum(each.slope.value < 0 for each in found)
    if not rising + falling:
        raise DataError("No behaviour rises or falls, so that there is nothing to count; measure others.")
    share = proportion(rising, rising + falling)
    return Signs(rising, falling, share, float(binomtest(rising, rising + falling).pvalue))


def slope_over_questions(
    x: ArrayLike,
    values: ArrayLike,
    *,
    generator: np.random.Generator,
    clusters: Sequence[Any] | None = None,
    axis: Axis = "decades",
    level: float = 0.95,
    resamples: int = 2_000,
) -> Estimate:
    """The slope of these very models, with its interval over questions.

    It answers another question than `trend`: not what other models of the family would do, but what these do on other
    questions of the kind. For a handful of published models it is the only sharp one.

    Args:
        x: Parameters or steps of each model.
        values: The metric by model and question, [model, question].
        generator: Source of the resampling.
        clusters: The passage, template or person of each question.
        axis: As for `trend`.
        level: Coverage aimed at.
        resamples: How many.

    Raises:
        DataError: Fewer than two sizes, or a value is not finite.
        UsageError: Not one row per model.
    """
    table = np.asarray(values, dtype=np.float64)
    places = _along(np.asarray(x, dtype=np.float64), axis)
    if table.ndim != 2 or len(table) != len(places):
        raise UsageError(f"Values must be [model, question] with a row for each of {len(places)} models.")
    if len(places) < 2 or np.ptp(places) == 0:
        raise DataError("A slope needs models of two sizes or more; measure more models.")
    centred = places - places.mean()
    return bootstrap(  # least squares is linear: the slope of means is the mean of the questions' slopes
        centred @ table / (centred @ centred),
        generator=generator,
        clusters=clusters,
        level=level,
        resamples=resamples,
    )


def from_results(results: "Mapping[float, Results]", metric: str, by: str = "behaviour") -> list[Measured]:
    """One row per behaviour and model, from evaluations of one task on each model of a family.

    Args:
        results: Results by parameters or steps.
        metric: The metric taken.
        by: The metadata of samples that names the behaviour.
    """
    rows = []
    for x, found in results.items():
        behaviours = {record["id"]: record["sample"].get("metadata", {}).get(by, "") for record in found.records}
        values: dict[str, list[float]] = {}
        for (sample, _), value in found.values(metric).items():
            values.setdefault(str(behaviours[sample]), []).append(value)
        rows += [Measured(name, float(x), float(np.mean(mine))) for name, mine in values.items()]
    return rows


def _along(x: Floats, axis: Axis) -> Floats:
    if axis == "linear":
        return x
    if axis != "decades":
        raise UsageError(f"There is no axis {axis!r}; choose decades or linear.")
    if (x <= 0).any():
        raise DataError("An x of 0 or less has no decade; use the linear axis for steps that begin at 0.")
    return np.asarray(np.log10(x))
