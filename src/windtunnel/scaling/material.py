"""What a ladder is trained and measured on: a bounded piece of text, and held-out text of the same and other kinds."""

import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from windtunnel.data import tokenizers
from windtunnel.data.corpora import OFFLINE, documents
from windtunnel.data.packing import PackedSource, TokenFile, write_tokens
from windtunnel.data.preparation import LEARNED_FROM
from windtunnel.data.sources import derived_seed
from windtunnel.laboratory.errors import UsageError

BYTES_PER_TOKEN = 2.5
"""More than a token of a small vocabulary spells, so that what is read of a corpus is enough."""


@dataclass(frozen=True)
class Material:
    """Token files on disk, named by their paths so that it can travel to worker processes.

    Attributes:
        vocabulary: Token types.
        train: Tokens to learn from.
        held_out: Name of each held-out text and its tokens; the first is of the kind that is learned from.
        shuffled: Whether each text's tokens are in any order (the null control: nothing to learn but frequencies).
    """

    vocabulary: int
    train: Path
    held_out: dict[str, Path]
    shuffled: bool = False

    def source(self, context: int, seed: int, tokens: int | None = None) -> PackedSource:
        """Rows to learn from, of the first `tokens` tokens if given, again and again in another order.

        Documents follow each other without a boundary, as in Kaplan et al.
        """
        file = self._open(self.train)
        return PackedSource(file if tokens is None else first(file, tokens), context, seed, boundaries=False)

    def test_rows(self, name: str, context: int, count: int) -> torch.Tensor:
        """Up to `count` held-out rows [row, context + 1] of one text, the same whoever asks."""
        source = PackedSource(self._open(self.held_out[name]), context, 0, boundaries=False)
        return source.rows(0, min(count, source.epoch))["tokens"]

    def frequencies_loss(self, name: str, context: int, count: int) -> float:
        """Loss of guessing by the frequencies of tokens in the text learned from, on `test_rows`; nats per token."""
        learned = np.bincount(np.asarray(self._open(self.train).tokens), minlength=self.vocabulary) + 1.0
        met = np.bincount(self.test_rows(name, context, count)[:, 1:].flatten().numpy(), minlength=self.vocabulary)
        return float(-(met / met.sum() * np.log(learned / learned.sum())).sum())

    def _open(self, path: Path) -> TokenFile:
        file = TokenFile.open(path)
        if not self.shuffled:
            return file
        mixed = np.random.default_rng(derived_seed("shuffled")).permutation(np.asarray(file.tokens))
        return replace(file, tokens=mixed)


def first(file: TokenFile, tokens: int) -> TokenFile:
    """The first tokens of a file."""
    if tokens >= len(file.tokens):
        return file
    return replace(file, tokens=file.tokens[:tokens], starts=file.starts[file.starts < tokens])


def gather(
    directory: str | Path,
    corpus: str = "offline-english",
    others: Sequence[str] = ("offline-python",),
    *,
    vocabulary: int = 259,
    tokens: int = 2_000_000,
    held_out: int | None = None,
    field: str = "text",
    shuffled: bool = False,
) -> Material:
    """Read a piece of a corpus and of others, tokenise them and keep them; what is kept already is not read again.

    An offline corpus has test documents of its own. Of any other the held-out tokens are the first, which are not
    trained on.

    Args:
        directory: Where to keep the token files.
        corpus: What is learned from, as `corpora.documents` takes it.
        others: Corpora that are only measured on.
        vocabulary: 259: bytes, with nothing learned; more: byte pairs learned from the corpus.
        tokens: To learn from, at most; fewer come if the corpus is shorter.
        held_out: Of each corpus, at most; by default a tenth of `tokens`, and no more than 200,000.
        field: Which field of structured files holds the text.
        shuffled: Read the tokens of each file in a random order.

    Raises:
        UsageError: A corpus is not there, or the vocabulary below 259.
        DataError: A corpus cannot be read or holds no text.
    """
    directory = Path(directory)
    names = (corpus, *others)
    held_out = min(tokens // 10, 200_000) if held_out is None else held_out
    check_corpora(names, field)
    tokenizer = _tokenizer(directory, corpus, vocabulary, field)
    per_token = 1.0 if isinstance(tokenizer, tokenizers.ByteTokenizer) else BYTES_PER_TOKEN
    paths = {}
    for name in names:
        paths[name] = place = directory / "held-out" / _slug(name)
        if not place.exists():
            texts = documents(name, field=field, split="test" if _is_offline(name) else "train")
            write_tokens(place, bounded(texts, held_out * per_token), tokenizer)
    train = directory / "train"
    if not train.exists():
        texts = documents(corpus, field=field)
        if not _is_offline(corpus):
            texts = skipping(texts, held_out * per_token)
        write_tokens(train, bounded(texts, tokens * per_token), tokenizer)
    return Material(tokenizer.vocabulary, train, paths, shuffled)


def check_corpora(names: Sequence[str], field: str = "text") -> None:
    """Make sure that corpora are there before anything is written.

    Raises:
        UsageError: One is neither there nor the name of a data set.
    """
    for name in names:
        documents(name, field=field)


def bounded(texts: Iterable[str], size: float) -> Iterator[str]:
    """Documents until they have so many bytes together; the last is cut."""
    left = int(size)
    for text in texts:
        spelled = text.encode()
        yield spelled[:left].decode(errors="ignore")
        left -= len(spelled)
        if left <= 0:
            return


def skipping(texts: Iterable[str], size: float) -> Iterator[str]:
    """Documents without their first so many bytes: what `bounded` leaves."""
    left = int(size)
    for text in texts:
        spelled = text.encode()
        if left < len(spelled):
            yield spelled[left:].decode(errors="ignore")
        left = max(left - len(spelled), 0)


def _tokenizer(
    directory: Path, corpus: str, vocabulary: int, field: str
) -> tokenizers.ByteTokenizer | tokenizers.BytePairTokenizer:
    if vocabulary == tokenizers.ByteTokenizer.vocabulary:
        return tokenizers.ByteTokenizer()
    if vocabulary < tokenizers.ByteTokenizer.vocabulary:
        raise UsageError(f"A vocabulary of {vocabulary} has no room for 256 bytes and 3 specials; give 259 or more.")
    if not (directory / "tokenizer.json").exists():
        sample = islice(documents(corpus, field=field), LEARNED_FROM)
        tokenizers.BytePairTokenizer.train(sample, vocabulary).save(directory)
    return tokenizers.load(directory)


def _is_offline(name: str) -> bool:
    return name in OFFLINE and not Path(name).exists()


def _slug(name: str) -> str:
    return name if _is_offline(name) else f"{Path(name).stem}-{zlib.crc32(name.encode()):08x}"
