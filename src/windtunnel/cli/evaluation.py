"""Verbs about evaluations: evaluate, compare, rescore."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from windtunnel.cli.input import Device, MaxRequests, MaxTokensTotal, open_model
from windtunnel.cli.output import Json, print_json
from windtunnel.laboratory.errors import UsageError

if TYPE_CHECKING:
    from windtunnel.evaluation.comparing import PairedComparison
    from windtunnel.evaluation.results import Results
    from windtunnel.models.interface import LanguageModel

app = typer.Typer()

Roles = Annotated[
    list[str] | None,
    typer.Option("--model-role", help="ROLE=MODEL, as in judge=NAME; may be repeated.", show_default=False),
]
Connections = Annotated[int | None, typer.Option(min=1, help="Of a server: requests under way at once; 32 by default.")]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", help="option=value of the task, may be repeated.", show_default=False),
]
Data = Annotated[Path | None, typer.Option(help="The data set's folder.")]
Page = Annotated[bool, typer.Option("--page", help="Write samples.html, a page of all samples.")]
Inspect = Annotated[bool, typer.Option("--inspect", help="Write a .json log that Inspect reads.")]
Metric = Annotated[str | None, typer.Option(help="A metric other than the task's own.")]


@app.command("evaluate")
def evaluate_models(
    tasks: Annotated[
        list[str],
        typer.Argument(
            help="Tasks: names, files (.yaml, .jsonl, .csv, .parquet) or module:function.", metavar="TASK..."
        ),
    ],
    models: Annotated[
        list[str] | None,
        typer.Option("--model", help="A model's name; several are compared in pairs.", show_default="smollm2-135m"),
    ] = None,
    shots: Annotated[int | None, typer.Option(min=0, help="Examples before each question.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only so many samples, the first ones.")] = None,
    epochs: Annotated[int, typer.Option(min=1, help="Times each sample is asked; its results are averaged.")] = 1,
    roles: Roles = None,
    max_connections: Connections = None,
    max_requests: MaxRequests = None,
    max_tokens_total: MaxTokensTotal = None,
    data: Data = None,
    settings: Settings = None,
    seed: Annotated[int, typer.Option(help="Decides every sample's seed, and resampling.")] = 0,
    device: Device = "cpu",
    out: Annotated[
        Path | None,
        typer.Option(
            help="Directory; of several tasks or models, of their folders.", show_default="in runs/evaluations"
        ),
    ] = None,
    page: Page = False,
    inspect: Inspect = False,
    as_json: Json = False,
) -> None:
    """Ask models the samples of tasks; the same command again continues what was stopped."""
    from windtunnel.evaluation.comparing import compare_all
    from windtunnel.evaluation.engine import evaluate
    from windtunnel.evaluation.naming import directory_name, named_task
    from windtunnel.laboratory.study import read_settings

    names = models or ["smollm2-135m"]
    options = read_settings(settings or []) | ({} if shots is None else {"shots": shots})
    wanted = _roles(roles)
    chosen = [named_task(name, data, **options) for name in tasks]
    opened = _opener([*names, *wanted.values()], device, max_connections, max_requests, max_tokens_total)
    others = {role: opened(name) for role, name in wanted.items()}
    found: list[list[Results]] = [[] for _ in chosen]
    for name in names:
        subject = opened(name)
        for place, (task, task_name) in enumerate(zip(chosen, tasks, strict=True)):
            folder = directory_name(task, {"subject": subject, **others}, seed, epochs)
            several = len(names) * len(chosen) > 1
            results = evaluate(
                task,
                subject,
                out=(out or Path("runs/evaluations")) / folder if several or out is None else out,
                roles=others,
                limit=limit,
                epochs=epochs,
                seed=seed,
                progress="silent" if as_json else "auto",
                source={"task": task_name, "data": None if data is None else str(data), "options": options},
            )
            found[place].append(results)
            _finish(results, page, inspect, as_json)
    compared = [compare_all(results) if len(names) > 1 else [] for results in found]
    if as_json:
        rows = [results.summary() for group in found for results in group]
        pairs = [_pair(*pair) for group in compared for pair in group]
        print_json({"evaluations": rows, "comparisons": pairs})
        return
    for group in compared:
        for comparison, adjusted in group:
            print(f"{comparison}" + (f"; p for {len(group)} pairs {adjusted:.3g}" if len(group) > 1 else ""))


@app.command("compare")
def compare_runs(
    first: Annotated[Path, typer.Argument(help="Directory of an evaluation.", metavar="RUN")],
    second: Annotated[Path, typer.Argument(help="Directory of another one, of the same task.", metavar="RUN")],
    metric: Metric = None,
    any_task: Annotated[
        bool, typer.Option("--any-task", help="Match samples by id although the tasks are not the very same.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Compare two evaluations sample by sample."""
    from windtunnel.evaluation.comparing import compare
    from windtunnel.evaluation.results import Results

    found = compare(Results.load(first), Results.load(second), metric, any_task=any_task)
    if as_json:
        print_json(found.as_dict())
    else:
        print(found)


