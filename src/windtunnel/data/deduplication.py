"""Exact and near duplicates in a corpus, and how large their clusters are.

Exact duplicates are equal but for white space and case. Near duplicates share most of their runs of words: MinHash
signatures (Broder, 1997) of word shingles are banded (locality-sensitive hashing), candidates are kept where the
signatures agree enough, and what is joined by a chain of such pairs is one cluster, as in Lee et al. (2021;
arXiv:2107.06499). Signatures and bands are those of the library datasketch.
"""

import hashlib
import importlib.util
import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from windtunnel.laboratory.errors import UsageError

_WORDS = re.compile(r"\w+")


@dataclass(frozen=True)
class Deduplication:
    """What was found in a corpus.

    Attributes:
        documents: How many were read.
        exact: Of them, those equal to an earlier one.
        near: Of the others, those nearly equal to an earlier one.
        clusters: Numbers of the documents of each cluster of two or more, the largest cluster first.
        histogram: How many clusters there are of each size, documents without a duplicate being clusters of 1.
        lengths: Characters of each document, in order.
    """

    documents: int
    exact: int
    near: int
    clusters: list[list[int]]
    histogram: dict[int, int]
    lengths: list[int]

    @property
    def kept(self) -> list[int]:
        """Numbers of the documents that remain: of each cluster the first."""
        dropped = {number for cluster in self.clusters for number in cluster[1:]}
        return [number for number in range(self.documents) if number not in dropped]

    def report(self) -> dict[str, Any]:
        """JSON-ready counts, without the documents' numbers."""
        kept = self.kept
        characters = sum(self.lengths)
        return {
            "documents": self.documents,
            "exact_duplicates": self.exact,
            "near_duplicates": self.near,
            "kept": len(kept),
            "kept_share_of_characters": sum(self.lengths[number] for number in kept) / max(characters, 1),
            "histogram": {str(size): count for size, count in sorted(self.histogram.items())},
        }


def deduplicate(
    texts: Iterable[str],
    *,
    near: bool = True,
    threshold: float = 0.8,
    words: int = 5,
    permutations: int = 128,
    seed: int = 1,
) -> Deduplication:
    """Find the exact and near duplicates among documents, read once and not kept.

    Args:
        texts: The documents.
        near: Whether to look for near duplicates too.
        threshold: Share of word runs in common (Jaccard similarity, as estimated by the signatures) from which two
            documents are near duplicates.
        words: Words in a run. A document of fewer is one run.
        permutations: Numbers in a signature; the estimate's standard error is at most 0.5 / sqrt(permutations).
        seed: Of the permutations.

    Raises:
        UsageError: A value is out of range, or near duplicates are asked for and datasketch is not installed.
    """
    if not 0 < threshold <= 1 or words < 1 or permutations < 16:
        raise UsageError(
            f"A threshold of {threshold:g}, runs of {words} words and {permutations} permutations cannot be used; the "
            "threshold lies between 0 and 1, runs have at least 1 word and signatures at least 16 numbers."
        )
    index = _NearDuplicates(threshold, words, permutations, seed) if near else None
    first: dict[bytes, int] = {}
    joined = _Joined()
    exact, lengths, nearly = 0, [], set()
    for number, text in enumerate(texts):
        lengths.append(len(text))
        joined.add(number)
        digest = hashlib.sha256(" ".join(text.split()).lower().encode()).digest()[:16]
        if digest in first:
            exact += 1
            joined.join(first[digest], number)
            continue
        first[digest] = number
        for other in index.like(number, text) if index is not None else ():
            nearly.add(number)
            joined.join(other, number)
    groups = joined.groups()
    clusters = sorted((group for group in groups if len(group) > 1), key=lambda group: (-len(group), group))
    histogram = dict(sorted(Counter(map(len, groups)).items()))
    return Deduplication(len(lengths), exact, len(nearly), clusters, histogram, lengths)


class _NearDuplicates:
    """Signatures of the documents so far."""

    def __init__(self, threshold: float, words: int, permutations: int, seed: int) -> None:
        if importlib.util.find_spec("datasketch") is None:
            raise UsageError(
                "Near duplicates need the package datasketch; install it with pip install 'windtunnel[deduplication]', "
                "or look for exact duplicates only."
            )
        import datasketch  # type: ignore[import-untyped,unused-ignore]

        self._new: Callable[[], Any] = lambda: datasketch.MinHash(permutations, seed=seed, hashfunc=_hashed)
        self._bands = datasketch.MinHashLSH(threshold, permutations)
        self._signatures: list[Any] = []
        self._numbers: list[int] = []
        self._threshold = threshold
        self._words = words

    def like(self, number: int, text: str) -> list[int]:
        """Earlier documents that are nearly equal; the document is added to them."""
        signature = self._new()
        signature.update_batch(_runs(text, self._words))
        place = len(self._signatures)
        found = sorted(self._bands.query(signature))
        self._bands.insert(place, signature)
        self._signatures.append(signature)
        self._numbers.append(number)
        return [
            self._numbers[other] for other in found if signature.jaccard(self._signatures[other]) >= self._threshold
        ]


def _runs(text: str, length: int) -> set[bytes]:
    """The different runs of words in a text, whatever their case and what stands between them."""
    found = _WORDS.findall(text.lower()) or [text]
    return {" ".join(found[at : at + length]).encode() for at in range(max(len(found) - length + 1, 1))}


def _hashed(run: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(run, digest_size=4).digest(), "little")


class _Joined:
    """Sets that are joined one pair at a time (union-find), each led by its least member."""

    def __init__(self) -> None:
        self._leader: dict[int, int] = {}

    def add(self, member: int) -> None:
        self._leader[member] = member

    def join(self, one: int, other: int) -> None:
        low, high = sorted((self._of(one), self._of(other)))
        self._leader[high] = low

    def _of(self, member: int) -> int:
        while self._leader[member] != member:
            self._leader[member] = member = self._leader[self._leader[member]]
        return member

    def groups(self) -> list[list[int]]:
        """The members of each set, in order."""
        found: dict[int, list[int]] = {}
        for member in self._leader:
            found.setdefault(self._of(member), []).append(member)
        return list(found.values())
