"""The bank: gradients as autograd's, models independent of their company, data distributed as declared."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from windtunnel.data.worlds.sparse_features import SparseFeatures
from windtunnel.laboratory.errors import UsageError
from windtunnel.training.bank import Bank, initialise, train_bank

KINDS = ["linear", "relu_output", "relu_hidden", "absolute"]


@pytest.mark.parametrize("kind", KINDS)
def test_hand_written_gradients_are_autograds(kind):
    generator = torch.Generator().manual_seed(0)
    bank = initialise(kind, [1, 2, 3], 7, 4)
    bank = Bank(kind, *(p.double() for p in bank.parameters))
    bank.bias.normal_(0, 0.1, generator=generator)
    x = torch.rand(3, 50, 7, generator=generator, dtype=torch.float64) * 2 - 1
    importance = torch.rand(3, 7, generator=generator, dtype=torch.float64)
    for parameter in bank.parameters:
        parameter.requires_grad_()
    output = bank.forward(x.clone())
    loss = ((output[2] - bank.target(x)).square() * importance[:, None]).mean((1, 2)).sum()
    wanted = torch.autograd.grad(loss, bank.parameters)
    with torch.no_grad():
        bank.set_gradients(x, importance)
    for parameter, gradient in zip(bank.parameters, wanted, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_does_not_depend_on_its_company(kind):
    density = torch.tensor([[1.0], [0.3], [0.1]]).expand(-1, 5)

    def train(rows):
        data = SparseFeatures(density[rows].contiguous(), signed=kind == "absolute")
        seeds = [10 + row for row in rows]
        return train_bank(kind, data, 3, importance=torch.ones(len(rows), 5), seeds=seeds, steps=20, batch=64)

    together, alone = train([0, 1, 2]), train([1])
    for whole, single in zip(together.bank.parameters, alone.bank.parameters, strict=True):
        torch.testing.assert_close(whole[1], single[0], rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(together.losses[1], alone.losses[0], rtol=1e-4, atol=1e-6)


def test_training_is_adamw_on_the_mean_loss():
    data = SparseFeatures(torch.full((1, 4), 0.5))
    trained = train_bank("relu_output", data, 2, importance=torch.ones(1, 4), seeds=[0], steps=5, batch=32)
    plain = initialise("relu_output", [0], 4, 2)
    parameters = [value.requires_grad_() for value in plain.parameters]
    optimizer = torch.optim.AdamW(parameters, lr=1e-3)
    from windtunnel.data.sources import derived_seed

    generator = torch.Generator().manual_seed(derived_seed(0, "data"))
    for _ in range(5):
        x = data.draw(32, [generator])
        loss = (
            (torch.relu(x @ parameters[0] @ parameters[0].transpose(1, 2) + parameters[1][:, None]) - x) ** 2
        ).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    torch.testing.assert_close(trained.bank.encoder, parameters[0].detach(), rtol=1e-5, atol=1e-6)


def test_snapshots_and_no_steps():
    data = SparseFeatures(torch.ones(2, 4))
    settings = {"importance": torch.ones(2, 4), "seeds": [0, 1], "batch": 16}
    trained = train_bank("relu_output", data, 2, steps=3, snapshots=[0, 2, 3], **settings)
    untrained = train_bank("relu_output", data, 2, steps=0, **settings)
    assert sorted(trained.snapshots) == [0, 2, 3]
    assert torch.equal(trained.snapshots[0].encoder, untrained.bank.encoder)
    assert torch.equal(trained.snapshots[3].encoder, trained.bank.encoder)
    assert not torch.equal(trained.snapshots[2].encoder, trained.bank.encoder)


def test_the_best_of_each_group():
    data = SparseFeatures(torch.ones(4, 3))
    trained = train_bank("linear", data, 2, importance=torch.ones(4, 3), seeds=range(4), steps=0)
    trained.losses = torch.tensor([3.0, 1.0, 0.5, 2.0])
    assert trained.best(2).tolist() == [1, 2]


@settings(deadline=None, max_examples=10)
@given(st.floats(0.05, 1.0))
def test_one_draw_per_entry_gives_the_declared_distribution(density):
    data = SparseFeatures(torch.full((1, 4), density))
    x = data.draw(20_000, [torch.Generator().manual_seed(1)])
    active = x[x > 0]
    share = active.numel() / x.numel()
    assert abs(share - density) < 5 * (density * (1 - density) / x.numel()) ** 0.5 + 1e-6
    for quantile in (0.1, 0.5, 0.9):
        assert abs(float(active.quantile(quantile)) - quantile) < 0.03


def test_signed_features_are_symmetric():
    x = SparseFeatures(torch.full((1, 5), 0.4), signed=True).draw(20_000, [torch.Generator().manual_seed(0)])
    active = x[x != 0]
    assert abs(float((active > 0).float().mean()) - 0.5) < 0.02
    assert abs(float(active.abs().mean()) - 0.5) < 0.01
    assert abs(float((x != 0).float().mean()) - 0.4) < 0.01


@pytest.mark.parametrize("dependence", ["correlated", "anticorrelated"])
def test_dependent_sets(dependence):
    data = SparseFeatures(torch.full((1, 6), 0.3), dependence=dependence, set_size=3)
    x = data.draw(20_000, [torch.Generator().manual_seed(0)])[0].view(-1, 2, 3)
    active = (x > 0).sum(2)
    assert set(active.unique().tolist()) == ({0, 3} if dependence == "correlated" else {0, 1})
    assert abs(float((active > 0).float().mean()) - 0.3) < 0.01
    assert abs(float(x[x > 0].mean()) - 0.5) < 0.01
    together = float(((active[:, 0] > 0) & (active[:, 1] > 0)).float().mean())
    assert abs(together - 0.09) < 0.01


@pytest.mark.parametrize("density", [0.0, -0.1, 1.1])
def test_an_impossible_density_is_refused(density):
    with pytest.raises(UsageError, match="density"):
        SparseFeatures(torch.full((1, 4), density))


def test_sets_must_divide_the_features():
    with pytest.raises(UsageError, match="do not divide into sets of 3"):
        SparseFeatures(torch.ones(1, 4), dependence="correlated", set_size=3)
