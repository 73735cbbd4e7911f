"""Calibration against closed forms, brute force on resampled rows, scikit-learn and simulated truths."""

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, roc_auc_score

from windtunnel.laboratory.errors import DataError, UsageError
from windtunnel.statistics import (
    area_under_risk,
    auroc,
    brier,
    brier_parts,
    calibration_error,
    calibration_floor,
    fit_temperature,
    normalised_accuracy,
    reliability,
    risk_coverage,
    selective_accuracy,
    softened,
)
from windtunnel.statistics.calibration import _Sorted
from windtunnel.statistics.weights import resampled


def rng(seed=0):
    return np.random.default_rng(seed)


def plain_error(probabilities, outcomes, bins=10, power=1):
    """The paper's formula, written as anybody would."""
    order = np.argsort(probabilities, kind="stable")
    gaps = [
        (len(part), abs(probabilities[part].mean() - outcomes[part].mean()))
        for part in np.array_split(order, bins)
        if len(part)
    ]
    total = sum(size for size, _ in gaps)
    return (sum(size * gap**power for size, gap in gaps) / total) ** (1 / power)


@pytest.fixture(scope="module")
def overconfident():
    draws = rng(7)
    truth = draws.beta(2, 1, 503)
    said = np.round(np.clip(truth * 1.2, 0, 1), 2)  # with ties
    return said, (draws.random(503) < truth).astype(float)


def test_a_predictor_that_keeps_its_word_has_no_error():
    outcomes = np.tile([1, 1, 1, 1, 0], 200)
    assert calibration_error(np.full(1_000, 0.8), outcomes, generator=rng()).value == pytest.approx(0)
    sure = calibration_error(np.ones(1_000), np.tile([1, 1, 1, 0, 0], 200), generator=rng())
    assert sure.value == pytest.approx(0.4)
    assert sure.low > 0.3


@pytest.mark.parametrize(("norm", "power"), [("mean", 1), ("root-mean-square", 2)])
def test_errors_are_the_papers_formula(overconfident, norm, power):
    said, outcomes = overconfident
    found = calibration_error(said, outcomes, generator=rng(), norm=norm)
    assert found.value == pytest.approx(plain_error(said, outcomes, power=power), abs=1e-12)
    assert found.low < found.value < found.high


def test_bins_of_equal_width_are_those_of_other_tools(overconfident):
    said, outcomes = overconfident
    bin_of = np.minimum((said * 10).astype(int), 9)
    expected = sum(abs(said[bin_of == k].sum() - outcomes[bin_of == k].sum()) for k in range(10)) / len(said)
    found = calibration_error(said, outcomes, generator=rng(), scheme="equal-width")
    assert found.value == pytest.approx(expected, abs=1e-12)
    worst = max(abs(said[bin_of == k].mean() - outcomes[bin_of == k].mean()) for k in np.unique(bin_of))
    found = calibration_error(said, outcomes, generator=rng(), scheme="equal-width", norm="maximum")
    assert found.value == pytest.approx(worst)


@pytest.mark.parametrize("scheme", ["equal-count", "equal-width"])
def test_weights_say_what_resampled_rows_say(overconfident, scheme):
    said, outcomes = overconfident
    data = _Sorted(said, outcomes, 10, scheme)
    member = rng(3).integers(0, 60, len(said))
    for weights in (
        next(resampled(len(said), None, rng(1), 5)),
        next(resampled(60, member[data.order], rng(2), 5)),
    ):
        errors, parts = data.error(weights, "mean"), data.brier_parts(weights)
        for row, error, part in zip(weights.astype(int), errors, parts, strict=True):
            drawn, happened = np.repeat(data.given, row), np.repeat(data.happened, row)
            again = _Sorted(drawn, happened, 10, scheme)
            if scheme == "equal-count":
                assert error == pytest.approx(plain_error(drawn, happened), abs=1e-12)
            assert error == pytest.approx(again.error(np.ones((1, len(drawn))), "mean")[0], abs=1e-12)
            assert part == pytest.approx(again.brier_parts(np.ones((1, len(drawn))))[0], abs=1e-12)


@pytest.mark.parametrize(("count", "ece", "rms"), [(250, 0.065, 0.081), (1_000, 0.031, 0.039), (4_000, 0.016, 0.020)])
def test_the_floor_of_a_perfect_predictor(count, ece, rms):
    said = rng(count).random(count)
    assert calibration_floor(said, generator=rng(1)).mean == pytest.approx(ece, rel=0.12)
    found = calibration_floor(said, generator=rng(1), norm="root-mean-square")
    assert found.mean == pytest.approx(rms, rel=0.12)
    assert found.low < found.mean < found.high


@pytest.mark.parametrize("bias", [0.0, 0.05, 0.15])
def test_the_interval_holds_the_true_error(bias):
    held = 0
    for trial in range(60):
        draws = rng([trial, 5])
        said = draws.uniform(0.2, 0.8, 400)
        outcomes = draws.random(400) < said + bias
        found = calibration_error(said, outcomes, generator=draws, resamples=300)
        held += found.low <= bias <= found.high
    assert held >= 52  # 60 trials at 95 %: fewer has probability below 1 %


