"""The verb about transfer: what pre-training is worth in a case of one's own."""

from dataclasses import asdict
from typing import Annotated, Any

import typer

from windtunnel.cli.output import Json, print_json
from windtunnel.laboratory.errors import UsageError

app = typer.Typer()


@app.command("transfer")
def transferred_data(
    parameters: Annotated[float, typer.Option(help="Non-embedding parameters of the model, as in 4e7.")],
    finetuning_data: Annotated[float, typer.Option(help="Fine-tuning data, in characters for the published laws.")],
    law: Annotated[
        str,
        typer.Option(
            help="text or mixture (published, for Python), or a CSV of runs: parameters, data, loss, pretrained, seed."
        ),
    ] = "text",
    enough: Annotated[
        float | None, typer.Option(help="D(N): data that are enough from scratch, if known; for published laws.")
    ] = None,
    bootstrap: Annotated[int, typer.Option(min=0, help="Refits to resampled runs of a CSV, for intervals.")] = 200,
    seed: Annotated[int, typer.Option(help="Of the resampling.")] = 0,
    as_json: Json = False,
) -> None:
    """How much data pre-training is worth, and whether more data or a bigger model."""
    from windtunnel.scaling.transfer.calculator import PUBLISHED, calculate
    from windtunnel.scaling.transfer.own import calculate_own, read_runs

    found: dict[str, Any]
    if law in PUBLISHED:
        case = calculate(PUBLISHED[law], parameters, finetuning_data, enough=enough)
        symbols = {name: float(value) for name, value in PUBLISHED[law].parameters.items()}
        found = {"law": law, **symbols, **asdict(case)}
    else:
        if enough is not None:
            raise UsageError("--enough is for the published laws; of a table's runs it is measured, so leave it out.")
        if "." not in law and "/" not in law:
            raise UsageError(f"There is no published law {law!r}; choose text or mixture, or name a CSV file of runs.")
        case, fit, intervals = calculate_own(
            *read_runs(law), parameters, finetuning_data, bootstrap=bootstrap, seed=seed
        )
        case.warnings.extend(fit.warnings)
        symbols = {name: float(value) for name, value in fit.law.parameters.items()}
        found = {"law": law, **symbols, **asdict(case), "intervals": intervals, "fit": fit.report()}
    if as_json:
        print_json(found)
        return
    print(f"effective data    {case.effective:.4g} = {finetuning_data:.4g} + {case.transferred:.4g} transferred")
    if "intervals" in found:
        low, high = found["intervals"]["transferred"]
        print(f"                  transferred {low:.3g} to {high:.3g} (90 % interval)")
    print(f"multiplier        {case.multiplier:.4g}")
    print(f"10x data          {case.tenfold_data:.3g} times the data transferred")
    print(f"10x model         {case.tenfold_model:.3g} times; as much as {case.data_like_tenfold_model:.4g}x data")
    for warning in case.warnings:
        print(f"note: {warning}")
