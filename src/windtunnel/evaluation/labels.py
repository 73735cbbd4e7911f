"""Multiple choice among the same labels by F1 of the labels, as SuperGLUE scores CommitmentBank and MultiRC."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from windtunnel.evaluation.multiple_choice import choice_scorer
from windtunnel.evaluation.tasks import Mark, Models, Output, Sample


@dataclass(frozen=True)
class LabelScorer:
    """Marks as `choice_scorer` does, with the parts of `f1_of_labels`.

    Attributes:
        labels: Indices of the choices whose F1 counts: one, as of the right answers alone, or all for the macro mean.
    """

    labels: tuple[int, ...]

    def __call__(self, samples: Sequence[Sample], outputs: Sequence[Output], models: Models) -> list[Mark]:
        """One mark per output."""
        marks = choice_scorer()(samples, outputs, models)
        return [
            replace(mark, parts={"f1_of_labels": _parts(self.labels, sample, sample.choices.index(mark.answer))})
            for sample, mark in zip(samples, marks, strict=True)
        ]

    def describe(self) -> dict[str, Any]:
        """What identifies it."""
        return {"scorer": "labels", "labels": list(self.labels)}


def f1_of_labels(sums: Float[NDArray[Any], " sums"]) -> float:
    """Mean over labels of F1, from how often each was said rightly, was said, and was right."""
    rightly, said, right = sums.reshape(-1, 3).T
    return float(np.mean(2 * rightly / np.maximum(said + right, 1)))


def worst_label(sample: Sample, scorer: Mapping[str, Any]) -> tuple[float, ...]:
    """What a sample adds to the sums if a counted label was said that is wrong, or where there is none, no label."""
    labels = tuple(scorer["labels"])
    return _parts(labels, sample, next((label for label in labels if label != sample.target), -1))


def _parts(labels: tuple[int, ...], sample: Sample, said: int) -> tuple[float, ...]:
    right = sample.target
    return tuple(float(fact) for each in labels for fact in (said == right == each, said == each, right == each))
