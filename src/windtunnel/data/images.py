"""Real small images as rows of tokens: the handwritten digits of scikit-learn, and CIFAR-10 made small."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from windtunnel.data.sources import Rows, derived_seed
from windtunnel.laboratory.errors import DataError, UsageError

CIFAR = Path("cifar10-subset", "cifar10_7000.npz")
"""Where CIFAR-10 lies under the directory that `WINDTUNNEL_DATA` names."""


@dataclass(frozen=True)
class LabelledImages:
    """Images as grey levels in raster order; of colours, red, green and blue of each pixel in turn.

    Attributes:
        pixels: [image, value]
        labels: [image]
        levels: Grey levels.
        side: Pixels of the side.
    """

    pixels: Int[Tensor, "image value"]
    labels: Int[Tensor, " image"]
    levels: int
    side: int

    def rows(self) -> Int[Tensor, "image token"]:
        """All images as rows, each after the token that begins it: the one after the last level."""
        start = torch.full((len(self.pixels), 1), self.levels)
        return torch.cat([start, self.pixels], dim=1)


class ImageRows:
    """Endless rows of a finite set of images, in another order each epoch.

    Args:
        images: The set.
        seed: Decides the order.

    Attributes:
        vocabulary: Token types.
        context: Tokens a model reads.
        epoch: Images in the set.
    """

    def __init__(self, images: LabelledImages, seed: int) -> None:
        self.vocabulary, self.context = images.levels + 1, images.pixels.shape[1]
        self.epoch, self.seed = len(images.pixels), seed
        self._rows = images.rows()
        self._order: tuple[int, Tensor] = (-1, torch.empty(0))

    def rows(self, start: int, count: int) -> Rows:
        """Rows `start` to `start + count - 1`."""
        return {"tokens": self._rows[torch.tensor([self._place(row) for row in range(start, start + count)])]}

    def _place(self, row: int) -> int:
        epoch, place = divmod(row, self.epoch)
        if self._order[0] != epoch:
            generator = torch.Generator().manual_seed(derived_seed(self.seed, epoch))
            self._order = (epoch, torch.randperm(self.epoch, generator=generator))
        return int(self._order[1][place])


def digits(levels: int = 6) -> tuple[LabelledImages, LabelledImages]:
    """The 1,797 digits of 8 x 8 pixels that come with scikit-learn, as a train and a test set (every fifth).

    Args:
        levels: Grey levels, at most 17.

    Raises:
        UsageError: The levels are out of range.
    """
    if not 2 <= levels <= 17:
        raise UsageError(f"The digits have 17 grey levels, which cannot be made {levels}; choose from 2 to 17.")
    from sklearn.datasets import load_digits

    found = load_digits()
    grey = torch.from_numpy((found.data * levels / 17).astype(np.int64))
    labels = torch.from_numpy(found.target.astype(np.int64))
    test = torch.arange(len(grey)) % 5 == 0
    return tuple(LabelledImages(grey[part], labels[part], levels, 8) for part in (~test, test))  # type: ignore[return-value]


def cifar(side: int = 8, levels: int = 16) -> tuple[LabelledImages, LabelledImages]:
    """A part of CIFAR-10 in colour, averaged down to a smaller side: 6,000 images to learn from and 1,000 held out.

    Args:
        side: 8, 16 or 32 pixels.
        levels: Of each colour.

    Raises:
        UsageError: Side or levels are out of range, or `WINDTUNNEL_DATA` does not name a directory that has it.
        DataError: The file is damaged.
    """
    if side not in (8, 16, 32) or not 2 <= levels <= 256:
        raise UsageError(f"CIFAR-10 of side {side} with {levels} levels is not made; choose 8, 16 or 32, and 2 to 256.")
    path = Path(os.environ.get("WINDTUNNEL_DATA", "."), CIFAR)
    if not path.exists():
        raise UsageError(f"{path} is not there; set WINDTUNNEL_DATA to the directory that holds {CIFAR}.")
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read ({error}); fetch it again.") from error
    parts = []
    for part in ("train", "test"):
        images, labels = _find(arrays, part, 4), _find(arrays, part, 1)
        box = 32 // side
        small = images.reshape(len(images), side, box, side, box, 3).mean(axis=(2, 4))
        values = torch.from_numpy((small * levels / 256).astype(np.int64).reshape(len(images), -1))
        parts.append(LabelledImages(values, torch.from_numpy(labels.astype(np.int64)), levels, side))
    return parts[0], parts[1]


def _find(arrays: dict[str, np.ndarray], part: str, dimensions: int) -> np.ndarray:
    for name, array in arrays.items():
        if part in name and array.ndim == dimensions:
            return array
    raise DataError(f"The CIFAR-10 file has no {part} array of {dimensions} dimensions; fetch it again.")
