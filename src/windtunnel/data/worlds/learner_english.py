"""Sentences with one planted mistake of a learner's, and the same without it (Brown et al., 2020, Section 3.9.6)."""

from dataclasses import dataclass

import numpy as np

from windtunnel.laboratory.errors import UsageError

SUBJECTS = {"he": "him", "she": "her", "we": "us", "they": "them", "I": "me"}
"""Pronouns as subjects, and the form that is wrong there."""

SINGULAR = ("he", "she")

VERBS = (
    ("carry", "carries", "carried"),
    ("find", "finds", "found"),
    ("clean", "cleans", "cleaned"),
    ("draw", "draws", "drew"),
    ("sell", "sells", "sold"),
    ("wash", "washes", "washed"),
    ("buy", "buys", "bought"),
    ("hide", "hides", "hid"),
)
"""Bare, with a subject in the third person singular, and past."""

NOUNS = (
    ("a", "basket", "baskets"),
    ("an", "orange", "oranges"),
    ("a", "ladder", "ladders"),
    ("an", "umbrella", "umbrellas"),
    ("a", "letter", "letters"),
    ("a", "box", "boxes"),
    ("an", "egg", "eggs"),
    ("a", "knife", "knives"),
)
"""Article, singular and plural."""

NUMBERS = ("two", "three", "four", "five")

MISTAKES = ("agreement", "tense", "number", "article", "pronoun", "order")
"""The verb's person, its tense, a noun's number, its article, a pronoun's case, and two words in the wrong order."""


@dataclass(frozen=True)
class Correction:
    """A sentence as a learner wrote it, and as it should be.

    Attributes:
        wrong: With the mistake; equal to `right` where there is none.
        right: Without it.
        mistake: One of `MISTAKES`, or `none`.
    """

    wrong: str
    right: str
    mistake: str


def corrections(count: int, generator: np.random.Generator, sound: float = 0.15) -> list[Correction]:
    """Different sentences.

    Args:
        count: How many.
        generator: Source of the draws.
        sound: Share of sentences without a mistake, which are to be left alone.

    Raises:
        UsageError: There are not so many sentences, or the share is none.
    """
    if not 0 <= sound <= 1 or not 0 <= count <= 2_500:
        raise UsageError(f"{count} sentences, a share {sound:g} of them sound, cannot be made; ask for up to 2,500.")
    found: dict[str, Correction] = {}
    while len(found) < count:
        mistake = "none" if generator.random() < sound else str(generator.choice(MISTAKES))
        one = _correction(mistake, generator)
        found.setdefault(one.right, one)
    return list(found.values())


def _correction(mistake: str, generator: np.random.Generator) -> Correction:
    """A sentence in the present or the past, with the mistake where it can be made."""
    subject = str(generator.choice(SINGULAR if mistake == "agreement" else list(SUBJECTS)))
    bare, singular, past = VERBS[generator.integers(len(VERBS))]
    article, noun, plural = NOUNS[generator.integers(len(NOUNS))]
    number = str(generator.choice(NUMBERS))
    yesterday = mistake == "tense" or (mistake != "agreement" and generator.random() < 0.5)
    several = mistake == "number" or (mistake not in ("article", "order") and generator.random() < 0.5)
    words = {
        "subject": subject,
        "verb": past if yesterday else singular if subject in SINGULAR else bare,
        "many": number if several else article,
        "noun": plural if several else noun,
        "when": "yesterday" if yesterday else "every day",
    }
    slips = {
        "agreement": {"verb": bare},
        "tense": {"verb": singular if subject in SINGULAR else bare},
        "number": {"noun": noun},
        "article": {"many": "an" if article == "a" else "a"},
        "pronoun": {"subject": SUBJECTS[subject]},
        "order": {"many": noun, "noun": article},
        "none": {},
    }
    return Correction(_sentence(words | slips[mistake]), _sentence(words), mistake)


def _sentence(words: dict[str, str]) -> str:
    text = "{subject} {verb} {many} {noun} {when}.".format(**words)
    return text[0].upper() + text[1:]
