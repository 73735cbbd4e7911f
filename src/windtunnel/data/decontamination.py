"""Removing what a training corpus shares with tests, as Brown et al. (2020, Appendix C) did before training.

Wherever a run of 13 words of a test occurs in a training document, it and 200 characters on either side are cut out;
pieces of fewer than 200 characters are dropped, and so are documents cut into more than 10 pieces. Runs found in more
than 10 documents are left in: they are common phrases. (The paper's own removal failed on long documents through a
bug; this one has no such limit.)
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from windtunnel.data.overlap import Overlap, plain_words, runs_of_words

_WORD = re.compile(r"\S+")


@dataclass(frozen=True)
class Removal:
    """How training documents are cut.

    Attributes:
        overlap: Runs of the tests, after it has scanned the corpus once: that tells which are frequent.
        margin: Characters cut on either side of a run.
        shortest: Characters below which a piece is dropped.
        most_pieces: A document cut into more is dropped.
        frequent: Runs found in more documents are left in; None: none is.
    """

    overlap: Overlap
    margin: int = 200
    shortest: int = 200
    most_pieces: int = 10
    frequent: int | None = 10

    @classmethod
    def of(cls, tests: Iterable[str], length: int = 13) -> "Removal":
        """The paper's rule for these test texts; scan the corpus with its `overlap`, then `clean` it."""
        return cls(Overlap(run for text in tests for run in runs_of_words(plain_words(text), length)))

    def clean(self, documents: Iterable[str]) -> Iterator[str]:
        """The pieces that remain, in order."""
        for text in documents:
            yield from self.pieces(text)

    def pieces(self, text: str) -> list[str]:
        """What remains of one document: itself where nothing is shared."""
        found = self.overlap.found_in(text)
        if self.frequent is not None:
            found = found[self.overlap.documents[found] <= self.frequent]
        if not len(found):
            return [text]
        cuts = self._cuts(text, [self.overlap.runs[number].split() for number in found])
        pieces, start = [], 0
        for begin, end in cuts:
            pieces.append(text[start:begin])
            start = end
        pieces.append(text[start:])
        kept = [piece for piece in pieces if len(piece) >= self.shortest]
        return [] if len(pieces) > self.most_pieces else kept

    def _cuts(self, text: str, runs: list[list[bytes]]) -> list[tuple[int, int]]:
        """Spans of characters to be cut, apart from each other and in order."""
        words, spans = [], []
        for match in _WORD.finditer(text):
            for word in plain_words(match.group()).split():  # none where it was punctuation alone
                words.append(word)
                spans.append(match.span())
        starts: dict[bytes, list[int]] = {}
        for place, word in enumerate(words):
            starts.setdefault(word, []).append(place)
        cuts = []
        for run in runs:
            for place in starts.get(run[0], []):
                if words[place : place + len(run)] == run:
                    begin, end = spans[place][0], spans[place + len(run) - 1][1]
                    cuts.append((max(begin - self.margin, 0), min(end + self.margin, len(text))))
        merged: list[tuple[int, int]] = []
        for begin, end in sorted(cuts):
            if merged and begin <= merged[-1][1]:
                merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
            else:
                merged.append((begin, end))
        return merged
