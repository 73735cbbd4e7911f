import math

import numpy as np
import pytest

from windtunnel.laboratory.errors import UsageError
from windtunnel.scaling.aspect import best_ratio, proportions
from windtunnel.scaling.fitting import fit
from windtunnel.scaling.inconsistency import Inconsistency, compute_of_tokens
from windtunnel.scaling.items import improvement, percentile_laws
from windtunnel.scaling.laws.other_losses import LossToLoss
from windtunnel.scaling.laws.power import Growth, PowerLawPlusConstant
from windtunnel.scaling.modalities import PF_DAY, TABLE_1, TABLE_3, modality


def test_published_numbers_follow_from_the_tables():
    assert modality("image 8x8").of_compute.predict(x=1.0) == pytest.approx(3.164, abs=0.002)
    assert TABLE_3["image 8x8"].predict(x=1.0) == pytest.approx(606.2, abs=0.3)
    for name in ("image 8x8", "image 16x16"):
        assert TABLE_1[name].optimum.predict(x=1.0) == pytest.approx(3.1e8, rel=0.05)
    for name, side in (("image 8x8", 8), ("image 16x16", 16), ("image 32x32", 32)):
        per_image = TABLE_1[name].of_compute.L_inf * 3 * side**2
        assert per_image == pytest.approx(TABLE_3[name].L_inf, rel=0.003)
    with pytest.raises(UsageError):
        modality("smell")


def test_tokens_of_compute_and_back():
    law = compute_of_tokens(Growth(2.8e8, 0.74), PF_DAY)
    assert law.gamma == pytest.approx(1 / 0.26)
    assert 5e-42 / 3 < law.k < 5e-42 * 3
    pair = Inconsistency(
        PowerLawPlusConstant(2.64, 1.6e-8, 0.16), PowerLawPlusConstant(2.6, 1e9, 0.3), Growth(2.8e8, 0.74), PF_DAY
    )
    compute = np.geomspace(1e-6, 1e2, 9)
    assert np.allclose(law.predict(x=pair.tokens(compute)), compute)


def test_laws_that_cross_are_found_to_cross_and_others_not():
    optimum = Growth(1e3, 0.7)
    of_tokens = PowerLawPlusConstant(1e-9, 1.0, 0.2)
    # D(C) = C^0.3 / 6e3 · unit; L(D(C)) falls as C^-0.06, so a law with exponent 0.1 crosses it once
    pair = Inconsistency(PowerLawPlusConstant(1e-9, 1e4, 0.1), of_tokens, optimum, 6e3)
    exact = brute_force(pair)
    assert pair.intersection(1, 1e40) == pytest.approx(exact, rel=1e-2)
    earlier, same, later = pair.sensitivity(1, 1e40, share=-0.05)
    assert same == pytest.approx(exact, rel=1e-2)
    assert earlier < same < later
    slow = Inconsistency(PowerLawPlusConstant(1e-9, 1e30, 0.05), of_tokens, optimum, 6e3)
    assert slow.intersection(1, 1e40) is None


def brute_force(pair):
    grid = np.geomspace(1, 1e40, 200_001)
    return grid[np.flatnonzero(pair.gap(grid) < 0)[0]]


def test_a_planted_loss_to_loss_law_is_recovered():
    first = np.geomspace(2.2, 5, 12)
    other = 1.3 * (first - 1.8) ** 0.8 + 2.5
    found = fit(LossToLoss, first=first, loss=other, delta=math.inf)
    wanted = np.linspace(2.0, 4, 5)
    assert np.allclose(found.predict(first=wanted), 1.3 * (wanted - 1.8) ** 0.8 + 2.5, rtol=2e-3)


def test_items_and_percentiles():
    sizes = np.geomspace(1e3, 1e6, 6)
    floors = np.linspace(1, 3, 101)
    losses = floors + (2e3 / sizes[:, None]) ** 0.3
    laws = percentile_laws(sizes, losses, (5, 50, 95))
    assert [law.law.L_inf for law in laws] == pytest.approx([1.1, 2.0, 2.9], rel=0.01)
    found = improvement(np.array([[4.0, 2.0, 1.0], [2.0, 1.5, 0.1]]))
    assert found.order().tolist() == [0, 2, 1]
    assert found.order("ratio").tolist() == [2, 0, 1]
    with pytest.raises(UsageError):
        found.order("name")
    with pytest.raises(UsageError):
        percentile_laws(sizes[:-1], losses)


def test_shapes_of_one_size_and_the_best_of_them():
    found = proportions(5e4, (1, 4, 16, 64))
    assert [shape.ratio for shape in found] == sorted(shape.ratio for shape in found)
    assert all(3 * shape.layers * shape.width**2 == pytest.approx(5e4, rel=0.35) for shape in found)
    ratios = np.array([1, 4, 8, 32])
    assert best_ratio(ratios, 1 + 0.1 * (np.log(ratios) - np.log(6)) ** 2) == pytest.approx(6)
    assert best_ratio(ratios, [4, 3, 2, 1]) == 32
    with pytest.raises(UsageError):
        proportions(5e4, (4, 4.01))
