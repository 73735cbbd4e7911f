"""The protocol by which people rate texts: pages, exports, exclusions, estimators against raters of known skill."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from scipy.stats import norm

from windtunnel.evaluation.detection.material import Topic, plan_material, write_material
from windtunnel.evaluation.detection.raters import Raters, ratings_of, simulate, skill_of_accuracy
from windtunnel.evaluation.detection.ratings import CHOICES, Rating, Sheet, counted, export, read_sheets
from windtunnel.evaluation.detection.scoring import (
    against_control,
    by_model,
    exponent_of_size,
    participant_accuracies,
    score,
    sensitivity,
    t_of_intervals,
    two_way_mean,
)
from windtunnel.laboratory.errors import DataError, UsageError
from windtunnel.statistics.estimates import Estimate

ATTACK = '</p><script>alert(1)</script><img src=x onerror="alert(2)"> & {{ participant }}'


def topics(count=6, models=("control", "large")):
    return [
        Topic(f"t{n}", f"Title {n}", "", f"A person wrote {n}.\n\nAnd more.", {m: f"{m} wrote {n}." for m in models})
        for n in range(count)
    ]


class Page(HTMLParser):
    """Tags, texts and inputs of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.inputs, self.text, self._inside = [], [], "", []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self._inside.append(tag)
        if tag == "input":
            self.inputs.append(dict(attributes))

    def handle_data(self, data):
        if not self._inside or self._inside[-1] not in ("script", "style"):
            self.text += data


def test_every_participant_sees_each_topic_once_and_half_of_them_by_the_model(tmp_path):
    key = write_material(topics(), tmp_path, participants={"control": 3, "large": 2}, seed=4)
    assert len(key["participants"]) == 5
    assert json.loads((tmp_path / "key.json").read_text()) == key
    orders = set()
    for participant, shown in key["participants"].items():
        page = Page((tmp_path / f"{participant}.html").read_text())
        assert {text["topic"] for text in shown["articles"].values()} == {f"t{n}" for n in range(6)}
        assert sum(text["generated"] for text in shown["articles"].values()) == 3
        for text in shown["articles"].values():
            number = text["topic"][1:]
            assert (f"{shown['model']} wrote {number}." in page.text) == text["generated"]
            assert (f"A person wrote {number}." in page.text) != text["generated"]
        names = list(dict.fromkeys(each["name"] for each in page.inputs))
        assert names == [*shown["articles"], "looked-up"]
        orders.add(tuple(text["topic"] for text in shown["articles"].values()))
        assert all(choice in page.text for choice in CHOICES)
    assert len(orders) > 1


def test_a_page_does_not_say_which_text_is_generated(tmp_path):
    key = write_material(topics(), tmp_path, participants={"large": 2}, seed=0)
    for participant in key["participants"]:
        page = (tmp_path / f"{participant}.html").read_text()
        assert "generated" not in page
        assert "key.json" not in page
    codes = [code for shown in key["participants"].values() for code in shown["articles"]]
    assert len(set(codes)) == len(codes)


def test_what_models_wrote_is_text_and_the_page_may_load_nothing(tmp_path):
    bad = [Topic(f"t{n}", ATTACK, ATTACK, ATTACK, {"m": ATTACK}) for n in range(2)]
    key = write_material(bad, tmp_path, participants={"m": 1}, seed=0, heading=ATTACK)
    (participant,) = key["participants"]
    text = (tmp_path / f"{participant}.html").read_text()
    page = Page(text)
    assert page.tags.count("script") == page.tags.count("style") == 1
    assert "img" not in page.tags
    assert page.text.count(ATTACK) >= 5
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)[1]
    assert policy.startswith("default-src 'none';")
    for tag in ("script", "style"):
        body = re.search(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)[1]
        digest = base64.b64encode(hashlib.sha256(body.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert not re.search(r"(src|href|url\()\s*=?\s*[\"']?(https?:)?//", text)


def test_answers_come_back_from_both_kinds_of_files(tmp_path):
    sheet = Sheet("ab12", {"c1": 1, "c2": 5}, False)
    (tmp_path / "one.json").write_text(export(sheet))
    (tmp_path / "two.csv").write_text("participant,article,choice,looked_up\nzz,c1,3,true\nzz,c2,,true\n")
    found = read_sheets([tmp_path / "one.json", tmp_path / "two.csv"])
    assert found == [sheet, Sheet("zz", {"c1": 3}, True)]
    with pytest.raises(DataError, match="second export"):
        read_sheets([tmp_path / "one.json", tmp_path / "one.json"])


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.json", "[]", "not an export"),
        ("a.json", '{"format": "windtunnel-ratings", "participant": "a"}', "no answers"),
        ("a.json", '{"format": "windtunnel-ratings", "participant": "a", "answers": {"c": 6}}', "from 1 to 5"),
        ("a.json", '{"format": "windtunnel-ratings", "participant": "", "answers": {}}', "names no participant"),
        ("a.csv", "x,y\n1,2\n", "no columns"),
        ("a.csv", "participant,article,choice\np,c,maybe\n", "from 1 to 5"),
        ("missing.csv", None, "cannot be read"),
    ],
)
def test_files_that_are_no_export_are_explained(tmp_path, name, text, said):
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=said):
        read_sheets([tmp_path / name])


