"""The offline corpora: real English, Python and other code, found on every machine that installs this package.

`offline-english` is the prose of docstrings, long descriptions, documentation files and licences, `offline-python` the
source code, of the installed packages and of the standard library. A paragraph of English, a file of Python or the
comment that heads it occurs once. Packages, not documents, are divided into train and test (a tenth, by a hash of the
package's name), and what train shares with test is left out of train, so that nothing is in both. Both are the same
whenever the same packages are installed. With the pinned packages of this repository they are 27 MB and 3 MB of English
(train and test) and 308 MB and 30 MB of Python; all of English takes one core two minutes to find, and comes as a
stream. `offline-code` is code that is not Python (39 MB and 1 MB): C, C++ and CUDA (most of it the headers of torch),
JavaScript, CSS, HTML, Fortran, shell, YAML; a file occurs once, and files of very long lines, which are generated, are
passed over. If `WINDTUNNEL_DATA` names a directory with a folder `novels` of gzipped text files, English begins with
them, divided by file.
"""

import ast
import gzip
import hashlib
import importlib.metadata
import inspect
import os
import re
import sysconfig
import warnings
import zlib
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from windtunnel.laboratory.errors import UsageError

Language = Literal["english", "python", "code"]
Split = Literal["train", "test"]

TEST_SHARE = 0.1
"""Share of the packages that are test."""

LARGEST = 500_000
"""Bytes above which a file is passed over: such files are generated, or are data."""

SHORTEST = 200
"""Characters below which a document is passed over."""

NOVELS = "novels/"
"""Begins the names of the novels beside those of packages."""

CODE = re.compile(r"\.(c|h|cc|cpp|hpp|cu|cuh|js|ts|css|html|f|f90|go|rs|java|sh|yaml|yml|xml)")
"""Suffixes of code that is not Python."""

LONG_LINES = 120
"""Mean characters of a line above which a file of code is taken for generated."""

_BLOCKS = ("body", "handlers", "orelse", "finalbody", "cases")
"""Fields of a node of syntax that hold statements, in the order of the source."""

_PROSE = re.compile(r"[A-Za-z ,.;'’\n]")
_PARAGRAPHS = re.compile(r"\n\s*\n")
_DOCUMENTATION = re.compile(r".*\.(md|rst|txt)|(LICEN[SC]E|COPYING|NOTICE|AUTHORS)[^/]*|METADATA", re.IGNORECASE)


@dataclass(frozen=True)
class Package:
    """What is divided into train and test.

    Attributes:
        name: Of the distribution, or of the standard library's module.
        files: Its files, in order.
    """

    name: str
    files: tuple[Path, ...]

    @property
    def split(self) -> Split:
        """Train or test, by a hash of the name."""
        place = int.from_bytes(hashlib.sha256(self.name.encode()).digest()[:8], "big") / 2**64
        return "test" if place < TEST_SHARE else "train"


def offline(language: Language, split: Split = "train", *, roots: Sequence[Path] | None = None) -> Iterator[str]:
    """The documents of an offline corpus, in a fixed order.

    Args:
        language: Which corpus.
        split: Which part of it.
        roots: Where packages are installed; by default this interpreter's packages and standard library.

    Raises:
        UsageError: There is no such language or split.
    """
    for value, known in ((language, Language), (split, Split)):
        if value not in get_args(known):
            raise UsageError(f"There is no offline corpus {value!r}; choose {' or '.join(get_args(known))}.")
    found = packages(_installed() if roots is None else roots)
    chosen = found + _novels() if language == "english" and roots is None else found
    return _documents(language, split, chosen)


def packages(roots: Sequence[Path]) -> list[Package]:
    """The packages under some directories: files by the distribution that installed them, in the order of names."""
    owned: dict[str, list[Path]] = {}
    for root in roots:
        owners = _owners(root)
        for top in sorted(root.iterdir()):
            if top.name.startswith((".", "__")) or top.name in ("site-packages", "dist-packages"):
                continue
            owned.setdefault(owners.get(top.name, top.stem), []).extend(_files(top))
    return [Package(name, tuple(files)) for name, files in sorted(owned.items()) if files]


def _owners(root: Path) -> dict[str, str]:
    """Which distribution installed each entry of a directory."""
    owners = {}
    for distribution in importlib.metadata.distributions(path=[str(root)]):
        name = distribution.metadata["Name"]
        for file in distribution.files or ():
            owners[file.parts[0]] = name
    return owners


