"""Tokenizers that are made here: plain bytes, and byte-level byte-pair encoding trained on a corpus.

Byte-pair encoding: Sennrich et al., 2016 (arXiv:1508.07909), over bytes as in GPT-2 (Radford et al., 2019). Both kinds
lose nothing: decoding what was encoded gives the same text, whatever it is. Both save the ordinary `tokenizer.json` and
`tokenizer_config.json`, which `transformers.AutoTokenizer` reads.
"""

import hashlib
import json
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

from windtunnel.laboratory.errors import DataError, UsageError
from windtunnel.laboratory.files import read_json, write_atomic, write_json

SPECIALS = ("<|bos|>", "<|eos|>", "<|pad|>")
"""Text of the tokens that begin a document, end one and fill up; in a text to encode they are ordinary characters."""

BYTES = 256


class TextTokenizer(Protocol):
    """What a corpus needs of a tokenizer; those of pretrained models fit too.

    Attributes:
        vocabulary: Number of token types.
        bos: Id that begins a document, if there is one.
        eos: Id that ends one.
        pad: Id that fills up.
    """

    @property
    def vocabulary(self) -> int:
        """Number of token types."""

    @property
    def bos(self) -> int | None:
        """Id that begins a document."""

    @property
    def eos(self) -> int | None:
        """Id that ends a document."""

    @property
    def pad(self) -> int | None:
        """Id that fills up."""

    def encode(self, text: str) -> list[int]:
        """Token ids of a text."""

    def decode(self, ids: list[int]) -> str:
        """Text of token ids."""

    def save(self, directory: str | Path) -> None:
        """Write the tokenizer's files."""


def fingerprint(tokenizer: TextTokenizer) -> str:
    """A short hash of all that a tokenizer is: of the files that it saves."""
    digest = hashlib.sha256()
    with tempfile.TemporaryDirectory() as directory:
        tokenizer.save(directory)
        for file in sorted(Path(directory).iterdir()):
            if file.is_file():
                digest.update(f"{file.name} {file.stat().st_size}\n".encode())
                digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


class ByteTokenizer:
    """One token per byte of UTF-8, and three specials: nothing to train, and no text is out of vocabulary.

    Attributes:
        vocabulary: 259.
        bos: 256.
        eos: 257.
        pad: 258.
    """

    vocabulary = BYTES + len(SPECIALS)
    bos: int | None = BYTES
    eos: int | None = BYTES + 1
    pad: int | None = BYTES + 2

    def encode(self, text: str) -> list[int]:
        """The bytes of a text.

        Raises:
            UsageError: The text holds half of a surrogate pair, which has no UTF-8.
        """
        return list(_utf8(text))

    def decode(self, ids: Sequence[int]) -> str:
        """The text of bytes; broken UTF-8 shows as U+FFFD, specials by their names.

        Raises:
            UsageError: An id is outside the vocabulary.
        """
        _check_ids(ids, self.vocabulary)
        whole = b"".join(bytes([one]) if one < BYTES else SPECIALS[one - BYTES].encode() for one in ids)
        return whole.decode("utf-8", errors="replace")

    def save(self, directory: str | Path) -> None:
        """Write the tokenizer's files."""
        _write(Path(directory), _byte_level(models.BPE(vocab=_alphabet(), merges=[])), SPECIALS)


