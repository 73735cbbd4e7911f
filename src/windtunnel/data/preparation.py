"""A corpus made ready for training: its vocabulary learned and its tokens written, once."""

from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from windtunnel.data import tokenizers
from windtunnel.data.corpora import OFFLINE, documents
from windtunnel.data.packing import TokenFile, write_tokens

LEARNED_FROM = 2_000
"""Documents that byte-pair merges are learned from."""

TEST_SHARE = 0.05
"""Share of the tokens held out of a corpus that has no test split of its own."""


@dataclass(frozen=True)
class Prepared:
    """A corpus on disk.

    Attributes:
        tokenizer: Its byte-pair tokenizer.
        train: Tokens to learn from.
        test: Tokens of other documents (of other packages, in an offline corpus).
    """

    tokenizer: tokenizers.ByteTokenizer | tokenizers.BytePairTokenizer
    train: TokenFile
    test: TokenFile


def prepare(corpus: str | Path, directory: str | Path, vocabulary: int, *, field: str = "text") -> Prepared:
    """Learn a vocabulary and write the tokens; what the directory holds already is not made again.

    Args:
        corpus: As `corpora.documents` takes it.
        directory: Where to keep `tokenizer.json` and the token files.
        vocabulary: Token types wanted; at least 259.
        field: Which field of structured files holds the text.

    Raises:
        UsageError: As `documents` and `BytePairTokenizer.train`.
        DataError: The corpus cannot be read or holds no text.
    """
    directory = Path(directory)
    if not (directory / "tokenizer.json").exists():
        sample = islice(documents(corpus, field=field), LEARNED_FROM)
        tokenizers.BytePairTokenizer.train(sample, vocabulary).save(directory)
    return Prepared(
        tokenizers.load(directory),
        *(_tokens(corpus, directory, split, field) for split in ("train", "test")),
    )


def _tokens(corpus: str | Path, directory: Path, split: str, field: str) -> TokenFile:
    if str(corpus) in OFFLINE and not Path(corpus).exists():
        place = directory / split
        return TokenFile.open(place) if place.exists() else _write(corpus, place, split, field)
    place = directory / "tokens"
    whole = TokenFile.open(place) if place.exists() else _write(corpus, place, "train", field)
    return whole.split(TEST_SHARE)[split == "test"]


def _write(corpus: str | Path, place: Path, split: str, field: str) -> TokenFile:
    return write_tokens(place, documents(corpus, field=field, split=split), tokenizers.load(place.parent))
