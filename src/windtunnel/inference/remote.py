"""Asking an OpenAI-compatible server many things at once: in order, patiently, within a budget, and never twice.

Finished calls are kept in a file as they come in, one line each, with the request that led to them. A run that was
killed, or in which some calls failed, asks only for what is missing when it is run again; a failure is never kept.
The key comes from the environment, is sent to the server and goes nowhere else: where a server's answer or an error
quotes it, it is struck out.
"""

import asyncio
import functools
import hashlib
import json
import os
import ssl
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import httpx
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from windtunnel.laboratory.errors import DataError, UsageError, WindtunnelError
from windtunnel.laboratory.files import append_line, read_lines

KEY_VARIABLE = "OPENAI_API_KEY"
"""Environment variable that holds the key, where a server wants one."""

WORTH_ANOTHER_TRY = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
"""Statuses after which the same request may succeed a little later."""

LONGEST_WAIT = 60.0
"""Seconds that are waited at most before another try, whatever the server asks for."""

Value = TypeVar("Value")


class _Again(Exception):
    """A failure that another try may mend; `after`: seconds the server asked to wait."""

    def __init__(self, reason: str, after: float = 0.0) -> None:
        super().__init__(reason)
        self.after = after


class OutOfReach(WindtunnelError):
    """A server, or the budget, gives no more answers for now: another request would fare the same."""


@dataclass
class Budget:
    """What may be spent, and what has been.

    Attributes:
        max_requests: Most requests sent, tries counted; None: no limit.
        max_tokens: Most tokens, read and written, as the server counts them; None: no limit. Requests under way when
            it is reached still end.
        requests: Sent so far.
        tokens: Counted so far.
    """

    max_requests: int | None = None
    max_tokens: int | None = None
    requests: int = 0
    tokens: int = 0

    def spend_request(self) -> None:
        """Count a request about to be sent.

        Raises:
            OutOfReach: Nothing is left.
        """
        if self.max_requests is not None and self.requests >= self.max_requests:
            raise OutOfReach(f"The budget of {self.max_requests} requests is spent; raise it and run again.")
        if self.max_tokens is not None and self.tokens >= self.max_tokens:
            raise OutOfReach(f"The budget of {self.max_tokens} tokens is spent; raise it and run again.")
        self.requests += 1


