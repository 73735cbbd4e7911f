"""The three approaches side by side, and what counting does to them, on planted laws."""

import csv
import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from windtunnel.laboratory.errors import DataError, UsageError
from windtunnel.scaling.allocation import APPROACHES, compare, optimal_sizes
from windtunnel.scaling.allocation_report import exponents, rows, sizes
from windtunnel.scaling.published import find_published
from windtunnel.scaling.reconciliation import (
    KAPLAN_SIZES,
    best_non_embedding_flops,
    count_twice,
    total_parameters,
)

LAW = find_published("besiroglu-2024").law


def isoflop_runs(noise=0.0):
    """Finished runs of sizes around the best at six budgets."""
    found, bare = [], np.geomspace(3e5, 3e9, 13)
    for flops in np.geomspace(1e17, 1e20, 6):
        total = total_parameters(bare)
        near = np.abs(np.log(total / float(LAW.optimum(flops).parameters))) < np.log(7)
        found += [(n, t, flops / 6 / t) for n, t in zip(bare[near], total[near], strict=True)]
    non_embedding, parameters, tokens = np.array(found).T
    loss = LAW.formula(parameters, tokens) * np.exp(noise * np.random.default_rng(0).standard_normal(len(tokens)))
    return {"parameters": parameters, "non_embedding": non_embedding, "tokens": tokens, "loss": loss}


def exponent(found, count, approach):
    (item,) = [item for item in found if (item.count, item.approach) == (count, approach)]
    return item.exponent


def test_every_approach_finds_the_planted_exponent_and_counting_moves_it():
    found = compare(**isoflop_runs(), bootstrap=0)
    assert len(found) == 2 * len(APPROACHES)
    for approach in APPROACHES:
        total, bare = (exponent(found, f"{count}, 6 N D", approach) for count in ("total", "non-embedding"))
        assert total.value == pytest.approx(LAW.exponent, abs=0.03)
        assert bare.value - total.value > 0.05
        assert not np.isfinite(total.interval).any()
    for approach in ("projection", "parametric"):
        assert exponent(found, "total, 6 N D", approach).value == pytest.approx(LAW.exponent, abs=1e-4)
        bare = exponent(found, "non-embedding, 6 N D", approach).value
        assert bare - exponent(found, "total, 6 N D", approach).value >= 0.1


def test_intervals_hold_the_planted_exponent():
    found = compare(**isoflop_runs(noise=0.003), bootstrap=40)
    for approach in APPROACHES:
        estimate = exponent(found, "total, 6 N D", approach)
        assert estimate.low < LAW.exponent < estimate.high
        assert estimate.low < estimate.value < estimate.high
    again = compare(**isoflop_runs(noise=0.003), bootstrap=40)
    assert [item.exponent for item in found] == [item.exponent for item in again]


def test_training_curves_and_finished_runs_are_told_apart():
    runs = isoflop_runs()
    count = len(runs["loss"])
    parts = np.array([0.1, 0.3, 1.0])
    tokens = (runs["tokens"][:, None] * parts).ravel()
    parameters = np.repeat(runs["parameters"], 3)
    found = compare(
        parameters=parameters,
        tokens=tokens,
        loss=LAW.formula(parameters, tokens),
        runs=np.repeat(range(count), 3),
        bootstrap=0,
    )
    parabola = next(item for item in found if item.approach == "parabola")
    alone = next(item for item in compare(**runs, bootstrap=0) if item.approach == "parabola")
    assert parabola.exponent.value == pytest.approx(alone.exponent.value)  # both read the ends of runs only


def test_all_flops_are_a_count_of_their_own():
    runs = isoflop_runs()
    head = 6 * 0.05 * runs["parameters"] * runs["tokens"]
    found = compare(**runs, flops=6 * runs["parameters"] * runs["tokens"] + head, bootstrap=0)
    assert list(dict.fromkeys(item.count for item in found)) == [
        "total, 6 N D",
        "total, all FLOPs",
        "non-embedding, 6 N D",
        "non-embedding, all FLOPs",
    ]
    ours, theirs = (exponent(found, f"total, {way}", "parametric").value for way in ("6 N D", "all FLOPs"))
    assert ours == pytest.approx(theirs, abs=1e-3)  # 5 % more at every size


def test_the_best_size_where_tokens_cost_other_than_six_n():
    sizes_ = np.geomspace(1e6, 1e9, 12)
    cost = 6 * sizes_ + 3e5 * np.sqrt(sizes_)
    flops = np.array([1e18, 1e19])
    x, y = np.log(sizes_), np.log(cost)
    curve = np.polyfit(x, y, 2)
    found = optimal_sizes(LAW, sizes_, cost, flops)
    for budget, size in zip(flops, found, strict=True):
        best = minimize_scalar(
            lambda log_n, c=budget: LAW.formula(np.exp(log_n), c / np.exp(np.polyval(curve, log_n))),
            bounds=(x[0], x[-1]),
            method="bounded",
            options={"xatol": 1e-9},
        )
        assert size == pytest.approx(np.exp(best.x), rel=2e-3)
    plain = optimal_sizes(LAW, sizes_, 6 * sizes_, flops)
    assert plain == pytest.approx(LAW.optimum(flops).parameters, rel=1e-4)


