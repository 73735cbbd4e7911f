"""What verbs are given: texts from arguments, files or standard input, and models by name."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from windtunnel.laboratory.errors import DataError, UsageError

if TYPE_CHECKING:
    from windtunnel.models.interface import LanguageModel

ModelName = Annotated[
    str, typer.Option(help="A name, a directory, a .gguf file, a run, or openai:MODEL@URL for a server's model.")
]
Device = Annotated[str, typer.Option(help="cpu, cuda ...")]
Cache = Annotated[
    Path | None, typer.Option(help="Of a server: a file that keeps finished calls, which are not made again.")
]
MaxRequests = Annotated[int | None, typer.Option(min=1, help="Of a server: most requests sent, tries counted.")]
MaxTokensTotal = Annotated[int | None, typer.Option(min=1, help="Of a server: most tokens read and written in all.")]

TopLogprobs = Annotated[
    int | None, typer.Option(min=0, help="Of a server: the most probable tokens at each place, for --json.")
]
NoLogprobs = Annotated[
    bool, typer.Option("--no-logprobs", help="Of a server: ask for no log-probabilities, where it refuses to give any.")
]


def open_model(
    name: str,
    device: str = "cpu",
    *,
    cache: Path | None = None,
    max_requests: int | None = None,
    max_tokens_total: int | None = None,
) -> "LanguageModel":
    """The model of that name, on as many threads as are fastest; or the one behind a server, within a budget.

    Raises:
        UsageError: Options of a server are given for a model that has none.
    """
    if name.startswith("openai:"):
        from windtunnel.inference.remote import Budget
        from windtunnel.models.endpoint import connect

        if device != "cpu":
            raise UsageError(f"{name} runs on its server: leave out --device.")
        return connect(name, cache=cache, budget=Budget(max_requests=max_requests, max_tokens=max_tokens_total))
    given = {"--cache": cache, "--max-requests": max_requests, "--max-tokens-total": max_tokens_total}
    for option, value in given.items():
        if value is not None:
            raise UsageError(f"{option} is for a server's model, openai:MODEL@URL; {name} runs here, so leave it out.")
    from windtunnel import load

    model = load(name, device=device, threads="auto")
    print(f"{name}: {model.probe}", file=sys.stderr)
    return model


def read_logprobs(model: str, top: int | None, none: bool, as_json: bool) -> dict[str, Any]:
    """What `Endpoint.generate` is told about log-probabilities; nothing, where nothing is asked.

    Raises:
        UsageError: The options contradict each other, show nothing, or the model runs here.
    """
    if top is None and not none:
        return {}
    if top is not None and none:
        raise UsageError("--top-logprobs and --no-logprobs contradict each other; give one of them.")
    option = "--no-logprobs" if none else "--top-logprobs"
    if not model.startswith("openai:"):
        raise UsageError(f"{option} is for a server's model, openai:MODEL@URL; {model} runs here, so leave it out.")
    if top is not None and not as_json:
        raise UsageError("--top-logprobs shows nothing without --json; add it.")
    return {"top_logprobs": top}


def read_text(text: str | None, file: Path | None) -> str:
    """What is named by an argument (- is standard input) or a file.

    Raises:
        UsageError: Neither or both are given.
        DataError: It cannot be read as UTF-8.
    """
    if (text is None) == (file is None):
        raise UsageError("Give a text, - for standard input, or --file FILE: one of them.")
    if text is not None and text != "-":
        return text
    try:
        data = sys.stdin.buffer.read() if file is None else file.read_bytes()
        return data.decode()
    except (OSError, UnicodeDecodeError) as error:
        place = "Standard input" if file is None else str(file)
        raise DataError(f"{place} cannot be read as UTF-8 text ({error}); give a text file.") from error


def read_prompts(prompts: list[str], file: Path | None) -> list[str]:
    """Prompts from arguments, from standard input (-), or from a file of lines or of objects with a `prompt`.

    Raises:
        UsageError: Neither or both are given.
        DataError: A line is not as it should be, or there is none.
    """
    if prompts and prompts != ["-"]:
        if file is not None:
            raise UsageError("Give prompts or --file FILE, not both.")
        return prompts
    return [record["prompt"] for record in read_records("-" if prompts else None, file, ("prompt",))]


def read_records(text: str | None, file: Path | None, fields: tuple[str, ...]) -> list[dict[str, Any]]:
    """Records from a file or standard input: a JSON object a line, or, for prompts alone, plain lines.

    Raises:
        UsageError: Neither or both are given.
        DataError: A line is no object with texts in these fields, or there is none.
    """
    place = "standard input" if file is None else str(file)
    plain = fields == ("prompt",) and (file is None or file.suffix != ".jsonl")
    records = []
    for number, line in enumerate(read_text(text, file).splitlines(), start=1):
        if not line.strip():
            continue
        if plain and not line.startswith("{"):
            records.append({"prompt": line})
            continue
        try:
            record = json.loads(line)
            good = isinstance(record, dict) and all(isinstance(record.get(name), str) for name in fields)
        except (ValueError, RecursionError):
            good = False
        if not good:
            wanted = ", ".join(f'"{name}": "..."' for name in fields)
            raise DataError(f"Line {number} of {place} is no JSON object with {{{wanted}}}; mend it.")
        records.append(record)
    if not records:
        raise DataError(f"{place} has no line to work on; give one a line.")
    return records
