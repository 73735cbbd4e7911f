"""The flat step of sampling against whole forward passes without cache or batch, and who leaves it alone."""

import pytest
import torch
from torch.testing import assert_close

from tests.models.shapes import perturbed
from windtunnel.inference.cache import Cache
from windtunnel.laboratory.errors import UsageError
from windtunnel.models import stepping
from windtunnel.models.interface import from_module
from windtunnel.models.transformer import TransformerConfig

SHAPE = {"vocabulary": 31, "context": 50, "layers": 2, "width": 16, "heads": 4, "embedding_scale": 1.0}
LLAMA = {"activation": "swiglu", "normalization": "rmsnorm", "positions": "rotary"}
FLAT = {
    "gpt2_like": {"bias": True, "tied_embeddings": True},
    "llama_like": LLAMA,
    "grouped": {**LLAMA, "key_value_heads": 2, "bias": True},
    "one_key_head": {**LLAMA, "key_value_heads": 1, "head_width": 6},
    "attention_only": {"mlp_ratio": None, "positions": "rotary"},
    "without_positions": {"positions": "none", "normalization": "rmsnorm", "normalization_epsilon": 0.1},
    "with_dropout": {**LLAMA, "dropout": 0.5},
}
UNUSUAL = {
    "sinusoidal": {"positions": "sinusoidal_qk"},
    "smeared": {**LLAMA, "smeared_keys": True},
}
PROMPTS = [[3, 1, 4], [1], [5, 9, 2, 6, 5, 3, 5]]


def language_model(options):
    return from_module(perturbed(TransformerConfig(**SHAPE, **options)).eval())


def plain_greedy(model, prompt, steps):
    row = list(prompt)
    with torch.no_grad():
        for _ in range(steps):
            row.append(int(model(torch.tensor([row]))[0, -1].argmax()))
    return row[len(prompt) :]


@pytest.fixture
def steps(monkeypatch):
    """Rows of each flat step taken."""
    taken, step = [], stepping.step

    def counted(module, tokens, cache):
        taken.append(len(tokens))
        return step(module, tokens, cache)

    monkeypatch.setattr(stepping, "step", counted)
    return taken


LONG = [[3, 1, 4, 1, 5] * 6, [2], [7, 1] * 9]  # storage has room for 32 tokens, then grows


@pytest.mark.parametrize("kind", [*FLAT, *UNUSUAL])
@pytest.mark.parametrize("prompts", [LONG, LONG[:1] * 2, LONG[:1]], ids=["ragged", "even", "one"])
@torch.no_grad()
def test_a_step_gives_the_logits_of_a_whole_forward(kind, prompts, steps):
    model = language_model({**FLAT, **UNUSUAL}[kind])
    counts = [len(prompt) for prompt in prompts]
    cache, fresh = Cache(0), Cache(len(prompts))
    padded = torch.tensor([prompt + [0] * (max(counts) - len(prompt)) for prompt in prompts])
    model.backend.logits(padded, cache=fresh, counts=counts)
    cache.put(fresh, list(range(len(prompts))))
    rows = [list(prompt) for prompt in prompts]
    for number in range(5):
        new = [(number * 7 + 3 * row) % 31 for row in range(len(rows))]
        rows = [[*row, token] for row, token in zip(rows, new, strict=True)]
        logits = model.backend.logits(torch.tensor(new)[:, None], cache=cache)[:, -1]
        for row, found in zip(rows, logits, strict=True):
            wanted = model(torch.tensor([row]))[0, -1]
            assert_close(found, wanted, rtol=0, atol=1e-5 * float(wanted.abs().max()))
    assert len(steps) == (5 if kind in FLAT else 0)


@pytest.mark.parametrize("kind", FLAT)
@pytest.mark.parametrize("batch_size", [1, 2, 16])
def test_greedy_tokens_and_log_probabilities_are_those_of_a_plain_loop_and_of_scoring(kind, batch_size, steps):
    model = language_model(FLAT[kind]).backend.module.double()
    model = from_module(model)
    samples = model.generate(PROMPTS, max_new_tokens=20, temperature=0, batch_size=batch_size)
    assert steps
    for prompt, sample in zip(PROMPTS, samples, strict=True):
        assert sample.token_ids == plain_greedy(model, prompt, 20)
    scores = model.score(PROMPTS, [sample.token_ids for sample in samples])
    for sample, score in zip(samples, scores, strict=True):
        assert sample.token_logprobs == pytest.approx(score.token_logprobs, abs=1e-9)


