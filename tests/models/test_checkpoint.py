import json

import pytest
import torch
from hypothesis import HealthCheck, given, settings, strategies

from tests.models.shapes import configs, perturbed, tokens_of
from tests.models.texts import truncate
from windtunnel.laboratory.errors import DataError
from windtunnel.models.checkpoint import read_weights, save, write_weights
from windtunnel.models.transformer import Transformer, TransformerConfig

TINY = TransformerConfig(vocabulary=11, context=8, layers=1, width=8, heads=2)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(configs())
def test_what_is_saved_is_loaded(tmp_path, config):
    module = perturbed(config)
    save(module, tmp_path)
    loaded = Transformer.from_directory(tmp_path)
    assert loaded.config == config
    assert not loaded.training
    tokens = tokens_of(module, 2, 6)
    with torch.no_grad():
        assert torch.equal(loaded(tokens), module(tokens))


def _cut_weights(directory):
    truncate(directory / "model.safetensors")


def _no_weights(directory):
    (directory / "model.safetensors").unlink()


def _missing_tensor(directory):
    weights = read_weights(directory / "model.safetensors")
    write_weights(directory / "model.safetensors", {k: v for k, v in weights.items() if "final" not in k})


def _extra_tensor(directory):
    weights = read_weights(directory / "model.safetensors")
    write_weights(directory / "model.safetensors", {**weights, "lm_head.weight": torch.zeros(2)})


def _edit_config(**changes):
    def edit(directory):
        path = directory / "config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))

    return edit


def _garbage_config(directory):
    (directory / "config.json").write_text("{not json")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (_cut_weights, "not a whole safetensors file"),
        (_no_weights, "does not exist"),
        (_missing_tensor, "has no tensor 'final_normalization.weight'"),
        (_extra_tensor, "unexpected tensor 'lm_head.weight'"),
        (_edit_config(width=16), r"shape \(8, 8\) where its config.json says \(8, 16\)"),
        (_edit_config(model_type="llama"), "'llama', not 'windtunnel'"),
        (_edit_config(width="wide"), "width"),
        (_edit_config(depth=4), "depth"),
        (_garbage_config, "JSON"),
    ],
)
def test_a_spoilt_checkpoint_is_one_clear_sentence(tmp_path, spoil, words):
    save(Transformer(TINY), tmp_path)
    spoil(tmp_path)
    with pytest.raises(DataError, match=words) as caught:
        Transformer.from_directory(tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(strategies.binary(max_size=200), strategies.integers(0, 1500))
def test_any_bytes_in_place_of_weights_or_config_are_a_data_error(tmp_path, junk, cut):
    save(Transformer(TINY), tmp_path)
    weights = tmp_path / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:cut] + junk)
    with pytest.raises(DataError):
        Transformer.from_directory(tmp_path)
    weights.write_bytes(whole)
    (tmp_path / "config.json").write_bytes(junk)
    with pytest.raises(DataError):
        Transformer.from_directory(tmp_path)


def test_a_failed_write_leaves_the_old_checkpoint_whole(tmp_path, monkeypatch):
    first = perturbed(TINY)
    save(first, tmp_path)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(Exception, match="No space left"):
        save(perturbed(TINY, seed=1), tmp_path)
    loaded = Transformer.from_directory(tmp_path).state_dict()
    assert all(torch.equal(loaded[name], weight) for name, weight in first.state_dict().items())
    assert len(list(tmp_path.iterdir())) == 2
