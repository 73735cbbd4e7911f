"""Multiple choice: the log-probability of every option, as full text or as a letter, and what is made of it."""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from windtunnel.evaluation import asking
from windtunnel.evaluation.prompting import LETTERED, LETTERS, QUESTION, FewShot, Format, Prompt, Prompting
from windtunnel.evaluation.tasks import Mark, Models, Output, Sample
from windtunnel.inference.scoring import Score
from windtunnel.laboratory.errors import DataError, UsageError

Orders = Literal["given", "cyclic", "all"]
"""Orders in which options are shown: as given; each option once in every place; all."""

MOST_FOR_ALL = 5
"""Options of which all orders (120) can still be asked."""


def orders_of(count: int, orders: Orders) -> list[list[int]]:
    """Orders in which so many options are shown: the option in each place."""
    first = list(range(count))
    if orders == "all":
        return [list(order) for order in itertools.permutations(first)]
    return [first[start:] + first[:start] for start in range(count)] if orders == "cyclic" else [first]


@dataclass(frozen=True)
class MultipleChoice:
    """Scores every option of a question; see `multiple_choice`."""

    prompting: Prompting
    unconditional: str | None = None
    orders: Orders = "given"

    def __call__(self, samples: Sequence[Sample], models: Models, seeds: Sequence[int]) -> list[Output]:
        """One output per sample, with `option_logprobs` in the order of its choices.

        Raises:
            DataError: A sample has no choices.
            Unsupported: The model gives no log-probabilities.
        """
        model = models["subject"]
        variants = [(sample, order) for sample in samples for order in self._orders(sample)]
        prompts = [self.prompting.prompt(_reordered(sample, order)) for sample, order in variants]
        options = [self._continuations(sample, order) for sample, order in variants]
        scores = iter(zip(prompts, asking.score(model, prompts, options), strict=True))
        unconditional = self._unconditional(samples, models)
        return [
            self._output(sample, [next(scores) for _ in self._orders(sample)], unconditional, models)
            for sample in samples
        ]

    def _output(
        self,
        sample: Sample,
        answered: Sequence[tuple[Prompt, Sequence[Score]]],
        unconditional: Mapping[str, float],
        models: Models,
    ) -> Output:
        """From prompt and scores in every order, the output in the sample's own."""
        orders = self._orders(sample)
        rows = [
            _restored([score.logprob for score in scores], order)
            for order, (_, scores) in zip(orders, answered, strict=True)
        ]
        tokens = [len(score.token_logprobs) for score in answered[0][1]]
        extra: dict[str, Any] = {"letters": True} if self.prompting.letters else {}
        if len(orders) > 1:
            extra |= {"orders": orders, "logprobs_by_order": rows}
        return Output(
            prompt=asking.shown(models["subject"], answered[0][0]),
            option_logprobs=_mixture(rows),
            option_tokens=tuple(_restored(tokens, orders[0])),
            unconditional_logprobs=tuple(unconditional[choice] for choice in sample.choices) if unconditional else (),
            extra=extra,
        )

    def describe(self) -> dict[str, Any]:
        """What identifies it."""
        return {
            "solver": "multiple choice",
            "prompting": self.prompting.describe(),
            "unconditional": self.unconditional,
            "orders": self.orders,
        }

    def _orders(self, sample: Sample) -> list[list[int]]:
        count = len(sample.choices)
        if not count:
            raise DataError(f"Sample {sample.id!r} has no choices, so it is no multiple-choice question.")
        if self.orders == "all" and count > MOST_FOR_ALL:
            raise UsageError(f"Sample {sample.id!r} has {count} choices, too many for all orders; use cyclic.")
        return orders_of(count, self.orders)

    def _continuations(self, sample: Sample, order: Sequence[int]) -> list[str]:
        shown = [LETTERS[place] for place in range(len(order))] if self.prompting.letters else sample.choices
        return [self.prompting.lead + option for option in shown]

    def _unconditional(self, samples: Sequence[Sample], models: Models) -> dict[str, float]:
        """Log-probability of every option after the unconditional prompt; equal options are scored once."""
        if self.unconditional is None:
            return {}
        every = list(dict.fromkeys(choice for sample in samples for choice in sample.choices))
        options = [self.prompting.lead + choice for choice in every]
        found = asking.score(models["subject"], [Prompt(self.unconditional)], [options])[0]
        return {choice: score.logprob for choice, score in zip(every, found, strict=True)}


