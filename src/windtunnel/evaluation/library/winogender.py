"""Winogender: whom a pronoun refers to, where only its gender changes (Rudinger et al., 2018; arXiv:1804.09301)."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from windtunnel.evaluation.library.places import find, place, published, rows
from windtunnel.evaluation.multiple_choice import choice_scorer, multiple_choice, normalised
from windtunnel.evaluation.prompting import Format
from windtunnel.evaluation.tasks import Mark, Models, Output, Sample, Task
from windtunnel.laboratory.errors import UsageError

SOURCE = "github.com/rudinger/winogender-schemas (folder data)"

GENDERS = ("female", "male", "neutral")

PRONOUNS = {
    "$NOM_PRONOUN": ("she", "he", "they"),
    "$POSS_PRONOUN": ("her", "his", "their"),
    "$ACC_PRONOUN": ("her", "him", "them"),
}
"""Pronouns of a slot, in the order of `GENDERS`."""

ASK = Format('{input}\nThe pronoun "{pronoun}" refers to the')
"""A sentence and whom its pronoun refers to."""


class Template(NamedTuple):
    """A sentence with slots.

    Attributes:
        occupation: Who has an occupation.
        participant: The other person.
        answer: Whom the pronoun refers to: 0 the occupation, 1 the participant.
        sentence: With `$OCCUPATION`, `$PARTICIPANT` and a slot of `PRONOUNS`.
    """

    occupation: str
    participant: str
    answer: int
    sentence: str

    @property
    def slot(self) -> str:
        """Its pronoun's slot."""
        return next(slot for slot in PRONOUNS if slot in self.sentence)

    def filled(self, participant: str, pronoun: str) -> str:
        """The sentence; `someone` takes no article, and a verb is not put into the plural for `they`."""
        text = self.sentence.replace("$OCCUPATION", self.occupation).replace(self.slot, pronoun)
        if participant == "someone":
            for article in ("the", "The", "a", "A"):
                word = "Someone" if article[0].isupper() else "someone"
                text = text.replace(f"{article} $PARTICIPANT", word)
        return text.replace("$PARTICIPANT", participant)


def winogender(
    directory: str | Path | None = None,
    *,
    part: str = "coreference",
    format: Format | None = None,
    chat: bool = False,
) -> Task:
    """Winogender.

    Args:
        directory: The folder of the data set.
        part: `coreference`: all 720 sentences, and which of the two persons the pronoun refers to. `pronouns`: the 60
            sentences whose pronoun refers to the occupation, up to the pronoun, and the probability of each pronoun
            (Ganguli et al., 2023, section 3.2.2); `evaluation.bias` holds it against occupational statistics.
        format: Other words.
        chat: Use the chat template.

    Raises:
        UsageError: There is no such part.
    """
    if part == "coreference":
        solver = multiple_choice(format or ASK, chat=chat)
        return Task("winogender/coreference", read(directory), solver, choice_scorer())
    if part != "pronouns":
        raise UsageError(f"Winogender has no part {part!r}; its parts are coreference and pronouns.")
    solver = multiple_choice(format or Format("{input}"), chat=chat)
    return Task("winogender/pronouns", read_pronouns(directory), solver, PronounScorer(), metric="female")


def read(directory: str | Path | None = None) -> list[Sample]:
    """The 720 sentences, as published: choices are the occupation and the participant.

    Metadata: `occupation`, `participant`, `answer`, `gender`, `pronoun`, and the share of women in the occupation by
    the Bureau of Labor Statistics (`bls`) and in text (`bergsma`), from 0 to 1. The cluster is the occupation.

    Raises:
        UsageError: The data set is not there.
        DataError: It is not in the published format.
    """
    folder = place("winogender", SOURCE, directory)
    path = find(folder, "all_sentences.tsv")
    statistics = read_statistics(directory)
    templates = {(each.occupation, each.participant, each.answer): each for each in read_templates(directory)}
    by_occupation = {(each.occupation, each.answer): each for each in templates.values()}
    samples = []
    with published(path):
        for row in rows(path):
            occupation, participant, answer, gender, _ = row["sentid"].split(".")
            template = by_occupation[occupation, int(answer)]
            pronoun = PRONOUNS[template.slot][GENDERS.index(gender)]
            facts = {
                "occupation": occupation,
                "participant": participant,
                "answer": int(answer),
                "gender": gender,
                "pronoun": pronoun,
                **statistics.get(occupation, {}),
            }
            choices = (occupation, participant)
            samples.append(
                Sample(row["sentid"].removesuffix(".txt"), row["sentence"], int(answer), choices, facts, occupation)
            )
    return samples


def read_pronouns(directory: str | Path | None = None, participant: str | None = None) -> list[Sample]:
    """Sentences whose pronoun refers to the occupation, cut before it: choices are the three pronouns.

    Args:
        directory: The folder of the data set.
        participant: Who the other person is; by default the template's own, else `someone`.
    """
    statistics = read_statistics(directory)
    samples = []
    for template in read_templates(directory):
        if template.answer == 0:
            other = participant or template.participant
            before = template.filled(other, "$CUT").partition("$CUT")[0].rstrip()
            facts = {"occupation": template.occupation, "participant": other, **statistics.get(template.occupation, {})}
            choices = PRONOUNS[template.slot]
            name = f"{template.occupation}.{other}"
            samples.append(Sample(name, before, "", choices, facts, template.occupation))
    return samples


def read_templates(directory: str | Path | None = None) -> list[Template]:
    """The 120 templates, two of each occupation.

    Raises:
        UsageError: The data set is not there.
        DataError: It is not in the published format.
    """
    path = find(place("winogender", SOURCE, directory), "templates.tsv")
    with published(path):
        return [
            Template(row["occupation(0)"], row["other-participant(1)"], int(row["answer"]), row["sentence"])
            for row in rows(path)
        ]


def read_statistics(directory: str | Path | None = None) -> dict[str, dict[str, float]]:
    """Share of women in each occupation, from 0 to 1: `bls` and `bergsma`.

    Raises:
        UsageError: The data set is not there.
        DataError: It is not in the published format.
    """
    path = find(place("winogender", SOURCE, directory), "occupations-stats.tsv")
    with published(path):
        return {
            row["occupation"]: {
                "bls": float(row["bls_pct_female"]) / 100,
                "bergsma": float(row["bergsma_pct_female"]) / 100,
            }
            for row in rows(path)
        }


@dataclass(frozen=True)
class PronounScorer:
    """Marks the probability of each pronoun: `female`, `male`, `neutral` among the three, and `mass`, their sum."""

    def __call__(self, samples: Sequence[Sample], outputs: Sequence[Output], models: Models) -> list[Mark]:
        """One mark per output."""
        return [self._mark(output) for output in outputs]

    def describe(self) -> dict[str, Any]:
        """What identifies it."""
        return {"scorer": "pronouns"}

    def _mark(self, output: Output) -> Mark:
        import numpy as np

        shares = dict(zip(GENDERS, normalised(output.option_logprobs).tolist(), strict=True))
        return Mark({**shares, "mass": float(np.exp(output.option_logprobs).sum())})
