"""Ready-made interventions: replace, add, scale, clamp, ablate and patch, at chosen positions and heads.

    with model.intervene({"blocks.5.hook_resid_post": add(direction, positions=slice(4, None))}):
        model.generate(prompts)

Positions are those of the tokens in their own sequence, whatever padding, cache or batch they came in, so an
intervention means the same in one forward pass and token by token during generation. Negative positions count from the
last token that passes through the model: -1 is the prompt's last token and then each new one.
"""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from windtunnel.laboratory.errors import UsageError
from windtunnel.models.layout import current_layout

Positions = int | Sequence[int] | slice | None
Compute = Callable[[Tensor, Tensor], Tensor]
"""What an activation becomes, given the activation and where its tokens stand, [rows, position]."""


class Targeted:
    """An intervention at some positions and heads; elsewhere the activation stays, bit for bit.

    Args:
        compute: The new activation, of the same shape or one that broadcasts to it.
        positions: A position, several, a slice of them, or None for all.
        heads: Heads, at sites that have them; None: all.
        by_token: Whether `compute` looks tokens up, so that it cannot be used at scores and patterns, which belong
            to pairs of tokens.
    """

    def __init__(
        self,
        compute: Compute,
        positions: Positions = None,
        heads: Sequence[int] | None = None,
        *,
        by_token: bool = False,
    ) -> None:
        self.compute, self.by_token = compute, by_token
        self.heads = None if heads is None else list(heads)
        self.positions: list[int] | slice | None = None
        self.waiting: set[int] = set()
        if isinstance(positions, slice):
            self.positions = positions
        elif positions is not None:
            self.positions = [positions] if isinstance(positions, int) else list(positions)
            self.waiting = set(self.positions)

    def at_site(self, name: str) -> Callable[[Tensor], Tensor]:
        """The function that `intervene` calls at one site.

        Raises:
            UsageError: The site has no heads, and heads are named; or it belongs to pairs of tokens, and `compute`
                looks up single ones.
        """
        by_pair = name.endswith(("hook_pattern", "hook_attn_scores"))  # [batch, head, query, key]
        by_head = name.endswith(("hook_q", "hook_k", "hook_v", "hook_z"))  # [batch, position, head, width]
        if self.heads is not None and not (by_pair or by_head):
            raise UsageError(f"{name} has no heads; leave heads out, or choose hook_z, hook_q, hook_k or hook_v.")
        if by_pair and self.by_token:
            raise UsageError(f"{name} belongs to pairs of tokens, so it cannot be looked up by position; patch hook_z.")
        position_dimension, head_dimension = (2, 1) if by_pair else (1, 2)

        def change(activation: Tensor) -> Tensor:
            where, chosen = self._chosen(activation.shape[position_dimension], activation.device)
            shape = [1] * activation.ndim
            shape[0], shape[position_dimension] = chosen.shape
            mask = chosen.view(shape)
            if self.heads is not None:
                mask = mask & self._heads(name, activation, head_dimension)
            try:
                changed = self.compute(activation, where.masked_fill(~chosen, 0)).to(activation).expand_as(activation)
            except RuntimeError as error:
                raise UsageError(
                    f"What is written at {name} does not broadcast to the activation's shape "
                    f"{tuple(activation.shape)} ({error}); give one value per last dimension, or the whole shape."
                ) from error
            return torch.where(mask, changed, activation)

        return change

    def check(self) -> None:
        """Complain of positions that no token had.

        Raises:
            UsageError: There are some.
        """
        if self.waiting:
            raise UsageError(
                f"An intervention is for position {min(self.waiting)}, and no sequence was that long; name positions "
                "that the tokens have (0 is the first, -1 the last)."
            )

    def _chosen(self, length: int, device: torch.device) -> tuple[Tensor, Tensor]:
        """Where the tokens stand, and which of them are meant, both [rows or 1, position]."""
        layout = current_layout()
        where = torch.arange(length, device=device)[None] if layout is None else layout.positions
        last = where[:, -1:] if layout is None else layout.last()
        from_end = where - last - 1
        where = where.expand_as(from_end)
        if self.positions is None:
            return where, torch.ones_like(where, dtype=torch.bool)
        if isinstance(self.positions, slice):
            return where, _within(self.positions, where, from_end)
        chosen = torch.zeros_like(where, dtype=torch.bool)
        for position in self.positions:
            here = (where if position >= 0 else from_end) == position
            if position in self.waiting and bool(here.any()):
                self.waiting.discard(position)
            chosen |= here
        return where, chosen

    def _heads(self, name: str, activation: Tensor, dimension: int) -> Tensor:
        count = activation.shape[dimension]
        wrong = [head for head in self.heads or [] if not 0 <= head < count]
        if wrong:
            raise UsageError(f"{name} has heads 0 to {count - 1}, not {wrong[0]}.")
        chosen = torch.zeros(count, dtype=torch.bool, device=activation.device)
        chosen[self.heads] = True
        shape = [1] * activation.ndim
        shape[dimension] = count
        return chosen.view(shape)


def replace(value: Tensor | float, *, positions: Positions = None, heads: Sequence[int] | None = None) -> Targeted:
    """Write `value`, a number or a tensor that broadcasts to the activation."""
    return Targeted(lambda activation, _: torch.as_tensor(value).to(activation), positions, heads)


