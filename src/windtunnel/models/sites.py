"""Sites: names of activations, and what happens where one is visited."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from windtunnel.laboratory.errors import UsageError

Intervention = Callable[[Tensor], Tensor | None]


@dataclass
class Tap:
    """What is done to the activation of one site: interventions in order of entry, then readers.

    So what is recorded is what the rest of the model computes from, whichever context was entered first.
    """

    name: str
    interventions: list[Intervention] = field(default_factory=list)
    readers: list[Callable[[Tensor], None]] = field(default_factory=list)
    visits: int = 0

    @property
    def writes(self) -> bool:
        """Whether the activation may be changed here."""
        return bool(self.interventions)

    def visit(self, activation: Tensor) -> Tensor:
        """Pass an activation through: the same tensor if nothing changed it.

        Raises:
            UsageError: An intervention changed the shape, dtype or device, or edited in place and returned nothing.
        """
        self.visits += 1
        for intervention in self.interventions:
            activation = _apply(self.name, intervention, activation)
        for read in self.readers:
            read(activation)
        return activation


def visit(taps: Mapping[str, Tap], name: str, activation: Tensor) -> Tensor:
    """Pass an activation through the tap of that name, if there is one."""
    tap = taps.get(name)
    return activation if tap is None else tap.visit(activation)


def _apply(name: str, intervention: Intervention, activation: Tensor) -> Tensor:
    # The function gets a copy, since the model may hold the same tensor under another name (the residual stream).
    with torch.inference_mode(False):
        given = activation.clone()
    version = given._version
    changed = intervention(given)
    if changed is None:
        if given._version != version:
            raise UsageError(
                f"The intervention at {name} edited its tensor in place but returned None, which means unchanged; "
                "return the edited tensor."
            )
        return activation
    if not isinstance(changed, Tensor):
        raise UsageError(
            f"The intervention at {name} returned {type(changed).__name__}; return a tensor, or None to change nothing."
        )
    for what in ("shape", "dtype", "device"):
        expected, got = getattr(activation, what), getattr(changed, what)
        if expected != got:
            if what == "shape":
                expected, got = tuple(expected), tuple(got)
            raise UsageError(
                f"The intervention at {name} returned {what} {got} where the model has {expected}; "
                f"return a tensor of the same {what}."
            )
    return changed
