import pytest
import torch
from torch.testing import assert_close
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.models.shapes import perturbed, tokens_of
from tests.models.texts import bpe
from windtunnel.laboratory.errors import Unsupported
from windtunnel.models.huggingface import export
from windtunnel.models.interface import load
from windtunnel.models.transformer import Transformer, TransformerConfig

SHAPE = {"vocabulary": 300, "context": 24, "layers": 2, "width": 16, "heads": 4, "embedding_scale": 1.0}
LLAMA = {"activation": "swiglu", "normalization": "rmsnorm", "positions": "rotary"}


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"bias": True, "tied_embeddings": True, "mlp_ratio": 1.5},
        {**LLAMA, "normalization_epsilon": 1e-6},
        {**LLAMA, "bias": True, "tied_embeddings": True, "key_value_heads": 2, "head_width": 6, "rotary_base": 500.0},
    ],
)
@torch.no_grad()
def test_transformers_loads_the_same_function(tmp_path, options):
    module = perturbed(TransformerConfig(**SHAPE, **options))
    export(module, tmp_path)
    loaded, information = AutoModelForCausalLM.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(information.values())
    tokens = tokens_of(module, 3, 24)
    assert_close(loaded.eval()(tokens).logits, module(tokens), atol=1e-4, rtol=1e-5)
    again = load(tmp_path)
    assert_close(again(tokens), module(tokens), atol=1e-4, rtol=1e-5)
    assert again.shape.key_value_heads == module.config.grouped_heads
    assert again.shape.context == 24


def test_the_tokenizer_goes_with_it(tmp_path):
    tokenizer = bpe()
    export(Transformer(TransformerConfig(**SHAPE)), tmp_path, tokenizer)
    assert AutoTokenizer.from_pretrained(tmp_path).encode("the cat") == tokenizer.encode("the cat")
    model = load(tmp_path)
    assert model.tokenize("the cat") == tokenizer.encode("the cat")
    assert model.module.config.eos_token_id == tokenizer.eos


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"smeared_keys": True}, "smeared_keys=True"),
        ({"mlp_ratio": None}, "mlp_ratio=None"),
        ({"positions": "sinusoidal_qk"}, "positions='sinusoidal_qk'"),
        ({**LLAMA, "activation": "gelu"}, "activation='gelu'"),
        ({"head_width": 8}, "head_width=8"),
    ],
)
def test_a_shape_without_an_equivalent_is_refused_by_name(tmp_path, options, named):
    with pytest.raises(Unsupported) as refusal:
        export(Transformer(TransformerConfig(**SHAPE, **options)), tmp_path / "out")
    assert named in str(refusal.value)
    assert not (tmp_path / "out").exists()