def _files(top: Path) -> list[Path]:
    if top.is_file():
        return [top]
    found = []
    for folder, inner, names in os.walk(top):
        inner[:] = sorted(name for name in inner if name != "__pycache__")
        found += [Path(folder, name) for name in sorted(names)]
    return found


def _installed() -> list[Path]:
    return [Path(sysconfig.get_path(name)) for name in ("purelib", "stdlib")]


def _novels() -> list[Package]:
    directory = os.environ.get("WINDTUNNEL_DATA")
    if not directory:
        return []
    folder = Path(directory, "novels")
    return [Package(f"{NOVELS}{path.name}", (path,)) for path in sorted(folder.rglob("*.txt.gz"))]


def _documents(language: Language, split: Split, found: Sequence[Package]) -> Iterator[str]:
    """Test comes first, also where train is asked for: what it holds is then known, and left out of train."""
    seen: set[bytes] = set()
    parts = {part: [package for package in found if package.split == part] for part in get_args(Split)}
    for part in ("test", "train") if split == "train" else ("test",):
        for package in sorted(parts[part], key=lambda package: not package.name.startswith(NOVELS)):
            for file in package.files:
                is_novel = package.name.startswith(NOVELS)
                text = _novel(file, seen) if is_novel else _text(file, language, seen)
                if len(text) >= SHORTEST and part == split:
                    yield text


def _text(file: Path, language: Language, seen: set[bytes]) -> str:
    if language == "code":
        return _code(_read(file), seen) if CODE.fullmatch(file.suffix) else ""
    if file.suffix == ".py":
        source = _read(file)
        return _program(source, seen) if language == "python" else _unseen(_docstrings(source), seen)
    if language == "python":
        return ""
    if not _DOCUMENTATION.fullmatch(file.name):
        return ""
    text = _read(file)
    if file.name == "METADATA":
        text = text.partition("\n\n")[2]  # what follows the header is the long description
    return _unseen(_PARAGRAPHS.split(text), seen)


def _novel(file: Path, seen: set[bytes]) -> str:
    text = _read(file, largest=None)
    return "" if _known(text, seen) else text


def _read(file: Path, largest: int | None = LARGEST) -> str:
    """The text of a file; none if it is too large, binary or unreadable."""
    try:
        if largest is not None and file.stat().st_size > largest:
            return ""
        raw = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
        return "" if b"\0" in raw else raw.decode("utf-8").replace("\r\n", "\n")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError):
        return ""


def _program(source: str, seen: set[bytes]) -> str:
    """A file of Python that has not been seen, without the comment that heads it if that has."""
    lines = source.splitlines(keepends=True)
    start = next((place for place, line in enumerate(lines) if line.strip() and not line.startswith("#")), len(lines))
    head, body = "".join(lines[:start]), "".join(lines[start:])
    if _known(body, seen):
        return ""
    return body if _known(head, seen) else head + body


def _code(source: str, seen: set[bytes]) -> str:
    """A file of other code that has not been seen and is not generated."""
    lines = source.count("\n") + 1
    return "" if len(source) > LONG_LINES * lines or _known(source, seen) else source


def _docstrings(source: str) -> Iterator[str]:
    """The paragraphs of a module's docstrings."""
    if '"""' not in source and "'''" not in source:
        return
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of invalid escapes in other people's code
            tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    waiting: deque[ast.AST] = deque([tree])
    while waiting:  # breadth first, through what holds statements: expressions are most of a tree and document nothing
        node = waiting.popleft()
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _PARAGRAPHS.split(inspect.cleandoc(ast.get_docstring(node, clean=False) or ""))
        for block in _BLOCKS:
            waiting.extend(getattr(node, block, ()))


def _unseen(paragraphs: Iterable[str], seen: set[bytes]) -> str:
    """The paragraphs of prose that have not been seen, as one text."""
    return "\n\n".join(text.strip() for text in paragraphs if _is_prose(text) and not _known(text, seen))


def _is_prose(paragraph: str) -> bool:
    """Whether a paragraph is sentences, rather than code, a table or a list of names."""
    words, letters = len(paragraph.split()), len(_PROSE.findall(paragraph))
    ends = any(mark in paragraph for mark in ".!?:")
    return ends and 8 <= words < len(paragraph) / 3.5 and letters >= 0.9 * len(paragraph)


def _known(text: str, seen: set[bytes]) -> bool:
    """Whether a text was seen before, whatever its white space and case; it has been from now on."""
    digest = hashlib.sha256("".join(text.split()).lower().encode()).digest()[:16]
    known = digest in seen
    seen.add(digest)
    return known
