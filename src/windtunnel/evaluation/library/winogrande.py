"""WinoGrande: whom or what a blank means (Sakaguchi et al., 2020; arXiv:1907.10641), by partial scoring.

Either option is put into the blank, and what follows the blank is scored: the same words after either, so that an
option is not preferred for being common (Trinh and Le, 2018; GPT-3, section 3.4).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from windtunnel.evaluation import asking
from windtunnel.evaluation.library.places import find, place, published, rows, training
from windtunnel.evaluation.multiple_choice import normalised
from windtunnel.evaluation.prompting import Format, Prompting, few_shot
from windtunnel.evaluation.tasks import Mark, Models, Output, Sample, Task

SOURCE = "winogrande.allenai.org (dev.jsonl, train_xl.jsonl)"

WORDS = Format("{input}", answer="{after}")
"""The sentence up to the blank's end, then what follows it."""


@dataclass(frozen=True)
class PartialScoring:
    """Scores what follows the blank after each option."""

    prompting: Prompting

    def __call__(self, samples: Sequence[Sample], models: Models, seeds: Sequence[int]) -> list[Output]:
        """One output per sample, with the log-probability of the rest of the sentence after each option."""
        model = models["subject"]
        prompts = [[self.prompting.prompt(_with(sample, choice)) for choice in sample.choices] for sample in samples]
        rests = [self.prompting.lead + sample.metadata["after"] for sample in samples for _ in sample.choices]
        every = [prompt for asked in prompts for prompt in asked]
        scores = iter(asking.score(model, every, [[rest] for rest in rests]))
        outputs = []
        for asked in prompts:
            found = [next(scores)[0] for _ in asked]
            logprobs, tokens = [score.logprob for score in found], [len(score.token_logprobs) for score in found]
            shown = asking.shown(model, asked[0])
            outputs.append(Output(prompt=shown, option_logprobs=tuple(logprobs), option_tokens=tuple(tokens)))
        return outputs

    def describe(self) -> dict[str, Any]:
        """What identifies it."""
        return {"solver": "partial scoring", "prompting": self.prompting.describe()}


class PartialScorer:
    """Which option makes the rest likelier; options are not compared by their own length, as they are not scored."""

    def __call__(self, samples: Sequence[Sample], outputs: Sequence[Output], models: Models) -> list[Mark]:
        """One mark per output: `accuracy`, `probability` of the right option among both, `chance`."""
        return [_mark(sample, output) for sample, output in zip(samples, outputs, strict=True)]

    def describe(self) -> dict[str, Any]:
        """What identifies it."""
        return {"scorer": "partial scoring"}


def winogrande(directory: str | Path | None = None, *, format: Format = WORDS, shots: int = 0, seed: int = 0) -> Task:
    """WinoGrande's development split; test labels are not published.

    Args:
        directory: The folder of the data set.
        format: Other words.
        shots: Examples, from the training split if it is there.
        seed: Of the examples.
    """
    asked, train = read(directory), training(lambda: read(directory, "train_xl"), shots)
    told = [_with(sample, sample.choices[int(sample.target)]) for sample in train or asked]  # type: ignore[arg-type]
    examples = few_shot(told, shots, test=asked, seed=seed)
    return Task("winogrande", asked, PartialScoring(Prompting(format, examples)), PartialScorer())


def read(directory: str | Path | None = None, split: str = "dev") -> list[Sample]:
    """The samples of `dev` or `train_xl`: the sentence with its blank; the cluster is the pair of twin sentences.

    Raises:
        UsageError: The data set is not there.
        DataError: It is not in the published format.
    """
    path = find(place("winogrande", SOURCE, directory), f"{split}.jsonl")
    with published(path):
        return [_sample(row) for row in rows(path)]


def _sample(row: dict[str, Any]) -> Sample:
    before, after = row["sentence"].split("_")
    return Sample(
        row["qID"],
        row["sentence"],
        ("1", "2").index(row["answer"]),
        (row["option1"], row["option2"]),
        metadata={"before": before, "after": after.strip()},
        cluster=row["qID"].rpartition("-")[0],
    )


def _mark(sample: Sample, output: Output) -> Mark:
    probabilities = normalised(output.option_logprobs)
    best, right = int(probabilities.argmax()), int(sample.target)  # type: ignore[arg-type]
    values = {"accuracy": float(best == right), "probability": float(probabilities[right])}
    return Mark(values | {"chance": 1 / len(probabilities)}, answer=sample.choices[best])


def _with(sample: Sample, option: str) -> Sample:
    """The sentence up to and with an option in its blank."""
    return replace(sample, input=sample.metadata["before"] + option)
