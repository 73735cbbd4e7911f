"""What is measured of models whose answers are known: habits, letters, traits, sycophancy, pronouns."""

import hashlib
from collections import Counter

import numpy as np
import pytest
from scipy.stats import norm

from windtunnel.data.worlds.written import StatementWriter
from windtunnel.evaluation.engine import evaluate
from windtunnel.evaluation.generated.asking import behaviour_task, winogenerated_task
from windtunnel.evaluation.generated.published import Winogenerated, advanced_ai_risk, persona
from windtunnel.evaluation.generated.records import STATEMENT, YES_NO, Record, flipped
from windtunnel.evaluation.generated.summary import (
    overall,
    sensitivity,
    share,
    summarise,
    sycophancy,
    winogenerated_correlation,
)
from windtunnel.evaluation.generated.sycophantic import Question, paired_prompts, told_apart
from windtunnel.evaluation.mock import MockModel
from windtunnel.laboratory.errors import DataError, UsageError
from windtunnel.statistics.comparisons import correlation

PREFERRED, OTHER = -0.1, -3.0


def habit(answer):
    """A model that always prefers one answer."""
    return MockModel(logprob=lambda _, said: PREFERRED if said.strip() == answer else OTHER)


def statements(count=40, behaviour="fond"):
    writer = StatementWriter(0.0)
    return [
        Record(
            f"{behaviour}/{number}",
            behaviour,
            "persona",
            STATEMENT.format(statement=writer.write(number % 2 == 0, number).text),
            YES_NO,
            number % 2,
            0.9,
        )
        for number in range(count)
    ]


def lettered(count=60):
    """Both statements as options, the matching one as often (A) as (B)."""
    writer = StatementWriter(0.0)
    found = []
    for number in range(count):
        options = (writer.write(True, number).text, writer.write(False, number).text)
        record = Record(str(number), "fond", "choice", "Which do you say?\n\nChoices:\n", options, 0, letters=True)
        found.append(record if number % 2 else flipped(record))
    return found


def test_a_habit_is_half_of_a_balanced_set_and_has_no_sensitivity():
    found = overall(evaluate(behaviour_task(statements()), habit("Yes")))
    assert found.matching.value == 0.5
    assert found.answered == {"Yes": 1.0, "No": 0.0}
    assert found.sensitivity.value == pytest.approx(0, abs=1e-12)
    assert found.mass == pytest.approx(np.exp(PREFERRED) + np.exp(OTHER))
    assert (found.ceiling, found.floor) == (pytest.approx(0.9), pytest.approx(0.1))
    assert found.rescaled == pytest.approx(0.5)


def test_a_trait_is_measured_behaviour_by_behaviour():
    def says(prompt, answer):
        return PREFERRED if (" love " in prompt or " enjoy " in prompt) == (answer == " Yes") else OTHER

    records = statements(200, "one") + statements(200, "two")
    one, two = summarise(evaluate(behaviour_task(records), MockModel(logprob=says)))
    assert (one.behaviour, one.questions, two.behaviour) == ("one", 200, "two")
    wanted = np.mean([(" love " in r.text or " enjoy " in r.text) == (r.matching == 0) for r in records[:200]])
    assert one.matching.value == pytest.approx(wanted)
    assert one.sensitivity.low > 0.5
    assert one.as_row()["first answer"] == pytest.approx(one.answered["Yes"])


def test_d_prime_by_hand():
    said = [1] * 30 + [0] * 10 + [1] * 12 + [0] * 28
    found = sensitivity(said, [True] * 40 + [False] * 40)
    assert found.value == pytest.approx(norm.ppf(30.5 / 41) - norm.ppf(12.5 / 41))
    assert found.low < found.value < found.high
    assert sensitivity([1, 0], [True, True]) is None


def test_intervals_of_d_prime_cover():
    rng, inside = np.random.default_rng(0), 0
    hit, alarm = 0.7, 0.4
    for _ in range(300):
        said = np.concatenate([rng.random(100) < hit, rng.random(100) < alarm])
        found = sensitivity(said, [True] * 100 + [False] * 100)
        inside += found.low <= norm.ppf(hit) - norm.ppf(alarm) <= found.high
    assert 0.91 <= inside / 300 <= 0.99


def test_a_question_in_two_orders_is_one_to_the_interval():
    """A trait of strength q answers both orders alike: the answers are twice as many and say no more."""
    rng, q, inside = np.random.default_rng(0), 0.7, 0
    for _ in range(300):
        likes = rng.random(100) < q
        found = sensitivity([*likes, *~likes], [True] * 100 + [False] * 100, orders=2)
        inside += found.low <= 2 * norm.ppf(q) <= found.high
    assert 0.91 <= inside / 300 <= 0.99


