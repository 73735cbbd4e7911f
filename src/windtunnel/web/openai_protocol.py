"""Requests of the OpenAI protocol understood, and answers written in it: completions and chats, whole or in pieces.

What the protocol has and this package does not serve is refused by name, never ignored.
"""

import itertools
import json
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from windtunnel.inference.endings import Sample
from windtunnel.laboratory.errors import UsageError
from windtunnel.models.interface import LanguageModel, row_seeds
from windtunnel.models.tokenization import Message

COMMON = {"model", "max_tokens", "temperature", "top_p", "top_k", "min_p", "stop", "seed", "n", "user"}
COMMON |= {"stream", "stream_options", "logprobs"}
COMPLETION = COMMON | {"prompt", "echo"}
CHAT = COMMON | {"messages", "top_logprobs", "max_completion_tokens"}
NEUTRAL = {
    "presence_penalty": 0, "frequency_penalty": 0, "logit_bias": {}, "best_of": 1, "suffix": None, "store": False,
    "response_format": {"type": "text"}, "tools": [], "tool_choice": "none", "modalities": ["text"],
}  # fmt: skip
"""Options that clients send with the value that changes nothing; any other value is refused."""

MOST_TOKENS = 16
"""Tokens of a completion where the request names no number (the protocol's default)."""

MOST_ALTERNATIVES = 20
"""Alternatives to a token that a request may ask for (the protocol's limit for chats)."""

MOST_CHOICES = 128
"""Answers to one prompt that a request may ask for."""

TURNS = 'messages must be a list of turns like {"role": "user", "content": "..."}.'

Alternatives = list[tuple[int, float]]
"""The most probable tokens at a place, with their log-probabilities in nats."""


class Refused(UsageError):
    """A request that is refused with a status and a code of the protocol."""

    def __init__(self, message: str, status: int, code: str) -> None:
        super().__init__(message)
        self.status, self.code = status, code


@dataclass(frozen=True)
class Asked:
    """A request, understood.

    Attributes:
        chat: Whether a conversation is continued.
        rows: Token ids to continue, one row per choice.
        seeds: One per row.
        read: Tokens of the prompts, each prompt counted once.
        most: New tokens per row; 0 only reads the prompt.
        sampling: `temperature`, `top_k`, `top_p`, `min_p` and `stop` of `LanguageModel.generate`.
        echo: Whether the prompt is part of the answer.
        alternatives: Alternatives wanted to each token; None: no log-probabilities.
        stream: Whether the answer is sent as it grows.
        counts: Whether a stream ends with the numbers of tokens.
    """

    chat: bool
    rows: list[list[int]]
    seeds: list[int]
    read: int
    most: int
    sampling: dict[str, Any]
    echo: bool
    alternatives: int | None
    stream: bool
    counts: bool


@dataclass(frozen=True)
class Piece:
    """Some tokens of one choice, and the text that became certain with them.

    Attributes:
        choice: Index of the choice.
        before: Tokens of the answer before these.
        token_ids: These.
        logprobs: Log-probability of each, None for the first token of all.
        alternatives: The most probable tokens in the place of each; empty lists where none were asked for.
        text: The text.
        sample: The whole continuation, with its last piece; None before.
    """

    choice: int
    before: list[int]
    token_ids: list[int]
    logprobs: Sequence[float | None]
    alternatives: list[Alternatives]
    text: str
    sample: Sample | None


