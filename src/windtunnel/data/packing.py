"""Token files: a corpus tokenised once, mapped into memory, and cut into rows of one length.

A token file is a directory of three files: `tokens.bin` (little-endian uint16, or uint32 for vocabularies above 65,536;
every document as [bos] text [eos], one after another), `documents.bin` (int64: where each document begins) and
`header.json`. It is written as a stream and appears whole or not at all.
"""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Int
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from windtunnel.data.sources import Rows, derived_seed
from windtunnel.data.tokenizers import TextTokenizer, fingerprint
from windtunnel.laboratory.errors import DataError, UsageError
from windtunnel.laboratory.files import explained, read_json


class Header(BaseModel):
    """What `header.json` says of a token file.

    Attributes:
        format: Always "windtunnel-tokens".
        version: Of the layout.
        dtype: Of a token on disk.
        tokens: How many there are.
        documents: How many there are.
        vocabulary: Token types.
        tokenizer: Fingerprint of the tokenizer.
        fingerprint: Hash of all tokens and beginnings of documents.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    format: Literal["windtunnel-tokens"]
    version: int = Field(ge=1, le=1)
    dtype: Literal["<u2", "<u4"]
    tokens: int = Field(ge=1)
    documents: int = Field(ge=1)
    vocabulary: int = Field(ge=1)
    tokenizer: str
    fingerprint: str


@dataclass(frozen=True)
class TokenFile:
    """A token file, or a part of one.

    Attributes:
        path: Its directory.
        header: What it says of the whole file.
        tokens: The part's tokens, mapped into memory.
        starts: Where the part's documents begin, in its tokens; the first is 0.
    """

    path: Path
    header: Header
    tokens: NDArray[Any]
    starts: NDArray[np.int64]

    @classmethod
    def open(cls, path: str | Path) -> "TokenFile":
        """Map a token file into memory.

        Raises:
            DataError: The header is missing or foreign, or the other files are not as long as it says.
        """
        path = Path(path)
        values = read_json(path / "header.json")
        try:
            header = Header.model_validate(values)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"])) or "it"
            raise DataError(
                f"{path / 'header.json'} is not the header of a token file ({place}: {first['msg']}); "
                "write the token file again."
            ) from error
        tokens = _mapped(path / "tokens.bin", header.dtype, header.tokens)
        starts = _mapped(path / "documents.bin", "<i8", header.documents)
        if starts[0] != 0 or not 0 <= starts[-1] < header.tokens:
            raise DataError(f"{path / 'documents.bin'} does not fit the tokens beside it; write the token file again.")
        return cls(path, header, tokens, starts)

    def split(self, test: float) -> tuple["TokenFile", "TokenFile"]:
        """Two parts, train and test: the last documents, about `test` of the tokens, are the test part.

        The cut is where a document begins; a file of a single document is cut inside it.

        Raises:
            UsageError: The share is not between 0 and 1, or a part would have no tokens.
        """
        if not 0 < test < 1:
            raise UsageError(f"A test share of {test} is not between 0 and 1; ask for 0.1, say.")
        wanted = round(len(self.tokens) * (1 - test))
        inner = self.starts[1:]
        cut = int(inner[np.abs(inner - wanted).argmin()]) if len(inner) else wanted
        if not 0 < cut < len(self.tokens):
            raise UsageError(f"The {len(self.tokens)} tokens of {self.path} are too few to split; use a longer corpus.")
        return self._part(0, cut), self._part(cut, len(self.tokens))

    def counts(self) -> Int[torch.Tensor, " token"]:
        """How often each token type occurs."""
        total = np.zeros(self.header.vocabulary, np.int64)
        for start in range(0, len(self.tokens), 2**24):  # the file may be larger than memory
            total += np.bincount(self.tokens[start : start + 2**24], minlength=self.header.vocabulary)
        return torch.from_numpy(total)

    def _part(self, first: int, last: int) -> "TokenFile":
        begun = int(np.searchsorted(self.starts, first, side="right")) - 1
        ended = int(np.searchsorted(self.starts, last, side="left"))
        starts = np.maximum(self.starts[begun:ended] - first, 0)
        return replace(self, tokens=self.tokens[first:last], starts=starts)


def write_tokens(path: str | Path, texts: Iterable[str], tokenizer: TextTokenizer) -> TokenFile:
    """Tokenise documents into a token file; only one document at a time is held in memory.

    Args:
        path: The directory to make; it appears when all is written.
        texts: The documents.
        tokenizer: Its `bos` and `eos`, as far as it has them, go around each document.

    Raises:
        UsageError: The path exists, or the tokenizer gives ids outside its vocabulary.
        DataError: There are no tokens.
        WindtunnelError: The disk is full or not writable.
    """
    path = Path(path)
    if path.exists():
        raise UsageError(f"{path} exists already; remove it or name another path for the token file.")
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
    try:
        _write(temporary, path, texts, tokenizer)
        with explained(path):
            temporary.chmod(0o755)
            try:
                temporary.rename(path)
            except OSError:
                if not path.exists():  # else another process has just written it
                    raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return TokenFile.open(path)


def _write(directory: Path, path: Path, texts: Iterable[str], tokenizer: TextTokenizer) -> None:
    dtype: Literal["<u2", "<u4"] = "<u2" if tokenizer.vocabulary <= 2**16 else "<u4"
    digest, total, documents = hashlib.sha256(), 0, 0
    iterator = iter(texts)
    with (directory / "tokens.bin").open("wb") as tokens, (directory / "documents.bin").open("wb") as starts:
        for text in iterator:
            ids = _document(text, tokenizer)
            if not len(ids):
                continue
            start, content = np.array([total], "<i8").tobytes(), ids.astype(dtype).tobytes()
            digest.update(start + content)
            with explained(path):
                starts.write(start)
                tokens.write(content)
            total += len(ids)
            documents += 1
        with explained(path):
            for file in (starts, tokens):
                file.flush()
                os.fsync(file.fileno())
    if not total:
        raise DataError(f"There is no text to write to {path}; name a corpus with at least one document.")
    header = Header(
        format="windtunnel-tokens",
        version=1,
        dtype=dtype,
        tokens=total,
        documents=documents,
        vocabulary=tokenizer.vocabulary,
        tokenizer=fingerprint(tokenizer),
        fingerprint=digest.hexdigest(),
    )
    with explained(path):
        (directory / "header.json").write_text(json.dumps(header.model_dump(), indent=2) + "\n")


def _document(text: str, tokenizer: TextTokenizer) -> NDArray[np.int64]:
    ids = np.array(tokenizer.encode(text), dtype=np.int64)
    if not len(ids):
        return ids
    before = [tokenizer.bos] if tokenizer.bos is not None and ids[0] != tokenizer.bos else []
    after = [tokenizer.eos] if tokenizer.eos is not None and ids[-1] != tokenizer.eos else []
    ids = np.concatenate([np.array(before, np.int64), ids, np.array(after, np.int64)])
    if ids.min() < 0 or ids.max() >= tokenizer.vocabulary:
        raise UsageError(
            f"The tokenizer gives ids from {ids.min()} to {ids.max()} though its vocabulary is {tokenizer.vocabulary}; "
            "use the one it was saved with."
        )
    return ids


def _mapped(path: Path, dtype: str, length: int) -> NDArray[Any]:
    expected = length * np.dtype(dtype).itemsize
    try:
        size = path.stat().st_size
        if size != expected:
            raise DataError(f"{path} has {size} bytes where its header says {expected}; write the token file again.")
        return np.memmap(path, dtype, mode="r", shape=(length,))
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}); write the token file again.") from error


class PackedSource:
    """Rows of fixed length from a token file, in another order each epoch.

    The file is cut every `context` tokens; a row has these and the one that follows, so that in an epoch each token but
    the first, and the up to `context - 1` that fill no row, is predicted once. The order of an epoch is a pure function
    of the seed and the epoch: row i is the same however the rows are asked for.

    Args:
        file: The tokens.
        context: Tokens a model reads.
        seed: Decides the order.
        boundaries: Whether rows say where documents begin, so that attention and loss stop there.

    Attributes:
        vocabulary: Token types.
        context: Tokens a model reads.
        epoch: Rows in an epoch.

    Raises:
        UsageError: The context is below 1 or longer than the file.
    """

    def __init__(self, file: TokenFile, context: int, seed: int, *, boundaries: bool = True) -> None:
        if context < 1:
            raise UsageError(f"A context of {context} tokens holds nothing; ask for at least 1.")
        self.epoch = (len(file.tokens) - 1) // context
        if self.epoch == 0:
            raise UsageError(
                f"A context of {context} is too long for the {len(file.tokens)} tokens of {file.path}; "
                "shorten it or use a longer corpus."
            )
        self.vocabulary = file.header.vocabulary
        self.context = context
        self.seed = seed
        self._file = file
        self._boundaries = boundaries
        self._order: tuple[int, Int[torch.Tensor, " row"]] = (-1, torch.empty(0))

    def rows(self, start: int, count: int) -> Rows:
        """Rows `start` to `start + count - 1`.

        Raises:
            UsageError: `start` is below 0.
            DataError: The file holds a token outside its vocabulary.
        """
        if start < 0:
            raise UsageError(f"Row {start} does not exist; rows count from 0.")
        places = np.array([self._place(row) for row in range(start, start + count)], dtype=np.int64)
        positions = places[:, None] * self.context + np.arange(self.context + 1)
        tokens = self._file.tokens[positions].astype(np.int64)
        if tokens.size and tokens.max() >= self.vocabulary:
            raise DataError(
                f"{self._file.path} holds token {tokens.max()} outside its vocabulary of {self.vocabulary}; "
                "write the token file again."
            )
        rows = {"tokens": torch.from_numpy(tokens)}
        if self._boundaries:
            numbers = np.searchsorted(self._file.starts, positions, side="right")
            rows["documents"] = torch.from_numpy(numbers - numbers[:, :1])
        return rows

    def _place(self, row: int) -> int:
        """Which cut of the file a row is."""
        epoch, place = divmod(row, self.epoch)
        if self._order[0] != epoch:
            generator = torch.Generator().manual_seed(derived_seed(self.seed, epoch))
            self._order = (epoch, torch.randperm(self.epoch, generator=generator))
        return int(self._order[1][place])
