"""A model behind an OpenAI-compatible server: a black box that samples, chats, and scores where the server can."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from windtunnel.inference.generation import Sample, StopReason
from windtunnel.inference.remote import Client
from windtunnel.inference.sampling import Sampling
from windtunnel.inference.scoring import Score
from windtunnel.laboratory.errors import Unsupported, UsageError
from windtunnel.models.interface import LanguageModel, Prompt, row_seeds
from windtunnel.models.tokenization import Message

PREFIX = "openai:"


class Endpoint(LanguageModel):
    """A model named by a server.

    What needs the inside of a model (`module`, `record`, `intervene`, token ids) is `Unsupported` here.

    Attributes:
        name: As it was loaded, `openai:MODEL@URL`.
        client: The server, with its cache and budget.
        model: The server's name for the model.
    """

    def __init__(self, model: str, client: Client) -> None:
        self.model = model
        self.client = client
        self.name = f"{PREFIX}{model}@{client.url}"
        self.tokenizer = None

    def __getattribute__(self, attribute: str) -> Any:
        if attribute in _WHITE_BOX:
            _unsupported(object.__getattribute__(self, "name"), attribute)
        return object.__getattribute__(self, attribute)

    def __call__(self, *_: Any, **__: Any) -> NoReturn:
        """Not to be had from a server.

        Raises:
            Unsupported: Always.
        """
        _unsupported(self.name, "logits")

    def generate(self, prompts: Sequence[Prompt], **options: Any) -> list[Sample]:
        """Sample one continuation of each prompt, many at once; options as for `LanguageModel.generate`.

        The client's concurrency takes the place of `batch_size`. Samples have no token ids, and log-probabilities only
        where the server gives them. Whether equal seeds give equal samples is the server's to say.

        Raises:
            UsageError: A prompt is not text, or a value is out of range.
            WindtunnelError: The server fails for good.
        """
        _insist_on_texts(prompts)
        requests = self._requests(len(prompts), **options)
        bodies = [{**body, "prompt": prompt, "logprobs": 1} for body, prompt in zip(requests, prompts, strict=True)]
        return self.client.ask("/completions", bodies, lambda reply: _completion(reply, "stop" in options))

    def chat(self, messages: Sequence[Message], **options: Any) -> Sample:
        """The assistant's next turn, by the server's own chat template."""
        return self.chats([messages], **options)[0]

    def chats(self, conversations: Sequence[Sequence[Message]], **options: Any) -> list[Sample]:
        """The assistant's next turn of each conversation, many at once; options as for `LanguageModel.generate`.

        Raises:
            UsageError: A value is out of range.
            WindtunnelError: The server fails for good.
        """
        requests = self._requests(len(conversations), **options)
        bodies = [
            {**body, "messages": [dict(message) for message in messages], "logprobs": True}
            for body, messages in zip(requests, conversations, strict=True)
        ]
        return self.client.ask("/chat/completions", bodies, lambda reply: _turn(reply, "stop" in options))

    def score(self, prompts: Sequence[Prompt], continuations: Sequence[Prompt], *, batch_size: int = 16) -> list[Score]:
        """Log-probability of each continuation after its prompt, from servers that echo a prompt's own.

        A token that spans the two texts is counted to the continuation.

        Raises:
            Unsupported: The server gives no log-probabilities of prompts.
            UsageError: The lists differ in length, or hold something else than text.
        """
        _insist_on_texts(prompts)
        _insist_on_texts(continuations)
        if len(prompts) != len(continuations):
            raise UsageError("score needs a list of prompts and a list of as many continuations.")
        pairs = [(str(prompt), str(after)) for prompt, after in zip(prompts, continuations, strict=True)]
        fixed = {"model": self.model, "max_tokens": 1, "temperature": 0.0, "echo": True, "logprobs": 1}
        bodies = [{**fixed, "prompt": prompt + after} for prompt, after in pairs]
        replies = self.client.ask("/completions", bodies, _choice)
        return [self._score(reply, *pair) for reply, pair in zip(replies, pairs, strict=True)]

    def _score(self, choice: dict[str, Any], prompt: str, continuation: str) -> Score:
        found = choice.get("logprobs")
        if not isinstance(found, dict) or not str(choice.get("text", "")).startswith(prompt):
            raise Unsupported(
                f"{self.name} gives no log-probabilities of a prompt (it does not echo); vLLM and "
                "`windtunnel serve-model` do, and so does a model loaded here."
            )
        chosen, greedy = [], True
        end = len(prompt) + len(continuation)
        for token, offset, logprob, best in zip(
            found["tokens"], found["text_offset"], found["token_logprobs"], found["top_logprobs"], strict=True
        ):
            if offset + len(token) > len(prompt) and offset < end:
                if logprob is None:
                    raise UsageError(
                        "The first token of a text has no log-probability; give a prompt of a token or more."
                    )
                chosen.append(float(logprob))
                greedy = greedy and logprob >= max(best.values()) - 1e-9
        return Score([], chosen, greedy)

    def _requests(
        self,
        rows: int,
        *,
        max_new_tokens: int = 64,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        stop: Sequence[str] = (),
        seed: int | Sequence[int] = 0,
        batch_size: int | None = None,
    ) -> list[dict[str, Any]]:
        """What the bodies of sampling requests have in common, with each row's seed."""
        Sampling(max_new_tokens, temperature, top_k, top_p, stop=tuple(stop))  # checks the ranges
        seeds = row_seeds(int(seed), rows) if isinstance(seed, int | np.integer) else [int(value) for value in seed]
        if len(seeds) != rows:
            raise UsageError(f"{len(seeds)} seeds were given for {rows} prompts; give one each, or one number.")
        fixed: dict[str, Any] = {"model": self.model, "max_tokens": max_new_tokens, "temperature": temperature}
        given = {"top_k": top_k, "top_p": top_p, "stop": list(stop) or None}
        fixed |= {name: value for name, value in given.items() if value is not None}
        return [{**fixed, "seed": value % 2**31} for value in seeds]


