"""The text of the study: English to learn, held-out English without overlap, and Python."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from windtunnel.data.corpora import documents
from windtunnel.data.packing import PackedSource, TokenFile, write_tokens
from windtunnel.data.repetition import overlapping
from windtunnel.data.sources import Rows
from windtunnel.data.tokenizers import BytePairTokenizer, TextTokenizer, load
from windtunnel.laboratory.errors import UsageError

if TYPE_CHECKING:
    from windtunnel.studies.repeated_data import Config

LONGEST = 20_000
"""Characters taken of one document, so that a small corpus is of many."""

LEARNED_FROM = 300
"""Documents that the vocabulary is learned from."""


@dataclass(frozen=True)
class Corpus:
    """Token files in one directory.

    Attributes:
        train: English to learn from.
        test: English of other documents.
        python: Python to fine-tune on.
        python_test: Python of other packages.
    """

    train: TokenFile
    test: TokenFile
    python: TokenFile
    python_test: TokenFile


def prepare(config: "Config", directory: Path) -> Corpus:
    """Read as much text as the streams need, learn a vocabulary, write the tokens; what is there is not made again."""
    needed = (config.rows + 1) * config.context
    wanted = {
        "train": ("offline-english", "train", needed),
        "test": ("offline-english", "test", 2 * config.test_rows * config.context),
        "python": ("offline-python", "train", (config.tuning_rows + 1) * config.context),
        "python_test": ("offline-python", "test", 2 * config.test_rows * config.context),
    }
    if not (directory / "tokenizer.json").exists():
        sample = _beginnings("offline-english", "train", LEARNED_FROM)
        BytePairTokenizer.train(sample, config.vocabulary).save(directory)
    tokenizer = load(directory)
    files = {}
    for name, (corpus, split, tokens) in wanted.items():
        place = directory / name
        if not place.exists():
            write_tokens(place, _enough(corpus, split, tokens, tokenizer), tokenizer)
        files[name] = TokenFile.open(place)
    return Corpus(**files)


def open_corpus(directory: Path) -> Corpus:
    """What `prepare` wrote."""
    return Corpus(*(TokenFile.open(directory / name) for name in ("train", "test", "python", "python_test")))


def held_out(config: "Config", test: TokenFile, train: TokenFile, seed: int) -> Rows:
    """Test windows that share no 13 tokens in a row with any window of training.

    Raises:
        UsageError: None is left.
    """
    source = PackedSource(test, config.context, seed, boundaries=False)
    rows = source.rows(0, min(config.test_rows, source.epoch))["tokens"]
    cut = PackedSource(train, config.context, seed, boundaries=False)
    shared = torch.zeros(len(rows), dtype=torch.bool)
    for start in range(0, cut.epoch, 8_192):  # the training text may be larger than memory
        learned = cut.rows(start, min(8_192, cut.epoch - start))["tokens"]
        shared |= torch.from_numpy(overlapping(rows, learned))
    if bool(shared.all()):
        raise UsageError("Every test window shares 13 tokens in a row with training; raise test_rows.")
    return {"tokens": rows[~shared]}


def _beginnings(corpus: str, split: str, count: int | None = None) -> Iterator[str]:
    for number, text in enumerate(documents(corpus, split=split)):
        if number == count:
            return
        yield text[:LONGEST]


def _enough(corpus: str, split: str, tokens: int, tokenizer: TextTokenizer) -> Iterator[str]:
    """Documents until there are so many tokens, counted by encoding them."""
    found = 0
    for text in _beginnings(corpus, split):
        yield text
        found += len(tokenizer.encode(text))
        if found > tokens:
            return
