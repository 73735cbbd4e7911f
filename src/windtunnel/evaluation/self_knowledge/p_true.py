"""P(True): the probability a model gives to its own answer being true (Kadavath et al., 2022, Section 4)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from windtunnel.evaluation.self_knowledge.formats import FALSE, TRUE, behind, judging_prompt, worked_examples
from windtunnel.evaluation.tasks import Sample
from windtunnel.laboratory.errors import DataError, UsageError

if TYPE_CHECKING:
    from windtunnel.models.interface import LanguageModel

IDEAS = 5
"""Brainstormed answers shown, sampled at temperature 1, the judged one among them."""

SHOTS = 20
"""Examples of the few-shot prompt."""


@dataclass(frozen=True)
class Proposal:
    """An answer to be judged by the model that gave it.

    Attributes:
        question: Name of the question: what is shown as an example never shares it.
        text: The question.
        answer: The answer that is judged.
        ideas: Other sampled answers to show; None: the format without them.
        right: Whether it is right, where it is known: needed of examples.
    """

    question: str
    text: str
    answer: str
    ideas: tuple[str, ...] | None = None
    right: bool | None = None

    @property
    def leaks(self) -> int:
        """How many of the ideas are the judged answer: self-consistency that the model is shown, 1 if only itself."""
        return 0 if self.ideas is None else sum(idea.strip() == self.answer.strip() for idea in self.ideas)

    def prompt(self) -> str:
        """The question whether the answer is right."""
        return judging_prompt(self.text, self.answer, self.ideas)


@dataclass(frozen=True)
class Judgement:
    """What the model says of an answer.

    Attributes:
        probability: P(True), of True and False only: exp l_A / (exp l_A + exp l_B).
        mass: Probability of either letter, before that; a small one says that the form was not understood.
        leaks: Ideas equal to the judged answer.
    """

    probability: float
    mass: float
    leaks: int


def proposals(
    questions: Sequence[tuple[str, str]],
    answers: Sequence[Sequence[str]],
    right: Sequence[Sequence[bool]] | None = None,
    *,
    brainstorm: bool = False,
    place: int = 0,
) -> list[Proposal]:
    """One proposal per question: its answer at `place` of those sampled, with the others as ideas if asked for.

    Args:
        questions: Name and text of each.
        answers: Sampled answers of each; the judged one is among the first five that are shown, as in the paper.
        right: Whether each is right.
        brainstorm: Show ideas.
        place: Which of the answers is judged.

    Raises:
        UsageError: There are too few answers.
    """
    needed = max(IDEAS if brainstorm else 1, place + 1)
    made = []
    for index, ((name, text), sampled) in enumerate(zip(questions, answers, strict=True)):
        if len(sampled) < needed or (brainstorm and place >= IDEAS):
            raise UsageError(
                f"Question {name!r} has {len(sampled)} answers, and answer {place + 1} of at least {needed} (with "
                f"ideas one of the first {IDEAS}) is to be judged; sample more or judge an earlier one."
            )
        shown = tuple(sampled[:IDEAS]) if brainstorm else None
        known = None if right is None else bool(right[index][place])
        made.append(Proposal(name, text, sampled[place], shown, known))
    return made


def p_true(
    model: "LanguageModel",
    judged: Sequence[Proposal],
    *,
    examples: Sequence[Proposal] | None = None,
    shots: int = SHOTS,
    seed: int = 0,
    batch_size: int = 16,
) -> list[Judgement]:
    """P(True) of each proposal, by any model that scores.

    Args:
        model: Judges; usually the one that answered.
        judged: All with ideas, or all without.
        examples: Few-shot: other answered questions of the same evaluation, of which `shots` are drawn. Never one that
            shares the question asked: the next one steps in. None: the six fixed worked examples ("zero-shot").
        shots: How many.
        seed: Decides which.
        batch_size: Rows scored together.

    Raises:
        UsageError: Some have ideas and some not.
        DataError: An example does not say whether it is right, or too few are left.
    """
    with_ideas = {one.ideas is not None for one in judged}
    if len(with_ideas) > 1:
        raise UsageError("Some proposals have brainstormed answers and some not; judge them apart.")
    if examples is not None and any(one.right is None for one in examples):
        raise DataError("An example does not say whether its answer is right; mark it, or leave it out.")
    order = np.random.default_rng(seed).permutation(len(examples or ())).tolist()
    prompts = []
    for one in judged:
        if examples is None:
            shown = worked_examples(one.ideas is not None)
        else:
            shown = _drawn(one, examples, shots, order)
        prompts.append(behind(shown, one.prompt()) + " (")
    scores = model.score(
        [each for each in prompts for _ in range(2)], [TRUE, FALSE] * len(prompts), batch_size=batch_size
    )
    logprobs = np.array([score.logprob for score in scores]).reshape(-1, 2)
    mass = np.exp(logprobs).sum(axis=1)
    probability = 1 / (1 + np.exp(np.clip(logprobs[:, 1] - logprobs[:, 0], -700, 700)))
    return [Judgement(float(p), float(m), one.leaks) for p, m, one in zip(probability, mass, judged, strict=True)]


def _drawn(asked: Proposal, examples: Sequence[Proposal], shots: int, order: Sequence[int]) -> list[tuple[str, bool]]:
    """The first examples of the order that do not share the question: mostly the same, so that prompts share them."""
    others = [
        examples[place]
        for place in order
        if examples[place].question != asked.question and examples[place].text != asked.text
    ]
    if len(others) < shots:
        raise DataError(f"{len(others)} examples are left for {asked.question!r}, fewer than {shots} shots.")
    return [
        (judging_prompt(one.text, one.answer, one.ideas if asked.ideas is not None else None), bool(one.right))
        for one in others[:shots]
    ]


def question_of(sample: Sample) -> tuple[str, str]:
    """Name and text of a sample, as `proposals` takes them.

    Raises:
        DataError: It is a conversation.
    """
    if not isinstance(sample.input, str):
        raise DataError(f"Sample {sample.id!r} is a conversation; P(True) asks about a question as text.")
    return sample.id, sample.input
