"""The command line: a thin layer over the public functions.

`--json` prints one JSON document on standard output and nothing else; progress goes to standard error. Exit codes:
0 done, 1 failed, 2 bad usage.
"""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from windtunnel.laboratory.errors import DataError, UsageError, WindtunnelError

if TYPE_CHECKING:
    from windtunnel.models.token_table import TokenRow

app = typer.Typer(
    help="A laboratory that runs the science of language models: studies, claims, reports.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

INTERRUPTED = 130
"""Exit code into which typer turns an interrupt."""

Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output and nothing else.")]


def print_json(document: Any) -> None:
    """Print a value as strict JSON."""
    from windtunnel.laboratory.files import strict

    print(json.dumps(strict(document), indent=2, ensure_ascii=False, allow_nan=False))


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


@app.command("train")
def train_model(
    corpus: Annotated[
        str, typer.Argument(help="A file, a directory, a hub name, offline-english or offline-python.")
    ] = "offline-english",
    out: Annotated[Path, typer.Option(help="Directory of the run.")] = Path("runs/model"),
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="field=value of Pretraining, as in training.steps=500.", show_default=False),
    ] = None,
    seed: Annotated[int, typer.Option(help="Decides the weights and the order of the rows.")] = 0,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1 ...")] = "cpu",
    resume: Annotated[bool, typer.Option("--resume", help="Continue a training that was stopped.")] = False,
    as_json: Json = False,
) -> None:
    """Train a language model from scratch; the run's directory is then a model's name."""
    from windtunnel.laboratory.study import configure, read_settings
    from windtunnel.training.pretraining import Pretraining, open_run, pretrain

    config = configure(Pretraining(), {"corpus": corpus, **read_settings(settings or [])}, seed)
    assert isinstance(config, Pretraining)
    with open_run(config, out, device=device, resume=resume, progress="silent" if as_json else "auto") as run:
        result = pretrain(config, run)
    found = {
        "directory": str(out),
        "steps": result.steps,
        "train_loss": result.losses[-1][1],
        "test_loss": result.evaluations[-1]["test_loss"],
        "tokens_per_second": result.tokens_per_second,
    }
    if as_json:
        print_json(found)
        return
    print(f"test loss {found['test_loss']:.4f} nats per token after {result.steps} steps; load it as {out}")


@app.command("generate")
def generate_text(
    prompts: Annotated[list[str], typer.Argument(help="One or more prompts.")],
    model: Annotated[str, typer.Option(help="A name, a directory, a .gguf file or a run.")] = "smollm2-135m",
    max_new_tokens: Annotated[int, typer.Option(help="Most tokens per prompt.")] = 64,
    temperature: Annotated[float, typer.Option(help="0 is greedy.")] = 1.0,
    top_k: Annotated[int | None, typer.Option(help="Keep the k most probable tokens.")] = None,
    top_p: Annotated[float | None, typer.Option(help="Keep the most probable tokens up to this probability.")] = None,
    stop: Annotated[list[str] | None, typer.Option(help="Ends a row; may be repeated.", show_default=False)] = None,
    seed: Annotated[int, typer.Option(help="Row i's seed is derived from it.")] = 0,
    chat: Annotated[bool, typer.Option("--chat", help="Each prompt is a user's turn, by the chat template.")] = False,
    device: Annotated[str, typer.Option(help="cpu, cuda ...")] = "cpu",
    as_json: Json = False,
) -> None:
    """Sample a continuation of each prompt."""
    from dataclasses import asdict

    from windtunnel import load

    subject = load(model, device=device)
    options: dict[str, Any] = {
        "max_new_tokens": max_new_tokens,
        "temperature": temperature,
        "top_k": top_k,
        "top_p": top_p,
        "stop": stop or (),
        "seed": seed,
    }
    if chat:
        samples = [subject.chat([{"role": "user", "content": prompt}], **options) for prompt in prompts]
    else:
        samples = subject.generate(prompts, **options)
    if as_json:
        print_json([{"prompt": prompt, **asdict(sample)} for prompt, sample in zip(prompts, samples, strict=True)])
        return
    for prompt, sample in zip(prompts, samples, strict=True):
        print(f"> {prompt}\n{sample.text}\n")


