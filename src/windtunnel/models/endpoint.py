"""A model behind an OpenAI-compatible server: a black box that samples, chats, and scores where the server can."""

import hashlib
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import numpy as np

from windtunnel.inference.endings import Sample, StopReason
from windtunnel.inference.remote import Client
from windtunnel.inference.sampling import Sampling
from windtunnel.inference.scoring import Score
from windtunnel.laboratory.errors import Unsupported, UsageError
from windtunnel.models.interface import LanguageModel, Prompt, row_seeds
from windtunnel.models.tokenization import Message

PREFIX = "openai:"


@dataclass(frozen=True)
class Provenance:
    """Where an answer came from.

    Attributes:
        url: The server and the path that was asked.
        model: The name that was asked for.
        served: The name that the server says has answered, often with a version.
        parameters: All that was asked besides the model and the prompt, as `temperature` and `seed`.
        prompt_sha256: SHA-256 of the prompt's UTF-8 text; of a conversation, of its JSON with sorted keys.
    """

    url: str
    model: str
    served: str
    parameters: dict[str, Any]
    prompt_sha256: str


@dataclass(frozen=True)
class ServedSample(Sample):
    """A continuation as a server gives it: in texts of tokens, without their ids.

    Attributes:
        tokens: Text of each token, as the server shows it; empty where it gives no log-probabilities.
        top_logprobs: At each token the most probable ones with their log-probabilities, in nats; empty where they were
            not asked for or not given.
        provenance: Where it came from.
    """

    tokens: list[str]
    top_logprobs: list[dict[str, float]]
    provenance: Provenance


@dataclass(frozen=True)
class ServedScore(Score):
    """What a server's model thinks of a continuation.

    Attributes:
        tokens: Text of each token.
        top_logprobs: At each token the most probable ones with their log-probabilities, in nats.
        provenance: Where it came from.
    """

    tokens: list[str]
    top_logprobs: list[dict[str, float]]
    provenance: Provenance


