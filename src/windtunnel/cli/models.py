"""Verbs about models: train, generate, score, check, show-tokens, serve-model."""

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from windtunnel.cli.input import (
    Cache,
    Device,
    MaxRequests,
    MaxTokensTotal,
    ModelName,
    NoLogprobs,
    TopLogprobs,
    open_model,
    read_logprobs,
    read_prompts,
    read_records,
    read_text,
)
from windtunnel.cli.output import Json, print_json, print_tokens
from windtunnel.laboratory.errors import UsageError

app = typer.Typer()


@app.command("train")
def train_model(
    corpus: Annotated[
        str, typer.Argument(help="A file, a directory, a hub name, offline-english or offline-python.")
    ] = "offline-english",
    out: Annotated[Path, typer.Option(help="Directory of the run.")] = Path("runs/model"),
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="field=value of Pretraining, as in training.steps=500.", show_default=False),
    ] = None,
    seed: Annotated[int, typer.Option(help="Decides the weights and the order of the rows.")] = 0,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1 ...")] = "cpu",
    resume: Annotated[bool, typer.Option("--resume", help="Continue a training that was stopped.")] = False,
    as_json: Json = False,
) -> None:
    """Train a language model from scratch; the run's directory is then a model's name."""
    from windtunnel.laboratory.study import configure, read_settings
    from windtunnel.training.pretraining import Pretraining, open_run, pretrain

    config = configure(Pretraining(), {"corpus": corpus, **read_settings(settings or [])}, seed)
    assert isinstance(config, Pretraining)
    with open_run(config, out, device=device, resume=resume, progress="silent" if as_json else "auto") as run:
        result = pretrain(config, run)
    found = {
        "directory": str(out),
        "steps": result.steps,
        "train_loss": result.losses[-1][1],
        "test_loss": result.evaluations[-1]["test_loss"],
        "tokens_per_second": result.tokens_per_second,
    }
    if as_json:
        print_json(found)
        return
    print(f"test loss {found['test_loss']:.4f} nats per token after {result.steps} steps; load it as {out}")


@app.command("generate")
def generate_text(
    prompts: Annotated[
        list[str] | None, typer.Argument(help="One or more prompts; - reads standard input.", show_default=False)
    ] = None,
    file: Annotated[Path | None, typer.Option(help="Prompts, one a line, or .jsonl with a `prompt` each.")] = None,
    model: ModelName = "smollm2-135m",
    max_new_tokens: Annotated[int, typer.Option(help="Most tokens per sample.")] = 64,
    temperature: Annotated[float, typer.Option(help="0 is greedy.")] = 1.0,
    top_k: Annotated[int | None, typer.Option(help="Keep the k most probable tokens.")] = None,
    top_p: Annotated[float | None, typer.Option(help="Keep the most probable tokens up to this probability.")] = None,
    min_p: Annotated[float | None, typer.Option(help="Keep tokens this share as probable as the first.")] = None,
    stop: Annotated[list[str] | None, typer.Option(help="Ends a row; may be repeated.", show_default=False)] = None,
    beams: Annotated[
        int | None, typer.Option(min=1, help="Search with so many rather than sample.", show_default=False)
    ] = None,
    samples: Annotated[int, typer.Option(min=1, help="Samples of each prompt.")] = 1,
    seed: Annotated[int, typer.Option(help="Row i's seed is derived from it.")] = 0,
    chat: Annotated[bool, typer.Option("--chat", help="Each prompt is a user's turn, by the chat template.")] = False,
    batch_size: Annotated[int, typer.Option(min=1, help="Rows sampled together.")] = 16,
    top_logprobs: TopLogprobs = None,
    no_logprobs: NoLogprobs = False,
    device: Device = "cpu",
    cache: Cache = None,
    max_requests: MaxRequests = None,
    max_tokens_total: MaxTokensTotal = None,
    as_json: Json = False,
) -> None:
    """Sample continuations of each prompt, or search for the likeliest."""
    texts = read_prompts(prompts or [], file)
    if beams is not None and (chat or samples > 1 or seed or temperature != 1 or top_k or top_p or min_p):
        raise UsageError(
            "A beam search finds one continuation of a text and draws nothing; beside --beams leave out --chat, "
            "--samples, --seed, --temperature, --top-k, --top-p and --min-p."
        )
    options: dict[str, Any] = {
        "max_new_tokens": max_new_tokens,
        "temperature": temperature,
        "top_k": top_k,
        "top_p": top_p,
        "min_p": min_p,
        "stop": stop or (),
        "samples_per_prompt": samples,
        "seed": seed,
        "batch_size": batch_size,
        **read_logprobs(model, top_logprobs, no_logprobs, as_json),
    }
    subject = open_model(model, device, cache=cache, max_requests=max_requests, max_tokens_total=max_tokens_total)
    if beams is not None:
        found = subject.beam_search(
            texts, beams=beams, max_new_tokens=max_new_tokens, stop=stop or (), batch_size=batch_size
        )
    elif chat:
        found = subject.chats([[{"role": "user", "content": text}] for text in texts], **options)
    else:
        found = subject.generate(texts, **options)
    asked = [text for text in texts for _ in range(samples)]
    if as_json:
        print_json([{"prompt": prompt, **asdict(sample)} for prompt, sample in zip(asked, found, strict=True)])
        return
    for prompt, sample in zip(asked, found, strict=True):
        print(f"> {prompt}\n{sample.text}\n")


