"""Kaplan et al.'s allocation: the numbers of the paper, and each closed form against brute force."""

import numpy as np
import pytest
from scipy.optimize import brentq, minimize_scalar

from windtunnel.laboratory.errors import DataError
from windtunnel.scaling import kaplan_allocation as kaplan
from windtunnel.scaling.laws.kaplan import PF_DAY, compute_exponent
from windtunnel.scaling.published import find_published

STEPS = find_published("kaplan-2020-parameters-steps").law
BATCH = find_published("kaplan-2020-critical-batch").law
TOKENS = find_published("kaplan-2020-parameters-tokens").law


def test_the_plan_at_ten_petaflop_days():
    run = kaplan.PUBLISHED.run(10 * PF_DAY)
    assert float(run.parameters) == pytest.approx(7e9, rel=0.03)
    assert float(run.loss) == pytest.approx(2.37, rel=0.03)
    assert float(run.critical_batch) == pytest.approx(3.5e6, rel=0.03)
    assert float(run.minimum_steps) == pytest.approx(5.8e3, rel=0.03)
    plan = kaplan.published_plan(10 * PF_DAY)
    assert plan["parameters"] == pytest.approx(7e9, rel=0.03)
    assert 6 * plan["parameters"] * plan["minimum_tokens"] == pytest.approx(10 * PF_DAY, rel=0.05)


def test_the_exponent_of_compute_follows_from_the_other_laws():
    assert compute_exponent(0.76, 0.21, 0.077) == pytest.approx(0.0524, abs=0.0002)
    found = kaplan.exponents(STEPS, BATCH)
    assert found["parameters"] == pytest.approx(0.68, abs=0.005)
    assert found["parameters"] + found["critical_batch"] + found["minimum_steps"] == pytest.approx(1)


def test_data_enough_not_to_overfit():
    assert float(TOKENS.enough_tokens(1e9)) == pytest.approx(2.4e10, rel=0.03)


def test_the_efficient_run_is_the_cheapest_that_reaches_its_loss():
    budget = 3 * PF_DAY
    run = kaplan.efficient_run(STEPS, BATCH, budget)
    loss = float(run.loss)

    def cost(log_n):
        steps = float(kaplan.minimum_steps_to(STEPS, np.exp(log_n), loss))
        return 6 * np.exp(log_n) * steps * float(BATCH.predict(loss=loss))

    best = minimize_scalar(cost, bounds=(np.log(run.parameters) - 1, np.log(run.parameters) + 2), method="bounded")
    assert np.exp(best.x) == pytest.approx(float(run.parameters), rel=1e-3)
    assert best.fun == pytest.approx(budget, rel=1e-6)
    assert float(STEPS.predict(parameters=run.parameters, minimum_steps=run.minimum_steps)) == pytest.approx(loss)
    ten = kaplan.efficient_run(STEPS, BATCH, 10 * budget)
    grown = np.log10(float(ten.parameters / run.parameters))
    assert grown == pytest.approx(kaplan.exponents(STEPS, BATCH)["parameters"], abs=1e-9)


def test_a_suboptimal_size_costs_what_brute_force_says():
    run = kaplan.efficient_run(STEPS, BATCH, PF_DAY)
    flops, steps = kaplan.suboptimal_size(STEPS, [0.6, 1.0, 2.2])
    for ratio, dearer, longer in zip((0.6, 1.0, 2.2), flops, steps, strict=True):
        size = ratio * float(run.parameters)
        needed = brentq(lambda s, n=size: float(STEPS.formula(n, s)) - float(run.loss), 1.0, 1e9, xtol=1e-9)
        assert longer == pytest.approx(needed / float(run.minimum_steps), rel=1e-6)
        assert dearer == pytest.approx(ratio * longer)
    assert flops[[0, 2]] == pytest.approx([1.2, 1.2], abs=0.05)  # "at most 20 % more"
    assert steps[2] == pytest.approx(0.55, abs=0.01)  # "45 % fewer steps"
    assert np.isinf(kaplan.suboptimal_size(STEPS, 0.1)[0])


def test_stopping_ten_percent_above_convergence():
    above = kaplan.efficient_stop(STEPS)
    assert above == pytest.approx(0.10, abs=0.005)
    found = kaplan.compare_stops(STEPS, above)
    assert found.parameters == pytest.approx(2.7, abs=0.05)
    assert 1 / found.steps == pytest.approx(7.7, abs=0.1)
    assert 1 - found.flops == pytest.approx(0.65, abs=0.01)


def test_steps_and_tokens_to_a_loss():
    steps = kaplan.minimum_steps_to(STEPS, [1e5, 1e8, 1e9], 3.0)
    assert np.isinf(steps[0])
    assert STEPS.predict(parameters=[1e8, 1e9], minimum_steps=steps[1:]) == pytest.approx([3.0, 3.0])
    tokens = kaplan.minimum_tokens_to(STEPS, BATCH, [1e8, 1e9], 3.0)
    assert tokens / steps[1:] == pytest.approx(float(BATCH.predict(loss=3.0)))
    assert tokens[1] < tokens[0]  # larger models are more sample-efficient


def test_the_earliest_stop_comes_sooner_with_more_overfitting():
    found = kaplan.earliest_stop(TOKENS, STEPS, [1e8, 1e8], [1e8, 1e9])
    gap = float(TOKENS.predict(parameters=1e8, tokens=1e9)) - (6.4e13 / 1e8) ** 0.076
    assert found[1] == pytest.approx(2.1e3 / gap ** (1 / 0.76))
    assert found[0] < found[1]


def test_the_laws_contradict_each_other_where_the_paper_says():
    where = kaplan.contradiction(
        kaplan.PUBLISHED.loss,
        find_published("kaplan-2020-tokens").law,
        kaplan.PUBLISHED.tokens,
        kaplan.PUBLISHED.parameters,
    )
    assert np.log10(where.flops / PF_DAY) == pytest.approx(4, abs=0.5)
    assert np.log10(where.parameters) == pytest.approx(12, abs=0.5)
    assert np.log10(where.tokens) == pytest.approx(12, abs=1)
    assert where.loss == pytest.approx(1.7, abs=0.1)
    data = find_published("kaplan-2020-tokens").law.predict(tokens=where.tokens)
    assert float(data) == pytest.approx(where.loss)
    slow = type(kaplan.PUBLISHED.loss)(3.1e8 * PF_DAY, 0.01)
    with pytest.raises(DataError, match="do not contradict"):
        kaplan.contradiction(
            slow, find_published("kaplan-2020-tokens").law, kaplan.PUBLISHED.tokens, kaplan.PUBLISHED.parameters
        )


def test_the_learning_rate_rule_ends_where_it_ends():
    assert float(kaplan.published_learning_rate(1e6)) == pytest.approx(0.003239 - 0.0001395 * np.log(1e6))
    with pytest.raises(DataError, match="1e10"):
        kaplan.published_learning_rate(1e11)
