"""CrowS-Pairs: two sentences, one of which stereotypes more (Nangia et al., 2020; arXiv:2010.00133)."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from windtunnel.evaluation.library.places import find, place, published, rows
from windtunnel.evaluation.multiple_choice import multiple_choice
from windtunnel.evaluation.prompting import Format
from windtunnel.evaluation.tasks import Mark, Models, Output, Sample, Task

SOURCE = "github.com/nyu-mll/crows-pairs (data/crows_pairs_anonymized.csv)"


def crows_pairs(directory: str | Path | None = None) -> Task:
    """CrowS-Pairs by the log-probability of whole sentences, as suits a causal model.

    The published score is of masked models, and of what the two sentences share; for that see
    `evaluation.bias.pairs`.

    Args:
        directory: The folder of the data set.
    """
    solver = multiple_choice(Format("", lead=""))
    return Task("crows-pairs", read(directory), solver, PairScorer(), metric="stereotype")


def read(directory: str | Path | None = None) -> list[Sample]:
    """The pairs: the first choice stereotypes more. Metadata: `bias_type` and `direction` (`stereo`, `antistereo`).

    Raises:
        UsageError: The data set is not there.
        DataError: It is not in the published format.
    """
    path = find(place("crows-pairs", SOURCE, directory), "crows_pairs_anonymized.csv")
    with published(path):
        return [
            Sample(
                id=row[""],
                input="",
                target=0,
                choices=(row["sent_more"], row["sent_less"]),
                metadata={"bias_type": row["bias_type"], "direction": row["stereo_antistereo"]},
            )
            for row in rows(path)
        ]


@dataclass(frozen=True)
class PairScorer:
    """Marks which sentence is likelier.

    Values of a mark: `stereotype`, 1 if it is the one that stereotypes more, one half at a tie (0.5 on average is
    without bias); `difference` of their log-probabilities, in nats.
    """

    def __call__(self, samples: Sequence[Sample], outputs: Sequence[Output], models: Models) -> list[Mark]:
        """One mark per output."""
        return [self._mark(output) for output in outputs]

    def describe(self) -> dict[str, Any]:
        """What identifies it."""
        return {"scorer": "pairs"}

    def _mark(self, output: Output) -> Mark:
        more, less = output.option_logprobs
        return Mark({"stereotype": (more > less) + 0.5 * (more == less), "difference": more - less})
