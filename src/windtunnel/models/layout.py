"""Which tokens of a batch see which, and where they stand: padding, documents, branches and earlier tokens."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from windtunnel.inference.cache import Cache, first_columns

Allowed = Bool[Tensor, "rows 1 query key"]


@dataclass(frozen=True)
class Layout:
    """What every layer shares in one forward pass; `rows` is the batch, or 1 where all rows are alike.

    Attributes:
        positions: Where each new token stands in its sequence, [rows, query].
        allowed: Which key each query may see, [rows, 1, query, key]; None: all, or all earlier ones if `causal`.
        causal: Whether the causal mask is left to the attention kernel (never together with `allowed`).
        keys: Where each key stands, [rows, key], if not as the queries do; None: as the queries.
        cache: Earlier tokens, if there are any.
    """

    positions: Int[Tensor, "rows query"]
    allowed: Allowed | None
    causal: bool
    keys: Int[Tensor, "rows key"] | None = None
    cache: Cache | None = None
    _windows: dict[int, Allowed] = field(default_factory=dict)

    def last(self) -> Int[Tensor, "rows 1"]:
        """Where the last real token of each row stands."""
        if self.cache is None:
            return self.positions.amax(dim=1, keepdim=True)
        lengths = [length + count - 1 for length, count in zip(self.cache.lengths, self.cache.counts, strict=True)]
        return first_columns(lengths, self.positions.device)

    def seen(self, window: int | None) -> tuple[Allowed | None, bool]:
        """`allowed` and `causal`, where a token sees only the last `window` positions, its own included."""
        keys = self.positions if self.keys is None else self.keys
        if window is None or keys.shape[1] <= window:
            return self.allowed, self.causal
        if window not in self._windows:
            near = self.positions[:, None, :, None] - keys[:, None, None, :] < window
            if self.allowed is not None:
                near = near & self.allowed
            elif self.causal:
                near = near & _causal(near.shape[2], near.shape[3], near.device)
            self._windows[window] = near
        return self._windows[window], False


_CURRENT: ContextVar[Layout | None] = ContextVar("layout", default=None)


def current_layout() -> Layout | None:
    """The layout of the forward pass under way, for attention layers and interventions; None outside of one."""
    return _CURRENT.get()


@contextmanager
def under(layout: Layout) -> Iterator[None]:
    """A forward pass with this layout."""
    token = _CURRENT.set(layout)
    try:
        yield
    finally:
        _CURRENT.reset(token)


def arrange(
    tokens: Int[Tensor, "batch position"],
    *,
    mask: Bool[Tensor, "batch position"] | None = None,
    documents: Int[Tensor, "batch position"] | None = None,
    positions: Int[Tensor, "batch position"] | None = None,
    branches: Int[Tensor, "batch position"] | None = None,
    cache: Cache | None = None,
) -> Layout:
    """The layout of a batch; arguments as for `inference.decoder.Decoder.logits`.

    Args:
        tokens: Token ids.
        mask: True at real tokens.
        documents: Document number of each token; attention and positions restart with each document.
        positions: Where each token stands.
        branches: Branch of each token.
        cache: Earlier tokens; each row is even with the others if there are branches.
    """
    if cache is not None:
        return _continued(tokens, positions, branches, cache)
    length, device = tokens.shape[1], tokens.device
    if mask is None and documents is None and branches is None:
        return Layout(_counted(length, device) if positions is None else positions, None, True)
    allowed: Tensor = _causal(length, length, device)
    if mask is not None:
        allowed = allowed & mask[:, None, None, :]
    if documents is not None:
        allowed = allowed & (documents[:, None, :, None] == documents[:, None, None, :])
    if branches is not None:
        allowed = allowed & _related(branches)
    allowed = allowed | torch.eye(length, dtype=torch.bool, device=device)  # so that no softmax is over nothing
    if positions is None:
        if mask is None and documents is None:
            positions = _counted(length, device)
        else:
            real = torch.ones_like(tokens, dtype=torch.bool) if mask is None else mask
            positions = _positions(real, documents)
    return Layout(positions, allowed, False)


def _continued(tokens: Tensor, positions: Tensor | None, branches: Tensor | None, cache: Cache) -> Layout:
    """New tokens stand after the row's earlier ones and see them all."""
    new, device = tokens.shape[1], tokens.device
    longest = max(cache.lengths)
    columns = _counted(longest + new, device)
    if cache.even and branches is None:
        if positions is None:
            positions = columns[:, longest:]
        if longest == 0 or new == 1:
            return Layout(positions, None, longest == 0, columns, cache)
        return Layout(positions, _causal(new, longest + new, device), False, columns, cache)
    starts = first_columns(cache.lengths, device)
    if positions is None:
        positions = starts + torch.arange(new, device=device)
    if branches is None:
        last = starts + torch.arange(new, device=device)  # the column of each new token itself
        return Layout(positions, columns[:, None, None, :] <= last[:, None, :, None], False, columns, cache)
    own = _causal(new, new, device) & _related(branches)
    earlier = own.new_ones((*own.shape[:3], longest))
    keys = torch.cat((columns[:, :longest].expand(len(positions), -1), positions), dim=1)
    return Layout(positions, torch.cat((earlier, own), dim=3), False, keys, cache)


def _counted(length: int, device: torch.device) -> Int[Tensor, "1 position"]:
    return torch.arange(length, device=device)[None]


def _causal(queries: int, keys: int, device: torch.device) -> Bool[Tensor, "1 1 query key"]:
    """The last query sees all keys, each earlier one a key less."""
    return torch.ones(queries, keys, dtype=torch.bool, device=device).tril(keys - queries)[None, None]


def _related(branches: Int[Tensor, "batch position"]) -> Bool[Tensor, "batch 1 query key"]:
    query, key = branches[:, None, :, None], branches[:, None, None, :]
    return (key == 0) | (key == query)


def _positions(real: Tensor, documents: Tensor | None) -> Tensor:
    """Real tokens counted from the first one of each row, or of each document in it."""
    count = real.long().cumsum(dim=1)
    if documents is not None:
        starts = torch.ones_like(real)
        starts[:, 1:] = documents[:, 1:] != documents[:, :-1]
        before = torch.where(starts, count - real.long(), 0)
        count = count - before.cummax(dim=1).values
    return (count - 1).clamp(min=0)