# Lists of samples and scores that hold more than the base class's are, to a type checker, other lists than those.
# mypy: disable-error-code="override"


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

    def generate(
        self, prompts: Sequence[Prompt], *, top_logprobs: int | None = 0, **options: Any
    ) -> list[ServedSample]:
        """Sample continuations of each prompt, many at once.

        Samples have no token ids, and log-probabilities only where the server gives them. Whether equal seeds give
        equal samples is the server's to say.

        Args:
            prompts: Texts.
            top_logprobs: The most probable tokens wanted at each place; None asks for no log-probabilities at all,
                for a server that refuses to give them.
            **options: As for `LanguageModel.generate`; the client's concurrency takes the place of `batch_size`.

        Raises:
            UsageError: A prompt is not text, or a value is out of range.
            WindtunnelError: The server fails for good.
        """
        _insist_on_texts(prompts)
        wanted = {} if top_logprobs is None else {"logprobs": max(1, top_logprobs)}
        bodies = self._bodies([{"prompt": prompt, **wanted} for prompt in prompts], **options)
        return self._samples("/completions", bodies, top_logprobs)

    def chat(self, messages: Sequence[Message], **options: Any) -> ServedSample:
        """The assistant's next turn, by the server's own chat template; see `chats`."""
        return self.chats([messages], **options)[0]

    def chats(
        self, conversations: Sequence[Sequence[Message]], *, top_logprobs: int | None = 0, **options: Any
    ) -> list[ServedSample]:
        """The assistant's next turn of each conversation, many at once; arguments and errors as for `generate`."""
        wanted: dict[str, Any] = {} if top_logprobs is None else {"logprobs": True}
        if top_logprobs:
            wanted["top_logprobs"] = top_logprobs
        asked = [{"messages": [dict(message) for message in turns], **wanted} for turns in conversations]
        return self._samples("/chat/completions", self._bodies(asked, **options), top_logprobs)

    def score(
        self,
        prompts: Sequence[Prompt],
        continuations: Sequence[Prompt],
        *,
        top_logprobs: int = 1,
        batch_size: int = 16,
    ) -> list[ServedScore]:
        """Log-probability of each continuation after its prompt, from servers that echo a prompt's own.

        A token that spans the two texts is counted to the continuation.

        Args:
            prompts: Texts.
            continuations: As many texts.
            top_logprobs: The most probable tokens wanted at each place, at least 1, which tells what is greedy.
            batch_size: The client's concurrency takes its place.

        Raises:
            Unsupported: The server gives no log-probabilities of prompts; it is found out by the first pair.
            UsageError: The lists differ in length, or hold something else than text.
        """
        _insist_on_texts(prompts)
        _insist_on_texts(continuations)
        if len(prompts) != len(continuations):
            raise UsageError("score needs a list of prompts and a list of as many continuations.")
        if top_logprobs < 1:
            raise UsageError(f"top_logprobs must be at least 1 to score, not {top_logprobs}.")
        pairs = [(str(prompt), str(after)) for prompt, after in zip(prompts, continuations, strict=True)]
        fixed = {"model": self.model, "max_tokens": 1, "temperature": 0.0, "echo": True, "logprobs": top_logprobs}
        bodies = [{**fixed, "prompt": prompt + after} for prompt, after in pairs]
        scores: list[ServedScore] = []
        for some in (slice(0, 1), slice(1, None)):
            replies = self.client.ask("/completions", bodies[some], _echo)
            for body, pair, (text, rows, served) in zip(bodies[some], pairs[some], replies, strict=True):
                if rows is None or not text.startswith(pair[0]):
                    raise Unsupported(
                        f"{self.name} gives no log-probabilities of a prompt (it does not echo); vLLM and "
                        "`windtunnel serve-model` do, and so does a model loaded here."
                    )
                scores.append(_score(rows, *pair, self._provenance("/completions", body, served)))
        return scores

    def _samples(self, path: str, bodies: list[dict[str, Any]], top_logprobs: int | None) -> list[ServedSample]:
        if top_logprobs is not None and top_logprobs < 0:
            raise UsageError(f"top_logprobs must be 0 or more, or None, not {top_logprobs}.")
        samples = []
        for body, found in zip(bodies, self.client.ask(path, bodies, _answer), strict=True):
            text, rows, choice, served = found
            samples.append(
                ServedSample(
                    text,
                    [],
                    [row.logprob for row in rows],
                    _reason(choice, "stop" in body),
                    [row.token for row in rows],
                    [row.top for row in rows] if top_logprobs else [],
                    self._provenance(path, body, served),
                )
            )
        return samples

    def _provenance(self, path: str, body: dict[str, Any], served: Any) -> Provenance:
        asked = {key: value for key, value in body.items() if key not in ("model", "prompt", "messages")}
        prompt = body["prompt"] if "prompt" in body else json.dumps(body["messages"], sort_keys=True)
        digest = hashlib.sha256(prompt.encode()).hexdigest()
        return Provenance(self.client.url + path, self.model, str(served or self.model), asked, digest)

    def _bodies(
        self,
        asked: list[dict[str, Any]],
        *,
        max_new_tokens: int = 64,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        min_p: float | None = None,
        stop: Sequence[str] = (),
        samples_per_prompt: int = 1,
        seed: int | Sequence[int] = 0,
        batch_size: int | None = None,
    ) -> list[dict[str, Any]]:
        """Sampling requests, each with its row's seed."""
        if isinstance(stop, str):
            raise UsageError("stop needs a list of strings; put the string in a list.")
        if samples_per_prompt < 1:
            raise UsageError(f"samples_per_prompt must be at least 1, not {samples_per_prompt}.")
        Sampling(max_new_tokens, temperature, top_k, top_p, min_p, tuple(stop))  # checks the ranges
        rows = [row for row in asked for _ in range(samples_per_prompt)]
        seeds = row_seeds(int(seed), len(rows)) if isinstance(seed, int | np.integer) else [int(each) for each in seed]
        if len(seeds) != len(rows):
            raise UsageError(f"{len(seeds)} seeds were given for {len(rows)} rows; give one each, or one number.")
        fixed: dict[str, Any] = {"model": self.model, "max_tokens": max_new_tokens, "temperature": temperature}
        given = {"top_k": top_k, "top_p": top_p, "min_p": min_p, "stop": list(stop) or None}
        fixed |= {name: value for name, value in given.items() if value is not None}
        return [{**fixed, "seed": value % 2**31, **row} for value, row in zip(seeds, rows, strict=True)]


