"""Keys and values of the tokens that rows have so far, so that each token passes through the model once."""

from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from windtunnel.inference.arrays import Array, usable

MOST_ROOM = 256
"""Columns that are allocated before they are needed, at most: rows may end early."""

BLOCK = 32
"""Columns by which storage on a CPU grows. What is read there should lie without gaps: a CPU fetches ahead what follows
in memory, and columns not yet in use between one head's and the next's halve the speed at which attention reads."""


class Cache:
    """What every layer remembers of a batch of rows; each row has its own length.

    A row's tokens stand in columns 0, 1, ... of the storage without gaps, and by head in memory, as attention reads
    them. Storage is allocated at the first use, from the shapes and dtypes that come, and grows as rows do.

    Args:
        rows: Rows in use; more can be put in later, and rows can be dropped.
        room: Columns for which storage off the CPU is allocated at first, up to `MOST_ROOM`: growing costs a copy.

    Attributes:
        lengths: Tokens of each row in use.
        counts: Real tokens that each row gains in the forward pass under way.
        states: What a layer carries from token to token besides keys and values, [rows, ...], by layer.
        prepared: What a decoder has looked up once to step on these rows.
        columns: Columns that `extend_once` returns: blocks up to the longest row's last.
    """

    def __init__(self, rows: int, room: int = 0) -> None:
        self.room = min(room, MOST_ROOM)
        self.lengths = [0] * rows
        self.keys: dict[int, Tensor] = {}
        self.values: dict[int, Tensor] = {}
        self.states: dict[int, Tensor] = {}
        self.counts: list[int] = []
        self.prepared: Any = None
        self._where: tuple[slice | Tensor, slice | Tensor] = (slice(0), slice(0))
        self._end = 0
        self.columns = 0
        self._once: tuple[slice | Array, int | Array] = (slice(0), 0)

    @property
    def rows(self) -> int:
        """Rows in use."""
        return len(self.lengths)

    @property
    def even(self) -> bool:
        """Whether all rows have the same length."""
        return not self.lengths or self.lengths.count(self.lengths[0]) == len(self.lengths)

    def begin(self, new: int, counts: list[int] | None, device: torch.device) -> None:
        """Before the first layer: every row gains `new` columns, of which the first `counts` (None: all) are real."""
        self.counts = [new] * self.rows if counts is None else counts
        self._end = max(self.lengths) + new
        if self.even:
            self._where = (slice(0, self.rows), slice(self.lengths[0], self._end))
        else:
            starts = torch.tensor(self.lengths, device=device)[:, None]
            rows = torch.arange(self.rows, device=device)[:, None]
            self._where = (rows, starts + torch.arange(new, device=device))

    def begin_once(self) -> None:
        """`begin` with one token a row, for layers that use `extend_once`."""
        self.counts = [1] * self.rows
        end = max(self.lengths) + 1
        self.columns = end + -end % BLOCK
        if self.even:
            self._once = slice(0, self.rows), end - 1
        else:
            self._once = np.arange(self.rows), np.array(self.lengths)

    def extend(
        self,
        layer: int,
        key: Float[Tensor, "rows new heads head_width"],
        value: Float[Tensor, "rows new heads head_width"],
    ) -> tuple[Float[Tensor, "rows column heads head_width"], Float[Tensor, "rows column heads head_width"]]:
        """Store new keys and values of one layer, and return those of all columns up to the longest row's last."""
        stored = []
        for storage, new in ((self.keys, key), (self.values, value)):
            held = self._room(storage, layer, new, self.rows, self._end)
            held[self._where] = new
            stored.append(held[: self.rows, : self._end])
        return stored[0], stored[1]

    def extend_once(
        self,
        layer: int,
        key: Float[Array, "rows heads head_width"],
        value: Float[Array, "rows heads head_width"],
    ) -> tuple[Float[Array, "rows heads column head_width"], Float[Array, "rows heads column head_width"]]:
        """`extend` by one token a row in arrays, for a layer on a CPU that has storage already.

        Whole blocks of columns come back, so that they are read without gaps; those beyond a row's last hold numbers
        and are not to be seen.
        """
        stored = []
        rows, columns = self._once
        for storage, new in ((self.keys, key), (self.values, value)):
            held = storage[layer]
            if held.shape[1] < self.columns:
                # a copy, since an array of products may come with a negative stride, which torch does not take
                fresh = torch.from_numpy(np.ascontiguousarray(new))[:, None]
                held = self._room(storage, layer, fresh, self.rows, self.columns)
            array = held.numpy().swapaxes(1, 2)
            array[rows, :, columns] = new
            stored.append(array[: self.rows, :, : self.columns])
        return stored[0], stored[1]

    def end(self) -> None:
        """After the last layer: rows have grown by their real tokens; columns beyond will be overwritten."""
        self.lengths = [length + count for length, count in zip(self.lengths, self.counts, strict=True)]

    def put(self, other: "Cache", rows: list[int]) -> None:
        """Append copies of rows of another cache; a row may be named more than once."""
        first, total = self.rows, self.rows + len(rows)
        if not rows:
            return
        longest = max(other.lengths[row] for row in rows)
        for mine, theirs in ((self.keys, other.keys), (self.values, other.values)):
            for layer, source in theirs.items():
                held = self._room(mine, layer, source, total, longest)
                held[first:total, :longest] = source[rows, :longest]
        for layer, source in other.states.items():
            held = self._state(layer, source, total)
            held[first:total] = source[rows]
        self.lengths += [other.lengths[row] for row in rows]

    def drop(self, row: int) -> None:
        """Forget a row; the last row takes its place."""
        last = self.rows - 1
        if row != last:
            length = self.lengths[last]
            for storage in (self.keys, self.values):
                for held in storage.values():
                    held[row, :length] = held[last, :length]
            for held in self.states.values():
                held[row] = held[last]
            self.lengths[row] = self.lengths[last]
        self.lengths.pop()

    def state(self, layer: int, new: Tensor) -> Tensor:
        """The state of one layer, [rows, ...], to read and to write; zeros like `new` before its first use."""
        return self._state(layer, new, self.rows)[: self.rows]

    def _state(self, layer: int, like: Tensor, rows: int) -> Tensor:
        held = self.states.get(layer)
        if held is None or held.shape[0] < rows:
            grown = torch.zeros((rows, *like.shape[1:]), device=like.device, dtype=like.dtype)
            if held is not None:
                grown[: held.shape[0]] = held
            self.states[layer] = held = grown
        return held

    def _room(self, storage: dict[int, Tensor], layer: int, new: Tensor, rows: int, columns: int) -> Tensor:
        """Storage of one layer with room for so many rows and columns; what it held is kept."""
        held = storage.get(layer)
        if held is not None and held.shape[0] >= rows and held.shape[1] >= columns:
            return held
        old_rows, old_columns = (0, 0) if held is None else (held.shape[0], held.shape[1])
        wanted = max(columns, old_columns) if usable(new) else max(columns, self.room, old_columns + old_columns // 2)
        shape = (max(rows, old_rows), new.shape[2], wanted + -wanted % BLOCK, new.shape[3])
        with torch.inference_mode(False):  # storage is written inside and outside of that mode
            # Zeros, since masked columns must hold numbers.
            grown = _zeros(shape, new).transpose(1, 2)
        if held is not None:
            grown[:old_rows, :old_columns] = held
        storage[layer] = grown
        return grown


def _zeros(shape: tuple[int, ...], like: Tensor) -> Tensor:
    """Zeros; NumPy's come in huge pages where the system has them, which a CPU fills and reads faster."""
    if usable(like):
        return torch.from_numpy(np.zeros(shape, like.detach().numpy().dtype))
    return torch.zeros(shape, device=like.device, dtype=like.dtype)


def first_columns(lengths: list[int], device: torch.device) -> Int[Tensor, "rows 1"]:
    """The column at which each row goes on."""
    return torch.tensor(lengths, device=device)[:, None]
