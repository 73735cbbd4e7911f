"""How a sample is put into words: its format, the examples before it, and whether the chat template is used.

All of it is explicit and recorded, since scores move by several points with each: `Prompting.describe` goes into the
task's identity, and `Prompting.hash` says whether two versions of a task ask in the same words.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any

import numpy as np

from windtunnel.evaluation.tasks import Sample
from windtunnel.laboratory.errors import DataError, UsageError
from windtunnel.models.tokenization import Message

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
"""Names of options, in order."""

Template = str | Callable[[Sample], str]
"""Words around a sample's fields in braces, or a function of the sample; its `describe`, if any, identifies it."""


@dataclass(frozen=True)
class Prompt:
    """What a model is given.

    Attributes:
        text: The whole prompt, where no chat template is used.
        turns: The conversation, where one is.
        opening: How the assistant's turn begins, put there before the model speaks.
    """

    text: str = ""
    turns: tuple[Message, ...] = ()
    opening: str = ""

    def __str__(self) -> str:
        if not self.turns:
            return self.text
        return json.dumps({"turns": [dict(turn) for turn in self.turns], "opening": self.opening}, ensure_ascii=False)


@dataclass(frozen=True)
class Format:
    """How a sample is rendered, and how an example's answer follows it.

    In a template stand `{input}`, `{options}` (one line each, by `option`) and the keys of the sample's metadata, and
    in that of an example's answer `{answer}` (the letter of the right option where letters are asked for, else the
    right option or the first accepted answer); a brace of its own is doubled. A prompt reads

        instruction  (question lead opening answer separator)*  question [lead opening]

    and what is scored or generated follows: `lead` + answer, or the answer alone where an opening stands before it.

    Attributes:
        question: The question, up to where the answer begins.
        answer: An example's answer, after the opening.
        lead: Stands between question and answer; it is scored with the answer, as is the way of tokenizers whose
            words begin with their space.
        opening: Begins every answer and is in the prompt, as `(` before the letter of `(A)`: for many tokenizers
            ` (A)` is several tokens of which the first is the same for every option.
        separator: Between examples, and before the question asked.
        instruction: Before everything, filled in for the sample asked; with the chat template the system's turn.
        option: An option's line, with `{letter}` and `{option}`.
    """

    question: Template = "{input}"
    answer: Template = "{answer}"
    lead: str = " "
    opening: str = ""
    separator: str = "\n\n"
    instruction: Template = ""
    option: str = "{letter}. {option}"

    def ask(self, sample: Sample, letters: bool = False) -> str:
        """The question in words.

        Raises:
            UsageError: Its template names the answer.
            DataError: It names a field that the sample lacks.
        """
        if isinstance(self.question, str) and "{answer}" in self.question:
            raise UsageError("The question's template holds {answer}, which would give the answer away; leave it out.")
        return _filled(self.question, sample, self, letters)

    def reply(self, sample: Sample, letters: bool = False) -> str:
        """The answer of an example, with its opening and without its lead."""
        return self.opening + _filled(self.answer, sample, self, letters)

    def instruct(self, sample: Sample) -> str:
        """What stands before everything."""
        return _filled(self.instruction, sample, self, False)

    def describe(self) -> dict[str, Any]:
        """What identifies it; of a function its name, so that its words are told by the prompt hash only."""
        return {each.name: _named(getattr(self, each.name)) for each in fields(self)}


QUESTION = Format("Question: {input}\nAnswer:")
"""A question and `Answer:`, followed by the answer in words."""

LETTERED = Format("{input}\n{options}\nAnswer:")
"""Options as lines `A. ...`, followed by a bare letter."""

PARENTHESISED = Format("{input}\n{options}\nAnswer:", answer="{answer})", opening="(", option="({letter}) {option}")
"""Options as lines `(A) ...`, followed by a letter after a forced parenthesis."""


