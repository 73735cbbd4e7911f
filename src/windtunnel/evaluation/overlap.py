"""Answers in words by the words they share with what several people said, or with the several spans of one answer."""

import re
import string
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from windtunnel.evaluation.answers import accepted_answers, normalise, token_f1
from windtunnel.evaluation.tasks import Mark, Models, Output, Sample

_PUNCTUATION = str.maketrans("", "", string.punctuation)


def people_f1(answer: str, answers: Sequence[str], metric: Callable[[str, str], float] = token_f1) -> float:
    """The best F1 with the answers of all people but one, averaged over who is left out (Choi et al., 2018).

    So a model is measured as a person is, who cannot be compared with herself.
    """
    each = [metric(answer, other) for other in answers]
    if len(each) < 2:
        return max(each)
    return float(np.mean([max(each[:place] + each[place + 1 :]) for place in range(len(each))]))


def agreement(answers: Sequence[str]) -> float:
    """F1 of every person's answer with the others' best, averaged; 1 for one person."""
    if len(answers) < 2:
        return 1.0
    best = [max(token_f1(one, other) for n, other in enumerate(answers) if n != m) for m, one in enumerate(answers)]
    return float(np.mean(best))


@dataclass(frozen=True)
class PeopleF1:
    """Marks `f1` and `exact` against several people's answers as `people_f1` does."""

    def __call__(self, samples: Sequence[Sample], outputs: Sequence[Output], models: Models) -> list[Mark]:
        """One mark per output."""
        marks = []
        for sample, output in zip(samples, outputs, strict=True):
            answer, accepted = _first_line(output.text), accepted_answers(sample)
            exact = people_f1(answer, accepted, lambda one, other: float(normalise(one) == normalise(other)))
            marks.append(Mark({"f1": people_f1(answer, accepted), "exact": exact}, answer=answer))
        return marks

    def describe(self) -> dict[str, Any]:
        """What identifies it."""
        return {"scorer": "people-f1"}


@dataclass(frozen=True)
class SpanF1:
    """Marks DROP's `f1` and `exact`, each at its best over the accepted answers, which are lists of spans."""

    def __call__(self, samples: Sequence[Sample], outputs: Sequence[Output], models: Models) -> list[Mark]:
        """One mark per output."""
        marks = []
        for sample, output in zip(samples, outputs, strict=True):
            answer = _first_line(output.text)
            f1, exact = np.max([span_f1([answer], spans) for spans in sample.metadata["spans"]], axis=0)
            marks.append(Mark({"f1": float(f1), "exact": float(exact)}, answer=answer))
        return marks

    def describe(self) -> dict[str, Any]:
        """What identifies it."""
        return {"scorer": "span-f1"}


def span_f1(given: Sequence[str], wanted: Sequence[str]) -> tuple[float, float]:
    """F1 of spans matched one to one as well as they can be, over the longer list, and whether all are the same.

    Spans are sets of words. Where a wanted span has numbers, a given one without any of them is worth nothing (Dua et
    al., 2019). The published script rounds every F1 to hundredths, which this does not.
    """
    from scipy.optimize import linear_sum_assignment

    mine, theirs = ([_words(span) for span in spans] for spans in (given, wanted))
    shared = np.array([[_set_f1(set(one), set(other)) for other in theirs] for one in mine])
    rows, columns = linear_sum_assignment(-shared)
    f1 = float(shared[rows, columns].sum()) / max(len(mine), len(theirs))
    same = len(mine) == len(theirs) and set(map(tuple, mine)) == set(map(tuple, theirs))
    return f1, float(same)


def _words(span: str) -> list[str]:
    """Words in lower case without punctuation and articles, parted by hyphens too; numbers as numbers."""
    words = []
    for word in re.split(r"[\s-]+", span.lower()):
        bare = word if _is_number(word) else word.translate(_PUNCTUATION)
        if bare not in ("", "a", "an", "the"):
            words.append(str(float(bare)) if _is_number(bare) else bare)
    return words


def _set_f1(given: set[str], wanted: set[str]) -> float:
    numbers = set(filter(_is_number, wanted))
    if numbers and not numbers & given:
        return 0.0
    shared = len(given & wanted)
    precision, recall = (shared / len(words) if words else 1.0 for words in (given, wanted))
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0].strip()
