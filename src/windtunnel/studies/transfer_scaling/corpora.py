"""The texts as rows: pre-training on English or on half English and half other code, and the target."""

from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Int
from numpy.typing import NDArray
from torch import Tensor

from windtunnel.data import tokenizers
from windtunnel.data.corpora import OFFLINE, documents
from windtunnel.laboratory.errors import DataError
from windtunnel.laboratory.run import Run
from windtunnel.laboratory.stages import fetch

if TYPE_CHECKING:
    from windtunnel.studies.transfer_scaling import Config

LEARNED_FROM = 1_000
"""Documents of each corpus from which byte pairs are learned, where the vocabulary is larger than bytes."""

ROWS_PER_DOCUMENT = {"text": 32, "code": 16, "target": 4}
"""Most rows taken of one document, at a random place: few of the target, so that a small data set is of many files."""

BEGINNINGS = ("text", "mixture")
"""What is pre-trained on."""

TRACE = "text and a trace"
"""Contaminated pre-training."""


def gather(config: "Config", run: Run) -> Path:
    """Read and tokenise what the study needs, once; returns where `rows` finds it."""
    run.stage("rows", lambda: _gather(config, run))
    return run.directory / "artifacts" / "rows"


def rows(place: Path) -> dict[str, Int[Tensor, "row token"]]:
    """The rows by name: `text`, `code`, `target`, `validation`, `test`."""
    return {name: torch.from_numpy(values) for name, values in fetch(place).items()}


def pretraining(
    found: dict[str, Int[Tensor, "row token"]], beginning: str, config: "Config", seed: int
) -> Int[Tensor, "row token"]:
    """The rows of one pre-training, all of the same number."""
    text, code = found["text"], found["code"]
    if beginning == "mixture":
        half = len(text) // 2
        return torch.cat([text[:half], code[: len(text) - half]])
    if beginning == TRACE:
        few = max(round(config.trace * len(text)), 1)
        order = torch.randperm(len(found["trace"]), generator=torch.Generator().manual_seed(seed))
        return torch.cat([text[few:], found["trace"][order[:few]]])
    return text


def _gather(config: "Config", run: Run) -> dict[str, NDArray[np.int32]]:
    tokenizer = _tokenizer(config, run)
    needed = config.pretraining_tokens // config.context
    most = max(config.scratch) // config.context
    trace = max(round(config.trace * needed), 1)

    def take(corpus: str, split: str, count: int, each: int, name: str) -> NDArray[np.int32]:
        return _take(config, run, tokenizer, corpus, split, count, each, name)

    target = take(config.target, "train", 2 * most + trace, ROWS_PER_DOCUMENT["target"], "target")
    held_out = take(config.target, "test", 2 * config.held_out_rows, 1, "held out")
    return {
        "text": take(config.text, "train", needed, ROWS_PER_DOCUMENT["text"], "text"),
        "code": take(config.other_code, "train", needed - needed // 2, ROWS_PER_DOCUMENT["code"], "code"),
        "target": target[trace:],
        "trace": target[:trace],
        "validation": held_out[: config.held_out_rows],
        "test": held_out[config.held_out_rows :],
    }


def _take(
    config: "Config",
    run: Run,
    tokenizer: tokenizers.TextTokenizer,
    corpus: str,
    split: str,
    count: int,
    each: int,
    name: str,
) -> NDArray[np.int32]:
    """Rows of as many documents as it takes, in a random order; all of them if they are held out, so that few do.

    A corpus with no test split of its own gives its first documents to it.
    """
    run.note(f"reading {corpus} ({name})")
    generator, length = run.generator("rows", name), config.context + 1
    found: list[NDArray[np.int32]] = []
    have = 0
    held_out = split == "test"
    own = corpus in OFFLINE and not Path(corpus).exists()
    texts = documents(corpus, split=split if own else "train")
    if not own and corpus == config.target:
        first = islice(texts, count)
        texts = first if held_out else islice(texts, 2 * config.held_out_rows, None)
    for text in texts:
        ids = np.array(tokenizer.encode(text[: 64 * each * length]), dtype=np.int32)
        fits = min(len(ids) // length, each)
        if fits == 0:
            continue
        start = int(generator.integers(len(ids) - fits * length + 1))
        found.append(ids[start : start + fits * length].reshape(fits, length))
        have += fits
        if have >= count and not held_out:
            break
    if have < count:
        raise DataError(
            f"{corpus} ({split}) has {have} rows of {length} tokens where {count} are needed ({name}); name a larger "
            "corpus, or ask for fewer tokens."
        )
    together = np.concatenate(found)
    return together[generator.permutation(len(together))[:count]]


def _tokenizer(config: "Config", run: Run) -> tokenizers.TextTokenizer:
    if config.vocabulary == tokenizers.ByteTokenizer.vocabulary:
        return tokenizers.ByteTokenizer()
    place = run.directory / "tokenizer"
    if not (place / "tokenizer.json").exists():
        texts = (text for corpus in (config.text, config.target) for text in islice(documents(corpus), LEARNED_FROM))
        tokenizers.BytePairTokenizer.train(texts, config.vocabulary).save(place)
    return tokenizers.load(place)
