"""A question in text as OpenAI released theirs: what is read, and what must follow (openai/gpt-3, `data/*.jsonl`)."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from windtunnel.laboratory.files import write_atomic


@dataclass(frozen=True)
class Question:
    """One item.

    Attributes:
        context: Read by the model, such as a line break and `rslaye =`.
        completion: What must follow, its first space included.
    """

    context: str
    completion: str


def write_questions(path: Path, questions: Iterable[Question]) -> None:
    """Write questions, one JSON object a line, with the fields of the released files."""
    write_atomic(path, "".join(json.dumps(asdict(question)) + "\n" for question in questions))
