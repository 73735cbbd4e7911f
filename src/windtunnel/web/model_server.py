"""`windtunnel serve-model`: any model behind the OpenAI protocol on 127.0.0.1, for other people's clients.

`/v1/models`, `/v1/completions` (with `echo`, `logprobs`, `n`, `stop`, `seed`) and `/v1/chat/completions`. One request
is computed at a time; the prompts of one request are computed together. What the protocol has and this server does not
is refused, never ignored.
"""

import asyncio
import itertools
import math
import time
from collections.abc import Sequence
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from windtunnel.inference.generation import Sample
from windtunnel.inference.scoring import Score
from windtunnel.laboratory.errors import UsageError, WindtunnelError
from windtunnel.models.interface import LanguageModel
from windtunnel.web.server import insist_on_free

HOSTS = ["127.0.0.1", "localhost"]
COMMON = {"model", "max_tokens", "temperature", "top_p", "top_k", "stop", "seed", "n", "user", "stream"}
COMPLETION = COMMON | {"prompt", "echo", "logprobs"}
CHAT = COMMON | {"messages", "logprobs", "max_completion_tokens"}
NEUTRAL = {"presence_penalty": 0, "frequency_penalty": 0, "logit_bias": {}, "best_of": 1, "suffix": None}
"""Options that clients send with the value that changes nothing; any other value is refused."""

MOST_TOKENS = 16
"""Tokens of a completion where the request names no number (the protocol's default)."""


def application(model: LanguageModel, name: str) -> Starlette:
    """The server of one model.

    Args:
        model: A model loaded here, with a tokenizer.
        name: What clients call it.
    """
    turn = asyncio.Lock()

    async def answer(request: Request) -> JSONResponse:
        try:
            body = await request.json()
        except ValueError:
            return _refusal("The request is not JSON.", 400)
        handle = _chat if request.url.path.endswith("/chat/completions") else _complete
        try:
            async with turn:
                return JSONResponse(await asyncio.to_thread(handle, model, name, body))
        except UsageError as error:
            return _refusal(str(error), 400)
        except WindtunnelError as error:
            return _refusal(str(error), 422)

    async def models(_: Request) -> JSONResponse:
        entry = {"id": name, "object": "model", "created": 0, "owned_by": "windtunnel"}
        return JSONResponse({"object": "list", "data": [entry]})

    return Starlette(
        routes=[
            Route("/v1/models", models),
            Route("/v1/completions", answer, methods=["POST"]),
            Route("/v1/chat/completions", answer, methods=["POST"]),
        ],
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=HOSTS)],
    )


def serve_model(model: LanguageModel, name: str, port: int) -> None:
    """Serve until interrupted, on 127.0.0.1 only.

    Raises:
        WindtunnelError: The port is taken.
    """
    import uvicorn

    insist_on_free(port)
    uvicorn.run(application(model, name), host="127.0.0.1", port=port, log_level="warning")


def _complete(model: LanguageModel, name: str, body: Any) -> dict[str, Any]:
    given = _checked(body, name, COMPLETION)
    rows = _prompts(model, given.get("prompt"))
    echo, wanted, count = bool(given.get("echo")), given.get("logprobs"), _count(given)
    if wanted not in (None, False, 0, 1, True):
        raise UsageError(f"logprobs={wanted!r} is not served: ask for 1, the chosen token with the most probable one.")
    rows = [row for row in rows for _ in range(count)]
    samples = _sampled(model, rows, given, given.get("max_tokens", MOST_TOKENS))
    scores: list[Score | None] = [None] * len(rows)
    if wanted and echo:
        scores = list(model.score([row[:1] for row in rows], [row[1:] for row in rows]))
    choices = []
    for index, (row, sample, score) in enumerate(zip(rows, samples, scores, strict=True)):
        ids = ([*row] if echo else []) + sample.token_ids
        logprobs = ([None, *score.token_logprobs] if score is not None else []) + list(sample.token_logprobs)
        text = (_decode(model, row) if echo else "") + sample.text
        choice: dict[str, Any] = {"index": index, "text": text, "finish_reason": _finish(sample), "logprobs": None}
        if wanted:
            best = [None, *_best(model, row)] if echo else []
            choice["logprobs"] = _table(model, ids, logprobs, best)
        choices.append(choice)
    return _reply("text_completion", name, choices, rows, samples)


def _chat(model: LanguageModel, name: str, body: Any) -> dict[str, Any]:
    given = _checked(body, name, CHAT)
    messages = given.get("messages")
    if not isinstance(messages, list) or not all(_is_turn(message) for message in messages):
        raise UsageError('messages must be a list of turns like {"role": "user", "content": "..."}.')
    encode = getattr(model.tokenizer, "encode_chat", None)
    if encode is None:
        raise UsageError(f"{name} has no chat template; ask /v1/completions.")
    rows = [list(encode(messages))] * _count(given)
    most = given.get("max_completion_tokens", given.get("max_tokens"))
    samples = _sampled(model, rows, given, model.shape.context - len(rows[0]) if most is None else most)
    choices = []
    for index, sample in enumerate(samples):
        choice: dict[str, Any] = {
            "index": index,
            "message": {"role": "assistant", "content": sample.text},
            "finish_reason": _finish(sample),
            "logprobs": None,
        }
        if given.get("logprobs"):
            content: list[dict[str, Any]] = [
                {"token": _decode(model, [token]), "logprob": logprob, "bytes": None, "top_logprobs": []}
                for token, logprob in zip(sample.token_ids, sample.token_logprobs, strict=True)
            ]
            choice["logprobs"] = {"content": content}
        choices.append(choice)
    return _reply("chat.completion", name, choices, rows, samples)