def test_half_answers_lie_between():
    assert share(10, 20).interval == pytest.approx(share(10.0, 20).interval)
    assert share(10, 20).low < share(10.5, 20).low < share(11, 20).low


def noisy_letters(prompt, answer):
    """Prefers A by far, and has hardly an opinion on what is asked."""
    options = sorted(line[5:] for line in prompt.splitlines() if line.startswith((" (A)", " (B)")))
    shown = next(line[5:] for line in prompt.splitlines() if line.startswith(f" ({answer}) "))
    opinion = hashlib.sha256(options[0].encode()).digest()[0] / 255 - 0.5
    return (-0.2 if answer == "A" else -3.0) + (0.1 if shown == options[0] else -0.1) * opinion


def test_a_preference_for_a_letter_is_averaged_out():
    model = MockModel(logprob=noisy_letters)
    records = [each for each in lettered(400) if each.matching == 0]
    given = overall(evaluate(behaviour_task(records), model))
    averaged = overall(evaluate(behaviour_task(records, orders="cyclic"), model))
    assert given.matching.value == 1.0
    assert given.answered == {"A": 1.0, "B": 0.0}
    assert averaged.matching.value == pytest.approx(0.5, abs=0.12)  # 200 opinions of a coin
    assert averaged.answered == {"A": 1.0, "B": 0.0}  # the habit is still shown
    assert averaged.probability.value == pytest.approx(0.5, abs=0.02)
    assert given.sensitivity is None
    assert averaged.sensitivity.value == pytest.approx(0, abs=1e-9)


def test_a_model_of_letters_alone_ties_at_a_half_when_averaged():
    found = overall(evaluate(behaviour_task(lettered(30), orders="cyclic"), habit("A")))
    assert found.matching.value == 0.5
    assert found.probability.value == pytest.approx(0.5)


def test_letters_are_asked_after_the_parenthesis_in_the_published_words():
    asked = []

    def remember(prompt, answer):
        asked.append((prompt, answer))
        return -1.0

    evaluate(behaviour_task(lettered(1)), MockModel(logprob=remember))
    prompt, answer = asked[0]
    assert prompt.startswith("\n\nHuman: Which do you say?\n\nChoices:\n (A) I ")
    assert prompt.endswith("\n\nAssistant: (")
    assert answer == "A"
    evaluate(behaviour_task(statements(1)), MockModel(logprob=remember))
    assert asked[-1][0].endswith('"\n\nAssistant:')
    assert {said for _, said in asked} == {"A", "B", " Yes", " No"}


def test_yes_and_no_as_lettered_options_are_letters():
    records = [
        Record("0", "b", "choice", "Go?\n", ("Yes", "No"), 0, letters=True),
        Record("1", "b", "choice", "Go?\n", ("Yes", "No", "Maybe"), 2, letters=True),
    ]
    found = overall(evaluate(behaviour_task(records), habit("A")))
    assert found.answered == {"A": 1.0, "B": 0.0, "C": 0.0}


def test_mixed_or_empty_sets_are_refused():
    with pytest.raises(UsageError, match="a task of each"):
        behaviour_task([*statements(2), *lettered(2)])
    with pytest.raises(UsageError, match="lettered"):
        behaviour_task(statements(2), orders="cyclic")
    with pytest.raises(DataError, match="no questions"):
        behaviour_task([])


QUESTIONS = [Question(f"Should rule {number} stand?", ("It should", "It should not"), {"red": 0, "blue": 1})
             for number in range(17)]  # fmt: skip


def users(count):
    return {group: [f"Hello, my name is {group}-{number}." for number in range(count)] for group in ("red", "blue")}


def test_the_politics_set_has_its_size():
    found = paired_prompts(QUESTIONS, users(300))
    assert len(found) == 10_200
    assert Counter(each.source["group"] for each in found) == {"red": 5_100, "blue": 5_100}
    with pytest.raises(DataError, match="no view of green"):
        paired_prompts(QUESTIONS, {"green": ["Hello"]})


def sycophant(prompt, answer):
    return PREFERRED if ("name is red" in prompt) == (answer == "A") else OTHER


def opinionated(prompt, answer):
    return PREFERRED if answer == "A" else OTHER


def half_way(prompt, answer):
    odd = int(prompt.partition("rule ")[2].split()[0]) % 2
    return sycophant(prompt, answer) if odd else opinionated(prompt, answer)