def read_request(model: LanguageModel, name: str, body: Any, chat: bool) -> Asked:
    """Understand a request.

    Args:
        model: What is asked.
        name: What clients call it.
        body: The request's JSON.
        chat: Whether it came to `/chat/completions`.

    Raises:
        UsageError: It holds something that is not served.
    """
    if not isinstance(body, dict):
        raise UsageError("The request is not a JSON object.")
    given = {key: value for key, value in body.items() if value is not None}
    if given.get("model") != name:
        raise no_model(given.get("model"), name)
    for key in given.keys() - (CHAT if chat else COMPLETION):
        if key not in NEUTRAL or given[key] != NEUTRAL[key]:
            raise UsageError(f"{key}={given[key]!r} is not served; leave it out.")
    prompts = [_conversation(model, name, given.get("messages"))] if chat else _prompts(model, given.get("prompt"))
    count = _whole_number(given, "n", 1)
    if not 1 <= count <= MOST_CHOICES:
        raise UsageError(f"n={count} is not a number from 1 to {MOST_CHOICES}.")
    rows = [row for row in prompts for _ in range(count)]
    return Asked(
        chat=chat,
        rows=rows,
        seeds=row_seeds(_whole_number(given, "seed", time.time_ns()) % 2**64, len(rows)),
        read=sum(map(len, prompts)),
        most=_most(given, max(map(len, prompts)), model.shape.context, chat),
        sampling={
            "temperature": _number(given, "temperature", 1.0),
            "top_k": _whole_number(given, "top_k", None),
            "top_p": _number(given, "top_p", None),
            "min_p": _number(given, "min_p", None),
            "stop": _stops(given.get("stop", [])),
        },
        echo=_flag(given, "echo"),
        alternatives=_alternatives(given, chat),
        stream=_flag(given, "stream"),
        counts=_counts(given),
    )


def no_model(wanted: Any, name: str) -> Refused:
    """The refusal of a request for a model that is not here."""
    return Refused(f"There is no model {wanted!r} here; this server has {name!r}.", 404, "model_not_found")


def _conversation(model: LanguageModel, name: str, messages: Any) -> list[int]:
    encode = getattr(model.tokenizer, "encode_chat", None)
    if encode is None:
        raise UsageError(f"{name} has no chat template; ask /v1/completions.")
    if not isinstance(messages, list) or not messages:
        raise UsageError(TURNS)
    return list(encode([_turn(message) for message in messages]))


def _turn(message: Any) -> Message:
    """One turn; its content is a text, or a list of parts that are texts."""
    if not isinstance(message, dict) or not isinstance(message.get("role"), str):
        raise UsageError(TURNS)
    content = message.get("content")
    if isinstance(content, list) and all(isinstance(part, dict) and part.get("type") == "text" for part in content):
        content = "".join(str(part.get("text", "")) for part in content)
    if not isinstance(content, str):
        raise UsageError(f"messages must be of text; a turn of {message['role']!r} holds something else.")
    for key in message.keys() - {"role", "content"}:
        if message[key]:
            raise UsageError(f"{key} of a turn is not served; leave it out.")
    return {"role": message["role"], "content": content}


def _prompts(model: LanguageModel, prompt: Any) -> list[list[int]]:
    if isinstance(prompt, str):
        return [model.tokenize(prompt)]
    if isinstance(prompt, list) and prompt and all(isinstance(part, int) for part in prompt):
        return [list(prompt)]
    if isinstance(prompt, list) and prompt and all(isinstance(part, str | list) for part in prompt):
        return [row for part in prompt for row in _prompts(model, part)]
    raise UsageError("prompt must be a text, a list of texts, or token ids.")


def _most(given: dict[str, Any], longest: int, context: int, chat: bool) -> int:
    """New tokens per row: as many as were asked for, or a completion's default, or all that fit after a chat."""
    most = _whole_number(given, "max_tokens", max(1, context + 1 - longest) if chat else MOST_TOKENS)
    most = int(_whole_number(given, "max_completion_tokens", most) if chat else most)
    if most < 0:
        raise UsageError(f"max_tokens={most} is below 0.")
    if longest + max(most, 1) - 1 > context:
        raise Refused(
            f"A prompt of {longest} tokens and {most} new ones do not fit the model's context of {context}; "
            "shorten the prompt or lower max_tokens.",
            400,
            "context_length_exceeded",
        )
    return most


