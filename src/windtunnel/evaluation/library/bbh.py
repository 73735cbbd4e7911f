"""BIG-Bench Hard: tasks beyond the models of 2022, with chains of thought (Suzgun et al., 2022; arXiv:2210.09261)."""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from windtunnel.evaluation.answers import generate, match
from windtunnel.evaluation.library.places import find, place, published, whole
from windtunnel.evaluation.multiple_choice import choice_scorer, multiple_choice
from windtunnel.evaluation.prompting import Format
from windtunnel.evaluation.tasks import Sample, Task
from windtunnel.laboratory.errors import DataError, UsageError

SOURCE = "github.com/suzgunmirac/BIG-Bench-Hard (folders bbh and cot-prompts)"

SHOTS = 3
"""Worked examples in each published prompt."""

THINK = " Let's think step by step."
"""What the published chains of thought begin with."""

CONCLUSION = "So the answer is "
"""What they end with."""

_OPTIONS = re.compile(r"^(\([A-Z]\)|- )\s*(.*?)\s*$", re.MULTILINE)


def bbh(
    directory: str | Path | None = None,
    *,
    part: str | None = None,
    shots: int = SHOTS,
    chain_of_thought: bool = False,
    choice: bool = False,
    chat: bool = False,
    max_new_tokens: int | None = None,
) -> Task:
    """BIG-Bench Hard, with the published worked examples.

    Args:
        directory: The folder of the data set.
        part: A task, as `navigate`; by default all that are there.
        shots: How many of the published examples stand before the question, after the task's description.
        chain_of_thought: Examples with their reasoning, and the question with its beginning; else bare answers.
        choice: Score options by log-probability, of the tasks that have them, rather than let the model write.
        chat: Use the chat template.
        max_new_tokens: Most tokens written; by default 512 with chains of thought, else 64.

    Raises:
        UsageError: There is no such part, too many shots are wanted, or a chain of thought is to be scored.
    """
    if not 0 <= shots <= SHOTS:
        raise UsageError(f"The published prompts of BBH have {SHOTS} examples; shots is 0 to {SHOTS}, not {shots}.")
    if choice and chain_of_thought:
        raise UsageError("A chain of thought is written, so it goes with choice=False.")
    samples = read(directory, part)
    preambles = {name: preamble(directory, name, shots, chain_of_thought) for name in parts(samples)}
    think = THINK if chain_of_thought else ""
    words = Format("Q: {input}\nA:" + think, instruction=Preambles(preambles, shots, chain_of_thought))
    name = f"bbh/{part}" if part else "bbh"
    if choice:
        kept = [sample for sample in samples if sample.choices]
        if not kept:
            raise UsageError(f"The part {part} has no options to choose from; let the model write its answers.")
        return Task(name, kept, multiple_choice(words, chat=chat), choice_scorer())
    longest = max_new_tokens or (512 if chain_of_thought else 64)
    solver = generate(words, chat=chat, max_new_tokens=longest, stop=("\nQ:",) if chain_of_thought else ("\n",))
    pattern = rf"{CONCLUSION}(.*?)\.?\s*(?:\n|$)" if chain_of_thought else None
    return Task(name, samples, solver, match("exact", pattern=pattern))


@dataclass(frozen=True)
class Preambles:
    """What stands before a question: the description and examples of its part."""

    texts: dict[str, str]
    shots: int
    chain_of_thought: bool

    def __call__(self, sample: Sample) -> str:
        """The text before one question."""
        return self.texts[sample.metadata["part"]]

    def describe(self) -> dict[str, Any]:
        """What identifies it."""
        hashes = {part: hashlib.sha256(text.encode()).hexdigest() for part, text in self.texts.items()}
        return {"preambles": hashes, "shots": self.shots, "chain_of_thought": self.chain_of_thought}


def read(directory: str | Path | None = None, part: str | None = None) -> list[Sample]:
    """The samples of one part or all; metadata has the `part` and the published `answer`.

    Choices are the labels of options, as `(A)` or `Yes`, that the question or the other answers of its part show; a
    question whose published answer is none of them has none.

    Raises:
        UsageError: The data set is not there, or has no such part.
        DataError: It is not in the published format.
    """
    folder = place("bbh", SOURCE, directory)
    paths = {path.stem: path for path in sorted(folder.rglob("*.json"))}
    if not paths:
        raise DataError(f"{folder} has no tasks (*.json); get BBH from {SOURCE}.")
    if part is not None and part not in paths:
        raise UsageError(f"BBH has no part {part!r}; its parts are {', '.join(paths)}.")
    return [sample for name in ([part] if part else paths) for sample in _part(paths[name], name)]


def parts(samples: list[Sample]) -> list[str]:
    """Names of the parts of some samples."""
    return list(dict.fromkeys(sample.metadata["part"] for sample in samples))


def preamble(directory: str | Path | None, part: str, shots: int, chain_of_thought: bool) -> str:
    """The published description of a part and its first examples, without the note to those who make corpora.

    Raises:
        DataError: The prompt is not in the published format.
    """
    path = find(place("bbh", SOURCE, directory), f"{part}.txt")
    text = path.read_text(encoding="utf-8").partition("-----\n")[2]
    description, *examples = re.split(r"\n\n(?=Q: )", text.strip())
    if len(examples) < shots:
        raise DataError(f"{path} has {len(examples)} examples; get BBH from {SOURCE} again.")
    chosen = examples[:shots] if chain_of_thought else [_bare(example, path) for example in examples[:shots]]
    return "\n\n".join([description, *chosen]) + "\n\n"


def _bare(example: str, path: Path) -> str:
    """An example with its answer alone."""
    question, _, reasoning = example.partition(f"\nA:{THINK}")
    _, found, answer = reasoning.rpartition(CONCLUSION)
    if not found:
        raise DataError(f"{path} has an example without '{CONCLUSION.strip()}'; get BBH from {SOURCE} again.")
    return f"{question}\nA: {answer.strip().removesuffix('.')}"


def _part(path: Path, part: str) -> list[Sample]:
    with published(path):
        examples = whole(path)["examples"]
        answers = sorted({example["target"] for example in examples})
        shared = tuple(answers) if len(answers) <= 2 else ()
        return [_sample(number, example, part, shared) for number, example in enumerate(examples)]


def _sample(number: int, example: dict[str, str], part: str, shared: tuple[str, ...]) -> Sample:
    question, answer = example["input"], example["target"]
    after = question.partition("Options:")[2]
    choices = tuple(mark if mark != "- " else text for mark, text in _OPTIONS.findall(after)) or shared
    facts = {"part": part, "answer": answer}
    if answer not in choices:
        return Sample(f"{part}-{number}", question, answer, metadata=facts)
    return Sample(f"{part}-{number}", question, choices.index(answer), choices, facts)
