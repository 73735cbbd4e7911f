"""The study end to end at a small size, its null control, and what it says of planted and published laws."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from tests.studies.outcomes import effects_replicated, verdicts
from windtunnel.cli import main
from windtunnel.laboratory.study import execute
from windtunnel.models.counting import count_parameters
from windtunnel.models.recurrent import RecurrentConfig
from windtunnel.scaling.rungs import sizes
from windtunnel.studies import find
from windtunnel.studies.neural_scaling_laws import EVERY, KNOWN, PRESETS, TRAINED
from windtunnel.studies.neural_scaling_laws.evidence import Uncertainty
from windtunnel.studies.neural_scaling_laws.rungs import declare
from windtunnel.studies.neural_scaling_laws.sizes import against_logarithm, position_exponent, rank_with_size

STUDY = find("neural-scaling-laws")

TINY = {
    "text": 20_000,
    "context": 16,
    "short_context": 4,
    "batch": 8,
    "rows": 16,
    "rows_on_curve": 4,
    "points": 6,
    "sizes": [[1, 4], [1, 8], [1, 12], [1, 16]],
    "tokens": 3_000,
    "seeds": 2,
    "data_sizes": [[1, 4], [1, 8]],
    "subsets": [500, 2_000],
    "data_tokens": 3_000,
    "budgets": [5e7, 1e8],
    "compute_sizes": [[1, 4], [1, 8], [1, 12]],
    "fewest_tokens": 0.01,
    "shapes": [[1, 16], [2, 12]],
    "shape_tokens": 1_500,
    "batch_shape": [1, 8],
    "batches": [4, 8, 16],
    "batch_tokens": 3_000,
    "noise_rows": 24,
    "schedule_shape": [1, 8],
    "schedule_tokens": 1_500,
    "recurrent_shapes": [[1, 8]],
    "recurrent_tokens": 1_500,
    "universal_shape": [2, 8],
    "planted_repeats": 4,
    "bootstrap": 20,
}
"""Every part runs, hardly anything is learned."""


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    """A made-up language with something to learn at every scale, and another."""
    folder = tmp_path_factory.mktemp("text")
    words = ["the ", "wind ", "tunnel ", "old ", "stone ", "measures ", "every ", "model. ", "it ", "flies "]
    for name, seed in (("words", 0), ("others", 1)):
        generator = np.random.default_rng(seed)
        chain = generator.dirichlet(np.full(len(words), 0.3), len(words))
        state, told = 0, []
        for _ in range(9_000):
            state = int(generator.choice(len(words), p=chain[state]))
            told.append(words[state])
        (folder / f"{name}.txt").write_text("".join(told))
    return folder


def settings(folder, **changes):
    return {**TINY, "corpus": str(folder / "words.txt"), "others": [str(folder / "others.txt")], **changes}


@pytest.fixture(scope="module")
def tiny(text, tmp_path_factory):
    return execute(STUDY, settings=settings(text), out=tmp_path_factory.mktemp("scaling") / "run", workers=1)


def test_every_experiment_is_made_and_shown(tiny):
    contents = json.loads((tiny.directory / "contents.json").read_text())
    figures = {item["name"] for item in contents if item["kind"] == "figure"}
    wanted = {
        "efficient",
        "counting-simulated",
        "planted",
        "size",
        "learning-curves",
        "positions",
        "other-text",
        "data",
    }
    wanted |= {"isoflop", "allocation", "exponents", "shape", "batch", "schedules", "contexts", "lstm", "universal"}
    wanted |= {"mlp-width", "batch-correction", "corrected-curves", "compute-law"}
    assert figures >= wanted
    assert all((tiny.directory / "figures" / f"{name}.svg").stat().st_size > 2_000 for name in figures)
    assert (tiny.directory / "ladder.csv").exists()
    found = verdicts(tiny)
    assert found["shape"] in {"replicated", "inconclusive", "not replicated"}
    assert found["kaplan-plan"] == found["pearce-total"] == "replicated"


def test_a_finished_run_is_read_back(tiny, text):
    before = {finding.id: finding.value for finding in tiny.ledger}
    again = execute(STUDY, settings=settings(text), out=tiny.directory, workers=1, resume=True)
    assert {finding.id: finding.value for finding in again.ledger} == before


def test_one_experiment_can_be_chosen(text, tmp_path):
    run = execute(STUDY, settings=settings(text, experiments=["shapes"]), out=tmp_path / "run", workers=1)
    tested = {name for name, verdict in verdicts(run).items() if verdict != "not tested"}
    assert tested == {"shape", "mlp-width"}


def test_size_helps_where_there_is_something_to_learn_and_not_in_the_reduced_null(text, tmp_path):
    changed = {"experiments": ["sizes"], "tokens": 40_000, "text": 50_000, "rows": 64, "batch": 8, "seeds": 2}
    changed["sizes"] = [[1, 8], [1, 12], [1, 16], [1, 32]]  # all wide enough to learn frequencies within the run
    runs = [
        execute(STUDY, settings=settings(text, **changed), out=tmp_path / str(null), workers=1, null=null)
        for null in (False, True)
    ]
    found, null = ({finding.id: finding.value for finding in run.ledger} for run in runs)
    assert found["larger-is-better"] < -0.9 < null["larger-is-better"]
    assert found["size-law"] > 0.95 > null["size-law"]
    assert found["sample-efficiency"] > 1.5
    assert null["sample-efficiency"] is None
    assert not effects_replicated(runs[1])


def test_the_null_of_all_experiments_replicates_no_effect(text, tmp_path):
    trained = [name for name in EVERY if name not in ("published", "planted")]
    null = execute(STUDY, settings=settings(text, experiments=trained), out=tmp_path / "null", workers=1, null=True)
    assert not effects_replicated(null)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_quick_null_replicates_no_effect(tmp_path):
    assert not effects_replicated(execute(STUDY, out=tmp_path / "null", null=True))


@pytest.mark.data
@pytest.mark.skipif("WINDTUNNEL_DATA" not in os.environ, reason="needs WINDTUNNEL_DATA")
def test_the_chinchilla_points_give_the_published_refit(tmp_path):
    if not (Path(os.environ["WINDTUNNEL_DATA"]) / "chinchilla-points.csv").exists():
        pytest.skip("needs chinchilla-points.csv")
    run = execute(STUDY, settings={"experiments": ["published"]}, out=tmp_path / "run", workers=1)
    found = verdicts(run)
    assert all(found[f"chinchilla-{name}"] == "replicated" for name in ("irreducible", "alpha", "beta", "allocation"))


def test_planted_laws_are_found(text, tmp_path):
    changed = {"experiments": ["planted"], "planted_repeats": 12}
    found = verdicts(execute(STUDY, settings=settings(text, **changed), out=tmp_path / "run", workers=1))
    assert found["planted-exponents"] == found["parabola-bias"] == found["projection-exact"] == "replicated"


@pytest.mark.parametrize("name", ["quick", "full", "paper"])
def test_presets_declare_what_they_say(name):
    config = PRESETS[name]
    shapes = declare("shapes", config, 0).values()
    counted = [count_parameters(rung.model).matrices for rung in shapes]
    assert max(counted) / min(counted) < (1.2 if name != "paper" else 1.3)
    for rung in declare("recurrent", config, 0).values():
        if isinstance(rung.model, RecurrentConfig):
            nearest = min(
                abs(sizes(rung.model).non_embedding / sizes(other.model).non_embedding - 1)
                for other in declare("recurrent", config, 0).values()
                if rung.model is not other.model
            )
            assert nearest < 0.06
    assert len(declare("batches", config, 0)) == 2 * len(config.batches)
    assert {rung.tokens for rung in declare("sizes", config, 0).values()} == {config.tokens}


def test_intervals_hold_what_they_are_of():
    class Measured:
        def __init__(self, losses):
            self.row_losses = losses

    generator = np.random.default_rng(0)
    common = generator.standard_normal(100)
    rows = [Measured(3 + common), Measured(2.5 + common)]

    def difference(losses):
        return losses[0] - losses[1]

    sure = Uncertainty(0.0, np.random.default_rng(1)).estimate(rows, difference)
    assert sure.low == pytest.approx(0.5)  # the same rows: their difficulty cancels
    assert sure.high == pytest.approx(0.5)
    noisy = Uncertainty(0.02, np.random.default_rng(1)).estimate(rows, difference)
    assert (noisy.high - noisy.low) / 2 == pytest.approx(1.96 * 2**0.5 * 0.02, rel=0.2)


def test_ranks_pass_over_differences_below_the_spread_of_seeds():
    assert rank_with_size(np.array([3.0, 2.5, 2.2, 2.0])) == pytest.approx(-1)
    assert rank_with_size(np.array([3.0, 2.999, 2.998, 2.997])) == 0.0
    assert rank_with_size(np.array([3.0, 2.5, 2.499, 2.0])) > -1
    assert position_exponent(5.0 * np.arange(1, 65) ** -0.1) == pytest.approx(0.1)


def test_a_power_law_is_told_from_a_logarithm_and_neither_wins_on_flat_losses():
    sizes, noise = np.geomspace(1e3, 1e6, 6), 1 + 0.002 * np.random.default_rng(0).standard_normal(6)
    assert against_logarithm(sizes, 30 * sizes**-0.2 * noise) < 0.2
    assert against_logarithm(sizes, (9 - 0.6 * np.log(sizes)) * noise) > 5
    for flat in (3 * noise, 3 * noise[::-1], 3 * sizes**0.001 * noise):
        assert against_logarithm(sizes, flat) == pytest.approx(1, abs=0.02)


def test_claims_are_of_two_kinds():
    assert all(not claim.effect for claim in KNOWN)
    assert sum(claim.effect for claim in TRAINED) >= 10


@pytest.mark.parametrize(
    ("setting", "word"),
    [
        ("experiments=shape", "experiments"),
        ("short_context=64", "short_context"),
        ("sizes=[[1,8]]", "sizes"),
        ("corpus=no/such.txt", "no/such.txt"),
    ],
)
def test_bad_settings_are_one_sentence_and_usage(setting, word, tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(
            ["run", "neural-scaling-laws", "--set", "experiments=sizes", "--set", setting, "--out", str(tmp_path / "r")]
        )
    assert stopped.value.code == 2
    assert word in capsys.readouterr().err
