import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from windtunnel.training.schedules import multiplier


@pytest.mark.parametrize("schedule", ["constant", "linear", "cosine", "wsd"])
@given(st.integers(1, 500), st.integers(0, 50), st.floats(0, 1))
def test_every_schedule_stays_between_nothing_and_the_peak(schedule, steps, warmup, final):
    values = [
        multiplier(schedule, step, steps=steps, warmup_steps=warmup, final_fraction=final) for step in range(steps)
    ]
    assert all(0 <= value <= 1 for value in values)
    after = values[warmup:]
    assert all(later <= earlier + 1e-12 for earlier, later in pairwise(after))


def test_warm_up_is_linear_and_reaches_the_peak():
    assert [multiplier("cosine", step, steps=100, warmup_steps=4) for step in range(4)] == [0.25, 0.5, 0.75, 1.0]
    assert multiplier("cosine", 4, steps=100, warmup_steps=4) == 1.0


@pytest.mark.parametrize("schedule", ["linear", "cosine", "wsd"])
def test_the_last_step_uses_the_final_fraction(schedule):
    assert multiplier(schedule, 999, steps=1000, warmup_steps=10, final_fraction=0.1) == pytest.approx(0.1)


def test_closed_forms():
    half = multiplier("cosine", 55, steps=101, warmup_steps=10, final_fraction=0.2)
    assert half == pytest.approx(0.2 + 0.8 * 0.5 * (1 + math.cos(math.pi * 45 / 90)))
    assert multiplier("linear", 55, steps=101, warmup_steps=10) == pytest.approx(0.5)
    assert multiplier("wsd", 79, steps=100, warmup_steps=10) == 1.0
    assert multiplier("wsd", 89, steps=100, final_fraction=0.0) == pytest.approx(10 / 19)
