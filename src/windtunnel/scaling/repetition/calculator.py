"""Is this much repetition safe? What the published measurements say of a planned training, or of a corpus's duplicates.

The band and the largest harm are those of Hernandez et al. (2022; arXiv:2205.10487), measured at 100 billion tokens
with 1.6 to 800 million parameters; the worth of repeated tokens is that of Muennighoff et al. (2023; arXiv:2305.16264).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from windtunnel.laboratory.errors import DataError, UsageError
from windtunnel.scaling.laws.interface import Floats
from windtunnel.scaling.laws.repetition import DamageBand
from windtunnel.scaling.repetition.band import HERNANDEZ

MEASURED_SIZES = (1.57e6, 8.05e8)
"""Parameters between which the band was measured."""

MEASURED_TOKENS = 1e11
"""Tokens at which it was measured."""

WORST = {0.03: 1 / 1.15, 0.1: 1 / 2, 0.5: 1 / 10, 0.9: 1 / 73}
"""Effective size over size at the worst number of repeats, by fraction repeated (sections 1 and 3)."""

DECAY = 15.39
"""R_D of Muennighoff et al.: epochs after which repeated tokens have lost most of their worth."""


@dataclass(frozen=True)
class Prediction:
    """What repetition is expected to do to a training.

    Attributes:
        unique_share: Share of the tokens that are different.
        subset_tokens: Tokens of the repeated subset.
        band: Fewest and most repeats that do at least half the greatest harm at this size.
        place: Of the repeats: `below`, `inside` or `above` the band.
        worst_multiplier: Effective size over size at the worst number of repeats of this fraction.
        effective_tokens: D', the unique tokens worth as much, if repeated tokens only lost their worth and did no harm.
        warnings: Where this goes beyond what was measured.
    """

    unique_share: float
    subset_tokens: float
    band: tuple[float, float]
    place: str
    worst_multiplier: float
    effective_tokens: float
    warnings: list[str]

    @property
    def expected(self) -> str:
        """The expectation in words."""
        if self.place == "inside":
            return f"between half and all of the worst harm, which is that of {self.worst_multiplier:.2g} of the size"
        return "less than half of the worst harm"

    def report(self) -> dict[str, Any]:
        """JSON-ready values."""
        return {**self.__dict__, "band": list(self.band), "expected": self.expected}


def predict(
    parameters: float, tokens: float, fraction: float, repeats: float, *, band: DamageBand = HERNANDEZ
) -> Prediction:
    """What a stream of `tokens`, of which `fraction` repeat a subset `repeats` times, does to a model of that size.

    Raises:
        UsageError: A value is out of range.
    """
    if not (parameters > 0 and tokens > 0 and 0 < fraction <= 1 and repeats >= 1):
        raise UsageError(
            f"{parameters:g} parameters, {tokens:g} tokens, a fraction {fraction:g} and {repeats:g} repeats are not a "
            "training; sizes are positive, the fraction is at most 1 and repeats at least 1."
        )
    edges = band.edges(parameters)
    place = "inside" if band.holds(parameters, repeats) else "below" if repeats < edges[0] else "above"
    subset = fraction * tokens / repeats
    return Prediction(
        unique_share=1 - fraction + fraction / repeats,
        subset_tokens=subset,
        band=edges,
        place=place,
        worst_multiplier=worst_multiplier(fraction),
        effective_tokens=float((1 - fraction) * tokens + worth(subset, repeats)),
        warnings=_warnings(parameters, tokens, fraction),
    )


def worth(tokens: Any, repeats: Any) -> Any:
    """D' of tokens that are seen `repeats` times: D (1 + R (1 − e^(−(repeats − 1) / R))) (Muennighoff et al., 5)."""
    return tokens * (1 + DECAY * (1 - np.exp(-(np.asarray(repeats) - 1) / DECAY)))


def worst_multiplier(fraction: float) -> float:
    """Effective size over size at the worst number of repeats, interpolated in the logit of the fraction.

    Between 0 and the least fraction measured it is interpolated in the fraction; beyond the largest it stays.
    """
    known, values = np.array(list(WORST)), np.log(list(WORST.values()))
    if fraction < known[0]:
        return float(np.exp(values[0] * fraction / known[0]))
    places = np.log(known / (1 - known))
    here = np.log(fraction / (1 - fraction)) if fraction < 1 else np.inf
    return float(np.exp(np.interp(here, places, values)))


