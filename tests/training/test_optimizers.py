import torch
from training import small

from windtunnel.training import optimizers
from windtunnel.training.loop import train
from windtunnel.training.objectives import next_token


def test_decay_falls_on_matrices_only():
    model = small.model(bias=True)
    (adamw,) = optimizers.build(model, small.CONFIG)
    decayed, spared = adamw.param_groups
    assert decayed["weight_decay"] == 0.1
    assert all(parameter.ndim >= 2 for parameter in decayed["params"])
    assert spared["weight_decay"] == 0.0
    assert all(parameter.ndim < 2 for parameter in spared["params"])
    held = sum(len(group["params"]) for group in adamw.param_groups)
    assert held == len(list(model.parameters()))


def test_muon_moves_hidden_matrices_by_near_orthogonal_steps():
    config = small.CONFIG.model_copy(update={"optimizer": "muon", "steps": 1, "warmup_steps": 0, "weight_decay": 0.0})
    model = small.model(width=32)
    before = {name: value.clone() for name, value in model.named_parameters()}
    adamw, muon = optimizers.build(model, config)
    held = {id(parameter) for group in muon.param_groups for parameter in group["params"]}
    names = {name for name, parameter in model.named_parameters() if id(parameter) in held}
    assert names
    assert all(name.startswith("blocks.") for name in names)
    assert len(list(model.parameters())) == len(held) + sum(len(group["params"]) for group in adamw.param_groups)
    train(model, next_token, small.source(), config)
    for name, parameter in model.named_parameters():
        if name in names:
            singular = torch.linalg.svdvals((parameter - before[name]).detach())
            # The directions that layer normalisation removes have no gradient; all others move about equally.
            assert singular.median() / singular[0] > 0.5, name


def test_muon_trains():
    config = small.CONFIG.model_copy(update={"optimizer": "muon"})
    result = train(small.model(), next_token, small.source(), config)
    assert result.losses[-1][1] < result.losses[0][1]


def test_each_group_keeps_its_own_peak():
    config = small.CONFIG.model_copy(update={"optimizer": "muon"})
    groups = optimizers.build(small.model(), config)
    optimizers.set_learning_rate(groups, 0.5)
    assert {group["lr"] for optimizer in groups for group in optimizer.param_groups} == {0.0015, 0.01}
