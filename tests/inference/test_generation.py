import numpy as np
import pytest
import torch
from hypothesis import example, given, settings, strategies
from scipy.stats import chisquare

from tests.inference import plain
from windtunnel.inference.generation import generate
from windtunnel.inference.sampling import Sampling, choose
from windtunnel.inference.scoring import score
from windtunnel.laboratory.errors import UsageError

SEEDS = [11, 12, 13, 14, 15, 16, 17]


def letters(ids):
    return "".join(chr(97 + i) for i in ids)


@pytest.mark.parametrize("positions", ["learned", "rotary", "sinusoidal_qk", "none"])
@pytest.mark.parametrize("batch_size", [1, 3, 16])
def test_greedy_equals_a_naive_loop(positions, batch_size):
    model = plain.decoder(positions=positions, smeared_keys=True)
    samples = generate(
        model, plain.prompts(), Sampling(9, temperature=0), seeds=SEEDS, decode=letters, batch_size=batch_size
    )
    for prompt, sample in zip(plain.prompts(), samples, strict=True):
        assert sample.token_ids == plain.greedy(model, prompt, 9)
        assert sample.text == letters(sample.token_ids)
        assert sample.stop_reason == "length"


@pytest.mark.parametrize(
    "options", [{}, {"temperature": 0.7}, {"top_k": 3}, {"top_p": 0.6}, {"top_k": 5, "top_p": 0.8}]
)
def test_a_row_depends_on_its_own_seed_and_prompt_only(options):
    model = plain.decoder()
    prompts, sampling = plain.prompts(), Sampling(8, **options)
    together = generate(model, prompts, sampling, seeds=SEEDS)
    alone = [generate(model, [p], sampling, seeds=[s])[0] for p, s in zip(prompts, SEEDS, strict=True)]
    backwards = generate(model, prompts[::-1], sampling, seeds=SEEDS[::-1], batch_size=2)[::-1]
    longer = generate(model, prompts, Sampling(12, **options), seeds=SEEDS)
    for one, two, three, more in zip(together, alone, backwards, longer, strict=True):
        assert one.token_ids == two.token_ids == three.token_ids == more.token_ids[:8]
    others = generate(model, prompts, sampling, seeds=[seed + 1 for seed in SEEDS])
    assert [s.token_ids for s in others] != [s.token_ids for s in together]


@pytest.mark.parametrize("options", [{}, {"temperature": 0.5}, {"top_k": 2}, {"top_p": 0.5}, {"temperature": 0}])
def test_log_probabilities_are_the_models_own_as_scoring_finds_them(options):
    model = plain.decoder()
    samples = generate(model, plain.prompts(), Sampling(8, **options), seeds=SEEDS)
    scores = score(model, [(p, s.token_ids) for p, s in zip(plain.prompts(), samples, strict=True)])
    for sample, result in zip(samples, scores, strict=True):
        assert sample.token_logprobs == pytest.approx(result.token_logprobs, abs=1e-5)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_frequencies_are_the_tempered_probabilities(temperature):
    model, rows = plain.decoder(vocabulary=7), 3000
    samples = generate(model, [[3, 1]] * rows, Sampling(1, temperature), seeds=range(rows), batch_size=rows)
    counts = np.bincount([sample.token_ids[0] for sample in samples], minlength=7)
    expected = (plain.next_logprobs(model, [3, 1]) / temperature).softmax(-1).numpy() * rows
    assert chisquare(counts, expected).pvalue > 1e-3


@settings(max_examples=100, deadline=None)
@given(
    strategies.lists(strategies.integers(-6, 3), min_size=2, max_size=9, unique=True),
    strategies.sampled_from([0.5, 1.0, 2.0]),
    strategies.sampled_from([None, 1, 3, 50]),
    strategies.sampled_from([None, 0.3, 0.9, 1.0]),
    strategies.sampled_from([None, 0.013, 0.31, 1.0]),
    strategies.floats(0, 1, exclude_max=True),
)
@example([0, -1, -2, -3], 1.0, 3, 0.7, None, 0.99)  # of three tokens the first has 0.665, of all 0.644
@example([0, -1, -2, -3], 1.0, 2, 0.7, None, 0.99)  # of two 0.731: it is enough
def test_choice_is_the_quantile_of_the_kept_distribution(logits, temperature, top_k, top_p, min_p, uniform):
    logprobs = torch.tensor([logits], dtype=torch.float64).log_softmax(-1)
    sampling = Sampling(1, temperature, top_k, top_p, min_p)
    token = int(choose(logprobs, sampling, torch.tensor([uniform]))[0])
    kept = (logprobs[0] / temperature).softmax(-1).tolist()
    ranked = sorted(range(len(kept)), key=lambda i: -kept[i])[: top_k or len(kept)]
    total, mass = sum(kept[i] for i in ranked), 0.0
    allowed = []
    for index in ranked:
        if top_p is not None and allowed and mass >= top_p - 1e-12:
            break
        if min_p is None or kept[index] >= min_p * max(kept):
            allowed.append(index)
        mass += kept[index] / total
    assert token in allowed
    order = sorted(allowed) if top_k is None and top_p is None else allowed
    before = sum(kept[i] for i in order if list(order).index(i) < list(order).index(token))
    scale = sum(kept[i] for i in allowed)
    assert before / scale - 1e-6 <= uniform <= (before + kept[token]) / scale + 1e-6


