"""The critical batch against planted closed forms, and the noise scale against a quadratic of known noise."""

import numpy as np
import pytest
import torch
from torch import nn

from windtunnel.laboratory.errors import DataError, UsageError
from windtunnel.scaling.critical_batch import (
    gradient_noise,
    measure_noise,
    noise_from_norms,
    steps_to_loss,
    tradeoff,
)
from windtunnel.training.configuration import TrainingConfig
from windtunnel.training.loop import train

BATCHES = np.array([128, 256, 512, 1024, 4096, 16384])


def planted(s_min=300.0, e_min=4e5, batches=BATCHES):
    return s_min + e_min / batches


def test_a_planted_tradeoff_is_recovered_exactly_and_satisfies_the_papers_equation():
    found = tradeoff(BATCHES, planted())
    assert found.minimum_steps.value == pytest.approx(300, rel=1e-6)
    assert found.minimum_tokens.value == pytest.approx(4e5, rel=1e-6)
    assert found.critical_batch.value == pytest.approx(4e5 / 300, rel=1e-6)
    steps = found.steps(BATCHES)
    assert ((steps / 300 - 1) * (steps * BATCHES / 4e5 - 1)).tolist() == pytest.approx([1.0] * 6, rel=1e-5)
    critical = found.critical_batch.value
    assert found.steps(critical) == pytest.approx(600, rel=1e-6)


def test_the_interval_covers_the_planted_batch():
    generator, covered = np.random.default_rng(0), 0
    for _ in range(200):
        found = tradeoff(BATCHES, planted() * np.exp(0.1 * generator.standard_normal(6)), level=0.9)
        covered += found.critical_batch.low <= 4e5 / 300 <= found.critical_batch.high
    assert 0.82 <= covered / 200 <= 0.97


def test_batches_that_never_got_there_are_left_out():
    steps = planted()
    steps[-1] = np.nan
    assert tradeoff(BATCHES, steps).critical_batch.value == pytest.approx(4e5 / 300, rel=1e-6)
    steps[2:] = np.nan
    with pytest.raises(DataError, match="2 batch sizes"):
        tradeoff(BATCHES, steps)
    with pytest.raises(UsageError, match="one a batch"):
        tradeoff(BATCHES, [1.0])


def test_a_curve_is_read_where_it_first_crosses():
    steps = np.array([10, 100, 1000])
    assert steps_to_loss(steps, [3.0, 2.0, 1.0], 1.5) == pytest.approx(10**2.5)
    assert np.isnan(steps_to_loss(steps, [3.0, 2.0, 1.0], 0.5))
    assert np.isnan(steps_to_loss(steps, [3.0, 2.0, 1.0], 3.0))


def test_two_norms_give_gradient_and_noise():
    squared, noise = 0.7, 12.0
    found = noise_from_norms(4, squared + noise / 4, 64, squared + noise / 64)
    assert found == pytest.approx((squared, noise))


class Quadratic(nn.Module):
    """Loss ½|θ − x|² of each row: its gradient is θ − x, so that G = θ − E x and Σ = cov x."""

    def __init__(self, size):
        super().__init__()
        self.theta = nn.Parameter(torch.ones(size))


def quadratic(model, batch):
    return 0.5 * (model.theta - batch["tokens"]).square().sum(), torch.tensor(float(len(batch["tokens"])))


def draws(rows, size, seed, spread=2.0):
    return spread * torch.randn(rows, size, generator=torch.Generator().manual_seed(seed))


def test_the_noise_of_a_quadratic_is_known():
    model = Quadratic(50)
    truth = 50 * 4.0 / 50  # tr(Σ) / |G|²
    found = measure_noise(model, quadratic, {"tokens": draws(4_000, 50, 0)}, small=4)
    assert found.noise == pytest.approx(200, rel=0.03)
    assert found.squared_gradient == pytest.approx(50, rel=0.05)
    assert found.scale.low <= truth <= found.scale.high
    assert found.scale.high / found.scale.low < 1.3
    assert model.theta.grad is None


def test_both_parts_are_unbiased_and_the_interval_covers():
    model, found = Quadratic(20), []
    for seed in range(200):
        found.append(measure_noise(model, quadratic, {"tokens": draws(64, 20, seed)}, small=4, level=0.9))
    assert np.mean([each.noise for each in found]) == pytest.approx(80, rel=0.03)
    assert np.mean([each.squared_gradient for each in found]) == pytest.approx(20, rel=0.05)
    assert 0.8 <= np.mean([each.scale.low <= 4.0 <= each.scale.high for each in found]) <= 0.98


def test_it_is_measured_during_training_without_changing_it():
    class Rows:
        vocabulary, context = 1, 4

        def rows(self, start, count):
            return {"tokens": draws(count, 5, start)}

    def trained(evaluate):
        model = Quadratic(5)
        config = TrainingConfig(steps=8, batch_size=4, precision="fp32", evaluate_every=2, warmup_steps=0)
        return train(model, quadratic, Rows(), config, evaluate=evaluate)

    def measure(model, step):
        found = measure_noise(model, quadratic, {"tokens": draws(400, 5, 10**6)})
        return {"scale": found.scale.value, "theta": model.theta.detach().clone()}

    watched, plain = trained(measure), trained(None)
    assert torch.equal(watched.model.theta, plain.model.theta)
    scales = [point["scale"] for point in watched.evaluations]
    gradients = [float(point["theta"].square().sum()) for point in watched.evaluations]
    for scale, gradient in zip(scales, gradients, strict=True):
        assert scale == pytest.approx(20 / gradient, rel=0.5)


def test_a_gradient_that_drowns_has_no_finite_scale():
    model = Quadratic(20)
    with torch.no_grad():
        model.theta.zero_()
    found = measure_noise(model, quadratic, {"tokens": draws(16, 20, 1)}, small=4)
    assert found.scale.high == float("inf")
    with pytest.raises(DataError, match="three small batches"):
        gradient_noise(torch.ones(2, 3), 4)
