"""Verbs about evaluations that models write: generate-evaluation, validate-evaluation."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from windtunnel.cli.input import Cache, Device, MaxRequests, MaxTokensTotal, open_model
from windtunnel.cli.output import Json, print_json
from windtunnel.laboratory.errors import UsageError

if TYPE_CHECKING:
    from windtunnel.evaluation.generated.pipeline import Generated
    from windtunnel.evaluation.generated.records import Record
    from windtunnel.evaluation.generated.writing import Writer
    from windtunnel.models.interface import LanguageModel

app = typer.Typer()


@app.command("generate-evaluation")
def generate(
    description: Annotated[
        str, typer.Argument(help="What completes “a person who ...”; with --examples, “whether somebody ...”.")
    ],
    examples: Annotated[
        Path | None,
        typer.Option(
            help="Gold questions in the published format (.jsonl): more multiple choice like them is written."
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Of the behaviour.", show_default="the examples' or the description's")
    ] = None,
    model: Annotated[str, typer.Option(help="The writer: a name, a file, openai:MODEL@URL.")] = "smollm2-135m",
    discriminator: Annotated[
        str | None, typer.Option(help="The model that says which label fits.", show_default="the writer")
    ] = None,
    requirement: Annotated[
        list[str] | None,
        typer.Option(help="A Yes-No question about each candidate that ranks it, too; may be repeated."),
    ] = None,
    count: Annotated[int, typer.Option(min=1, help="Candidates written of each label.")] = 5_000,
    keep: Annotated[int, typer.Option(min=1, help="Most questions kept of each label.")] = 500,
    temperature: Annotated[
        float | None, typer.Option(min=0, help="Of the writer.", show_default="1.4; for multiple choice 1")
    ] = None,
    top_p: Annotated[
        float | None, typer.Option(min=0, max=1, help="Of the writer.", show_default="0.975; for multiple choice 0.95")
    ] = None,
    shots: Annotated[
        int | None, typer.Option(min=1, help="With --examples: of them before each candidate.", show_default="5")
    ] = None,
    balance_prior: Annotated[
        bool, typer.Option("--balance-prior", help="Take out what the discriminator prefers whatever it is shown.")
    ] = False,
    exact: Annotated[bool, typer.Option("--exact", help="Drop exact duplicates only.")] = False,
    diversity: Annotated[float, typer.Option(min=0, max=1, help="How much unlikeness counts beside confidence.")] = 0.0,
    topics: Annotated[int, typer.Option(min=1, help="Clusters of meaning.")] = 12,
    name_topics: Annotated[
        str | None, typer.Option(help="A model that names the topics.", show_default="words that set them apart")
    ] = None,
    embedder: Annotated[str, typer.Option(help="auto, minilm or words.")] = "auto",
    projection: Annotated[str, typer.Option(help="Of the map: auto, umap, tsne or pca.")] = "auto",
    raters: Annotated[
        int, typer.Option(min=0, help="Write a page and a table for people who rate so many questions of each label.")
    ] = 0,
    seed: Annotated[int, typer.Option(help="Decides every candidate.")] = 0,
    device: Device = "cpu",
    cache: Cache = None,
    max_requests: MaxRequests = None,
    max_tokens_total: MaxTokensTotal = None,
    out: Annotated[
        Path | None, typer.Option(help="Directory; the same command continues it.", show_default="in runs/generated")
    ] = None,
    as_json: Json = False,
) -> None:
    """Have a model write an evaluation of a behaviour, and another filter it; what was stopped is continued."""
    from windtunnel.evaluation.generated.discriminating import Discriminator, LabelByModel, RequirementByModel
    from windtunnel.evaluation.generated.pipeline import Settings, generate_evaluation

    behaviour = name or (examples.stem if examples is not None else _slug(description))
    settings = Settings(
        candidates=count,
        keep=keep,
        balance_prior=balance_prior,
        near=not exact,
        diversity=diversity,
        topics=topics,
        embedder=embedder,  # type: ignore[arg-type]  # checked where it is used
        projection=projection,  # type: ignore[arg-type]
        seed=seed,
    )
    if shots is not None and examples is None:
        raise UsageError("--shots is of --examples; give the file of examples, or leave it out.")
    limits = {"cache": cache, "max_requests": max_requests, "max_tokens_total": max_tokens_total}
    opened = _opened((model, discriminator, name_topics), device, limits)
    judge = opened[discriminator or model]
    sampling = {key: value for key, value in (("temperature", temperature), ("top_p", top_p)) if value is not None}
    writer = _writer(opened[model], behaviour, description, examples, shots or 5, seed, sampling)
    asked: dict[str, Discriminator] = {text: RequirementByModel(judge, text) for text in requirement or []}
    directory = out if out is not None else Path("runs") / "generated" / behaviour
    found = generate_evaluation(
        writer,
        LabelByModel(judge, description),
        directory,
        settings,
        requirements=asked,
        namer=opened[name_topics] if name_topics else None,
        progress="auto",
    )
    if raters:
        _write_sheets(found, raters, seed)
    if as_json:
        print_json({"directory": str(directory), **found.summary})
        return
    for step, number in found.summary["counts"].items():
        print(f"{step:<10} {number}")
    if found.records:
        print(f"confidence {found.summary['mean_confidence']:.3f} (the ceiling, if the discriminator is calibrated)")
        print(f"topics     {found.summary['diversity']['entropy_bits']:.2f} bits")
    print(directory / "index.html")


@app.command("validate-evaluation")
def validate_by_raters(
    directory: Annotated[Path, typer.Argument(help="What generate-evaluation wrote.")],
    ratings: Annotated[list[Path], typer.Argument(help="Tables that raters filled in or saved.")],
    seed: Annotated[int, typer.Option(help="Of resampling.")] = 0,
    as_json: Json = False,
) -> None:
    """Hold a generated evaluation against what raters say: labels confirmed, agreement, relevance."""
    from windtunnel.evaluation.generated.pipeline import Generated
    from windtunnel.evaluation.generated.raters import read_sheets, validate
    from windtunnel.statistics.estimates import Estimate

    found = validate(Generated.load(directory).records, read_sheets(ratings), seed=seed)
    if as_json:
        print_json(found.as_dict())
        return
    for name, value in vars(found).items():
        shown = f"{value.value:.3f} [{value.low:.3f}, {value.high:.3f}]" if isinstance(value, Estimate) else value
        print(f"{name:<13} {'not defined' if shown is None else shown}")


def _writer(
    model: "LanguageModel",
    behaviour: str,
    description: str,
    examples: Path | None,
    shots: int,
    seed: int,
    sampling: dict[str, Any],
) -> "Writer":
    from windtunnel.evaluation.generated.published import lettered_file
    from windtunnel.evaluation.generated.writing import ChoiceWriter, StatementWriter

    if examples is None:
        return StatementWriter(model, behaviour, description, seed=seed, **sampling)
    gold = tuple(lettered_file(examples, family="examples"))
    return ChoiceWriter(model, behaviour, description, gold, shots=shots, seed=seed, **sampling)


def _write_sheets(found: "Generated", each: int, seed: int) -> None:
    from windtunnel.evaluation.generated.published import balanced_sample
    from windtunnel.evaluation.generated.raters import write_sheets

    chosen: list[Record] = balanced_sample(found.records, each, seed)
    write_sheets(chosen, found.summary["behaviour"], found.directory)


def _opened(names: Sequence[str | None], device: str, limits: dict[str, Any]) -> dict[str, "LanguageModel"]:
    """Each of the models once, by name; the limits are those of servers."""
    from windtunnel.evaluation.mock import MockModel

    wanted = list(dict.fromkeys(name for name in names if name is not None))
    used = [option for option, value in limits.items() if value is not None]
    if used and not any(name.startswith("openai:") for name in wanted):
        raise UsageError(f"--{used[0].replace('_', '-')} is for a server's model, openai:MODEL@URL; leave it out.")
    return {
        name: MockModel.named(name)
        if name.startswith("mock:")
        else open_model(name, device, **(limits if name.startswith("openai:") else {}))
        for name in wanted
    }


def _slug(description: str) -> str:
    found = "-".join(re.findall(r"[a-z0-9]+", description.lower())[:8])
    if not found:
        raise UsageError(f"The description {description!r} has no word; say what completes “a person who ...”.")
    return found
