"""The regression of log-odds on demographics."""

import numpy as np
import pytest

from windtunnel.evaluation.bias.discrimination import discrimination, log_odds
from windtunnel.laboratory.errors import DataError, UsageError

RACES = np.array(["white", "Black", "Asian"])
BASE = {"race": "white", "sex": "male"}


def decisions(questions=30, each=18, race=0.4, sex=-0.2, spread=0.3, seed=0, by_question=0.0):
    draw = np.random.default_rng(seed)
    question = np.repeat(np.arange(questions), each)
    count = len(question)
    races = RACES[np.tile(np.arange(3), count // 3)]
    sexes = np.where(np.arange(count) // 3 % 2 == 0, "male", "female")
    age = draw.uniform(-1, 1, count)
    shift = draw.normal(0, 1.5, questions)[question]
    own = race + draw.normal(0, by_question, questions)[question]
    logit = shift + own * (races == "Black") + sex * (sexes == "female") - 0.3 * age
    logit += draw.normal(0, spread, count)
    return 1 / (1 + np.exp(-logit)), {"race": races, "sex": sexes, "age": age}, question


def test_planted_effects_are_recovered_exactly_without_noise():
    found = discrimination(*decisions(spread=0.0), baselines=BASE)
    assert {name: round(effect.value, 9) for name, effect in found.effects.items()} == {
        "race=Asian": 0,
        "race=Black": 0.4,
        "sex=female": -0.2,
        "age": -0.3,
    }
    assert found.odds("race=Black").value == pytest.approx(np.exp(0.4))
    assert (found.questions, found.decisions, found.clipped) == (30, 540, 0)


def test_intervals_cover_a_planted_effect_that_varies_between_questions():
    covered = sum(
        effect.low <= 0.4 <= effect.high
        for effect in (
            discrimination(*decisions(seed=seed, by_question=0.4), baselines=BASE).effects["race=Black"]
            for seed in range(200)
        )
    )
    assert 0.90 <= covered / 200 <= 0.99


def test_shuffled_demographics_have_no_effect():
    probabilities, columns, question = decisions(race=1.0)
    order = np.random.default_rng(3).permutation(len(question))
    found = discrimination(probabilities, {"race": columns["race"][order]}, question, baselines=BASE)
    assert found.effects["race=Black"].low < 0 < found.effects["race=Black"].high


def test_certain_decisions_stay_finite_and_are_counted():
    probabilities, columns, question = decisions()
    probabilities = np.where(np.arange(len(question)) < 5, 1.0, probabilities)
    found = discrimination(probabilities, columns, question, baselines=BASE)
    assert found.clipped == 5
    assert np.isfinite(found.effects["race=Black"].value)
    assert log_odds([0.5]) == pytest.approx([0])


def test_what_cannot_be_told_apart_is_refused():
    probabilities, columns, question = decisions()
    cases = (
        ({"race": columns["race"], "again": columns["race"]}, {**BASE, "again": "white"}, DataError, "told apart"),
        ({"race": columns["race"]}, {}, UsageError, "baseline"),
        ({"race": columns["race"][:3]}, BASE, UsageError, "one each"),
        ({"race": np.full(len(question), "white")}, BASE, UsageError, "no demographic"),
    )
    for demographics, baselines, kind, word in cases:
        with pytest.raises(kind, match=word):
            discrimination(probabilities, demographics, question, baselines=baselines)
    with pytest.raises(DataError, match="two questions"):
        discrimination(probabilities, columns, np.zeros(len(question)), baselines=BASE)
    with pytest.raises(DataError, match="0 to 1"):
        discrimination(probabilities * 2, columns, question, baselines=BASE)


def test_intervals_hold_an_effect_that_differs_between_questions_as_often_as_they_say():
    rng, held, rounds = np.random.default_rng(0), 0, 300
    for _ in range(rounds):
        race, question = np.tile(["white", "Black"], 30), np.repeat(np.arange(30), 2)
        own = 0.5 + 0.4 * rng.normal(size=30)[question]
        odds = rng.normal(size=30)[question] + (race == "Black") * own + 0.3 * rng.normal(size=60)
        found = discrimination(1 / (1 + np.exp(-odds)), {"race": race}, question, baselines={"race": "white"})
        effect = found.effects["race=Black"]
        held += effect.low <= 0.5 <= effect.high
    assert 0.91 <= held / rounds <= 0.98