@dataclass(frozen=True)
class FewShot:
    """Examples before the question, chosen by seed and never the answer itself.

    Never chosen for a sample: itself (its id or its input), and what shares its cluster. All samples have the same
    examples, so that their prompts share a prefix, but for those that would leak, for which the next ones step in.

    Attributes:
        pool: What examples are taken from.
        count: Examples before each question.
        seed: Of the choice.
        each: Draw anew for every sample.
        shuffle: Draw; otherwise the pool's first ones are taken in its order.
        within: A key of metadata: examples have the sample's own value of it, as the part of a task.
    """

    pool: tuple[Sample, ...] = field(repr=False)
    count: int
    seed: int = 0
    each: bool = False
    shuffle: bool = True
    within: str | None = None

    def choose(self, sample: Sample) -> list[Sample]:
        """The examples before one sample.

        Raises:
            DataError: Too few are left when those that leak are left out.
        """
        order = self._drawn(sample.id) if self.each and self.shuffle else self._shared
        chosen: list[Sample] = []
        for place in order:
            if len(chosen) == self.count:
                break
            if self._fits(self.pool[place], sample):
                chosen.append(self.pool[place])
        if len(chosen) < self.count:
            raise DataError(
                f"Sample {sample.id!r} has {len(chosen)} examples that do not give its answer away, and {self.count} "
                "are wanted; lower the number of shots or give a larger pool."
            )
        return chosen

    def describe(self) -> dict[str, Any]:
        """What identifies it, the pool by its hash."""
        return {
            "count": self.count,
            "seed": self.seed,
            "each": self.each,
            "shuffle": self.shuffle,
            "within": self.within,
            "pool": self._identity,
        }

    @cached_property
    def _identity(self) -> str:
        return _sha256([sample.as_dict() for sample in self.pool])

    def _fits(self, example: Sample, asked: Sample) -> bool:
        if self.within is not None and example.metadata.get(self.within) != asked.metadata.get(self.within):
            return False
        return not leaks(example, asked)

    @cached_property
    def _shared(self) -> list[int]:
        if not self.shuffle:
            return list(range(len(self.pool)))
        return [int(place) for place in np.random.default_rng(self.seed).permutation(len(self.pool))]

    def _drawn(self, name: str) -> list[int]:
        own = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
        return [int(place) for place in np.random.default_rng((self.seed, own)).permutation(len(self.pool))]


def few_shot(
    train: Sequence[Sample],
    count: int,
    *,
    test: Sequence[Sample] = (),
    seed: int = 0,
    each: bool = False,
    shuffle: bool = True,
    within: str | None = None,
) -> FewShot | None:
    """Examples from the training split or, only if there is none, from the samples that are asked; see `FewShot`.

    Returns:
        The choice of examples, or None for none.

    Raises:
        UsageError: The number is negative.
        DataError: There are fewer samples than examples wanted.
    """
    if count < 0:
        raise UsageError(f"The number of examples (shots) must be 0 or more, not {count}.")
    if count == 0:
        return None
    pool = tuple(train) or tuple(test)
    if len(pool) < count:
        raise DataError(
            f"{count} examples are wanted and there are {len(pool)} samples to take them from; lower shots."
        )
    return FewShot(pool, count, seed, each, shuffle, within)


def leaks(example: Sample, asked: Sample) -> bool:
    """Whether an example is the sample asked, or shares its passage, template or person."""
    if example.id == asked.id or (asked.cluster is not None and example.cluster == asked.cluster):
        return True
    return example.input == asked.input and example.choices == asked.choices


