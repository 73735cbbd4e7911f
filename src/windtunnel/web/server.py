"""`windtunnel serve`: the runs of a folder as pages on 127.0.0.1, read afresh at every request.

It only reads: it lists the runs below a folder, finished or under way, and shows their reports. Text is escaped, a
content-security policy forbids requests to other hosts, and only requests that name this machine are answered (so
that a page elsewhere cannot read runs by pointing a name of its own at 127.0.0.1).
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from windtunnel.laboratory.claims import check_findings
from windtunnel.laboratory.errors import DataError, WindtunnelError
from windtunnel.laboratory.files import read_json, read_lines
from windtunnel.laboratory.report import VERDICTS, duration, load, number, render

if TYPE_CHECKING:
    from starlette.applications import Starlette

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
HOSTS = ("127.0.0.1", "localhost", "[::1]")


def runs_below(folder: Path) -> list[dict[str, Any]]:
    """What the front page shows of each run below a folder, newest first.

    Args:
        folder: Searched for `config.json` files of runs; sub-runs of a run are not listed.

    Returns:
        Dicts with `name` (path below the folder), `title`, `state` ("finished", "unfinished" or "damaged"), `counts`
        of verdicts, `step` and further values of the newest metrics line.
    """
    rows = []
    for path in _configs(folder):
        directory = path.parent
        row: dict[str, Any] = {"name": directory.relative_to(folder).as_posix(), "changed": path.stat().st_mtime}
        try:
            config = read_json(path)
            row |= {key: config[key] for key in ("title", "study", "preset", "seed", "null", "model")}
            row |= _state(directory)
        except (DataError, KeyError, TypeError) as error:
            row |= {"title": row["name"], "state": "damaged", "detail": str(error)}
        rows.append(row)
    return sorted(rows, key=lambda row: -float(row["changed"]))


def _configs(folder: Path) -> list[Path]:
    """The `config.json` files of runs, without descending into a run's own folders."""
    found = []
    for directory, below, files in os.walk(folder):
        if "config.json" in files and "checkpoints" not in Path(directory).parts:
            found.append(Path(directory) / "config.json")
            below.clear()
        else:
            below[:] = sorted(name for name in below if not name.startswith("."))
    return found


def _state(directory: Path) -> dict[str, Any]:
    path = directory / "findings.json"
    if not path.exists():
        lines = read_lines(directory / "metrics.jsonl")
        return {"state": "unfinished", "latest": lines[-1] if lines else {}}
    findings = check_findings(read_json(path), str(path))
    verdicts = [claim["verdict"] for claim in findings["claims"]]
    return {
        "state": "finished",
        "seconds": findings["seconds"],
        "counts": {verdict: verdicts.count(verdict) for verdict in VERDICTS},
    }


def application(folder: Path) -> "Starlette":
    """The web application over the runs below a folder."""
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.middleware.trustedhost import TrustedHostMiddleware
    from starlette.requests import Request
    from starlette.responses import HTMLResponse, PlainTextResponse, Response
    from starlette.routing import Route

    environment = Environment(
        loader=PackageLoader("windtunnel.web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(number=number, duration=duration)

    def front(request: Request) -> Response:
        page = environment.get_template("runs.html.jinja").render(
            runs=runs_below(folder), folder=folder.name, verdicts=VERDICTS
        )
        return HTMLResponse(page, headers=HEADERS)

    def report(request: Request) -> Response:
        names = {row["name"] for row in runs_below(folder)}
        name = request.path_params["name"]
        if name not in names:  # only names the front page lists: no path can lead out of the folder
            return PlainTextResponse(f"There is no run {name!r} here.", status_code=404, headers=HEADERS)
        try:
            return HTMLResponse(render([load(folder / name)]), headers=HEADERS)
        except DataError as error:
            return PlainTextResponse(str(error), status_code=404, headers=HEADERS)

    return Starlette(
        routes=[Route("/", front), Route("/runs/{name:path}", report)],
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=[host.strip("[]") for host in HOSTS])],
    )


def serve(folder: Path, port: int) -> None:
    """Serve until interrupted, on 127.0.0.1 only.

    Raises:
        WindtunnelError: The folder does not exist, or the port is taken.
    """
    import uvicorn

    if not folder.is_dir():
        raise WindtunnelError(f"{folder} is not a folder; name one that holds runs, or run a study first.")
    insist_on_free(port)
    uvicorn.run(application(folder), host="127.0.0.1", port=port, log_level="warning")


def insist_on_free(port: int) -> None:
    """Explain a taken port before a server fails on it.

    Raises:
        WindtunnelError: The port is taken.
    """
    import socket

    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise WindtunnelError(f"Port {port} is not free ({error.strerror}); choose another --port.") from error
