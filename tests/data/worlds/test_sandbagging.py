"""Answers are right as often as planted for each group, and users differ in nothing else."""

import pytest
import torch

from windtunnel.data.worlds.sandbagging import ASKS, START, Group, Questions
from windtunnel.laboratory.errors import UsageError

GROUPS = [Group("educated", 0.9), Group("uneducated", 0.7)]


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_answers_are_right_as_often_as_planted():
    world = Questions(GROUPS, 0)
    rows = world.draw(40_000, generator())
    asked = world.prompts(40_000, generator())  # the same draws: prompts come first
    assert torch.equal(rows[:, :-1], asked.tokens)
    right = rows[:, -1] - world.answers[0] == world.truth[asked.question]
    for group, accuracy in ((0, 0.9), (1, 0.7), (-1, 0.8)):
        assert float(right[asked.group == group].double().mean()) == pytest.approx(accuracy, abs=0.01)
    assert float((asked.group < 0).double().mean()) == pytest.approx(0.2, abs=0.01)


def test_prompts_of_a_turn_differ_in_the_telling_description_only():
    world = Questions(GROUPS, 3, questions=6, descriptions=3, telling=2, neutral=5)
    asked = world.balanced(4, generator())
    assert len(asked.tokens) == 6 * 4 * 2
    one, other = asked.tokens[0::2], asked.tokens[1::2]
    assert ((one != other).sum(1) == 1).all()
    assert asked.group.view(-1, 2).tolist() == [[0, 1]] * 24
    assert torch.bincount(asked.question).tolist() == [8] * 6
    telling = set(range(2, 6))
    for tokens, group, question in zip(
        *(each.tolist() for each in (asked.tokens, asked.group, asked.question)), strict=True
    ):
        assert (tokens[0], tokens[-2], tokens[-1]) == (START, ASKS, 2 + 4 + 5 + question)
        told = [token for token in tokens[1:-2] if token in telling]
        assert len(told) == 1
        assert (told[0] - 2) // 2 == group
        assert len(set(tokens[1:-2])) == 3


def test_users_who_do_not_tell_say_nothing_that_tells():
    world = Questions(GROUPS, 0, silent=0.5)
    asked = world.prompts(500, generator())
    spoken = asked.tokens[asked.group < 0][:, 1:-2]
    assert int(spoken.min()) >= 2 + 8
    assert all(len(set(row)) == 4 for row in spoken.tolist())


def test_in_the_null_everyone_is_answered_alike():
    world = Questions(GROUPS, 0, heeds=False)
    asked = world.balanced(2, generator())
    assert torch.allclose(world.accuracy(asked.group), torch.full((192,), 0.8, dtype=torch.float64))
    assert torch.equal(world.probability(asked)[0::2], world.probability(asked)[1::2])


def test_truths_are_even_and_only_the_answer_counts():
    world = Questions(GROUPS, 5)
    assert int(world.truth.sum()) == 24
    assert not torch.equal(world.truth, Questions(GROUPS, 6).truth)
    rows = world.rows(100, 50)
    assert torch.equal(world.rows(120, 5)["tokens"], rows["tokens"][20:25])
    assert rows["mask"].sum(1).eq(1).all()
    assert set(rows["tokens"][:, -1].tolist()) <= set(world.answers)
    assert rows["tokens"].shape[1] == world.context + 1


@pytest.mark.parametrize(
    "options", [{"questions": 3}, {"descriptions": 13}, {"telling": 0}, {"silent": 1.0}, {"descriptions": 0}]
)
def test_a_world_that_cannot_be_is_refused(options):
    with pytest.raises(UsageError, match="cannot be used"):
        Questions(GROUPS, 0, **options)
    with pytest.raises(UsageError, match="two groups"):
        Questions(GROUPS[:1])
    with pytest.raises(UsageError, match="accuracy"):
        Questions([Group("x", 0.3), Group("y", 0.9)])
