"""Why Kaplan et al. and Hoffmann et al. disagree: what counting does to one law, and a published staircase of repairs.

Pearce and Song (2024; arXiv:2406.12907) draw training curves from Chinchilla's law and read them as Kaplan et al. did,
in parameters and FLOPs without embeddings. Porian et al. (2024; arXiv:2406.19146) repair one thing after another in
trained models.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from windtunnel.laboratory.errors import DataError
from windtunnel.scaling.envelope import Frontier, curves, frontier
from windtunnel.scaling.laws.chinchilla import Chinchilla
from windtunnel.scaling.laws.interface import Floats

EMBEDDING = 47_491.0
"""Pearce and Song's N_T = N_nonE + 47491 N_nonE^(1/3), from the shapes of Hoffmann et al.'s models."""

KAPLAN_SIZES = tuple(np.logspace(2.9, 9.2, 20))
"""Twenty sizes over Kaplan et al.'s range, without embeddings."""


@dataclass(frozen=True)
class Counting:
    """The same training curves in two counts.

    Attributes:
        total: The frontier in all parameters and 6 N_T D.
        non_embedding: The frontier in parameters without embeddings and 6 N_nonE D.
    """

    total: Frontier
    non_embedding: Frontier


def count_twice(
    law: Chinchilla, non_embedding: ArrayLike = KAPLAN_SIZES, *, embedding: float = EMBEDDING, points: int = 400
) -> Counting:
    """Training curves of a law in total parameters, read in both counts by the envelope.

    Args:
        law: L(N_T, D).
        non_embedding: Sizes without embeddings.
        embedding: ω of N_T = N_nonE + ω N_nonE^(1/3).
        points: Budgets of each frontier, and tokens of each curve.
    """
    bare = np.asarray(non_embedding, dtype=np.float64)
    total = total_parameters(bare, embedding)
    best = law.B * law.beta / (law.A * law.alpha) * total**law.alpha  # of D^β, where D is the best for that size
    tokens = np.geomspace((best ** (1 / law.beta)).min() / 1e3, (best ** (1 / law.beta)).max() * 1e3, points)
    shape = (len(bare), points)
    seen = np.broadcast_to(tokens, shape)
    loss = law.formula(total[:, None], seen)
    run = np.repeat(np.arange(len(bare)), points)

    def read(sizes: Floats) -> Frontier:
        count = np.broadcast_to(sizes[:, None], shape)
        found = curves(count.ravel(), seen.ravel(), (6 * count * seen).ravel(), loss.ravel(), run, points=points)
        return frontier(found)

    return Counting(read(total), read(bare))


def total_parameters(non_embedding: ArrayLike, embedding: float = EMBEDDING) -> Floats:
    """N_T = N_nonE + ω N_nonE^(1/3): the width, and so the embedding, grows with the cube root of a fixed shape."""
    bare = np.asarray(non_embedding, dtype=np.float64)
    return np.asarray(bare + embedding * np.cbrt(bare))


def best_non_embedding_flops(law: Chinchilla, non_embedding: ArrayLike, *, embedding: float = EMBEDDING) -> Floats:
    """The budget 6 N_nonE D at which each size is the best, in closed form: what `count_twice` reads off curves.

    Its local slope runs from β / (α / 3 + β) for small models, whose parameters are mostly embeddings, to
    β / (α + β) for large ones.
    """
    bare = np.asarray(non_embedding, dtype=np.float64)
    total = total_parameters(bare, embedding)
    slope = 1 + embedding / 3 * np.cbrt(bare) / bare
    powered = law.alpha * law.A * total ** (-law.alpha - 1) * slope * bare / (law.beta * law.B)
    return np.asarray(6 * bare * powered ** (-1 / law.beta))


@dataclass(frozen=True)
class Stair:
    """One step of the staircase.

    Attributes:
        name: What was repaired, all earlier repairs kept.
        exponent: a of parameters ∝ FLOPs^a.
        published: By Porian et al., on the same data set.
        flops: Budgets whose best size lies inside the sizes trained.
        parameters: Those sizes.
    """

    name: str
    exponent: float
    published: float
    flops: Floats
    parameters: Floats


@dataclass(frozen=True)
class _Selection:
    """Runs of one step and how they are counted."""

    name: str
    hparams: str
    warmup: str
    decay: str
    loss: str
    unembedding: bool
    published: Mapping[str, float]


_STAIRCASE = (
    _Selection("Kaplan et al. reproduced", "base", "long", "kaplan", "train/loss", False, {"owt2": 0.864, "rw": 0.835}),
    _Selection("unembedding counted", "base", "long", "kaplan", "val/loss", True, {"owt2": 0.699, "rw": 0.706}),
    _Selection("warm-up as long as N", "base", "short", "kaplan", "val/loss", True, {"owt2": 0.603, "rw": 0.602}),
    _Selection("decay to each budget", "base", "short", "chinchilla", "val/loss", True, {"owt2": 0.574, "rw": 0.571}),
    _Selection("optimizer tuned by size", "tuned", "short", "const", "val/loss", True, {"owt2": 0.518, "rw": 0.497}),
)

