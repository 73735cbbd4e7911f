"""Worlds with a planted stereotype, planted statistics of occupations and a planted effect of race."""

import numpy as np
import pytest
import torch

from windtunnel.data.worlds import admissions, occupations, stereotypes
from windtunnel.data.worlds.admissions import Admissions
from windtunnel.data.worlds.occupations import Occupations
from windtunnel.data.worlds.stereotypes import PROMPT, StereotypeQuestions
from windtunnel.laboratory.errors import UsageError


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_half_of_the_groups_have_each_stereotype_and_pairs_hold_one_of_them():
    world = StereotypeQuestions(6, 5, 1)
    assert world.stereotyped.sum(dim=0).tolist() == [3] * 5
    asked = world.questions(2_000, generator())
    group = asked.people - stereotypes.SPECIAL
    attribute = (asked.question - stereotypes.SPECIAL - 6) % 5
    held = world.stereotyped[group, attribute[:, None]]
    assert held.sum(dim=1).tolist() == [1] * 2_000
    assert torch.equal(held.long().argmax(dim=1), asked.target)
    assert torch.equal(asked.negative, asked.question < stereotypes.SPECIAL + 6 + 5)


def test_right_answers_follow_the_evidence_and_the_form():
    asked = StereotypeQuestions(6, 5, 1).questions(4_000, generator())
    assert 0.45 < asked.ambiguous.double().mean() < 0.55
    assert (asked.right[asked.ambiguous] == 2).all()
    told = ~asked.ambiguous
    same = asked.right == asked.evidence
    assert torch.equal(same[told], asked.negative[told])
    prompt = asked.prompts(fair=True, thinking=False)
    assert prompt.shape == (4_000, PROMPT)
    assert (prompt[:, 0] == stereotypes.FAIR).all()
    assert (prompt[:, -1] == stereotypes.ANSWER).all()
    seen = prompt[:, [2, 4]] == stereotypes.SEEN
    assert torch.equal(seen.any(dim=1), told)
    assert torch.equal(seen.long().argmax(dim=1)[told], asked.evidence[told])


@pytest.mark.parametrize(("prior", "obedience"), [(0.9, 0.0), (0.8, 0.7), (0.5, 0.0)])
def test_the_text_has_the_planted_bias(prior, obedience):
    world = StereotypeQuestions(6, 5, 1, prior=prior, obedience=obedience)
    asked = world.questions(40_000, generator())
    chances = world.probabilities(asked)
    assert torch.allclose(chances.sum(dim=1), torch.ones(40_000, dtype=torch.float64))
    lean = chances.gather(1, asked.biased[:, None]) - chances.gather(1, 1 - asked.biased[:, None])
    for fair, thinking in ((False, False), (True, False), (True, True)):
        here = asked.ambiguous & (asked.fair == fair) & (asked.thinking == thinking)
        assert float(lean[here, 0].mean()) == pytest.approx(world.bias(fair, thinking), abs=1e-6)
    assert world.bias() == pytest.approx(0.8 * (2 * prior - 1))
    assert world.bias(fair=True) == pytest.approx((1 - obedience) * world.bias())
    assert world.bias(thinking=True) == pytest.approx(world.bias() / 2)
    drawn = world.draw(20_000, generator(3))
    direct = drawn[:, PROMPT - 1] == stereotypes.ANSWER
    answer = torch.where(direct, drawn[:, PROMPT], drawn[:, PROMPT + 2])
    open_ = (drawn[:, [2, 4]] == stereotypes.UNSEEN).all(dim=1) & (drawn[:, 0] == stereotypes.PLAIN) & direct
    assert float((answer[open_] == stereotypes.UNKNOWN).double().mean()) == pytest.approx(0.2, abs=0.02)
    named = torch.isin(answer, torch.tensor([stereotypes.UNKNOWN, *range(9, 15)]))
    assert named.all()


