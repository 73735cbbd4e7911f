"""The study end to end at a small size on made-up texts, its null control, and its parts alone."""

import json

import numpy as np
import pytest
import torch

from tests.studies.outcomes import effects_replicated, verdicts
from windtunnel.cli import main
from windtunnel.data.worlds.entropy import MarkovChain, random_transition
from windtunnel.laboratory.study import execute
from windtunnel.models.transformer import Transformer, TransformerConfig
from windtunnel.studies import find
from windtunnel.studies.transfer_scaling import CLAIMS, ON_TEXT, PRESETS
from windtunnel.studies.transfer_scaling.grid import Grid, multiplier_slope, share_positive, size_slopes
from windtunnel.studies.transfer_scaling.proximity import freeze_half

STUDY = find("transfer-scaling")
IDENTITIES = {claim.id for claim in CLAIMS if claim.id.startswith(("few-shot", "model-or", "planted", "inversion"))}

SMALL = {
    "experiments": list(ON_TEXT),
    "widths": [16, 32],
    "layers": 1,
    "context": 32,
    "pretraining_tokens": 32_768,
    "finetuning": [128, 256],
    "saturating": [16_384],
    "scratch": [128, 256, 1_024, 4_096, 16_384],
    "steps": 150,
    "learning_rates": [1e-2],
    "pretraining_rate": 1e-2,
    "held_out_rows": 24,
    "bootstrap": 30,
}
"""Enough for pre-training on nearly the target's language to be worth data."""

SYNTHETIC = {
    "experiments": ["proximity"],
    "proximities": [0.0, 0.5, 1.0],
    "synthetic_scratch": [512, 2_048, 16_384],
    "synthetic_pretraining": [32_768],
    "synthetic_seeds": 1,
    "synthetic_steps": 120,
    "held_out_rows": 32,
}


def value(run, claim):
    return next(finding.value for finding in run.ledger if finding.id == claim)


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    """One language of twelve letters, each of which says which may follow; other code is of other letters."""
    folder = tmp_path_factory.mktemp("texts")
    transition = random_transition(12, np.random.default_rng(0), 0.15)
    for name, letters in {"text": "abcdefghijkl", "code": "ABCDEFghijkl", "target": "abcdefghijkl"}.items():
        rows = MarkovChain(transition, 255, ord(name[0])).rows(0, 340)["tokens"]
        lines = [json.dumps({"text": "".join(letters[place] for place in row)}) for row in rows.tolist()]
        (folder / f"{name}.jsonl").write_text("\n".join(lines))
    named = {"text": "text", "other_code": "code", "target": "target"}
    return {field: str(folder / f"{name}.jsonl") for field, name in named.items()}


@pytest.fixture(scope="module")
def small(texts, tmp_path_factory):
    directory = tmp_path_factory.mktemp("transfer") / "run"
    return execute(STUDY, settings={**SMALL, **texts}, out=directory, workers=1)


def test_pretraining_on_the_same_words_is_worth_data(small):
    assert value(small, "data-transferred") >= 0.8
    found = verdicts(small)
    assert found["proximity-orders"] == "not tested"
    assert value(small, "trace") is not None
    contents = json.loads((small.directory / "contents.json").read_text())
    figures = {item["name"] for item in contents if item["kind"] == "figure"}
    assert figures >= {"curves", "fractions", "multipliers", "sizes", "compute", "ossification", "regimes", "epochs"}
    assert all((small.directory / "figures" / f"{name}.svg").stat().st_size > 2_000 for name in figures)


def test_a_finished_run_is_read_back(small, texts):
    again = execute(STUDY, settings={**SMALL, **texts}, out=small.directory, workers=1, resume=True)
    assert [(row.id, row.value) for row in again.ledger] == [(row.id, row.value) for row in small.ledger]


def test_tokens_in_no_order_are_worth_nothing(texts, tmp_path):
    settings = {**SMALL, **texts, "experiments": ["law", "size", "compute", "unified", "epochs"]}
    null = execute(STUDY, settings=settings, out=tmp_path / "null", workers=1, null=True)
    assert not effects_replicated(null)
    assert value(null, "data-transferred") < 0.8


def test_nearer_languages_transfer_more_and_only_if_they_are_learned(tmp_path):
    found = execute(STUDY, settings=SYNTHETIC, out=tmp_path / "run", workers=1)
    worths = json.loads((found.directory / "figures" / "proximity.json").read_text())["data"]["transferred"]["0"]
    assert worths[2] > max(worths[:2])
    assert worths[2] > 1_000
    assert value(found, "ossification-detected") < 0
    null = execute(STUDY, settings=SYNTHETIC, out=tmp_path / "null", workers=1, null=True)
    assert not effects_replicated(null)
    nothing = json.loads((null.directory / "figures" / "proximity.json").read_text())["data"]["transferred"]["0"]
    assert nothing[2] < 0.5 * worths[2]  # some trained weights are better than none, whatever they have read
    assert max(nothing) - min(nothing) < 0.5 * (max(worths) - min(worths))