def test_brier_and_its_parts(overconfident):
    said, outcomes = overconfident
    assert brier(np.full(50, 0.5), rng().integers(0, 2, 50), generator=rng()).value == 0.25
    score = brier(said, outcomes, generator=rng())
    assert score.value == pytest.approx(brier_score_loss(outcomes, said))
    parts = brier_parts(said, outcomes, generator=rng())
    total = parts.reliability.value - parts.resolution.value + parts.uncertainty.value + parts.within_bins.value
    assert total == pytest.approx(score.value, abs=1e-12)
    assert parts.uncertainty.value == pytest.approx(outcomes.mean() * (1 - outcomes.mean()))
    alike = brier_parts(np.repeat([0.2, 0.7], 50), np.tile([0, 1], 50), generator=rng(), bins=2)
    assert alike.within_bins.value == pytest.approx(0, abs=1e-12)
    assert alike.reliability.value == pytest.approx((0.3**2 + 0.2**2) / 2)
    assert alike.resolution.value == pytest.approx(0)
    # with bins of many probabilities the rest is their variance less twice their covariance with the outcomes
    order = np.argsort(said, kind="stable")
    rest = 0.0
    for part in np.array_split(order, 10):
        rest += len(part) * (said[part].var() - 2 * np.cov(said[part], outcomes[part], ddof=0)[0, 1])
    assert parts.within_bins.value == pytest.approx(rest / len(said), abs=1e-12)


def test_the_diagram_holds_its_numbers(overconfident):
    said, outcomes = overconfident
    found = reliability(said, outcomes, generator=rng())
    assert found.count.sum() == len(said)
    assert list(found.count) == [len(part) for part in np.array_split(np.arange(len(said)), 10)]
    assert (found.count * found.frequency).sum() == pytest.approx(outcomes.sum())
    assert (found.interval[0] <= found.frequency).all()
    assert (found.frequency <= found.interval[1]).all()
    assert (np.diff(found.probability) >= 0).all()
    empty = reliability([0.05, 0.95], [0, 1], generator=rng(), scheme="equal-width")
    assert list(empty.count) == [1, 1]


def test_the_floor_of_pooled_options_draws_one_answer_per_question():
    draws = rng(2)
    options = draws.dirichlet([1, 1, 1, 1], 300)
    answers = [draws.choice(4, p=row) for row in options]
    outcomes = np.eye(4)[answers].ravel()
    questions = np.repeat(np.arange(300), 4)
    data = _Sorted(options.ravel(), outcomes, 10, "equal-count")
    drawn = data.simulated(rng(), 50, questions, exclusive=True)[0]
    by_question = np.zeros((50, 300))
    np.add.at(by_question.T, questions[data.order], drawn.T)
    assert (by_question == 1).all()
    assert drawn.mean(axis=0) == pytest.approx(data.given, abs=0.3)
    found = reliability(options.ravel(), outcomes, generator=rng(), clusters=questions, exclusive=True)
    inside = (found.floor[0] <= found.frequency) & (found.frequency <= found.floor[1])
    assert inside.sum() >= 8
    with pytest.raises(UsageError, match="question"):
        reliability(options.ravel(), outcomes, generator=rng(), exclusive=True)


def test_auroc_counts_ties_by_half(overconfident):
    said, outcomes = overconfident
    assert auroc(np.zeros(40), np.tile([0, 1], 20), generator=rng()).value == 0.5
    found = auroc(said, outcomes, generator=rng())
    assert found.value == pytest.approx(roc_auc_score(outcomes, said), abs=1e-12)
    assert found.low < found.value < found.high
    assert auroc([1, 2, 3, 4], [0, 0, 1, 1], generator=rng()).value == 1.0
    undefined = auroc([1, 2], [1, 1], generator=rng())
    assert np.isnan(undefined.value)
    assert undefined.interval == (0.0, 1.0)


def test_auroc_of_clusters_is_less_sure(overconfident):
    said, outcomes = (np.repeat(each[:100], 5) for each in overconfident)
    alone = auroc(said, outcomes, generator=rng())
    together = auroc(said, outcomes, generator=rng(), clusters=np.repeat(np.arange(100), 5))
    assert together.high - together.low > 1.7 * (alone.high - alone.low)


def plain_aurc(scores, correct):
    order = np.argsort(-scores, kind="stable")
    wrong = 1 - correct[order]
    return (np.cumsum(wrong) / np.arange(1, len(wrong) + 1)).mean()