def test_who_looked_texts_up_or_did_not_finish_is_left_out(tmp_path):
    key = write_material(topics(), tmp_path, participants={"large": 3}, seed=0)
    honest, cheat, tired = key["participants"]
    full = {name: dict.fromkeys(shown["articles"], 4) for name, shown in key["participants"].items()}
    tired_answers = dict(list(full[tired].items())[:4])
    sheets = [Sheet(honest, full[honest], None), Sheet(cheat, full[cheat], True), Sheet(tired, tired_answers, False)]
    ratings, excluded = counted(sheets, key)
    assert {rating.participant for rating in ratings} == {honest}
    assert sum(rating.correct for rating in ratings) == 3
    assert set(excluded) == {cheat, tired}
    assert "internet" in excluded[cheat]
    assert "2 of 6" in excluded[tired]
    assert len(ratings_of(sheets, key)) == 16
    with pytest.raises(DataError, match="not in the key"):
        counted([Sheet("nobody", {}, None)], key)


def test_accuracy_is_over_choices_that_take_a_side():
    ratings = [Rating("p", str(n), n % 2 == 0, "m", choice) for n, choice in enumerate((5, 3, 4, 1, 2, 3))]
    ratings += [Rating("q", str(n), n % 2 == 0, "m", 3) for n in range(4)]
    assert participant_accuracies(ratings) == {"p": 0.75}
    found = score([*ratings, Rating("r", "0", True, "m", 5)], np.random.default_rng(0))
    assert found.accuracy.value == pytest.approx((0.75 + 1) / 2)
    assert (found.participants, found.undecided) == (3, 1)
    assert found.neutral == pytest.approx(6 / 11)
    with pytest.raises(DataError, match="takes a side"):
        participant_accuracies(ratings[6:])


def everything(raters, participants, seed, count=25):
    key = plan_material(topics(count, ("m",)), {"m": participants}, seed)
    return counted(simulate(key, {"m": raters}, np.random.default_rng(seed)), key)[0]


def test_estimators_find_the_skill_that_raters_have():
    raters = Raters(1.2, criterion=0.2, lapses=0.05)
    ratings = everything(raters, 400, 0)
    found = score(ratings, np.random.default_rng(0))
    assert found.over_both.value == pytest.approx(raters.accuracy, abs=0.012)
    assert found.accuracy.low < raters.accuracy + 0.01
    assert raters.accuracy < found.accuracy.high + 0.01
    hits = 0.95 * norm.cdf(0.6 - 0.2) + 0.05 * 0.4
    alarms = 0.95 * norm.cdf(-0.6 - 0.2) + 0.05 * 0.4
    assert found.d_prime.value == pytest.approx(norm.ppf(hits) - norm.ppf(alarms), abs=0.06)


def test_without_lapses_sensitivity_is_the_skill():
    found = sensitivity(everything(Raters(0.8), 300, 1), np.random.default_rng(0))
    assert found.low < 0.8 < found.high
    assert found.high - found.low < 0.2


