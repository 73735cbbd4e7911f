"""Runs of words that some texts share with a corpus of any size: exact, in one pass over it.

What is looked for is held in memory and the corpus is a stream. A word is what is between white space once letters are
small and punctuation is gone (Brown et al., 2020, Appendix C). Each run of words of the corpus gets a 64-bit rolling
hash; where the hash is one of those looked for, the words themselves are compared, so that nothing is found by chance.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from windtunnel.laboratory.errors import UsageError

CHUNK = 2**18
"""Bytes of the corpus that are hashed together."""

_ODD = 0xD1342543DE82EF95  # any odd number has an inverse modulo 2^64
_TABLE_BITS = 24
_SPACES = b"\t\n\r\x0b\x0c\x1c\x1d\x1e\x1f"
_LOWER = bytes.maketrans(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ" + _SPACES, b"abcdefghijklmnopqrstuvwxyz" + b" " * len(_SPACES))
_PUNCTUATION = bytes(code for code in range(128) if not (chr(code).isalnum() or chr(code).isspace()))
_OUTSIDE_ASCII = re.compile(r"[^\x00-\x7f]+")
_NO_LETTERS = re.compile(r"[^\w\s]")


def plain_words(text: str) -> bytes:
    """The text's words in UTF-8: small letters, no punctuation, one space between words."""
    if not text.isascii():
        text = _OUTSIDE_ASCII.sub(lambda run: _plain(run.group()), text)
    letters = np.frombuffer(text.encode(errors="replace").translate(_LOWER, _PUNCTUATION), np.uint8)
    kept = letters != 32
    kept[1:] |= kept[:-1].copy()  # of several spaces the first
    plain: bytes = letters[kept].tobytes()
    return plain.strip()


@lru_cache(maxsize=2**14)
def _plain(run: str) -> str:
    """Characters outside ASCII by the same rule."""
    letters = _NO_LETTERS.sub("", run.lower())
    return "".join(" " if letter.isspace() else letter for letter in letters)


def runs_of_words(words: bytes, length: int) -> list[bytes]:
    """All runs of so many words, or all words where there are fewer; none of no words.

    Args:
        words: As `plain_words` gives them.
        length: Words in a run.
    """
    single = words.split()
    if not single:
        return []
    return [b" ".join(single[at : at + length]) for at in range(max(len(single) - length + 1, 1))]


