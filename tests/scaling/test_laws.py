"""Every law: its closed forms, its derivatives, its optimum, and that a fit finds what was planted."""

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from windtunnel.laboratory.errors import DataError, UsageError
from windtunnel.scaling.fitting import fit
from windtunnel.scaling.laws import LAWS, find_law
from windtunnel.scaling.laws.chinchilla import Chinchilla
from windtunnel.scaling.laws.deployment import DownstreamError, OverTraining, inference_aware
from windtunnel.scaling.laws.hyperparameters import BatchSize, LearningRate
from windtunnel.scaling.laws.interface import Law
from windtunnel.scaling.laws.kaplan import (
    PF_DAY,
    CriticalBatch,
    LossOfFlops,
    LossOfMinimumFlops,
    LossOfParameters,
    LossOfParametersAndSteps,
    LossOfParametersAndTokens,
    LossOfTokens,
    compute_exponent,
    minimum_flops,
    minimum_steps,
)
from windtunnel.scaling.laws.other_losses import LossToLoss
from windtunnel.scaling.laws.power import BrokenPowerLaw, Growth, Logarithm, PowerLaw, PowerLawPlusConstant
from windtunnel.scaling.laws.repetition import DamageBand, DamageBoundary, DataConstrained, break_even_share
from windtunnel.scaling.laws.transfer import DataTransferred, UnifiedTransfer
from windtunnel.scaling.laws.transfer_gap import EffectiveDataLoss, TransferGap

BESIROGLU = Chinchilla(1.8172, 482.01, 2085.43, 0.3478, 0.3658)
TABLE_2 = LossOfParametersAndTokens(6.4e13, 0.076, 1.8e13, 0.103)
TABLE_3 = LossOfParametersAndSteps(6.5e13, 0.077, 2.1e3, 0.76)

PLANTED: dict[str, tuple[Law, tuple[tuple[float, float], ...]]] = {
    law.name: (law, ranges)
    for law, ranges in (
        (BESIROGLU, ((1e6, 1e10), (1e8, 1e12))),
        (PowerLaw(8.8e13, 0.076), ((1e3, 1e9),)),
        (PowerLawPlusConstant(3.12, 80.0, 0.24), ((1e2, 1e7),)),
        (BrokenPowerLaw(0.5, 3.0, 0.1, 0.4, 1e4, 0.5), ((1e1, 1e8),)),
        (Growth(1.3e9, 0.73), ((1e-6, 1e2),)),
        (Logarithm(5.0, 0.15), ((1e3, 1e9),)),
        (LossOfParameters(8.8e13, 0.076), ((1e3, 1e9),)),
        (LossOfTokens(5.4e13, 0.095), ((2e7, 2e10),)),
        (LossOfFlops(1.6e7 * PF_DAY, 0.057), ((1e14, 1e21),)),
        (LossOfMinimumFlops(3.1e8 * PF_DAY, 0.05), ((1e14, 1e21),)),
        (TABLE_2, ((1e5, 1e9), (2e7, 2e10))),
        (TABLE_3, ((1e5, 1e9), (3e2, 2e5))),
        (CriticalBatch(2.1e8, 0.21), ((2.0, 6.0),)),
        (
            DataConstrained(1.87, 521.0, 1488.0, 0.353, 0.353, 15.39, 5.31),
            ((1e7, 1e10), (1e9, 1e12), (1e8, 1e11)),
        ),
        (DamageBoundary(5.1e7, -0.5), ((1e6, 1e9),)),
        (DataTransferred(1.9e4, 0.18, 0.38), ((1e5, 1e9), (1e5, 1e9))),
        (UnifiedTransfer(6.4e13, 0.076, 1e9, 0.103, 0.18, 0.38), ((1e5, 1e9), (1e5, 1e9))),
        (OverTraining(1.84, 212.0, 367.0, 0.136), ((1e17, 1e22), (5.0, 640.0))),
        (DownstreamError(0.86, 2.21, 0.715), ((2.2, 4.5),)),
        (LearningRate(1.79, -0.713, 0.307), ((6e7, 1e9), (2e9, 1e11))),
        (BatchSize(0.58, 0.0, 0.571), ((6e7, 1e9), (2e9, 1e11))),
        (TransferGap(20.0, 0.2, 3.0, 0.15, 1.0), ((1e6, 1e10), (1e4, 1e8))),
        (EffectiveDataLoss(50.0, 1e8, 0.3, 0.3, 0.15), ((1e6, 1e10), (1e4, 1e8))),
        (LossToLoss(1.1, 0.9, 1.2, 0.8), ((2.0, 5.0),)),
    )
}


