"""Small images whose entropy is known exactly: shapes on a ground, drawn from a finite table, and grain on every pixel.

The table lists every clean picture with its probability. Grain turns each shade into one of a few grey levels of its
own, so that the clean picture can be read off the image; the entropy of an image is then that of the table plus that of
the grain, to the last digit, and so it is at every pixel in raster order. What a model has to learn is the table.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from windtunnel.data.worlds.entropy import KnownSource
from windtunnel.laboratory.errors import UsageError

KINDS = ("square", "frame", "cross", "slash")
"""Shapes that can be drawn: a filled square, its border, a plus, and a diagonal from lower left to upper right."""

GRAIN = (0.9, 0.1)
"""How often a pixel takes each of its shade's grey levels."""


@dataclass(frozen=True)
class Shape:
    """One shape at one place.

    Attributes:
        kind: One of `KINDS`.
        size: Pixels of its side.
        row: Of its upper left corner.
        column: Of its upper left corner.
    """

    kind: str
    size: int
    row: int
    column: int

    def mask(self, side: int) -> Int[Tensor, " pixel"]:
        """1 on the pixels it covers, in raster order."""
        box = torch.zeros(self.size, self.size, dtype=torch.long)
        if self.kind == "square":
            box[:] = 1
        elif self.kind == "frame":
            box[[0, -1]] = 1
            box[:, [0, -1]] = 1
        elif self.kind == "cross":
            box[self.size // 2] = 1
            box[:, self.size // 2] = 1
        else:
            box = torch.eye(self.size, dtype=torch.long).flip(1)
        image = torch.zeros(side, side, dtype=torch.long)
        image[self.row : self.row + self.size, self.column : self.column + self.size] = box
        return image.flatten()


def every_shape(side: int, sizes: tuple[int, ...] = (3, 4), kinds: tuple[str, ...] = KINDS) -> list[Shape]:
    """Every kind of shape in every size at every place where it fits.

    Raises:
        UsageError: A kind is unknown, or a size does not fit.
    """
    if not set(kinds) <= set(KINDS) or not kinds:
        raise UsageError(f"Shapes {', '.join(kinds) or 'none'} cannot be drawn; choose among {', '.join(KINDS)}.")
    if not sizes or not 2 <= min(sizes) <= max(sizes) <= side:
        raise UsageError(f"Shapes of sizes {sizes} do not fit an image of side {side}; sizes go from 2 to {side}.")
    return [
        Shape(kind, size, row, column)
        for kind in kinds
        for size in sizes
        for row in range(side - size + 1)
        for column in range(side - size + 1)
    ]


def one_shape(side: int, shades: int, shapes: list[Shape]) -> Int[Tensor, "picture pixel"]:
    """A picture of every shape in every shade from 1 to `shades`, the shades of one shape together."""
    masks = torch.stack([shape.mask(side) for shape in shapes])
    return torch.cat([mask[None] * torch.arange(1, shades + 1)[:, None] for mask in masks])


def two_shapes(side: int, shapes: list[Shape]) -> Int[Tensor, "picture pixel"]:
    """A picture of every ordered pair of shapes: the first in shade 1, the second before it in shade 2."""
    masks = torch.stack([shape.mask(side) for shape in shapes]).to(torch.int8)
    return torch.where(masks[None] == 1, 2, masks[:, None]).flatten(0, 1).to(torch.int8)


class Pictures(KnownSource):
    """Grained pictures of a table, each as one row: a token that begins it, then its pixels in raster order.

    A pixel of shade m has grey level m x grains + g with probability grain[g]; the token that begins a row is the one
    after the last level. `entropy_rate` is nats per pixel: the entropy of an image over its pixels.

    Args:
        table: Clean pictures as shades [picture, pixel]; equal ones count as one.
        seed: Decides every row.
        probabilities: Of each picture of the table, or in proportion to them; None: all alike.
        grain: Probability of each level of a shade.

    Attributes:
        levels: Grey levels.
        side: Pixels of the image's side.
        table: The distinct pictures in lexicographic order.
        probabilities: Of these, in float64.
        entropy: Nats per image.
        pixel_entropy: Nats of each pixel given those before it [pixel].

    Raises:
        UsageError: The pictures are not square, or probabilities do not fit them.
    """

    def __init__(
        self,
        table: Int[Tensor, "picture pixel"],
        seed: int,
        *,
        probabilities: Float[Tensor, " picture"] | None = None,
        grain: tuple[float, ...] = GRAIN,
    ) -> None:
        pixels = table.shape[1]
        self.side = round(pixels**0.5)
        weights = torch.ones(len(table), dtype=torch.float64) if probabilities is None else probabilities.double()
        if self.side**2 != pixels or len(weights) != len(table) or bool((weights < 0).any()) or min(grain) <= 0:
            raise UsageError(
                f"A table of shape {tuple(table.shape)} with {len(weights)} probabilities and grain {grain} is no "
                "world of square pictures; give one probability per picture, and grain above 0."
            )
        self.table, member = torch.unique(table.to(torch.uint8), dim=0, return_inverse=True)
        mass = torch.zeros(len(self.table), dtype=torch.float64).index_add_(0, member, weights)
        self.probabilities = mass / mass.sum()
        self.grain = torch.tensor(grain, dtype=torch.float64) / sum(grain)
        self.levels = (int(self.table.max()) + 1) * len(grain)
        super().__init__(self.levels + 1, pixels, seed)
        self._cumulative = torch.cat([torch.zeros(1, dtype=torch.float64), self.probabilities.cumsum(0)])
        self.pixel_entropy = self._pixel_entropy()
        self.entropy = float(self.pixel_entropy.sum())
        self.entropy_rate = self.entropy / pixels

    @property
    def start(self) -> int:
        """The token that begins a row."""
        return self.levels

    def draw(self, count: int, generator: torch.Generator) -> Int[Tensor, "row token"]:
        """Draw rows: the picture, then its grain."""
        uniform = torch.rand(count, generator=generator, dtype=torch.float64)
        chosen = torch.searchsorted(self._cumulative[1:], uniform, right=True).clamp_(max=len(self.table) - 1)
        return self.grained(self.table[chosen], generator)

    def grained(self, pictures: Int[Tensor, "row pixel"], generator: torch.Generator) -> Int[Tensor, "row token"]:
        """Rows of clean pictures with new grain."""
        uniform = torch.rand(pictures.shape, generator=generator, dtype=torch.float64)
        grains = torch.searchsorted(self.grain.cumsum(0), uniform, right=True).clamp_(max=len(self.grain) - 1)
        pixels = pictures.long() * len(self.grain) + grains
        return torch.cat([torch.full((len(pixels), 1), self.start), pixels], dim=1)

    def log_probabilities(self, tokens: Int[Tensor, "row token"]) -> Float[Tensor, "row token"]:
        """Log-probability of each token given those before it: of the pictures still possible, and of the grain."""
        pixels = tokens[:, 1:]
        shades = (pixels // len(self.grain)).clamp(max=self.levels // len(self.grain) - 1).to(torch.uint8)
        grain = self.grain.log()[pixels % len(self.grain)]
        low = torch.zeros(len(tokens), dtype=torch.long)
        high = torch.full((len(tokens),), len(self.table))
        found = [torch.where(tokens[:, 0] == self.start, 0.0, -torch.inf).double()]
        for pixel in range(pixels.shape[1]):
            before = self._mass(low, high)
            column = self.table[:, pixel]
            low, high = (
                self._bound(column, low, high, shades[:, pixel]),
                self._bound(column, low, high, shades[:, pixel].int() + 1),
            )
            chance = torch.where(before > 0, self._mass(low, high) / before.clamp(min=1e-300), 0.0)
            found.append(chance.log() + grain[:, pixel])
        return torch.stack(found, dim=1)

    def _mass(self, low: Tensor, high: Tensor) -> Tensor:
        return self._cumulative[high] - self._cumulative[low]

    @staticmethod
    def _bound(column: Tensor, low: Tensor, high: Tensor, value: Tensor) -> Tensor:
        """In each range of the sorted table, the first picture whose pixel is at least `value`, by bisection."""
        last = len(column) - 1
        while bool((low < high).any()):
            middle = (low + high) // 2
            below = (column[middle.clamp(max=last)] < value) & (low < high)
            low, high = torch.where(below, middle + 1, low), torch.where(below | (low >= high), high, middle)
        return low

    def _pixel_entropy(self) -> Float[Tensor, " pixel"]:
        """Entropy of each pixel given those before it: what the entropy of prefixes grows by, and the grain."""
        new = torch.zeros(self.table.shape, dtype=torch.bool)
        new[0] = True
        new[1:] = (self.table[1:] != self.table[:-1]).cummax(dim=1).values
        prefixes = []
        for pixel in range(self.table.shape[1]):
            group = new[:, pixel].cumsum(0) - 1
            mass = torch.zeros(int(group[-1]) + 1, dtype=torch.float64).index_add_(0, group, self.probabilities)
            prefixes.append(-torch.special.xlogy(mass, mass).sum())
        of_grain = -torch.special.xlogy(self.grain, self.grain).sum()
        entropy: Tensor = torch.stack(prefixes).diff(prepend=torch.zeros(1, dtype=torch.float64)) + of_grain
        return entropy
