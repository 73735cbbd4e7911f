"""The command line: a thin layer over the public functions.

`--json` prints one JSON document on standard output and nothing else; progress goes to standard error. Exit codes:
0 done, 1 failed, 2 bad usage.
"""

import sys

import typer

from windtunnel.cli import (
    contamination,
    detection,
    evaluation,
    generated,
    ladder,
    models,
    planning,
    repetition,
    runs,
    scaling,
    transfer,
)
from windtunnel.laboratory.errors import WindtunnelError

INTERRUPTED = 130
"""Exit code into which typer turns an interrupt."""

app = typer.Typer(
    help="A laboratory that runs the science of language models: studies, claims, reports.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for group in (
    runs,
    models,
    planning,
    ladder,
    transfer,
    scaling,
    repetition,
    evaluation,
    generated,
    contamination,
    detection,
):
    app.add_typer(group.app)


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
