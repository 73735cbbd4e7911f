"""Translations by BLEU (Papineni et al., 2002), as sacreBLEU (Post, 2018; arXiv:1804.08771) counts it.

BLEU is of a whole set: the geometric mean of the shares of n-grams of one to four words that occur in a reference,
lowered where translations are short. A mark holds a sample's counts (see `evaluation.whole`) and, for comparing two
models sample by sample, the BLEU of that sentence alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from jaxtyping import Float
from numpy.typing import NDArray

from windtunnel.evaluation.answers import accepted_answers
from windtunnel.evaluation.tasks import Mark, Models, Output, Sample
from windtunnel.laboratory.errors import Unsupported

ORDERS = 4
"""Longest n-grams counted."""


@dataclass(frozen=True)
class BleuScorer:
    """Marks `sentence_bleu`, 0 to 1, and the parts of `bleu`; sacreBLEU's default tokens, case counted."""

    def __call__(self, samples: Sequence[Sample], outputs: Sequence[Output], models: Models) -> list[Mark]:
        """One mark per output, of the first line written.

        Raises:
            Unsupported: sacreBLEU is not installed.
        """
        marks = []
        for sample, output in zip(samples, outputs, strict=True):
            translation = output.text.strip().partition("\n")[0].strip()
            found = _metric().sentence_score(translation, accepted_answers(sample))
            marks.append(Mark({"sentence_bleu": found.score / 100}, translation, parts={"bleu": _parts(found)}))
        return marks

    def describe(self) -> dict[str, Any]:
        """What identifies it, sacreBLEU's signature among it."""
        _metric().sentence_score("a", ["a"])  # a signature is of references seen
        return {"scorer": "bleu", "signature": _metric().get_signature().format()}


def bleu(sums: Float[NDArray[Any], " sums"]) -> float:
    """BLEU, 0 to 1, of words translated, words of the references, and n-grams found and n-grams there by length."""
    counts = [int(each) for each in sums]
    found = _metric().compute_bleu(
        counts[2 : 2 + ORDERS], counts[2 + ORDERS :], counts[0], counts[1], smooth_method="exp"
    )
    return float(found.score / 100)


def worst_translation(sample: Sample, scorer: Mapping[str, Any]) -> tuple[float, ...]:
    """What a sample adds to the sums if nothing was written."""
    return _parts(_metric().sentence_score("", accepted_answers(sample)))


def _parts(found: Any) -> tuple[float, ...]:
    return tuple(map(float, (found.sys_len, found.ref_len, *found.counts, *found.totals)))


@cache
def _metric() -> Any:
    try:
        from sacrebleu.metrics.bleu import BLEU
    except ImportError as error:
        raise Unsupported("BLEU needs sacrebleu; install windtunnel[translation].") from error
    return BLEU(effective_order=True)
