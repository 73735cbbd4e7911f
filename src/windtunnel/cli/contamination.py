"""The verb contamination: which samples of a task occur in a corpus."""

from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer

from windtunnel.cli.output import Json, print_json
from windtunnel.laboratory.errors import UsageError

app = typer.Typer()


@app.command("contamination")
def contamination_of_tasks(
    tasks: Annotated[
        list[str], typer.Argument(help="Names, files (.yaml, .jsonl, .csv, .parquet) or module:function.")
    ],
    corpus: Annotated[str, typer.Option(help="A file, a directory, a hub name, offline-english or offline-python.")],
    data: Annotated[Path | None, typer.Option(help="The tasks' data set's folder.")] = None,
    field: Annotated[str, typer.Option(help="Field of structured files that holds the text.")] = "text",
    split: Annotated[str, typer.Option(help="Split of an offline corpus or a hub data set.")] = "train",
    documents: Annotated[int | None, typer.Option(min=1, help="Read so many documents; by default all.")] = None,
    length: Annotated[int | None, typer.Option(min=1, help="Words in a run; by default the paper's rule.")] = None,
    frequent: Annotated[int, typer.Option(min=0, help="Ignore runs in more documents than this; 0: none.")] = 10,
    results: Annotated[
        list[Path] | None, typer.Option(help="An evaluation of the task, to compare clean and dirty; one per task.")
    ] = None,
    metric: Annotated[str | None, typer.Option(help="Of the evaluations; by default the headline metric.")] = None,
    as_json: Json = False,
) -> None:
    """Samples of tasks that occur in a training corpus, and what a model scores without them."""
    from windtunnel.data import corpora
    from windtunnel.evaluation.contamination import compare_clean, find_contamination
    from windtunnel.evaluation.naming import named_task
    from windtunnel.evaluation.results import Results

    if results and len(results) != len(tasks):
        raise UsageError(f"{len(results)} evaluations were given for {len(tasks)} tasks; give one each, in order.")
    if metric is not None and not results:
        raise UsageError("--metric is of evaluations; name them with --results.")
    found = find_contamination(
        [named_task(name, data) for name in tasks],
        islice(corpora.documents(corpus, field=field, split=split), documents),
        length=length,
        frequent=frequent or None,
    )
    reports: list[dict[str, Any]] = []
    for place, contamination in enumerate(found):
        report = contamination.report()
        if results:
            scores = compare_clean(contamination, Results.load(results[place]), metric)
            report["scores"] = {
                name: None if value is None else {"value": value.value, "interval": list(value.interval)}
                for name, value in vars(scores).items()
            }
        reports.append(report)
    if as_json:
        print_json(reports)
        return
    for report in reports:
        _show(report)


def _show(report: dict[str, Any]) -> None:
    print(
        f"{report['task']}: {report['dirty']} of {report['samples']} samples share {report['words_in_a_run']} words in "
        f"a row with the corpus; {report['common_phrases_only']} more share common phrases only"
    )
    for name, match in list(report["matches"].items())[:5]:
        print(f"  {name!r:<24} {match['words']!r} in {match['documents']} documents, the first is {match['first']}")
    for name, value in report.get("scores", {}).items():
        shown = (
            "-" if value is None else f"{value['value']:.4f} [{value['interval'][0]:.4f}, {value['interval'][1]:.4f}]"
        )
        print(f"  {name:<12} {shown}")
