"""Planted laws are found, censored or not; ossification, frontier, forms and the calculator."""

import numpy as np
import pytest

from windtunnel.laboratory.errors import DataError, UsageError
from windtunnel.scaling.laws.kaplan import LossOfParametersAndTokens
from windtunnel.scaling.laws.transfer import DataTransferred
from windtunnel.scaling.laws.transfer_gap import EffectiveDataLoss, TransferGap
from windtunnel.scaling.transfer.calculator import PUBLISHED, calculate, data_like_bigger_model
from windtunnel.scaling.transfer.effective import Transfers
from windtunnel.scaling.transfer.estimators import censored, fit_of_fits, fit_transfer
from windtunnel.scaling.transfer.forms import compare_forms, unified_check
from windtunnel.scaling.transfer.frontier import lowest_within, share_on_frontier
from windtunnel.scaling.transfer.ossification import ossification
from windtunnel.scaling.transfer.planted import planted
from windtunnel.scaling.transfer.surface import Runs, surface

LAW = DataTransferred(2.0e3, 0.2, 0.4)
KAPLAN = LossOfParametersAndTokens(6.4e13, 0.076, 1.8e13, 0.103)
N, D = (each.ravel() for each in np.meshgrid(np.geomspace(1e5, 1e9, 6), np.geomspace(1e5, 1e8, 5)))


@pytest.mark.parametrize("estimator", [fit_of_fits, censored])
def test_a_law_without_noise_is_found_exactly(estimator):
    found = estimator(planted(LAW, N, D))
    assert found.vector() == pytest.approx(LAW.vector(), rel=2e-2)
    assert (found.alpha, found.beta) == pytest.approx((0.2, 0.4), abs=1e-3)


def test_a_law_with_noise_is_found_within_its_error():
    found = [censored(planted(LAW, N, D, 0.2, np.random.default_rng(seed))) for seed in range(50)]
    errors = np.array([(law.alpha - 0.2, law.beta - 0.4) for law in found])
    assert np.abs(errors.mean(axis=0)).max() < 0.01
    assert np.quantile(np.abs(errors).max(axis=1), 0.95) < 0.05


def test_censored_cells_do_not_bend_the_law_and_leaving_them_out_does():
    limit = float(np.quantile(LAW.predict(parameters=N, finetuning_data=D), 0.7))
    kept, dropped = [], []
    for seed in range(60):
        drawn = planted(LAW, N, D, 0.4, np.random.default_rng(seed), largest=limit)
        assert 3 < (~drawn.exact).sum() < 15
        kept.append(censored(drawn))
        dropped.append(censored(drawn.select(drawn.exact)))
    bias = [abs(np.mean([law.beta for law in laws]) - 0.4) for laws in (kept, dropped)]
    assert abs(np.mean([law.alpha for law in kept]) - 0.2) < 0.05
    assert bias[0] < 0.01
    assert bias[1] > 2 * bias[0]


def test_nothing_transferred_counts_as_less_than_can_be_told():
    drawn = planted(DataTransferred(1.0, 0.5, 0.3), N, D)
    none = Transfers(drawn.runs, drawn.low, drawn.high, drawn.spread, drawn.low_data)
    nothing = np.arange(30) % 6 == 0  # the smallest model
    none.low[nothing] = none.high[nothing] = none.runs.data[nothing] * 0.5
    assert censored(none).beta > 0.3
    with pytest.raises(DataError):
        fit_of_fits(none.select(nothing))


def made_runs(law, noise, seeds=3):
    """Runs from scratch and fine-tuned ones, whose losses follow Kaplan's surface at D and at D_E."""
    generator = np.random.default_rng(5)
    sizes = np.geomspace(1e5, 1e8, 4)
    made = []
    for data in (np.geomspace(1e4, 1e10, 13), np.geomspace(1e4, 1e6, 4)):
        n, d, seed = (each.ravel() for each in np.meshgrid(sizes, data, np.arange(seeds), indexing="ij"))
        effective = d if not made else d + law.predict(parameters=n, finetuning_data=d)
        loss = KAPLAN.predict(parameters=n, tokens=effective) + noise * generator.normal(size=len(n))
        made.append(Runs.of(n, d, loss, seed))
    return made


def test_from_losses_to_the_law_and_back_to_losses():
    law = DataTransferred(300.0, 0.25, 0.4)
    scratch, finetuned = made_runs(law, 0.002)
    found = fit_transfer(scratch, finetuned, bootstrap=60, generator=np.random.default_rng(1))
    for name, each in found.laws.items():
        assert (each.alpha, each.beta) == pytest.approx((0.25, 0.4), abs=0.05)
        low, high = found.interval(found.at_reference, name)
        assert low < found.at_reference(law) < high
        assert high / low < 2
    report = found.report()
    assert report["estimators"]["censored"]["intervals"]["alpha"][0] < 0.25
    low_data = found.transfers.runs.select(found.transfers.low_data)
    check = unified_check(scratch, low_data, found.law)
    assert check.error < 0.1 < 0.5 * check.error_from_scratch
    alone = law.predict(parameters=low_data.parameters, finetuning_data=low_data.data)  # the law leaves out D_F itself
    without = KAPLAN.predict(parameters=low_data.parameters, tokens=alone)
    assert np.abs(check.predicted - without).max() < 0.02