@app.command("score")
def score_text(
    prompt: Annotated[str, typer.Argument(help="What comes before.")],
    continuations: Annotated[list[str], typer.Argument(help="One or more continuations, with their leading space.")],
    model: Annotated[str, typer.Option(help="A name, a directory, a .gguf file or a run.")] = "smollm2-135m",
    device: Annotated[str, typer.Option(help="cpu, cuda ...")] = "cpu",
    as_json: Json = False,
) -> None:
    """Log-probability, in nats, of each continuation of a prompt."""
    from dataclasses import asdict

    from windtunnel import load

    scores = load(model, device=device).score([prompt] * len(continuations), continuations)
    rows = [
        {"continuation": text, "logprob": score.logprob, **asdict(score)}
        for text, score in zip(continuations, scores, strict=True)
    ]
    if as_json:
        print_json({"prompt": prompt, "scores": rows})
        return
    for row in rows:
        print(f"{row['logprob']:10.4f} nats  {row['continuation']!r}{'  (greedy)' if row['is_greedy'] else ''}")


@app.command("check")
def check_model(
    model: Annotated[str, typer.Argument(help="A name, a directory, a .gguf file or a run.")],
    device: Annotated[str, typer.Option(help="cpu, cuda ...")] = "cpu",
    as_json: Json = False,
) -> None:
    """Prove that a model's activations are read and written as they should be."""
    from dataclasses import asdict

    from windtunnel import load
    from windtunnel.laboratory.progress import Progress
    from windtunnel.models.checking import CHECKS, check

    subject = load(model, device=device)
    with Progress("silent" if as_json else "auto").task(f"checking {model}", len(CHECKS)) as task:
        found = check(subject, task=task)
    passed = all(row.passed for row in found)
    if as_json:
        print_json({"model": model, "passed": passed, "checks": [asdict(row) for row in found]})
    else:
        for row in found:
            worst = f", largest difference {row.worst:.1e}" if row.worst else ""
            print(f"{'pass' if row.passed else 'FAIL'}  {row.name} ({row.places} places{worst})")
            if row.fault:
                print(f"      {row.fault}")
    if not passed:
        raise typer.Exit(1)


@app.command("show-tokens")
def show_tokens(
    model: Annotated[str, typer.Argument(help="A name, a directory, a .gguf file or a run.")],
    text: Annotated[
        str | None, typer.Argument(help="What the model is given; - reads standard input.", show_default=False)
    ] = None,
    file: Annotated[Path | None, typer.Option(help="Read it from this file instead.")] = None,
    chat: Annotated[
        bool, typer.Option("--chat", help='It is JSON, [{"role": "user", "content": "..."}], for the chat template.')
    ] = False,
    continuation: Annotated[
        str | None, typer.Option(help="What would be scored after it; shows which tokens count.")
    ] = None,
    as_json: Json = False,
) -> None:
    """The tokens a model is given: their text, roles, and what a score would count."""
    from dataclasses import asdict

    from windtunnel import load
    from windtunnel.models.token_table import chat_rows, read_messages, text_rows

    given = read_text(text, file)
    messages = read_messages(given) if chat else []  # before the model is loaded, which takes seconds
    subject = load(model)
    rows = chat_rows(subject, messages, continuation) if chat else text_rows(subject, given, continuation)
    if as_json:
        print_json({"model": model, "tokens": [asdict(row) for row in rows]})
    else:
        print_tokens(rows)


@app.command("serve")
def serve_runs(
    folder: Annotated[Path, typer.Argument(help="The folder that holds runs.")] = Path("runs"),
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port on 127.0.0.1.")] = 8265,
) -> None:
    """Show the runs of a folder in a browser, on 127.0.0.1 only."""
    from windtunnel.web.server import serve

    print(f"Runs in {folder} at http://127.0.0.1:{port}/ (stop with Ctrl-C)", file=sys.stderr)
    serve(folder, port)


