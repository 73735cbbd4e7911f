"""Choosing a law: the true one extrapolates best; the criteria are those of the textbooks."""

import math

import numpy as np
import pytest

from windtunnel.laboratory.errors import DataError, UsageError
from windtunnel.scaling.laws.chinchilla import Chinchilla
from windtunnel.scaling.laws.kaplan import LossOfParametersAndTokens
from windtunnel.scaling.laws.power import PowerLaw, PowerLawPlusConstant
from windtunnel.scaling.selection import compare, select

X = np.geomspace(1e3, 1e9, 24)
NOISE = np.exp(0.003 * np.random.default_rng(0).normal(size=24))


@pytest.mark.parametrize("law", [PowerLaw(1e6, 0.08), PowerLawPlusConstant(1.5, 1e4, 0.3)])
def test_the_planted_law_of_one_variable_ranks_first(law):
    rows = compare(["power-law", "power-law-plus-constant"], columns={"x": X, "loss": law.predict(x=X) * NOISE})
    errors = {row.law: row.extrapolation_error for row in rows}
    if law.name == "power-law":  # the other holds it, with a constant near 0
        assert errors["power-law"] < 2 * min(errors.values())
    else:
        assert rows[0].law == law.name
        assert errors["power-law"] > 5 * errors[law.name]
    assert [row.extrapolation_error for row in rows] == sorted(errors.values())


@pytest.mark.parametrize(
    "law",
    [Chinchilla(1.8172, 482.01, 2085.43, 0.3478, 0.3658), LossOfParametersAndTokens(6.4e13, 0.076, 1.8e13, 0.103)],
)
def test_the_planted_law_of_two_variables_ranks_first(law):
    generator = np.random.default_rng(1)
    n, d = 10 ** generator.uniform(6, 10, 40), 10 ** generator.uniform(8, 12, 40)
    loss = law.predict(parameters=n, tokens=d) * np.exp(0.003 * generator.normal(size=40))
    columns = {"parameters": n, "tokens": d, "loss": loss}
    rows = compare(["chinchilla", "kaplan-parameters-tokens"], columns=columns)
    assert rows[0].law == law.name
    assert rows[0].aicc < rows[1].aicc
    assert rows[0].bic < rows[1].bic
    assert rows[0].held_out == 8
    assert set(rows[0].report()["fitted"]) == set(law.symbols())


def test_the_largest_are_left_out_and_ties_stay_together():
    columns = {"x": X, "loss": PowerLaw(1e6, 0.08).predict(x=X) * NOISE}
    assert compare(["power-law"], columns=columns, hold_out=0.25)[0].held_out == 6
    scale = np.repeat([1.0, 2.0, 3.0], 8)
    (row,) = compare(["power-law"], columns=columns, hold_out=0.1, scale=scale)
    assert row.held_out == 8
    small = np.polyfit(np.log(X[:16]), np.log(columns["loss"][:16]), 1)
    missed = np.log(columns["loss"][16:]) - np.polyval(small, np.log(X[16:]))
    (squares,) = compare(["power-law"], columns=columns, hold_out=0.1, scale=scale, delta=math.inf)
    assert squares.extrapolation_error == pytest.approx(np.sqrt((missed**2).mean()), rel=1e-3)
    assert squares.worst == pytest.approx(np.abs(missed).max(), rel=1e-3)


def test_criteria_of_least_squares():
    columns = {"x": X, "loss": PowerLaw(1e6, 0.08).predict(x=X) * NOISE}
    (row,) = compare(["power-law"], columns=columns, delta=math.inf)
    variance, numbers = float((row.fitted.residuals**2).mean()), 3
    akaike = 24 * math.log(variance) + 2 * numbers
    assert row.aicc == pytest.approx(akaike + 2 * numbers * (numbers + 1) / (24 - numbers - 1))
    assert row.bic == pytest.approx(24 * math.log(variance) + numbers * math.log(24))


def test_select_fits_the_best_law_to_all_runs():
    columns = {"x": X, "loss": PowerLawPlusConstant(1.5, 1e4, 0.3).predict(x=X) * NOISE}
    found = select(["power-law", "power-law-plus-constant"], columns=columns, bootstrap=20)
    assert found.law.name == "power-law-plus-constant"
    assert len(found.residuals) == 24
    assert found.intervals


@pytest.mark.parametrize(
    ("laws", "options", "error", "word"),
    [
        (["power-law", "downstream-error"], {}, UsageError, "one output"),
        ([], {}, UsageError, "one law or more"),
        (["power-law"], {"hold_out": 1.0}, UsageError, "between 0 and 1"),
        (["chinchilla"], {}, UsageError, "needs the column parameters"),
        (["power-law"], {"scale": [1.0]}, UsageError, "one a run"),
        (["power-law"], {"scale": np.ones(24)}, DataError, "same scale"),
    ],
)
def test_wrong_usage_is_one_sentence(laws, options, error, word):
    with pytest.raises(error, match=word):
        compare(laws, columns={"x": X, "loss": PowerLaw(1e6, 0.08).predict(x=X)}, **options)