def test_one_seed_is_one_cluster_per_size():
    scratch, finetuned = made_runs(DataTransferred(300.0, 0.25, 0.4), 0.0, seeds=1)
    found = fit_transfer(scratch, finetuned, bootstrap=20)
    assert any("noise between seeds" in line for line in found.warnings)
    assert found.laws["censored"].alpha == pytest.approx(0.25, abs=0.02)


def test_too_little_is_one_sentence():
    scratch, finetuned = made_runs(LAW, 0.0, seeds=1)
    one_size = finetuned.select(finetuned.data == finetuned.data[0])
    with pytest.raises(DataError) as caught:
        fit_transfer(scratch, one_size)
    assert "\n" not in str(caught.value)


def test_harm_is_told_from_noise():
    data, seeds = np.geomspace(1e3, 1e6, 7), 3
    d, seed = np.tile(data, seeds), np.repeat(np.arange(seeds), 7)
    generator = np.random.default_rng(2)
    luck = 0.05 * generator.normal(size=21)
    scratch = Runs.of(np.full(21, 1e4), d, 5 - 0.3 * np.log10(d) + luck, seed)

    def tested(gap):
        loss = scratch.loss + gap + 0.005 * generator.normal(size=21)  # the luck of a seed is common to both
        return ossification(surface(scratch), scratch, Runs.of(scratch.parameters, d, loss, seed))

    assert [cell.ossified for cell in tested(0.1)][1:] == [True] * 6
    assert all(cell.transferred.high < 0 for cell in tested(0.1)[1:])
    assert not any(cell.ossified for cell in tested(0.0))
    assert not any(cell.ossified for cell in tested(-0.1))
    last = tested(-0.1)[-1]  # below all of the curve: how much more than none is not known
    assert last.transferred.value == pytest.approx(0, abs=1e-6)
    assert last.transferred.high == np.inf
    helped = tested(-0.1)[2]
    assert helped.transferred.low > 0
    assert helped.gap.value == pytest.approx(-0.1, abs=0.02)


def test_the_frontier_is_the_lowest_loss_so_far():
    assert lowest_within(np.array([0.5, 1, 2.5, 9]), [2, 1, 3], [2.0, 3.0, 2.5]).tolist() == [np.inf, 3, 2, 2]
    scratch = ([1.0, 10, 100], [5.0, 4, 2])
    assert share_on_frontier(scratch, ([1.0, 10, 100], [4.0, 3, 1])) == 1.0
    assert share_on_frontier(scratch, ([10.0, 100], [3.0, 3.0])) == pytest.approx(0.5, abs=0.02)  # late, then passed
    assert share_on_frontier(scratch, scratch) == 0.5
    with pytest.raises(DataError):
        share_on_frontier(([1.0], [2.0]), ([1.0], [3.0]))


@pytest.mark.parametrize(
    ("truth", "name"),
    [
        (TransferGap(4.0, 0.3, 2.0, 0.3, 1.0), "transfer-gap"),
        (EffectiveDataLoss(3.0, 3e5, 0.6, 0.4, 0.4), "effective-data-loss"),
    ],
)
def test_the_form_that_made_the_losses_is_found(truth, name):
    p, f = (each.ravel() for each in np.meshgrid(np.geomspace(1e4, 1e7, 4), np.geomspace(1e3, 1e6, 5)))
    loss = truth.predict(pretraining_data=p, finetuning_data=f)
    loss = loss * np.exp(0.001 * np.random.default_rng(0).normal(size=len(p)))
    found = compare_forms(p, f, loss)
    assert min(found, key=lambda form: found[form].aicc) == name
    assert found[name].left_out < 0.01
    with pytest.raises(DataError):
        compare_forms(p[:6], f[:6], loss[:6])


@pytest.mark.parametrize(("name", "effective", "growth"), [("text", 3.56e8, 2.79), ("mixture", 3.93e9, 1.73)])
def test_the_published_few_shot_numbers(name, effective, growth):
    one, many = (calculate(PUBLISHED[name], 1.75e11, data) for data in (1, 300))
    assert one.effective == pytest.approx(effective, rel=0.01)
    assert many.effective / one.effective == pytest.approx(growth, rel=0.01)


def test_ten_times_the_model_is_worth_129_times_the_data():
    assert data_like_bigger_model(PUBLISHED["text"]) == pytest.approx(129.15, abs=0.01)
    case = calculate(PUBLISHED["text"], 4e7, 3e5)
    assert case.multiplier == pytest.approx(475, rel=0.01)
    assert case.tenfold_data == pytest.approx(1.51, abs=0.01)
    assert case.tenfold_model == pytest.approx(2.40, abs=0.01)
    with pytest.raises(UsageError):
        data_like_bigger_model(DataTransferred(1.0, -0.1, 0.3))


def test_a_case_outside_the_regime_is_warned_of():
    def told(**options):
        return " ".join(calculate(PUBLISHED["text"], 4e7, 3e6, **options).warnings)

    assert "not known here" in told()
    assert told(enough=1e9) == ""
    assert "above a tenth" in told(enough=1e7)
    assert "parameters are outside" in " ".join(calculate(PUBLISHED["text"], 1.75e11, 1e6).warnings)
    with pytest.raises(DataError):
        calculate(PUBLISHED["text"], -1, 1)
