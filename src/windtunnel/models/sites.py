"""Sites: names of activations, and how they are read (`record`) and rewritten (`intervene`).

The names are TransformerLens's. With `i` a layer, and only where the architecture has the activation:

- `hook_embed`: token embeddings, [batch, position, width]
- `blocks.{i}.hook_resid_pre`, `hook_resid_mid`, `hook_resid_post`: the residual stream before the block, between
  attention and MLP, and after the block, [batch, position, width]
- `blocks.{i}.attn.hook_q`: queries as projected, before any rotation or query normalisation,
  [batch, position, heads, head_width]; `hook_k`, `hook_v` likewise with the key-value heads (fewer under
  grouped-query attention); smeared keys are read after smearing
- `blocks.{i}.attn.hook_attn_scores`: scaled scores, minus infinity where masked, [batch, heads, query, key]
- `blocks.{i}.attn.hook_pattern`: attention weights, [batch, heads, query, key]
- `blocks.{i}.attn.hook_z`: weighted values, before the output projection, [batch, position, heads, head_width]
- `blocks.{i}.hook_attn_out`, `blocks.{i}.hook_mlp_out`: what attention and MLP add, [batch, position, width]
- `blocks.{i}.mlp.hook_post`: MLP hidden units after the activation (and gate), [batch, position, mlp_width]
- `ln_final.hook_scale`: what the last normalisation divides by, [batch, position, 1]
- `ln_final.hook_out`: what the unembedding reads, [batch, position, width]
"""

import difflib
import fnmatch
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from windtunnel.laboratory.errors import Unsupported, UsageError

Intervention = Callable[[Tensor], Tensor | None]


@runtime_checkable
class Placed(Protocol):
    """An intervention that knows where in a sequence it acts; see `models.interventions`."""

    def at_site(self, name: str) -> Intervention:
        """The function for one site."""

    def check(self) -> None:
        """Complain of what was never reached, after the `with` block."""


@dataclass
class Tap:
    """What is done to the activation of one site: interventions in order of entry, then readers.

    So what is recorded is what the rest of the model computes from, whichever context was entered first.
    """

    name: str
    interventions: list[Intervention] = field(default_factory=list)
    readers: list[Callable[[Tensor], None]] = field(default_factory=list)
    close: Callable[[], None] | None = None

    @property
    def writes(self) -> bool:
        """Whether the activation may be changed here."""
        return bool(self.interventions)

    def visit(self, activation: Tensor) -> Tensor:
        """Pass an activation through: the same tensor if nothing changed it."""
        for intervention in self.interventions:
            activation = _apply(self.name, intervention, activation)
        for read in self.readers:
            read(activation)
        return activation


def visit(taps: Mapping[str, Tap], name: str, activation: Tensor) -> Tensor:
    """Pass an activation through the tap of that name, if there is one."""
    tap = taps.get(name)
    return activation if tap is None else tap.visit(activation)


class Tappable(Protocol):
    """A model with sites.

    Attributes:
        sites: Every site's name, in the order of the forward pass.
        taps: The taps now open, by name; shared by everything that holds the same module.
    """

    sites: list[str]
    taps: dict[str, Tap]

    def open(self, tap: Tap) -> Callable[[], None]:
        """Connect a tap to its site and return what disconnects it."""


@contextmanager
def record(model: Tappable, names: Sequence[str]) -> Iterator[dict[str, Tensor]]:
    """Read activations of the forward passes run inside; see `LanguageModel.record`."""
    recording: dict[str, Tensor] = {}

    def store(name: str) -> Callable[[Tensor], None]:
        return lambda activation: recording.__setitem__(name, activation)

    with _connected(model, [_Visitor(name, store(name)) for name in expand(model.sites, names)], reads=True):
        yield recording


@contextmanager
def intervene(model: Tappable, interventions: Mapping[str, Intervention | Placed]) -> Iterator[None]:
    """Rewrite activations in the forward passes run inside; see `LanguageModel.intervene`."""
    visitors = []
    for name, function in interventions.items():
        for site in expand(model.sites, [name]):
            visitors.append(_Visitor(site, function.at_site(site) if isinstance(function, Placed) else function))
    with _connected(model, visitors, reads=False):
        yield
        for function in interventions.values():
            if isinstance(function, Placed):
                function.check()


def expand(sites: Sequence[str], names: Sequence[str]) -> list[str]:
    """The sites that names and shell-style patterns (`blocks.*.hook_resid_post`) mean, in the model's order.

    Raises:
        Unsupported: The model has no sites.
        UsageError: A name or pattern matches none.
    """
    if not sites:
        raise Unsupported(
            "This model's architecture has no map of sites and its blocks cannot be told apart; record and intervene "
            "work on decoders trained here and on Llama, Mistral, Qwen, Gemma, Phi, GPT-2 and GPT-NeoX checkpoints."
        )
    wanted: set[str] = set()
    for name in names:
        matching = fnmatch.filter(sites, name) if "*" in name else [name] * (name in sites)
        if not matching:
            near = difflib.get_close_matches(name, sites, n=3, cutoff=0.0)
            raise UsageError(f"There is no site {name!r}; the nearest are {', '.join(near)}.")
        wanted.update(matching)
    return [site for site in sites if site in wanted]


@dataclass(eq=False)
class _Visitor:
    """A function at a site, and whether the site was ever reached."""

    name: str
    function: Callable[[Tensor], Tensor | None]
    fired: bool = False

    def __call__(self, activation: Tensor) -> Tensor | None:
        self.fired = True
        return self.function(activation)


@contextmanager
def _connected(model: Tappable, visitors: Sequence[_Visitor], *, reads: bool) -> Iterator[None]:
    """Add readers or interventions to their sites; on leaving, remove them and complain of a site never reached."""
    connected: list[tuple[Tap, list[Any], _Visitor]] = []
    try:
        for visitor in visitors:
            tap = model.taps.get(visitor.name)
            if tap is None:
                tap = model.taps[visitor.name] = Tap(visitor.name)
                tap.close = model.open(tap)
            functions: list[Any] = tap.readers if reads else tap.interventions
            functions.append(visitor)
            connected.append((tap, functions, visitor))
        yield
    finally:
        for tap, functions, visitor in connected:
            functions.remove(visitor)
            if not tap.readers and not tap.interventions:
                del model.taps[tap.name]
                if tap.close is not None:
                    tap.close()
    for visitor in visitors:
        if not visitor.fired:
            raise UsageError(f"{visitor.name} was never reached inside the `with` block; call the model inside it.")


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
