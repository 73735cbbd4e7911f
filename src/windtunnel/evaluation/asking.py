"""Handing prompts to a model: as text to any model, as a conversation by its own chat template."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from windtunnel.evaluation.prompting import Prompt
from windtunnel.inference.endings import Sample as Continuation
from windtunnel.inference.scoring import Score, encode_pair
from windtunnel.laboratory.errors import Unsupported

if TYPE_CHECKING:
    from windtunnel.models.interface import LanguageModel


def score(
    model: "LanguageModel", prompts: Sequence[Prompt], continuations: Sequence[Sequence[str]]
) -> list[list[Score]]:
    """Log-probabilities of the continuations of each prompt, all asked at once so that prefixes are shared.

    Raises:
        Unsupported: Conversations are to be scored on a model that keeps its chat template to itself.
        UsageError: A prompt and its continuation do not fit the model's context.
    """
    befores: list[Any] = []
    afters: list[Any] = []
    for prompt, options in zip(prompts, continuations, strict=True):
        for option in options:
            before, after = _pair(model, prompt, option) if prompt.turns else (prompt.text, option)
            befores.append(before)
            afters.append(after)
    scores = iter(model.score(befores, afters))
    return [[next(scores) for _ in options] for options in continuations]


def generate(
    model: "LanguageModel", prompts: Sequence[Prompt], seeds: Sequence[int], **sampling: Any
) -> list[Continuation]:
    """One continuation of each prompt; `sampling` as for `LanguageModel.generate`.

    Raises:
        Unsupported: An assistant's turn is to be opened on a model that keeps its chat template to itself.
    """
    options = {**sampling, "seed": list(seeds)}
    if not any(prompt.turns for prompt in prompts):
        return list(model.generate([prompt.text for prompt in prompts], **options))
    if not any(prompt.opening for prompt in prompts):
        return list(model.chats([prompt.turns for prompt in prompts], **options))
    codec = _codec(model)
    ids = [codec.encode_rendered(codec.render(prompt.turns) + prompt.opening) for prompt in prompts]
    return list(model.generate(ids, **options))


def search(model: "LanguageModel", prompts: Sequence[Prompt], **settings: Any) -> list[Continuation]:
    """The best continuation of each prompt by beam search; `settings` as for `LanguageModel.beam_search`.

    Raises:
        Unsupported: The model is asked from outside, or conversations on one that keeps its chat template to itself.
    """
    if not hasattr(model, "beam_search"):
        raise Unsupported(f"{model.name} has no beam search; load a model here from its files, or sample.")
    rows = [
        _codec(model).encode_rendered(_codec(model).render(prompt.turns) + prompt.opening)
        if prompt.turns
        else prompt.text
        for prompt in prompts
    ]
    return list(model.beam_search(rows, **settings))


def shown(model: "LanguageModel", prompt: Prompt) -> str:
    """The prompt as the model reads it: where its chat template is at hand, written out."""
    render = getattr(getattr(model, "tokenizer", None), "render", None)
    if not prompt.turns or render is None:
        return str(prompt)
    return str(render(prompt.turns)) + prompt.opening


class _Written:
    """A tokenizer for texts in which the chat template has written the special tokens."""

    def __init__(self, codec: Any) -> None:
        self.encode, self.decode = codec.encode_rendered, codec.decode
        self.vocabulary, self.bos, self.eos, self.pad = codec.vocabulary, codec.bos, codec.eos, codec.pad


def _pair(model: "LanguageModel", prompt: Prompt, option: str) -> tuple[list[int], list[int]]:
    codec = _codec(model)
    return encode_pair(_Written(codec), codec.render(prompt.turns) + prompt.opening, option)


def _codec(model: "LanguageModel") -> Any:
    codec = getattr(model, "tokenizer", None)
    if not hasattr(codec, "encode_rendered"):
        raise Unsupported(
            f"{model.name} gives no chat template, which scoring or opening an assistant's turn needs; ask without "
            "chat, or load the model here from its files."
        )
    return codec
