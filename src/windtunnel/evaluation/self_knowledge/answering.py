"""Answers sampled many times: the true P(IK) of a question is the share of them that is right (Section 5.1)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from windtunnel.evaluation import asking
from windtunnel.evaluation.answers import Match, normalise
from windtunnel.evaluation.prompting import FewShot, Format, Prompting
from windtunnel.evaluation.results import Results
from windtunnel.evaluation.self_knowledge.wording import wording
from windtunnel.evaluation.tasks import Models, Output, Sample, Task
from windtunnel.statistics.intervals import Floats


@dataclass(frozen=True)
class Answering:
    """A solver that samples an answer and keeps the log-probability of each of its tokens.

    Attributes:
        prompting: How the question is put.
        temperature: Of sampling; 0 is greedy.
        max_new_tokens: Most tokens of an answer.
        stop: What ends one.
    """

    prompting: Prompting
    temperature: float = 1.0
    max_new_tokens: int = 16
    stop: tuple[str, ...] = ("\n",)

    def __call__(self, samples: Sequence[Sample], models: Models, seeds: Sequence[int]) -> list[Output]:
        """One answer per sample and seed; `extra` has `token_logprobs`, in nats, up to the stop string's last token."""
        model = models["subject"]
        prompts = [self.prompting.prompt(sample) for sample in samples]
        options: dict[str, Any] = {
            "temperature": self.temperature,
            "max_new_tokens": self.max_new_tokens,
            "stop": self.stop,
        }
        written = asking.generate(model, prompts, seeds, **options)
        return [
            Output(
                prompt=asking.shown(model, prompt),
                text=found.text.strip(),
                stop_reason=found.stop_reason,
                extra={"token_logprobs": list(found.token_logprobs)},
            )
            for prompt, found in zip(prompts, written, strict=True)
        ]

    def describe(self) -> dict[str, Any]:
        """What identifies it."""
        return {
            "solver": "sampled answers",
            "prompting": self.prompting.describe(),
            "temperature": self.temperature,
            "max_new_tokens": self.max_new_tokens,
            "stop": list(self.stop),
        }


QUESTION = Format(wording()["question"], separator=wording()["separator"])


def answering_task(
    name: str,
    samples: Sequence[Sample],
    scorer: Match,
    *,
    shots: FewShot | None = None,
    temperature: float = 1.0,
    max_new_tokens: int = 16,
) -> Task:
    """A task whose epochs are the samples of a question: evaluate it with `epochs=30` for the paper's labels."""
    solver = Answering(Prompting(QUESTION, shots), temperature, max_new_tokens)
    return Task(name, list(samples), solver, scorer)


@dataclass(frozen=True)
class Answers:
    """What was sampled, by question.

    Attributes:
        names: The questions' names.
        prompts: What was asked.
        texts: Answers of each.
        right: Whether each is right, [question, sample]; failed ones count as wrong.
        logprobs: Log-probability of each whole answer, in nats, [question, sample]; NaN where it is not known.
        lengths: Tokens of each, [question, sample].
    """

    names: list[str]
    prompts: list[str]
    texts: list[list[str]]
    right: Floats
    logprobs: Floats
    lengths: Floats

    @property
    def known(self) -> Floats:
        """The paper's ground truth P(IK): the share of each question's answers that is right."""
        return np.asarray(self.right.mean(axis=1))

    def kinds(self) -> list[list[str]]:
        """Answers up to what does not matter (case, articles, punctuation): the classes of semantic entropy."""
        return [[normalise(text) for text in texts] for texts in self.texts]


def gather(results: Results) -> Answers:
    """The answers in an evaluation's results, by question in the order of the task."""
    rows: dict[str, list[tuple[str, float, float, float, str]]] = {}
    values = results.values("accuracy")
    for record in results.records:
        _, output, _ = results.sample(record)
        tokens = list(output.extra.get("token_logprobs", ()))
        right = values.get((record["id"], record["epoch"]), 0.0)
        total = float(sum(tokens)) if tokens else np.nan
        rows.setdefault(record["id"], []).append((output.text, right, total, float(len(tokens)), output.prompt))
    found = list(rows.values())
    return Answers(
        names=list(rows),
        prompts=[each[0][4] for each in found],
        texts=[[one[0] for one in each] for each in found],
        right=np.array([[one[1] for one in each] for each in found]),
        logprobs=np.array([[one[2] for one in each] for each in found]),
        lengths=np.array([[one[3] for one in each] for each in found]),
    )