def test_what_is_sampled_does_not_depend_on_the_batch():
    model = language_model(FLAT["grouped"])
    together = model.generate(PROMPTS, max_new_tokens=20, seed=[1, 2, 3])
    for prompt, seed, sample in zip(PROMPTS, [1, 2, 3], together, strict=True):
        [alone] = model.generate([prompt], max_new_tokens=20, seed=[seed])
        assert alone.token_ids == sample.token_ids
        assert alone.token_logprobs == pytest.approx(sample.token_logprobs, abs=1e-4)


def test_interventions_and_recordings_during_sampling_leave_the_flat_step(steps):
    model = language_model(FLAT["llama_like"])
    shift = torch.linspace(-3, 3, 16)
    with model.intervene({"blocks.0.hook_mlp_out": lambda x: x + shift}):
        changed = model.generate(PROMPTS, max_new_tokens=9, temperature=0)
        expected = [plain_greedy(model, prompt, 9) for prompt in PROMPTS]
    assert [sample.token_ids for sample in changed] == expected
    with model.record("blocks.1.attn.hook_pattern") as activations:
        model.generate([[1, 2]], max_new_tokens=3)
    assert activations["blocks.1.attn.hook_pattern"].shape == (1, 4, 1, 4)
    assert not steps
    free = model.generate(PROMPTS, max_new_tokens=9, temperature=0)
    assert steps
    assert [sample.token_ids for sample in free] != expected


def test_an_intervention_between_two_tokens_acts_from_then_on():
    model = language_model(FLAT["llama_like"])
    stream = model.stream([1, 2], max_new_tokens=8, temperature=0)
    row = [1, 2, *(next(stream).token for _ in range(4))]
    with model.intervene({"ln_final.hook_out": lambda x: torch.zeros_like(x)}):
        assert next(stream).logprob == pytest.approx(-torch.log(torch.tensor(31.0)).item())
    assert row[2:] == plain_greedy(model, [1, 2], 4)


def test_hooks_of_others_are_called(steps):
    model, called = language_model(FLAT["llama_like"]), []
    handle = model.module.blocks[0].attention.register_forward_hook(lambda *_: called.append(1))
    model.generate([[1, 2]], max_new_tokens=5)
    assert len(called) == 5
    assert not steps
    handle.remove()
    model.generate([[1, 2]], max_new_tokens=5)
    assert len(called) == 5
    assert len(steps) == 4


def test_training_between_calls_is_seen():
    model = language_model(FLAT["grouped"])
    before = model.generate(PROMPTS, max_new_tokens=8, temperature=0)
    with torch.no_grad():
        for parameter in model.module.parameters():
            parameter.data += 0.5 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0))
    after = model.generate(PROMPTS, max_new_tokens=8, temperature=0)
    assert [sample.token_ids for sample in after] == [plain_greedy(model, prompt, 8) for prompt in PROMPTS]
    assert after != before


@torch.no_grad()
def test_gradients_and_training_and_a_full_context_leave_it_alone():
    model = language_model({**LLAMA, "dropout": 0.5})
    tokens, cache = torch.tensor([[1]]), Cache(1)
    assert not stepping.applies(model.module, tokens, cache)  # nothing came before
    model.backend.logits(torch.tensor([[1] * 49]), cache=cache)
    assert stepping.applies(model.module, tokens, cache)
    with torch.enable_grad():
        assert not stepping.applies(model.module, tokens, cache)
    model.module.train()
    assert not stepping.applies(model.module, tokens, cache)
    model.module.eval()
    model.backend.logits(tokens, cache=cache)
    with pytest.raises(UsageError, match="51 tokens is longer"):
        model.backend.logits(tokens, cache=cache)