def test_an_approach_without_an_answer_says_why():
    parameters = np.array([1e7, 2e7, 4e7, 8e7, 1e8, 2e8, 4e8])
    tokens = 20 * parameters
    found = compare(parameters=parameters, tokens=tokens, loss=LAW.formula(parameters, tokens), bootstrap=0)
    envelope, parabola = found[:2]
    assert envelope.exponent is None
    assert "overlap" in envelope.warnings[0]
    assert parabola.exponent is None
    assert "2 budgets" in parabola.warnings[0]
    with pytest.raises(UsageError, match="parameters"):
        compare(tokens=tokens, loss=tokens)


def test_where_the_loss_does_not_fall_with_both_no_size_is_best():
    grid = np.geomspace(1e7, 1e9, 5)
    parameters, tokens = (each.ravel() for each in np.meshgrid(grid, 20 * grid))
    for law in (replace(LAW, A=0.0), replace(LAW, B=0.0)):
        with pytest.raises(DataError, match="no size near"):
            optimal_sizes(law, grid, 6 * grid, 120 * grid**2)
    loss = LAW.E + LAW.B * tokens**-LAW.beta
    found = compare(parameters=parameters, tokens=tokens, loss=loss, bootstrap=0)
    projected = next(each for each in found if each.approach == "projection")
    assert projected.exponent is None
    assert "no size near" in projected.warnings[0]


def test_a_comparison_as_a_table_and_as_figures():
    found = compare(**isoflop_runs(noise=0.003), bootstrap=20)
    table = json.loads(json.dumps(rows(found), allow_nan=False))
    assert [row["approach"] for row in table] == list(APPROACHES) * 2
    assert len(table[1]["optima"]) == 6
    assert len(sizes(found).axes) == 2
    assert len(exponents(found).axes) == 1


@pytest.mark.data
def test_the_public_chinchilla_points_give_all_three_published_exponents():
    path = os.environ.get("WINDTUNNEL_DATA")
    if not path or not (Path(path) / "chinchilla-points.csv").exists():
        pytest.skip("needs chinchilla-points.csv in WINDTUNNEL_DATA")
    points = list(csv.DictReader((Path(path) / "chinchilla-points.csv").open()))
    n, c, loss = (
        np.array([float(point[name]) for point in points]) for name in ("Model Size", "Training FLOP", "loss")
    )
    kept = np.argsort(c / 6 / n**2)[5:]  # without the five of fewest tokens per parameter, as Besiroglu et al.
    n, tokens, loss = n[kept], (c / 6 / n)[kept], loss[kept]
    envelope, parabola, _, parametric = compare(parameters=n, tokens=tokens, loss=loss, bootstrap=0)
    assert envelope.exponent.value == pytest.approx(0.50, abs=0.02)  # approach 1 of Hoffmann et al.
    assert 0.462 < parabola.exponent.value < 0.534  # approach 2: 0.49, and its interval
    assert parametric.exponent.value == pytest.approx(0.514, abs=0.01)  # approach 3, refitted


def test_pearces_simulation():
    found = count_twice(LAW)
    assert found.non_embedding.exponent == pytest.approx(0.78, abs=0.04)
    assert found.total.exponent == pytest.approx(0.51, abs=0.01)
    rounded = count_twice(find_published("hoffmann-2022-tex").law)
    assert 0.70 < rounded.non_embedding.exponent < 0.80


def test_the_closed_form_of_the_simulation():
    sizes_ = np.array([1e4, 1e7])
    for size, budget in zip(sizes_, best_non_embedding_flops(LAW, sizes_), strict=True):
        best = minimize_scalar(
            lambda log_n, c=budget: LAW.formula(total_parameters(np.exp(log_n)), c / 6 / np.exp(log_n)),
            bounds=(np.log(size) - 3, np.log(size) + 3),
            method="bounded",
            options={"xatol": 1e-10},
        )
        assert np.exp(best.x) == pytest.approx(size, rel=1e-3)

    def slope(low, high):
        ends = np.array([low, high])
        return np.log(high / low) / np.diff(np.log(best_non_embedding_flops(LAW, ends)))[0]

    assert slope(1.0, 2.0) == pytest.approx(LAW.beta / (LAW.alpha / 3 + LAW.beta), abs=0.001)
    assert slope(1e15, 2e15) == pytest.approx(LAW.exponent, abs=0.001)
    read = count_twice(LAW).non_embedding
    flops, fine = np.log(read.flops[read.inner]), np.linspace(np.log(KAPLAN_SIZES[0]), np.log(KAPLAN_SIZES[-1]), 500)
    best = np.interp(flops, np.log(best_non_embedding_flops(LAW, np.exp(fine))), fine)
    assert read.exponent == pytest.approx(np.polyfit(flops, best, 1)[0], abs=0.02)
