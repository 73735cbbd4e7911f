"""Asking a model in the conditions of Ganguli et al. (2023): plainly, with an instruction, with reasoning, to match."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from windtunnel.evaluation import asking
from windtunnel.evaluation.bias.prompts import DIGEST, Condition, Style, Wording, rendered, turns
from windtunnel.evaluation.multiple_choice import Orders, orders_of
from windtunnel.evaluation.tasks import Models, Output, Sample
from windtunnel.laboratory.errors import DataError, UsageError

LETTERS = "abcdefgh"

STOPS = ("\n\nHuman:", "\nHuman:")
"""Where reasoning as text ends: at the next human turn."""


@dataclass(frozen=True)
class Conditioned:
    """A solver that scores the options of a sample in one condition; with reasoning, after having sampled it.

    Attributes:
        wording: The words.
        condition: Which condition.
        style: Dialogue as text, or the model's chat template.
        orders: Of options as letters: those in which they are asked and averaged over, since small models answer by
            place. Reasoning is sampled anew in each.
        thought_tokens: Most tokens of reasoning.
        temperature: Of its sampling.
    """

    wording: Wording
    condition: Condition
    style: Style = "dialogue"
    orders: Orders = "given"
    thought_tokens: int = 256
    temperature: float = 1.0

    def __post_init__(self) -> None:
        if self.condition == "Q+Match Stats" and not self.wording.match:
            raise UsageError("There are no statistics to match here; ask Winogender in that condition.")
        if self.orders != "given" and not self.wording.letters:
            raise UsageError(f"Orders {self.orders!r} are of options shown as letters; here they are not.")

    def __call__(self, samples: Sequence[Sample], models: Models, seeds: Sequence[int]) -> list[Output]:
        """One output per sample: log-probabilities in the order of its choices, and `extra["thoughts"]`.

        Raises:
            DataError: A sample has no choices, or lacks a field of the wording.
            Unsupported: The model gives no log-probabilities, or keeps its chat template to itself.
        """
        model = models["subject"]
        asked = [
            (sample, order, seed + place)
            for sample, seed in zip(samples, seeds, strict=True)
            for place, order in enumerate(orders_of(len(sample.choices), self.orders))
        ]
        fields = [self._fields(sample, order) for sample, order, _ in asked]
        thoughts: list[str | None] = [None] * len(asked)
        if self.condition == "Q+IF+CoT":
            thoughts = list(self._thoughts(models, fields, [seed for _, _, seed in asked]))
        prompts = [
            rendered(turns(self.wording, self.condition, known, thought), self.style)
            for known, thought in zip(fields, thoughts, strict=True)
        ]
        options = [self._options(sample, order) for sample, order, _ in asked]
        scores = iter(zip(prompts, asking.score(model, prompts, options), thoughts, strict=True))
        return [
            self._output(sample, [next(scores) for _ in orders_of(len(sample.choices), self.orders)], models)
            for sample in samples
        ]

    def describe(self) -> dict[str, Any]:
        """What identifies it, the words and their digest among it."""
        return {"solver": "condition", **asdict(self), "prompts": DIGEST}

    def _thoughts(self, models: Models, fields: Sequence[dict[str, Any]], seeds: Sequence[int]) -> list[str]:
        prompts = [rendered(turns(self.wording, self.condition, known), self.style) for known in fields]
        stop = STOPS if self.style == "dialogue" else ()
        sampling = {"max_new_tokens": self.thought_tokens, "temperature": self.temperature, "stop": stop}
        found = asking.generate(models["subject"], prompts, seeds, **sampling)
        return [_before(one.text, stop) for one in found]

    def _fields(self, sample: Sample, order: Sequence[int]) -> dict[str, Any]:
        if not sample.choices:
            raise DataError(f"Sample {sample.id!r} has no choices, so it cannot be asked in conditions.")
        shown = [f"({LETTERS[place]}) {sample.choices[option]}" for place, option in enumerate(order)]
        return {**sample.metadata, "input": sample.input, "options": " ".join(shown)}

    def _options(self, sample: Sample, order: Sequence[int]) -> list[str]:
        words = list(LETTERS[: len(order)]) if self.wording.letters else [sample.choices[option] for option in order]
        return [self.wording.lead + word for word in words]

    def _output(self, sample: Sample, answered: Sequence[Any], models: Models) -> Output:
        orders = orders_of(len(sample.choices), self.orders)
        rows = np.empty((len(orders), len(sample.choices)))
        for row, order, (_, scores, _) in zip(rows, orders, answered, strict=True):
            row[order] = [score.logprob for score in scores]
        tokens = [0] * len(sample.choices)
        for option, score in zip(orders[0], answered[0][1], strict=True):
            tokens[option] = len(score.token_logprobs)
        extra: dict[str, Any] = {"letters": True} if self.wording.letters else {}
        if self.condition == "Q+IF+CoT":
            extra["thoughts"] = [thought for _, _, thought in answered]
        if len(orders) > 1:
            extra |= {"orders": orders, "logprobs_by_order": rows.tolist()}
        mixed = np.logaddexp.reduce(rows, axis=0) - math.log(len(rows))
        return Output(
            prompt=asking.shown(models["subject"], answered[0][0]),
            option_logprobs=tuple(float(value) for value in mixed),
            option_tokens=tuple(tokens),
            extra=extra,
        )


def _before(text: str, stops: Sequence[str]) -> str:
    """The text up to the first of some strings."""
    return text[: min([len(text), *(text.index(stop) for stop in stops if stop in text)])]
