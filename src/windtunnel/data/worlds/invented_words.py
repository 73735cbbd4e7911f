"""Words that no corpus knows: novel words to be used after one definition, and analogies of planted relations.

Brown et al. (2020) show novel words in Section 3.9.5 (`A "whatpu" is a small, furry animal ...`) and SAT analogies in
Section 3.9.3 (`audacious is to boldness as`, five choices). Here the words are made up, so that no answer can come from
memory, and which answer is right is known by construction.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from windtunnel.laboratory.errors import UsageError

_ONSETS = [*"bdfgklmnprstvz", "br", "dr", "fl", "gl", "kr", "pl", "sn", "st", "tr"]
_VOWELS = [*"aeiou", "ai", "ou"]
_CODAS = [*"bdgklmnprstx", "nd", "rk", "lt", "mp"]

KINDS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "animal": (
        ("a small furry animal of the mountains", "a large bird of the coast", "a long-eared animal of the plains"),
        ("We saw a {word} drink from the stream.", "The {word} fed its young in the nest at dawn."),
    ),
    "tool": (
        ("a tool for cutting stone", "a heavy tool for turning bolts", "an instrument for measuring angles"),
        ("She put the {word} back into the box beside the hammer.", "His {word} was rusty, so he oiled the handle."),
    ),
    "food": (
        ("a sweet cake of honey and nuts", "a thick soup of beans", "a bread baked on hot stones"),
        ("He ate the {word} while it was still warm.", "Grandmother cooked a {word} for the whole family."),
    ),
    "garment": (
        ("a long coat worn in winter", "a wide hat against the sun", "a pair of wooden shoes"),
        ("He wore his {word} to the wedding.", "Her {word} was torn at the seam and had to be sewn."),
    ),
}
"""Kinds of things: definitions, and sentences in which only a thing of the kind makes sense."""


@dataclass(frozen=True)
class Choice:
    """A question with its possible answers.

    Attributes:
        context: Read before the answer.
        choices: Possible continuations.
        target: Place of the right one.
    """

    context: str
    choices: tuple[str, ...]
    target: int


def invent_words(count: int, generator: np.random.Generator, known: Sequence[str] = ()) -> list[str]:
    """Different pronounceable words of two syllables.

    Args:
        count: How many.
        generator: Source of the letters.
        known: Words that are not to be given.

    Raises:
        UsageError: So many cannot be made.
    """
    size = (len(_ONSETS) * len(_VOWELS)) ** 2 * len(_CODAS)
    if not 0 <= count <= size // 4:
        raise UsageError(f"{count} words cannot be invented; ask for up to {size // 4}.")
    taken: set[str] = set(known)
    found: list[str] = []
    while len(found) < count:
        parts = [generator.choice(options) for options in (_ONSETS, _VOWELS, _ONSETS, _VOWELS, _CODAS)]
        word = "".join(map(str, parts))
        if word not in taken:
            taken.add(word)
            found.append(word)
    return found


def novel_words(count: int, generator: np.random.Generator, choices: int = 4) -> list[Choice]:
    """Questions after the definition of a word: which sentence uses it rightly; the others are of other kinds.

    Raises:
        UsageError: Fewer than two choices or more than there are kinds.
    """
    if not 2 <= choices <= len(KINDS):
        raise UsageError(f"{choices} choices cannot be offered; there are {len(KINDS)} kinds of words.")
    found = []
    for word in invent_words(count, generator):
        kinds = [str(kind) for kind in generator.permutation(list(KINDS))[:choices]]
        target = int(generator.integers(choices))
        definition = str(generator.choice(KINDS[kinds[target]][0]))
        sentences = tuple(" " + str(generator.choice(KINDS[kind][1])).format(word=word) for kind in kinds)
        context = f'A "{word}" is {definition}. An example of a sentence that uses the word {word} is:'
        found.append(Choice(context, sentences, target))
    return found


class Analogies:
    """Relations planted between invented words, each of which joins as many pairs.

    Args:
        relations: How many.
        pairs: Of words in each; no word is in two.
        generator: Source of the words.

    Attributes:
        table: The pairs of each relation.

    Raises:
        UsageError: There are fewer than two relations, or of pairs.
    """

    def __init__(self, relations: int, pairs: int, generator: np.random.Generator) -> None:
        if relations < 2 or pairs < 2:
            raise UsageError(f"{relations} relations of {pairs} pairs make no analogy; two of two pairs are the least.")
        words = iter(invent_words(2 * relations * pairs + relations, generator))
        self.names = [next(words) for _ in range(relations)]
        self.table = [[(next(words), next(words)) for _ in range(pairs)] for _ in range(relations)]

    def facts(self) -> list[str]:
        """Every pair as a sentence that says its relation: what a model must have read to solve the analogies."""
        return [
            f"the {name} of {first} is {second} ."
            for name, pairs in zip(self.names, self.table, strict=True)
            for first, second in pairs
        ]

    def questions(self, count: int, generator: np.random.Generator, choices: int = 5) -> list[Choice]:
        """Analogies in the paper's form, with one right choice and others whose words no relation or another joins.

        Args:
            count: How many.
            generator: Source of the draws.
            choices: Offered; chance is one over them.

        Raises:
            UsageError: Fewer than two choices.
        """
        if choices < 2:
            raise UsageError(f"{choices} choices leave nothing to choose; offer two or more.")
        found = []
        for _ in range(count):
            relation = int(generator.integers(len(self.table)))
            asked, right = (
                self.table[relation][int(place)]
                for place in generator.choice(len(self.table[relation]), size=2, replace=False)
            )
            offered = [self._other(relation, generator) for _ in range(choices)]
            target = int(generator.integers(choices))
            offered[target] = right
            context = f"{asked[0]} is to {asked[1]} as"
            found.append(Choice(context, tuple(f" {one} is to {other}" for one, other in offered), target))
        return found

    def related(self, first: str, second: str) -> int | None:
        """The relation that joins two words, or None."""
        for number, pairs in enumerate(self.table):
            if (first, second) in pairs:
                return number
        return None

    def _other(self, relation: int, generator: np.random.Generator) -> tuple[str, str]:
        """A pair of another relation, or of words that no relation joins."""
        other = int(generator.choice([number for number in range(len(self.table)) if number != relation]))
        one, two = (
            self.table[other][int(place)] for place in generator.choice(len(self.table[other]), size=2, replace=False)
        )
        return one if generator.random() < 0.5 else (one[0], two[1])
