"""A page of samples: one HTML file that opens offline, runs no script and can ask no host for anything.

What models and datasets wrote is escaped and shown as it is. The content-security policy names the hash of the page's
own style and allows nothing else, so that text which slipped through as markup could neither run nor load anything.
"""

import base64
import hashlib
import json
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from windtunnel.laboratory.files import write_atomic
from windtunnel.laboratory.report import number

if TYPE_CHECKING:
    from windtunnel.evaluation.results import Results

MOST = 1_000
"""Samples on a page."""

FILTERS = ("all", "right", "wrong", "refused", "failed")


def write_page(results: "Results", path: Path, most: int = MOST) -> None:
    """Write the page of an evaluation's samples.

    Args:
        results: The evaluation.
        path: Where to.
        most: Samples that are shown, the first ones.
    """
    write_atomic(path, render(results, most).encode("utf-8", errors="replace"))


def render(results: "Results", most: int = MOST) -> str:
    """The page as HTML text."""
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=PackageLoader("windtunnel.evaluation"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(number=number)
    style = (files("windtunnel.evaluation") / "templates" / "samples.css").read_text(encoding="utf-8")
    metric = results.header["metric"]
    rows = [_row(record, metric) for record in results.records[:most]]
    summary = results.summary()
    counts = {name: sum(name in ("all", row["status"]) for row in rows) for name in FILTERS}
    counts["refused"] = sum(row["refused"] for row in rows)
    return environment.get_template("samples.html.jinja").render(
        style=Markup(style),  # the page's own, and no one else's words
        style_hash=base64.b64encode(hashlib.sha256(style.encode()).digest()).decode(),
        header=results.header,
        summary=summary,
        bounded=any("bounds" in found for found in summary["metrics"].values()),
        made=_pretty({name: value for name, value in results.header.items() if name not in ("hardware", "versions")}),
        rows=rows,
        total=len(results.records),
        filters=[(name, counts[name]) for name in FILTERS if counts[name] or name == "all"],
    )


def _row(record: Mapping[str, Any], metric: str) -> dict[str, Any]:
    """What the page shows of one record."""
    from windtunnel.evaluation.results import is_failed

    sample, output, mark = record["sample"], record["output"], record["mark"] or {}
    value = mark.get("values", {}).get(metric)
    status = "failed" if is_failed(record) else {1.0: "right", 0.0: "wrong"}.get(value, "marked")
    target = sample.get("target", "")
    asked = sample["input"] if isinstance(sample["input"], str) else _pretty(sample["input"])
    facts = {
        "values": mark.get("values"),
        "metadata": sample.get("metadata"),
        "cluster": sample.get("cluster"),
        "extra": output.get("extra"),
    }
    return {
        "id": record["id"],
        "epoch": record["epoch"],
        "status": status,
        "refused": bool(output.get("refused")),
        "short": _short(asked, mark.get("answer") or output.get("text") or ""),
        "error": output.get("error") or mark.get("error"),
        "prompt": output.get("prompt") or asked,
        "options": _options(sample, output, mark),
        "text": output.get("text", ""),
        "stop_reason": output.get("stop_reason", ""),
        "target": "" if "choices" in sample and isinstance(target, int) else "\n".join(_several(target)),
        "answer": "" if "choices" in sample else mark.get("answer", ""),
        "explanation": mark.get("explanation", ""),
        "facts": _pretty({name: fact for name, fact in facts.items() if fact}) if any(facts.values()) else "",
    }


def _options(sample: Mapping[str, Any], output: Mapping[str, Any], mark: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The choices of a multiple-choice question with what the model made of each."""
    choices = sample.get("choices", [])
    logprobs = output.get("option_logprobs") or [None] * len(choices)
    tokens = output.get("option_tokens") or [None] * len(choices)
    if len(logprobs) != len(choices) or len(tokens) != len(choices):
        logprobs = tokens = [None] * len(choices)
    return [
        {
            "text": choice,
            "target": place == sample.get("target"),
            "chosen": choice == mark.get("answer"),
            "logprob": logprobs[place],
            "tokens": tokens[place],
        }
        for place, choice in enumerate(choices)
    ]


def _short(asked: str, answer: str) -> str:
    """Question and answer on one line."""
    return " ".join(asked.split())[:90] + " → " + " ".join(answer.split())[:90]


def _several(target: Any) -> list[str]:
    return [str(each) for each in target] if isinstance(target, list) else [str(target)]


def _pretty(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)
