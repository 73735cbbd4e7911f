import pytest
import torch
from training import small

from windtunnel.data.finite import FiniteRows
from windtunnel.training.configuration import TrainingConfig
from windtunnel.training.early_stopping import Stopping, train_to_best
from windtunnel.training.objectives import next_token

CONFIG = TrainingConfig(
    steps=60, batch_size=4, learning_rate=1e-2, schedule="constant", warmup_steps=2, precision="fp32"
)


def scripted(losses):
    """A measure that says these losses in turn, whatever the model."""
    left = iter(losses)
    return lambda model: (value := next(left), value + 1.0)


def test_a_run_ends_once_it_has_gone_on_in_vain_and_reports_other_data():
    losses = [5.0, 4.0, 3.0, 3.5, 3.6, 3.7, 3.8, 3.9, 4.0, 4.1, 4.2, 4.3]
    found = train_to_best(
        small.model(), next_token, small.source(), CONFIG, scripted(losses), rule=Stopping(1.0001, 1, 3.0, 4)
    )
    assert (found.step, found.loss, found.ended) == (2, 4.0, "turned")
    assert [step for step, _, _ in found.path] == [0, 1, 2, 3, 4, 5, 6]  # 3 times its best step


def test_the_grid_grows_and_has_the_last_step():
    found = train_to_best(
        small.model(), next_token, small.source(), CONFIG, scripted(range(100, 0, -1)), rule=Stopping(2.0, 1)
    )
    assert [step for step, _, _ in found.path] == [0, 1, 2, 4, 8, 16, 32, 60]
    assert (found.step, found.ended) == (60, "steps")


def test_no_training_is_a_choice_too():
    losses = [1.0] + [2.0] * 20
    found = train_to_best(
        small.model(), next_token, small.source(), CONFIG, scripted(losses), rule=Stopping(1.5, 1, 1.6, 10)
    )
    assert (found.step, found.loss, found.ended) == (0, 2.0, "turned")


def test_a_handful_of_rows_is_overfitted_and_the_best_weights_are_kept():
    rows, held_out = small.source().rows(0, 4)["tokens"], small.source(1).rows(0, 32)

    def measure(model):
        total, count = next_token(model, held_out)
        return float(total / count), float(total / count)

    config = CONFIG.model_copy(update={"steps": 400})
    found = train_to_best(
        small.model(), next_token, FiniteRows(rows, 16, 0), config, measure, rule=Stopping(spacing=1), keep_weights=True
    )
    assert found.ended == "turned"
    assert 0 < found.step < 400
    again = small.model()
    again.load_state_dict(found.weights)
    with torch.no_grad():
        assert measure(again)[0] == pytest.approx(found.loss, abs=1e-6)