def multiple_choice(
    format: Format | None = None,
    *,
    letters: bool = False,
    shots: FewShot | None = None,
    chat: bool = False,
    turns: bool = True,
    unconditional: str | None = None,
    orders: Orders = "given",
) -> MultipleChoice:
    """A solver that scores the options of a question.

    Args:
        format: The words; by default `QUESTION`, or `LETTERED` where letters are asked for. For a letter in
            parentheses take `PARENTHESISED`, which puts the parenthesis into the prompt and compares bare letters.
        letters: Compare the options' letters, not their text.
        shots: Examples before the question.
        chat: Use the model's chat template.
        turns: With it, examples as turns of the conversation.
        unconditional: A prompt without the question, as `Answer:`, after which each option is scored too, to divide
            by what the option is worth by itself (GPT-3, section 2.4).
        orders: With letters: ask in several orders of the options and average the probabilities, since small models
            answer by place.

    Raises:
        UsageError: Options that exclude each other.
    """
    if orders != "given" and not letters:
        raise UsageError(f"Orders {orders!r} average over the places of letters; use them with letters.")
    if unconditional is not None and (letters or chat):
        raise UsageError("The unconditional prompt is for options as full text without the chat template.")
    chosen = format or (LETTERED if letters else QUESTION)
    return MultipleChoice(Prompting(chosen, shots, chat, turns, letters), unconditional, orders)


@dataclass(frozen=True)
class ChoiceScorer:
    """Marks outputs that hold the log-probability of every option; see `choice_scorer`."""

    def __call__(self, samples: Sequence[Sample], outputs: Sequence[Output], models: Models) -> list[Mark]:
        """One mark per output.

        Raises:
            DataError: A target is not the index of a choice.
        """
        return [_mark(sample, output) for sample, output in zip(samples, outputs, strict=True)]

    def describe(self) -> dict[str, Any]:
        """What identifies it."""
        return {"scorer": "choice"}


def choice_scorer() -> ChoiceScorer:
    """A scorer of multiple choice; of equally probable options the first counts as chosen.

    Values of a mark: `accuracy` (summed log-probability); where options are full text `accuracy_normalised` (per byte
    of the option), `accuracy_by_characters` (per character: the `acc_norm` of lm-evaluation-harness, equal to the
    former for ASCII) and `accuracy_by_tokens`; `accuracy_unconditional` where unconditional log-probabilities are
    there; `probability` of the right option among all, from the summed log-probabilities; `chance`, one over the
    number of options.
    """
    return ChoiceScorer()


def _mark(sample: Sample, output: Output) -> Mark:
    right, logprobs = sample.target, np.array(output.option_logprobs)
    if not isinstance(right, int) or len(logprobs) != len(sample.choices) or not sample.choices:
        raise DataError(f"Sample {sample.id!r} has no choices scored with an index of the right one among them.")
    values = {"accuracy": float(_first_best(logprobs) == right)}
    if not output.extra.get("letters"):
        lengths = {
            "accuracy_normalised": [len(choice.encode()) for choice in sample.choices],
            "accuracy_by_characters": [len(choice) for choice in sample.choices],
            "accuracy_by_tokens": output.option_tokens,
        }
        values |= {
            name: float(_first_best(logprobs / np.maximum(length, 1)) == right) for name, length in lengths.items()
        }
    if output.unconditional_logprobs:
        gained = logprobs - np.array(output.unconditional_logprobs)
        values["accuracy_unconditional"] = float(_first_best(gained) == right)
    values["probability"] = float(normalised(logprobs)[right])
    values["chance"] = 1 / len(logprobs)
    return Mark(values, answer=sample.choices[_first_best(logprobs)])


def normalised(logprobs: Sequence[float] | np.ndarray) -> np.ndarray:
    """Probabilities of the options among each other; equal where none has any."""
    data = np.asarray(logprobs, dtype=float)
    largest = data.max()
    weights = np.exp(data - largest) if math.isfinite(largest) else np.ones(len(data))
    return np.asarray(weights / weights.sum())


def _first_best(values: np.ndarray) -> int:
    return int(np.argmax(values))


def _reordered(sample: Sample, order: Sequence[int]) -> Sample:
    """The sample with its options in another order."""
    target = order.index(sample.target) if isinstance(sample.target, int) else sample.target
    return replace(sample, choices=tuple(sample.choices[place] for place in order), target=target)


def _restored(values: Sequence[Any], order: Sequence[int]) -> list[Any]:
    """Values in the order of the options as shown, in that of the sample."""
    return [values[order.index(option)] for option in range(len(order))]


def _mixture(rows: Sequence[Sequence[float]]) -> tuple[float, ...]:
    """Log of the mean probability over orders."""
    if len(rows) == 1:
        return tuple(rows[0])
    return tuple(float(value) for value in np.logaddexp.reduce(np.array(rows), axis=0) - math.log(len(rows)))
