"""Heads of arithmetic on functions: what is written is run, and both kinds of question are held out by halves."""

import numpy as np
import pytest
import torch

from windtunnel.data.tokenizers import ByteTokenizer
from windtunnel.laboratory.run import Run
from windtunnel.models.interface import from_module
from windtunnel.models.transformer import Transformer, TransformerConfig
from windtunnel.studies.self_knowledge import Config, given_code

SITE = "blocks.0.hook_resid_post"


def test_functions_are_written_run_and_read(tmp_path):
    config = TransformerConfig(vocabulary=259, context=512, layers=1, width=16, heads=2)
    model = from_module(Transformer(config, torch.Generator().manual_seed(0)), ByteTokenizer(), name="random")
    generator = np.random.default_rng(0)
    states, share = generator.normal(size=(40, 16)), generator.random(40)
    run, settings = Run(tmp_path / "run"), Config(resamples=50)
    rows = given_code.ask_functions(model, states, share, SITE, settings, run)
    assert [(row["learned from"], row["tested on"]) for row in rows] == [
        ("arithmetic", "arithmetic"),
        ("arithmetic", "Python functions"),
        ("arithmetic and Python functions", "arithmetic"),
        ("arithmetic and Python functions", "Python functions"),
    ]
    assert [row["questions"] for row in rows] == [20] * 4
    assert rows[1]["mean share right"] == 0  # a random model writes no function
    assert rows[1]["AUROC"] == "not defined"
    assert rows[3]["mean P(IK)"] < rows[1]["mean P(IK)"]  # which a head that has seen functions knows
    lines = (run.directory / "evaluations" / "python-functions" / "samples.jsonl").read_text().splitlines()
    assert len(lines) == 40 * 5
    assert given_code.ask_functions(model, states, share, SITE, settings, run) == rows


def test_known_is_more_than_half_of_the_samples(tmp_path):
    said, share = np.array([0.9, 0.8, 0.3, 0.1] * 5), np.array([1.0, 0.6, 0.5, 0.0] * 5)
    row = given_code._row("a", "b", said, share, Config(), Run(tmp_path / "run"))
    assert row["known"] == 10
    assert row["AUROC"].startswith("1")
    assert float(row["Brier"].split()[0]) == pytest.approx((0.01 + 0.04 + 0.09 + 0.01) / 4, abs=1e-4)