_WHITE_BOX = frozenset({"backend", "module", "shape", "device", "sites", "record", "intervene", "tokenize"})


def connect(name: str, **options: Any) -> Endpoint:
    """The model that `openai:MODEL@URL` names.

    Args:
        name: As in `openai:qwen@http://127.0.0.1:8000/v1`.
        **options: Fields of `inference.remote.Client`, as `cache` or `budget`.

    Raises:
        UsageError: The name is not of that form.
    """
    model, separator, url = name.removeprefix(PREFIX).rpartition("@")
    if not separator or not model or not url:
        raise UsageError(f"{name!r} is not of the form openai:MODEL@URL, as in openai:qwen@http://127.0.0.1:8000/v1.")
    if "cache" in options and options["cache"] is not None:
        options["cache"] = Path(options["cache"])
    return Endpoint(model, Client(url, **options))


def _unsupported(name: str, what: str) -> NoReturn:
    raise Unsupported(
        f"{name} is behind a server, which does not give {what}; load the model here from its files to look inside."
    )


def _insist_on_texts(prompts: Sequence[Prompt]) -> None:
    if isinstance(prompts, str) or not all(isinstance(prompt, str) for prompt in prompts):
        raise UsageError("A server is asked with a list of texts; token ids are of models loaded here.")


def _choice(reply: Any) -> dict[str, Any]:
    choice = reply["choices"][0]
    if not isinstance(choice, dict):
        raise TypeError("a choice is not an object")
    return choice


def _completion(reply: Any, has_stops: bool) -> Sample:
    choice = _choice(reply)
    return Sample(_text(choice["text"]), [], _logprobs(choice), _reason(choice, has_stops))


def _turn(reply: Any, has_stops: bool) -> Sample:
    choice = _choice(reply)
    return Sample(_text(choice["message"]["content"]), [], _logprobs(choice), _reason(choice, has_stops))


def _logprobs(choice: dict[str, Any]) -> list[float]:
    """Log-probabilities of what was written, in the form of completions or in that of chats; none if none are given."""
    found = choice.get("logprobs") or {}
    if found.get("content"):
        return [float(token["logprob"]) for token in found["content"]]
    return [float(value) for value in found.get("token_logprobs") or []]


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("the answer is not text")
    return value


def _reason(choice: dict[str, Any], has_stops: bool) -> StopReason:
    if choice.get("finish_reason") == "length":
        return "length"
    return "stop" if has_stops and choice.get("stop_reason") not in (None, "") else "end"
