import pytest
import torch

from windtunnel.data.worlds.copying import repeated_tokens
from windtunnel.interpretability.heads.handbuilt import BOS, induction_transformer
from windtunnel.interpretability.heads.probes import RepeatedTokens
from windtunnel.models.interface import LanguageModel, from_module
from windtunnel.models.transformer import Transformer, TransformerConfig


@pytest.fixture(scope="session")
def handbuilt() -> LanguageModel:
    return from_module(induction_transformer(), name="handbuilt")


@pytest.fixture(scope="session")
def probe() -> RepeatedTokens:
    tokens = repeated_tokens(10, 64, torch.Generator().manual_seed(0), bos=BOS, exclude=1)
    return RepeatedTokens(tokens, length=25, copies=4, bos=True)


@pytest.fixture(scope="session")
def untrained() -> LanguageModel:
    config = TransformerConfig(
        vocabulary=40, context=64, layers=3, width=32, heads=4, key_value_heads=2, positions="rotary", mlp_ratio=2.0
    )
    return from_module(Transformer(config, torch.Generator().manual_seed(3)), name="untrained")
