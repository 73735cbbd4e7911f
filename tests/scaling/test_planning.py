"""Plans: published numbers, brute force, intervals that come from refits, files, and what is refused."""

import json

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from windtunnel.laboratory.errors import DataError, UsageError
from windtunnel.scaling.fitting import fit
from windtunnel.scaling.laws.chinchilla import Chinchilla
from windtunnel.scaling.laws.deployment import OverTraining
from windtunnel.scaling.laws.repetition import DataConstrained
from windtunnel.scaling.planning import plan, same_loss_tokens
from windtunnel.scaling.published import find_published
from windtunnel.scaling.saving import save_law

BUDGET = 5.76e23
LAW = find_published("besiroglu-2024").law


@pytest.fixture(scope="module")
def fitted():
    generator = np.random.default_rng(0)
    n, d = np.exp(generator.uniform(np.log(1e7), np.log(1e10), 60)), np.exp(generator.uniform(20, 26, 60))
    loss = LAW.formula(n, d) * np.exp(0.005 * generator.standard_normal(60))
    return fit("chinchilla", parameters=n, tokens=d, loss=loss, bootstrap=60)


@pytest.mark.parametrize(
    ("name", "parameters", "tokens", "ratio"),
    [("hoffmann-2022", 32e9, 3.0e12, 93), ("besiroglu-2024", 72e9, 1.33e12, 18)],
)
def test_the_plan_at_chinchillas_budget(name, parameters, tokens, ratio):
    found = plan(BUDGET, name)
    assert found.parameters.value == pytest.approx(parameters, rel=0.03)
    assert found.tokens.value == pytest.approx(tokens, rel=0.03)
    assert found.tokens_per_parameter.value == pytest.approx(ratio, rel=0.03)
    assert 6 * found.parameters.value * found.tokens.value == pytest.approx(BUDGET)


def test_the_default_law_is_the_refit():
    assert plan(BUDGET).law["name"] == "besiroglu-2024"
    assert plan(BUDGET).exponent.value == pytest.approx(0.5126, abs=0.0001)


def test_the_plan_is_the_lowest_loss_of_the_budget():
    found = plan(1e21)
    best = minimize_scalar(lambda x: LAW.formula(np.exp(x), 1e21 / 6 / np.exp(x)), bounds=(15, 30), method="bounded")
    assert found.parameters.value == pytest.approx(np.exp(best.x), rel=1e-3)
    assert found.loss.value == pytest.approx(best.fun)
    assert all(row.loss >= found.loss.value for row in found.other_sizes)
    assert all(row.same_loss_flops >= 1 for row in found.other_sizes)
    assert [row.loss.value for row in found.more_budget] == sorted(
        (r.loss.value for r in found.more_budget), reverse=True
    )
    assert found.more_budget[1].gain.value == pytest.approx(found.loss.value - plan(1e22).loss.value)


def test_other_sizes_reach_the_same_loss_with_the_tokens_told():
    found = plan(1e21)
    for row in found.other_sizes:
        assert row.loss == pytest.approx(float(LAW.formula(row.parameters, 1e21 / 6 / row.parameters)))
        if np.isfinite(row.same_loss_tokens):
            assert float(LAW.formula(row.parameters, row.same_loss_tokens)) == pytest.approx(found.loss.value)
    kaplan = find_published("kaplan-2020-parameters-tokens").law
    tokens = same_loss_tokens(kaplan, [1e8, 1e9, 1e3], 3.0)
    assert kaplan.predict(parameters=[1e8, 1e9], tokens=tokens[:2]) == pytest.approx([3.0, 3.0])
    assert np.isinf(tokens[2])


def test_rules_are_evaluated_at_the_plan():
    found = plan(1e21, rule="deepseek-2024")
    assert [rule.name for rule in found.rules] == ["deepseek-2024", "step-law-2025", "porian-2024"]
    for rule in found.rules:
        batch = find_published(f"{rule.name}-batch-size").law
        expected = batch.predict(parameters=found.parameters.value, tokens=found.tokens.value)
        assert rule.batch.value == pytest.approx(float(expected))
        assert rule.steps.value * rule.batch.value == pytest.approx(found.tokens.value)
        assert 0 < rule.learning_rate.value < 0.1