def sampled(name, count, seed=0):
    law, ranges = PLANTED[name]
    generator = np.random.default_rng(seed)
    return law, tuple(np.exp(generator.uniform(np.log(low), np.log(high), count)) for low, high in ranges)


def named(law, variables):
    return {variable.name: values for variable, values in zip(law.variables, variables, strict=True)}


def test_every_law_is_planted_here():
    assert set(LAWS) <= set(PLANTED)


@pytest.mark.parametrize("name", PLANTED)
def test_complex_steps_are_derivatives(name):
    law, variables = sampled(name, 12)
    values = law.vector()[None] * np.exp(0.01 * np.random.default_rng(1).normal(size=(3, len(law.symbols()))))
    logs, slopes = Law.log_gradient.__func__(type(law), values, variables)
    assert np.allclose(logs, law.log_prediction(values, variables), rtol=1e-12, atol=1e-12)
    for place in range(values.shape[1]):
        step = 1e-5 * np.maximum(np.abs(values[:, place]), 1e-3)
        up, down = values.copy(), values.copy()
        up[:, place] += step
        down[:, place] -= step
        numeric = (law.log_prediction(up, variables) - law.log_prediction(down, variables)) / (2 * step[:, None])
        assert np.allclose(slopes[:, place], numeric, rtol=1e-4, atol=1e-7 * np.abs(slopes[:, place]).max() + 1e-13)


@pytest.mark.parametrize("name", PLANTED)
def test_gradients_written_by_hand_are_the_general_ones(name):
    law, variables = sampled(name, 12)
    values = np.stack([law.vector(), law.vector() * 1.02])
    for mine, general in zip(
        law.log_gradient(values, variables), Law.log_gradient.__func__(type(law), values, variables), strict=True
    ):
        assert np.allclose(mine, general, rtol=1e-12, atol=0)


@pytest.mark.parametrize("name", PLANTED)
def test_a_fit_finds_what_was_planted(name):
    law, variables = sampled(name, 36)
    observed = law.predict(**named(law, variables))
    found = fit(type(law), **named(law, variables), **{law.output.name: observed})
    assert np.abs(found.residuals).max() < 1e-4
    for symbol, value in law.parameters.items():
        if symbol in ("N_c", "D_c_over_k"):  # a scale is a power of what is fitted: its logarithm is what is known
            assert np.log(found.parameters[symbol]) == pytest.approx(np.log(value), rel=0.02)
        else:
            assert found.parameters[symbol] == pytest.approx(value, rel=0.02, abs=1e-3)


@pytest.mark.parametrize("name", [name for name in PLANTED if len(PLANTED[name][0].symbols()) < 6])
def test_noise_moves_predictions_by_less_than_itself(name):
    law, variables = sampled(name, 40, seed=2)
    truth = law.predict(**named(law, variables))
    noisy = truth * np.exp(0.01 * np.random.default_rng(3).normal(size=40))
    found = fit(type(law), **named(law, variables), **{law.output.name: noisy})
    missed = np.log(found.predict(**named(law, variables)) / truth)
    assert np.sqrt((missed**2).mean()) < 0.01


@pytest.mark.parametrize("name", PLANTED)
def test_every_parameter_has_a_unit_and_a_meaning(name):
    law = PLANTED[name][0]
    assert all(law.units().values())
    assert all(law.meanings().values())
    assert law.of(np.stack([law.vector()] * 2)).vector().shape == (2, len(law.symbols()))


@pytest.mark.parametrize("law", [BESIROGLU, TABLE_2])
@pytest.mark.parametrize("flops", [1e18, 5.76e23])
def test_the_optimum_is_where_a_search_finds_it(law, flops):
    best = law.optimum(flops)
    found = minimize_scalar(
        lambda size: float(law.formula(np.exp(size), flops / 6 / np.exp(size))),
        bounds=(np.log(1e3), np.log(1e16)),
        method="bounded",
        options={"xatol": 1e-10},
    )
    assert float(best.loss) == pytest.approx(found.fun, rel=1e-12)
    assert float(best.parameters) == pytest.approx(np.exp(found.x), rel=1e-5)
    assert float(6 * best.parameters * best.tokens) == pytest.approx(flops)
    more = law.optimum(flops * 10)
    assert float(np.log10(more.parameters / best.parameters)) == pytest.approx(float(best.exponent))


