"""Words to be put right again: the five tasks of Brown et al. (2020; Section 3.9.2, Table 3.10).

Letters cycled, all letters but the first and last or the first two and last two shuffled, a random symbol inserted
between any two letters, and words reversed. The rules are those that the released files follow: letters are cycled by
one place at least; a shuffled word differs from the word where it can; inserted are a space or one of `./!`.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Literal, get_args

import numpy as np

from windtunnel.data.worlds.questions import Question
from windtunnel.laboratory.errors import DataError, UsageError

Scrambling = Literal[
    "cycle_letters_in_word",
    "mid_word_1_anagrams",
    "mid_word_2_anagrams",
    "random_insertion_in_word",
    "reversed_words",
]
"""The tasks, by the names of the released files; the paper's CL, A1, A2, RI and RW."""

SYMBOLS = " ./!"
"""What is inserted between letters."""

LENGTHS = {name: (5 if name == "mid_word_1_anagrams" else 6, 15) for name in get_args(Scrambling)}
"""Letters of a word at least and at most, as in the released files (the paper says more than 4 and fewer than 15)."""

_WORD = re.compile(r"[a-z]+")


def frequent_words(texts: Iterable[str], count: int, shortest: int = 5, longest: int = 15) -> list[str]:
    """The most frequent words of a corpus, the commonest first; among equals in the order of the alphabet.

    Args:
        texts: The corpus; read once.
        count: How many; the paper takes 10,000.
        shortest: Letters at least.
        longest: Letters at most.

    Raises:
        DataError: The corpus has fewer.
    """
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(word for word in _WORD.findall(text.lower()) if shortest <= len(word) <= longest)
    if len(counts) < count:
        raise DataError(
            f"The corpus has {len(counts)} words of {shortest} to {longest} letters, not {count}; read more."
        )
    return sorted(counts, key=lambda word: (-counts[word], word))[:count]


def scramble(word: str, task: Scrambling, generator: np.random.Generator) -> str:
    """The word as the task shows it.

    Raises:
        UsageError: The word is too short for the task, or there is no such task.
    """
    if task not in LENGTHS:
        raise UsageError(f"There is no scrambling {task!r}; choose one of {', '.join(LENGTHS)}.")
    if len(word) < 2:
        raise UsageError(f"{word!r} is too short to be scrambled; use words of two letters or more.")
    if task == "reversed_words":
        return word[::-1]
    if task == "cycle_letters_in_word":
        places = int(generator.integers(1, len(word)))
        return word[places:] + word[:places]
    if task == "random_insertion_in_word":
        between = generator.integers(len(SYMBOLS), size=len(word) - 1)
        return word[0] + "".join(SYMBOLS[place] + letter for place, letter in zip(between, word[1:], strict=True))
    kept = 1 if task == "mid_word_1_anagrams" else 2
    middle = list(word[kept:-kept])
    if len(set(middle)) < 2:
        return word
    shuffled = middle
    while shuffled == middle:
        shuffled = [str(letter) for letter in generator.permutation(middle)]
    return word[:kept] + "".join(shuffled) + word[-kept:]


def scrambled_words(words: Sequence[str], task: Scrambling, generator: np.random.Generator) -> list[Question]:
    """A question for each word that is long enough for the task.

    Raises:
        UsageError: There is no such task.
    """
    if task not in LENGTHS:
        raise UsageError(f"There is no scrambling {task!r}; choose one of {', '.join(LENGTHS)}.")
    shortest, longest = LENGTHS[task]
    fitting = [word for word in words if shortest <= len(word) <= longest]
    return [Question(f"\n{scramble(word, task, generator)} =", f" {word}") for word in fitting]


class Unscrambler:
    """Answers the questions by looking through a list of words: what is scrambled like that.

    Args:
        words: The list.
    """

    def __init__(self, words: Iterable[str]) -> None:
        self._words = list(dict.fromkeys(words))
        self._known = set(self._words)
        self._by_key: dict[tuple[str, str], list[str]] = {}
        for word in self._words:
            for task in ("cycle_letters_in_word", "mid_word_1_anagrams", "mid_word_2_anagrams"):
                self._by_key.setdefault((task, _key(word, task)), []).append(word)

    def answers(self, shown: str, task: Scrambling) -> list[str]:
        """All words of the list that can be shown so: one where the question has one answer."""
        if task == "reversed_words":
            return [shown[::-1]] if shown[::-1] in self._known else []
        if task == "random_insertion_in_word":
            return [shown[::2]] if shown[::2] in self._known else []
        found = self._by_key.get((task, _key(shown, task)), [])
        return [word for word in found if word != shown] or [word for word in found if word == shown]


def _key(word: str, task: str) -> str:
    """What all scramblings of a word share."""
    if task == "cycle_letters_in_word":
        return min(word[place:] + word[:place] for place in range(len(word)))
    kept = 1 if task == "mid_word_1_anagrams" else 2
    return word[:kept] + "".join(sorted(word[kept:-kept])) + word[-kept:]
