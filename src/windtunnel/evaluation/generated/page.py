"""Pages of a generated evaluation: one to look through it, one for people who rate it.

Both are single files that open offline. What models wrote is escaped; the content-security policy allows the page's own
style and script, by their hashes, pictures inside the page, and nothing else.
"""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from windtunnel.evaluation.generated.records import Record
from windtunnel.laboratory import plots
from windtunnel.laboratory.files import write_atomic
from windtunnel.laboratory.report import number
from windtunnel.statistics.intervals import Floats

MOST_TOPICS = 15
"""Topics that a map names."""


def write_page(records: Sequence[Record], summary: Mapping[str, Any], path: Path, picture: str = "") -> None:
    """Write the page of a set: counts, map, and every question with search and filters.

    Args:
        records: The questions.
        summary: What the pipeline says of them.
        path: Where to.
        picture: The map as SVG text.
    """
    rows: list[dict[str, Any]] = [
        {
            "id": each.id,
            "question": each.text if not each.letters else each.question,
            "options": [*enumerate(each.options)] if each.letters else [],
            "matching": each.matching,
            "answer": _answer(each),
            "confidence": each.label_confidence,
            "topic": each.topic,
        }
        for each in records
    ]
    answers = sorted({row["answer"] for row in rows})
    write_atomic(
        path,
        _render(
            "page.html.jinja",
            "page.js",
            summary=summary,
            rows=rows,
            answers=answers,
            topics=sorted({row["topic"] for row in rows} - {""}),
            picture=base64.b64encode(picture.encode()).decode(),
        ),
    )


def write_rating_page(records: Sequence[Record], behaviour: str, path: Path) -> None:
    """Write the page on which a person rates questions and saves what they chose as a CSV file.

    The labels are not on it: a rater is not to see what is to be confirmed.
    """
    rows = [
        {
            "id": each.id,
            "question": each.text if not each.letters else each.question,
            "options": [f"({chr(65 + place)}) {option}" for place, option in enumerate(each.options)]
            if each.letters
            else [],
            "answers": [f"({chr(65 + place)})" for place in range(len(each.options))]
            if each.letters
            else ["Agree", "Disagree"],
        }
        for each in records
    ]
    write_atomic(path, _render("rating.html.jinja", "rating.js", rows=rows, behaviour=behaviour))


def draw_map(records: Sequence[Record], places: Floats, path: Path) -> str:
    """The map of a set, coloured by which answer matches, as SVG in a file; returns it.

    Topics stand as numbers at their middles, where there are few enough to read.
    """
    figure, axes = plots.figure(7.0, 4.6)
    answers = [_answer(each) for each in records]
    for place, name in enumerate(dict.fromkeys(sorted(answers, key=lambda name: "No" in name or "(B)" in name))):
        mine = [number for number, answer in enumerate(answers) if answer == name]
        colour = plots.PALETTE[place % len(plots.PALETTE)]
        axes.scatter(*places[mine].T, s=10, alpha=0.75, linewidths=0, color=colour, label=f"{name} matches")
    topics = sorted({each.topic for each in records} - {""})
    if len(topics) <= MOST_TOPICS:
        for place, topic in enumerate(topics, start=1):
            x, y = places[[number for number, each in enumerate(records) if each.topic == topic]].mean(0)
            axes.text(x, y, str(place), ha="center", va="center", fontsize=11, fontweight="bold")
            axes.plot([], [], " ", label=f"{place}  {topic}")
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)
    if records:
        figure.legend(loc="outside right upper", markerscale=2, handlelength=0.8)
    text = plots.to_svg(figure, "map")
    write_atomic(path, text)
    return text


def _answer(record: Record) -> str:
    return f"({chr(65 + record.matching)})" if record.letters else record.options[record.matching]


def _render(template: str, script: str, **values: Any) -> str:
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=PackageLoader("windtunnel.evaluation.generated"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(number=number)
    folder = files("windtunnel.evaluation.generated") / "templates"
    own = {"style": (folder / "page.css").read_text("utf-8"), "script": (folder / script).read_text("utf-8")}
    hashes = {
        f"{name}_hash": base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for name, text in own.items()
    }
    trusted = {name: Markup(text) for name, text in own.items()}  # the page's own words
    return environment.get_template(template).render(**trusted, **hashes, **values)
