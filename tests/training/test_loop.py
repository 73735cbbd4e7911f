"""The training loop: what must not change the result does not, and what must stop it does."""

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional
from training import small

from windtunnel.laboratory.errors import DataError, UsageError, WindtunnelError
from windtunnel.laboratory.run import Run
from windtunnel.models.transformer import Transformer
from windtunnel.training.loop import train
from windtunnel.training.objectives import next_token

SCRIPT = """
import sys, time, torch
torch.set_num_threads(1)
from training import small
from windtunnel.laboratory.run import Run
from windtunnel.training.loop import train
from windtunnel.training.objectives import next_token

def slow(model, batch):
    time.sleep(0.03)
    return next_token(model, batch)

train(small.model(dropout=0.2), slow, small.source(), small.CONFIG, run=Run(sys.argv[1]), evaluate=small.evaluate)
"""


def weights(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def assert_same(first, second):
    assert first.keys() == second.keys()
    for name in first:
        assert torch.equal(first[name], second[name]), name


def test_the_loop_is_the_plain_loop():
    """Against a few lines of ordinary torch, in float64 for a clean comparison."""
    config = small.CONFIG.model_copy(update={"schedule": "constant", "warmup_steps": 0, "clip": 0.5})
    model, plain = small.model().double(), small.model().double()
    result = train(model, next_token, small.source(), config)
    matrices = [p for p in plain.parameters() if p.ndim >= 2]
    vectors = [p for p in plain.parameters() if p.ndim < 2]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=3e-3, betas=config.betas)
    losses = []
    for step in range(12):
        tokens = small.source().rows(step * 8, 8)["tokens"]
        loss = functional.cross_entropy(plain(tokens[:, :-1]).flatten(0, 1), tokens[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(plain.parameters(), 0.5)
        optimizer.step()
        losses.append(float(loss.detach()))
    np.testing.assert_allclose([loss for _, loss in result.losses], losses, rtol=1e-6)
    for got, wanted in zip(model.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("accumulation", [2, 4, 8])
def test_micro_batches_change_nothing(accumulation):
    whole = train(small.model(), next_token, small.source(), small.CONFIG)
    config = small.CONFIG.model_copy(update={"accumulation": accumulation})
    split = train(small.model(), next_token, small.source(), config)
    np.testing.assert_allclose(whole.losses, split.losses, rtol=2e-5)


class Masked:
    """Rows in which a varying number of predictions counts; what the others hold is noise."""

    vocabulary, context = 16, 16

    def __init__(self, noise):
        self.noise = noise

    def rows(self, start, count):
        generator = torch.Generator().manual_seed(start)
        tokens = torch.randint(16, (count, 17), generator=generator)
        lengths = torch.arange(count) % 9 + 4
        mask = torch.arange(17)[None] < lengths[:, None]
        junk = torch.randint(16, (count, 17), generator=torch.Generator().manual_seed(self.noise))
        return {"tokens": torch.where(mask, tokens, junk), "mask": mask}


def test_what_the_mask_excludes_changes_nothing():
    first = train(small.model(), next_token, Masked(1), small.CONFIG)
    second = train(small.model(), next_token, Masked(2), small.CONFIG)
    assert first.losses == second.losses
    assert_same(weights(first.model), weights(second.model))


def test_unequal_micro_batches_are_weighted_by_their_tokens():
    whole = train(small.model(), next_token, Masked(1), small.CONFIG)

    class Sliced(Masked):
        def rows(self, start, count):
            rows = super().rows(start // 8 * 8, 8)
            return {name: value[start % 8 : start % 8 + count] for name, value in rows.items()}

    config = small.CONFIG.model_copy(update={"accumulation": 4})
    split = train(small.model(), next_token, Sliced(1), config)
    np.testing.assert_allclose(whole.losses, split.losses, rtol=2e-5)


def test_documents_do_not_see_or_predict_each_other():
    model = small.model()
    tokens = torch.randint(16, (1, 17), generator=torch.Generator().manual_seed(0))
    documents = (torch.arange(17) >= 8).long()[None]
    joint, count = next_token(model, {"tokens": tokens, "documents": documents})
    first, _ = next_token(model, {"tokens": tokens[:, :8]})
    second, _ = next_token(model, {"tokens": tokens[:, 8:]})
    assert int(count) == 15
    torch.testing.assert_close(joint, first + second)


def test_a_large_head_is_computed_in_pieces_with_the_same_gradient(monkeypatch):
    from windtunnel.training.objectives import next_token as module

    batch = small.source().rows(0, 8)
    whole, pieces = small.model(), small.model()
    loss = next_token(whole, batch)[0]
    loss.backward()
    monkeypatch.setattr(sys.modules[next_token.__module__], "CHUNK", 100)
    again = next_token(pieces, batch)[0]
    again.backward()
    assert module is next_token
    torch.testing.assert_close(again, loss)
    for got, wanted in zip(pieces.parameters(), whole.parameters(), strict=True):
        torch.testing.assert_close(got.grad, wanted.grad)


def test_a_training_stopped_and_resumed_is_the_same_bit_for_bit(tmp_path):
    straight = train(
        small.model(dropout=0.2),
        next_token,
        small.source(),
        small.CONFIG,
        run=Run(tmp_path / "a"),
        evaluate=small.evaluate,
    )

    class Stops:
        vocabulary, context = 16, 16

        def rows(self, start, count):
            if start >= 8 * 8:
                raise KeyboardInterrupt
            return small.source().rows(start, count)

    with pytest.raises(KeyboardInterrupt):
        train(
            small.model(dropout=0.2),
            next_token,
            Stops(),
            small.CONFIG,
            run=Run(tmp_path / "b"),
            evaluate=small.evaluate,
        )
    resumed = train(
        small.model(dropout=0.2),
        next_token,
        small.source(),
        small.CONFIG,
        run=Run(tmp_path / "b"),
        evaluate=small.evaluate,
    )
    assert resumed.losses == straight.losses
    assert_same(weights(resumed.model), weights(straight.model))
    assert [row["step"] for row in resumed.evaluations] == [0, 4, 8, 12]
    for got, wanted in zip(resumed.evaluations, straight.evaluations, strict=True):
        np.testing.assert_array_equal(got["logits"], wanted["logits"])
    assert sorted(resumed.snapshots) == [0, 6, 12]
    assert_same(
        weights(Transformer.from_directory(resumed.snapshots[6])),
        weights(Transformer.from_directory(straight.snapshots[6])),
    )
    kept = sorted(path.name for path in (tmp_path / "b" / "checkpoints").iterdir())
    assert kept == ["step-00000000", "step-00000006", "step-00000010", "step-00000012"]


@pytest.mark.parametrize("seed", [1, 2])
def test_a_killed_training_goes_on_to_the_same_numbers(tmp_path, seed):
    straight = train(
        small.model(dropout=0.2),
        next_token,
        small.source(),
        small.CONFIG,
        run=Run(tmp_path / "a"),
        evaluate=small.evaluate,
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), "OMP_NUM_THREADS": "1"}
    chance, kills = random.Random(seed), 0
    final = tmp_path / "b" / "checkpoints" / "step-00000012"
    while not final.exists():
        process = subprocess.Popen([sys.executable, "-c", SCRIPT, str(tmp_path / "b")], env=environment)
        folder = tmp_path / "b" / "metrics.jsonl"
        before = folder.stat().st_size if folder.exists() else 0
        try:
            while kills < 3 and process.poll() is None and (folder.stat().st_size if folder.exists() else 0) <= before:
                pass
            process.wait(timeout=chance.uniform(0.0, 0.25) if kills < 3 else 120)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait(timeout=30)
            kills += 1
    assert kills >= 1
    resumed = train(
        small.model(dropout=0.2),
        next_token,
        small.source(),
        small.CONFIG,
        run=Run(tmp_path / "b"),
        evaluate=small.evaluate,
    )
    assert resumed.losses == straight.losses
    assert_same(weights(resumed.model), weights(straight.model))


def test_a_training_that_diverges_stops_and_keeps_the_last_good_checkpoint(tmp_path):
    calls = []

    def breaks(model, batch):
        loss, count = next_token(model, batch)
        calls.append(1)
        return (loss * float("nan") if len(calls) == 8 else loss), count

    run = Run(tmp_path)
    with pytest.raises(WindtunnelError, match=r"stopped at step 7.*nan.*last good checkpoint is kept"):
        train(small.model(), breaks, small.source(), small.CONFIG, run=run)
    kept = Transformer.from_directory(tmp_path / "checkpoints" / "step-00000005")
    assert all(torch.isfinite(value).all() for value in kept.state_dict().values())


def test_a_checkpoint_of_another_training_is_refused(tmp_path):
    run = Run(tmp_path)
    train(small.model(), next_token, small.source(), small.CONFIG, run=run)
    config = small.CONFIG.model_copy(update={"learning_rate": 0.1})
    with pytest.raises(DataError, match=r"learning_rate 0\.003, not 0\.1"):
        train(small.model(), next_token, small.source(), config, run=run)
    with pytest.raises(DataError, match="does not fit this model"):
        train(small.model(width=32), next_token, small.source(), small.CONFIG, run=run)


def test_a_cut_checkpoint_is_one_sentence(tmp_path):
    run = Run(tmp_path)
    train(small.model(), next_token, small.source(), small.CONFIG, run=run)
    path = tmp_path / "checkpoints" / "step-00000012" / "optimizer.safetensors"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DataError, match="not a whole safetensors file"):
        train(small.model(), next_token, small.source(), small.CONFIG, run=run)


def test_nothing_is_written_without_a_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = train(small.model(), next_token, small.source(), small.CONFIG, evaluate=small.evaluate)
    assert list(tmp_path.iterdir()) == []
    assert [row["step"] for row in result.evaluations] == [0, 4, 8, 12]
    assert result.tokens_per_second > 0


def test_the_global_generator_is_left_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    train(small.model(dropout=0.1), next_token, small.source(), small.CONFIG)
    assert torch.equal(torch.rand(3), expected)


def test_bf16_and_a_measured_precision_train_too(tmp_path):
    for precision in ("bf16", "auto"):
        config = small.CONFIG.model_copy(update={"precision": precision})
        result = train(small.model(), next_token, small.source(), config)
        assert result.losses[-1][1] < result.losses[0][1]
        assert all(parameter.dtype == torch.float32 for parameter in result.model.parameters())


def test_a_missing_device_is_one_sentence():
    with pytest.raises(UsageError, match="'nonsense' cannot be used here"):
        train(small.model(), next_token, small.source(), small.CONFIG, device="nonsense")


@pytest.mark.slow
def test_a_compiled_model_learns_the_same():
    plain = train(small.model(), next_token, small.source(), small.CONFIG)
    compiled = train(small.model(), next_token, small.source(), small.CONFIG.model_copy(update={"compile": True}))
    np.testing.assert_allclose(plain.losses, compiled.losses, rtol=1e-4)
