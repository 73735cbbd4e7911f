"""A published staircase of repairs between Kaplan's exponent and Chinchilla's, from trained models.

Porian et al. (2024; arXiv:2406.19146) train a family as Kaplan et al. did and repair one thing after another. They
publish their runs, and what they read off them, as pickled tables.
"""

import lzma
import pickle
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from windtunnel.laboratory.errors import DataError, UsageError
from windtunnel.scaling.laws.interface import Floats


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
    """The exponent after each repair, from what Porian et al. published.

    Args:
        rows: From `read_published`: runs, or the losses at each budget that were read off them. Runs have the columns
            dataset, hparams, warmup, decay, width, depth, seq_len, bs, vocab_size, and train/loss and val/loss as
            losses by optimizer step (a pandas series or a mapping).
        data_set: `rw` (RefinedWeb) or `owt2` (OpenWebText2).

    Returns:
        The steps for which at least two budgets have a best size inside the sizes trained.

    Raises:
        DataError: No step has, or a column is missing.
    """
    several = list(rows)
    found = []
    for chosen in _STAIRCASE:
        try:
            points = [point for row in several for point in _points(row, chosen, data_set)]
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


def _points(row: Mapping[str, Any], chosen: _Selection, data_set: str) -> Iterator[tuple[float, float, float]]:
    """Budget, size and loss of one row wherever it belongs to the step: of a run, or of all runs of a step."""
    asked = (data_set, chosen.hparams, chosen.warmup, chosen.decay)
    if (row["dataset"], row["hparams"], row["warmup"], row["decay"]) != asked:
        return
    if "optimal_pairs" not in row:
        yield from _at_budgets(row, chosen)
    elif (row["param_count"], f"{row['val']}/loss") == ("standard" if chosen.unembedding else "kaplan", chosen.loss):
        for _, budget in row["optimal_pairs"].iterrows():
            for size, loss in zip(budget["n_vals"], budget["loss_vals"], strict=True):
                yield float(budget["flops"]), float(size), float(loss)


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


# --- the published tables ------------------------------------------------------------------------------------

_NUMBERS = {"_core.multiarray": ("_reconstruct", "scalar"), "_core.numeric": ("_frombuffer",), "": ("ndarray", "dtype")}
_TABLES = {
    "core.frame": ("DataFrame",),
    "core.series": ("Series",),
    "core.internals.managers": ("BlockManager", "SingleBlockManager"),
    "core.indexes.base": ("Index", "_new_Index"),
    "core.indexes.range": ("RangeIndex",),
    "_libs.internals": ("_unpickle_block",),
    "": ("DataFrame", "Series", "Index", "RangeIndex"),  # as pandas 3 writes them
}
_ALLOWED = {
    ("builtins", "slice"),
    *((f"numpy.{module}".rstrip("."), name) for module, names in _NUMBERS.items() for name in names),
    *((f"pandas.{module}".rstrip("."), name) for module, names in _TABLES.items() for name in names),
}


class _TablesOnly(pickle.Unpickler):
    """Opens a pickle that holds tables of numbers and text and nothing else: any other name in it is refused."""

    def find_class(self, module: str, name: str) -> Any:
        module = module.replace("numpy.core.", "numpy._core.")
        if (module, name) not in _ALLOWED:
            raise DataError(f"It names {module}.{name}, which no table of runs needs, and is not opened.")
        return super().find_class(module, name)


def read_published(path: str | Path) -> list[Mapping[str, Any]]:
    """The rows of a table that Porian et al. published, `experiment_results.pickle.xz` or `summary_df.pickle.xz`.

    Such a file can run any code when it is opened the usual way. Here only the pieces of a pandas table are allowed.

    Raises:
        DataError: There is no such file, or it holds something else.
        UsageError: pandas is not installed.
    """
    try:
        with lzma.open(path) as file:
            table = _TablesOnly(file).load()
        rows: list[Mapping[str, Any]] = table.to_dict("records")
    except ImportError as error:
        raise UsageError(f"{path} is a pandas table, which needs pandas: pip install 'windtunnel[data]'.") from error
    except (lzma.LZMAError, OSError, EOFError, pickle.UnpicklingError, DataError) as error:
        raise DataError(f"{path} cannot be read as a table that Porian et al. published ({error}).") from error
    except (AttributeError, TypeError, ValueError, IndexError, KeyError) as error:
        raise DataError(f"{path} holds no table that this pandas reads ({error}); fetch it again.") from error
    return rows


# --- losses at budgets ---------------------------------------------------------------------------------------


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
