"""The seven formats of the paper, and the transformations of multiple-choice questions between them (Section 2 and 3).

Lettered options, options as text, "none of the above" and True/False are tasks for the evaluation engine, which asks
them of any model that scores. P(True), with and without brainstormed answers, behind worked or few-shot examples, is
in `p_true`; its prompts are made here.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from windtunnel.evaluation.multiple_choice import Orders, choice_scorer, multiple_choice
from windtunnel.evaluation.prompting import FewShot, Format
from windtunnel.evaluation.self_knowledge.wording import wording, wording_sha256
from windtunnel.evaluation.tasks import Sample, Task
from windtunnel.laboratory.errors import DataError, UsageError

WORDS = wording()

LETTERED = Format(WORDS["lettered"], answer="({answer})", option=WORDS["option"], separator=WORDS["separator"])
"""Options as lines ` (A) ...`; what is scored is the label alone."""


def _listed(sample: Sample) -> str:
    return str(WORDS["listed"].format(input=sample.input, choices="\nchoice: ".join(sample.choices)))


LISTED = Format(_listed, separator=WORDS["separator"])
"""BIG-bench's default: `choice: text` lines; what is scored is the text of the option."""

TRUE, FALSE = "A", "B"
"""Letters of the two judgements."""


def lettered_task(
    name: str, samples: Sequence[Sample], *, shots: FewShot | None = None, orders: Orders = "given"
) -> Task:
    """Multiple choice by the letters of the options; `orders` averages over orders, which removes letter priors.

    The parenthesis is forced and the bare letter compared, since ` (` is the same first token for all options.
    """
    form = replace(LETTERED, opening="(", answer="{answer})")
    return _task(name, samples, multiple_choice(form, letters=True, shots=shots, orders=orders))


def listed_task(name: str, samples: Sequence[Sample], *, shots: FewShot | None = None) -> Task:
    """Multiple choice by the options' text."""
    return _task(name, samples, multiple_choice(LISTED, shots=shots))


def _task(name: str, samples: Sequence[Sample], solver: object) -> Task:
    return Task(name, list(samples), solver, choice_scorer(), version=f"1-{wording_sha256()[:8]}")  # type: ignore[arg-type]


def none_of_the_above(samples: Sequence[Sample]) -> list[Sample]:
    """The same questions with the last option replaced by "none of the above".

    It is right where the replaced option was.

    Raises:
        DataError: A sample has fewer than two choices.
    """
    for sample in samples:
        if len(sample.choices) < 2:
            raise DataError(f"Sample {sample.id!r} has fewer than two choices, so none can be replaced.")
    return [replace(sample, choices=(*sample.choices[:-1], WORDS["none"])) for sample in samples]


def true_false(samples: Sequence[Sample], seed: int) -> list[Sample]:
    """Two questions for each: whether the right option is right, and whether one other, drawn, is.

    The pair shares the question as its cluster, since its parts are no more independent than one question.

    Raises:
        DataError: A sample has no wrong option.
    """
    made = []
    for place, sample in enumerate(samples):
        if not isinstance(sample.target, int) or len(sample.choices) < 2:
            raise DataError(f"Sample {sample.id!r} has no wrong option to judge; give it choices and a target.")
        draws = np.random.default_rng([seed, place])
        wrong = int(draws.choice([option for option in range(len(sample.choices)) if option != sample.target]))
        for option, answer in ((sample.target, 0), (wrong, 1)):
            proposed = {**sample.metadata, "proposed": sample.choices[option]}
            made.append(
                Sample(
                    f"{sample.id}:{'right' if answer == 0 else 'wrong'}",
                    judging_prompt(_text(sample), sample.choices[option]),
                    answer,
                    ("True", "False"),
                    proposed,
                    sample.cluster or sample.id,
                )
            )
    return made


def true_false_task(name: str, samples: Sequence[Sample], *, seed: int = 0) -> Task:
    """True/False by its letters; `samples` are multiple-choice questions."""
    form = Format("{input}", answer="{answer})", opening="(", separator=WORDS["separator"])
    return _task(name, true_false(samples, seed), multiple_choice(form, letters=True))


def judging_prompt(question: str, proposed: str, ideas: Sequence[str] | None = None) -> str:
    """The question whether a proposed answer is right, without or with brainstormed ones before it."""
    if ideas is None:
        return str(WORDS["true_false"].format(input=question, proposed=proposed))
    return str(WORDS["brainstormed"].format(input=question, proposed=proposed, ideas="\n".join(ideas)))


def behind(examples: Sequence[tuple[str, bool]], prompt: str) -> str:
    """A prompt behind examples, each a judging prompt and whether its answer is right."""
    shown = [WORDS["example"].format(prompt=asked, letter=TRUE if right else FALSE) for asked, right in examples]
    return str(WORDS["separator"].join([*shown, prompt]))


def worked_examples(brainstormed: bool) -> list[tuple[str, bool]]:
    """The six fixed examples of the zero-shot prompt; their answers are B, A, A, A, B, B."""
    return [
        (
            judging_prompt(one["input"], one["proposed"], one["ideas"] if brainstormed else None),
            one["letter"] == TRUE,
        )
        for one in WORDS["worked"]
    ]


def question_prompt(question: str, *, source: str | None = None, hint: str | None = None) -> str:
    """A question to be answered freely, behind a source document or with a hint (Section 5.3 and 5.4)."""
    prompt = WORDS["question"].format(input=question)
    if hint is not None:
        before, mark, after = prompt.rpartition("\nAnswer:")
        prompt = WORDS["hint"].format(prompt=before, hint=hint).rstrip("\n") + mark + after
    if source is not None:
        prompt = WORDS["source"].format(source=source, prompt=prompt)
    return str(prompt)


def confidence_prompt(question: str) -> str:
    """The question with what confidence it could be answered, in words."""
    return str(WORDS["confidence"].format(input=question))


def partial_hint(hint: str, fraction: float) -> str:
    """The beginning of a hint, by words: the given fraction of it (Figure 17).

    Raises:
        UsageError: The fraction is not from 0 to 1.
    """
    if not 0 <= fraction <= 1:
        raise UsageError(f"A fraction of a hint is from 0 to 1, not {fraction}.")
    words = hint.split(" ")
    return " ".join(words[: round(fraction * len(words))])


def _text(sample: Sample) -> str:
    if not isinstance(sample.input, str):
        raise DataError(f"Sample {sample.id!r} is a conversation; these formats ask a question as text.")
    return sample.input
