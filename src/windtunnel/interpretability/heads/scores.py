"""Scores of every head of a model: what it attends to, what it copies, what it composes with."""

from dataclasses import asdict, dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from windtunnel.interpretability.heads import circuits, patterns
from windtunnel.interpretability.heads.ablation import Head
from windtunnel.interpretability.heads.probes import RepeatedTokens
from windtunnel.models import weights
from windtunnel.models.interface import LanguageModel
from windtunnel.models.transformer import Block, Transformer

PATTERN_BYTES = 256 * 2**20
"""Most memory that recorded attention patterns and values take at once."""

Scores = NDArray[np.float64]


@dataclass(frozen=True)
class HeadScores:
    """One number per head, each [layers, heads].

    Attributes:
        prefix_matching: Attention to where induction says, mean over queries whose token occurred before; at most 1.
        prefix_matching_paper: The same, mean over all queries as the paper defines it; at most (copies - 1) / copies.
        previous_token: Attention to the token before.
        copying: Raise of the logit of the token attended to, in [-1, 1].
        copying_eigenvalues: Sum of the OV circuit's eigenvalues over the sum of their absolute values.
        qk_trace: Match of tokens with themselves through earlier previous-token heads; 0 in the first layer.
    """

    prefix_matching: Scores
    prefix_matching_paper: Scores
    previous_token: Scores
    copying: Scores
    copying_eigenvalues: Scores
    qk_trace: Scores

    def as_dict(self) -> dict[str, Scores]:
        """The scores by name."""
        return asdict(self)


@torch.no_grad()
def score_heads(
    model: LanguageModel, probe: RepeatedTokens, text: Int[Tensor, "sequences position"] | None = None
) -> HeadScores:
    """Score every head.

    Args:
        model: A decoder with sites.
        probe: Repeated random tokens, for prefix matching and copying.
        text: Natural sequences, for the previous-token score; by default the probe.
    """
    prefix, paper, previous, copied = _activation_scores(model, probe)
    if text is not None:
        previous = previous_token_scores(model, text)
    eigenvalues, traces = _weight_scores(model, previous)
    return HeadScores(*(_array(scores) for scores in (prefix, paper, previous, copied, eigenvalues, traces)))


@torch.no_grad()
def prefix_scores(model: LanguageModel, probe: RepeatedTokens) -> Float[Tensor, "sequences layers heads"]:
    """Prefix matching of every head on every sequence of the probe, as in `HeadScores.prefix_matching`."""
    names = [f"blocks.{layer}.attn.hook_pattern" for layer in range(model.shape.layers)]
    scores = []
    for tokens in torch.split(probe.tokens, _rows(model, probe.tokens.shape[1])):
        with model.record(*names) as recorded:
            model(tokens)
        tokens = tokens.to(model.device)
        scores.append(
            torch.stack([patterns.prefix_matching(recorded[name], tokens).normalised for name in names], dim=1)
        )
    return torch.cat(scores).cpu()


@torch.no_grad()
def previous_token_scores(
    model: LanguageModel, text: Int[Tensor, "sequences position"]
) -> Float[Tensor, "layers heads"]:
    """Attention of every head to the token before, mean over positions and sequences."""
    names = [f"blocks.{layer}.attn.hook_pattern" for layer in range(model.shape.layers)]
    total = torch.zeros(model.shape.layers, model.shape.heads)
    for tokens in torch.split(text, _rows(model, text.shape[1])):
        with model.record(*names) as recorded:
            model(tokens)
        total += torch.stack([patterns.previous_token(recorded[name]).sum(dim=0) for name in names]).cpu()
    return total / len(text)


def smear_weights(model: LanguageModel) -> Scores | None:
    """How much of each key is its own, sigmoid(alpha), [layers, key-value heads]; None without smeared keys."""
    module = model.module
    if not isinstance(module, Transformer) or not module.config.smeared_keys:
        return None
    found = []
    for block in module.blocks:
        assert isinstance(block, Block)
        assert block.attention.smear is not None
        found.append(torch.sigmoid(block.attention.smear.detach()))
    return _array(torch.stack(found))


