import numpy as np
import pytest

from windtunnel.interpretability.heads.trajectories import (
    loss_trajectories,
    moving_average,
    onset,
    phase_window,
    phase_window_interval,
    pivot,
    turning_angles,
)
from windtunnel.laboratory.errors import UsageError

STEPS = np.arange(0, 2001, 50)


def sigmoid(middle: float, width: float, height: float = 1.0) -> np.ndarray:
    return -height / (1 + np.exp(-(STEPS - middle) / width))


def test_two_models_in_a_plane_are_explained_by_two_components() -> None:
    generator = np.random.default_rng(0)
    plane = np.linalg.qr(generator.normal(size=(50, 2)))[0].T
    first, second = generator.normal(size=(7, 2)) * [3, 1], generator.normal(size=(5, 2)) * [3, 1]
    found = loss_trajectories([first @ plane + 2.0, second @ plane + 2.0])
    assert sum(found.explained) == pytest.approx(1.0)
    assert found.explained[0] > found.explained[1]
    assert [len(path) for path in found.coordinates] == [7, 5]
    # Distances in the plane are kept, so the trajectories have their true shape.
    path = np.concatenate(found.coordinates)
    truth = np.concatenate([first, second])
    assert np.linalg.norm(path[0] - path[9]) == pytest.approx(np.linalg.norm(truth[0] - truth[9]))


def test_losses_that_cannot_be_compared() -> None:
    with pytest.raises(UsageError, match="different numbers"):
        loss_trajectories([np.ones((3, 4)), np.ones((3, 5))])
    with pytest.raises(UsageError, match="same losses"):
        loss_trajectories([np.ones((3, 4))])


def test_a_right_angle_and_its_place() -> None:
    path = np.array([[0, 0], [1, 0], [2, 0], [2, 1], [2, 2]], dtype=float)
    assert turning_angles(path) == pytest.approx([0, 0, np.pi / 2, 0, 0])
    assert pivot(path, reach=2) == 2


def test_pivot_ignores_jitter_around_a_standstill() -> None:
    generator = np.random.default_rng(0)
    still = np.array([6.0, 6.0]) + 0.01 * generator.normal(size=(20, 2))
    path = np.concatenate([np.stack([np.arange(6.0), np.zeros(6)], 1), np.stack([np.full(6, 6.0), np.arange(6.0)], 1)])
    assert pivot(np.concatenate([path, still]), reach=3) in (5, 6)


def test_the_window_holds_the_fall_of_a_sigmoid() -> None:
    window = phase_window(STEPS, sigmoid(800, 60), least_change=0.1)
    assert window is not None
    assert 500 <= window.start <= 700
    assert 900 <= window.end <= 1100
    assert window.share > 0.85


def test_a_slow_decline_has_a_wide_window_and_a_flat_curve_none() -> None:
    slow = phase_window(STEPS, -STEPS / 2000, least_change=0.1)
    assert slow is not None
    assert slow.end - slow.start > 1500
    noise = 0.02 * np.random.default_rng(0).normal(size=len(STEPS))
    assert phase_window(STEPS, noise, least_change=0.15) is None
    with pytest.raises(UsageError, match="four snapshots"):
        phase_window([0, 1], [0, 1], least_change=0.1)


def test_the_interval_covers_the_truth_and_is_reproducible() -> None:
    generator = np.random.default_rng(0)
    curves = sigmoid(800, 60)[:, None] + 0.1 * generator.normal(size=(len(STEPS), 40))
    found = phase_window_interval(STEPS, curves, least_change=0.1, generator=np.random.default_rng(1), resamples=100)
    again = phase_window_interval(STEPS, curves, least_change=0.1, generator=np.random.default_rng(1), resamples=100)
    assert found is not None
    assert found == again
    start, end = found
    assert start.low <= start.value <= start.high < 800 < end.low <= end.value <= end.high
    assert phase_window_interval(STEPS, 0 * curves, least_change=0.1, generator=generator) is None


def test_onset_interpolates() -> None:
    assert onset([0, 100, 200], [0.0, 0.0, 0.4], 0.1) == pytest.approx(125)
    assert onset([0, 100], [0.5, 1.0], 0.1) == 0
    assert onset([0, 100], [0.0, 0.0], 0.1) is None


def test_moving_average_keeps_a_constant() -> None:
    assert moving_average(np.full(7, 2.0), 3) == pytest.approx(np.full(7, 2.0))