def test_what_needs_no_training_holds(tmp_path):
    settings = {"experiments": ["few-shot", "planted"], "plantings": 30}
    found = verdicts(execute(STUDY, settings=settings, out=tmp_path / "run", workers=1))
    assert {name for name, verdict in found.items() if verdict == "replicated"} == IDENTITIES


def test_half_of_a_model_is_frozen_and_stays():
    shape = TransformerConfig(vocabulary=32, context=8, layers=1, width=16, heads=2)
    model = Transformer(shape, torch.Generator().manual_seed(0))
    freeze_half(model)
    counts = [[p.numel() for p in model.parameters() if p.requires_grad == trained] for trained in (True, False)]
    assert 0.35 < sum(counts[0]) / (sum(counts[0]) + sum(counts[1])) < 0.65


def made(beginning, size, data, loss, seed=0):
    return {"beginning": beginning, "parameters": size, "data": data, "loss": loss, "seed": seed}


def test_statistics_over_a_grid_that_is_known():
    """Losses of 10 − log10 D, and pre-training worth 1000 tokens whatever is fine-tuned on."""
    rows = [made("scratch", n, d, 10 - np.log10(d)) for n in (1e3, 1e4) for d in (10, 1e3, 1e5, 1e7)]
    tuned = [made("text", n, d, 10 - np.log10(d + 1_000)) for n in (1e3, 1e4) for d in (10, 1e3, 1e5)]
    grid = Grid(rows + tuned)
    assert share_positive(grid) == 1.0
    low = [10, 1e3, 1e5]
    expected = np.polyfit(np.log(low), np.log(1 + 1_000 / np.array(low)), 1)[0]
    assert multiplier_slope(grid) == pytest.approx(expected, rel=1e-3)
    estimate = grid.estimate(share_positive, np.random.default_rng(0), 20)
    assert estimate.interval == (1.0, 1.0)
    harmed = Grid([*rows, *(made("text", n, d, 10 - np.log10(0.5 * d)) for n in (1e3, 1e4) for d in (1e3, 1e5))])
    assert share_positive(harmed) == 0.0


def test_the_slope_over_sizes_is_of_differences_within_clusters_with_students_interval():
    rows = []
    for size, seed, difference in ((1e3, 0, -0.1), (1e3, 1, 0.1), (1e4, 0, -0.4), (1e4, 1, -0.2)):
        rows += [made("scratch", size, 128, 3.0, seed), made("text", size, 128, 3.0 + difference, seed)]
    found = size_slopes(Grid(rows), "text")
    # Student's t at 95 % with 2 degrees of freedom; the squares of the sizes about their mean sum to 1.
    half = 2.919986 * np.sqrt(0.04 / 2)
    assert (found.value, found.low, found.high) == pytest.approx((-0.3, -0.3 - half, -0.3 + half), rel=1e-6)
    assert size_slopes(Grid(rows[:4]), "text") is None
    assert size_slopes(Grid(rows[2:6]), "text").interval == (-np.inf, np.inf)


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_the_quick_null_replicates_no_effect(tmp_path):
    assert not effects_replicated(execute(STUDY, out=tmp_path / "null", null=True))


def test_presets_differ_in_size_only():
    quick, full, paper = (PRESETS[name] for name in ("quick", "full", "paper"))
    assert set(quick.experiments) < set(full.experiments) == set(paper.experiments)
    assert max(quick.widths) < max(full.widths) < max(paper.widths)


@pytest.mark.parametrize(
    ("setting", "word"),
    [
        ("widths=16", "widths"),
        ("widths=20,40", "divisible"),
        ("finetuning=999,1024", "among"),
        ("saturating=999", "saturating"),
        ("context=2048", "fill"),
        ("experiments=everything", "experiments"),
    ],
)
def test_bad_settings_are_one_sentence_and_usage(setting, word, tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["run", "transfer-scaling", "--set", setting, "--out", str(tmp_path / "run")])
    assert stopped.value.code == 2
    assert word in capsys.readouterr().err


def test_a_corpus_that_is_too_short_is_one_sentence(texts, tmp_path, capsys):
    arguments = [f"--set={name}={value}" for name, value in texts.items()]
    arguments += ["--set=experiments=size", "--out", str(tmp_path / "run"), "--json"]
    with pytest.raises(SystemExit) as stopped:
        main(["run", "transfer-scaling", *arguments])
    assert stopped.value.code == 1
    assert "larger corpus" in capsys.readouterr().err
