"""The words in which self-knowledge is asked for: one file, whose hash says whether two results were asked alike."""

import hashlib
import json
from functools import cache
from importlib.resources import files
from typing import Any

_FILE = files(__package__) / "wording.json"


@cache
def wording() -> dict[str, Any]:
    """Templates by name, the levels of confidence, and the six worked examples (answers B, A, A, A, B, B)."""
    return dict(json.loads(_FILE.read_text(encoding="utf-8")))


def wording_sha256() -> str:
    """SHA-256 of the file of words."""
    return hashlib.sha256(_FILE.read_bytes()).hexdigest()
