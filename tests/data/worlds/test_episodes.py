import itertools

import numpy as np
import pytest
import torch

from windtunnel.data.worlds.episodes import Episodes, distinct_draws, in_context_slope
from windtunnel.laboratory.errors import UsageError


def pairs_of(world, rows):
    tokens = rows["tokens"]
    return tokens[:, 1::2], tokens[:, 2::2] - world.symbols, tokens[:, 0] - 2 * world.symbols


@pytest.mark.parametrize("family", ["permutations", "shifts", "affine"])
def test_an_episode_is_of_one_function_of_its_class(family):
    world = Episodes(5, 9, family, 0)
    inputs, answers, names = pairs_of(world, world.rows(0, 300))
    assert (names == 0).all()
    for x, y in zip(inputs.tolist(), answers.tolist(), strict=True):
        known = dict(zip(x, y, strict=True))
        assert all(known[one] == other for one, other in zip(x, y, strict=True))
        assert len(set(known.values())) == len(known)
        slopes = [1] if family == "shifts" else range(1, 5)
        if family != "permutations":
            fits = [all((a * one + b) % 5 == known[one] for one in known) for a in slopes for b in range(5)]
            assert any(fits)
    assert answers.unique().tolist() == list(range(5))


def test_the_mask_counts_answers_alone_and_rows_are_a_function_of_their_number():
    world = Episodes(4, 3, "permutations", 7, named=2, named_share=0.5)
    rows = world.rows(250, 20)
    assert rows["mask"][0].tolist() == [False, False, True, False, True, False, True]
    assert torch.equal(
        rows["tokens"][7:9], Episodes(4, 3, "permutations", 7, named=2, named_share=0.5).rows(257, 2)["tokens"]
    )
    assert rows["tokens"].max() < world.vocabulary == 11


def test_named_functions_are_fixed_for_a_language_and_new_ones_are_not():
    first, second = (Episodes(8, 20, "permutations", seed, named=3, named_share=1.0, language=5) for seed in (0, 1))
    tables = []
    for world in (first, second):
        inputs, answers, names = pairs_of(world, world.rows(0, 200))
        assert sorted(names.unique().tolist()) == [1, 2, 3]
        table = torch.full((4, 8), -1)
        for x, y, name in zip(inputs, answers, names, strict=True):
            assert ((table[name, x] == y) | (table[name, x] == -1)).all()
            table[name, x] = y
        tables.append(table)
    assert torch.equal(*tables)
    other = Episodes(8, 20, "permutations", 0, named=3, named_share=1.0, language=6)
    inputs, answers, names = pairs_of(other, other.rows(0, 200))
    assert not all((tables[0][name, x] == y).all() for x, y, name in zip(inputs, answers, names, strict=True))


@pytest.mark.parametrize("language", [1, 2])
def test_what_is_held_out_is_never_learned_and_favours_no_answer(language):
    functions = {}
    for part in ("learned", "held-out", "all"):
        world = Episodes(5, 60, "permutations", 0, language=language, part=part)
        inputs, answers, _ = pairs_of(world, world.rows(0, 1_500))
        tables = [dict(zip(x, y, strict=True)) for x, y in zip(inputs.tolist(), answers.tolist(), strict=True)]
        functions[part] = {tuple(table[x] for x in range(5)) for table in tables if len(table) == 5}
    assert not functions["learned"] & functions["held-out"]
    assert functions["learned"] | functions["held-out"] == functions["all"]
    assert (len(functions["all"]), len(functions["held-out"])) == (120, 30)
    for values in np.array(sorted(functions["held-out"])).T:
        assert np.bincount(values).tolist() == [6] * 5


