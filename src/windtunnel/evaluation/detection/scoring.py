"""How well people tell generated texts from others: accuracy, d', and how sure that is.

The paper's accuracy is a participant's correct choices over their choices that take a side, averaged over participants,
with Student's interval, and compared with that of the control model by a two-sample t-test (Brown et al., 2020, Section
3.9.4, Table 3.11). That treats the texts as given. The interval for other texts of the kind as well is `over_both`.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from windtunnel.evaluation.detection.ratings import NEUTRAL, Rating
from windtunnel.laboratory.errors import DataError
from windtunnel.statistics.comparisons import paired
from windtunnel.statistics.estimates import Estimate
from windtunnel.statistics.intervals import bootstrap, checked, mean


@dataclass(frozen=True)
class Detection:
    """How well the participants of one model told its texts from others.

    Attributes:
        accuracy: Mean over participants of right choices among those that take a side, with Student's interval.
        over_both: Share of right choices among all that take a side, with an interval for other participants and other
            texts as well.
        d_prime: Sensitivity, of all ratings together, with an interval over participants.
        neutral: Share of choices that take no side.
        participants: How many are counted.
        undecided: How many took no side at all, and have no accuracy.
    """

    accuracy: Estimate
    over_both: Estimate
    d_prime: Estimate
    neutral: float
    participants: int
    undecided: int


def score(ratings: Sequence[Rating], generator: np.random.Generator, level: float = 0.95) -> Detection:
    """Score the ratings of one model's texts among those of people.

    Args:
        ratings: Of that model's participants.
        generator: Source of the resampling.
        level: Coverage aimed at.

    Raises:
        DataError: No rating takes a side, or one of the two kinds of texts was not rated.
    """
    shares = participant_accuracies(ratings)
    decided = [rating for rating in ratings if not rating.neutral]
    both = two_way_mean(
        [rating.correct for rating in decided],
        [rating.participant for rating in decided],
        [rating.article for rating in decided],
        level,
    )
    everyone = {rating.participant for rating in ratings}
    return Detection(
        mean(list(shares.values()), level=level),
        both,
        sensitivity(ratings, generator, level),
        1 - len(decided) / len(ratings),
        len(everyone),
        len(everyone) - len(shares),
    )


def participant_accuracies(ratings: Sequence[Rating]) -> dict[str, float]:
    """Right choices over choices that take a side, by participant; who took no side is missing.

    Raises:
        DataError: No one took a side.
    """
    by_participant = defaultdict(list)
    for rating in ratings:
        if not rating.neutral:
            by_participant[rating.participant].append(rating.correct)
    if not by_participant:
        raise DataError("No rating takes a side, so that there is no accuracy; collect more.")
    return {name: float(np.mean(right)) for name, right in by_participant.items()}


def two_way_mean(
    values: Sequence[float], participants: Sequence[str], articles: Sequence[str], level: float = 0.95
) -> Estimate:
    """Mean of values that share participants and articles, with an interval for drawing both anew.

    The variance is that clustered by participants, plus that by articles, less that of single values (Cameron, Gelbach
    and Miller, 2011), never less than either of the first two; Student's t with the smaller number of clusters, less
    one.
    """
    from scipy.stats import t

    data = np.asarray(values, np.float64)
    gaps = data - data.mean()
    counts, variances = [], []
    for names in (participants, articles):
        number = np.unique(np.asarray(names), return_inverse=True)[1]
        sums = np.bincount(number, weights=gaps)
        counts.append(len(sums))
        variances.append(float((sums**2).sum()) * len(sums) / max(len(sums) - 1, 1))
    single = float((gaps**2).sum()) * len(data) / max(len(data) - 1, 1)
    variance = max(sum(variances) - single, *variances) / len(data) ** 2
    fewest = min(counts)
    centre = float(data.mean())
    if fewest < 2:
        return Estimate(centre, -np.inf, np.inf, checked(level))
    half = float(t.ppf(0.5 + checked(level) / 2, fewest - 1)) * variance**0.5
    return Estimate(centre, centre - half, centre + half, level)


def sensitivity(ratings: Sequence[Rating], generator: np.random.Generator, level: float = 0.95) -> Estimate:
    """The d' of all ratings together: z of the share called machine among generated texts less that among the others.

    A choice that takes no side is not a call of machine. Half a rating is added to every count (Hautus, 1995), so that
    shares of 0 and 1 have a z. Participants who draw the line elsewhere make it smaller than each one's own.

    Raises:
        DataError: One of the two kinds of texts was not rated.
    """
    names = sorted({rating.participant for rating in ratings})
    number = {name: place for place, name in enumerate(names)}
    table = np.zeros((len(names), 4))  # generated, of them called machine, others, of them called machine
    for rating in ratings:
        row = table[number[rating.participant]]
        kind = 0 if rating.generated else 2
        row[kind] += 1
        row[kind + 1] += rating.choice > NEUTRAL
    total = table.sum(axis=0)
    if not total[0] or not total[2]:
        raise DataError("d' needs ratings of generated texts and of others; one of the two is missing.")
    found = bootstrap(
        np.arange(len(names)),
        generator=generator,
        statistic=lambda drawn, axis=-1: _d_prime(table[np.asarray(drawn, int)].sum(axis=-2)),
        level=level,
    )
    return Estimate(float(_d_prime(total)), found.low, found.high, level)


def _d_prime(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    from scipy.stats import norm

    hits = (counts[..., 1] + 0.5) / (counts[..., 0] + 1)
    alarms = (counts[..., 3] + 0.5) / (counts[..., 2] + 1)
    return np.asarray(norm.ppf(hits) - norm.ppf(alarms))


@dataclass(frozen=True)
class ControlTest:
    """A model's participants against the control's.

    Attributes:
        t: Student's statistic, positive where the control is detected more often.
        p_value: Two-sided.
        welch_p_value: The same without assuming equal variances.
    """

    t: float
    p_value: float
    welch_p_value: float


def against_control(control: Sequence[Rating], model: Sequence[Rating]) -> ControlTest:
    """The paper's two-sample t-test of participants' accuracies.

    Raises:
        DataError: Either has fewer than two participants who took a side.
    """
    from scipy.stats import ttest_ind

    first, second = (list(participant_accuracies(ratings).values()) for ratings in (control, model))
    if min(len(first), len(second)) < 2:
        raise DataError("A t-test needs two participants of each model at least; collect more.")
    student = ttest_ind(first, second)
    welch = ttest_ind(first, second, equal_var=False)
    return ControlTest(float(student.statistic), float(student.pvalue), float(welch.pvalue))


def t_of_intervals(first: Estimate, second: Estimate, participants: tuple[int, int]) -> float:
    """Student's statistic of two published means with their intervals, as they stand in Table 3.11.

    Args:
        first: Such as the control's accuracy.
        second: Such as a model's.
        participants: Of each.
    """
    from scipy.stats import t, ttest_ind_from_stats

    spreads = [
        (each.high - each.low) / 2 / float(t.ppf(0.5 + each.level / 2, count - 1)) * count**0.5
        for each, count in zip((first, second), participants, strict=True)
    ]
    found = ttest_ind_from_stats(first.value, spreads[0], participants[0], second.value, spreads[1], participants[1])
    return float(found.statistic)


def exponent_of_size(sizes: Sequence[float], accuracies: Sequence[float], level: float = 0.95) -> Estimate:
    """Exponent b of accuracy = a · size^b, by least squares of logarithms, with Student's interval (Figure 3.13).

    Raises:
        DataError: Fewer than three sizes, or a value is not positive.
    """
    from scipy.stats import linregress, t

    one, other = paired(sizes, accuracies)
    if len(one) < 3 or one.min() <= 0 or other.min() <= 0:
        raise DataError("An exponent needs three sizes or more, and positive values; give those.")
    fit = linregress(np.log(one), np.log(other))
    half = float(t.ppf(0.5 + checked(level) / 2, len(one) - 2)) * float(fit.stderr)
    return Estimate(float(fit.slope), float(fit.slope) - half, float(fit.slope) + half, level)


def by_model(ratings: Sequence[Rating]) -> Mapping[str, list[Rating]]:
    """Ratings by the model whose texts the participant was shown."""
    found: dict[str, list[Rating]] = {}
    for rating in ratings:
        found.setdefault(rating.model, []).append(rating)
    return found