@dataclass(frozen=True)
class CorpusPrediction:
    """What the duplicates of a corpus are expected to do.

    Attributes:
        unique_share: Share of the documents that are different.
        repeated_share: Share of the documents that are in clusters of two or more.
        inside_share: Share of the documents that are in clusters whose size is inside the band.
        band: Fewest and most repeats that do at least half the greatest harm at this size.
        worst_multiplier: Effective size over size at the worst number of repeats of `inside_share`.
        effective_share: D' over the tokens of the corpus.
        clusters: Per cluster size: repeats, share of the documents, place in the band.
        warnings: Where this goes beyond what was measured.
    """

    unique_share: float
    repeated_share: float
    inside_share: float
    band: tuple[float, float]
    worst_multiplier: float
    effective_share: float
    clusters: list[dict[str, Any]]
    warnings: list[str]

    def report(self) -> dict[str, Any]:
        """JSON-ready values."""
        return {**self.__dict__, "band": list(self.band)}


def predict_corpus(
    histogram: Mapping[int, int],
    parameters: float,
    tokens: float,
    *,
    epochs: float = 1.0,
    band: DamageBand = HERNANDEZ,
) -> CorpusPrediction:
    """What a corpus with clusters of duplicates does, documents of all clusters counted as equally long.

    Args:
        histogram: How many clusters there are of each size (`data.deduplication.Deduplication.histogram`).
        parameters: Of the model.
        tokens: Seen in training.
        epochs: How often the corpus is read; a cluster of size s is seen s × epochs times.
        band: The band of damage.

    Raises:
        DataError: The histogram is empty or holds numbers that are not positive.
        UsageError: A size, the tokens or the epochs are out of range.
    """
    if not histogram or any(size < 1 or count < 0 for size, count in histogram.items()) or not sum(histogram.values()):
        raise DataError("The histogram must say how many clusters there are of each size from 1; deduplicate again.")
    if not (parameters > 0 and tokens > 0 and epochs > 0):
        raise UsageError(f"{parameters:g} parameters, {tokens:g} tokens and {epochs:g} epochs must all be positive.")
    sizes = np.array(sorted(histogram), dtype=float)
    counts = np.array([histogram[int(size)] for size in sizes], dtype=float)
    documents = sizes * counts
    share: Floats = documents / documents.sum()
    repeats = np.maximum(sizes * epochs, 1.0)
    edges = band.edges(parameters)
    clusters, inside = [], 0.0
    for size, seen, part in zip(sizes, repeats, share, strict=True):
        place = "inside" if edges[0] <= seen <= edges[1] else "below" if seen < edges[0] else "above"
        inside += part if place == "inside" else 0.0
        clusters.append({"size": int(size), "repeats": float(seen), "share": float(part), "place": place})
    return CorpusPrediction(
        unique_share=float(counts.sum() / documents.sum()),
        repeated_share=float(share[sizes > 1].sum()),
        inside_share=float(inside),
        band=edges,
        worst_multiplier=worst_multiplier(float(inside)),
        effective_share=float((worth(share / repeats, repeats)).sum()),
        clusters=clusters,
        warnings=_warnings(parameters, tokens, float(inside)),
    )


def _warnings(parameters: float, tokens: float, fraction: float) -> list[str]:
    found = []
    if not MEASURED_SIZES[0] <= parameters <= MEASURED_SIZES[1]:
        found.append(
            f"The band was measured from {MEASURED_SIZES[0]:.3g} to {MEASURED_SIZES[1]:.3g} parameters; "
            f"{parameters:.3g} is an extrapolation."
        )
    if not MEASURED_TOKENS / 2 <= tokens <= MEASURED_TOKENS * 2:
        found.append(
            f"It was measured at {MEASURED_TOKENS:.0e} tokens; at {tokens:.3g} the subset of the same repeats is of "
            "another size, and the band may lie elsewhere."
        )
    if fraction and not min(WORST) <= fraction <= max(WORST):
        found.append(f"Fractions from {min(WORST)} to {max(WORST)} were measured; {fraction:.3g} is an extrapolation.")
    return found