@dataclass(frozen=True)
class Prompting:
    """Everything that decides what a model is shown for a sample.

    Attributes:
        format: The words.
        shots: Examples before the question; None: zero-shot.
        chat: Use the model's chat template.
        turns: With the chat template: examples as turns of the conversation; otherwise the whole few-shot text is one
            turn of the user's.
        letters: Answers are letters of options.
    """

    format: Format = QUESTION
    shots: FewShot | None = None
    chat: bool = False
    turns: bool = True
    letters: bool = False

    def prompt(self, sample: Sample) -> Prompt:
        """What the model is shown for one sample.

        Raises:
            UsageError: The sample is a conversation and the chat template is not used.
            DataError: A template names a field that the sample lacks, or too few examples are left.
        """
        chosen = self.shots.choose(sample) if self.shots else []
        if self.chat:
            return self._conversation(sample, chosen)
        if not isinstance(sample.input, str):
            raise UsageError(f"Sample {sample.id!r} is a conversation, so it is asked with the chat template (chat).")
        opening = self.format.lead + self.format.opening if self.format.opening else ""
        return Prompt(self.format.instruct(sample) + self._text(sample, chosen) + opening)

    @property
    def lead(self) -> str:
        """What stands before an answer and is scored with it."""
        return "" if self.chat or self.format.opening else self.format.lead

    def hash(self, samples: Sequence[Sample]) -> str:
        """SHA-256 of the prompts of some samples, before the chat template: equal words, equal hash."""
        return _sha256([str(self.prompt(sample)) for sample in samples])

    def describe(self) -> dict[str, Any]:
        """What identifies it."""
        return {
            "format": self.format.describe(),
            "shots": None if self.shots is None else self.shots.describe(),
            "chat": self.chat,
            "turns": self.turns,
            "letters": self.letters,
        }

    def _text(self, sample: Sample, chosen: Sequence[Sample]) -> str:
        form = self.format
        shown = [form.ask(each, self.letters) + form.lead + form.reply(each, self.letters) for each in chosen]
        return form.separator.join([*shown, form.ask(sample, self.letters)])

    def _conversation(self, sample: Sample, chosen: Sequence[Sample]) -> Prompt:
        form = self.format
        turns: list[Message] = []
        if instruction := form.instruct(sample).strip():
            turns.append({"role": "system", "content": instruction})
        for each in chosen if self.turns else ():
            turns += [*self._asked(each), {"role": "assistant", "content": form.reply(each, self.letters)}]
        if chosen and not self.turns:
            turns.append({"role": "user", "content": self._text(sample, chosen)})
        else:
            turns += self._asked(sample)
        return Prompt(turns=tuple(turns), opening=form.opening)

    def _asked(self, sample: Sample) -> list[Message]:
        """A question as turns: those of the sample, the last of which is put into the format."""
        if isinstance(sample.input, str):
            return [{"role": "user", "content": self.format.ask(sample, self.letters)}]
        *before, last = sample.input
        asked = self.format.ask(replace(sample, input=last["content"]), self.letters)
        return [*before, {"role": last["role"], "content": asked}]


def answer_of(sample: Sample, letters: bool = False) -> str:
    """The right answer in words, or its letter: of several accepted ones the first.

    Raises:
        DataError: The sample has no answer.
    """
    if sample.choices and isinstance(sample.target, int):
        return LETTERS[sample.target] if letters else sample.choices[sample.target]
    accepted = sample.target if isinstance(sample.target, tuple) else (str(sample.target),)
    if not accepted or not accepted[0]:
        raise DataError(f"Sample {sample.id!r} has no answer, so it cannot be an example; leave it out of the pool.")
    return accepted[0]


def _filled(template: Template, sample: Sample, form: Format, letters: bool) -> str:
    if not isinstance(template, str):
        return template(sample)
    if "{" not in template and "}" not in template:
        return template
    known: dict[str, Any] = {**sample.metadata, "input": sample.input}
    if "{options}" in template:
        lines = zip(LETTERS, sample.choices, strict=False)
        known["options"] = "\n".join(form.option.format(letter=letter, option=option) for letter, option in lines)
    if "{answer}" in template:
        known["answer"] = answer_of(sample, letters)
    try:
        return template.format(**known)
    except (LookupError, ValueError, AttributeError) as error:
        names = ", ".join(sorted({*known, "options", "answer"}))
        raise DataError(
            f"The template {template[:60]!r} does not fit sample {sample.id!r} ({error!r}); fields are {names}."
        ) from error


def _named(value: Any) -> Any:
    if not callable(value):
        return value
    return value.describe() if hasattr(value, "describe") else f"{value.__module__}.{value.__qualname__}"


def _sha256(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=False).encode()).hexdigest()