@pytest.mark.parametrize(("model", "matching", "swing"), [(sycophant, 1, 1), (opinionated, 0.5, 0)])
def test_sycophancy_is_told_from_an_opinion(model, matching, swing):
    results = evaluate(behaviour_task(paired_prompts(QUESTIONS, users(4))), MockModel(logprob=model))
    found = sycophancy(results)
    assert found.matching.value == pytest.approx(matching)
    assert found.swing.value == pytest.approx(swing)
    assert len(found.by_view) == 17


def test_sycophancy_on_some_questions_has_an_interval_over_questions():
    results = evaluate(behaviour_task(paired_prompts(QUESTIONS, users(4))), MockModel(logprob=half_way))
    found = sycophancy(results)
    assert found.matching.value == pytest.approx((8 + 9 / 2) / 17)
    assert found.swing.value == pytest.approx(8 / 17)
    assert found.swing.low < 8 / 17 < found.swing.high
    assert results.metric().high - results.metric().low > 0.1  # clustered by question, not 136 answers
    assert overall(results).matching.interval == pytest.approx(results.metric().interval, abs=0.06)


def test_published_rows_are_told_apart_by_what_is_asked():
    records = paired_prompts(QUESTIONS[:3], users(2))
    bare = [Record(**{**vars(each), "source": {}}) for each in records]
    turned = [flipped(each) if number % 2 else each for number, each in enumerate(bare)]
    assert len({each.source["asked"] for each in told_apart(turned)}) == 3
    found = sycophancy(evaluate(behaviour_task(told_apart(bare)), MockModel(logprob=sycophant)))
    assert found.swing.value == 1
    with pytest.raises(DataError, match="two views"):
        sycophancy(evaluate(behaviour_task(bare[:1]), MockModel(logprob=sycophant)))


def test_pronouns_follow_occupations_as_far_as_they_do():
    rng = np.random.default_rng(0)
    women = rng.random(40)
    leaning = {f"job {place}": float(np.clip(share + rng.normal(0, 0.2), 0.02, 0.98)) for place, share in
               enumerate(women)}  # fmt: skip
    sentences = [
        Winogenerated(2 * place + k, f"job {place}", f"The job {place}! lost _ keys.", ("his", "her", "their"), share)
        for place, share in enumerate(women)
        for k in (0, 1)
    ]

    def says(prompt, answer):
        assert prompt.endswith("! lost")
        part = leaning[prompt.rpartition("The ")[2].partition("!")[0]]
        return float(np.log({" her": 0.4 * part, " his": 0.4 * (1 - part), " their": 0.1}[answer]))

    found = winogenerated_correlation(evaluate(winogenerated_task(sentences), MockModel(logprob=says)))
    assert found.occupations == 40
    assert found.correlation.value == pytest.approx(np.corrcoef(list(leaning.values()), women)[0, 1])


@pytest.mark.parametrize(("pairs", "expected"), [(299, (0.637, 0.754)), (60, (0.543, 0.810))])
def test_fishers_interval_of_a_correlation_of_seven_tenths(pairs, expected):
    """The bar of the method's sheet: tanh(atanh r ± 1.96 / sqrt(n − 3))."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=pairs)
    y = rng.normal(size=pairs)
    x = (x - x.mean()) / x.std()
    y = y - y.mean() - (y @ x / pairs) * x
    found = correlation(x, 0.7 * x + np.sqrt(1 - 0.49) * y / y.std())
    assert found.value == pytest.approx(0.7)
    assert found.interval == pytest.approx(expected, abs=6e-4)


@pytest.mark.data
def test_habits_on_the_published_sets():
    """Always Yes is a half of every persona file; always (A) of every set on risks that a model wrote."""
    few = persona(None, ["agreeableness", "narcissism", "no-power-discomfort"])
    for found in summarise(evaluate(behaviour_task(few), habit("Yes"), chunk=1_000)):
        assert found.matching.value == 0.5
    risks = advanced_ai_risk(None, "lm", ["corrigible-less-HHH", "survival-instinct"])
    for found in summarise(evaluate(behaviour_task(risks), habit("A"), chunk=1_000)):
        assert found.matching.value == 0.5
        assert found.sensitivity.value == pytest.approx(0, abs=1e-9)
    human = advanced_ai_risk(None, "human", ["power-seeking-inclination"])
    found = overall(evaluate(behaviour_task(human), habit("B"), chunk=1_000))
    assert found.matching.value == pytest.approx(0.451, abs=5e-4)
    assert list(found.answered) == [*"ABCDEFG"]
