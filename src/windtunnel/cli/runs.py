"""Verbs about studies: list, run, claims, report, serve."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from windtunnel.cli.output import Json, print_json, print_ledger
from windtunnel.laboratory.errors import UsageError

app = typer.Typer()


@app.command("list")
def list_studies(as_json: Json = False) -> None:
    """The nineteen studies and their presets."""
    from windtunnel.studies import STUDIES

    rows = [
        {
            "study": study.id,
            "title": study.title,
            "authors": study.authors,
            "paper": study.paper,
            "status": "planned" if study.planned else "ready",
            "presets": [] if study.planned else list(study.load().PRESETS),
        }
        for study in STUDIES
    ]
    if as_json:
        print_json(rows)
        return
    width = max(len(str(row["study"])) for row in rows)
    for row in rows:
        presets = ", ".join(row["presets"]) or "planned"
        print(f"{row['study']:<{width}}  {presets:<18}  {row['title']} ({row['authors']})")


@app.command("run")
def run_studies(
    studies: Annotated[list[str] | None, typer.Argument(help="One or more studies.", show_default=False)] = None,
    every: Annotated[bool, typer.Option("--all", help="Every study that is built.")] = False,
    preset: Annotated[str, typer.Option(help="quick, full or paper.")] = "quick",
    model: Annotated[str | None, typer.Option(help="Study this model instead of the study's own.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="field=value, may be repeated.", show_default=False)
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Replaces the preset's seed.")] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1 ...")] = "cpu",
    out: Annotated[
        Path | None, typer.Option(help="Directory of the run; with several studies, of their folders.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue a run that was stopped.")] = False,
    null: Annotated[bool, typer.Option("--null", help="The null control: the cause under study removed.")] = False,
    workers: Annotated[int | None, typer.Option(help="Worker processes; by default one per core.")] = None,
    as_json: Json = False,
) -> None:
    """Run a study, from its data to its report."""
    from windtunnel.laboratory.study import execute, read_settings
    from windtunnel.studies import STUDIES, find

    if every == bool(studies):
        raise UsageError("Name one or more studies, or give --all; `windtunnel list` shows them.")
    if workers is not None and workers < 1:
        raise UsageError(f"--workers {workers} is too few; give 1 or more.")
    chosen = [find(name) for name in studies or []] or [study for study in STUDIES if not study.planned]
    values = read_settings(settings or [])
    several = every or len(chosen) > 1
    base = (out or Path("runs") / "all") if several else out
    findings = []
    for study in chosen:
        run = execute(
            study,
            preset_name=preset,
            settings=values,
            seed=seed,
            model=model,
            device=device,
            out=base / study.id if several and base is not None else base,
            resume=resume,
            null=null,
            workers=workers,
            progress="silent" if as_json else "auto",
        )
        findings.append(run.findings)
        if not as_json:
            print_ledger(run.findings)
            print(f"\nReport: {run.directory / 'report.html'}\n")
    if several and base is not None:
        from windtunnel.laboratory.report import write_report

        page = write_report(base)
        if not as_json:
            print(f"All studies on one page: {page}")
    if as_json:
        print_json(findings if several else findings[0])


@app.command("claims")
def show_claims(
    directories: Annotated[
        list[Path] | None, typer.Argument(help="Runs or folders of runs.", show_default=False)
    ] = None,
    as_json: Json = False,
) -> None:
    """The ledger: every claim of every run, with value, interval and verdict."""
    from windtunnel.laboratory.claims import check_findings
    from windtunnel.laboratory.files import read_json
    from windtunnel.laboratory.report import finished_runs

    found = []
    for directory in directories or [Path("runs")]:
        for run in finished_runs(directory):
            path = run / "findings.json"
            found.append(check_findings(read_json(path), str(path)))
    if as_json:
        print_json(found)
        return
    for findings in found:
        print_ledger(findings)


@app.command("report")
def rebuild_report(
    directory: Annotated[Path, typer.Argument(help="A run, or a folder of runs.")],
    out: Annotated[Path | None, typer.Option(help="The page to write.")] = None,
    as_json: Json = False,
) -> None:
    """Rebuild report.html from what the run stored."""
    from windtunnel.laboratory.report import write_report

    page = write_report(directory, out)
    if as_json:
        print_json({"report": str(page)})
    else:
        print(page)


@app.command("serve")
def serve_runs(
    folder: Annotated[Path, typer.Argument(help="The folder that holds runs.")] = Path("runs"),
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port on 127.0.0.1.")] = 8265,
) -> None:
    """Show the runs of a folder in a browser, on 127.0.0.1 only."""
    from windtunnel.web.server import serve

    print(f"Runs in {folder} at http://127.0.0.1:{port}/ (stop with Ctrl-C)", file=sys.stderr)
    serve(folder, port)
