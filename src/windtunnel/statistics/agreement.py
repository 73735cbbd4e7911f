"""How far raters agree: shares, kappas and Krippendorff's alpha, each with an interval over items.

Ratings are a table [item, rater] of categories (numbers or texts); None and NaN mark what a rater did not rate. Items
with fewer than two ratings say nothing about agreement and are left out. Intervals resample whole items.
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np

from windtunnel.laboratory.errors import DataError, UsageError
from windtunnel.statistics.estimates import Estimate
from windtunnel.statistics.intervals import Floats, bootstrap

Ratings = Sequence[Sequence[Any]]
Scale = Literal["nominal", "ordinal", "interval"]


def percent_agreement(
    ratings: Ratings, *, generator: np.random.Generator, level: float = 0.95, resamples: int = 2_000
) -> Estimate:
    """Share of pairs of raters who chose alike, averaged over items.

    Raises:
        DataError: No item has two ratings.
    """
    counts, _ = _counts(ratings, least=1)
    shares = np.stack([_pairs_alike(counts), np.ones(len(counts))], axis=1)
    return _over_items(shares, lambda sums: sums[..., 0] / sums[..., 1], generator, level, resamples)


def cohen_kappa(
    first: Sequence[Any],
    second: Sequence[Any],
    *,
    generator: np.random.Generator,
    level: float = 0.95,
    resamples: int = 2_000,
) -> Estimate:
    """Agreement of two raters beyond chance (Cohen, 1960): chance is what each rater's own habits would give.

    Raises:
        DataError: No item was rated by both, or both chose one category throughout: chance agreement is then perfect.
        UsageError: The two are not one-to-one.
    """
    if len(first) != len(second):
        raise UsageError(f"Two raters' ratings must be one-to-one, not {len(first)} and {len(second)}.")
    both = [(one, other) for one, other in zip(first, second, strict=True) if not _absent(one) and not _absent(other)]
    if not both:
        raise DataError("No item was rated by both raters; agreement needs at least one.")
    categories = _categories([rating for pair in both for rating in pair])
    size = len(categories)
    joint = np.zeros((len(both), size * size))
    for row, (one, other) in enumerate(both):
        joint[row, categories[one] * size + categories[other]] = 1.0

    def kappa(sums: Floats) -> Floats:
        table = sums.reshape(*sums.shape[:-1], size, size)
        total = table.sum((-2, -1))
        observed = np.trace(table, axis1=-2, axis2=-1) / total
        expected = (table.sum(-1) * table.sum(-2)).sum(-1) / total**2
        return _beyond_chance(observed, expected)

    return _over_items(joint, kappa, generator, level, resamples)


def fleiss_kappa(
    ratings: Ratings, *, generator: np.random.Generator, level: float = 0.95, resamples: int = 2_000
) -> Estimate:
    """Agreement of several raters beyond chance (Fleiss, 1971): chance is what the shares of categories would give.

    Every item needs as many ratings; who gave them does not matter.

    Raises:
        DataError: Items have different numbers of ratings, or all ratings are of one category.
    """
    counts, _ = _counts(ratings)
    if len(np.unique(counts.sum(1))) > 1:
        raise DataError("Fleiss' kappa needs as many ratings of every item; use krippendorff_alpha where some miss.")
    parts = np.concatenate([_pairs_alike(counts)[:, None], counts], axis=1)
    raters = counts[0].sum()

    def kappa(sums: Floats) -> Floats:
        items = sums[..., 1:].sum(-1) / raters
        shares = sums[..., 1:] / (items * raters)[..., None]
        return _beyond_chance(sums[..., 0] / items, (shares**2).sum(-1))

    return _over_items(parts, kappa, generator, level, resamples)


def krippendorff_alpha(
    ratings: Ratings,
    scale: Scale = "nominal",
    *,
    generator: np.random.Generator,
    level: float = 0.95,
    resamples: int = 2_000,
) -> Estimate:
    """One minus observed over expected disagreement (Krippendorff, 2011), whatever is missing.

    Args:
        ratings: Table [item, rater].
        scale: `nominal`: categories differ or not; `ordinal`: by the ratings between them; `interval`: by the square
            of their distance, which needs numbers.
        generator: Source of the resampling.
        level: Coverage aimed at.
        resamples: How many.

    Raises:
        DataError: No item has two ratings, all ratings are alike, or the scale needs numbers and has none.
        UsageError: An unknown scale.
    """
    counts, categories = _counts(ratings)
    if scale not in ("nominal", "ordinal", "interval"):
        raise UsageError(f"There is no scale {scale!r}; choose nominal, ordinal or interval.")
    if scale != "nominal" and not all(isinstance(each, int | float | np.number) for each in categories):
        raise DataError(f"An {scale} scale needs numbers; give numbers, or use the nominal scale.")
    size, given = len(categories), counts.sum(1)
    alike = counts[:, :, None] * counts[:, None, :] - counts[:, :, None] * np.eye(size)
    coincidences = (alike / (given - 1)[:, None, None]).reshape(len(counts), -1)
    values = np.array(categories, dtype=np.float64) if scale == "interval" else np.arange(size, dtype=np.float64)

    def alpha(sums: Floats) -> Floats:
        table = sums.reshape(*sums.shape[:-1], size, size)
        totals = table.sum(-1)
        distance = _distances(scale, values, totals)
        number = totals.sum(-1)
        observed = (table * distance).sum((-2, -1)) / number
        pairs = totals[..., :, None] * totals[..., None, :]
        expected = (pairs * distance).sum((-2, -1)) / (number * (number - 1))
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(expected > 0, 1 - observed / expected, 1.0)

    return _over_items(coincidences, alpha, generator, level, resamples)


def _distances(scale: Scale, values: Floats, totals: Floats) -> Floats:
    """Squared distance between each two categories, [..., category, category]."""
    if scale == "nominal":
        return 1 - np.eye(len(values))
    if scale == "interval":
        return (values[:, None] - values[None, :]) ** 2
    below = np.cumsum(totals, axis=-1) - totals / 2  # the middle of each category among all ratings
    return np.asarray((below[..., :, None] - below[..., None, :]) ** 2)


def _over_items(
    parts: Floats, statistic: Callable[[Floats], Floats], generator: np.random.Generator, level: float, resamples: int
) -> Estimate:
    """A statistic of sums over items, [item, part], with its bootstrap interval over items."""
    count = len(parts)

    def of_drawn(drawn: Floats, axis: int) -> Floats:
        places = np.asarray(drawn, dtype=np.intp)
        if places.ndim == 1:
            return statistic(parts[places].sum(0))
        rows = places.reshape(-1, places.shape[-1])
        offsets = np.arange(len(rows))[:, None] * count
        times = np.bincount((rows + offsets).ravel(), minlength=len(rows) * count).reshape(len(rows), count)
        return statistic(times @ parts).reshape(places.shape[:-1])

    if np.ptp(parts, axis=0).max() == 0:  # every item says the same: resampling changes nothing
        value = float(statistic(parts.sum(0)))
        return Estimate(value, value, value, level)
    return bootstrap(np.arange(count), generator=generator, statistic=of_drawn, level=level, resamples=resamples)


def _beyond_chance(observed: Floats, expected: Floats) -> Floats:
    """Kappa; 1 in a resample without any variation, of which it is not defined."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(expected < 1 - 1e-12, (observed - expected) / (1 - expected), 1.0)


