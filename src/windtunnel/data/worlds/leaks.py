"""A corpus into which known test questions have leaked: the truth for a contamination report.

Questions are random words with an answer that nothing but a leak can tell, so that who never read them is right by
chance. A leaked one stands, question and answer, in some documents of random words.
"""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from windtunnel.data.worlds.invented_words import Choice, invent_words
from windtunnel.laboratory.errors import UsageError


class WordCodec:
    """Words of a list as tokens; what is not in it is one token of its own.

    Attributes:
        vocabulary: Words, that one, and one that begins a text.
        bos: Id of the last.
        eos: None.
    """

    def __init__(self, words: Sequence[str]) -> None:
        self.words = list(words)
        self._ids = {word: number for number, word in enumerate(self.words)}
        self.vocabulary = len(self.words) + 2
        self.bos: int | None = len(self.words) + 1
        self.eos: int | None = None
        self.pad: int | None = None

    def encode(self, text: str) -> list[int]:
        """Ids of the words between white space."""
        return [self._ids.get(word, len(self.words)) for word in text.split()]

    def decode(self, ids: Sequence[int]) -> str:
        """The words of ids, one space between them."""
        return " ".join([*self.words, "?", "^"][one] for one in ids)


class Leaks:
    """Questions, which of them leaked, and corpora with and without the leaks.

    Args:
        questions: How many.
        leaked_share: Of them.
        generator: Source of everything.
        vocabulary: Different words.
        length: Words in a question, before its answer.
        choices: Answers offered.

    Attributes:
        codec: The words as tokens.
        questions: In order.
        leaked: Numbers of the leaked ones.

    Raises:
        UsageError: A value is out of range.
    """

    def __init__(
        self,
        questions: int,
        leaked_share: float,
        generator: np.random.Generator,
        *,
        vocabulary: int = 120,
        length: int = 14,
        choices: int = 4,
    ) -> None:
        count = round(questions * leaked_share)
        if not 0 < count < questions or not 2 <= choices <= vocabulary or length < 1:
            raise UsageError(
                f"{questions} questions of which {leaked_share:g} leak, with {choices} choices of {vocabulary} words, "
                "cannot be made; some leak and some do not, and there are two choices at least."
            )
        self.codec = WordCodec(invent_words(vocabulary, generator))
        self.questions = []
        for _ in range(questions):
            asked = " ".join(generator.choice(self.codec.words, size=length))
            offered = generator.choice(self.codec.words, size=choices, replace=False)
            target = int(generator.integers(choices))
            self.questions.append(Choice(asked, tuple(f" {word}" for word in offered), target))
        self.leaked = frozenset(generator.permutation(questions)[:count].tolist())

    def documents(
        self, count: int, length: int, copies: int, generator: np.random.Generator, *, planted: bool = True
    ) -> list[str]:
        """Documents of random words.

        Args:
            count: How many.
            length: Words in each.
            copies: Documents in which each leaked question stands.
            generator: Source of the words and places.
            planted: False: the same number of documents without a leak.

        Raises:
            UsageError: There are too few documents, or they are too short.
        """
        texts = [
            f"{self.questions[number].context}{self.questions[number].choices[self.questions[number].target]}".split()
            for number in sorted(self.leaked)
        ] * copies
        if len(texts) > count or any(len(text) > length for text in texts):
            raise UsageError(
                f"{count} documents of {length} words do not hold {len(texts)} leaks; make more or longer."
            )
        documents = [list(generator.choice(self.codec.words, size=length)) for _ in range(count)]
        if planted:
            for document, text in zip(documents, texts, strict=False):
                start = int(generator.integers(length - len(text) + 1))
                document[start : start + len(text)] = text
        return [" ".join(documents[place]) for place in generator.permutation(count)]

    def rows(self, documents: Sequence[str]) -> Int[Tensor, "row token"]:
        """Documents of one length as rows of tokens, each begun by the token that begins a text."""
        return torch.tensor([[self.codec.bos, *self.codec.encode(text)] for text in documents])
