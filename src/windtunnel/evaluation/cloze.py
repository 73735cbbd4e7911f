"""Cloze: the probability of a given continuation, as the last word of a passage or the text of a blank."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from windtunnel.evaluation import asking
from windtunnel.evaluation.answers import accepted_answers
from windtunnel.evaluation.prompting import FewShot, Format, Prompting
from windtunnel.evaluation.tasks import Mark, Models, Output, Sample
from windtunnel.laboratory.errors import DataError
from windtunnel.statistics.estimates import Estimate
from windtunnel.statistics.intervals import bootstrap

CONTINUE = Format("{input}")
"""A passage that ends before its last word."""

FILL_IN = Format("{input} ->")
"""A passage with a blank, `____`, as in `Bob went to visit his friend ____. -> Alice` (GPT-3, section 3.1.1)."""


@dataclass(frozen=True)
class Cloze:
    """Scores the accepted continuations of a prompt; see `cloze`."""

    prompting: Prompting

    def __call__(self, samples: Sequence[Sample], models: Models, seeds: Sequence[int]) -> list[Output]:
        """One output per sample: log-probability of each accepted continuation, and whether greedy sampling says it.

        Raises:
            DataError: A sample has no accepted continuation.
        """
        model = models["subject"]
        prompts = [self.prompting.prompt(sample) for sample in samples]
        lead = self.prompting.lead
        options = [[lead + accepted for accepted in accepted_answers(sample)] for sample in samples]
        scores = asking.score(model, prompts, options)
        return [
            Output(
                prompt=asking.shown(model, prompt),
                option_logprobs=tuple(score.logprob for score in found),
                option_tokens=tuple(len(score.token_logprobs) for score in found),
                extra={"greedy": [score.is_greedy for score in found], "continuations": list(texts)},
            )
            for prompt, found, texts in zip(prompts, scores, options, strict=True)
        ]

    def describe(self) -> dict[str, Any]:
        """What identifies it."""
        return {"solver": "cloze", "prompting": self.prompting.describe()}


def cloze(format: Format = CONTINUE, *, shots: FewShot | None = None, chat: bool = False, turns: bool = True) -> Cloze:
    """A solver that scores the accepted answers as continuations.

    Args:
        format: The words; `CONTINUE` for a last word, `FILL_IN` for a blank.
        shots: Examples before the question.
        chat: Use the model's chat template.
        turns: With it, examples as turns of the conversation.
    """
    return Cloze(Prompting(format, shots, chat, turns))


@dataclass(frozen=True)
class ClozeScorer:
    """Marks the log-probability of continuations; see `cloze_scorer`."""

    def __call__(self, samples: Sequence[Sample], outputs: Sequence[Output], models: Models) -> list[Mark]:
        """One mark per output."""
        return [_mark(output) for output in outputs]

    def describe(self) -> dict[str, Any]:
        """What identifies it."""
        return {"scorer": "cloze"}


def cloze_scorer() -> ClozeScorer:
    """A scorer of continuations.

    Values of a mark: `accuracy`, whether greedy sampling says an accepted continuation; `logprob` of the most probable
    accepted one, in nats, with its `tokens`, `bytes` and `words`, from which `perplexity` makes that of a whole task.
    """
    return ClozeScorer()


def _mark(output: Output) -> Mark:
    best = int(np.argmax(output.option_logprobs))
    text = output.extra["continuations"][best]
    counts = {"tokens": output.option_tokens[best], "bytes": len(text.encode()), "words": len(text.split())}
    values = {"accuracy": float(any(output.extra["greedy"])), "logprob": output.option_logprobs[best]}
    return Mark({**values, **{name: float(count) for name, count in counts.items()}}, answer=text.strip())


def perplexity(
    logprobs: ArrayLike,
    counts: ArrayLike,
    *,
    generator: np.random.Generator,
    clusters: Sequence[Any] | None = None,
    level: float = 0.95,
) -> Estimate:
    """Perplexity of a whole task: exp of minus all log-probability over all units, with its bootstrap interval.

    Args:
        logprobs: Log-probability of each sample, in nats.
        counts: Units of each sample: its tokens, bytes or words. Tokens differ between models, the others do not.
        generator: Of the bootstrap.
        clusters: What samples share; whole clusters are resampled.
        level: Of the interval.

    Raises:
        DataError: There are no samples, lengths differ, or a sample has no units.
    """
    nats, units = np.asarray(logprobs, dtype=float), np.asarray(counts, dtype=float)
    if nats.shape != units.shape or nats.size == 0 or not (units > 0).all():
        raise DataError("Perplexity needs log-probabilities and as many counts of units above 0.")

    def of(places: ArrayLike, axis: int) -> Any:
        drawn = np.asarray(places, dtype=int)
        return np.exp(-nats[drawn].sum(axis) / units[drawn].sum(axis))

    return bootstrap(np.arange(len(nats)), generator=generator, statistic=of, clusters=clusters, level=level)


def last_word(passage: str) -> tuple[str, str]:
    """A passage without its last word, and that word as it stands.

    Raises:
        DataError: The passage has fewer than two words.
    """
    before, _, word = passage.strip().rpartition(" ")
    if not before or not word:
        raise DataError(f"The passage {passage[:40]!r} has no last word after others.")
    return before, word
