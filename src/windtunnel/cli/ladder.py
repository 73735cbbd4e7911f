"""The verb that trains a ladder: a declared family of sizes, and a table for `windtunnel fit`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from windtunnel.cli.output import Json, print_json
from windtunnel.laboratory.errors import UsageError

app = typer.Typer()


@app.command("ladder")
def train_ladder(
    sizes: Annotated[str, typer.Option(help="LAYERSxWIDTH of each model, with commas.")] = "1x8,2x16,2x32,3x48",
    tokens: Annotated[str | None, typer.Option(help="Tokens each model is trained on; several with commas.")] = None,
    budgets: Annotated[
        str | None, typer.Option(help="Instead of tokens: training FLOPs of each run; several with commas.")
    ] = None,
    corpus: Annotated[str, typer.Option(help="File, directory, hub name or offline corpus.")] = "offline-english",
    others: Annotated[list[str] | None, typer.Option("--other", help="A corpus to measure on too.")] = None,
    field: Annotated[str, typer.Option(help="Field of structured files that holds the text.")] = "text",
    context: Annotated[int, typer.Option(min=2, help="Tokens a model reads.")] = 64,
    vocabulary: Annotated[int, typer.Option(min=259, help="259: bytes; more: byte pairs.")] = 259,
    batch: Annotated[int, typer.Option(min=1, help="Rows per step.")] = 32,
    schedule: Annotated[str, typer.Option(help="cosine, linear, constant, or wsd with shared trunks.")] = "cosine",
    seeds: Annotated[int, typer.Option(min=1, help="Runs of each rung.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="The first of them.")] = 0,
    out: Annotated[Path, typer.Option(help="Directory of runs and table.")] = Path("runs") / "ladder",
    resume: Annotated[bool, typer.Option("--resume", help="Continue a ladder that was stopped.")] = False,
    workers: Annotated[int | None, typer.Option(min=1, help="Worker processes; by default one per core.")] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1 ...")] = "cpu",
    as_json: Json = False,
) -> None:
    """Train a family of sizes, each run to the end of its own schedule, and write OUT/ladder.csv."""
    from windtunnel.laboratory.run import Run
    from windtunnel.laboratory.study import available_cores
    from windtunnel.scaling.ladder import climb
    from windtunnel.scaling.material import check_corpora, gather
    from windtunnel.scaling.rows import table, write_table

    if (tokens is None) == (budgets is None):
        raise UsageError("Give either --tokens or --budgets, so that it is known how long each model is trained.")
    rungs = _declared(sizes, tokens, budgets, context, vocabulary, batch, schedule, range(seed, seed + seeds))
    names = (corpus, *(others or []))
    check_corpora(names, field)
    run = Run(
        out,
        seed=seed,
        device=device,
        workers=workers or available_cores(),
        progress="silent" if as_json else "auto",
    )
    config = {
        "rungs": [rung.model_dump(mode="json") for rung in rungs],
        "corpora": list(names),
        "vocabulary": vocabulary,
    }
    run.open(
        {"study": "ladder", "preset": None, "model": None, "seed": seed, "null": False, "config": config}, resume=resume
    )
    with run:
        run.note(f"reading {', '.join(names)}")
        wanted = max(rung.tokens for rung in rungs)
        material = gather(
            out / "text", corpus, tuple(others or []), vocabulary=vocabulary, tokens=wanted + context, field=field
        )
        found = climb(rungs, material, run, trunks=schedule == "wsd")
    rows = [found[rung] for rung in rungs]
    write_table(out / "ladder.csv", rows)
    if as_json:
        print_json({"table": str(out / "ladder.csv"), "runs": table(rows)})
        return
    for row in rows:
        print(
            f"{row.layers}x{row.width}: {row.parameters:,} parameters, {row.tokens:,} tokens, "
            f"loss {row.loss:.4f} ± {row.loss_error:.4f}, {row.seconds:.0f} s at {row.utilisation:.0%} of peak"
        )
    print(f"\nTable: {out / 'ladder.csv'} (windtunnel fit chinchilla --data {out / 'ladder.csv'})")


def _declared(
    sizes: str,
    tokens: str | None,
    budgets: str | None,
    context: int,
    vocabulary: int,
    batch: int,
    schedule: str,
    seeds: range,
) -> list[Any]:
    """The rungs that the options declare."""
    from pydantic import ValidationError

    from windtunnel.scaling.rungs import Rung, decoder, isoflop_rungs

    rungs = []
    try:
        models = [decoder(*_shape(size), context=context, vocabulary=vocabulary) for size in sizes.split(",")]
        for seed in seeds:
            changes: dict[str, Any] = {"schedule": schedule, "seed": seed}
            if tokens is not None:
                for count in _numbers("--tokens", tokens):
                    rungs += [Rung.of(model, count, batch=batch, **changes) for model in models]
            else:
                amounts = _numbers("--budgets", str(budgets))
                rungs += isoflop_rungs(models, amounts, batch=batch, **changes)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the model"
        raise UsageError(f"{place}={first.get('input')!r} is not accepted: {first['msg']}; declare another.") from None
    return rungs


def _shape(size: str) -> tuple[int, int]:
    layers, cross, width = size.strip().partition("x")
    if not cross or not layers.isdigit() or not width.isdigit():
        raise UsageError(f"--sizes {size!r} is not of the form LAYERSxWIDTH; write for example 2x32.")
    return int(layers), int(width)


def _numbers(option: str, text: str) -> list[float]:
    try:
        found = [float(part) for part in text.split(",")]
    except ValueError:
        raise UsageError(f"{option} {text!r} is not numbers with commas; write for example 1e6,3e6.") from None
    if any(not 1 <= value < 1e30 for value in found):
        raise UsageError(f"{option} {text!r} holds a number that is not above 1; write for example 1e6,3e6.")
    return found