def _pairs_alike(counts: Floats) -> Floats:
    given = counts.sum(1)
    return np.asarray((counts * (counts - 1)).sum(1) / (given * (given - 1)))


def _counts(ratings: Ratings, least: int = 2) -> tuple[Floats, list[Any]]:
    """Ratings of each item by category, [item, category], of items with two or more, and the categories in order."""
    rows = [[rating for rating in item if not _absent(rating)] for item in ratings]
    rows = [row for row in rows if len(row) > 1]
    if not rows:
        raise DataError("No item has two ratings; agreement needs at least one that two raters rated.")
    categories = _categories([rating for row in rows for rating in row], least)
    counts = np.zeros((len(rows), len(categories)))
    for place, row in enumerate(rows):
        for rating in row:
            counts[place, categories[rating]] += 1
    return counts, list(categories)


def _categories(ratings: Sequence[Any], least: int = 2) -> dict[Any, int]:
    """The number of each category, in their order.

    Raises:
        DataError: There are fewer than `least` (with one, agreement beyond chance is not defined), or they cannot be
            ordered.
    """
    try:
        found = sorted(set(ratings))
    except TypeError:
        raise DataError("Ratings are of several types; give numbers only, or texts only.") from None
    if len(found) < least:
        raise DataError(
            f"All ratings are {found[0]!r}: agreement beyond chance is not defined; rate items that differ."
        )
    return {category: place for place, category in enumerate(found)}


def _absent(rating: Any) -> bool:
    return rating is None or (isinstance(rating, float | np.floating) and bool(np.isnan(rating)))
