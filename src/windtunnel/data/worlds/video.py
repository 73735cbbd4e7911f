"""Video with a known floor at every frame: a dot that moves by its clip's own habits.

In each clip the dot has its own preferences among a few steps, drawn from a symmetric Dirichlet, and every step is an
independent draw from them; the image is a torus. The best predictor counts the steps seen so far (Pólya's urn), so that
its loss falls towards the entropy of the preferences as a power of the frame's number: exactly known at every frame.
"""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from windtunnel.data.worlds.entropy import KnownSource
from windtunnel.laboratory.errors import UsageError

STEPS = ((0, 0), (0, 1), (1, 0), (0, -1), (-1, 0))
"""What the dot can do between two frames, in rows and columns."""

DARK, LIT, START = 0, 1, 2


class MovingDot(KnownSource):
    """Clips of one lit pixel, frame after frame in raster order, after one token that begins them.

    Args:
        side: Pixels of a frame's side, at least 3, so that all steps end on different pixels.
        frames: Per clip.
        concentration: Of the Dirichlet: the smaller, the stronger a clip's habit.
        seed: Decides every row.

    Attributes:
        frame_entropy: Nats of each frame given those before it [frame].
        floor: What these tend to with ever more frames: the mean entropy of a clip's preferences.
        entropy_rate: Nats per pixel over the clip.

    Raises:
        UsageError: Sizes or concentration are out of range.
    """

    def __init__(self, side: int, frames: int, concentration: float, seed: int) -> None:
        if side < 3 or frames < 2 or concentration <= 0:
            raise UsageError(
                f"A clip of {frames} frames of side {side} with concentration {concentration} cannot be drawn; give "
                "at least 2 frames, side 3 and a concentration above 0."
            )
        super().__init__(3, side * side * frames, seed)
        self.side, self.frames, self.concentration = side, frames, concentration
        self.frame_entropy = torch.tensor(
            [2 * math.log(side), *(urn_entropy(len(STEPS), concentration, seen) for seen in range(frames - 1))],
            dtype=torch.float64,
        )
        total = torch.tensor(len(STEPS) * concentration + 1, dtype=torch.float64)
        one = torch.tensor(concentration + 1, dtype=torch.float64)
        self.floor = float(torch.digamma(total) - torch.digamma(one))
        self.entropy_rate = float(self.frame_entropy.sum()) / self.context
        self._steps = torch.tensor(STEPS)

    def draw(self, count: int, generator: torch.Generator) -> Int[Tensor, "row token"]:
        """Draw clips: the first place, then steps by Pólya's urn, which is what Dirichlet preferences amount to."""
        place = torch.randint(self.side, (count, 2), generator=generator)
        counts = torch.full((count, len(STEPS)), self.concentration, dtype=torch.float64)
        places = [place]
        for _ in range(self.frames - 1):
            step = torch.multinomial(counts, 1, generator=generator)
            counts.scatter_add_(1, step, torch.ones_like(step, dtype=torch.float64))
            place = (place + self._steps[step[:, 0]]) % self.side
            places.append(place)
        cells = torch.stack(places, dim=1)
        pixels = torch.zeros(count, self.frames, self.side**2, dtype=torch.long)
        pixels.scatter_(2, (cells[..., :1] * self.side + cells[..., 1:]), LIT)
        return torch.cat([torch.full((count, 1), START), pixels.flatten(1)], dim=1)

    def log_probabilities(self, tokens: Int[Tensor, "row token"]) -> Float[Tensor, "row token"]:
        """Log-probability of each pixel given those before it; rows must be whole clips of one lit pixel a frame.

        Raises:
            UsageError: A frame has no lit pixel, or several.
        """
        frames = tokens[:, 1:].reshape(len(tokens), self.frames, self.side**2)
        if not bool((frames == LIT).sum(-1).eq(1).all()):
            raise UsageError("Every frame has exactly one lit pixel; give whole clips of this world.")
        cells = (frames == LIT).long().argmax(-1)
        counts = torch.full((len(tokens), len(STEPS)), self.concentration, dtype=torch.float64)
        chances = torch.full((len(tokens), self.side**2), 1.0 / self.side**2, dtype=torch.float64)
        found = [torch.zeros(len(tokens), 1, dtype=torch.float64)]
        for frame in range(self.frames):
            if frame:
                ends = self._ends(cells[:, frame - 1])
                chances = torch.zeros_like(chances).scatter_add_(1, ends, counts / counts.sum(1, keepdim=True))
                counts = counts + (ends == cells[:, frame, None])
            found.append(_raster(chances, cells[:, frame]))
        return torch.cat(found, dim=1)

    def _ends(self, cells: Int[Tensor, " row"]) -> Int[Tensor, "row step"]:
        """The cell each step leads to."""
        row = (cells[:, None] // self.side + self._steps[:, 0]) % self.side
        column = (cells[:, None] % self.side + self._steps[:, 1]) % self.side
        return row * self.side + column


def urn_entropy(steps: int, concentration: float, seen: int) -> float:
    """Entropy of the next draw from Pólya's urn given `seen` draws, in nats: a sum over how often it was drawn before.

    How often one of the steps has been drawn is beta-binomial with parameters a and (steps − 1) a.
    """
    a, b, total = concentration, (steps - 1) * concentration, steps * concentration + seen
    entropy = 0.0
    for count in range(seen + 1):
        log_chance = math.lgamma(seen + 1) - math.lgamma(count + 1) - math.lgamma(seen - count + 1)
        log_chance += _log_beta(count + a, seen - count + b) - _log_beta(a, b)
        share = (a + count) / total
        entropy -= steps * math.exp(log_chance) * share * math.log(share)
    return entropy


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


def _raster(chances: Float[Tensor, "row cell"], lit: Int[Tensor, " row"]) -> Float[Tensor, "row cell"]:
    """Log-probability of each pixel in raster order, when one cell is lit with these chances."""
    before = chances.cumsum(1) - chances
    left = (1 - before).clamp(min=1e-300)
    cell = torch.arange(chances.shape[1])
    hit = (chances / left).clamp(max=1.0)
    logs = torch.where(cell == lit[:, None], hit.log(), torch.log1p(-hit))
    return torch.where(cell > lit[:, None], 0.0, logs)