@app.command("score")
def score_text(
    prompt: Annotated[
        str | None, typer.Argument(help="What comes before; - reads pairs from standard input.", show_default=False)
    ] = None,
    continuations: Annotated[
        list[str] | None,
        typer.Argument(help="One or more continuations, with their leading space.", show_default=False),
    ] = None,
    file: Annotated[Path | None, typer.Option(help=".jsonl with a `prompt` and a `continuation` each.")] = None,
    model: ModelName = "smollm2-135m",
    batch_size: Annotated[int, typer.Option(min=1, help="Most rows scored together.")] = 16,
    device: Device = "cpu",
    cache: Cache = None,
    max_requests: MaxRequests = None,
    max_tokens_total: MaxTokensTotal = None,
    as_json: Json = False,
) -> None:
    """Log-probability, in nats, of continuations of prompts."""
    if prompt is not None and continuations:
        if file is not None:
            raise UsageError("Give a prompt and continuations, or --file FILE, not both.")
        pairs = [(prompt, continuation) for continuation in continuations]
    elif prompt not in (None, "-"):
        raise UsageError(f"Give one or more continuations of {prompt!r}, or pairs in --file FILE.")
    else:
        records = read_records(prompt, file, ("prompt", "continuation"))
        pairs = [(record["prompt"], record["continuation"]) for record in records]
    subject = open_model(model, device, cache=cache, max_requests=max_requests, max_tokens_total=max_tokens_total)
    scores = subject.score([before for before, _ in pairs], [after for _, after in pairs], batch_size=batch_size)
    rows: list[dict[str, Any]] = [
        {"prompt": before, "continuation": after, "logprob": score.logprob, **asdict(score)}
        for (before, after), score in zip(pairs, scores, strict=True)
    ]
    if as_json:
        print_json(rows)
        return
    for row in rows:
        shown = (
            repr(row["continuation"]) if file is None and prompt != "-" else repr(row["prompt"] + row["continuation"])
        )
        print(f"{row['logprob']:10.4f} nats  {shown}{'  (greedy)' if row['is_greedy'] else ''}")


@app.command("check")
def check_model(
    model: Annotated[str, typer.Argument(help="A name, a directory, a .gguf file or a run.")],
    device: Device = "cpu",
    as_json: Json = False,
) -> None:
    """Prove that a model's activations are read and written as they should be."""
    from windtunnel.laboratory.progress import Progress
    from windtunnel.models.checking import CHECKS, check

    subject = open_model(model, device)
    with Progress("silent" if as_json else "auto").task(f"checking {model}", len(CHECKS)) as task:
        found = check(subject, task=task)
    passed = all(row.passed for row in found)
    if as_json:
        print_json({"model": model, "passed": passed, "checks": [asdict(row) for row in found]})
    else:
        for row in found:
            worst = f", largest difference {row.worst:.1e}" if row.worst else ""
            print(f"{'pass' if row.passed else 'FAIL'}  {row.name} ({row.places} places{worst})")
            if row.fault:
                print(f"      {row.fault}")
    if not passed:
        raise typer.Exit(1)


@app.command("show-tokens")
def show_tokens(
    model: Annotated[str, typer.Argument(help="A name, a directory, a .gguf file or a run.")],
    text: Annotated[
        str | None, typer.Argument(help="What the model is given; - reads standard input.", show_default=False)
    ] = None,
    file: Annotated[Path | None, typer.Option(help="Read it from this file instead.")] = None,
    chat: Annotated[
        bool, typer.Option("--chat", help='It is JSON, [{"role": "user", "content": "..."}], for the chat template.')
    ] = False,
    continuation: Annotated[
        str | None, typer.Option(help="What would be scored after it; shows which tokens count.")
    ] = None,
    as_json: Json = False,
) -> None:
    """The tokens a model is given: their text, roles, and what a score would count."""
    from windtunnel import load
    from windtunnel.models.token_table import chat_rows, read_messages, text_rows

    given = read_text(text, file)
    messages = read_messages(given) if chat else []  # before the model is loaded, which takes seconds
    subject = load(model)
    rows = chat_rows(subject, messages, continuation) if chat else text_rows(subject, given, continuation)
    if as_json:
        print_json({"model": model, "tokens": [asdict(row) for row in rows]})
    else:
        print_tokens(rows)


@app.command("serve-model")
def serve_a_model(
    model: Annotated[str, typer.Argument(help="A name, a directory, a .gguf file or a run.")] = "smollm2-135m",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port on 127.0.0.1.")] = 8266,
    device: Device = "cpu",
) -> None:
    """Serve a model by the OpenAI protocol, on 127.0.0.1 only."""
    from windtunnel.web.model_server import serve_model

    subject = open_model(model, device)
    name = Path(model).name
    print(f"{name} at http://127.0.0.1:{port}/v1 (stop with Ctrl-C)", file=sys.stderr)
    serve_model(subject, name, port)
