import math

import numpy as np
import pytest

from windtunnel.scaling.irreducible import irreducible_loss

SIZES = np.geomspace(1e3, 1e6, 8)


def planted(noise, generator):
    """The paper's law of 8x8 images."""
    return 3.12 + (80 / SIZES) ** 0.24 * (1 + noise * generator.standard_normal(len(SIZES)))


def test_planted_constants_are_recovered_and_covered():
    """Section (f) 2: 1 % noise on the reducible loss, 8 sizes over 3 decades."""
    constants, exponents, covered = [], [], []
    for seed in range(100):
        found = irreducible_loss(SIZES, planted(0.01, np.random.default_rng(seed)), level=0.9)
        constants.append(found.law.L_inf)
        exponents.append(found.law.alpha)
        covered.append(found.low <= 3.12 <= found.high)
    assert np.median(np.abs(np.array(constants) / 3.12 - 1)) < 0.005
    assert np.median(np.abs(np.array(exponents) / 0.24 - 1)) < 0.05
    assert 0.8 <= np.mean(covered) <= 0.97  # 90 % aimed at


def test_without_noise_the_law_is_exact():
    found = irreducible_loss(SIZES, planted(0.0, np.random.default_rng(0)))
    assert found.law.L_inf == pytest.approx(3.12, rel=2e-3)
    assert found.law.alpha == pytest.approx(0.24, rel=1e-2)
    assert found.law.x_0 == pytest.approx(80, rel=5e-2)
    assert found.r_squared == pytest.approx(1.0, abs=1e-4)
    assert found.low <= 3.12 * (1 + 2e-3)


def test_few_decades_and_no_constant_are_told():
    short = np.geomspace(1e3, 5e3, 6)
    found = irreducible_loss(short, (1e4 / short) ** 0.3 * (1 + 0.01 * np.random.default_rng(1).standard_normal(6)))
    assert any("decades" in warning for warning in found.warnings)
    assert found.low == 0
    assert any("without a constant" in warning for warning in found.warnings)
    assert not math.isnan(found.low)
