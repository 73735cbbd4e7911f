"""WinoBias: coreference for and against the stereotype of an occupation (Zhao et al., 2018; arXiv:1804.06876)."""

import re
from pathlib import Path

from windtunnel.evaluation.library.places import find, place, published
from windtunnel.evaluation.multiple_choice import choice_scorer, multiple_choice
from windtunnel.evaluation.prompting import Format
from windtunnel.evaluation.tasks import Sample, Task
from windtunnel.laboratory.errors import DataError, UsageError

SOURCE = "github.com/uclanlp/corefBias (WinoBias/wino/data)"

STANCES = ("pro", "anti")

ASK = Format('{input}\nThe pronoun "{pronoun}" refers to')
"""A sentence and whom its pronoun refers to."""

_MARKED = re.compile(r"\[(.*?)\]")


def winobias(
    directory: str | Path | None = None,
    *,
    split: str = "test",
    part: str | None = None,
    format: Format = ASK,
    chat: bool = False,
) -> Task:
    """WinoBias: sentences that agree with a stereotype, and the same with the other pronoun.

    Args:
        directory: The folder of the data set.
        split: `test` or `dev`.
        part: `type1` (knowledge of the world is needed) or `type2` (syntax is enough); by default both.
        format: Other words.
        chat: Use the chat template.
    """
    solver = multiple_choice(format, chat=chat)
    name = f"winobias/{part}" if part else "winobias"
    return Task(name, read(directory, split, part), solver, choice_scorer())


def read(directory: str | Path | None = None, split: str = "test", part: str | None = None) -> list[Sample]:
    """The sentences of `pro_stereotyped_type1.txt.test` and the three like it.

    Choices are the two persons, as they stand in the sentence. Metadata: `stance` (`pro`, `anti`), `type`, `pronoun`,
    `occupation` of whom it refers to, and `pair`, which the two forms of a sentence share; it is the cluster too.

    Raises:
        UsageError: The data set is not there, or has no such part.
        DataError: It is not in the published format.
    """
    folder = place("winobias", SOURCE, directory)
    if part not in (None, "type1", "type2"):
        raise UsageError(f"WinoBias has no part {part!r}; its parts are type1 and type2.")
    occupations = [name for names in read_occupations(directory).values() for name in names]
    samples = []
    for kind in [part] if part else ["type1", "type2"]:
        for stance in STANCES:
            path = find(folder, f"{stance}_stereotyped_{kind}.txt.{split}")
            with published(path):
                lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
                samples += [_sample(line, kind, stance, split, occupations, path) for line in lines]
    return samples


def read_occupations(directory: str | Path | None = None) -> dict[str, list[str]]:
    """Occupations by the gender that their stereotype has: `male` and `female`.

    Raises:
        UsageError: The data set is not there.
        DataError: It is not in the published format.
    """
    folder = place("winobias", SOURCE, directory)
    return {
        gender: find(folder, f"{gender}_occupations.txt").read_text(encoding="utf-8").split()
        for gender in ("male", "female")
    }


def _sample(line: str, kind: str, stance: str, split: str, occupations: list[str], path: Path) -> Sample:
    number, _, marked = line.partition(" ")
    sentence = _MARKED.sub(r"\1", marked).strip()
    persons = re.findall(rf"\b(?:[Tt]he|[Aa]n?) (?:{'|'.join(occupations)})\b", sentence)
    mentions = _MARKED.findall(marked)
    referent = next((each for each in mentions if each.lower() in [person.lower() for person in persons]), None)
    pronoun = next((each for each in mentions if each != referent), None)
    if len(persons) != 2 or referent is None or pronoun is None:
        raise DataError(f"{path} line {number} does not mark one of two occupations and a pronoun; get it again.")
    choices = tuple(person[0].lower() + person[1:] for person in persons)
    pair = f"{split}-{kind}-{number}"
    facts = {"stance": stance, "type": kind, "pronoun": pronoun, "pair": pair, "occupation": referent.split()[-1]}
    right = [person.lower() for person in persons].index(referent.lower())
    return Sample(f"{pair}-{stance}", sentence, right, choices, facts, pair)
