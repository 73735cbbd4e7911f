"""Statements written by a grammar, whose true label and topic are known: a generator of evaluations to check others by.

A statement is one that somebody fond of a thing would make, or would not. Asked for one kind, the writer errs with
known probability and writes the other. The judge beside it knows the truth up to a planted accuracy, and says how sure
it is: calibrated exactly, or more or less sure than it should be.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from windtunnel.data.sources import derived_seed
from windtunnel.laboratory.errors import DataError, UsageError

FOND = ("love", "enjoy", "look forward to", "am fond of", "treasure", "delight in", "often seek out", "smile at")
AVERSE = ("avoid", "dislike", "am tired of", "have no patience for", "dread", "look down on", "complain of", "skip")
TOPICS = {
    "music": ("old songs", "string quartets", "choirs", "brass bands", "the opera", "street musicians"),
    "gardens": ("rose beds", "vegetable plots", "greenhouses", "lawns", "orchards", "herb gardens"),
    "railways": ("night trains", "station halls", "timetables", "steam engines", "small branch lines", "trams"),
    "cooking": ("long recipes", "baking bread", "sharp knives", "stews", "market stalls", "pickling"),
    "birds": ("herons", "bird hides", "starlings", "the dawn chorus", "owls", "geese in autumn"),
    "history": ("archives", "ruined castles", "old maps", "family trees", "museums", "chronicles"),
    "sport": ("rowing", "chess matches", "relay races", "climbing walls", "football crowds", "fencing"),
    "weather": ("thunderstorms", "fog", "first snow", "heat waves", "long rains", "clear frost"),
    "letters": ("handwriting", "postcards", "fountain pens", "sealing wax", "long replies", "diaries"),
    "theatre": ("rehearsals", "puppet shows", "stage lights", "tragedies", "comedies", "costumes"),
    "numbers": ("puzzles", "prime numbers", "proofs", "statistics", "account books", "geometry"),
    "the sea": ("harbours", "lighthouses", "ferries", "tide pools", "fishing boats", "sand dunes"),
}
TAILS = (
    "whenever I have an hour to myself",
    "in the company of my friends",
    "even after a hard day",
    "more than most people do",
    "in every season",
    "at the weekend",
    "and I always have",
    "though few would guess it",
    "when I am far from home",
    "as my parents did",
)


@dataclass(frozen=True)
class Written:
    """A statement with its truth.

    Attributes:
        text: What was written.
        topic: What it is about.
        wanted: Whether one that matches the behaviour was asked for.
        matches: Whether it does.
    """

    text: str
    topic: str
    wanted: bool
    matches: bool


class StatementWriter:
    """Writes statements for and against a behaviour, "is fond of things".

    Args:
        noise: Probability that a statement is of the kind that was not asked for.
        skew: Exponent of Zipf's law by which topics are chosen; 0 chooses them alike.
        seed: Decides everything.

    Raises:
        UsageError: A value is out of range.
    """

    def __init__(self, noise: float = 0.2, skew: float = 0.0, seed: int = 0) -> None:
        if not 0 <= noise <= 1 or skew < 0:
            raise UsageError(f"A noise of {noise:g} and a skew of {skew:g} cannot be used; noise is from 0 to 1.")
        self.noise, self.skew, self.seed = noise, skew, seed
        weights = np.arange(1, len(TOPICS) + 1, dtype=np.float64) ** -skew
        self.shares: NDArray[np.float64] = weights / weights.sum()

    def write(self, wanted: bool, number: int) -> Written:
        """The statement of that number among those of its kind."""
        draw = np.random.default_rng(derived_seed(self.seed, "written", wanted, number))
        topic = list(TOPICS)[draw.choice(len(TOPICS), p=self.shares)]
        matches = wanted != bool(draw.random() < self.noise)
        verb = draw.choice(FOND if matches else AVERSE)
        return Written(f"I {verb} {draw.choice(TOPICS[topic])} {draw.choice(TAILS)}", topic, wanted, matches)


def truth(text: str) -> Written:
    """What a statement of the grammar says, by its own words; `wanted` is as it matches.

    Raises:
        DataError: The grammar does not write it.
    """
    matches = [verb for verb in (*FOND, *AVERSE) if text.startswith(f"I {verb} ")]
    topics = [name for name, things in TOPICS.items() if any(f" {thing} " in text for thing in things)]
    if not matches or not topics:
        raise DataError(f"{text!r} is not a statement of the grammar; take those that StatementWriter writes.")
    verb = max(matches, key=len)
    return Written(text, topics[0], verb in FOND, verb in FOND)


class StatementJudge:
    """Says how likely a statement of the grammar is of the kind that was asked for.

    For each statement it has evidence of strength c, the probability that its evidence is right, drawn from a
    distribution of mean `accuracy` on [1/2, 1]. With `prior`, what it says is the posterior of a writer whose noise is
    known, and so exactly calibrated among all statements.

    Args:
        accuracy: Share of statements that its evidence places right.
        spread: By how much the accuracy on the easiest topic exceeds that on the hardest; topics are in the order of
            `TOPICS`, the easiest first.
        noise: Of the writer: what the judge believes before it looks. 1/2 believes nothing.
        sharpness: Multiplies its log odds: above 1 it is surer than it should be, below 1 less sure.
        blind: Its evidence has nothing to do with the statement.
        seed: Decides the evidence on each statement.

    Raises:
        UsageError: A value is out of range.
    """

    def __init__(
        self,
        accuracy: float = 0.95,
        *,
        spread: float = 0.0,
        noise: float = 0.5,
        sharpness: float = 1.0,
        blind: bool = False,
        seed: int = 0,
    ) -> None:
        if not 0.5 < accuracy - spread / 2 <= accuracy + spread / 2 < 1 or not 0 < noise < 1 or sharpness <= 0:
            raise UsageError(
                f"An accuracy of {accuracy:g} ± {spread / 2:g} and a noise of {noise:g} cannot be used; accuracies lie "
                "between 1/2 and 1, noise between 0 and 1, and sharpness is above 0."
            )
        self.accuracy, self.spread, self.noise = accuracy, spread, noise
        self.sharpness, self.blind, self.seed = sharpness, blind, seed

    def accuracy_of(self, topic: str) -> float:
        """Its accuracy on a topic; on average over topics chosen alike, `accuracy`."""
        place = list(TOPICS).index(topic) / (len(TOPICS) - 1)
        return self.accuracy + self.spread * (0.5 - place)

    def probabilities(self, statements: Sequence[str], wanted: Sequence[bool]) -> list[float]:
        """The probability that each statement is of the kind asked for.

        Raises:
            DataError: A statement is not of the grammar.
        """
        return [self._probability(text, kind) for text, kind in zip(statements, wanted, strict=True)]

    def _probability(self, text: str, wanted: bool) -> float:
        known = truth(text)
        draw = np.random.default_rng(derived_seed(self.seed, "judged", text))
        mean = 2 * (self.accuracy if self.blind else self.accuracy_of(known.topic)) - 1
        strength = min(0.5 + 0.5 * float(draw.beta(4 * mean, 4 * (1 - mean))), 1 - 1e-9)
        right = bool(draw.random() < strength)
        says = bool(draw.random() < 0.5) if self.blind else known.matches == right
        odds = np.log(strength / (1 - strength)) * (1 if says == wanted else -1)
        odds += np.log((1 - self.noise) / self.noise)
        return float(1 / (1 + np.exp(-odds * self.sharpness)))