@app.command("serve-model")
def serve_a_model(
    model: Annotated[str, typer.Argument(help="A name, a directory, a .gguf file or a run.")] = "smollm2-135m",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port on 127.0.0.1.")] = 8266,
    device: Annotated[str, typer.Option(help="cpu, cuda ...")] = "cpu",
) -> None:
    """Serve a model by the OpenAI protocol, on 127.0.0.1 only."""
    from windtunnel import load
    from windtunnel.web.model_server import serve_model

    subject = load(model, device=device)
    name = Path(model).name
    print(f"{name} at http://127.0.0.1:{port}/v1 (stop with Ctrl-C)", file=sys.stderr)
    serve_model(subject, name, port)


def print_ledger(findings: dict[str, Any]) -> None:
    """Print a run's claims as a table for people."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from windtunnel.laboratory.report import number

    colours = {"replicated": "green", "not replicated": "red", "inconclusive": "yellow"}
    null = ", null control" if findings.get("null") else ""
    table = Table(title=Text(f"{findings['study']} ({findings['preset']}, seed {findings['seed']}{null})"))
    for heading in ("claim", "measured", "interval", "bar", "verdict"):
        table.add_column(heading)
    for claim in findings["claims"]:
        interval = claim["interval"]
        table.add_row(
            Text(claim["id"]),
            number(claim["value"]),
            f"{number(interval[0])} to {number(interval[1])}" if interval else "",
            Text(claim["bar"].removesuffix(claim["unit"]).strip()),
            Text(claim["verdict"], style=colours.get(claim["verdict"], "")),
        )
    Console().print(table)


def read_text(text: str | None, file: Path | None) -> str:
    """What is named by an argument (- is standard input) or a file.

    Raises:
        UsageError: Neither or both are given.
        DataError: It cannot be read as UTF-8.
    """
    if (text is None) == (file is None):
        raise UsageError("Give a text, - for standard input, or --file FILE: one of them.")
    if text is not None and text != "-":
        return text
    try:
        data = sys.stdin.buffer.read() if file is None else file.read_bytes()
        return data.decode()
    except (OSError, UnicodeDecodeError) as error:
        place = "Standard input" if file is None else str(file)
        raise DataError(f"{place} cannot be read as UTF-8 text ({error}); give a text file.") from error


def print_tokens(rows: "list[TokenRow]") -> None:
    """Print tokens as a table for people."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from windtunnel.models.token_table import TEMPLATE, visible

    masked = any(row.mask for row in rows)
    counts = f"{len(rows)} tokens" + (f", {sum(row.mask == 'scored' for row in rows)} scored" if masked else "")
    table = Table(title=counts)
    table.add_column("position", justify="right")
    table.add_column("id", justify="right")
    table.add_column("token", overflow="fold")
    roles = list(dict.fromkeys(row.role for row in rows if row.role is not None))
    colours = {role: ("cyan", "yellow", "green", "blue")[place % 4] for place, role in enumerate(roles)}
    colours[TEMPLATE] = "dim"
    if roles:
        table.add_column("role", overflow="fold")
    table.add_column("special")
    if masked:
        table.add_column("mask")
    for row in rows:
        colour = colours.get(row.role or "", "")
        cells = [Text(str(row.position)), Text(str(row.token_id)), Text(visible(row.text), style=colour)]
        cells += [Text(visible(row.role or ""), style=colour)] if roles else []
        cells += [Text("special" if row.special else "", style="magenta")]
        cells += [Text(row.mask or "", style="bold" if row.mask == "scored" else "dim")] if masked else []
        table.add_row(*cells)
    Console().print(table)


def main(arguments: list[str] | None = None) -> None:
    """Entry point: run the command line and turn explained errors into one sentence and an exit code."""
    try:
        app(args=arguments, standalone_mode=True)
    except WindtunnelError as error:
        print(f"windtunnel: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except SystemExit as ended:
        if ended.code == INTERRUPTED:
            print("windtunnel: stopped; run again with --resume to go on.", file=sys.stderr)
        raise


if __name__ == "__main__":
    main()