@app.command("rescore")
def rescore_run(
    run: Annotated[Path, typer.Argument(help="Directory of an evaluation.")],
    roles: Roles = None,
    task: Annotated[
        str | None, typer.Option(help="A task whose scorer judges, in place of the evaluation's own.")
    ] = None,
    settings: Settings = None,
    data: Data = None,
    metric: Metric = None,
    max_connections: Connections = None,
    device: Device = "cpu",
    out: Annotated[
        Path | None, typer.Option(help="Directory of the new evaluation.", show_default="beside RUN")
    ] = None,
    page: Page = False,
    inspect: Inspect = False,
    as_json: Json = False,
) -> None:
    """Judge stored answers again, with another judge or scorer; the subject is not asked."""
    from windtunnel.evaluation.comparing import compare
    from windtunnel.evaluation.naming import named_task, slug
    from windtunnel.evaluation.rescoring import rescore
    from windtunnel.evaluation.results import Results
    from windtunnel.laboratory.study import read_settings

    before = Results.load(run)
    source: dict[str, Any] = before.header.get("source") or {}
    if task is None and not source:
        raise UsageError(f"{run} does not say where its task was found; name one with --task.")
    options = {**(source["options"] if task is None else {}), **read_settings(settings or [])}
    folder = data or (source["data"] if task is None else None)
    scorer = named_task(task or str(source["task"]), folder, **options).scorer
    wanted = _roles(roles)
    opened = _opener(list(wanted.values()), device, max_connections)
    judges = "-".join(map(slug, [*([task] if task else []), *wanted.values()])) or "again"
    results = rescore(
        before,
        scorer,
        out=out or run.parent / f"{run.name}-by-{judges}",
        roles={role: opened(name) for role, name in wanted.items()},
        metric=metric,
        progress="silent" if as_json else "auto",
    )
    _finish(results, page, inspect, as_json)
    shared = results.header["metric"] in before.metrics
    comparison = compare(results, before, any_task=True) if shared else None
    if as_json:
        row = None if comparison is None else comparison.as_dict()
        print_json({"evaluation": results.summary(), "against_before": row})
    elif comparison is not None:
        print(f"New marks against those before: {comparison}")


def _roles(texts: list[str] | None) -> dict[str, str]:
    """Models' names by role."""
    found = {}
    for text in texts or []:
        role, separator, name = text.partition("=")
        if not role or not separator or not name:
            raise UsageError(f"--model-role {text!r} is not of the form ROLE=MODEL; write for example judge=NAME.")
        found[role] = name
    return found


def _opener(
    names: list[str], device: str, connections: int | None, requests: int | None = None, tokens: int | None = None
) -> "Callable[[str], LanguageModel]":
    """Opens models by name; those behind servers share one budget.

    Raises:
        UsageError: Options of a server are given and no model is behind one.
    """
    from windtunnel.evaluation import subjects
    from windtunnel.inference.remote import Budget
    from windtunnel.models.endpoint import connect

    given = {"--max-connections": connections, "--max-requests": requests, "--max-tokens-total": tokens}
    used = [option for option, value in given.items() if value is not None]
    if used and not any(name.startswith("openai:") for name in names):
        raise UsageError(f"{used[0]} is for a server's model, openai:MODEL@URL, and none is asked; leave it out.")
    budget = Budget(max_requests=requests, max_tokens=tokens)

    def opened(name: str) -> "LanguageModel":
        if name.startswith("openai:"):
            return connect(name, budget=budget, **({} if connections is None else {"concurrency": connections}))
        return subjects.open_model(name) if name.startswith("mock:") else open_model(name, device)

    return opened


def _finish(results: "Results", page: bool, inspect: bool, as_json: bool) -> None:
    """Write what was asked for beside the log, and tell."""
    written = [results.directory]
    if page:
        written.append(results.page())
    if inspect:
        from windtunnel.evaluation.inspect_logs import write_inspect_log

        written.append(write_inspect_log(results))
    if not as_json:
        print("\n".join([*_lines(results), *(f"  {path}" for path in written), ""]))


def _lines(results: "Results") -> list[str]:
    """Counts and metrics for people."""
    found, counts = results.summary(), results.counts
    scored = f"scored {counts['scored']} of {counts['planned']}"
    if found["clusters"] < len(results.records) / found["epochs"]:
        scored += f" in {found['clusters']} cluster{'s' if found['clusters'] != 1 else ''}"
    rest = [f"{counts[name]} {name}" for name in ("refused", "failed", "unasked") if counts[name]]
    lines = [f"{found['task']} on {found['model']}: " + ", ".join([scored, *rest])]
    width = max((len(name) for name in found["metrics"]), default=0)
    for name, row in found["metrics"].items():
        line = f"  {name:<{width}}  {row['value']:.4g} [{row['interval'][0]:.4g}, {row['interval'][1]:.4g}]"
        bounds = row.get("bounds")
        lines.append(line + (f"  between {bounds[0]:.4g} and {bounds[1]:.4g} whatever is missing" if bounds else ""))
    return lines


def _pair(comparison: "PairedComparison", adjusted: float) -> dict[str, Any]:
    return {**comparison.as_dict(), "p_value_adjusted": adjusted}