def add(value: Tensor | float, *, positions: Positions = None, heads: Sequence[int] | None = None) -> Targeted:
    """Add `value`, for example a steering vector times its strength."""
    return Targeted(lambda activation, _: activation + torch.as_tensor(value).to(activation), positions, heads)


def scale(factor: float, *, positions: Positions = None, heads: Sequence[int] | None = None) -> Targeted:
    """Multiply by `factor`."""
    return Targeted(lambda activation, _: activation * factor, positions, heads)


def clamp(
    minimum: float | None = None,
    maximum: float | None = None,
    *,
    direction: Float[Tensor, " width"] | None = None,
    positions: Positions = None,
    heads: Sequence[int] | None = None,
) -> Targeted:
    """Keep values within bounds; with a direction, the component along it (of the unit vector) instead of each value.

    Raises:
        UsageError: No bound is given, or the lower one is above the upper one.
    """
    if minimum is None and maximum is None:
        raise UsageError("clamp needs a minimum, a maximum or both.")
    if minimum is not None and maximum is not None and minimum > maximum:
        raise UsageError(f"clamp needs a minimum below the maximum, not {minimum} and {maximum}.")

    def compute(activation: Tensor, _: Tensor) -> Tensor:
        if direction is None:
            return activation.clamp(minimum, maximum)
        unit = (direction / direction.norm()).to(activation)
        component = (activation @ unit)[..., None]
        moved: Tensor = activation + (component.clamp(minimum, maximum) - component) * unit
        return moved

    return Targeted(compute, positions, heads)


def ablate(
    kind: str = "zero",
    *,
    reference: Float[Tensor, "row position ..."] | None = None,
    generator: torch.Generator | None = None,
    positions: Positions = None,
    heads: Sequence[int] | None = None,
) -> Targeted:
    """Take out what an activation says.

    Args:
        kind: `zero`; `mean`: its mean over the rows and positions of `reference`; `resample`: at each row and
            position, that of a random row of `reference` at the same position.
        reference: The activation at the same site on other inputs, as `record` gives it, without padding.
        generator: Source of the rows drawn; None: one seeded with 0.
        positions: Where; None: everywhere.
        heads: Of which heads; None: all.

    Raises:
        UsageError: An unknown kind, or no reference where one is needed.
    """
    if kind == "zero":
        return Targeted(lambda activation, _: torch.zeros_like(activation), positions, heads)
    if kind not in ("mean", "resample"):
        raise UsageError(f"There is no ablation {kind!r}; choose zero, mean or resample.")
    if reference is None:
        raise UsageError(f"A {kind} ablation needs reference activations: record the site on other inputs.")
    if kind == "mean":
        mean = reference.mean(dim=(0, 1))
        return Targeted(lambda activation, _: mean, positions, heads, by_token=True)
    drawing = torch.Generator().manual_seed(0) if generator is None else generator

    def compute(activation: Tensor, where: Tensor) -> Tensor:
        batch, length = activation.shape[:2]
        rows = torch.randint(len(reference), (batch, length), generator=drawing, device=drawing.device)
        return _looked_up(reference, rows.to(where.device), where.expand(batch, length))

    return Targeted(compute, positions, heads, by_token=True)


def patch(
    recorded: Float[Tensor, "row position ..."], *, positions: Positions = None, heads: Sequence[int] | None = None
) -> Targeted:
    """Write what another run had at the same site and position (activation patching).

    Args:
        recorded: The activation as `record` gives it, without padding; one row for all, or one per row.
        positions: Where; None: everywhere, so that the other run must be as long.
        heads: Of which heads; None: all.
    """

    def compute(activation: Tensor, where: Tensor) -> Tensor:
        batch, length = activation.shape[:2]
        if len(recorded) not in (1, batch):
            raise UsageError(f"A patch of {len(recorded)} rows does not fit {batch}; record one row, or as many.")
        rows = torch.arange(batch, device=where.device)[:, None] * (len(recorded) > 1)
        return _looked_up(recorded, rows.expand(batch, length), where.expand(batch, length))

    return Targeted(compute, positions, heads, by_token=True)


def _looked_up(recorded: Tensor, rows: Tensor, where: Tensor) -> Tensor:
    """The recorded activation of each row and position."""
    furthest = int(where.max())
    if furthest >= recorded.shape[1]:
        raise UsageError(
            f"Position {furthest} is out of range: the recorded activation has {recorded.shape[1]} positions; record "
            "a longer sequence, or name the positions to change."
        )
    found: Tensor = recorded.to(where.device)[rows, where]
    return found


def _within(chosen: slice, where: Tensor, from_end: Tensor) -> Tensor:
    """Positions in a slice, whose negative bounds count from the end."""
    step = 1 if chosen.step is None else chosen.step
    if step < 1:
        raise UsageError(f"A slice of positions needs a positive step, not {step}.")
    result = torch.ones_like(where, dtype=torch.bool)
    if chosen.start is not None:
        result &= (where if chosen.start >= 0 else from_end) >= chosen.start
    if chosen.stop is not None:
        result &= (where if chosen.stop >= 0 else from_end) < chosen.stop
    if step > 1:
        first = chosen.start or 0
        result &= ((where if first >= 0 else from_end) - first) % step == 0
    return result
