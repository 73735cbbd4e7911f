import json
import math

import numpy as np
import pytest

from windtunnel.cli import main
from windtunnel.models.interface import load

SMALL = ["layers=1", "width=16", "heads=2", "context=32", "vocabulary=300", "test_rows=4", "training.steps=30"]
SMALL += ["training.batch_size=4", "training.precision=fp32", "training.evaluate_every=10", "training.warmup_steps=3"]
SMALL += ["training.checkpoint_every=10", "training.learning_rate=0.01"]


@pytest.fixture
def corpus(tmp_path):
    words = "the wind and a tunnel of old stone by which models fly".split()  # noqa: SIM905
    folder = tmp_path / "corpus"
    folder.mkdir()
    for number in range(30):
        text = " ".join(np.random.default_rng(number).choice(words, 300))
        (folder / f"{number}.txt").write_text(text)
    return folder


def call(capsys, *arguments):
    with pytest.raises(SystemExit) as stopped:
        main(list(map(str, arguments)))
    out, err = capsys.readouterr()
    return stopped.value.code, out, err


def settings(*values):
    return [part for value in (*SMALL, *values) for part in ("--set", value)]


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_a_model_is_trained_and_read_by_its_directory(corpus, tmp_path, capsys, kind):
    out = tmp_path / "model"
    code, printed, err = call(
        capsys, "train", corpus, "--out", out, "--json", *settings(f"architecture={kind}", "training.steps=60")
    )
    assert (code, err) == (0, "")
    found = json.loads(printed)
    assert found["steps"] == 60
    assert found["test_loss"] < math.log(300) - 0.5
    model = load(out)
    assert model.tokenizer.decode(model.tokenize("the wind")) == "the wind"
    assert model.generate(["the"], max_new_tokens=3, seed=0)[0].text


def test_a_training_goes_on_where_it_was_stopped(corpus, tmp_path, capsys, monkeypatch):
    _, straight, _ = call(capsys, "train", corpus, "--out", tmp_path / "straight", "--json", *settings())

    def stop(self, step, *arguments):
        if step == 17:
            raise KeyboardInterrupt
        return keep(self, step, *arguments)

    from windtunnel.training.loop import Keeper

    keep = Keeper.keep
    with monkeypatch.context() as patched:
        patched.setattr(Keeper, "keep", stop)
        code, _, err = call(capsys, "train", corpus, "--out", tmp_path / "stopped", "--json", *settings())
    assert code == 130
    assert "--resume" in err
    code, _, err = call(capsys, "train", corpus, "--out", tmp_path / "stopped", *settings())
    assert code == 2
    assert "--resume" in err
    _, resumed, _ = call(capsys, "train", corpus, "--out", tmp_path / "stopped", "--json", "--resume", *settings())
    for name in ("train_loss", "test_loss"):
        assert json.loads(resumed)[name] == json.loads(straight)[name]


@pytest.mark.parametrize(
    ("values", "word"),
    [
        (["context=100000"], "context"),
        (["vocabulary=10"], "vocabulary"),
        (["heads=3"], "heads"),
        (["training.steps=0"], "steps"),
        (["depth=3"], "depth"),
    ],
)
def test_bad_settings_are_one_sentence_and_usage(corpus, tmp_path, capsys, values, word):
    code, _, err = call(capsys, "train", corpus, "--out", tmp_path / "model", "--json", *settings(*values))
    assert code == 2
    assert word in err
    assert "Traceback" not in err


def test_a_misspelt_corpus_leaves_no_run_behind(tmp_path, capsys):
    code, _, err = call(capsys, "train", tmp_path / "gone.txt", "--out", tmp_path / "model", *settings())
    assert code == 2
    assert "gone.txt" in err
    assert not (tmp_path / "model").exists()