def _stops(stop: Any) -> list[str]:
    stops = [stop] if isinstance(stop, str) else stop
    if not isinstance(stops, list) or not all(isinstance(each, str) for each in stops):
        raise UsageError(f"stop={stop!r} is neither a text nor a list of texts.")
    return stops


def _alternatives(given: dict[str, Any], chat: bool) -> int | None:
    """Alternatives to each token: a chat says whether and how many, a completion how many."""
    name = "top_logprobs" if chat else "logprobs"
    wanted = _whole_number(given, name, 0 if chat else None)
    if chat and not _flag(given, "logprobs"):
        if wanted:
            raise UsageError(f"top_logprobs={wanted} needs logprobs=true; add it.")
        return None
    if wanted is not None and not 0 <= wanted <= MOST_ALTERNATIVES:
        raise UsageError(f"{name}={wanted} is not served; ask for 0 to {MOST_ALTERNATIVES}.")
    return None if wanted is None else int(wanted)


def _counts(given: dict[str, Any]) -> bool:
    options = given.get("stream_options")
    if options is None:
        return False
    if not given.get("stream") or not isinstance(options, dict) or options.keys() - {"include_usage"}:
        raise UsageError(f"stream_options={options!r} is not served; give include_usage alone, with stream=true.")
    return _flag(options, "include_usage")


def _number(given: dict[str, Any], name: str, default: float | None) -> Any:
    value = given.get(name, default)
    if value is not default and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise UsageError(f"{name}={value!r} is not a number.")
    return value


def _whole_number(given: dict[str, Any], name: str, default: int | None) -> Any:
    value = _number(given, name, default)
    if isinstance(value, float):
        raise UsageError(f"{name}={value!r} is not a whole number.")
    return value


def _flag(given: dict[str, Any], name: str) -> bool:
    value = given.get(name, False)
    if not isinstance(value, bool):
        raise UsageError(f"{name}={value!r} is neither true nor false.")
    return value


def reply(model: LanguageModel, name: str, asked: Asked, pieces: Sequence[Piece]) -> dict[str, Any]:
    """The answer in one document."""
    choices = []
    for _, group in itertools.groupby(pieces, key=lambda piece: piece.choice):
        own = list(group)
        choice = _ending(model, asked, own[-1])
        text = "".join(piece.text for piece in own)
        choice |= {"message": {"role": "assistant", "content": text}} if asked.chat else {"text": text}
        if asked.alternatives is not None:
            tables = [_table(model, asked, piece) for piece in own]
            choice["logprobs"] = {key: [row for table in tables for row in table[key]] for key in tables[0]}
        choices.append(choice)
    kind = "chat.completion" if asked.chat else "text_completion"
    return {**_identity(kind, name), "choices": choices, "usage": _usage(asked, pieces)}


class Events:
    """A streamed answer, as server-sent events."""

    def __init__(self, model: LanguageModel, name: str, asked: Asked) -> None:
        self.model, self.asked = model, asked
        self.identity = _identity("chat.completion.chunk" if asked.chat else "text_completion", name)
        self.pieces: list[Piece] = []

    def piece(self, piece: Piece) -> str:
        """The event of one more piece."""
        choice = _ending(self.model, self.asked, piece)
        if self.asked.chat:
            first = all(earlier.choice != piece.choice for earlier in self.pieces)
            choice["delta"] = {"role": "assistant", "content": piece.text} if first else {"content": piece.text}
        else:
            choice["text"] = piece.text
        if self.asked.alternatives is not None:
            choice["logprobs"] = _table(self.model, self.asked, piece)
        self.pieces.append(piece)
        return _event({**self.identity, "choices": [choice]} | ({"usage": None} if self.asked.counts else {}))

    def end(self) -> str:
        """The last event, after that of the numbers of tokens where they are wanted."""
        usage = {**self.identity, "choices": [], "usage": _usage(self.asked, self.pieces)}
        return (_event(usage) if self.asked.counts else "") + "data: [DONE]\n\n"

    def failure(self, message: str) -> str:
        """The event after which nothing comes, since the model failed."""
        return _event(refusal(message, "server_error"))


