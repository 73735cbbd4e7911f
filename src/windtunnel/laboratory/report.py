"""The report: one HTML page that shows a run's figures and claims, opens offline and asks no other host for anything.

It is built only from what the run stored, so that it can be rebuilt at any time. Figures are embedded as images (an
SVG in an image runs no script), all text is escaped, and a content-security policy forbids every request.
"""

import base64
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from windtunnel.laboratory.claims import check_findings
from windtunnel.laboratory.errors import DataError
from windtunnel.laboratory.files import read_json, write_atomic

VERDICTS = ("replicated", "not replicated", "inconclusive", "not tested")


def write_report(directory: str | Path, out: str | Path | None = None) -> Path:
    """Write the report of a run, or of all runs directly below a directory.

    Args:
        directory: A run's directory, or a folder of them.
        out: The page to write; by default `report.html` in the directory.

    Returns:
        The page's path.

    Raises:
        DataError: No finished run is there, or its files are damaged or of another version.
    """
    directory = Path(directory)
    page = render([load(path) for path in finished_runs(directory)])
    target = Path(out) if out is not None else directory / "report.html"
    write_atomic(target, page)
    return target


def finished_runs(directory: Path) -> list[Path]:
    """The run directories at `directory`: itself, or those directly below it, by name.

    Raises:
        DataError: There is none.
    """
    if (directory / "findings.json").exists():
        return [directory]
    below = sorted(path.parent for path in directory.glob("*/findings.json"))
    if not below:
        raise DataError(
            f"{directory} holds no finished run (no findings.json); run a study with --out {directory} first."
        )
    return below


def load(directory: Path, findings: dict[str, Any] | None = None) -> dict[str, Any]:
    """Everything the page shows of one run.

    Args:
        directory: The run's directory.
        findings: Its findings, where they are not yet in `findings.json`.
    """
    path = directory / "findings.json"
    findings = check_findings(read_json(path) if findings is None else findings, str(path))
    config = read_json(directory / "config.json")
    contents_path = directory / "contents.json"
    contents = read_json(contents_path) if contents_path.exists() else []
    for item in contents:
        if item["kind"] == "figure":
            item["source"] = _data_uri(directory / "figures" / f"{item['name']}.svg")
        if item["kind"] == "table":
            item["columns"] = list(dict.fromkeys(key for row in item["rows"] for key in row))
    claims = [{**claim, "gauge": gauge(claim)} for claim in findings["claims"]]
    return {
        "findings": {**findings, "claims": claims},
        "config": config,
        "contents": contents,
        "counts": {verdict: sum(claim["verdict"] == verdict for claim in claims) for verdict in VERDICTS},
    }


def _data_uri(path: Path) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}); run the study again with --resume.") from error
    return "data:image/svg+xml;base64," + base64.b64encode(data).decode()


def gauge(claim: dict[str, Any], width: float = 120.0) -> dict[str, float] | None:
    """Positions, in pixels of a strip, of the accepted range, the interval and the value of a claim.

    Returns:
        Keys `accepted_from`, `accepted_to`, `low`, `high`, `value`; None where nothing was measured.
    """
    value, ends = claim["value"], claim.get("bar_ends")
    if value is None or not ends:
        return None
    low, high = claim["interval"] or (value, value)
    points = [number for number in (value, low, high, *ends) if number is not None and math.isfinite(number)]
    smallest, largest = min(points), max(points)
    span = (largest - smallest) or abs(largest) or 1.0
    start, stop = smallest - 0.18 * span, largest + 0.18 * span

    def place(number: float | None, otherwise: float) -> float:
        if number is None or not math.isfinite(number):
            return otherwise
        return float(round(width * (number - start) / (stop - start), 1))

    return {
        "accepted_from": place(ends[0], 0.0),
        "accepted_to": place(ends[1], width),
        "low": place(low, 0.0),
        "high": place(high, width),
        "value": place(value, width / 2),
    }


def number(value: Any) -> str:
    """A number as a reader wants it: four significant digits, no noise; other values as text."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}".replace(",", "\u202f")
    if isinstance(value, float):
        if value != 0 and not 1e-3 <= abs(value) < 1e6:
            return f"{value:.3g}"
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        return ", ".join(map(number, value))
    return str(value)


def duration(seconds: float) -> str:
    """Seconds as a reader wants them."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def render(runs: Sequence[dict[str, Any]]) -> str:
    """The page as HTML text."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("windtunnel.laboratory"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(number=number, duration=duration)
    return environment.get_template("report.html.jinja").render(runs=runs, verdicts=VERDICTS)