class BytePairTokenizer:
    """Byte-level byte-pair encoding.

    Attributes:
        tokenizer: The `tokenizers.Tokenizer` behind it.
        vocabulary: Number of token types.
        bos: Id that begins a document, or None in a foreign tokenizer without one.
        eos: Id that ends one, or None.
        pad: Id that fills up, or None.
    """

    def __init__(self, tokenizer: Tokenizer, specials: Sequence[str | None] = SPECIALS) -> None:
        self.tokenizer = tokenizer
        self.tokenizer.encode_special_tokens = True  # a document that says "<|eos|>" does not end there
        self.vocabulary: int = tokenizer.get_vocab_size()
        self._specials = tuple(specials)
        self.bos, self.eos, self.pad = (None if name is None else tokenizer.token_to_id(name) for name in specials)

    @classmethod
    def train(cls, texts: Iterable[str], vocabulary: int, *, smallest_count: int = 2) -> "BytePairTokenizer":
        """Learn merges from texts, the same ones from the same texts.

        Args:
            texts: Documents; read once, as a stream.
            vocabulary: Token types wanted, the 256 bytes and 3 specials among them. Fewer come if the texts have no
                more pairs to merge.
            smallest_count: Pairs seen less often are not merged.

        Raises:
            UsageError: The vocabulary has no room for the bytes and specials, or a text holds half a surrogate pair.
        """
        smallest = BYTES + len(SPECIALS)
        if vocabulary < smallest:
            raise UsageError(
                f"A vocabulary of {vocabulary} has no room for {BYTES} bytes and {len(SPECIALS)} special tokens; "
                f"ask for at least {smallest}, which merges nothing."
            )
        tokenizer = _byte_level(models.BPE())
        trainer = trainers.BpeTrainer(
            vocab_size=vocabulary,
            min_frequency=smallest_count,
            special_tokens=list(SPECIALS),
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
            show_progress=False,
        )
        tokenizer.train_from_iterator((_utf8(text).decode() for text in texts), trainer)
        return cls(tokenizer)

    def encode(self, text: str) -> list[int]:
        """Token ids of a text, without specials.

        Raises:
            UsageError: The text holds half of a surrogate pair, which has no UTF-8.
        """
        _utf8(text)
        return list(self.tokenizer.encode(text, add_special_tokens=False).ids)

    def decode(self, ids: Sequence[int]) -> str:
        """Text of token ids, specials by their names.

        Raises:
            UsageError: An id is outside the vocabulary.
        """
        _check_ids(ids, self.vocabulary)
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=False))

    def save(self, directory: str | Path) -> None:
        """Write the tokenizer's files."""
        _write(Path(directory), self.tokenizer, self._specials)


def load(directory: str | Path) -> ByteTokenizer | BytePairTokenizer:
    """The tokenizer that `save` wrote, or any other directory with a `tokenizer.json`.

    Raises:
        DataError: The directory has no `tokenizer.json`, or one that cannot be read.
    """
    path = Path(directory) / "tokenizer.json"
    if not path.is_file():
        raise DataError(f"{directory} has no tokenizer.json; name a directory that a tokenizer was saved to.")
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises bare exceptions
        raise DataError(f"{path} is not a tokenizer ({error}); save the tokenizer again.") from error
    settings = Path(directory) / "tokenizer_config.json"
    configuration = read_json(settings) if settings.exists() else {}
    if not isinstance(configuration, dict):
        raise DataError(f"{settings} is not a JSON object; save the tokenizer again.")
    names = [_name(configuration.get(key)) for key in ("bos_token", "eos_token", "pad_token")]
    if tokenizer.get_vocab_size() == ByteTokenizer.vocabulary and tuple(names) == SPECIALS:
        plain = _byte_level(models.BPE(vocab=_alphabet(), merges=[]))
        plain.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in SPECIALS])
        if json.loads(plain.to_str()) == json.loads(tokenizer.to_str()):
            return ByteTokenizer()
    return BytePairTokenizer(tokenizer, names)


def _byte_level(model: Any) -> Tokenizer:
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _alphabet() -> dict[str, int]:
    """The printable character by which byte-level encoding writes each byte, to the byte."""
    shown = {*range(33, 127), *range(161, 173), *range(174, 256)}  # these stand for themselves
    hidden = [byte for byte in range(BYTES) if byte not in shown]  # these for U+0100 and on
    return {chr(byte): byte for byte in shown} | {chr(BYTES + place): byte for place, byte in enumerate(hidden)}


def _write(directory: Path, tokenizer: Tokenizer, specials: Sequence[str | None]) -> None:
    present = [name for name in specials if name is not None]
    tokenizer.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in present])
    write_atomic(directory / "tokenizer.json", tokenizer.to_str(pretty=True))
    named = dict(zip(("bos_token", "eos_token", "pad_token"), specials, strict=True))
    configuration = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,
        "split_special_tokens": True,
        **{key: name for key, name in named.items() if name is not None},
    }
    write_json(directory / "tokenizer_config.json", configuration)


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise UsageError(
            f"The text holds half of a surrogate pair at character {error.start}; read its file as UTF-8."
        ) from error


def _check_ids(ids: Sequence[int], vocabulary: int) -> None:
    if len(ids) and not (min(ids) >= 0 and max(ids) < vocabulary):
        wrong = next(one for one in ids if not 0 <= one < vocabulary)
        raise UsageError(f"Token id {wrong} is outside the vocabulary of {vocabulary}; use the tokenizer that made it.")


def _name(token: Any) -> str | None:
    """A special token as `tokenizer_config.json` writes it: a string, or an object with its content."""
    value = token.get("content") if isinstance(token, dict) else token
    return value if isinstance(value, str) else None
