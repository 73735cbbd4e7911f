"""Ladders: what is declared is what is trained, once, to the same numbers; trunks with cooldowns equal whole runs."""

import csv
import json

import numpy as np
import pytest

from windtunnel.cli import main
from windtunnel.laboratory.errors import UsageError
from windtunnel.laboratory.run import Run
from windtunnel.models.counting import count_parameters, training_flops
from windtunnel.models.recurrent import matched
from windtunnel.scaling.ladder import climb, losses_of
from windtunnel.scaling.material import Material, bounded, gather, skipping
from windtunnel.scaling.rows import table, write_table
from windtunnel.scaling.rungs import LADDER, Rung, decoder, isoflop_rungs


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    """A file of a made-up language in which some words follow others, and one of another kind."""
    folder = tmp_path_factory.mktemp("text")
    generator = np.random.default_rng(0)
    words = ["wind ", "tunnel ", "measures ", "every ", "model ", "before ", "it ", "flies. "]
    state, told = 0, []
    for _ in range(8_000):
        state = (state + int(generator.integers(1, 3))) % len(words)
        told.append(words[state])
    (folder / "words.txt").write_text("".join(told))
    (folder / "numbers.txt").write_text(" ".join(map(str, generator.integers(0, 999, 4_000))))
    return folder


@pytest.fixture(scope="module")
def material(text, tmp_path_factory):
    corpora = str(text / "words.txt"), (str(text / "numbers.txt"),)
    return gather(tmp_path_factory.mktemp("material"), *corpora, tokens=30_000, held_out=4_000)


def a_run(directory, **options):
    directory.mkdir(parents=True, exist_ok=True)
    return Run(directory, **options)


SMALL = decoder(1, 8, context=16)


def test_sizes_are_those_declared():
    counted = [count_parameters(decoder(*shape)).matrices for shape in LADDER]
    assert counted[:3] == [768, 6_144, 24_576]
    assert counted == [12 * layers * width**2 for layers, width in LADDER]


def test_house_rules_tie_rate_and_warm_up_to_size():
    small, large = Rung.of(decoder(1, 8), 1e6), Rung.of(decoder(4, 64), 1e6)
    assert small.learning_rate > large.learning_rate
    assert small.warmup == count_parameters(decoder(1, 8)).non_embedding
    assert large.warmup == 100_000  # no more than a tenth
    assert small.steps == round(1e6 / (16 * 64))
    assert small.name != Rung.of(decoder(1, 8), 1e6, seed=1).name


def test_a_budget_buys_exact_flops():
    models = [decoder(1, 8), decoder(2, 32)]
    rungs = isoflop_rungs(models, [1e9, 3e9])
    spent = [rung.tokens * training_flops(rung.model) for rung in rungs]
    assert spent == pytest.approx([1e9, 1e9, 3e9, 3e9], rel=1e-3)


def test_a_run_is_recorded_whole_and_read_back(material, tmp_path):
    rungs = [Rung.of(SMALL, 8_000, batch=8, evaluations=5), Rung.of(matched(SMALL), 8_000, batch=8, evaluations=5)]
    run = a_run(tmp_path / "run")
    rows = climb([*rungs, rungs[0]], material, run, rows=32, rows_on_curve=8)
    assert set(rows) == set(rungs)
    row = rows[rungs[0]]
    count = count_parameters(SMALL)
    assert (row.parameters, row.parameters_total) == (count.non_embedding, count.total)
    assert row.tokens == rungs[0].steps * 8 * 16
    assert row.flops == 6 * row.parameters * row.tokens
    assert row.flops_exact == training_flops(SMALL) * row.tokens
    assert row.loss == pytest.approx(row.row_losses.mean())
    assert row.loss == pytest.approx(row.position_losses.mean())
    assert row.loss_error == pytest.approx(row.row_losses.std(ddof=1) / 32**0.5)
    assert row.loss < 4.0 < np.log(259)  # it learned something
    assert len(row.curve) >= 5
    assert row.curve[-1] == pytest.approx(row.row_losses[:8].mean(), abs=1e-6)
    assert row.best_loss == row.curve.min()
    assert len(row.other_losses) == 1
    assert row.utilisation > 0
    again = climb(rungs, material, a_run(tmp_path / "run"), rows=32, rows_on_curve=8)
    assert again[rungs[0]].seconds == row.seconds  # read back, not trained anew
    fresh = climb(rungs[:1], material, a_run(tmp_path / "other"), rows=32, rows_on_curve=8)
    assert fresh[rungs[0]].row_losses.tolist() == row.row_losses.tolist()


def test_a_trunk_with_cooldowns_gives_the_whole_runs(material, tmp_path):
    rungs = [
        Rung.of(SMALL, tokens, batch=8, schedule="wsd", warmup=1_000, evaluations=3)
        for tokens in (4_000, 8_000, 12_000)
    ]
    shared = climb(rungs, material, a_run(tmp_path / "trunk"), rows=16, rows_on_curve=4, trunks=True)
    alone = climb(rungs, material, a_run(tmp_path / "alone"), rows=16, rows_on_curve=4)
    for rung in rungs:
        assert shared[rung].row_losses.tolist() == alone[rung].row_losses.tolist()
    assert len(list((tmp_path / "trunk" / "runs").glob("trunk-*"))) == 1