@pytest.mark.parametrize(("family", "symbols"), [("affine", 5), ("affine", 13), ("permutations", 9)])
def test_about_a_quarter_is_held_out(family, symbols):
    world = Episodes(symbols, 40, family, 0, part="held-out")
    functions = world._functions(4_000, torch.Generator().manual_seed(0))
    assert float(world._held_out(functions).double().mean()) == pytest.approx(0.25, abs=0.04)
    assert world.rows(0, 5)["tokens"].shape == (5, 81)


def best_by_enumeration(functions, symbols, shots):
    """Accuracy and loss of Bayes' rule over a list of equally likely functions, by brute force."""
    right = loss = 0.0
    everything = list(itertools.product(range(symbols), repeat=shots + 1))
    for inputs in everything:
        for function in functions:
            seen = [function[one] for one in inputs[:-1]]
            fitting = [f for f in functions if [f[one] for one in inputs[:-1]] == seen]
            counts = np.bincount([f[inputs[-1]] for f in fitting], minlength=symbols) / len(fitting)
            best = np.flatnonzero(counts == counts.max())
            right += (function[inputs[-1]] in best) / len(best)
            loss -= np.log(counts[function[inputs[-1]]])
    return right / len(everything) / len(functions), loss / len(everything) / len(functions)


@pytest.mark.parametrize("family", ["permutations", "shifts", "affine"])
def test_the_best_possible_answers_are_those_of_bayes_rule(family):
    symbols = 3
    functions = {
        "permutations": list(itertools.permutations(range(symbols))),
        "shifts": [[(x + b) % symbols for x in range(symbols)] for b in range(symbols)],
        "affine": [[(a * x + b) % symbols for x in range(symbols)] for a in (1, 2) for b in range(symbols)],
    }[family]
    world = Episodes(symbols, 5, family, 0)
    for shots in range(5):
        right, loss = best_by_enumeration(functions, symbols, shots)
        assert float(world.best_accuracy()[shots]) == pytest.approx(right, abs=1e-12)
        assert float(world.best_loss()[shots]) == pytest.approx(loss, abs=1e-12)


def test_the_best_answers_of_affine_functions_of_five_symbols():
    functions = [[(a * x + b) % 5 for x in range(5)] for a in range(1, 5) for b in range(5)]
    for shots in range(3):
        right, loss = best_by_enumeration(functions, 5, shots)
        assert float(Episodes(5, 3, "affine", 0).best_accuracy()[shots]) == pytest.approx(right, abs=1e-12)
        assert float(Episodes(5, 3, "affine", 0).best_loss()[shots]) == pytest.approx(loss, abs=1e-12)


def test_in_the_null_examples_tell_nothing():
    world = Episodes(4, 9, "permutations", 3, carried=False)
    inputs, answers, _ = pairs_of(world, world.rows(0, 4_000))
    repeats = inputs[:, :1] == inputs[:, 1:]
    agree = (answers[:, :1] == answers[:, 1:])[repeats].double().mean()
    assert agree == pytest.approx(0.25, abs=0.02)
    with pytest.raises(UsageError, match="best possible"):
        world.best_accuracy()


def test_numbers_of_different_draws():
    table = distinct_draws(6, 12)
    draws = np.random.default_rng(0).integers(6, size=(20_000, 11))
    counts = np.bincount([len(set(row)) for row in draws[:, :7].tolist()], minlength=7) / 20_000
    assert np.allclose(table.sum(axis=1), 1)
    assert np.abs(table[7] - counts).max() < 0.015


def test_a_slope_is_per_doubling_of_the_examples():
    assert in_context_slope(0.1 + 0.2 * np.log2(np.arange(9) + 1)) == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"symbols": 1}, "two symbols"),
        ({"symbols": 8, "family": "affine"}, "prime"),
        ({"named_share": 0.5}, "named functions"),
        ({"family": "shifts", "part": "learned"}, "too few"),
    ],
)
def test_impossible_episodes_are_explained(options, said):
    with pytest.raises(UsageError, match=said):
        Episodes(**{"symbols": 5, "pairs": 3, "family": "permutations", "seed": 0, **options})