def _checked(body: Any, name: str, known: set[str]) -> dict[str, Any]:
    if not isinstance(body, dict):
        raise UsageError("The request is not a JSON object.")
    given = {key: value for key, value in body.items() if value is not None}
    if given.get("model") != name:
        raise UsageError(f"There is no model {given.get('model')!r} here; this server has {name!r}.")
    if given.get("stream"):
        raise UsageError("This server does not stream; ask without stream.")
    for key in given.keys() - known:
        if key not in NEUTRAL or given[key] != NEUTRAL[key]:
            raise UsageError(f"{key}={given[key]!r} is not served; leave it out.")
    return given


def _prompts(model: LanguageModel, prompt: Any) -> list[list[int]]:
    if isinstance(prompt, str):
        return [model.tokenize(prompt)]
    if isinstance(prompt, list) and prompt and all(isinstance(part, int) for part in prompt):
        return [list(prompt)]
    if isinstance(prompt, list) and prompt and all(isinstance(part, str | list) for part in prompt):
        return [row for part in prompt for row in _prompts(model, part)]
    raise UsageError("prompt must be a text, a list of texts, or token ids.")


def _count(given: dict[str, Any]) -> int:
    count = given.get("n", 1)
    if not isinstance(count, int) or not 1 <= count <= 128:
        raise UsageError(f"n={count!r} is not a number from 1 to 128.")
    return count


def _sampled(model: LanguageModel, rows: list[list[int]], given: dict[str, Any], most: Any) -> list[Sample]:
    if most == 0:  # only the prompt is to be scored
        return [Sample("", [], [], "length") for _ in rows]
    if not isinstance(most, int):
        raise UsageError(f"max_tokens={most!r} is not a whole number.")
    stop = given.get("stop", [])
    seed = given.get("seed")
    return model.generate(
        rows,
        max_new_tokens=most,
        temperature=float(given.get("temperature", 1.0)),
        top_k=given.get("top_k"),
        top_p=given.get("top_p"),
        stop=[stop] if isinstance(stop, str) else stop,
        seed=time.time_ns() if seed is None else int(seed),
    )


def _best(model: LanguageModel, row: Sequence[int]) -> list[dict[str, float]]:
    """The most probable token at each position after the first, with its log-probability."""
    import torch

    with torch.no_grad():
        logprobs = model(row)[0, :-1].float().log_softmax(dim=-1)
    values, tokens = logprobs.max(dim=-1)
    return [{_decode(model, [token]): value} for token, value in zip(tokens.tolist(), values.tolist(), strict=True)]


def _table(
    model: LanguageModel, ids: Sequence[int], logprobs: Sequence[float | None], best: Sequence[dict[str, float] | None]
) -> dict[str, Any]:
    """Tokens with where their text begins; a token that ends in the middle of a character has the text so far."""
    texts = [_decode(model, ids[:end]) for end in range(len(ids) + 1)]
    tokens = [after[len(before) :] for before, after in itertools.pairwise(texts)]
    chosen = [None if value is None or not math.isfinite(value) else value for value in logprobs]
    written = zip(tokens[len(best) :], chosen[len(best) :], strict=True)
    rest = [None if value is None else {token: value} for token, value in written]
    return {
        "tokens": tokens,
        "token_logprobs": chosen,
        "top_logprobs": [*best, *rest],
        "text_offset": [len(text) for text in texts[:-1]],
    }


def _decode(model: LanguageModel, ids: Sequence[int]) -> str:
    """Text of tokens; the token that begins a text (BOS) has none, so that an echo is what was sent."""
    codec = model.tokenizer
    assert codec is not None
    begun = codec.bos is not None and list(ids[:1]) == [codec.bos]
    return codec.decode(list(ids[1:] if begun else ids))


def _finish(sample: Sample) -> str:
    return "length" if sample.stop_reason == "length" else "stop"


def _is_turn(message: Any) -> bool:
    return isinstance(message, dict) and all(isinstance(message.get(key), str) for key in ("role", "content"))


def _reply(
    kind: str, name: str, choices: list[dict[str, Any]], rows: list[list[int]], samples: list[Sample]
) -> dict[str, Any]:
    read, written = sum(map(len, rows)), sum(len(sample.token_ids) for sample in samples)
    usage = {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}
    identity = {"id": f"windtunnel-{time.time_ns()}", "object": kind, "created": int(time.time()), "model": name}
    return {**identity, "choices": choices, "usage": usage}


def _refusal(message: str, status: int) -> JSONResponse:
    error = {"message": message, "type": "invalid_request_error", "param": None, "code": None}
    return JSONResponse({"error": error}, status)