@pytest.mark.parametrize("uniform", [0.0, 1 - 2**-53])
def test_the_extremes_never_choose_a_token_of_probability_zero(uniform):
    logprobs = torch.tensor([[-torch.inf, 0.0, -torch.inf]])
    for options in ({}, {"top_k": 3}, {"top_p": 1.0}):
        assert int(choose(logprobs, Sampling(1, **options), torch.tensor([uniform], dtype=torch.float64))) == 1


def test_end_tokens_and_stop_strings_end_a_row_and_not_its_neighbours():
    model = plain.decoder()
    free = generate(model, plain.prompts(), Sampling(10), seeds=SEEDS, decode=letters)
    end = free[0].token_ids[3]
    ended = generate(model, plain.prompts(), Sampling(10), seeds=SEEDS, decode=letters, ends={end})
    for before, after in zip(free, ended, strict=True):
        if end in before.token_ids:
            at = before.token_ids.index(end)
            assert after.token_ids == before.token_ids[: at + 1]
            assert after.token_logprobs == pytest.approx(before.token_logprobs[: at + 1])
            assert after.text == before.text[:at]
            assert after.stop_reason == "end"
        else:
            assert (after.token_ids, after.text, after.stop_reason) == (before.token_ids, before.text, "length")
            assert after.token_logprobs == pytest.approx(before.token_logprobs)  # another batch, other rounding
    stop = free[1].text[2:4]
    stopped = generate(model, plain.prompts(), Sampling(10, stop=(stop, "zz")), seeds=SEEDS, decode=letters)
    assert stopped[1].stop_reason == "stop"
    for before, after in zip(free, stopped, strict=True):
        cut = before.text.find(stop)
        assert after.text == (before.text if cut < 0 else before.text[:cut])
        assert len(after.token_ids) == (10 if cut < 0 else cut + 2)


def test_the_longest_row_that_fits_is_sampled_and_the_next_refused():
    model = plain.decoder()
    [sample] = generate(model, [[1] * 20], Sampling(13), seeds=[0])
    assert len(sample.token_ids) == 13
    with pytest.raises(UsageError, match="context of 32"):
        generate(model, [[1] * 20], Sampling(14), seeds=[0])
    with pytest.raises(UsageError, match="tokenizer"):
        generate(model, [[1]], Sampling(2, stop=("x",)), seeds=[0])


def test_the_cache_grows_with_its_rows_and_keeps_what_it_held():
    model = plain.decoder(positions="rotary", context=300)
    prompts, new = [[1] * 5, [2, 3] * 45, [4]], 150
    for prompt, sample in zip(
        prompts, generate(model, prompts, Sampling(new, temperature=0), seeds=[0] * 3, batch_size=2), strict=True
    ):
        assert sample.token_ids == plain.greedy(model, prompt, new)


def test_a_waiting_prompt_takes_the_place_of_a_row_that_ends():
    model, steps, logits = plain.decoder(), [], plain.FromScratch.logits

    class Counting:
        def __getattr__(self, name):
            return getattr(model, name)

        def logits(self, tokens, *arguments, **options):
            steps.append(tuple(tokens.shape))
            return logits(model, tokens, *arguments, **options)

    ends = {0, 1, 2, 3}
    samples = generate(Counting(), [[5, 5]] * 20, Sampling(12), seeds=range(20), ends=ends, batch_size=4)
    lengths = [len(sample.token_ids) for sample in samples]
    decoding = [rows for rows, new in steps if new == 1]
    assert sum(decoding) == sum(lengths) - 20  # no row is computed after its end
    in_lockstep = sum(max(lengths[start : start + 4]) for start in range(0, 20, 4))
    assert len(decoding) <= sum(lengths) / 4 + max(lengths) < in_lockstep


def test_no_prompts_give_no_samples():
    assert generate(plain.decoder(), [], Sampling(3), seeds=[]) == []
    assert score(plain.decoder(), []) == []
