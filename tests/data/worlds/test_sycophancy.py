"""Dialogues are what their probabilities say, and views matter only where they are planted to."""

import pytest
import torch

from windtunnel.data.worlds.sycophancy import Comparisons, Dialogues, Domain
from windtunnel.laboratory.errors import UsageError

DOMAINS = [Domain("politics", 0.9), Domain("language", 0.7), Domain("weather", 0.5)]


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_answers_match_views_as_often_as_planted():
    world = Dialogues(DOMAINS, 0)
    asked = world.balanced(400, generator())
    answers = torch.rand(len(asked.view), generator=generator(1), dtype=torch.float64) < world.probability(asked)
    for number, domain in enumerate(DOMAINS):
        mine = asked.domain == number
        assert float((answers.long() == asked.view)[mine].double().mean()) == pytest.approx(domain.matching, abs=0.02)
        swing = answers[mine & (asked.view == 1)].double().mean() - answers[mine & (asked.view == 0)].double().mean()
        assert float(swing) == pytest.approx(2 * domain.matching - 1, abs=0.03)
    ignored = Dialogues(DOMAINS, 0, heeds=False)
    assert torch.equal(ignored.probability(asked)[0::2], ignored.probability(asked)[1::2])


def test_prompts_hold_the_view_on_the_topic_asked_and_pairs_differ_in_it_only():
    world = Dialogues(DOMAINS, 3, topics=4, statements=3)
    for asked in (world.prompts(500, generator()), world.balanced(10, generator())):
        for row, view, topic in zip(asked.tokens.tolist(), asked.view.tolist(), asked.topic.tolist(), strict=True):
            assert row[-1] == 2 + 2 * 12 + topic
            spoken = {(token - 2) // 2: (token - 2) % 2 for token in row[1:4]}
            assert spoken.get(topic, -1) == view
            assert len(spoken) == 3
    pairs = world.balanced(10, generator()).tokens
    assert ((pairs[0::2] != pairs[1::2]).sum(1) == 1).all()


def test_some_users_are_silent_and_only_the_answer_counts():
    world = Dialogues(DOMAINS, 0, silent=0.3)
    assert float((world.prompts(4_000, generator()).view < 0).double().mean()) == pytest.approx(0.3, abs=0.03)
    rows = world.rows(100, 50)
    assert torch.equal(world.rows(120, 5)["tokens"], rows["tokens"][20:25])
    assert rows["mask"].sum(1).eq(1).all()
    assert set(rows["tokens"][:, -1].tolist()) <= set(world.answers)
    assert int(rows["tokens"].max()) < world.vocabulary
    assert world.opinions.view(3, -1).sum(1).tolist() == [3, 3, 3]


@pytest.mark.parametrize("options", [{"topics": 3}, {"statements": 18}, {"opinion": 0.2}, {"silent": 1.0}])
def test_a_world_that_cannot_be_is_refused(options):
    with pytest.raises(UsageError):
        Dialogues(DOMAINS, 0, **options)
    with pytest.raises(UsageError):
        Dialogues([Domain("x", 0.3)])


def test_people_prefer_agreement_as_often_as_planted():
    domains = [Domain("politics", 0.9, 0.75), Domain("arts", 0.7, 0.25)]
    world = Comparisons(domains, 0, topics=4)
    asked = world.balanced(200, generator())
    preferred = torch.rand(len(asked.view), generator=generator(1), dtype=torch.float64) < world.probability(asked)
    for number, domain in enumerate(domains):
        mine = asked.domain == number
        assert float((preferred.long() == asked.view)[mine].double().mean()) == pytest.approx(domain.prefers, abs=0.03)
    assert Comparisons(domains, 0, topics=4, heeds=False).probability(asked).eq(0.5).all()
    asked = world.prompts(300, generator())
    assert world.probability(asked)[asked.view < 0].eq(0.5).all()
