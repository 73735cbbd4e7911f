"""Pages on which people rate texts: one HTML file per participant, which opens offline and saves the answers.

A participant sees every topic once, as a person wrote it or as one model continued it, half of each, in an order of
their own. The pages do not say which is which, and neither do the codes of the texts in them: that is in `key.json`,
which stays with whoever runs the experiment. What models wrote is escaped; the content-security policy lets the page's
own script and style run and nothing else, and no request leaves it.
"""

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from windtunnel.evaluation.detection.ratings import CHOICES, FORMAT
from windtunnel.laboratory.errors import DataError, UsageError
from windtunnel.laboratory.files import write_atomic, write_json


@dataclass(frozen=True)
class Topic:
    """One thing that is written about.

    Attributes:
        id: Unique.
        title: Shown above the text.
        subtitle: Shown below the title; may be empty.
        human: The text by a person.
        generated: Texts by models, by their names.
    """

    id: str
    title: str
    subtitle: str
    human: str
    generated: Mapping[str, str]


def read_topics(path: str | Path) -> list[Topic]:
    """Topics from a file of one JSON object a line: `id`, `title`, `subtitle` (may be missing), `human`, `generated`.

    Args:
        path: The file; `generated` holds the text of each model by its name.

    Raises:
        DataError: A line is not of that form.
    """
    path, topics = Path(path), []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read as UTF-8 text ({error}); name a .jsonl file.") from error
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            topic = Topic(row["id"], row["title"], row.get("subtitle", ""), row["human"], row["generated"])
            texts = [topic.id, topic.title, topic.subtitle, topic.human, *topic.generated.values()]
            good = all(isinstance(text, str) for text in texts)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            good = False
        if not good:
            raise DataError(
                f'Line {number} of {path} is no topic; write {{"id": "...", "title": "...", "human": "...", '
                '"generated": {"MODEL": "..."}}.'
            )
        topics.append(topic)
    return topics


def plan_material(topics: Sequence[Topic], participants: Mapping[str, int], seed: int) -> dict[str, Any]:
    """Who sees what, in which order: the key to the answers.

    Args:
        topics: What is rated; the paper takes 25 of about 200 words.
        participants: How many by model: a participant rates texts of one model among those of people. The paper takes
            about 80 a model, one of which is bad on purpose (the control).
        seed: Decides names, orders and who sees what.

    Raises:
        UsageError: Fewer than two topics, ids that are not unique, or a topic without a text of a model.
    """
    if len(topics) < 2 or len({topic.id for topic in topics}) < len(topics):
        raise UsageError("Give two topics at least, each with an id of its own.")
    for model in participants:
        lacking = [topic.id for topic in topics if model not in topic.generated]
        if lacking:
            raise UsageError(f"Topic {lacking[0]!r} has no text of {model!r}; give one, or leave the topic out.")
    key: dict[str, Any] = {"format": FORMAT, "seed": seed, "participants": {}}
    for model, count in participants.items():
        for number in range(count):
            participant = _code(seed, "participant", model, number)
            shown = _assign(topics, participant, seed, np.random.default_rng([seed, int(participant, 16)]))
            key["participants"][participant] = {"model": model, "articles": shown}
    return key


def write_material(
    topics: Sequence[Topic],
    directory: str | Path,
    *,
    participants: Mapping[str, int],
    seed: int,
    heading: str = "Who wrote this?",
) -> dict[str, Any]:
    """Write a page for each participant and the key to their answers.

    Args:
        topics: As for `plan_material`.
        directory: Gets `PARTICIPANT.html` for each, and `key.json`.
        participants: As for `plan_material`.
        seed: As for `plan_material`.
        heading: Of the pages.

    Returns:
        The key.

    Raises:
        UsageError: The directory has a key already; and as for `plan_material`.
    """
    directory = Path(directory)
    if (directory / "key.json").exists():
        raise UsageError(f"{directory} holds the key of another experiment; choose another directory.")
    key = plan_material(topics, participants, seed)
    known = {topic.id: topic for topic in topics}
    for participant, shown in key["participants"].items():
        articles = []
        for code, text in shown["articles"].items():
            topic = known[text["topic"]]
            words = topic.generated[shown["model"]] if text["generated"] else topic.human
            articles.append(
                {"code": code, "title": topic.title, "subtitle": topic.subtitle, "paragraphs": _paragraphs(words)}
            )
        page = render(participant, articles, heading)
        write_atomic(directory / f"{participant}.html", page.encode("utf-8", errors="replace"))
    write_json(directory / "key.json", key)
    return key


def _assign(
    topics: Sequence[Topic], participant: str, seed: int, generator: np.random.Generator
) -> dict[str, dict[str, Any]]:
    """What one participant sees, in order: half by the model (of an odd number, a coin decides on the last)."""
    count = len(topics) // 2 + (len(topics) % 2) * int(generator.integers(2))
    by_model = set(generator.permutation(len(topics))[:count].tolist())
    order = generator.permutation(len(topics)).tolist()
    return {
        _code(seed, participant, topics[place].id): {"topic": topics[place].id, "generated": place in by_model}
        for place in order
    }


def _code(*parts: object) -> str:
    """An opaque name of 12 hexadecimal digits."""
    return hashlib.sha256("/".join(map(str, parts)).encode()).hexdigest()[:12]


def _paragraphs(text: str) -> list[str]:
    return [part.strip() for part in text.split("\n") if part.strip()]


def render(participant: str, articles: Sequence[Mapping[str, Any]], heading: str) -> str:
    """One participant's page.

    Args:
        participant: Their opaque name.
        articles: In order, each with `code`, `title`, `subtitle` and `paragraphs`.
        heading: Of the page.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=PackageLoader("windtunnel.evaluation.detection"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    folder = files("windtunnel.evaluation.detection") / "templates"
    script, style = ((folder / name).read_text(encoding="utf-8") for name in ("rating.js", "rating.css"))
    return environment.get_template("rating.html.jinja").render(
        script=Markup(script),  # the page's own, and no one else's words
        script_hash=_hash(script),
        style=Markup(style),
        style_hash=_hash(style),
        participant=participant,
        articles=articles,
        heading=heading,
        choices=CHOICES,
        format=FORMAT,
    )


def _hash(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
