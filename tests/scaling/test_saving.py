"""A fitted law as a file."""

import json

import numpy as np
import pytest

from windtunnel.laboratory.errors import DataError, UsageError
from windtunnel.scaling import fit, load_law, save_law
from windtunnel.scaling.laws.chinchilla import Chinchilla

LAW = Chinchilla(1.8172, 482.01, 2085.43, 0.3478, 0.3658)


def fitted(**options):
    generator = np.random.default_rng(0)
    n, d = 10 ** generator.uniform(6, 10, 30), 10 ** generator.uniform(9, 12, 30)
    loss = LAW.predict(parameters=n, tokens=d) * np.exp(0.01 * generator.normal(size=30))
    return fit("chinchilla", parameters=n, tokens=d, loss=loss, **options)


@pytest.mark.parametrize("options", [{}, {"bootstrap": 20, "level": 0.8}, {"delta": np.inf, "fixed": {"alpha": 0.35}}])
def test_a_fit_comes_back_as_it_was(options, tmp_path):
    found = fitted(**options)
    save_law(found, tmp_path / "law.json")
    again = load_law(tmp_path / "law.json")
    medians = [fit_.report()["median_absolute_residual"] for fit_ in (again, found)]
    assert medians[0] == pytest.approx(medians[1])
    assert again.report() | {"median_absolute_residual": medians[1]} == found.report()
    assert np.allclose(again.residuals, found.residuals)
    assert again.optimum(1e21).tokens == found.optimum(1e21).tokens
    if found.replicates is not None:
        assert again.interval(lambda law: law.optimum(1e21).tokens) == found.interval(
            lambda law: law.optimum(1e21).tokens
        )
    json.loads((tmp_path / "law.json").read_text(), parse_constant=lambda word: pytest.fail(word))


def test_a_law_can_be_written_by_hand(tmp_path):
    (tmp_path / "law.json").write_text(json.dumps({"law": "chinchilla", "parameters": LAW.parameters}))
    found = load_law(tmp_path / "law.json")
    assert found.parameters == LAW.parameters
    assert found.intervals == {}
    json.dumps(found.report(), allow_nan=False)


@pytest.mark.parametrize(
    ("text", "error", "word"),
    [
        (None, DataError, "There is no file"),
        ("", DataError, "law"),
        ("[1]", DataError, "holds no fitted law"),
        ("{", DataError, "law"),
        ('{"law": "chinchila", "parameters": {}}', UsageError, "No law is named"),
        ('{"law": "chinchilla", "parameters": {"E": 1}}', DataError, "must give numbers for E, A, B, alpha, beta"),
        ('{"law": "chinchilla", "parameters": 3}', DataError, "must give numbers"),
        ('{"law": "chinchilla"}', DataError, "must give numbers"),
        ('{"law": "power-law", "parameters": {"x_c": 1, "alpha": "steep"}}', DataError, "must give numbers"),
        ('{"law": "power-law", "parameters": {"x_c": 1, "alpha": 1}, "columns": 3}', DataError, "law.json"),
        ('{"law": "power-law", "parameters": {"x_c": 1, "alpha": 1}, "columns": {"x": [1]}}', DataError, "law.json"),
        ('{"law": "power-law", "parameters": {"x_c": 1, "alpha": 1}, "replicates": [1]}', DataError, "law.json"),
    ],
)
def test_what_is_no_law_is_one_sentence(text, error, word, tmp_path):
    path = tmp_path / "law.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(error, match=word):
        load_law(path)