def test_a_schedule_laid_out_for_longer_is_cut(material, tmp_path):
    whole, cut = (
        Rung.of(SMALL, 6_000, batch=8, horizon=horizon).training("cpu").schedule_steps for horizon in (None, 12_000)
    )
    assert whole is None
    assert cut == 94


def test_text_is_bounded_and_what_is_held_out_is_not_trained_on(text, material):
    assert "".join(bounded(["abc", "def", "ghi"], 5)) == "abcde"
    assert list(skipping(["abc", "def", "ghi"], 5)) == ["f", "ghi"]
    own = next(iter(material.held_out.values()))
    held_out = (own / "tokens.bin").read_bytes()
    train = (material.train / "tokens.bin").read_bytes()
    assert len(held_out) <= 2 * 4_002
    assert 2 * 25_000 < len(train) <= 2 * 30_002
    assert held_out[2:2_000] not in train  # the words are drawn at random, so a long piece occurs once


def test_shuffled_text_keeps_its_frequencies_only(material):
    mixed = Material(material.vocabulary, material.train, material.held_out, shuffled=True)
    plain_rows, mixed_rows = (
        each.test_rows(next(iter(material.held_out)), 16, 200).flatten() for each in (material, mixed)
    )
    assert not (plain_rows == mixed_rows).all()
    frequent = [np.bincount(rows.numpy(), minlength=259) for rows in (plain_rows, mixed_rows)]
    assert np.corrcoef(*frequent)[0, 1] > 0.98


def test_less_text_is_a_part_of_the_text(material):
    source = material.source(16, 0, 1_000)
    assert source.epoch == 62
    whole = material.source(16, 0)
    assert whole.epoch > 1_000


def test_losses_do_not_depend_on_how_rows_are_cut(material):
    from windtunnel.scaling.rungs import build

    rows = material.test_rows(next(iter(material.held_out)), 16, 130)
    model = build(SMALL, 0)
    whole = losses_of(model, rows)
    assert whole.shape == (130, 16)
    assert whole[100:] == pytest.approx(losses_of(model, rows[100:]), abs=1e-5)


def test_the_table_is_flat(material, tmp_path):
    rungs = [Rung.of(SMALL, 2_000, batch=8, evaluations=1)]
    rows = list(climb(rungs, material, a_run(tmp_path / "run"), rows=8, rows_on_curve=4).values())
    write_table(tmp_path / "ladder.csv", rows)
    read = list(csv.DictReader((tmp_path / "ladder.csv").open()))
    assert float(read[0]["loss"]) == rows[0].loss
    assert {"parameters", "tokens", "flops", "loss"} <= set(table(rows)[0])
    with pytest.raises(UsageError, match="no finished run"):
        write_table(tmp_path / "none.csv", [])


def test_the_command_trains_declared_sizes_and_writes_a_table(text, tmp_path, capsys):
    common = ["ladder", "--corpus", str(text / "words.txt"), "--context", "16", "--batch", "8", "--workers", "1"]
    with pytest.raises(SystemExit) as stopped:
        main([*common, "--sizes", "1x8,1x16", "--tokens", "2000", "--out", str(tmp_path / "out"), "--json"])
    assert stopped.value.code == 0
    document = json.loads(capsys.readouterr().out)
    assert [row["width"] for row in document["runs"]] == [8, 16]
    assert (tmp_path / "out" / "ladder.csv").exists()
    with pytest.raises(SystemExit) as stopped:
        main([*common, "--sizes", "1x8,1x16", "--tokens", "2000", "--out", str(tmp_path / "out"), "--resume"])
    assert stopped.value.code == 0


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (["--sizes", "1by8", "--tokens", "2000"], "1by8"),
        (["--sizes", "1x8"], "--tokens"),
        (["--sizes", "1x8", "--tokens", "2000", "--budgets", "1e9"], "--budgets"),
        (["--sizes", "1x8", "--tokens", "many"], "many"),
        (["--sizes", "1x8", "--tokens", "2000", "--corpus", "no/such.txt"], "no/such.txt"),
    ],
)
def test_bad_declarations_are_one_sentence(options, word, tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["ladder", *options, "--out", str(tmp_path / "out")])
    assert stopped.value.code == 2
    assert word in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_guessing_by_frequencies_costs_the_entropy_of_shuffled_text(tmp_path):
    generator = np.random.default_rng(0)
    shares = np.array([0.5, 0.3, 0.2])
    (tmp_path / "letters.txt").write_text("".join(generator.choice(list("abc"), p=shares, size=40_000)))
    material = gather(tmp_path / "kept", str(tmp_path / "letters.txt"), (), tokens=30_000)
    found = material.frequencies_loss(next(iter(material.held_out)), 16, 150)
    assert found == pytest.approx(-(shares * np.log(shares)).sum(), abs=0.03)