def test_every_number_has_an_interval_where_the_law_has_refits(fitted):
    found = plan(1e22, fitted, inference_tokens=1e12)
    numbers = [found.parameters, found.tokens, found.tokens_per_parameter, found.loss, found.exponent]
    numbers += [n for rule in found.rules[::2] for n in (rule.batch, rule.steps, rule.learning_rate)]
    assert not np.isfinite(found.rules[1].batch.interval).any()  # DeepSeek's is a rule of FLOPs, which are given
    numbers += [number for row in found.more_budget for number in (row.parameters, row.tokens, row.loss, row.gain)]
    numbers += [number for row in found.served for number in (row.parameters, row.tokens, row.loss, row.total_flops)]
    for number in numbers:
        assert number.low < number.value < number.high
    low, high = fitted.interval(lambda law: law.optimum(1e22).parameters)
    assert found.parameters.interval == pytest.approx((low, high))
    assert found.parameters.low < float(LAW.optimum(1e22).parameters) < found.parameters.high
    limited = plan(1e22, fitted, unique_tokens=1e10).data_limited
    assert limited.parameters.low < limited.parameters.value < limited.parameters.high
    assert limited.lost.low > 0


def test_a_published_law_has_no_interval_and_says_why():
    found = plan(BUDGET)
    assert not np.isfinite(found.parameters.interval).any()
    assert found.report()["parameters"]["interval"] is None
    assert any("no" in warning and "interval" in warning for warning in found.warnings)
    assert any("4.46 times above" in warning for warning in found.warnings)


def test_inference_moves_the_plan_to_smaller_models():
    served = 5e12
    same_loss, same_cost = plan(BUDGET, inference_tokens=served).served
    best = LAW.optimum(BUDGET)
    assert same_loss.loss.value == pytest.approx(float(best.loss))

    def total(log_n):
        tokens = float(same_loss_tokens(LAW, np.exp(log_n), best.loss))
        return 6 * np.exp(log_n) * tokens + 2 * np.exp(log_n) * served

    found = minimize_scalar(total, bounds=(np.log(2e10), np.log(2e11)), method="bounded")
    assert same_loss.parameters.value == pytest.approx(np.exp(found.x), rel=1e-3)
    assert same_loss.total_flops.value == pytest.approx(found.fun, rel=1e-6)
    before = BUDGET + 2 * float(best.parameters) * served
    assert same_loss.saved.value == pytest.approx(1 - found.fun / before, rel=1e-4)
    assert same_cost.total_flops.value == pytest.approx(before)
    assert same_cost.gain.value == pytest.approx(float(best.loss) - same_cost.loss.value)
    assert same_cost.gain.value > 0
    nothing = plan(BUDGET, inference_tokens=0).served[0]
    assert nothing.parameters.value == pytest.approx(float(best.parameters), rel=1e-6)


def test_repeating_data_moves_the_plan_to_more_epochs():
    law = find_published("muennighoff-2023").law
    unique, budget = 1e10, 1e22
    found = plan(budget, "muennighoff-2023", unique_tokens=unique).data_limited
    best = minimize_scalar(
        lambda x: float(law.formula(np.exp(x), budget / 6 / np.exp(x), unique)), bounds=(18, 26), method="bounded"
    )
    assert found.parameters.value == pytest.approx(np.exp(best.x), rel=1e-3)
    assert found.loss.value == pytest.approx(best.fun, rel=1e-9)
    assert found.epochs.value == pytest.approx(budget / 6 / found.parameters.value / unique)
    assert found.lost.value > 0
    free = plan(budget, "muennighoff-2023", unique_tokens=1e14).data_limited
    assert free.lost.value == pytest.approx(0, abs=1e-9)
    assert free.parameters.value == pytest.approx(float(law.base().optimum(budget).parameters), rel=1e-5)


