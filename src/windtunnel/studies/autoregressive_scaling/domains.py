"""The domains: what is learned from, what is held out, and what is known about it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from windtunnel.data.images import ImageRows, cifar, digits
from windtunnel.data.sources import Rows, Source, derived_seed
from windtunnel.data.worlds.arithmetic import Arithmetic, encode
from windtunnel.data.worlds.captions import CaptionedPictures, Direction
from windtunnel.data.worlds.entropy import KnownSource, MarkovChain, random_transition
from windtunnel.data.worlds.pictures import Pictures, every_shape, one_shape, two_shapes
from windtunnel.data.worlds.shuffled import Shuffled
from windtunnel.data.worlds.video import MovingDot
from windtunnel.models.transformer import TransformerConfig
from windtunnel.scaling.material import Material

if TYPE_CHECKING:
    from windtunnel.studies.autoregressive_scaling import Config

HELD_OUT = 2**40
"""First row of the held-out rows of a world: no training comes near it."""

TEXT_CONTEXT, MATHS_CONTEXT = 32, 56
BLANK = 0.05
"""Share of blank rows where models see blanks from the start (the paper: 95/5)."""
Positions = Literal["learned", "rotary"]


@dataclass(frozen=True)
class Domain:
    """One domain.

    Attributes:
        source: What is learned from; in the null control, the same without its structure.
        test: Held-out rows, with structure always.
        positions: How the decoder is told positions: rotary where relations count, learned where places do.
        best: Loss of the best possible predictor on every token of the test rows [row, position], if it is known.
        entropy: Expected loss of the best possible predictor, nats per token, if it is known.
    """

    source: Source
    test: Rows
    positions: Positions
    best: Float[Tensor, "row position"] | None = None
    entropy: float | None = None


def known(world: KnownSource, positions: Positions, config: "Config", seed: int, null: bool) -> Domain:
    """A world of known entropy; its null has its tokens in any order."""
    test = world.rows(HELD_OUT, config.held_out)
    best = -world.log_probabilities(test["tokens"])[:, 1:]
    return Domain(Shuffled(world, seed) if null else world, test, positions, best, world.entropy_rate)


def images(config: "Config", seed: int, null: bool) -> Domain:
    """Pictures of two shapes, or real images."""
    if config.image_source == "pictures":
        side = config.image_side
        return known(Pictures(two_shapes(side, every_shape(side)), seed), "rotary", config, seed, null)
    train, test = digits() if config.image_source == "digits" else cifar(config.image_side)
    source = ImageRows(train, seed)
    return Domain(Shuffled(source, seed) if null else source, {"tokens": test.rows()[: config.held_out]}, "rotary")


def other_pictures(config: "Config", seed: int) -> Int[Tensor, "row token"]:
    """Images that no image model was trained on: single shapes, with the grain and levels of the pictures."""
    side = config.image_side
    return Pictures(one_shape(side, 2, every_shape(side, (5, 6))), seed).rows(HELD_OUT, config.held_out)["tokens"]


def video(config: "Config", seed: int, null: bool) -> Domain:
    """Clips of a moving dot."""
    return known(MovingDot(config.video_side, config.frames, config.habit, seed), "learned", config, seed, null)


def text(config: "Config", seed: int, null: bool) -> Domain:
    """A Markov chain."""
    transition = random_transition(config.text_vocabulary, np.random.default_rng(seed), 0.1)
    return known(MarkovChain(transition, TEXT_CONTEXT, seed), "learned", config, seed, null)


def captioned(
    direction: Direction, config: "Config", seed: int, *, paired: bool = True, blank: float = 0.0
) -> CaptionedPictures:
    """The world of captioned pictures."""
    return CaptionedPictures(direction, seed, side=config.caption_side, paired=paired, blank=blank)


def captions(direction: Direction, config: "Config", seed: int, null: bool, blank: float = 0.0) -> Domain:
    """Captioned pictures; in the null control captions are those of other pictures."""
    world = captioned(direction, config, derived_seed(seed, blank) % 2**31, paired=not null, blank=blank)
    test = captioned(direction, config, seed).rows(HELD_OUT, config.held_out)
    return Domain(world, test, "learned")


def maths(config: "Config", seed: int, null: bool) -> Domain:
    """Problems in a row, answers alone counting; in the null control answers are those of other problems."""
    digits = (1, config.maths_digits)
    source = Arithmetic(MATHS_CONTEXT, digits, seed, modules=config.maths_modules, answered=not null)
    test = Arithmetic(MATHS_CONTEXT, digits, seed, modules=config.maths_modules)
    return Domain(source, test.rows(HELD_OUT, config.held_out // 4), "rotary")


class FirstRows:
    """The first rows of a source, again and again.

    Args:
        source: Where they come from.
        count: How many.
    """

    def __init__(self, source: Source, count: int) -> None:
        self.vocabulary, self.context = source.vocabulary, source.context
        self._held = source.rows(0, count)

    def rows(self, start: int, count: int) -> Rows:
        """Rows `start` to `start + count - 1`."""
        places = torch.arange(start, start + count) % len(self._held["tokens"])
        return {name: values[places] for name, values in self._held.items()}


def language(material: Material, config: "Config", seed: int) -> Domain:
    """Real text, in bytes; in the null control its bytes are in a random order."""
    (name,) = material.held_out
    test = {"tokens": material.test_rows(name, config.language_context, config.language_rows)}
    return Domain(material.source(config.language_context, seed), test, "rotary")


def problems(config: "Config", module: str, digits: int, count: int, seed: int) -> Int[Tensor, "row token"]:
    """Rows of one problem each, after a `;` and filled up with `;`."""
    world = Arithmetic(MATHS_CONTEXT, (1, max(digits, 1)), seed, modules=config.maths_modules)
    draws = np.random.default_rng(derived_seed(seed, module, digits))
    texts = [";" + "".join(world.problem(draws, module, digits)) for _ in range(count)]
    return torch.stack([encode(one.ljust(MATHS_CONTEXT + 1, ";")) for one in texts])


DOMAINS: dict[str, Callable[["Config", int, bool], Domain]] = {
    "images": images,
    "video": video,
    "text": text,
    "maths": maths,
    "text-to-image": lambda config, seed, null: captions("text-to-image", config, seed, null),
    "image-to-text": lambda config, seed, null: captions("image-to-text", config, seed, null),
    "text-to-image, mixed": lambda config, seed, null: captions("text-to-image", config, seed, null, BLANK),
    "image-to-text, mixed": lambda config, seed, null: captions("image-to-text", config, seed, null, BLANK),
}


def decoder(domain: Domain, width: int, layers: int) -> TransformerConfig:
    """The paper's shape: hidden width of the MLP = width, of attention = width / 4, max(2, width / 64) heads."""
    return shape(domain.source.vocabulary, domain.source.context, width, layers, domain.positions)


def shape(
    vocabulary: int, context: int, width: int, layers: int, positions: Positions = "learned"
) -> TransformerConfig:
    """Of 3 · layers · width² parameters without embeddings."""
    heads = max(2, width // 64)
    return TransformerConfig(
        vocabulary=vocabulary,
        context=context,
        layers=layers,
        width=width,
        heads=heads,
        head_width=width // (4 * heads),
        mlp_ratio=1.0,
        positions=positions,
    )