_WHITE_BOX = frozenset(
    {"backend", "module", "shape", "device", "sites", "record", "intervene", "tokenize", "stream", "beam_search"}
)


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


def _answer(reply: Any) -> tuple[str, "list[_Token]", dict[str, Any], Any]:
    """What was written, its tokens, the choice they come from, and the model that the server names."""
    choice = _choice(reply)
    text = choice["text"] if "text" in choice else choice["message"]["content"]
    if text is None and "message" in choice:
        text = ""  # a chat model that was cut off while it thought has written nothing
    if not isinstance(text, str):
        raise TypeError("the answer is not text")
    return text, _tokens(choice), choice, reply.get("model")


def _echo(reply: Any) -> tuple[str, "list[_Token] | None", Any]:
    """Text and tokens of a prompt, and maybe of what follows it; None where the server does not give them.

    Where the server counts the tokens that it added, they are marked: places in the text do not tell them from the
    rest of a character of which the prompt's last tokens are parts.
    """
    choice = _choice(reply)
    found = choice.get("logprobs")
    given = isinstance(found, dict) and found.get("text_offset") and found.get("top_logprobs")
    if not given:
        return str(choice.get("text")), None, reply.get("model")
    tokens = _tokens(choice)
    usage = reply.get("usage")
    if isinstance(usage, dict) and isinstance(usage.get("completion_tokens"), int):
        last = len(tokens) - usage["completion_tokens"]
        tokens = [row._replace(added=place >= last) for place, row in enumerate(tokens)]
    return str(choice.get("text")), tokens, reply.get("model")


class _Token(NamedTuple):
    """A token: its text, where that begins, its log-probability, the most probable ones, if the server added it."""

    token: str
    offset: int
    logprob: float
    top: dict[str, float]
    added: bool | None = None


def _tokens(choice: dict[str, Any]) -> list[_Token]:
    """Tokens with log-probabilities, NaN where there is none.

    Servers use the form of chats (a list of tokens) or that of completions (lists side by side), some the former for
    both; many give none at all.
    """
    found = choice.get("logprobs") or {}
    if not isinstance(found, dict):
        raise TypeError("the log-probabilities are not an object")
    rows: Iterable[tuple[Any, Any, Any, Any]]
    if found.get("content"):
        rows = [(row["token"], 0, row["logprob"], row.get("top_logprobs")) for row in found["content"]]
    else:
        chosen = found.get("token_logprobs") or []
        columns = [found.get(name) or [0] * len(chosen) for name in ("tokens", "text_offset", "top_logprobs")]
        rows = zip(columns[0], columns[1], chosen, columns[2], strict=True)
    return [_Token(str(token), int(start), _number(value), _alternatives(top)) for token, start, value, top in rows]


def _number(logprob: Any) -> float:
    return float("nan") if logprob is None else float(logprob)


def _alternatives(given: Any) -> dict[str, float]:
    """The most probable tokens at a place, in either form; of two with one text (parts of characters) the likelier."""
    pairs = given.items() if isinstance(given, dict) else [(row["token"], row["logprob"]) for row in given or []]
    found: dict[str, float] = {}
    for token, logprob in sorted(((str(token), float(value)) for token, value in pairs), key=lambda pair: -pair[1]):
        found.setdefault(token, logprob)
    return found


def _score(rows: list[_Token], prompt: str, continuation: str, provenance: Provenance) -> ServedScore:
    end = len(prompt) + len(continuation)
    told = [row for row in rows if (row.offset < end if row.added is None else not row.added)]
    scored = [row for row in told if row.offset + len(row.token) > len(prompt)]
    if any(math.isnan(row.logprob) for row in scored):
        raise UsageError("The first token of a text has no log-probability; give a prompt of a token or more.")
    greedy = all(row.logprob >= max(row.top.values(), default=row.logprob) - 1e-9 for row in scored)
    logprobs = [row.logprob for row in scored]
    return ServedScore([], logprobs, greedy, [row.token for row in scored], [row.top for row in scored], provenance)


def _reason(choice: dict[str, Any], has_stops: bool) -> StopReason:
    if choice.get("finish_reason") == "length":
        return "length"
    return "stop" if has_stops and choice.get("stop_reason") not in (None, "") else "end"
