"""`windtunnel serve-model`: any model behind the OpenAI protocol on 127.0.0.1, for other people's clients.

`/v1/models`, `/v1/completions` (with `echo`) and `/v1/chat/completions`, both with `logprobs` and alternatives, `n`,
`stop`, `seed` and `stream`. The model computes one thing at a time: the prompts of one request together, and of
requests that stream one piece each in turn.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from windtunnel.inference.endings import Sample
from windtunnel.inference.generation import Step
from windtunnel.laboratory.errors import Unsupported, UsageError, WindtunnelError
from windtunnel.models.interface import LanguageModel
from windtunnel.web.openai_protocol import (
    Alternatives,
    Asked,
    Events,
    Piece,
    Refused,
    decode,
    no_model,
    read_request,
    refusal,
    reply,
)
from windtunnel.web.server import insist_on_free

HOSTS = ["127.0.0.1", "localhost"]


def application(model: LanguageModel, name: str) -> Starlette:
    """The server of one model.

    Args:
        model: A model loaded here, with a tokenizer.
        name: What clients call it.

    Raises:
        Unsupported: The model has no tokenizer, or is itself behind a server.
    """
    if model.tokenizer is None:
        raise Unsupported(f"{model.name} has no tokenizer here, so it cannot be served; load a model that has one.")
    turn = asyncio.Lock()

    async def answer(request: Request) -> Response:
        try:
            body = await request.json()
        except ValueError:
            return JSONResponse(refusal("The request is not JSON."), 400)
        try:
            asked = read_request(model, name, body, request.url.path.endswith("/chat/completions"))
            if not asked.stream:
                async with turn:
                    pieces = await run_in_threadpool(_whole, model, asked)
                return JSONResponse(reply(model, name, asked, pieces))
            growing = _growing(model, asked)
            first = await following(growing)  # before anything is sent: a mistake in the request shows here
        except WindtunnelError as error:
            return _refused(error)
        return StreamingResponse(events(asked, first, growing), media_type="text/event-stream")

    async def following(growing: Iterator[Piece]) -> Piece | None:
        async with turn:  # for one piece only, so that answers under way take turns
            return await run_in_threadpool(next, growing, None)

    async def events(asked: Asked, piece: Piece | None, growing: Iterator[Piece]) -> AsyncIterator[str]:
        written = Events(model, name, asked)
        try:
            while piece is not None:
                yield written.piece(piece)
                piece = await following(growing)
        except WindtunnelError as error:
            yield written.failure(str(error))
        else:
            yield written.end()

    async def models(request: Request) -> Response:
        entry = {"id": name, "object": "model", "created": 0, "owned_by": "windtunnel"}
        wanted = request.path_params.get("name")
        if wanted is None:
            return JSONResponse({"object": "list", "data": [entry]})
        return JSONResponse(entry) if wanted == name else _refused(no_model(wanted, name))

    return Starlette(
        routes=[
            Route("/v1/models", models),
            Route("/v1/models/{name:path}", models),
            Route("/v1/completions", answer, methods=["POST"]),
            Route("/v1/chat/completions", answer, methods=["POST"]),
        ],
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=HOSTS)],
        exception_handlers={HTTPException: _no_route, Exception: _failure},
    )


def serve_model(model: LanguageModel, name: str, port: int) -> None:
    """Serve until interrupted, on 127.0.0.1 only.

    Raises:
        WindtunnelError: The port is taken.
        Unsupported: The model cannot be served; see `application`.
    """
    import uvicorn

    insist_on_free(port)
    uvicorn.run(application(model, name), host="127.0.0.1", port=port, log_level="warning")


def _whole(model: LanguageModel, asked: Asked) -> list[Piece]:
    """Each choice in one piece, or in two where its prompt is echoed."""
    samples = [_nothing() for _ in asked.rows]
    if asked.most:
        samples = model.generate(asked.rows, seed=asked.seeds, max_new_tokens=asked.most, **asked.sampling)
    pieces = []
    for choice, (row, sample) in enumerate(zip(asked.rows, samples, strict=True)):
        top = _alternatives(model, row, sample.token_ids, asked)
        before = list(row) if asked.echo else []
        if asked.echo:
            pieces.append(_echo(model, asked, choice, top[: len(row)]))
        ids, logprobs = sample.token_ids, sample.token_logprobs
        pieces.append(Piece(choice, before, ids, logprobs, top[len(before) :], sample.text, sample))
    return pieces


def _steps(model: LanguageModel, asked: Asked, choice: int) -> Iterator[Step]:
    """The tokens of one choice as they are sampled."""
    return model.stream(asked.rows[choice], seed=asked.seeds[choice], max_new_tokens=asked.most, **asked.sampling)


def _growing(model: LanguageModel, asked: Asked) -> Iterator[Piece]:
    """The pieces of one choice after the other; where alternatives are asked for, once the choice is whole."""
    for choice, row in enumerate(asked.rows):
        steps: Iterator[Step] | list[Step] = _steps(model, asked, choice) if asked.most else []
        top = None
        if asked.alternatives:
            steps = list(steps)
            top = _alternatives(model, row, [step.token for step in steps], asked)
        if asked.echo:
            yield _echo(model, asked, choice, [[] for _ in row] if top is None else top[: len(row)])
        before = list(row) if asked.echo else []
        if not asked.most:
            yield Piece(choice, before, [], [], [], "", _nothing())
        written: list[int] = []
        held: list[Step] = []
        sent = 0
        for step in steps:
            held.append(step)
            ids = [each.token for each in held]
            if step.sample is None:
                text = _certain(decode(model, written + ids), asked.sampling["stop"])
            else:
                text = step.sample.text
            if len(text) > sent or step.sample is not None:
                start = len(before) + len(written)
                others = [[] for _ in ids] if top is None else top[start : start + len(ids)]
                logprobs = [each.logprob for each in held]
                yield Piece(choice, before + written, ids, logprobs, others, text[sent:], step.sample)
                written, held, sent = written + ids, [], len(text)


def _certain(text: str, stops: Sequence[str]) -> str:
    """What more tokens cannot change: without a character cut short, or what may be the start of a stop string."""
    text = text.rstrip("\ufffd")
    longest = max(map(len, stops), default=0)
    for start in range(max(0, len(text) - longest + 1), len(text)):
        if any(stop.startswith(text[start:]) for stop in stops):
            return text[:start]
    return text


def _echo(model: LanguageModel, asked: Asked, choice: int, top: list[Alternatives]) -> Piece:
    """The prompt as a part of the answer."""
    row = asked.rows[choice]
    logprobs: list[float | None] = [None] * len(row)
    if asked.alternatives is not None:
        logprobs[1:] = model.score([row[:1]], [row[1:]])[0].token_logprobs
    return Piece(choice, [], row, logprobs, top, decode(model, row), None)


def _alternatives(model: LanguageModel, row: Sequence[int], written: Sequence[int], asked: Asked) -> list[Alternatives]:
    """The most probable tokens in each place of the answer, which begins with the prompt where that is echoed."""
    ids = [*row, *written]
    start = 1 if asked.echo else len(row)
    if not asked.alternatives or start >= len(ids):
        return [[] for _ in (ids if asked.echo else written)]
    import torch

    with torch.no_grad():
        logprobs = model(ids[:-1])[0, start - 1 :].float().log_softmax(dim=-1)
    values, tokens = logprobs.topk(min(asked.alternatives, logprobs.shape[-1]), dim=-1)
    pairs = zip(tokens.tolist(), values.tolist(), strict=True)
    return [[] for _ in range(asked.echo)] + [list(zip(*pair, strict=True)) for pair in pairs]


def _nothing() -> Sample:
    return Sample("", [], [], "length")


def _refused(error: WindtunnelError) -> JSONResponse:
    if isinstance(error, Refused):
        return JSONResponse(refusal(str(error), code=error.code), error.status)
    return JSONResponse(refusal(str(error)), 400 if isinstance(error, UsageError) else 422)


async def _no_route(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    text = f"{request.method} {request.url.path} is not served; there are /v1/models, /v1/completions and "
    return JSONResponse(refusal(text + "/v1/chat/completions."), error.status_code, error.headers)


async def _failure(_: Request, error: Exception) -> Response:
    return JSONResponse(
        refusal(f"The server failed ({type(error).__name__}); its log says where.", "server_error"), 500
    )