PORIAN_BUDGETS = tuple(1e17 * 2.0 ** np.arange(-3, 9))
"""FLOPs at which they compare sizes."""

WITHIN = 0.1
"""A run counts for a budget if it has a loss within 10 % of it."""


def staircase(rows: Iterable[Mapping[str, Any]], data_set: str = "rw") -> list[Stair]:
    """The exponent after each repair, from the runs that Porian et al. published.

    Their file `experiment_results.pickle.xz` holds a pandas frame with one run a row. It is a pickle, which can run
    any code when it is opened, so that opening it is left to you: `pandas.read_pickle(path).to_dict("records")`.

    Args:
        rows: Runs with the columns dataset, hparams, warmup, decay, width, depth, seq_len, bs, vocab_size, and
            train/loss and val/loss as losses by optimizer step (a pandas series or a mapping).
        data_set: `rw` (RefinedWeb) or `owt2` (OpenWebText2).

    Returns:
        The steps for which at least two budgets have a best size inside the sizes trained.

    Raises:
        DataError: No step has, or a column is missing.
    """
    runs = list(rows)
    found = []
    for chosen in _STAIRCASE:
        points = []
        for row in runs:
            try:
                fits = (row["dataset"], row["hparams"], row["warmup"], row["decay"]) == (
                    data_set,
                    chosen.hparams,
                    chosen.warmup,
                    chosen.decay,
                )
                if fits:
                    points += _at_budgets(row, chosen)
            except KeyError as error:
                raise DataError(f"A run has no column {error}; give the frame as it was published.") from error
        best = _best_sizes(points)
        if len(best) >= 2:
            flops, parameters = np.array(best).T
            exponent = float(np.polyfit(np.log(flops), np.log(parameters), 1)[0])
            found.append(Stair(chosen.name, exponent, chosen.published.get(data_set, np.nan), flops, parameters))
    if not found:
        raise DataError(f"No step of the staircase has two budgets with a best size inside, on data set {data_set!r}.")
    return found


def _at_budgets(row: Mapping[str, Any], chosen: _Selection) -> list[tuple[float, float, float]]:
    """Budget, size and loss of one run at each budget it comes close to."""
    steps, losses = _series(row[chosen.loss])
    if not len(steps):
        return []
    if chosen.loss == "train/loss":
        losses = _smoothed(losses)
    width, depth = float(row["width"]), float(row["depth"])
    hidden = 256 * np.ceil(int(8 * width / 3) / 256)  # as open_lm rounds it
    size = (4 * width + 3 * hidden) * width * depth + (float(row["vocab_size"]) * width if chosen.unembedding else 0)
    flops = 6 * size * steps * float(row["bs"]) * float(row["seq_len"])
    found = []
    for budget in PORIAN_BUDGETS:
        if np.abs(np.log(flops / budget)).min() <= np.log1p(WITHIN):
            loss = np.exp(np.interp(np.log(budget), np.log(flops), np.log(losses)))
            found.append((budget, size, float(loss)))
    return found


def _best_sizes(points: list[tuple[float, float, float]]) -> list[tuple[float, float]]:
    """The best size at each budget, by an interpolation of log loss over log size; none at the edges."""
    from scipy.interpolate import Akima1DInterpolator

    best = []
    for budget in sorted({point[0] for point in points}):
        lowest: dict[float, float] = {}
        for _, size, loss in (point for point in points if point[0] == budget):
            lowest[size] = min(loss, lowest.get(size, np.inf))
        if len(lowest) < 3:
            continue
        sizes = np.array(sorted(lowest))
        curve = Akima1DInterpolator(np.log(sizes), np.log([lowest[size] for size in sizes]))
        grid = np.linspace(np.log(sizes[0]), np.log(sizes[-1]), 25 * (len(sizes) - 1))
        place = int(np.argmin(curve(grid)))
        if 0 < place < len(grid) - 1:
            best.append((budget, float(np.exp(grid[place]))))
    return best


def _series(losses: Any) -> tuple[Floats, Floats]:
    """Steps and losses, in order, without what is missing."""
    index = losses.keys() if isinstance(losses, Mapping) else losses.index
    values = losses.values() if isinstance(losses, Mapping) else losses.values
    steps, found = np.array(list(index), dtype=np.float64), np.array(list(values), dtype=np.float64)
    good = np.isfinite(found) & (steps > 0) & (found > 0)
    order = np.argsort(steps[good], kind="stable")
    return steps[good][order], found[good][order]


def _smoothed(losses: Floats, share: float = 0.05) -> Floats:
    """A running mean whose window grows with the step: 5 % of it to both sides."""
    place = np.arange(len(losses))
    low = np.maximum(place - (share * place).astype(int), 0)
    high = np.minimum(place + (share * place).astype(int), len(losses) - 1)
    sums = np.concatenate([[0.0], np.cumsum(losses)])
    return np.asarray((sums[high + 1] - sums[low]) / (high - low + 1))