def test_chinchillas_numbers():
    best = BESIROGLU.optimum(5.76e23)
    assert float(best.parameters) == pytest.approx(72e9, rel=0.03)
    assert float(best.tokens / best.parameters) == pytest.approx(18, abs=0.8)
    assert float(BESIROGLU.exponent) == pytest.approx(0.5126, abs=1e-3)
    rounded = Chinchilla(1.69, 406.4, 410.7, 0.34, 0.28).optimum(5.76e23)
    assert float(rounded.parameters) == pytest.approx(32e9, rel=0.03)
    assert float(rounded.tokens / rounded.parameters) == pytest.approx(93, rel=0.03)


def test_kaplans_numbers():
    assert compute_exponent(0.76, 0.21, 0.077) == pytest.approx(0.0524, abs=2e-4)
    assert float(TABLE_2.enough_tokens(1.0)) == pytest.approx(5519, rel=1e-3)
    assert float(TABLE_2.enough_tokens(1e9)) == pytest.approx(2.4e10, rel=0.06)
    assert float(TABLE_2.optimum(1e20).exponent) == pytest.approx(0.575, abs=1e-3)
    n, d = 1e8, 1e9
    without = TABLE_2.predict(parameters=n, tokens=1e30)
    assert float(TABLE_2.overfitting(n, d)) == pytest.approx(TABLE_2.predict(parameters=n, tokens=d) / without - 1)
    assert float(TABLE_2.overfitting(1e9, TABLE_2.enough_tokens(1e9))) == pytest.approx(0.02)
    gap = (TABLE_3.S_c / 5e3) ** TABLE_3.alpha_S
    assert float(TABLE_3.earliest_stop(gap)) == pytest.approx(5e3)


def test_a_critical_batch_takes_twice_the_least_steps_and_tokens():
    critical, steps = 2e6, 1e4
    assert float(minimum_steps(steps, critical, critical)) == pytest.approx(steps / 2)
    assert float(minimum_flops(1e20, critical, critical)) == pytest.approx(5e19)
    for batch in (1e4, 1e8):  # (S / S_min − 1)(E / E_min − 1) = 1
        slow = steps / minimum_steps(steps, batch, critical) - 1
        wasteful = 1 / minimum_flops(1.0, batch, critical) - 1
        assert float(slow * wasteful) == pytest.approx(1)
    law = PLANTED["kaplan-critical-batch"][0]
    assert float(law.predict(loss=1.0)) == pytest.approx(2.1e8)


def test_autoregressive_table_1():
    eight = PowerLawPlusConstant(3.13, 1.8e-8, 0.19)
    assert float(eight.predict(x=1.0)) == pytest.approx(3.164, abs=0.002)
    assert float(PowerLawPlusConstant(602, 1.9e3, 0.19).predict(x=1.0)) == pytest.approx(606.2, abs=0.3)


def test_one_epoch_is_worth_itself_and_many_are_worth_a_limit():
    law = PLANTED["data-constrained"][0]
    assert float(law.effective_tokens(1e9, 1e10)) == pytest.approx(1e9)
    for epochs, share in ((4, 0.931), (16, 0.661), (64, 0.252)):
        assert float(law.effective_tokens(epochs * 1e9, 1e9)) / (epochs * 1e9) == pytest.approx(share, abs=0.003)
    assert float(law.effective_tokens(1e15, 1e9)) == pytest.approx(1e9 * (1 + 15.39))
    n, d = 1e9, 1e11  # few parameters for the tokens, all unique: the law without repetition
    same = float(law.base().formula(n, d))
    assert float(law.predict(parameters=n, tokens=d, unique_tokens=d)) == pytest.approx(same)


def test_the_damage_band_is_hernandez():
    band = DamageBand(DamageBoundary(4.2e6, -0.56), DamageBoundary(5.1e7, -0.5))
    assert band.edges(8e8) == (pytest.approx(43, rel=0.02), pytest.approx(1800, rel=0.02))
    assert band.edges(1e11) == (pytest.approx(2.9, rel=0.02), pytest.approx(161, rel=0.02))
    assert band.holds(8e8, 100)
    assert not band.holds(8e8, 10)
    assert break_even_share(2.0, 2.2) == pytest.approx(0.091, abs=1e-3)
    with pytest.raises(UsageError, match="damaged loss"):
        break_even_share(2.2, 2.0)


