"""The verb that fits laws to runs."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from windtunnel.cli.output import Json, print_json
from windtunnel.laboratory.errors import UsageError

app = typer.Typer()


@app.command("fit")
def fit_law(
    law: Annotated[str | None, typer.Argument(help="A law's name; --list shows them.", show_default=False)] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="Finished runs: CSV, TSV, JSON lines, Parquet, or a directory of runs.", show_default=False),
    ] = None,
    parameters: Annotated[str | None, typer.Option(help="Column of parameters, if it is not guessed.")] = None,
    tokens: Annotated[str | None, typer.Option(help="Column of tokens.")] = None,
    loss: Annotated[str | None, typer.Option(help="Column of the loss.")] = None,
    flops: Annotated[str | None, typer.Option(help="Column of FLOPs.")] = None,
    x: Annotated[str | None, typer.Option(help="Column of x, of laws of one variable.")] = None,
    column: Annotated[
        list[str] | None, typer.Option(help="VARIABLE=COLUMN for any other variable.", show_default=False)
    ] = None,
    clusters: Annotated[
        str | None, typer.Option(help="Column that says which run a row is of, where rows are checkpoints.")
    ] = None,
    min_tokens_per_parameter: Annotated[
        float | None,
        typer.Option(min=0, help="Leave out runs with fewer; 0 keeps all. By default 0.45.", show_default=False),
    ] = None,
    drop_lowest_ratio: Annotated[
        int | None, typer.Option(min=0, help="Instead: leave out so many runs of the fewest tokens per parameter.")
    ] = None,
    bootstrap: Annotated[int, typer.Option(min=0, help="Refits to resampled runs, for intervals.")] = 200,
    level: Annotated[float, typer.Option(help="Coverage of intervals.")] = 0.9,
    delta: Annotated[float, typer.Option(help="Where the Huber loss turns linear; inf for least squares.")] = 1e-3,
    reduce: Annotated[str, typer.Option(help="sum or mean of the losses of runs.")] = "sum",
    tolerance: Annotated[
        str, typer.Option(help="A share, or loose: scipy's L-BFGS-B as it comes, for comparison.")
    ] = "1e-12",
    fixed: Annotated[list[str] | None, typer.Option(help="SYMBOL=VALUE that is held.", show_default=False)] = None,
    against: Annotated[
        list[str] | None, typer.Option(help="Another law to compare with on the same runs.", show_default=False)
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the resampling.")] = 0,
    out: Annotated[Path | None, typer.Option(help="Write the law here, for `windtunnel plan --law`.")] = None,
    list_laws: Annotated[bool, typer.Option("--list", help="Show the laws and what they are fitted to.")] = False,
    as_json: Json = False,
) -> None:
    """Fit a scaling law to finished runs, with intervals and with warnings."""
    if list_laws:
        _list(as_json)
        return
    from windtunnel.scaling.laws import LAWS
    from windtunnel.scaling.reports import report_fit

    if law is None:
        raise UsageError(f"Name a law to fit: one of {', '.join(LAWS)}; --list describes them.")
    if data is None:
        raise UsageError("Give the finished runs: --data FILE, a table with a row for each.")
    named = {"parameters": parameters, "tokens": tokens, "loss": loss, "flops": flops, "x": x}
    mapping = {name: value for name, value in named.items() if value is not None} | _pairs(column, "--column")
    fitted, document = report_fit(
        law,
        data,
        mapping=mapping,
        clusters=clusters,
        min_tokens_per_parameter=min_tokens_per_parameter,
        drop_lowest_ratio=drop_lowest_ratio,
        against=tuple(against or ()),
        bootstrap=bootstrap,
        level=level,
        delta=delta,
        reduction=reduce,
        tolerance=tolerance if tolerance == "loose" else _number(tolerance, "--tolerance"),
        fixed={symbol: _number(value, f"--fixed {symbol}") for symbol, value in _pairs(fixed, "--fixed").items()},
        seed=seed,
    )
    if out is not None:
        from windtunnel.scaling.saving import save_law

        save_law(fitted, out)
    if as_json:
        print_json(document)
        return
    _show(document)
    if out is not None:
        print(f"Written to {out}: windtunnel plan --flops 1e21 --law {out}")


def _pairs(given: list[str] | None, option: str) -> dict[str, str]:
    pairs = {}
    for item in given or []:
        name, equals, value = item.partition("=")
        if not (name and equals and value):
            raise UsageError(f"{option} takes NAME=VALUE, not {item!r}.")
        pairs[name] = value
    return pairs


def _number(text: str, option: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise UsageError(f"{option} takes a number, not {text!r}.") from None


def _list(as_json: bool) -> None:
    """The laws, with their formulas as their docstrings quote them."""
    from windtunnel.scaling.laws import LAWS

    found = [
        {
            "law": name,
            "formula": (law.__doc__ or "").strip().split("\n")[0],
            "columns": [variable.name for variable in (*law.variables, law.output)],
            "parameters": list(law.symbols()),
        }
        for name, law in LAWS.items()
    ]
    if as_json:
        print_json(found)
        return
    for item in found:
        print(f"{item['law']} ({', '.join(item['columns'])})\n    {item['formula']}")


def _show(document: dict[str, Any]) -> None:
    """A fit as tables for people."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    data = document["data"]
    sources = ", ".join(f"{name} = {source}" for name, source in data["columns"].items())
    print(f"{document['law']}: {document['runs']} of {data['rows']} rows of {data['file']} ({sources})")
    table = Table()
    for heading in ("", "fitted", f"{document['level']:.0%} interval", "unit", "meaning"):
        table.add_column(heading)
    rows = [
        (symbol, value, document["intervals"].get(symbol), document["units"][symbol], document["meanings"][symbol])
        for symbol, value in document["parameters"].items()
    ]
    exponent = document.get("optimal_parameters_exponent")
    if exponent:
        rows.append(("a", exponent["value"], exponent.get("interval"), "1", "of optimal parameters ∝ FLOPs^a"))
    for symbol, value, interval, unit, meaning in rows:
        ends = f"{interval[0]:.5g} to {interval[1]:.5g}" if interval else ""
        table.add_row(*(Text(cell) for cell in (symbol, f"{value:.5g}", ends, unit, meaning)))
    console = Console()
    console.print(table)
    if document["profile"]:
        low, high = document["profile"]["interval"]
        ends = f"{'unbounded' if low is None else f'{low:.5g}'} to {'unbounded' if high is None else f'{high:.5g}'}"
        print(f"Profile interval of {document['profile']['symbol']}: {ends}")
    if document["comparison"]:
        table = Table(title="Laws by their error on the largest runs, left out of the fit")
        for heading in ("law", "parameters", "extrapolation error", "worst", "median residual", "AICc", "BIC"):
            table.add_column(heading)
        for row in document["comparison"]:
            shares = (f"{row[name]:.2%}" for name in ("extrapolation_error", "worst", "median_absolute_residual"))
            table.add_row(row["law"], str(row["parameters"]), *shares, f"{row['aicc']:.1f}", f"{row['bic']:.1f}")
        console.print(table)
    for warning in document["warnings"]:
        print(f"warning: {warning}", file=sys.stderr)
