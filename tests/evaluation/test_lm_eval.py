"""The same log-likelihoods and accuracies as lm-evaluation-harness, from the same file, where it is installed."""

import importlib.util
import sys
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "evaluation.py"


@pytest.fixture(scope="module")
def benchmark():
    pytest.importorskip("lm_eval", reason="needs pip install lm_eval")
    spec = importlib.util.spec_from_file_location("evaluation_benchmark", BENCHMARK)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def models(benchmark):
    from windtunnel.models.interface import load

    model = load("smollm2-135m")
    return model, benchmark.harness(model)


@pytest.mark.slow
@pytest.mark.smollm
@pytest.mark.data
@pytest.mark.parametrize("name", ["piqa", "truthfulqa", "bbq"])
def test_options_have_the_log_likelihoods_of_the_harness(benchmark, models, tmp_path, monkeypatch, name):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    questions = benchmark.question_sets(12)[name]
    found = benchmark.compared(benchmark.write_task(tmp_path, name, questions, ""), *models)
    assert found["difference"] < 1e-3
    assert found["accuracy"] == found["their_accuracy"]
    assert found["accuracy_normalised"] == found["their_accuracy_normalised"]
