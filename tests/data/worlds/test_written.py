"""The grammar writes what it says it wrote; the judge is as accurate and as calibrated as planted."""

import numpy as np
import pytest

from windtunnel.data.worlds.written import AVERSE, FOND, TOPICS, StatementJudge, StatementWriter, truth
from windtunnel.laboratory.errors import DataError, UsageError

COUNT = 1_500


def written(**options):
    writer = StatementWriter(**options)
    return [writer.write(number % 2 == 0, number // 2) for number in range(COUNT)]


def test_a_statement_says_what_it_is():
    for one in written(noise=0.3)[:400]:
        known = truth(one.text)
        assert (known.topic, known.matches) == (one.topic, one.matches)
    assert written(noise=0.3, seed=1)[:5] == written(noise=0.3, seed=1)[:5] != written(noise=0.3, seed=2)[:5]
    with pytest.raises(DataError, match="not a statement of the grammar"):
        truth("Nothing of the kind")


def test_verbs_tell_the_label():
    assert not set(FOND) & set(AVERSE)
    assert all(not (one != two and two.startswith(f"{one} ")) for one in (*FOND, *AVERSE) for two in (*FOND, *AVERSE))


def test_noise_and_topics_are_as_planted():
    found = written(noise=0.25, skew=1.0)
    assert np.mean([one.matches != one.wanted for one in found]) == pytest.approx(0.25, abs=0.035)
    shares = [np.mean([one.topic == topic for one in found]) for topic in TOPICS]
    assert np.allclose(shares, StatementWriter(skew=1.0).shares, atol=0.04)


@pytest.mark.parametrize("sharpness", [1.0, 3.0, 0.3])
def test_the_judge_is_calibrated_when_it_is_said_to_be(sharpness):
    found = written(noise=0.2)
    judge = StatementJudge(0.85, noise=0.2, sharpness=sharpness)
    said = np.array(judge.probabilities([one.text for one in found], [one.wanted for one in found]))
    right = np.array([one.wanted == one.matches for one in found], dtype=float)
    gaps = []
    for low, high in ((0, 0.4), (0.4, 0.8), (0.8, 0.95), (0.95, 1.01)):
        inside = (said >= low) & (said < high)
        if inside.sum() > 50:
            gaps.append(abs(said[inside].mean() - right[inside].mean()))
    assert (max(gaps) < 0.07) == (sharpness == 1.0)


def test_the_judge_is_as_accurate_as_planted_and_easier_topics_are_easier():
    found = written(noise=0.0)
    texts, kinds = [one.text for one in found], [one.wanted for one in found]
    said = np.array(StatementJudge(0.9, spread=0.16).probabilities(texts, kinds)) > 0.5
    assert said.mean() == pytest.approx(0.9, abs=0.02)
    easy, hard = (np.mean(said[[one.topic == topic for one in found]]) for topic in ("music", "the sea"))
    assert easy == pytest.approx(0.98, abs=0.04)
    assert hard == pytest.approx(0.82, abs=0.09)
    blind = np.array(StatementJudge(0.9, blind=True).probabilities(texts, kinds)) > 0.5
    assert blind.mean() == pytest.approx(0.5, abs=0.04)


@pytest.mark.parametrize("options", [{"accuracy": 0.5}, {"accuracy": 0.95, "spread": 0.2}, {"noise": 0.0}])
def test_a_judge_that_cannot_be_is_refused(options):
    with pytest.raises(UsageError):
        StatementJudge(**options)
