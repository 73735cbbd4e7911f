"""Proof, for a model at hand, that its activations are read and written as they should be.

Silent wrongness is the commonest fault of tools that hook into models: a hook that never fires, an edit that goes
nowhere, a padded batch that shifts positions. Each check here is one property, measured on the loaded weights.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from windtunnel.inference.cache import Cache
from windtunnel.laboratory.errors import Unsupported, WindtunnelError
from windtunnel.laboratory.progress import Task
from windtunnel.models.interface import LanguageModel
from windtunnel.models.normalization import normalization_scale
from windtunnel.models.pretrained import Pretrained

TOLERANCE = 1e-4
"""Largest difference, relative to the largest value compared, that counts as rounding (float32)."""

HALF = 3e-2
"""The same for weights in half precision."""

LENGTH = 10
"""Tokens of the sequences that are checked."""


@dataclass(frozen=True)
class Check:
    """One property and whether it holds.

    Attributes:
        name: The property.
        passed: Whether it holds everywhere.
        places: Sites, or cases, at which it was looked at.
        worst: Largest relative difference found, where the property is an equality up to rounding.
        fault: Where it fails first, and how; empty where it holds.
    """

    name: str
    passed: bool
    places: int
    worst: float | None = None
    fault: str = ""


class _Measured:
    """Differences collected for one check."""

    def __init__(self, name: str, tolerance: float) -> None:
        self.name, self.tolerance = name, tolerance
        self.places, self.worst, self.fault = 0, 0.0, ""

    def equal(self, place: str, found: Tensor, expected: Tensor) -> None:
        """Note a comparison up to rounding; infinities (masked scores) must stand in the same places."""
        self.places += 1
        if found.shape != expected.shape:
            self._fail(f"{place}: shape {tuple(found.shape)} where {tuple(expected.shape)} is right")
            return
        found, expected = found.float(), expected.float()
        finite = expected.isfinite()
        if not torch.equal(finite, found.isfinite()):
            self._fail(f"{place}: not finite where it should be")
            return
        size = float(expected[finite].abs().max()) if bool(finite.any()) else 0.0
        difference = float((found - expected)[finite].abs().max()) / max(size, 1e-12) if bool(finite.any()) else 0.0
        self.worst = max(self.worst, difference)
        if difference > self.tolerance:
            self._fail(f"{place}: differs by {difference:.2g} of the largest value")

    def holds(self, place: str, condition: bool, fault: str) -> None:
        """Note a property that holds or does not."""
        self.places += 1
        if not condition:
            self._fail(f"{place}: {fault}")

    def _fail(self, fault: str) -> None:
        self.fault = self.fault or fault

    def result(self) -> Check:
        return Check(self.name, not self.fault, self.places, self.worst, self.fault)


def check(model: LanguageModel, *, seed: int = 0, task: Task | None = None) -> list[Check]:
    """Check a model's sites, padding, cache and logits on random tokens.

    Args:
        model: A model with sites.
        seed: Of the tokens and of what is written.
        task: A progress task that is told how many checks are done.

    Returns:
        One row per property.

    Raises:
        Unsupported: The model has no sites to check.
    """
    if not model.sites:
        raise Unsupported(f"{model.name} has no sites to check; its blocks are not known.")
    generator = torch.Generator().manual_seed(seed)
    length = min(LENGTH, model.shape.context - 3)
    tokens = torch.randint(model.shape.vocabulary, (2, length), generator=generator)
    half = next(model.module.parameters()).dtype in (torch.float16, torch.bfloat16)
    tolerance = HALF if half else TOLERANCE
    results = []
    with torch.no_grad():
        for done, function in enumerate(CHECKS, start=1):
            try:
                results += [measured.result() for measured in function(model, tokens, tolerance)]
            except Exception as error:  # whatever a wrong map leads to inside the model
                first = str(error).strip().splitlines()[:1]
                results.append(Check("the model runs with its sites in use", False, 1, fault=" ".join(first)))
            if task is not None:
                task.update(done)
    return results


def _reading(model: LanguageModel, tokens: Tensor, tolerance: float) -> Iterator[_Measured]:
    fires, same = _Measured("every site fires", tolerance), _Measured("reading changes nothing, bit for bit", 0.0)
    plain = model(tokens)
    for site in model.sites:
        try:
            with model.record(site) as activations:
                logits = model(tokens)
        except WindtunnelError as error:
            fires.holds(site, False, str(error))
            continue
        fires.holds(site, not bool(activations[site].isnan().any()), "holds values that are not numbers")
        same.holds(site, torch.equal(logits, plain), "the logits change")
    yield fires
    yield same


def _writing(model: LanguageModel, tokens: Tensor, tolerance: float) -> Iterator[_Measured]:
    changes, nothing = (
        _Measured("writing changes the logits", tolerance),
        _Measured("writing back is nothing", tolerance),
    )
    restored = _Measured("all is restored afterwards, bit for bit", 0.0)
    plain = model(tokens)
    generator = torch.Generator().manual_seed(1)

    def noisy(activation: Tensor) -> Tensor:
        scale = activation[activation.isfinite()].float().std().clamp(min=1e-3)
        noise = torch.randn(activation.shape, generator=generator).to(activation)
        return activation + scale.to(activation.dtype) * noise.abs()

    for site in model.sites:
        with model.intervene({site: noisy}):
            changes.holds(site, not torch.equal(model(tokens), plain), "the logits stay as they were")
        restored.holds(site, torch.equal(model(tokens), plain), "the logits stay changed")
    with model.intervene({site: lambda activation: activation.clone() for site in model.sites}):
        nothing.equal("all sites at once", model(tokens), plain)
    yield changes
    yield nothing
    yield restored


def _exceptions(model: LanguageModel, tokens: Tensor, tolerance: float) -> Iterator[_Measured]:
    restored = _Measured("all is restored after an exception", 0.0)
    plain = model(tokens)

    def broken(activation: Tensor) -> Tensor:
        raise RuntimeError("on purpose")

    for site in model.sites:
        try:
            with model.record(site), model.intervene({site: broken}):
                model(tokens)
        except RuntimeError:
            restored.holds(site, True, "")
        else:
            restored.holds(site, False, "the exception was swallowed")
    restored.holds("afterwards", torch.equal(model(tokens), plain) and not model.backend.taps, "the model is changed")
    yield restored


def _padding(model: LanguageModel, tokens: Tensor, tolerance: float) -> Iterator[_Measured]:
    filler = torch.zeros(len(tokens), 3, dtype=torch.long)
    real, none = torch.ones_like(tokens, dtype=torch.bool), torch.zeros_like(filler, dtype=torch.bool)
    length = tokens.shape[1]
    batches = {
        "left": (torch.cat((filler, tokens), 1), torch.cat((none, real), 1), slice(3, 3 + length)),
        "right": (torch.cat((tokens, filler), 1), torch.cat((real, none), 1), slice(0, length)),
    }
    expected, logits = _all(model, tokens)
    for side, (padded, mask, kept) in batches.items():
        measured = _Measured(f"{side} padding changes nothing at real tokens", tolerance)
        found, padded_logits = _all(model, padded, mask)
        measured.equal("logits", padded_logits[:, kept], logits)
        for site in model.sites:
            both = site.endswith(("hook_pattern", "hook_attn_scores"))
            measured.equal(site, found[site][:, :, kept, kept] if both else found[site][:, kept], expected[site])
        yield measured
    measured = _Measured("one row gives the same as many", tolerance)
    found, alone = _all(model, tokens[:1])
    measured.equal("logits", alone, logits[:1])
    for site in model.sites:
        measured.equal(site, found[site], expected[site][:1])
    yield measured


def _arithmetic(model: LanguageModel, tokens: Tensor, tolerance: float) -> Iterator[_Measured]:
    """What the names promise of each other; an activation read in the wrong place breaks one of these sums."""
    stream = _Measured("the residual stream is the sum of what is added to it", tolerance)
    attention = _Measured("a head's result is its pattern times its values", tolerance)
    found, _ = _all(model, tokens)
    groups = model.shape.heads // model.shape.key_value_heads
    for layer in range(model.shape.layers):
        at = {name.removeprefix(f"blocks.{layer}."): value for name, value in found.items() if f".{layer}." in name}
        if layer:
            stream.equal(
                f"blocks.{layer}.hook_resid_pre", at["hook_resid_pre"], found[f"blocks.{layer - 1}.hook_resid_post"]
            )
        if "hook_attn_out" not in at:
            continue
        total = at["hook_resid_pre"] + at["hook_attn_out"]
        if "hook_resid_mid" in at:
            stream.equal(f"blocks.{layer}.hook_resid_mid", at["hook_resid_mid"], total)
        if "hook_mlp_out" in at:
            total = total + at["hook_mlp_out"]
        stream.equal(f"blocks.{layer}.hook_resid_post", at["hook_resid_post"], total)
        values = at["attn.hook_v"].repeat_interleave(groups, dim=2)
        z = torch.einsum("bhqk,bkhw->bqhw", at["attn.hook_pattern"], values)
        attention.equal(f"blocks.{layer}.attn.hook_z", at["attn.hook_z"], z)
        pattern = at["attn.hook_pattern"].float()
        attention.equal(f"blocks.{layer}.attn.hook_pattern", pattern.sum(-1), torch.ones_like(pattern[..., 0]))
    if "ln_final.hook_scale" in found:
        last = found[f"blocks.{model.shape.layers - 1}.hook_resid_post"]
        scale = normalization_scale(model.backend.normalization(None), last)
        stream.equal("ln_final.hook_scale", found["ln_final.hook_scale"], scale)
    yield stream
    if attention.places:
        yield attention


def _cache(model: LanguageModel, tokens: Tensor, tolerance: float) -> Iterator[_Measured]:
    measured = _Measured("token by token gives the same as all at once", tolerance)
    logits = model(tokens)
    on_device = tokens.to(model.device)
    if not model.backend.caches:
        return
    cache = Cache(len(tokens))
    measured.equal("first half", model.backend.logits(on_device[:, :5], cache=cache)[:, -1], logits[:, 4])
    for position in range(5, tokens.shape[1]):
        after = model.backend.logits(on_device[:, position : position + 1], cache=cache)
        measured.equal(f"position {position}", after[:, -1], logits[:, position])
    yield measured


def _asking(model: LanguageModel, tokens: Tensor, tolerance: float) -> Iterator[_Measured]:
    """Sampling goes through the cache, scoring through shared prefixes and branches; both report the same numbers."""
    measured = _Measured("what sampling reports is what scoring finds", tolerance)
    prompts = [row[: 4 + number].tolist() for number, row in enumerate(tokens)]
    samples = model.generate(prompts, max_new_tokens=4, samples_per_prompt=3, batch_size=4)
    asked = [prompt for prompt in prompts for _ in range(3)]
    scores = model.score(asked, [sample.token_ids for sample in samples])
    for number, (sample, score) in enumerate(zip(samples, scores, strict=True)):
        found, expected = torch.tensor(sample.token_logprobs), torch.tensor(score.token_logprobs)
        measured.equal(f"sample {number}", found, expected)
    yield measured


def _original(model: LanguageModel, tokens: Tensor, tolerance: float) -> Iterator[_Measured]:
    """Logits of the library that the checkpoint comes from, through its own plain attention."""
    backend = model.backend
    if not isinstance(backend, Pretrained):
        return
    measured = _Measured("logits equal the original library's", tolerance)
    ours = model(tokens)
    with backend.original_attention():
        measured.equal("logits", ours, backend.module(tokens.to(model.device), use_cache=False).logits)
    yield measured


CHECKS: tuple[Callable[[LanguageModel, Int[Tensor, "row token"], float], Iterator[_Measured]], ...] = (
    _reading,
    _writing,
    _exceptions,
    _padding,
    _arithmetic,
    _cache,
    _asking,
    _original,
)


def _all(
    model: LanguageModel, tokens: Tensor, mask: Tensor | None = None
) -> tuple[dict[str, Tensor], Float[Tensor, "row token vocabulary"]]:
    with model.record(*model.sites) as activations:
        logits = model(tokens, mask)
    return activations, logits
