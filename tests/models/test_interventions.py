"""Ready-made interventions, on a plain forward pass, padded, and token by token during generation."""

import pytest
import torch
from torch.testing import assert_close

from tests.models.kinds import model, tokens
from windtunnel.laboratory.errors import UsageError
from windtunnel.models.interventions import ablate, add, clamp, patch, replace, scale

SITE = "blocks.0.hook_resid_post"
KINDS = ["gpt2", "gemma3", "gpt_neox", "ours_llama_like"]


def at(subject, site, intervention, batch=None, mask=None):
    """The activation at a site before and after an intervention there."""
    batch = tokens() if batch is None else batch
    with subject.record(site) as plain:
        subject(batch, mask)
    with subject.intervene({site: intervention}), subject.record(site) as changed:
        subject(batch, mask)
    return plain[site].detach(), changed[site].detach()


@pytest.mark.parametrize("kind", KINDS)
def test_each_does_what_its_name_says_where_it_is_meant_and_nothing_elsewhere(kind):
    subject, vector = model(kind), torch.randn(16, generator=torch.Generator().manual_seed(1))
    unit = vector / vector.norm()
    here, elsewhere = [2, 5], [0, 1, 3, 4, 6, 7, 8]
    expected = {
        replace(vector, positions=here): lambda x: vector.expand_as(x),
        replace(0.5, positions=here): lambda x: torch.full_like(x, 0.5),
        add(vector, positions=here): lambda x: x + vector,
        scale(-2.0, positions=here): lambda x: -2 * x,
        clamp(-0.1, 0.1, positions=here): lambda x: x.clamp(-0.1, 0.1),
        clamp(maximum=-1.0, direction=3 * vector, positions=here): lambda x: (
            x + ((x @ unit).clamp(max=-1.0) - x @ unit)[..., None] * unit
        ),
        ablate(positions=here): torch.zeros_like,
    }
    for intervention, right in expected.items():
        before, after = at(subject, SITE, intervention)
        assert_close(after[:, here], right(before[:, here]))
        assert torch.equal(after[:, elsewhere], before[:, elsewhere])


@pytest.mark.parametrize(
    ("positions", "meant"),
    [
        (None, range(9)),
        (3, [3]),
        (-1, [8]),
        ([0, -2], [0, 7]),
        (slice(4, None), range(4, 9)),
        (slice(-3, None), [6, 7, 8]),
        (slice(1, -1), range(1, 8)),
        (slice(0, 8, 3), [0, 3, 6]),
        (slice(-6, None, 2), [3, 5, 7]),
    ],
)
def test_positions_are_those_of_a_list_also_in_padded_batches(positions, meant):
    subject = model("gpt2")
    before, after = at(subject, SITE, add(1.0, positions=positions))
    changed = (after != before).any(-1)
    assert [i for i in range(9) if changed[:, i].all()] == list(meant) == [i for i in range(9) if changed[:, i].any()]
    padding = torch.zeros(2, 3, dtype=torch.long)
    for side in (1, -1):
        parts = [padding, tokens()][::side]
        mask = torch.cat([torch.zeros_like(padding), torch.ones_like(tokens())][::side], 1).bool()
        _, padded = at(subject, SITE, add(1.0, positions=positions), torch.cat(parts, 1), mask)
        assert_close(padded[mask].view(2, 9, 16), after, atol=1e-4, rtol=1e-4)


def test_heads_are_chosen_at_their_sites_and_refused_elsewhere():
    subject = model("ours_llama_like")
    before, after = at(subject, "blocks.1.attn.hook_z", ablate(heads=[1, 3]))
    assert not after[:, :, [1, 3]].any()
    assert torch.equal(after[:, :, [0, 2]], before[:, :, [0, 2]])
    before, after = at(subject, "blocks.1.attn.hook_pattern", ablate(heads=[2], positions=-1))
    assert not after[:, 2, -1].any()
    assert torch.equal(after[:, 2, :-1], before[:, 2, :-1])
    assert torch.equal(after[:, [0, 1, 3]], before[:, [0, 1, 3]])
    with pytest.raises(UsageError, match="has no heads"):
        at(subject, SITE, ablate(heads=[0]))
    with pytest.raises(UsageError, match="heads 0 to 3, not 4"):
        at(subject, "blocks.1.attn.hook_z", ablate(heads=[4]))


