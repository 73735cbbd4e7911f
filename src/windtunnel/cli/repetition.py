"""Verbs about repeated data: repetition, deduplicate."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from windtunnel.cli.output import Json, print_json
from windtunnel.laboratory.errors import DataError, UsageError

app = typer.Typer()


@app.command("repetition")
def predict_repetition(
    parameters: Annotated[float, typer.Option(help="Of the model, such as 8e8.")],
    tokens: Annotated[float, typer.Option(help="Seen in training, such as 1e11.")] = 1e11,
    fraction: Annotated[float | None, typer.Option(help="Share of the tokens that repeat a subset.")] = None,
    repeats: Annotated[float | None, typer.Option(help="How often the subset is seen.")] = None,
    histogram: Annotated[
        Path | None, typer.Option(help="What `windtunnel deduplicate --json` printed, instead of --fraction.")
    ] = None,
    epochs: Annotated[float, typer.Option(help="With --histogram: how often the corpus is read.")] = 1.0,
    loss: Annotated[float | None, typer.Option(help="Loss without repetition, for the break-even share.")] = None,
    damaged_loss: Annotated[float | None, typer.Option(help="Loss of the model that memorises.")] = None,
    as_json: Json = False,
) -> None:
    """Whether repeated data harms a model of a size: the published band, the worst harm, the worth of the tokens."""
    from windtunnel.scaling.laws.repetition import break_even_share
    from windtunnel.scaling.repetition.calculator import predict, predict_corpus

    if (loss is None) != (damaged_loss is None):
        raise UsageError("The break-even share needs both --loss and --damaged-loss.")
    found: dict[str, Any]
    if histogram is not None:
        if fraction is not None or repeats is not None:
            raise UsageError("Give either --histogram or --fraction and --repeats.")
        found = predict_corpus(_read_histogram(histogram), parameters, tokens, epochs=epochs).report()
    elif fraction is None or repeats is None:
        raise UsageError("Give --fraction and --repeats, or --histogram with what `windtunnel deduplicate` found.")
    elif epochs != 1.0:
        raise UsageError("--epochs goes with --histogram; with --fraction say --repeats.")
    else:
        found = predict(parameters, tokens, fraction, repeats).report()
    if loss is not None and damaged_loss is not None:
        found["break_even_share"] = break_even_share(loss, damaged_loss)
    if as_json:
        print_json(found)
        return
    for name, value in found.items():
        for line in _lines(value):
            print(f"{name.replace('_', ' '):<18} {line}")


@app.command("deduplicate")
def deduplicate_corpus(
    corpus: Annotated[str, typer.Argument(help="A file, a directory, a hub name, offline-english or offline-python.")],
    field: Annotated[str, typer.Option(help="Field of structured files that holds the text.")] = "text",
    split: Annotated[str, typer.Option(help="Split of an offline corpus or a hub data set.")] = "train",
    documents: Annotated[int | None, typer.Option(min=1, help="Read so many documents; by default all.")] = None,
    exact: Annotated[bool, typer.Option("--exact", help="Exact duplicates only.")] = False,
    threshold: Annotated[float, typer.Option(help="Share of word runs in common of near duplicates.")] = 0.8,
    words: Annotated[int, typer.Option(help="Words in a run.")] = 5,
    out: Annotated[Path | None, typer.Option(help="Write the documents that remain, one JSON line each.")] = None,
    as_json: Json = False,
) -> None:
    """Exact and near duplicates of a corpus, and how large their clusters are."""
    from itertools import islice

    from windtunnel.data import corpora
    from windtunnel.data.deduplication import deduplicate
    from windtunnel.laboratory.files import explained

    if out is not None and out.exists():
        raise UsageError(f"{out} exists already; remove it or name another file.")
    found = deduplicate(
        islice(corpora.documents(corpus, field=field, split=split), documents),
        near=not exact,
        threshold=threshold,
        words=words,
    )
    if out is not None:
        kept = set(found.kept)
        with explained(out), out.open("w") as file:
            for number, text in enumerate(islice(corpora.documents(corpus, field=field, split=split), documents)):
                if number in kept:
                    file.write(json.dumps({"text": text}, ensure_ascii=False) + "\n")
    report = found.report()
    if as_json:
        print_json(report)
        return
    for name, value in report.items():
        if name != "histogram":
            print(f"{name.replace('_', ' '):<24} {value if isinstance(value, int) else f'{value:.4f}'}")
    print("clusters by size")
    for size, count in report["histogram"].items():
        print(f"{size:>8} {count:>12}")


def _read_histogram(path: Path) -> dict[int, int]:
    """Cluster sizes and their counts: the document of `deduplicate --json`, or its histogram alone."""
    from windtunnel.laboratory.files import read_json

    document = read_json(path)
    table = document.get("histogram", document) if isinstance(document, dict) else document
    try:
        return {int(size): int(count) for size, count in table.items()}
    except (AttributeError, TypeError, ValueError) as error:
        raise DataError(
            f"{path} holds no histogram; write it with `windtunnel deduplicate CORPUS --json > {path}`."
        ) from error


def _lines(value: Any) -> list[str]:
    if isinstance(value, float):
        return [f"{value:.4g}"]
    if isinstance(value, list) and value and isinstance(value[0], float):
        return [f"{value[0]:.4g} to {value[1]:.4g}"]
    if isinstance(value, list):
        return [
            ", ".join(f"{key} {part:.4g}" if isinstance(part, float) else f"{key} {part}" for key, part in row.items())
            if isinstance(row, dict)
            else str(row)
            for row in value
        ]
    return [str(value)]
