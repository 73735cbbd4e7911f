"""Verbs about budgets: plan, published, allocate."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from windtunnel.cli.output import Json, print_json
from windtunnel.laboratory.errors import UsageError

app = typer.Typer()


@app.command("plan")
def plan_training(
    flops: Annotated[float | None, typer.Option(help="Training budget, 6 N D.", show_default=False)] = None,
    gpu_hours: Annotated[
        float | None, typer.Option(help="Budget in hours of one device, with --hardware.", show_default=False)
    ] = None,
    hardware: Annotated[str, typer.Option(help="Device of --gpu-hours: h100, a100, tpu-v5p ...")] = "h100",
    utilisation: Annotated[float, typer.Option(help="Share of the device's dense bf16 peak that is reached.")] = 0.4,
    law: Annotated[
        str, typer.Option(help="A published law, kaplan-2020, or a file that `windtunnel fit` wrote.")
    ] = "besiroglu-2024",
    inference_tokens: Annotated[
        float | None, typer.Option(help="Tokens the model will read and write over its life.", show_default=False)
    ] = None,
    unique_tokens: Annotated[
        float | None, typer.Option(help="Unique tokens there are to train on.", show_default=False)
    ] = None,
    rule: Annotated[
        str, typer.Option(help="Batch and learning rate by step-law-2025, deepseek-2024 or porian-2024.")
    ] = "step-law-2025",
    as_json: Json = False,
) -> None:
    """The best size, tokens, batch, steps and learning rate for a budget, and what else it could buy."""
    from windtunnel.scaling.hardware import available_flops, device_hours
    from windtunnel.scaling.kaplan_allocation import published_plan
    from windtunnel.scaling.planning import plan

    if (flops is None) == (gpu_hours is None):
        raise UsageError("Give a budget as --flops, or as --gpu-hours with --hardware and --utilisation: one of them.")
    budget = available_flops(gpu_hours, hardware, utilisation) if gpu_hours is not None else flops
    assert budget is not None
    if not 0 < budget < float("inf"):
        raise UsageError(f"The budget must be positive, not {budget} FLOPs; give for example --flops 1e21.")
    if law == "kaplan-2020":
        if inference_tokens is not None or unique_tokens is not None:
            raise UsageError("kaplan-2020 has no inference-aware or data-limited plan; choose another --law.")
        found = published_plan(budget)
    else:
        found = plan(budget, law, inference_tokens=inference_tokens, unique_tokens=unique_tokens, rule=rule).report()
    found["hardware"] = {
        "name": hardware,
        "utilisation": utilisation,
        "hours": device_hours(budget, hardware, utilisation),
    }
    if as_json:
        print_json(found)
    elif law == "kaplan-2020":
        _show_kaplan(found)
    else:
        _show(found)


@app.command("published")
def published_laws(as_json: Json = False) -> None:
    """The published laws that can be named: constants, source, caveat."""
    from windtunnel.scaling.published import PUBLISHED

    if as_json:
        print_json([item.report() for item in PUBLISHED.values()])
        return
    for item in PUBLISHED.values():
        constants = ", ".join(f"{symbol} = {float(value):.5g}" for symbol, value in item.law.parameters.items())
        print(f"{item.name}: {constants}\n    {item.source}\n    {item.caveat}")


@app.command("allocate")
def allocate_runs(
    data: Annotated[Path, typer.Option(help="A table of runs, or a directory that `windtunnel ladder` wrote.")],
    columns: Annotated[
        list[str] | None,
        typer.Option(
            "--column",
            help="role=COLUMN for parameters (total), non_embedding, tokens, loss, flops (all that training computed).",
            show_default=False,
        ),
    ] = None,
    clusters: Annotated[
        str | None,
        typer.Option(help="Column that says which run a row is of, where rows are checkpoints.", show_default=False),
    ] = None,
    min_tokens_per_parameter: Annotated[float, typer.Option(min=0, help="Leave runs with fewer out.")] = 0.0,
    bootstrap: Annotated[int, typer.Option(min=0, help="Refits to resampled runs, for intervals.")] = 200,
    level: Annotated[float, typer.Option(help="Coverage of the intervals.")] = 0.9,
    seed: Annotated[int, typer.Option(help="Of the resampling.")] = 0,
    figures: Annotated[
        Path | None, typer.Option(help="Directory for sizes.svg and exponents.svg.", show_default=False)
    ] = None,
    as_json: Json = False,
) -> None:
    """How parameters grow with compute in your runs: envelope, IsoFLOP and surfaces, with and without embeddings."""
    from windtunnel.scaling.allocation import compare
    from windtunnel.scaling.allocation_report import rows, write_figures
    from windtunnel.scaling.allocation_table import allocation_columns
    from windtunnel.scaling.tables import read_table

    mapping = {}
    for text in columns or []:
        role, separator, column = text.partition("=")
        if not (role and separator and column):
            raise UsageError(f"--column {text!r} is not of the form role=COLUMN; write for example --column loss=CE.")
        mapping[role] = column
    chosen = allocation_columns(
        read_table(data), mapping, clusters=clusters, fewest_tokens_per_parameter=min_tokens_per_parameter
    )
    found = compare(**chosen.columns, runs=chosen.runs, bootstrap=bootstrap, level=level, seed=seed)
    table = rows(found)
    if figures is not None:
        write_figures(found, figures)
    if as_json:
        print_json({"columns": chosen.sources, "left_out": chosen.left_out, "level": level, "exponents": table})
        return
    print(", ".join(f"{role}: {source}" for role, source in chosen.sources.items()), f"({chosen.left_out} left out)")
    _table(
        "Exponent of the best number of parameters over FLOPs",
        ("count", "approach", "exponent", f"{level:.0%} interval"),
        [
            (
                row["count"],
                row["approach"],
                "none" if row["exponent"] is None else f"{row['exponent']:.3f}",
                "" if row["interval"] is None else f"{row['interval'][0]:.3f} to {row['interval'][1]:.3f}",
            )
            for row in table
        ],
    )
    for row in table:
        for warning in row["warnings"]:
            print(f"! {row['count']}, {row['approach']}: {warning}")


def _show(found: dict[str, Any]) -> None:
    """A plan as tables for people."""
    print(
        f"{found['flops']:.4g} FLOPs ({_hours(found['hardware'])}) by {found['law']['name']}: {found['law']['source']}"
    )
    counts = f" ({found['counts']})" if found["counts"] else ""
    first = found["rules"][0]
    rows = [
        (f"parameters{counts}", found["parameters"]),
        ("tokens", found["tokens"]),
        ("tokens per parameter", found["tokens_per_parameter"]),
        ("loss (nats per token)", found["loss"]),
        (f"batch in tokens ({first['name']})", first["batch"]),
        ("steps", first["steps"]),
        ("peak learning rate", first["learning_rate"]),
    ]
    _table("The plan", ("", "best", "interval"), [(name, _short(item["value"]), _ends(item)) for name, item in rows])
    _table(
        "Batch and learning rate by other rules",
        ("rule", "batch in tokens", "steps", "learning rate"),
        [
            (rule["name"], *(_short(rule[name]["value"]) for name in ("batch", "steps", "learning_rate")))
            for rule in found["rules"]
        ],
    )
    _table(
        "Other sizes",
        ("of the best", "parameters", "tokens", "loss", "compute for the best loss"),
        [
            (
                f"{row['ratio']:g}",
                _short(row["parameters"]),
                _short(row["tokens"]),
                f"{row['loss']:.4f}",
                "never" if row["same_loss_flops"] is None else f"{row['same_loss_flops']:.2f} times",
            )
            for row in found["other_sizes"]
        ],
    )
    _table(
        "More budget",
        ("times", "parameters", "tokens", "loss", "lower by"),
        [
            (f"{row['factor']:g}", *(_short(row[name]["value"]) for name in ("parameters", "tokens", "loss", "gain")))
            for row in found["more_budget"]
        ],
    )
    if found["served"]:
        _table(
            "With inference",
            ("goal", "parameters", "tokens", "loss", "training and use", "against the compute optimum"),
            [
                (
                    row["goal"],
                    *(_short(row[name]["value"]) for name in ("parameters", "tokens", "loss", "total_flops")),
                    f"{row['saved']['value']:.1%} cheaper"
                    if row["saved"]
                    else f"{row['gain']['value']:.4f} nats lower",
                )
                for row in found["served"]
            ],
        )
    limited = found["data_limited"]
    if limited:
        names = ("parameters", "tokens", "epochs", "loss", "lost")
        _table(
            f"With {_short(limited['unique_tokens'])} unique tokens",
            ("", "best", "interval"),
            [
                (
                    "lost against fresh tokens" if name == "lost" else name,
                    _short(limited[name]["value"]),
                    _ends(limited[name]),
                )
                for name in names
            ],
        )
    for warning in [*found["warnings"], *found["rules"][0]["warnings"]]:
        print(f"! {warning}")


def _show_kaplan(found: dict[str, Any]) -> None:
    print(f"{found['flops']:.4g} FLOPs ({_hours(found['hardware'])}) by {found['law']['source']}")
    names = {
        "parameters": "parameters (non-embedding)",
        "loss": "loss (nats per token)",
        "critical_batch": "critical batch in tokens",
        "minimum_steps": "fewest steps",
        "minimum_tokens": "fewest tokens, batch × steps",
        "tokens": "tokens as Table 6 prints them",
        "learning_rate": "peak learning rate",
    }
    rows = [(text, "beyond its rule" if found[name] is None else _short(found[name])) for name, text in names.items()]
    _table("At batches far from critical; at the critical batch, twice the steps and tokens", ("", "best"), rows)
    for warning in found["warnings"]:
        print(f"! {warning}")


def _hours(hardware: dict[str, Any]) -> str:
    return f"{_short(hardware['hours'])} {hardware['name']} hours at {hardware['utilisation']:.0%}"


def _ends(item: dict[str, Any]) -> str:
    return "" if item["interval"] is None else f"{_short(item['interval'][0])} to {_short(item['interval'][1])}"


def _short(value: float) -> str:
    """A number as people say it: 72.2 B, 1.33 T, 0.000171."""
    for size, unit in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if size <= abs(value) < 1e15:
            return f"{value / size:.3g} {unit}"
    return f"{value:.4g}" if 1 <= abs(value) < 1e3 else f"{value:.3g}"


def _table(title: str, headings: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, title_justify="left")
    for place, heading in enumerate(headings):
        table.add_column(heading, justify="left" if place == 0 else "right")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    Console().print(table)
