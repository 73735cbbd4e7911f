"""The Model Analysis Table: everything the paper asks of one model (Olsson et al., 2022)."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from windtunnel.interpretability.heads.ablation import all_heads
from windtunnel.interpretability.heads.effects import Ablation, ablate_sets, random_sets
from windtunnel.interpretability.heads.probes import Material
from windtunnel.interpretability.heads.scores import at_least, prefix_scores, strongest
from windtunnel.interpretability.heads.snapshots import measure
from windtunnel.models.interface import LanguageModel

INDUCTION = 0.2
"""Prefix-matching score from which a head is called an induction head here."""


def analysis_table(
    model: LanguageModel,
    material: Material,
    *,
    generator: np.random.Generator,
    before: LanguageModel | None = None,
    singles: int | None = None,
    controls: int = 4,
) -> dict[str, Any]:
    """Measure a model, ablate its heads one by one, and its induction heads together.

    Args:
        model: The model.
        material: What to measure on.
        generator: Draws the heads of the control sets.
        before: The model before training, for the share of the change that an ablation undoes.
        singles: Ablate so many heads one by one, the strongest by prefix matching; by default all.
        controls: Sets of as many other heads to ablate beside the induction heads.

    Returns:
        `measured`: see `snapshots.measure`; `heads` [heads, 2]; `induction` [induction heads, 2], the five strongest
        where none reaches `INDUCTION`; `whole`, `full`, `preserved`, `together`, `random`: ablations of no head, of
        each head, of each with patterns preserved, of all induction heads, and of the control sets, each with `copies`
        [sets, probes, copies], `repeated` [sets, predicted], `in_context` [sets, sequences] and `undone` [sets] (see
        `effects.Ablation`);
        `prefix_by_sequence` [sequences] of the strongest head; `pattern` [query, key] of that head on the first probe;
        `copy_length` and `bos`, whether the probe begins with BOS.
    """
    measured = measure(model, material)
    scores = measured["prefix_matching"]
    best = strongest(scores, 1)[0]
    induction = at_least(scores, INDUCTION) or strongest(scores, 5)
    heads = all_heads(model) if singles is None else sorted(strongest(scores, singles))
    one_by_one = [[head] for head in heads]
    others = random_sets(all_heads(model), induction, len(induction), controls, generator)
    sets = [[], *one_by_one, induction, *others]
    full = _stacked(ablate_sets(model, material, sets, before=before))
    preserved = _stacked(ablate_sets(model, material, one_by_one, preserve_patterns=True, before=before))
    alone = slice(1, 1 + len(heads))
    site = f"blocks.{best[0]}.attn.hook_pattern"
    first = material.repeated.tokens[:1]
    with torch.no_grad(), model.record(site) as recorded:
        model(first)
    return {
        "measured": measured,
        "heads": np.array(heads),
        "induction": np.array(induction),
        "whole": _part(full, slice(0, 1)),
        "full": _part(full, alone),
        "preserved": preserved,
        "together": _part(full, slice(alone.stop, alone.stop + 1)),
        "random": _part(full, slice(alone.stop + 1, None)),
        "prefix_by_sequence": prefix_scores(model, material.repeated)[:, best[0], best[1]].double().numpy(),
        "pattern": recorded[site][0, best[1]].float().cpu().numpy(),
        "copy_length": material.repeated.length,
        "bos": material.repeated.bos,
    }


def _stacked(ablations: Sequence[Ablation]) -> dict[str, np.ndarray[Any, Any]]:
    return {
        "copies": np.stack([ablation.copies for ablation in ablations]),
        "repeated": np.stack([ablation.repeated for ablation in ablations]),
        "in_context": np.stack([ablation.in_context for ablation in ablations]),
        "undone": np.array([ablation.undone for ablation in ablations]),
    }


def _part(stacked: dict[str, np.ndarray[Any, Any]], which: slice) -> dict[str, np.ndarray[Any, Any]]:
    return {name: values[which] for name, values in stacked.items()}
