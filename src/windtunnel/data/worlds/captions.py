"""Captioned pictures: image and caption with exactly known mutual information.

A picture shows one shape; its caption names the shape's kind, shade, size and where it is, and each word may be left
out. There are few enough pictures and captions to list all pairs with their probabilities, so that the information that
a caption has about its image (and the image about the caption, which is the same) is a sum over a table. Grain tells
nothing, since it does not depend on the caption once the picture is known.
"""

import itertools
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from windtunnel.data.sources import BlockSource
from windtunnel.data.worlds.pictures import GRAIN, Pictures, Shape, every_shape, one_shape
from windtunnel.laboratory.errors import UsageError

Direction = Literal["text-to-image", "image-to-text"]

UNSAID = "something"
"""What stands where a word is left out."""


class CaptionedPictures(BlockSource):
    """Rows of a caption and an image, in either order, after one token that begins them.

    Tokens are the image's grey levels, then the token that begins a row, the blank, and the words.

    Args:
        direction: `text-to-image`: the caption comes first and the image is asked for; `image-to-text`: the reverse.
        seed: Decides every row.
        side: Pixels of the image's side.
        shades: Shades a shape can have.
        sizes: Sides a shape can have.
        silence: Probability that a word is left out.
        grain: Probability of each grey level of a shade.
        paired: False: captions are those of other pictures, so that they tell nothing.
        blank: Share of rows whose given part is blank.

    Attributes:
        information: Mutual information of caption and image in nats (0 if not paired).
        image_entropy: Nats per image.
        caption_entropy: Nats per caption.
        words: Words by place in the caption.
        given: Columns of the given part in a row.
        asked: Columns of the part asked for.

    Raises:
        UsageError: A probability is out of range.
    """

    def __init__(
        self,
        direction: Direction,
        seed: int,
        *,
        side: int = 8,
        shades: int = 2,
        sizes: tuple[int, ...] = (3, 4),
        silence: float = 0.15,
        grain: tuple[float, ...] = GRAIN,
        paired: bool = True,
        blank: float = 0.0,
    ) -> None:
        if not (0 <= silence <= 1 and 0 <= blank <= 1):
            raise UsageError(
                f"A word left out with probability {silence}, rows blank with {blank}: choose from 0 to 1."
            )
        shapes = every_shape(side, sizes)
        self.pictures = Pictures(one_shape(side, shades, shapes), seed, grain=grain)
        self.direction, self.paired, self.blank = direction, paired, blank
        descriptions = [description(shape, shade, side) for shape in shapes for shade in range(1, shades + 1)]
        self.words = tuple(
            (UNSAID, *dict.fromkeys(said[place] for said in descriptions)) for place in range(len(descriptions[0]))
        )
        self.caption_length = len(self.words)
        self.start = self.pictures.start
        self.blank_token = self.start + 1
        self._first_word = torch.tensor([0, *itertools.accumulate(map(len, self.words[:-1]))]) + self.blank_token + 1
        pixels = side * side
        super().__init__(self.blank_token + 1 + sum(map(len, self.words)), pixels + self.caption_length, seed)
        first, second = slice(1, 1 + self.caption_length), slice(1 + self.caption_length, 1 + self.context)
        if direction == "image-to-text":
            first, second = slice(1, 1 + pixels), slice(1 + pixels, 1 + self.context)
        self.given, self.asked = first, second
        self._table = one_shape(side, shades, shapes).to(torch.uint8)
        self._said = torch.tensor(
            [[self.words[place].index(word) for place, word in enumerate(said)] for said in descriptions]
        )
        self.silence = silence
        self._count_pairs()

    def _count_pairs(self) -> None:
        """The joint table of pictures and captions, and what follows from it."""
        captions = torch.tensor(list(itertools.product(*(range(len(words)) for words in self.words))))
        place = {tuple(row): index for index, row in enumerate(self.pictures.table.tolist())}
        joint = torch.zeros(len(place), len(captions), dtype=torch.float64)
        for picture, said in zip(self._table.tolist(), self._said, strict=True):
            right = (captions == said).double() * (1 - self.silence)
            chances = torch.where(captions == 0, torch.full_like(right, self.silence), right)
            joint[place[tuple(picture)]] += chances.prod(dim=1) / len(self._table)
        self._of_caption = joint.sum(0)
        self._caption_given_picture = joint / joint.sum(1, keepdim=True)
        self._place = place
        self._radix = torch.tensor(
            [*itertools.accumulate([len(words) for words in self.words[:0:-1]], lambda a, b: a * b, initial=1)][::-1]
        )
        independent = joint.sum(1, keepdim=True) * self._of_caption
        gain = torch.where(joint > 0, (joint / independent.clamp(min=1e-300)).log(), 0.0)
        self.information = float((joint * gain).sum()) if self.paired else 0.0
        self.image_entropy = self.pictures.entropy
        self.caption_entropy = float(-torch.special.xlogy(self._of_caption, self._of_caption).sum())

    def draw(self, count: int, generator: torch.Generator) -> Int[Tensor, "row token"]:
        """Draw rows: the picture, its grain, the caption; then blank some."""
        chosen = torch.randint(len(self._table), (count,), generator=generator)
        image = self.pictures.grained(self._table[chosen], generator)[:, 1:]
        told = chosen if self.paired else torch.randint(len(self._table), (count,), generator=generator)
        silent = torch.rand(count, self.caption_length, generator=generator) < self.silence
        caption = self._first_word + self._said[told].masked_fill(silent, 0)
        order = (caption, image) if self.direction == "text-to-image" else (image, caption)
        rows = torch.cat([torch.full((count, 1), self.start), *order], dim=1)
        blank = torch.rand(count, generator=generator) < self.blank
        return torch.where(blank[:, None], self.blanked(rows), rows)

    def blanked(self, tokens: Int[Tensor, "row token"]) -> Int[Tensor, "row token"]:
        """The same rows with nothing told: the given part is all blank tokens."""
        rows = tokens.clone()
        rows[:, self.given] = self.blank_token
        return rows

    def pointwise_information(self, tokens: Int[Tensor, "row token"]) -> Float[Tensor, " row"]:
        """Log of p(image, caption) / p(image) p(caption) of each row, in nats; its mean tends to `information`."""
        text, image = (self.given, self.asked) if self.direction == "text-to-image" else (self.asked, self.given)
        clean = (tokens[:, image] // len(self.pictures.grain)).tolist()
        picture = torch.tensor([self._place[tuple(row)] for row in clean])
        caption = ((tokens[:, text] - self._first_word) * self._radix).sum(dim=1)
        return (self._caption_given_picture[picture, caption] / self._of_caption[caption]).log()

    def caption(self, tokens: Int[Tensor, " word"]) -> str:
        """The words of a caption's tokens."""
        places = (tokens - self._first_word).tolist()
        return " ".join(
            words[place] if 0 <= place < len(words) else "?" for words, place in zip(self.words, places, strict=True)
        )


def description(shape: Shape, shade: int, side: int) -> tuple[str, ...]:
    """The words of a shape: its shade, size and kind, and the half of the image it begins in, by row and column."""
    centre = (side - shape.size) / 2
    return (
        f"shade-{shade}",
        f"size-{shape.size}",
        shape.kind,
        "top" if shape.row < centre else "bottom",
        "left" if shape.column < centre else "right",
    )
