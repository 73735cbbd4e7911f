"""From candidates to an evaluation: keep what the discriminator confirms, the surest first, no duplicates, balanced."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from windtunnel.data.deduplication import deduplicate
from windtunnel.evaluation.generated.records import Record
from windtunnel.laboratory.errors import UsageError
from windtunnel.statistics.intervals import Floats


@dataclass(frozen=True)
class Selection:
    """What is kept of candidates.

    Attributes:
        kept: Their numbers, the surest first.
        confidence: Of each candidate, the probability that its label is right.
        counts: Candidates left after each step, in order: `candidates`, `confirmed`, `unique`, `kept`.
    """

    kept: list[int]
    confidence: Floats
    counts: dict[str, int]


def select(
    records: Sequence[Record],
    first: Sequence[float],
    *,
    keep: int,
    requirements: Sequence[Sequence[float]] = (),
    near: bool = True,
    threshold: float = 0.7,
    words: int = 3,
    vectors: Floats | None = None,
    diversity: float = 0.0,
) -> Selection:
    """Filter, deduplicate, rank and balance candidates (Perez et al., 2022, sections 3.1 and 5.1).

    A candidate is confirmed if the label it was written for is the more probable one. The confirmed are ranked by the
    mean of that probability and those of the requirements; of duplicates the surest stays; the best `keep` of either
    label stay, and of the larger label only as many as of the smaller.

    Args:
        records: Candidates; `matching` is the label each was written for.
        first: Probability that the first answer of each is the matching one.
        keep: Most of each label (the paper: 500).
        requirements: For each requirement, the probability that each candidate meets it.
        near: Look for near duplicates too, which needs the package datasketch.
        threshold: Share of word runs in common from which two are near duplicates.
        words: Words in a run.
        vectors: Unit vectors of the candidates' meanings, [candidate, dimension]; needed for diversity.
        diversity: From 0, the surest only, to 1, the most unlike only: maximal marginal relevance (Carbonell and
            Goldstein, 1998) with λ = 1 − diversity.

    Raises:
        UsageError: A number is out of range, or lists are not one-to-one.
    """
    if not 0 <= diversity <= 1 or keep < 1:
        raise UsageError(f"Diversity must be from 0 to 1 and keep at least 1, not {diversity:g} and {keep}.")
    if diversity and (vectors is None or len(vectors) != len(records)):
        raise UsageError("Diversity needs the vector of every candidate; embed them first.")
    if any(len(each) != len(records) for each in (first, *requirements)):
        raise UsageError(f"Probabilities must be one for each of {len(records)} candidates.")
    matching = np.array([each.matching for each in records])
    probability = np.asarray(first, dtype=np.float64)
    confidence = np.where(matching == 0, probability, 1 - probability)
    rank = np.mean(np.array([confidence, *requirements]), axis=0)
    order = [int(place) for place in np.argsort(-rank, kind="stable") if confidence[place] > 0.5]
    found = deduplicate((records[place].text for place in order), near=near, threshold=threshold, words=words)
    unique = [order[place] for place in found.kept]
    by_label = [[place for place in unique if matching[place] == label] for label in (0, 1)]
    count = min(keep, *map(len, by_label))
    chosen = [_chosen(places, count, rank, vectors, diversity) for places in by_label]
    kept = sorted((place for places in chosen for place in places), key=lambda place: (-rank[place], place))
    counts = {"candidates": len(records), "confirmed": len(order), "unique": len(unique), "kept": len(kept)}
    return Selection(kept, confidence, counts)


def _chosen(places: list[int], count: int, rank: Floats, vectors: Floats | None, diversity: float) -> list[int]:
    """The best of one label, which come in the order of their rank."""
    if not diversity or vectors is None:
        return places[:count]
    left, chosen = np.array(places), []
    nearest = np.zeros(len(left))
    for _ in range(count):
        best = int(np.argmax((1 - diversity) * rank[left] - diversity * nearest))
        chosen.append(int(left[best]))
        nearest = np.maximum(nearest, vectors[left] @ vectors[left[best]])
        left, nearest = np.delete(left, best), np.delete(nearest, best)
    return chosen