def test_a_budget_that_the_data_cannot_use_is_told():
    told = "more than so few tokens can use"
    assert any(told in warning for warning in plan(1e22, unique_tokens=1e8).warnings)
    assert not any(told in warning for warning in plan(1e22, unique_tokens=1e10).warnings)


def test_an_over_training_law_is_planned_in_its_chinchilla_form():
    law = OverTraining(1.8, 150.0, 200.0, 0.12)
    found = plan(1e20, law)
    tokens_per_parameter = found.tokens_per_parameter.value
    assert tokens_per_parameter == pytest.approx(float(law.best_tokens_per_parameter))
    assert found.loss.value == pytest.approx(float(law.predict(flops=1e20, tokens_per_parameter=tokens_per_parameter)))


def test_a_law_read_from_a_file_plans_as_the_fit_does(fitted, tmp_path):
    path = tmp_path / "law.json"
    save_law(fitted, path)
    found, direct = plan(1e22, str(path)), plan(1e22, fitted)
    assert found.parameters.value == pytest.approx(direct.parameters.value)
    assert found.parameters.interval == pytest.approx(direct.parameters.interval)
    path.write_text(json.dumps(fitted.report()))
    assert not np.isfinite(plan(1e22, path).parameters.low)


def test_data_constrained_laws_of_the_users_own_keep_their_decays():
    own = DataConstrained(*LAW.vector(), R_D=2.0, R_N=2.0)
    short = plan(1e22, own, unique_tokens=1e10).data_limited
    long = plan(1e22, LAW, unique_tokens=1e10).data_limited
    assert short.epochs.value < long.epochs.value


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ({"flops": 0}, DataError, "positive"),
        ({"flops": 1e21, "law": "besiroglu"}, UsageError, "did you mean"),
        ({"flops": 1e21, "law": "kaplan-2020-parameters"}, UsageError, "no compute-optimal split"),
        ({"flops": 1e21, "rule": "guess"}, UsageError, "step-law-2025"),
        ({"flops": 1e21, "inference_tokens": 1e9, "unique_tokens": 1e9}, UsageError, "not both"),
        ({"flops": 1e21, "inference_tokens": -1}, UsageError, "0 or more"),
        ({"flops": 1e21, "unique_tokens": 0}, DataError, "positive"),
        (
            {"flops": 1e21, "law": "kaplan-2020-parameters-tokens", "unique_tokens": 1e9},
            UsageError,
            "another --law",
        ),
        (
            {"flops": 1e21, "law": "kaplan-2020-parameters-tokens", "inference_tokens": 1e9},
            UsageError,
            "another --law",
        ),
    ],
)
def test_what_cannot_be_planned_is_explained(arguments, error, said):
    with pytest.raises(error, match=said):
        plan(**arguments)


@pytest.mark.parametrize(
    ("stored", "said"),
    [
        ([1], "holds no fitted law"),
        ({"law": "chinchilla", "parameters": {"E": 1}}, "must give numbers for E, A, B, alpha, beta"),
        (
            {"law": "chinchilla", "parameters": dict.fromkeys(["E", "A", "B", "alpha", "beta"], "x")},
            "must give numbers",
        ),
    ],
)
def test_a_file_that_is_no_law_is_explained(stored, said, tmp_path):
    path = tmp_path / "law.json"
    path.write_text(json.dumps(stored))
    with pytest.raises(DataError, match=said):
        plan(1e21, path)


def test_the_report_is_strict_json():
    text = json.dumps(plan(1e21, inference_tokens=1e12).report(), allow_nan=False)
    assert json.loads(text)["other_sizes"][0]["ratio"] == 0.25
    low = plan(1e21, Chinchilla(1.8, 482.0, 2085.0, 0.35, 0.37)).report()
    assert low["law"]["form"] == "chinchilla"
