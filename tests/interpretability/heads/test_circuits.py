import pytest
import torch

from windtunnel.interpretability.heads import circuits
from windtunnel.models.interface import from_module
from windtunnel.models.transformer import Transformer, TransformerConfig
from windtunnel.models.weights import normalization_map


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_positivity_of_known_spectra() -> None:
    rotation = torch.tensor([[0.0, -1.0], [1.0, 0.0]])
    matrices = torch.stack([torch.diag(torch.tensor([2.0, 1.0])), torch.diag(torch.tensor([-3.0, 1.0])), rotation])
    assert circuits.eigenvalue_positivity(matrices).tolist() == pytest.approx([1.0, -0.5, 0.0], abs=1e-6)
    assert circuits.eigenvalue_positivity(torch.zeros(1, 3, 3)).item() == 0.0


def test_copying_eigenvalues_are_those_of_the_whole_circuit() -> None:
    embedding, unembedding = random(20, 8), random(8, 20, seed=1)
    value, output = random(2, 8, 3, seed=2), random(2, 3, 8, seed=3)
    small = circuits.eigenvalue_positivity(circuits.copying_cycles(value, output, unembedding @ embedding))
    for head in range(2):
        whole = torch.linalg.eigvals(embedding @ value[head] @ output[head] @ unembedding)
        assert small[head].item() == pytest.approx((whole.real.sum() / whole.abs().sum()).item(), abs=1e-5)


def test_composed_trace_is_that_of_the_whole_circuit() -> None:
    embedding = random(20, 8)
    query, key = random(1, 8, 3, seed=1), random(1, 8, 3, seed=2)
    value, output, scores = random(2, 8, 3, seed=3), random(2, 3, 8, seed=4), torch.tensor([0.9, 0.2])
    moved = circuits.previous_token_map(value, output, scores)
    trace = circuits.composed_key_traces(query, key, moved, embedding.T @ embedding / 20)
    whole = sum(
        scores[head] * (embedding @ query[0]) @ (embedding @ value[head] @ output[head] @ key[0]).T for head in range(2)
    )
    assert trace.item() == pytest.approx((whole.trace() / 20).item(), rel=1e-4)


def test_copying_by_hand() -> None:
    # Width 4, vocabulary 4, identity unembedding: the logits are the results.
    tokens = torch.tensor([[0, 1]])
    identity = torch.eye(4)[None].repeat(3, 1, 1)
    values = torch.zeros(1, 2, 3, 4)
    values[0, 0, 0, 0] = values[0, 1, 0, 1] = 1.0  # head 0 raises the token attended to
    values[0, 0, 1, 0] = values[0, 1, 1, 1] = -1.0  # head 1 lowers it
    values[0, 0, 2, 0] = values[0, 1, 2, 0] = 1.0  # head 2 always raises token 0: right once in two
    assert circuits.copying(values, identity, torch.eye(4), tokens).tolist()[0] == pytest.approx([1.0, -1.0, 0.0])


@pytest.mark.parametrize("normalization", ["layernorm", "rmsnorm"])
def test_folded_normalisation_is_the_real_one_up_to_scale(normalization: str) -> None:
    config = TransformerConfig(vocabulary=20, context=16, layers=1, width=8, heads=2, normalization=normalization)
    model = from_module(Transformer(config))
    with torch.no_grad():
        model.module.final_normalization.weight.copy_(torch.linspace(-1, 2, 8))  # type: ignore[union-attr]
    tokens = torch.arange(12)[None]
    with torch.no_grad(), model.record("blocks.0.hook_resid_post", "ln_final.hook_out") as recorded:
        model(tokens)
    linear = recorded["blocks.0.hook_resid_post"] @ normalization_map(model, None)
    real = recorded["ln_final.hook_out"]
    scale = (real / linear).mean(dim=-1, keepdim=True)
    torch.testing.assert_close(linear * scale, real, atol=1e-4, rtol=1e-4)