def test_a_mean_is_that_of_the_reference_and_a_resampled_activation_one_of_its_rows():
    subject = model("llama")
    with subject.record(SITE) as recorded:
        subject(tokens(6, 9).flip(0))
    reference = recorded[SITE].detach()
    _, after = at(subject, SITE, ablate("mean", reference=reference, positions=4))
    assert_close(after[:, 4], reference.mean((0, 1)).expand(2, -1))
    resampled = [
        at(subject, SITE, ablate("resample", reference=reference, generator=torch.Generator().manual_seed(7)))[1]
        for _ in range(2)
    ]
    assert torch.equal(*resampled)
    same = (resampled[0][:, None] == reference[None]).all(-1)  # [row, reference row, position]
    assert same.any(1).all()
    assert len({tuple(row.tolist()) for row in same.int().argmax(1)}) == 2


@pytest.mark.parametrize("kind", KINDS)
def test_patching_every_position_of_a_layer_gives_the_other_runs_logits(kind):
    subject = model(kind)
    with subject.record(SITE) as other:
        expected = subject(tokens(1).flip(1))
    with subject.intervene({SITE: patch(other[SITE])}):
        assert_close(subject(tokens()), expected.expand(2, -1, -1))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("positions", [None, 5, [0, 7], slice(4, None), slice(2, 8, 2)])
def test_generation_with_an_intervention_is_a_plain_loop_with_it(kind, positions):
    subject = model(kind)
    prompts = [tokens(1, length)[0].tolist() for length in (3, 6, 2)]
    vector = 3 * torch.randn(16, generator=torch.Generator().manual_seed(2))
    intervention = add(vector, positions=positions)
    with subject.intervene({SITE: intervention}):
        samples = subject.generate(prompts, max_new_tokens=9, temperature=0, batch_size=2)
        for prompt, sample in zip(prompts, samples, strict=True):
            row = list(prompt)
            for _ in range(9):
                row.append(int(subject(row)[0, -1].argmax()))
            assert sample.token_ids == row[len(prompt) :]
    free = subject.generate(prompts, max_new_tokens=9, temperature=0, batch_size=2)
    assert [sample.token_ids for sample in free] != [sample.token_ids for sample in samples]


def test_the_last_position_of_prompts_of_different_lengths_is_each_ones_own():
    subject = model("ours_llama_like")
    prompts = [tokens(1, length)[0].tolist() for length in (3, 6)]
    vector = 3 * torch.randn(16, generator=torch.Generator().manual_seed(2))
    with subject.intervene({SITE: add(vector, positions=-1)}):
        together = subject.generate(prompts, max_new_tokens=1, temperature=0)
        alone = [int(subject(prompt)[0, -1].argmax()) for prompt in prompts]
    assert [sample.token_ids[0] for sample in together] == alone


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: add(1.0, positions=40), "position 40, and no sequence was that long"),
        (lambda: add(1.0, positions=[3, -12]), "position -12"),
        (lambda: add(torch.ones(15)), r"does not broadcast to the activation.s shape \(2, 9, 16\)"),
        (lambda: patch(torch.zeros(1, 4, 16)), "Position 8 is out of range: the recorded activation has 4"),
        (lambda: patch(torch.zeros(3, 9, 16)), "patch of 3 rows does not fit 2"),
        (lambda: clamp(), "minimum, a maximum or both"),
        (lambda: clamp(2.0, 1.0), "minimum below the maximum"),
        (lambda: ablate("median"), "no ablation 'median'"),
        (lambda: ablate("mean"), "needs reference activations"),
        (lambda: add(1.0, positions=slice(None, None, -1)), "positive step"),
    ],
)
def test_misuse_is_one_clear_sentence(make, words):
    with pytest.raises(UsageError, match=words):
        at(model("gpt2"), SITE, make())


def test_what_looks_tokens_up_is_refused_at_sites_of_pairs():
    with pytest.raises(UsageError, match="pairs of tokens"):
        at(model("gpt2"), "blocks.0.attn.hook_pattern", patch(torch.zeros(1, 9, 16)))