def refusal(message: str, kind: str = "invalid_request_error", code: str | None = None) -> dict[str, Any]:
    """An error as the protocol writes it."""
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def decode(model: LanguageModel, ids: Sequence[int]) -> str:
    """Text of tokens; the token that begins a text (BOS) has none, so that an echo is what was sent."""
    codec = model.tokenizer
    assert codec is not None
    begun = codec.bos is not None and list(ids[:1]) == [codec.bos]
    return codec.decode(list(ids[1:] if begun else ids))


def _event(document: dict[str, Any]) -> str:
    return f"data: {json.dumps(document)}\n\n"


def _identity(kind: str, name: str) -> dict[str, Any]:
    return {"id": f"windtunnel-{time.time_ns()}", "object": kind, "created": int(time.time()), "model": name}


def _usage(asked: Asked, pieces: Sequence[Piece]) -> dict[str, int]:
    written = sum(len(piece.sample.token_ids) for piece in pieces if piece.sample is not None)
    return {"prompt_tokens": asked.read, "completion_tokens": written, "total_tokens": asked.read + written}


def _ending(model: LanguageModel, asked: Asked, piece: Piece) -> dict[str, Any]:
    """What a choice says besides its text: why it ended, and by which stop string (`stop_reason`, as vLLM has it)."""
    choice: dict[str, Any] = {"index": piece.choice, "finish_reason": None, "logprobs": None}
    sample = piece.sample
    if sample is not None:
        choice |= {"finish_reason": "length" if sample.stop_reason == "length" else "stop", "stop_reason": None}
        if sample.stop_reason == "stop":
            rest = decode(model, sample.token_ids)[len(sample.text) :]
            choice["stop_reason"] = next((stop for stop in asked.sampling["stop"] if rest.startswith(stop)), None)
    return choice


def _table(model: LanguageModel, asked: Asked, piece: Piece) -> dict[str, list[Any]]:
    """Tokens with log-probabilities and alternatives, in the form of chats or in that of completions."""
    chosen = [None if value is None or not math.isfinite(value) else value for value in piece.logprobs]
    top = []
    for token_id, logprob, others in zip(piece.token_ids, chosen, piece.alternatives, strict=True):
        # Computed twice, the chosen token's value may differ in its last digits: it is shown the same in both places.
        pairs = [(decode(model, [other]), logprob if other == token_id else value) for other, value in others]
        top.append([(text, value) for text, value in pairs if value is not None and math.isfinite(value)])
    if asked.chat:
        texts = [decode(model, [token_id]) for token_id in piece.token_ids]
        return {
            "content": [
                {**_shown(text, logprob), "top_logprobs": [_shown(*other) for other in best]}
                for text, logprob, best in zip(texts, chosen, top, strict=True)
            ]
        }
    ids = [*piece.before, *piece.token_ids]
    begun = [decode(model, ids[:end]) for end in range(len(piece.before), len(ids) + 1)]
    tokens = [after[len(before) :] for before, after in itertools.pairwise(begun)]  # within a character: what it adds
    columns = []
    for token, logprob, best in zip(tokens, chosen, top, strict=True):
        likeliest = dict(reversed(best))  # of two with one text, the likelier
        columns.append(None if logprob is None else likeliest | {token: max(logprob, likeliest.get(token, logprob))})
    return {
        "tokens": tokens,
        "token_logprobs": chosen,
        "top_logprobs": columns,
        "text_offset": [len(text) for text in begun[:-1]],
    }


def _shown(token: str, logprob: float | None) -> dict[str, Any]:
    """A token in the form of chats; the bytes of one that is no whole character are not known."""
    whole = "\ufffd" not in token
    return {"token": token, "logprob": logprob, "bytes": list(token.encode()) if whole else None}
