"""The batched optimiser against scipy, one fit at a time."""

import numpy as np
import pytest
from scipy.optimize import approx_fprime
from scipy.optimize import minimize as scipy_minimize

from windtunnel.scaling.laws.chinchilla import Chinchilla
from windtunnel.scaling.laws.power import PowerLawPlusConstant
from windtunnel.scaling.optimization import HuberObjective, minimize, minimize_loosely

LAW = Chinchilla(1.8172, 482.01, 2085.43, 0.3478, 0.3658)


def problem(delta=1e-3, noise=0.01, rows=40, fixed=(), weights=None):
    generator = np.random.default_rng(0)
    n, d = 10 ** generator.uniform(7, 10, rows), 10 ** generator.uniform(9, 12, rows)
    loss = LAW.predict(parameters=n, tokens=d) * np.exp(noise * generator.normal(size=rows))
    weights = np.ones((1, rows)) if weights is None else weights
    return HuberObjective(Chinchilla, (n, d), loss, weights, delta, fixed)


def test_the_objective_is_the_summed_huber_loss():
    found = problem()
    point = found.to_free(LAW.vector())
    residual = found.residuals(point[None])[0][0]
    small = np.abs(residual) <= found.delta
    by_hand = np.where(small, residual**2 / 2, found.delta * (np.abs(residual) - found.delta / 2))
    assert found(point[None], np.array([0]))[0][0] == pytest.approx(by_hand.sum())
    squares = problem(delta=np.inf)
    assert squares(point[None], np.array([0]))[0][0] == pytest.approx((residual**2).sum() / 2)
    assert np.allclose(found.to_parameters(point), LAW.vector())


@pytest.mark.parametrize("delta", [1e-3, 0.1, np.inf])
def test_its_gradient_is_that_of_differences(delta):
    found = problem(delta)
    for shift in (0.0, 0.1, -0.2):
        point = found.to_free(LAW.vector()) + shift
        numeric = approx_fprime(point, lambda at: found(at[None], np.array([0]))[0][0], 1e-7)
        assert np.allclose(found(point[None], np.array([0]))[1][0], numeric, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("delta", [1e-3, 0.1, np.inf])
def test_no_weighted_fit_is_worse_than_scipys(delta):
    weights = np.random.default_rng(1).multinomial(40, np.full(40, 1 / 40), size=12).astype(float)
    found = problem(delta, weights=weights)
    start = found.to_free(LAW.vector()) + 0.05
    ours = minimize(found, np.repeat(start[None], 12, axis=0))
    assert ours.converged.all()
    for row in range(12):

        def one(point, row=row):
            value, gradient = found(point[None], np.array([row]))
            return value[0], gradient[0]

        theirs = scipy_minimize(one, start, jac=True, method="BFGS", options={"gtol": 1e-12, "maxiter": 2000})
        assert ours.values[row] <= theirs.fun * (1 + 1e-6)
        if delta > 1e-3:  # with next to no kink both end in one place
            assert np.allclose(ours.points[row], theirs.x, rtol=1e-3, atol=1e-3)


def test_each_row_of_a_batch_is_minimised_by_itself():
    weights = np.random.default_rng(1).multinomial(40, np.full(40, 1 / 40), size=4).astype(float)
    found = problem(weights=weights)
    starts = np.repeat(found.to_free(LAW.vector())[None], 4, axis=0)
    together = minimize(found, starts)
    for row in range(4):
        alone = minimize(found.reweighted(weights[row : row + 1]), starts[:1])
        assert alone.values[0] == pytest.approx(together.values[row], rel=1e-9)


def test_what_is_fixed_does_not_move_and_the_rest_does():
    found = problem(fixed=(0, 3))
    start = found.to_free(LAW.vector()) + 0.2
    ended = minimize(found, start[None]).points[0]
    assert (ended[[0, 3]] == start[[0, 3]]).all()
    assert (ended[[1, 2, 4]] != start[[1, 2, 4]]).all()


def test_a_start_without_a_value_ends_there_and_disturbs_no_other():
    x = np.array([1.0, 10.0, 100.0, 1000.0])
    law = PowerLawPlusConstant(1.0, 2.0, 0.5)
    found = HuberObjective(PowerLawPlusConstant, (x,), law.predict(x=x), np.ones((1, 4)), 1e-3)
    good = found.to_free(law.vector()) + 0.1
    ended = minimize(found, np.stack([good, [np.nan, 0.0, 0.0], good]))
    assert not np.isfinite(ended.values[1])
    assert ended.converged.tolist() == [True, False, True]
    assert np.allclose(ended.points[[0, 2]], found.to_free(law.vector()), atol=1e-4)


def test_running_out_of_iterations_is_said():
    found = problem()
    assert not minimize(found, found.to_free(LAW.vector())[None] + 0.3, iterations=3).converged[0]


def test_an_absolute_tolerance_stops_early_on_a_mean():
    rows = 40
    found = problem(weights=np.full((1, rows), 1 / rows))
    start = (found.to_free(LAW.vector()) + 0.05)[None]
    strict, loose = minimize(found, start), minimize_loosely(found, start)
    assert loose.values[0] > strict.values[0] * 1.001
