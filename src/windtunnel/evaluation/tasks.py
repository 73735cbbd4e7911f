"""The vocabulary of evaluation: a task asks samples with a solver and judges the outputs with a scorer.

The words are those of Inspect: dataset, solver, scorer, sample, epoch. All that is stored is JSON.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, field, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol, Self

from windtunnel.laboratory.errors import DataError, UsageError
from windtunnel.laboratory.files import strict

if TYPE_CHECKING:
    from windtunnel.models.interface import LanguageModel
    from windtunnel.models.tokenization import Message


class _Record:
    """What can be written as a JSON object and read back; empty fields are left out."""

    def as_dict(self) -> dict[str, Any]:
        """A JSON-ready object; a log-probability of minus infinity, which JSON cannot hold, is null."""
        record = {}
        for each in fields(self):  # type: ignore[arg-type]
            value = getattr(self, each.name)
            if not (value is None or value is False or value in ("", (), {}, [])) or _is_required(each):
                record[each.name] = strict(value)
        return record

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Self:
        """The record that `as_dict` wrote.

        Raises:
            DataError: It lacks a field, or has one that is not of this kind of record.
        """
        try:
            return cls(**{name: _thawed(name, value) for name, value in record.items()})
        except TypeError as error:
            raise DataError(f"This is no {cls.__name__.lower()} of an evaluation: {error}.") from error


def _is_required(each: "Field[Any]") -> bool:
    return each.default is MISSING and each.default_factory is MISSING


def _thawed(name: str, value: Any) -> Any:
    """Lists of JSON as the tuples they were; null among log-probabilities as minus infinity."""
    if name.endswith("_logprobs"):
        return tuple(float("-inf") if each is None else float(each) for each in value)
    return tuple(value) if isinstance(value, list) else value


@dataclass(frozen=True)
class Sample(_Record):
    """One question.

    Attributes:
        id: Its name, unique in its task.
        input: The text asked, or turns of a chat, each `{"role": ..., "content": ...}`.
        target: The index of the right choice, or the accepted answer or answers.
        choices: The options of a multiple-choice question.
        metadata: JSON-ready facts about it, by which results are broken down.
        cluster: The passage, template or person that it shares with others; intervals resample whole clusters. None:
            it stands alone.
    """

    id: str
    input: "str | tuple[Message, ...]"
    target: int | str | tuple[str, ...] = ""
    choices: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)
    cluster: str | None = None

    def __post_init__(self) -> None:
        if self.choices and isinstance(self.target, int) and not 0 <= self.target < len(self.choices):
            raise DataError(
                f"Sample {self.id!r} has {len(self.choices)} choices and its target is {self.target}; "
                "a target is the index of a choice, from 0."
            )


@dataclass(frozen=True)
class Output(_Record):
    """What a model did with one sample.

    Attributes:
        prompt: What was asked, as it was rendered.
        text: What the model wrote.
        option_logprobs: Log-probability of each choice after the prompt, summed over its tokens, in nats.
        option_tokens: Number of tokens of each choice.
        unconditional_logprobs: The same of each choice after the unconditional prompt, in nats.
        stop_reason: Why the text ended: `stop`, `end` or `length`.
        refused: Whether the model declined to answer.
        error: Why there is no answer; the sample stays in the denominator.
        extra: JSON-ready facts that a solver adds for its scorer.
    """

    prompt: str = ""
    text: str = ""
    option_logprobs: tuple[float, ...] = ()
    option_tokens: tuple[int, ...] = ()
    unconditional_logprobs: tuple[float, ...] = ()
    stop_reason: str = ""
    refused: bool = False
    error: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Mark(_Record):
    """What a scorer says of one output.

    Attributes:
        values: Numbers by metric, as `{"accuracy": 1.0}`.
        answer: The answer that was found in the output.
        explanation: Why it was marked so.
        error: Why there is no mark, as when a judge gave no verdict; the sample stays in the denominator.
        parts: What the sample adds to the sums of metrics of the whole set, by metric; see `evaluation.whole`.
    """

    values: Mapping[str, float] = field(default_factory=dict)
    answer: str = ""
    explanation: str = ""
    error: str | None = None
    parts: Mapping[str, Sequence[float]] = field(default_factory=dict)


class MissingRole(UsageError):
    """A task needs a model in a role that none plays."""


class Models(dict[str, "LanguageModel"]):
    """The models of an evaluation by role: `subject` is the model asked, others are named as they are used.

    Raises:
        MissingRole: On asking for a role that no model plays.
    """

    def __missing__(self, role: str) -> "LanguageModel":
        raise MissingRole(f"This task needs a model in the role of {role}; name one with --model-role {role}=MODEL.")


class Solver(Protocol):
    """Asks a model: a batch of samples at once, so that what they share is computed once."""

    def __call__(self, samples: Sequence[Sample], models: Models, seeds: Sequence[int]) -> list[Output]:
        """One output per sample, in order.

        Args:
            samples: The questions.
            models: The models by role.
            seeds: One seed per sample; an output depends on its own sample and seed only.
        """

    def describe(self) -> dict[str, Any]:
        """What identifies it, JSON-ready: it is recorded, and tells one task from another."""


class Scorer(Protocol):
    """Judges outputs."""

    def __call__(self, samples: Sequence[Sample], outputs: Sequence[Output], models: Models) -> list[Mark]:
        """One mark per output, in order; only outputs without an error are given."""

    def describe(self) -> dict[str, Any]:
        """What identifies it, JSON-ready: it is recorded, and tells one task from another."""


@dataclass(frozen=True)
class Task:
    """Samples, how they are asked and how outputs are judged.

    Attributes:
        name: What reports call it.
        dataset: The samples.
        solver: Asks.
        scorer: Judges.
        metric: The headline metric among those that the scorer gives.
        version: Raised whenever results are no longer comparable with earlier ones.
    """

    name: str
    dataset: Sequence[Sample]
    solver: Solver
    scorer: Scorer
    metric: str = "accuracy"
    version: str = "1"

    def __post_init__(self) -> None:
        if not self.dataset:
            raise DataError(f"The task {self.name} has no samples; give it at least one.")
        name, count = Counter(sample.id for sample in self.dataset).most_common(1)[0]
        if count > 1:
            raise DataError(f"The task {self.name} has {count} samples with the id {name!r}; give each its own.")

    @cached_property
    def digest(self) -> str:
        """SHA-256 of all that makes results comparable: name, version, solver, scorer and samples.

        Raises:
            DataError: Metadata of a sample, or a description, is not JSON-ready.
        """
        whole = hashlib.sha256()
        identity = {
            "name": self.name,
            "version": self.version,
            "solver": self.solver.describe(),
            "scorer": self.scorer.describe(),
        }
        try:
            whole.update(json.dumps(strict(identity), sort_keys=True).encode())
            for sample in self.dataset:
                whole.update(json.dumps(sample.as_dict(), sort_keys=True).encode())
        except TypeError as error:
            raise DataError(f"The task {self.name} holds something that is not JSON-ready: {error}.") from error
        return whole.hexdigest()
