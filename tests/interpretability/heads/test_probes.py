import pytest
import torch

from windtunnel.interpretability.heads.probes import material, repeated_probe
from windtunnel.laboratory.errors import UsageError
from windtunnel.models.interface import LanguageModel, from_module
from windtunnel.models.transformer import Transformer, TransformerConfig


def model_of(vocabulary: int, context: int) -> LanguageModel:
    return from_module(
        Transformer(TransformerConfig(vocabulary=vocabulary, context=context, layers=1, width=8, heads=1))
    )


def test_the_papers_probe_where_it_fits() -> None:
    probe = repeated_probe(model_of(300, 128), generator=torch.Generator().manual_seed(0))
    assert (probe.length, probe.copies, probe.bos) == (25, 4, False)
    copies = probe.tokens.view(10, 4, 25)
    assert (copies == copies[:, :1]).all()
    assert all(len(set(row.tolist())) == 25 for row in copies[:, 0])
    assert torch.equal(probe.tokens[:, probe.segment], copies[:, 0])
    assert probe.tokens.min() >= 30  # the commonest and rarest tenths are left out
    assert probe.tokens.max() < 270


def test_a_short_context_gets_fewer_or_shorter_copies() -> None:
    generator = torch.Generator().manual_seed(0)
    probe = repeated_probe(model_of(48, 64), generator=generator, sequences=3)
    assert probe.tokens.shape == (3, 50)
    assert (probe.length, probe.copies) == (25, 2)
    assert repeated_probe(model_of(48, 31), generator=generator).length == 15
    with pytest.raises(UsageError, match="too short"):
        repeated_probe(model_of(48, 3), generator=generator)


def test_marked_tokens_are_predicted_ones() -> None:
    probe = repeated_probe(model_of(48, 64), generator=torch.Generator().manual_seed(0))
    measured_on = material(probe, torch.zeros(500, 20, dtype=torch.long), torch.Generator().manual_seed(1))
    assert measured_on.marked.min() == 1
    assert measured_on.marked.max() == 19