class Overlap:
    """Runs of words to be looked for, and in how many documents of the corpora read so far each was found.

    Args:
        runs: What to look for, each as `plain_words` gives it; of any numbers of words.

    Attributes:
        runs: The different ones, by number.
        documents: In how many documents each was found.
        first: The number of the first of them; −1 where there is none.
        read: Documents read.
        bytes_read: Bytes of words read.
    """

    def __init__(self, runs: Iterable[bytes]) -> None:
        self.runs = list(dict.fromkeys(run for run in runs if run))
        if not self.runs:
            raise UsageError("There are no words to look for; give texts that have some.")
        self.number = {run: number for number, run in enumerate(self.runs)}
        self.documents: NDArray[np.int64] = np.zeros(len(self.runs), np.int64)
        self.first: NDArray[np.int64] = np.full(len(self.runs), -1)
        self._last: NDArray[np.int64] = np.full(len(self.runs), -1)
        self.read = 0
        self.bytes_read = 0
        by_length: dict[int, list[bytes]] = {}
        for run in self.runs:
            by_length.setdefault(run.count(b" ") + 1, []).append(run)
        self._wanted = {length: _Wanted(found) for length, found in sorted(by_length.items())}
        self._longest = max(self._wanted)

    def scan(self, documents: Iterable[str]) -> "Overlap":
        """Read documents once; little of them is held at a time.

        Args:
            documents: The corpus, or a part of it; several calls go on counting.
        """
        waiting: list[tuple[int, bytes]] = []
        size = 0
        for text in documents:
            words = plain_words(text)
            self.bytes_read += len(words)
            for part in self._parts(words):
                waiting.append((self.read, part))
                size += len(part)
                if size >= CHUNK:
                    self._look(waiting)
                    waiting, size = [], 0
            self.read += 1
        if waiting:
            self._look(waiting)
        return self

    def found_in(self, text: str) -> NDArray[np.int64]:
        """Numbers of the runs that are in a text, in order; it is not counted."""
        words = plain_words(text)
        found: set[int] = set()
        for part in self._parts(words):
            found.update(number for number, _ in self._matches([(0, part)]))
        return np.array(sorted(found), dtype=np.int64)

    def _parts(self, words: bytes) -> Iterator[bytes]:
        """A document in pieces of about a chunk, each beginning with the last words of the one before."""
        start, size = 0, CHUNK
        while len(words) - start > 2 * size:
            end = back = words.rfind(b" ", start, start + size)
            for _ in range(self._longest - 1):
                back = words.rfind(b" ", start, back) if back > 0 else -1
            if back < 0:  # words so long that a run of them is larger than a chunk
                size *= 2
                continue
            yield words[start:end]
            start = back + 1
        if len(words) > start:
            yield words[start:]

    def _look(self, parts: Sequence[tuple[int, bytes]]) -> None:
        for number, document in self._matches(parts):
            if self._last[number] != document:
                self._last[number] = document
                self.documents[number] += 1
                if self.first[number] < 0:
                    self.first[number] = document

    def _matches(self, parts: Sequence[tuple[int, bytes]]) -> Iterator[tuple[int, int]]:
        """Pairs of a run's number and a document's, wherever the words are the same."""
        buffer = b" ".join(words for _, words in parts) + b" "
        letters = np.frombuffer(buffer, np.uint8)
        ends = np.flatnonzero(letters == 32)
        starts = np.concatenate([[0], ends[:-1] + 1])
        powers, inverses = _powers(len(letters))
        sums = np.add.reduceat(letters * powers[: len(letters)], starts)
        total = np.concatenate([np.zeros(1, np.uint64), np.cumsum(sums, dtype=np.uint64)])
        bounds = np.cumsum([len(words) + 1 for _, words in parts])
        for length, wanted in self._wanted.items():
            if len(starts) < length:
                continue
            places = len(starts) - length + 1
            hashes = (total[length:] - total[:-length]) * inverses[starts[:places]]
            for place in wanted.candidates(hashes):
                begin, end = int(starts[place]), int(ends[place + length - 1])
                part = int(np.searchsorted(bounds, begin, side="right"))
                number = self.number.get(buffer[begin:end])
                if number is not None and end < bounds[part]:
                    yield number, parts[part][0]


class _Wanted:
    """Hashes of the runs of one length: a coarse table that is fast to look up, then the hashes themselves."""

    def __init__(self, runs: Sequence[bytes]) -> None:
        self._hashes = np.unique(np.array([_hash(run) for run in runs], np.uint64))
        bits = min(max(len(self._hashes).bit_length() + 6, 10), _TABLE_BITS)
        self._shift = np.uint64(64 - bits)
        self._table = np.zeros(2**bits, bool)
        self._table[self._coarse(self._hashes)] = True

    def candidates(self, hashes: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Places whose hash is one of those looked for."""
        coarse = np.flatnonzero(self._table[self._coarse(hashes)])
        near = np.searchsorted(self._hashes, hashes[coarse])
        near[near == len(self._hashes)] = 0
        found: NDArray[np.int64] = coarse[self._hashes[near] == hashes[coarse]]
        return found

    def _coarse(self, hashes: NDArray[np.uint64]) -> NDArray[np.intp]:
        return ((hashes * np.uint64(0x9E3779B97F4A7C15)) >> self._shift).astype(np.intp)


def _hash(run: bytes) -> np.uint64:
    """Σ bₖ pᵏ modulo 2^64 over the bytes of a run and the space after it."""
    letters = np.frombuffer(run + b" ", np.uint8)
    return np.uint64((letters * _powers(len(letters))[0][: len(letters)]).sum(dtype=np.uint64))


_known_powers: list[NDArray[np.uint64]] = []


def _powers(count: int) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """pᵏ and p⁻ᵏ modulo 2^64, for k below at least `count`; kept for later calls."""
    if not _known_powers or len(_known_powers[0]) < count:
        length = max(2 * CHUNK + 2**16, count)
        tables = []
        for base in (_ODD, pow(_ODD, -1, 2**64)):
            factors = np.full(length, base, np.uint64)
            factors[0] = 1
            tables.append(np.cumprod(factors, dtype=np.uint64))
        _known_powers[:] = tables
    return _known_powers[0], _known_powers[1]
