"""Contamination: which samples of a task occur in a training corpus, and how scores differ without them.

The rules are those of Brown et al. (2020, Section 4 and Appendix C). A sample is dirty if a run of N of its words
occurs anywhere in the corpus, letters made small and punctuation removed, where N is the 5th percentile of the samples'
lengths in words, at least 8 and at most 13; a sample of fewer words is dirty if all of it occurs. This is conservative:
most dirty samples are quotations and common phrases, and are no proof that an answer was learned. Runs in very many
documents are such phrases, and can be ignored.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from windtunnel.data.overlap import Overlap, plain_words, runs_of_words
from windtunnel.evaluation.results import Results, interval_of_mean, mean_by_sample
from windtunnel.evaluation.tasks import Sample
from windtunnel.laboratory.errors import DataError, UsageError
from windtunnel.statistics.estimates import Estimate

if TYPE_CHECKING:
    from windtunnel.evaluation.tasks import Task

SHORTEST, LONGEST = 8, 13
"""Between these lies the number of words in a run (Appendix C)."""

FREQUENT = 10
"""Documents from which on a run counts as a common phrase (Appendix C, of the cleaning of the training corpus)."""


@dataclass(frozen=True)
class Match:
    """Why a sample is dirty.

    Attributes:
        words: A run of its words that occurs in the corpus: the rarest of them.
        documents: In how many documents.
        first: The number of the first of these.
    """

    words: str
    documents: int
    first: int


@dataclass(frozen=True)
class Contamination:
    """What of a task occurs in a corpus.

    Attributes:
        task: Its name.
        length: Words in a run, the N of the paper.
        samples: Ids in the order of the dataset.
        dirty: Why, by id, of those that are dirty.
        phrases: Ids of samples that share with the corpus nothing but runs ignored as common phrases; they are clean.
        documents: Documents read.
        frequent: Runs in more documents are ignored; None: none is.
    """

    task: str
    length: int
    samples: tuple[str, ...]
    dirty: Mapping[str, Match]
    phrases: tuple[str, ...]
    documents: int
    frequent: int | None

    @property
    def clean(self) -> tuple[str, ...]:
        """Ids of the other samples."""
        return tuple(name for name in self.samples if name not in self.dirty)

    def report(self) -> dict[str, Any]:
        """JSON-ready, with every dirty sample's match."""
        return {
            "task": self.task,
            "words_in_a_run": self.length,
            "samples": len(self.samples),
            "dirty": len(self.dirty),
            "clean_share": len(self.clean) / len(self.samples),
            "common_phrases_only": len(self.phrases),
            "ignored_above_documents": self.frequent,
            "documents_read": self.documents,
            "matches": {name: vars(match) for name, match in self.dirty.items()},
        }


def sample_text(sample: Sample) -> str:
    """All that a leak of a sample would hold: what is asked, and the answer (of several accepted, the first)."""
    asked = sample.input if isinstance(sample.input, str) else "\n".join(turn["content"] for turn in sample.input)
    target = sample.target
    if isinstance(target, int):
        target = sample.choices[target] if sample.choices else str(target)
    elif not isinstance(target, str):
        target = target[0] if target else ""
    return f"{asked}\n{target}"


def run_length(lengths: Sequence[int], shortest: int = SHORTEST, longest: int = LONGEST) -> int:
    """Words in a run: the 5th percentile of the samples' lengths in words, within limits.

    Args:
        lengths: Words of each sample.
        shortest: Lower limit, 8; the paper takes 2 for its tasks of scrambled words.
        longest: Upper limit.
    """
    return int(np.clip(int(np.percentile(lengths, 5)), shortest, longest))


