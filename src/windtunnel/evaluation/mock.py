"""A model that is none: instant, deterministic, offline; to try a task, a solver or an engine on."""

import hashlib
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import numpy as np

from windtunnel.inference.endings import Sample
from windtunnel.inference.scoring import Score
from windtunnel.laboratory.errors import Unsupported, UsageError
from windtunnel.models.interface import LanguageModel, Prompt, row_seeds
from windtunnel.models.tokenization import Message

PREFIX = "mock:"

_INSIDES = frozenset({"backend", "module", "shape", "device", "sites", "record", "intervene", "stream", "probe"})


class _Bytes:
    """A token is a byte."""

    vocabulary = 257
    bos: int | None = 256
    eos: int | None = 256
    pad: int | None = 256

    def encode(self, text: str) -> list[int]:
        return list(text.encode(errors="surrogatepass"))

    def decode(self, ids: Sequence[int]) -> str:
        return bytes(token for token in ids if token < 256).decode(errors="replace")

    def render(self, messages: Sequence[Message]) -> str:
        return "".join(f"{turn['role']}: {turn['content']}\n" for turn in messages) + "assistant:"

    def encode_rendered(self, text: str) -> list[int]:
        return self.encode(text)

    def encode_chat(self, messages: Sequence[Message]) -> list[int]:
        return self.encode(self.render(messages))


class MockModel(LanguageModel):
    """Answers without computing anything; its tokens are bytes.

    Args:
        answer: What it writes: a text, or a function of the prompt's text (of a conversation: `role: content` lines,
            then `assistant:`). None: a letter from A to D, drawn from the prompt, and from the seed unless the
            temperature is 0.
        logprob: Log-probability of a continuation, from the prompt and it, in nats. None: drawn from the two, between
            -9 and -1.
        name: What reports call it.
    """

    def __init__(
        self,
        answer: str | Callable[[str], str] | None = None,
        logprob: Callable[[str, str], float] | None = None,
        name: str = "mock:",
    ) -> None:
        self.answer = answer
        self.logprob = logprob
        self.name = name
        self.tokenizer = self._bytes = _Bytes()

    @classmethod
    def named(cls, name: str) -> "MockModel":
        """The mock that `mock:` or `mock:TEXT` names; the latter always writes TEXT."""
        return cls(name.removeprefix(PREFIX) or None, name=name)

    def __getattribute__(self, attribute: str) -> Any:
        if attribute in _INSIDES:
            raise Unsupported(f"A mock model has no {attribute}; load a real one to look inside.")
        return object.__getattribute__(self, attribute)

    def __call__(self, *_: Any, **__: Any) -> NoReturn:
        """Not to be had.

        Raises:
            Unsupported: Always.
        """
        raise Unsupported("A mock model has no logits; load a real one.")

    def score(self, prompts: Sequence[Prompt], continuations: Sequence[Prompt], *, batch_size: int = 16) -> list[Score]:
        """Made-up log-probabilities; arguments as for `LanguageModel.score`."""
        del batch_size
        if isinstance(prompts, str) or isinstance(continuations, str) or len(prompts) != len(continuations):
            raise UsageError("score needs a list of prompts and a list of as many continuations.")
        return [
            self._score(self._text(prompt), self._text(after))
            for prompt, after in zip(prompts, continuations, strict=True)
        ]

    def generate(
        self,
        prompts: Sequence[Prompt],
        *,
        max_new_tokens: int = 64,
        temperature: float = 1.0,
        stop: Sequence[str] = (),
        samples_per_prompt: int = 1,
        seed: int | Sequence[int] = 0,
        **_: Any,
    ) -> list[Sample]:
        """Its answer to each prompt, cut at stop strings and after so many bytes; as for `LanguageModel.generate`."""
        rows = [self._text(prompt) for prompt in prompts for _ in range(samples_per_prompt)]
        seeds = row_seeds(int(seed), len(rows)) if isinstance(seed, int | np.integer) else list(seed)
        if len(seeds) != len(rows):
            raise UsageError(f"{len(seeds)} seeds were given for {len(rows)} rows; give one each, or one number.")
        return [
            _cut(self._write(text, 0 if temperature == 0 else each), max_new_tokens, stop)
            for text, each in zip(rows, seeds, strict=True)
        ]

    def _write(self, prompt: str, seed: int) -> str:
        if callable(self.answer):
            return self.answer(prompt)
        return "ABCD"[int(4 * _drawn(prompt, str(seed)))] if self.answer is None else self.answer

    def _score(self, prompt: str, continuation: str) -> Score:
        tokens = self._bytes.encode(continuation)
        if not tokens:
            return Score([], [], True)
        whole = self.logprob(prompt, continuation) if self.logprob else -1 - 8 * _drawn(prompt, continuation)
        return Score(tokens, [whole / len(tokens)] * len(tokens), False)

    def _text(self, prompt: Prompt) -> str:
        return prompt if isinstance(prompt, str) else self._bytes.decode([int(token) for token in prompt])


def _drawn(*texts: str) -> float:
    """A number in [0, 1) that depends on the texts only."""
    return int.from_bytes(hashlib.sha256("\0".join(texts).encode(errors="surrogatepass")).digest()[:6], "big") / 2**48


def _cut(text: str, most: int, stop: Sequence[str]) -> Sample:
    ends = [text.find(each) for each in stop if each in text]
    kept = text[: min(ends)] if ends else text
    tokens = list(kept.encode(errors="surrogatepass"))
    if len(tokens) > most:
        return Sample(bytes(tokens[:most]).decode(errors="ignore"), tokens[:most], [0.0] * most, "length")
    return Sample(kept, tokens, [0.0] * len(tokens), "stop" if ends else "end")
