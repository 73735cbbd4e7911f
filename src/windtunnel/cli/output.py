"""What verbs print: one JSON document for machines, tables for people."""

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from windtunnel.models.token_table import TokenRow

Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output and nothing else.")]


def print_json(document: Any) -> None:
    """Print a value as strict JSON."""
    from windtunnel.laboratory.files import strict

    print(json.dumps(strict(document), indent=2, ensure_ascii=False, allow_nan=False))


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