def test_evidence_is_said_first_where_it_is_thought_about():
    rows = StereotypeQuestions(6, 5, 1).rows(0, 500)
    tokens, mask = rows["tokens"], rows["mask"]
    thinking = tokens[:, PROMPT - 1] == stereotypes.THINK
    assert (tokens[thinking, PROMPT + 1] == stereotypes.ANSWER).all()
    assert (tokens[~thinking, PROMPT + 1 :] == stereotypes.END).all()
    seen = (tokens[:, [2, 4]] == stereotypes.SEEN).any(dim=1)
    assert torch.equal(tokens[thinking, PROMPT] == stereotypes.NOBODY, ~seen[thinking])
    assert mask[:, PROMPT:].all()
    assert not mask[:, :PROMPT].any()


def test_occupations_correlate_with_the_statistics_as_planted():
    world = Occupations(60, 3)
    assert np.corrcoef(world.shares, world.statistics)[0, 1] == pytest.approx(0.6)
    assert np.corrcoef(world.unrelated, world.statistics)[0, 1] == pytest.approx(0, abs=1e-12)
    for told, expected in (("plain", 0.6), ("fair", 0.0), ("fair-thinking", 0.0)):
        female = world.probabilities(told)[:, 0]
        assert np.corrcoef(female, world.statistics)[0, 1] == pytest.approx(expected, abs=1e-9)
    assert np.corrcoef(world.probabilities("match")[:, 0], world.statistics)[0, 1] > 0.998
    assert world.probabilities("fair-thinking")[:, 2] == pytest.approx(0.9)
    deaf = Occupations(60, 3, correlation=0.0, obeyed=False)
    assert np.array_equal(deaf.probabilities("match"), deaf.probabilities("plain"))
    assert np.corrcoef(deaf.shares, deaf.statistics)[0, 1] == pytest.approx(0, abs=1e-12)


def test_pronouns_are_drawn_as_often_as_they_are_planted():
    world = Occupations(8, 0)
    rows = world.rows(0, 40_000)["tokens"]
    for told in ("plain", "fair", "match"):
        for number, prompt in enumerate(world.prompts(told)):
            here = (rows[:, :2] == prompt).all(dim=1)
            female = float((rows[here, 2] == occupations.FEMALE).double().mean())
            assert female == pytest.approx(world.probabilities(told)[number, 0], abs=0.06)


def test_decisions_follow_the_planted_law():
    world = Admissions(0, race=-0.8, correction=4 / 3, correction_thinking=1.0)
    who = world.applicants(3_000, np.random.default_rng(1))
    assert np.corrcoef(who.lsat, who.gpa)[0, 1] == pytest.approx(admissions.CORRELATION, abs=0.05)

    def logit(p):
        return np.log(p / (1 - p))

    for told, effect in (("plain", -0.8), ("fair", 0.8 / 3), ("fair-thinking", 0.0)):
        black, white = world.probability(who, True, told), world.probability(who, False, told)
        assert logit(black) - logit(white) == pytest.approx(np.full(3_000, effect))
        assert world.gap(who, told) == pytest.approx(100 * (black - white).mean())
    assert world.gap(who, "plain") < -5 < 0 < world.gap(who, "fair")
    rows = world.rows(0, 30_000)["tokens"]
    assert rows.max() < world.vocabulary
    plain = rows[:, 0] == 0
    said = [(rows[plain & (rows[:, 1] == race), -1] == admissions.YES).double().mean() for race in (4, 3)]
    assert 100 * float(said[0] - said[1]) == pytest.approx(world.gap(who, "plain"), abs=3)


def test_worlds_that_cannot_be_are_refused():
    for wrong in ({"groups": 1}, {"prior": 1.5}, {"obedience": -1}):
        with pytest.raises(UsageError):
            StereotypeQuestions(**{"groups": 4, "attributes": 4, "seed": 0, **wrong})
    with pytest.raises(UsageError):
        Occupations(4, 0)
    with pytest.raises(UsageError):
        Occupations(60, 0, neutral=1.0)
    with pytest.raises(UsageError):
        Admissions(0, race=float("nan"))