def strongest(scores: Scores, count: int) -> list[Head]:
    """The heads of the highest scores, best first; ties in the order of layers and heads."""
    order = np.argsort(-scores, axis=None, kind="stable")[:count]
    return [(int(index) // scores.shape[1], int(index) % scores.shape[1]) for index in order]


def at_least(scores: Scores, threshold: float) -> list[Head]:
    """The heads whose score reaches a threshold, best first."""
    return strongest(scores, int((scores >= threshold).sum()))


def _activation_scores(model: LanguageModel, probe: RepeatedTokens) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Prefix matching (normalised, the paper's), previous token and copying, each [layers, heads]."""
    shape = model.shape
    prefix, paper, previous, copied = (torch.zeros(shape.layers, shape.heads) for _ in range(4))
    unembedding = weights.normalization_map(model, None) @ weights.unembedding(model)
    segment = probe.segment
    for tokens in torch.split(probe.tokens, _rows(model, probe.tokens.shape[1])):
        with model.record("blocks.*.attn.hook_pattern", "blocks.*.attn.hook_v") as recorded:
            model(tokens)
        tokens = tokens.to(model.device)
        for layer in range(shape.layers):
            pattern = recorded[f"blocks.{layer}.attn.hook_pattern"]
            matched = patterns.prefix_matching(pattern, tokens)
            prefix[layer] += matched.normalised.sum(dim=0).cpu()
            paper[layer] += matched.paper.sum(dim=0).cpu()
            previous[layer] += patterns.previous_token(pattern).sum(dim=0).cpu()
            values = recorded[f"blocks.{layer}.attn.hook_v"][:, segment]
            values = values.repeat_interleave(shape.heads // values.shape[2], dim=2)
            output = weights.attention_weights(model, layer).output
            copied[layer] += circuits.copying(values, output, unembedding, tokens[:, segment]).sum(dim=0).cpu()
    count = len(probe.tokens)
    return prefix / count, paper / count, previous / count, copied / count


def _weight_scores(model: LanguageModel, previous: Tensor) -> tuple[Tensor, Tensor]:
    """Copying eigenvalues and QK traces, each [layers, heads], with the gains of the normalisations folded in."""
    embedding = weights.embedding(model)
    unembedding = weights.normalization_map(model, None) @ weights.unembedding(model)
    unembedding_embedding = unembedding.float() @ embedding.float()
    gram = embedding.float().T @ embedding.float() / len(embedding)
    moved = torch.zeros(model.shape.width, model.shape.width, device=model.device)
    eigenvalues, traces = [], []
    for layer in range(model.shape.layers):
        normalised = weights.normalization_map(model, layer)
        attention = weights.attention_weights(model, layer)
        query, key, value = (normalised @ weight for weight in (attention.query, attention.key, attention.value))
        cycles = circuits.copying_cycles(value, attention.output, unembedding_embedding)
        eigenvalues.append(circuits.eigenvalue_positivity(cycles).cpu())
        traces.append(circuits.composed_key_traces(query, key, moved, gram).cpu())
        scores = previous[layer].to(model.device)
        moved = moved + circuits.previous_token_map(value, attention.output, scores)
    return torch.stack(eigenvalues), torch.stack(traces)


def _rows(model: LanguageModel, length: int) -> int:
    """Sequences per forward pass whose patterns of all layers fit `PATTERN_BYTES`."""
    shape = model.shape
    each = 4 * shape.layers * length * (shape.heads * length + shape.key_value_heads * shape.head_width)
    return max(1, PATTERN_BYTES // each)


def _array(scores: Tensor) -> Scores:
    return np.asarray(scores.detach().cpu().double().numpy())