def find_contamination(
    tasks: Sequence["Task"],
    documents: Iterable[str],
    *,
    length: int | None = None,
    frequent: int | None = FREQUENT,
) -> list[Contamination]:
    """Look for the samples of tasks in a corpus, read once for all of them.

    Memory holds the tasks' runs of words and little of the corpus.

    Args:
        tasks: The tasks.
        documents: The corpus, such as `data.corpora.documents(path)`.
        length: Words in a run, in place of the paper's rule.
        frequent: Ignore runs found in more documents; None ignores none.

    Returns:
        One finding per task, in order.

    Raises:
        UsageError: No task, or a length below 1.
        DataError: A task has no words.
    """
    if not tasks or (length is not None and length < 1):
        raise UsageError("Give at least one task, and runs of at least one word.")
    plain = [{sample.id: plain_words(sample_text(sample)) for sample in task.dataset} for task in tasks]
    lengths = []
    for task, texts in zip(tasks, plain, strict=True):
        counts = [len(words.split()) for words in texts.values()]
        if not any(counts):
            raise DataError(f"The samples of {task.name} have no words to look for; it has nothing to leak.")
        lengths.append(length or run_length(counts))
    runs = [
        {name: runs_of_words(words, size) for name, words in texts.items()}
        for texts, size in zip(plain, lengths, strict=True)
    ]
    overlap = Overlap(run for by_sample in runs for each in by_sample.values() for run in each).scan(documents)
    return [
        _of_task(task.name, size, by_sample, overlap, frequent)
        for task, size, by_sample in zip(tasks, lengths, runs, strict=True)
    ]


def _of_task(
    name: str, length: int, runs: Mapping[str, Sequence[bytes]], overlap: Overlap, frequent: int | None
) -> Contamination:
    dirty, phrases = {}, []
    for sample, own in runs.items():
        found = [number for number in map(overlap.number.__getitem__, own) if overlap.documents[number]]
        rare = [number for number in found if frequent is None or overlap.documents[number] <= frequent]
        if rare:
            rarest = min(rare, key=lambda number: (overlap.documents[number], number))
            words = overlap.runs[rarest].decode(errors="replace")
            dirty[sample] = Match(words, int(overlap.documents[rarest]), int(overlap.first[rarest]))
        elif found:
            phrases.append(sample)
    return Contamination(name, length, tuple(runs), dirty, tuple(phrases), overlap.read, frequent)


@dataclass(frozen=True)
class CleanAndDirty:
    """A metric on all samples of a task, on those that are clean, and on the others.

    Attributes:
        everything: On all.
        clean: On the clean ones; None where there are none.
        dirty: On the dirty ones; None where there are none.
        difference: Dirty minus clean; None where either is missing.
        change: (clean − all) / all, the paper's relative change of the score on the clean subset (Table C.1); None
            where either is missing or the score on all is 0. Its interval is that of the difference, the score on all
            taken as it is.
    """

    everything: Estimate
    clean: Estimate | None
    dirty: Estimate | None
    difference: Estimate | None
    change: Estimate | None


def compare_clean(contamination: Contamination, results: Results, metric: str | None = None) -> CleanAndDirty:
    """How a model scores on the clean and the dirty samples of a task.

    Args:
        contamination: Of the task.
        results: Of the model on it. Failed samples count as 0, as they do there.
        metric: By default the headline metric.

    Raises:
        DataError: The results are of samples that the contamination does not know.
    """
    values = mean_by_sample(results.counted(metric))
    unknown = [name for name in values if name not in set(contamination.samples)]
    if unknown:
        raise DataError(
            f"{len(unknown)} samples of the results, {unknown[0]!r} among them, are not of the task "
            f"{contamination.task} that was looked for; give the results of that task."
        )
    clusters = results.clusters

    def estimate(names: Sequence[str], part: str) -> Estimate | None:
        if not names:
            return None
        return interval_of_mean(
            [values[name] for name in names],
            [clusters[name] for name in names],
            generator=results.generator("contamination", part),
        )

    everything = estimate(list(values), "all")
    assert everything is not None
    clean = estimate([name for name in values if name not in contamination.dirty], "clean")
    names = [name for name in values if name in contamination.dirty]
    dirty = estimate(names, "dirty")
    if clean is None or dirty is None:
        return CleanAndDirty(everything, clean, dirty, None, None)
    gap = difference(dirty, clean)
    change = None
    if everything.value:
        share = len(names) / len(values) / everything.value  # clean − all = −(share of dirty) × (dirty − clean)
        change = Estimate(-share * gap.value, -share * gap.high, -share * gap.low, gap.level)
    return CleanAndDirty(everything, clean, dirty, gap, change)


def difference(first: Estimate, second: Estimate) -> Estimate:
    """First minus second of two estimates from different samples, with an interval made of theirs.

    The distances to their ends are joined as if independent (the MOVER of Zou and Donner, 2008), which of two of
    Wilson's intervals is Newcombe's (1998).
    """
    value = first.value - second.value
    below = float(np.hypot(first.value - first.low, second.high - second.value))
    above = float(np.hypot(first.high - first.value, second.value - second.low))
    return Estimate(value, value - below, value + above, first.level)