def test_risk_and_coverage():
    draws = rng(4)
    correct = draws.integers(0, 2, 101).astype(float)
    scores = draws.random(101)
    found = risk_coverage(scores, correct)
    assert found.risk[-1] == pytest.approx(1 - correct.mean())
    area = area_under_risk(scores, correct, generator=rng())
    assert area.value == pytest.approx(plain_aurc(scores, correct))
    assert area.value == pytest.approx(found.risk.mean())
    best = area_under_risk(correct + 0.001 * scores, correct, generator=rng(), excess=True)
    assert best.value == pytest.approx(0, abs=1e-12)
    # equal scores: the mean over random orders
    tied = np.round(scores, 1)
    orders = [plain_aurc(tied + 1e-6 * rng(k).random(101), correct) for k in range(4_000)]
    assert area_under_risk(tied, correct, generator=rng()).value == pytest.approx(np.mean(orders), abs=1e-3)
    assert area_under_risk(tied, correct, generator=rng()).value == pytest.approx(
        risk_coverage(tied, correct).risk.mean()
    )
    nothing = area_under_risk(np.zeros(101), correct, generator=rng())
    assert nothing.value == pytest.approx(1 - correct.mean())
    together = area_under_risk(tied, correct, generator=rng(), clusters=draws.integers(0, 9, 101))
    assert together.low <= together.value <= together.high


def test_selective_accuracy():
    scores, correct = np.array([4, 3, 2, 1.0]), np.array([1, 1, 0, 1.0])
    assert selective_accuracy(scores, correct, 0.5, generator=rng()).value == 1.0
    assert selective_accuracy(scores, correct, 0.75, generator=rng()).value == pytest.approx(2 / 3)
    assert selective_accuracy(np.ones(4), correct, 0.5, generator=rng()).value == pytest.approx(0.75)
    assert selective_accuracy(scores, correct, 0.625, generator=rng()).value == pytest.approx(2 / 2.5)


def test_normalised_accuracy():
    assert normalised_accuracy(np.tile([1, 0, 0, 0], 30), 0.25, generator=rng()).value == pytest.approx(0)
    found = normalised_accuracy(np.tile([1, 1, 1, 0], 30), np.tile([0.5, 0.25], 60), generator=rng())
    assert found.value == pytest.approx((0.75 - 0.375) / 0.625)


def sharpened(count, seed, by):
    draws = rng(seed)
    logits = draws.normal(0, 1.5, (count, 4))
    probabilities = softened(logits)
    answers = (draws.random((count, 1)) > np.cumsum(probabilities, axis=1)).sum(axis=1)
    return by * logits, answers


def test_a_temperature_undoes_sharpening():
    logits, answers = sharpened(4_000, 1, 2.5)
    found = fit_temperature(logits[:2_000], answers[:2_000], generator=rng())
    assert 2.3 <= found.value <= 2.7
    assert found.low < found.value < found.high
    held = 0
    for seed in range(40):
        again = fit_temperature(*sharpened(500, [seed, 2], 2.5), generator=rng(), resamples=200)
        held += again.low <= 2.5 <= again.high
    assert held >= 34
    held_out, right = logits[2_000:], answers[2_000:]

    def error(temperature):
        said = softened(held_out, temperature)
        return calibration_error(said.max(axis=1), said.argmax(axis=1) == right, generator=rng()).value

    assert error(found.value) <= 0.2 * error(1.0)
    padded = np.c_[logits, np.full(4_000, -np.inf)]
    assert fit_temperature(padded[:2_000], answers[:2_000], generator=rng()).value == pytest.approx(found.value)
    blunt = fit_temperature(30 * logits[:200], answers[:200], generator=rng())
    assert blunt.value == pytest.approx(10.0)


@pytest.mark.parametrize(
    ("call", "error", "word"),
    [
        (lambda: calibration_error([1.2], [1], generator=rng()), DataError, "1.2"),
        (lambda: calibration_error([np.nan], [1], generator=rng()), DataError, "nan"),
        (lambda: calibration_error([], [], generator=rng()), DataError, "none"),
        (lambda: brier([0.5], [0.5], generator=rng()), DataError, "0 where not"),
        (lambda: brier([0.5, 0.5], [1], generator=rng()), UsageError, "one-to-one"),
        (lambda: calibration_error([0.5], [1], generator=rng(), norm="median"), UsageError, "median"),
        (lambda: calibration_error([0.5], [1], generator=rng(), bins=0), UsageError, "bins"),
        (lambda: auroc([np.inf], [1], generator=rng()), DataError, "finite"),
        (lambda: auroc([1, 2], [1, 2], generator=rng()), DataError, "0 where not"),
        (lambda: selective_accuracy([1], [1], 0.0, generator=rng()), UsageError, "coverage"),
        (lambda: normalised_accuracy([1], 1.0, generator=rng()), DataError, "chance"),
        (lambda: softened([[1.0]], 0.0), UsageError, "temperature"),
        (lambda: softened([1.0]), DataError, "question"),
        (lambda: fit_temperature([[0.0, -np.inf]], [1], generator=rng()), DataError, "none of its"),
        (lambda: fit_temperature([[0.0, 1.0]], [0.5], generator=rng()), DataError, "index"),
    ],
)
def test_bad_input_is_one_sentence(call, error, word):
    with pytest.raises(error, match=word):
        call()