def test_skill_and_accuracy_are_each_others_inverse():
    for accuracy in (0.52, 0.61, 0.86):
        skill = skill_of_accuracy(accuracy, criterion=0.3, lapses=0.02)
        assert Raters(skill, criterion=0.3, lapses=0.02).accuracy == pytest.approx(accuracy, abs=1e-9)
    with pytest.raises(UsageError, match="No skill"):
        skill_of_accuracy(0.99, lapses=0.5)


@pytest.mark.parametrize("text_spread", [0.0, 0.6])
def test_intervals_over_both_hold_the_truth_also_where_texts_differ(text_spread):
    raters = Raters(0.6, text_spread=text_spread, bias_spread=0.2)
    key = {
        "participants": {
            str(p): {
                "model": "m",
                "articles": {f"{p}-{n}": {"topic": str(n), "generated": (n + p) % 2 == 0} for n in range(24)},
            }
            for p in range(40)
        }
    }
    both = participants = 0
    for seed in range(150):
        ratings = ratings_of(simulate(key, {"m": raters}, np.random.default_rng(seed)), key)
        decided = [rating for rating in ratings if not rating.neutral]
        right = [rating.correct for rating in decided]
        names = [rating.participant for rating in decided]
        texts = [rating.article for rating in decided]
        wide = two_way_mean(right, names, texts)
        narrow = two_way_mean(right, names, list(range(len(right))))
        both += wide.low <= raters.accuracy <= wide.high
        participants += narrow.low <= raters.accuracy <= narrow.high
    assert both / 150 > 0.9
    assert participants / 150 < 0.85 if text_spread else participants / 150 > 0.88


def test_a_two_way_mean_of_unrelated_values_is_student_s():
    values = np.random.default_rng(0).normal(size=50)
    alone = [str(n) for n in range(50)]
    found = two_way_mean(values, alone, alone)
    half = 2.0096 * values.std(ddof=1) / 50**0.5
    assert found.high - found.value == pytest.approx(half, rel=1e-3)
    assert two_way_mean([1.0, 0.0], ["a", "b"], ["x", "x"]).low == -np.inf


def test_a_control_that_is_seen_through_differs_from_a_model_that_is_not():
    key = plan_material(topics(25), {"control": 40, "large": 40}, 3)
    raters = {"control": Raters(skill_of_accuracy(0.86)), "large": Raters(skill_of_accuracy(0.52))}
    ratings, _ = counted(simulate(key, raters, np.random.default_rng(3)), key)
    parts = by_model(ratings)
    found = against_control(parts["control"], parts["large"])
    assert found.t > 10
    assert max(found.p_value, found.welch_p_value) < 1e-12
    same = against_control(parts["control"][:500], parts["control"][500:])
    assert same.p_value > 1e-3
    with pytest.raises(DataError, match="two participants"):
        against_control(parts["control"], parts["large"][:25])


def test_t_of_published_intervals():
    values = np.random.default_rng(0).normal(0.8, 0.1, 60), np.random.default_rng(1).normal(0.6, 0.12, 70)
    from scipy.stats import t, ttest_ind

    made = []
    for each in values:
        half = t.ppf(0.975, len(each) - 1) * each.std(ddof=1) / len(each) ** 0.5
        made.append(Estimate(each.mean(), each.mean() - half, each.mean() + half))
    assert t_of_intervals(*made, (60, 70)) == pytest.approx(ttest_ind(*values).statistic)


def test_an_exponent_of_size_is_recovered():
    sizes = np.array([1e8, 1e9, 1e10, 1e11])
    assert exponent_of_size(sizes, 2 * sizes**-0.05).value == pytest.approx(-0.05)
    with pytest.raises(DataError, match="three sizes"):
        exponent_of_size([1, 2], [1, 2])


def test_material_that_cannot_be_made_is_explained(tmp_path):
    write_material(topics(), tmp_path / "used", participants={"large": 1}, seed=0)
    for what, where, said in (
        (topics(), "used", "key of another"),
        (topics(1), "new", "two topics"),
        ([*topics(), *topics()], "new", "id of its own"),
        (topics(3, ("other",)), "new", "no text of 'large'"),
    ):
        with pytest.raises(UsageError, match=said):
            write_material(what, tmp_path / where, participants={"large": 1}, seed=0)