@dataclass
class Client:
    """A server, how it is asked, and what it has answered.

    Attributes:
        url: Base URL, as in `http://127.0.0.1:8000/v1`.
        cache: File of finished calls; None keeps none. It is on disk in so far as the system's own buffers are: a
            process that is killed loses nothing of it.
        concurrency: Requests under way at once.
        timeout: Seconds a try may take in all, however slowly it drips.
        attempts: Tries of a request before it counts as failed.
        budget: What may be spent.
        first_wait: Seconds of the first wait between tries, doubled each time and drawn at random below that.

    Raises:
        UsageError: The URL is none, a number is out of range, or the cache is a directory.
        DataError: The cache holds something else than finished calls.
    """

    url: str
    cache: Path | None = None
    concurrency: int = 32
    timeout: float = 120.0
    attempts: int = 6
    budget: Budget = field(default_factory=Budget)
    first_wait: float = 0.5

    def __post_init__(self) -> None:
        if not self.url.startswith(("http://", "https://")):
            raise UsageError(f"{self.url!r} is no URL of a server; write it like http://127.0.0.1:8000/v1.")
        for name in ("concurrency", "attempts"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} must be at least 1, not {getattr(self, name)}.")
        self.url = self.url.rstrip("/")
        self._known: dict[str, Any] = {}
        if self.cache is not None and self.cache.is_dir():
            raise UsageError(f"{self.cache} is a directory; name the file in it that keeps finished calls.")
        if self.cache is not None:
            try:
                self._known = {row["key"]: row["reply"] for row in read_lines(self.cache)}
            except (LookupError, TypeError) as error:
                raise DataError(f"{self.cache} is no file of finished calls; name another one.") from error

    def ask(self, path: str, requests: Sequence[dict[str, Any]], check: Callable[[Any], Value]) -> list[Value]:
        """Send requests and return what `check` makes of each reply, in their order.

        All that can be finished is finished and kept before a failure is raised.

        Args:
            path: As in `/chat/completions`.
            requests: Bodies. Equal bodies of one call are sent once each, so that samples may differ.
            check: Reads a reply; a reply it cannot read (`LookupError`, `TypeError`, `ValueError`) is asked for again.

        Raises:
            WindtunnelError: A request failed for good.
            OutOfReach: All that failed did so since the server cannot be reached or the budget is spent.
        """
        outcomes = _run(self._ask_all(path, requests, check))
        failures = [outcome for outcome in outcomes if isinstance(outcome, WindtunnelError)]
        if failures:
            kept = " Finished ones are kept: run again to ask for the rest."
            if self.cache is None:
                kept = " Finished ones are lost when this process ends: name a cache to keep them."
            kind = OutOfReach if all(isinstance(failure, OutOfReach) for failure in failures) else WindtunnelError
            raise kind(f"{len(failures)} of {len(requests)} requests failed, the first so: {failures[0]}{kept}")
        return [outcome for outcome in outcomes if not isinstance(outcome, WindtunnelError)]

    async def _ask_all(
        self, path: str, requests: Sequence[dict[str, Any]], check: Callable[[Any], Value]
    ) -> list[Value | WindtunnelError]:
        outcomes: list[Any] = [None] * len(requests)
        missing: list[tuple[int, str]] = []
        for place, name in enumerate(_names(self.url, path, requests)):
            try:
                outcomes[place] = check(self._known[name])
            except (LookupError, TypeError, ValueError):  # not kept, or kept by someone who reads replies otherwise
                missing.append((place, name))
        if not missing:
            return outcomes
        key = _key()
        waiting = iter(missing)

        async def lane() -> None:
            # One connection each: a pool of httpx looks at all of its connections at every request, so that one pool
            # of 200 takes ten times as long over a request as 200 pools of one.
            async with httpx.AsyncClient(
                headers={"Authorization": f"Bearer {key}"} if key else {},
                limits=httpx.Limits(max_connections=1),
                timeout=self.timeout,
                verify=_certificates(),
            ) as http:
                for place, name in waiting:
                    try:
                        outcomes[place] = await self._ask_one(http, path, requests[place], name, check)
                    except WindtunnelError as error:
                        outcomes[place] = error

        await asyncio.gather(*(lane() for _ in range(min(self.concurrency, len(missing)))))
        return outcomes

    async def _ask_one(
        self, http: httpx.AsyncClient, path: str, request: dict[str, Any], name: str, check: Callable[[Any], Value]
    ) -> Value:
        tries = AsyncRetrying(
            retry=retry_if_exception_type(_Again),
            stop=stop_after_attempt(self.attempts),
            wait=self._wait,
            reraise=True,
        )
        try:
            async for attempt in tries:
                with attempt:
                    began = time.monotonic()
                    reply = await self._post(http, path, request)
                    try:
                        value = check(reply)
                    except (LookupError, TypeError, ValueError) as error:
                        raise _Again(f"the reply is not of the known form ({error!r})") from error
                    self._keep(name, path, request, reply, time.monotonic() - began)
        except _Again as error:
            raise OutOfReach(
                f"{self.url}{path} failed {self.attempts} times, at last since {error}; check the server."
            ) from error
        return value

    async def _post(self, http: httpx.AsyncClient, path: str, request: dict[str, Any]) -> Any:
        self.budget.spend_request()
        try:
            async with asyncio.timeout(self.timeout):
                response = await http.post(self.url + path, json=request)
        except TimeoutError as error:
            raise _Again(f"no whole answer came in {self.timeout:g} seconds") from error
        except httpx.TransportError as error:
            raise _Again(f"the connection failed ({type(error).__name__}: {error})") from error
        if response.status_code in WORTH_ANOTHER_TRY:
            raise _Again(f"it answered {response.status_code} ({_said(response)})", _retry_after(response))
        if response.is_error:
            raise WindtunnelError(
                f"{self.url}{path} refused a request with {response.status_code} ({_said(response)}); "
                f"check the model's name, the request and {KEY_VARIABLE}."
            )
        try:
            reply = response.json()
        except ValueError as error:
            raise _Again("the reply is not whole JSON") from error
        usage = reply.get("usage") if isinstance(reply, dict) else None
        if isinstance(usage, dict) and isinstance(usage.get("total_tokens"), int):
            self.budget.tokens += usage["total_tokens"]
        return reply

    def _wait(self, state: RetryCallState) -> float:
        drawn = wait_random_exponential(multiplier=self.first_wait, max=LONGEST_WAIT)(state)
        error = state.outcome.exception() if state.outcome is not None else None
        return min(max(drawn, error.after if isinstance(error, _Again) else 0.0), LONGEST_WAIT)

    def _keep(self, name: str, path: str, request: dict[str, Any], reply: Any, seconds: float) -> None:
        self._known[name] = reply
        if self.cache is not None:
            row = {"key": name, "url": self.url, "path": path, "request": request, "reply": reply}
            row |= {"time": time.strftime("%Y-%m-%dT%H:%M:%S%z"), "seconds": round(seconds, 4)}
            append_line(self.cache, _without_key(json.dumps(row, ensure_ascii=False)))


def _names(url: str, path: str, requests: Sequence[dict[str, Any]]) -> Iterator[str]:
    """A fingerprint of each request, of its server and of how often it came before."""
    start = json.dumps([url, path])[:-1]
    seen: dict[str, int] = {}
    for request in requests:
        body = json.dumps(request, sort_keys=True)
        seen[body] = seen.get(body, -1) + 1
        yield hashlib.sha256(f"{start}, {body}, {seen[body]}]".encode()).hexdigest()


def _key() -> str:
    key = os.environ.get(KEY_VARIABLE, "").strip()
    if not all("!" <= letter <= "~" for letter in key):
        raise UsageError(f"{KEY_VARIABLE} holds a character that no key has, as a space or a line break; set it again.")
    return key


def _without_key(text: str) -> str:
    """A text from elsewhere with the key struck out."""
    key = os.environ.get(KEY_VARIABLE, "").strip()
    return text.replace(key, f"[{KEY_VARIABLE}]") if key else text


@functools.cache
def _certificates() -> ssl.SSLContext:
    """The certificates that are trusted, read once: that takes as long as several requests."""
    return httpx.create_ssl_context()


def _said(response: httpx.Response) -> str:
    """What an error's body says, in one short line."""
    try:
        body = response.json()
        error = body.get("error", body) if isinstance(body, dict) else body
        text = str(error.get("message", error) if isinstance(error, dict) else error)
    except ValueError:
        text = response.text
    return _without_key(" ".join(text.split()))[:200] or "no reason given"


def _retry_after(response: httpx.Response) -> float:
    try:
        return max(0.0, float(response.headers.get("retry-after", "0")))
    except ValueError:  # a date: back off as without it
        return 0.0


def _run(work: Coroutine[Any, Any, Value]) -> Value:
    """Run a coroutine to its end, also where an event loop (of a notebook) runs already."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    found: list[Value] = []
    errors: list[BaseException] = []

    def elsewhere() -> None:
        try:
            found.append(asyncio.run(work))
        except BaseException as error:  # raised again below, in the caller's thread
            errors.append(error)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return found[0]