def test_transfer_is_hernandez():
    law = DataTransferred(1.9e4, 0.18, 0.38)
    assert law.multiplier(4e7, 3e5) == pytest.approx(475, rel=0.02)
    assert float(
        law.predict(parameters=1e9, finetuning_data=1e6) / law.predict(parameters=1e9, finetuning_data=1e5)
    ) == (pytest.approx(1.51, abs=0.01))
    unified = PLANTED["unified-transfer"][0]
    base = LossOfParametersAndTokens(unified.N_c, unified.alpha_N, 1.8e13, unified.alpha_D)
    k = 1.8e13 / unified.D_c_over_k
    moved = DataTransferred(k, unified.alpha, unified.beta).predict(parameters=1e7, finetuning_data=1e6)
    assert float(unified.predict(parameters=1e7, finetuning_data=1e6)) == pytest.approx(
        float(base.predict(parameters=1e7, tokens=moved))
    )


def test_a_broken_law_has_two_slopes():
    law = BrokenPowerLaw(0.0, 3.0, 0.1, 0.4, 1e4, 0.2)
    x = np.array([1e-2, 1e-1, 1e9, 1e10])
    before, _, after = np.diff(np.log10(law.predict(x=x))) / np.diff(np.log10(x))
    assert (before, after) == (pytest.approx(-0.1, abs=1e-6), pytest.approx(-0.5, abs=1e-6))


def test_over_training_is_a_chinchilla_law_of_equal_exponents():
    law = OverTraining(1.84, 212.0, 367.0, 0.136)
    scale = 6.0**-0.136
    same = Chinchilla(1.84, 212.0 * scale, 367.0 * scale, 0.272, 0.272)
    n, m = 1e9, 50.0
    assert float(law.predict(flops=6 * n * n * m, tokens_per_parameter=m)) == pytest.approx(
        float(same.predict(parameters=n, tokens=n * m))
    )
    best = float(law.best_tokens_per_parameter)
    here = law.predict(flops=1e20, tokens_per_parameter=np.array([best * 0.9, best, best * 1.1]))
    assert here.argmin() == 1


def test_models_that_are_used_are_smaller_and_trained_longer():
    plain = BESIROGLU.optimum(1e22)
    unused = inference_aware(BESIROGLU, 0.0, flops=1e22)
    assert float(unused.parameters) == pytest.approx(float(plain.parameters), rel=1e-6)
    served = inference_aware(BESIROGLU, 1e13, loss=plain.loss)
    assert float(served.loss) == pytest.approx(float(plain.loss))
    assert float(served.parameters) < float(plain.parameters)
    found = minimize_scalar(  # the cheapest model of this loss, by search
        lambda size: 6 * np.exp(size) * _tokens_for(np.exp(size), float(plain.loss)) + 2 * np.exp(size) * 1e13,
        bounds=(np.log(served.parameters) - 0.5, np.log(served.parameters) + 0.5),
        method="bounded",
        options={"xatol": 1e-9},
    )
    assert float(served.parameters) == pytest.approx(np.exp(found.x), rel=1e-4)
    spent = inference_aware(BESIROGLU, 1e13, flops=1e24)
    assert float(spent.training_flops + spent.inference_flops) == pytest.approx(1e24)
    for wrong in ({}, {"flops": 1e22, "loss": 2.0}, {"loss": 1.5}):
        with pytest.raises(UsageError):
            inference_aware(BESIROGLU, 1e12, **wrong)


def _tokens_for(parameters, loss):
    left = loss - BESIROGLU.E - BESIROGLU.A * parameters**-BESIROGLU.alpha
    return (BESIROGLU.B / left) ** (1 / BESIROGLU.beta)


def test_one_loss_says_nothing_below_the_other():
    assert np.isnan(LossToLoss(1.0, 1.0, 2.0, 1.0).predict(first=1.5))


def test_what_a_law_is_asked_is_checked():
    with pytest.raises(UsageError, match="No law is named 'chinchila'"):
        find_law("chinchila")
    with pytest.raises(UsageError, match="takes parameters, tokens, not parameters"):
        BESIROGLU.predict(parameters=1e9)
    with pytest.raises(DataError, match="1 of 2"):
        BESIROGLU.predict(parameters=[1e9, -1], tokens=1e9)
    with pytest.raises(DataError, match="must be numbers"):
        BESIROGLU.predict(parameters="many", tokens=1e9)
    with pytest.raises(DataError, match="flops"):
        BESIROGLU.optimum(0)
