"""Results: counts that hide nothing, intervals by cluster, and a page that shows text as text."""

import re
from html.parser import HTMLParser

import numpy as np
import pytest
from small_tasks import Ask, Match, right, small_task

from windtunnel.evaluation.engine import evaluate
from windtunnel.evaluation.mock import MockModel
from windtunnel.evaluation.results import Results, interval_of_mean
from windtunnel.evaluation.tasks import Mark, Output, Sample
from windtunnel.laboratory.errors import DataError, UsageError
from windtunnel.statistics import bootstrap, mean, wilson


class Given(Match):
    """Marks that the samples themselves hold in their metadata; None: it fails."""

    def __call__(self, samples, outputs, models):
        return [
            Mark(error="no verdict") if sample.metadata["values"] is None else Mark(sample.metadata["values"])
            for sample in samples
        ]


def results_of(values, clusters=None, metric="accuracy", **options):
    """Results of samples that are marked so."""
    samples = [
        Sample(f"s{place}", "?", metadata={"values": value, "half": place % 2}, cluster=clusters and clusters[place])
        for place, value in enumerate({metric: value} if isinstance(value, float) else value for value in values)
    ]
    return evaluate(small_task(dataset=samples, scorer=Given(), metric=metric), MockModel(), **options)


def test_shares_of_unrelated_samples_have_wilsons_interval():
    results = results_of([1.0] * 7 + [0.0] * 3)
    assert results.metric() == wilson(7, 10)
    assert results_of([1.0] * 10).metric() == wilson(10, 10)


def test_other_numbers_are_bootstrapped():
    values = list(np.random.default_rng(0).normal(size=20))
    found = results_of(values, metric="gain").metric()
    assert found.value == pytest.approx(np.mean(values))
    expected = bootstrap(np.array(values), generator=np.random.default_rng(0))
    assert found.interval == pytest.approx(expected.interval, abs=0.05)


def test_few_unrelated_numbers_have_students_interval():
    values = [0.5, 0.75, 0.25]
    assert results_of(values).metric().interval == pytest.approx(mean(values).interval)


def test_clusters_widen_the_interval():
    values, clusters = [1.0] * 10 + [0.0] * 10, [str(place // 5) for place in range(20)]
    alone, together = results_of(values).metric(), results_of(values, clusters).metric()
    assert alone.value == together.value == 0.5
    assert together.high - together.low > 1.5 * (alone.high - alone.low)
    assert results_of(values, ["one"] * 20).metric().interval == (0.0, 1.0)


def test_few_clusters_have_the_clustered_standard_error():
    values, clusters = [1.0, 0.5, 0.0, 0.25, 0.75, 1.0, 0.0], list("aabbbcc")
    found = results_of(values, clusters).metric()
    gaps = np.array(values) - np.mean(values)
    sums = [gaps[[place for place, each in enumerate(clusters) if each == name]].sum() for name in "abc"]
    error = np.sqrt(3 / 2 * np.sum(np.square(sums))) / len(values)
    assert found.value == pytest.approx(np.mean(values))
    assert (found.high - found.low) / 2 == pytest.approx(4.302653 * error, rel=1e-6)


def test_clusters_that_agree_altogether_are_not_certain():
    found = results_of([1.0] * 30, [str(place // 5) for place in range(30)]).metric()
    assert found == wilson(6, 6)


@pytest.mark.parametrize("clusters", [12, 40])
def test_clustered_intervals_hold_the_truth_as_often_as_they_say(clusters):
    held, rounds = 0, 120
    generator = np.random.default_rng(clusters)
    for _ in range(rounds):
        rates = generator.beta(2, 2, size=clusters)
        values = [float(generator.random() < rate) for rate in rates for _ in range(5)]
        names = [str(place // 5) for place in range(len(values))]
        found = interval_of_mean(values, names, generator=generator)
        held += found.low <= 0.5 <= found.high
    assert 0.88 <= held / rounds <= 1.0


def test_a_share_of_few_clusters_stays_between_none_and_all():
    found = interval_of_mean([1.0, 1.0, 0.0], ["a", "a", "b"], generator=np.random.default_rng(0))
    assert (found.low, found.high) == (0.0, 1.0)
    nats = interval_of_mean([1.0, 1.0, 0.5], ["a", "a", "b"], generator=np.random.default_rng(0))
    assert nats.high > 1


def test_epochs_are_averaged_before_the_interval():
    class Changes(Match):
        def __call__(self, samples, outputs, models):
            return [Mark({"accuracy": float(output.text == "A")}) for output in outputs]

    results = evaluate(small_task(30, scorer=Changes()), MockModel(), epochs=4)
    by_sample = np.array(list(results.values().values())).reshape(30, 4).mean(axis=1)
    found = results.metric()
    assert found.value == pytest.approx(by_sample.mean())
    expected = bootstrap(by_sample, generator=np.random.default_rng(0))
    assert found.interval == pytest.approx(expected.interval, abs=0.03)


def test_a_failed_sample_stays_in_the_denominator():
    results = results_of([1.0, 1.0, 0.0, None, None])
    assert results.counts == {"planned": 5, "scored": 3, "refused": 0, "failed": 2, "unasked": 0}
    assert not results.complete
    assert results.metric() == wilson(2, 5)
    assert results.metric(missing=1.0) == wilson(4, 5)
    assert results.metric(missing=None) == wilson(2, 3)
    assert results.bounds() == (2 / 5, 4 / 5)
    assert results.summary()["metrics"]["accuracy"]["bounds"] == [2 / 5, 4 / 5]


def test_what_a_failed_sample_counts_as_must_be_said_where_zero_is_no_failure():
    results = results_of([3.0, -1.0, None], metric="gain")
    with pytest.raises(DataError, match="missing=NUMBER"):
        results.metric()
    assert results.metric(missing=None).value == 1.0
    assert results.metric(missing=-2.0).value == 0.0
    with pytest.raises(DataError, match="outside of 0 to 1"):
        results.bounds()
    assert results.bounds(low=-4.0, high=4.0) == pytest.approx((-2 / 3, 2.0))
    assert results.summary()["metrics"]["gain"]["value"] == 1.0


@pytest.mark.parametrize("name", ["chance", "mass"])
def test_what_says_something_of_the_question_leaves_failed_samples_out(name):
    found = results_of([0.25, 0.25, None], metric=name).summary()["metrics"][name]
    assert found["value"] == 0.25
    assert "bounds" not in found


def test_a_metric_of_some_samples_is_of_those_alone():
    results = results_of([{"accuracy": 1.0, "bias": 1.0}, {"accuracy": 0.0}, None])
    assert results.metric("bias").value == 1.0
    assert results.metric().value == pytest.approx(1 / 3)
    assert results.metrics == ["accuracy", "bias"]
    with pytest.raises(UsageError, match="No sample has the metric 'biass'; there are: accuracy, bias"):
        results.metric("biass")


def test_groups_by_metadata():
    results = evaluate(small_task(20), MockModel("A"))
    groups = results.by("kind")
    assert list(groups) == ["even", "odd"]
    assert groups["odd"] == wilson(5, 10)
    assert groups["even"] == wilson(0, 10)
    with pytest.raises(UsageError, match="No sample has the metadata 'colour'; there are: kind"):
        results.by("colour")
    assert results.metric(by="kind").high - results.metric(by="kind").low > 0.9


def test_results_do_not_depend_on_the_order_in_which_samples_finished(tmp_path):
    results = evaluate(small_task(20), MockModel(), out=tmp_path)
    lines = (tmp_path / "samples.jsonl").read_text().splitlines()
    (tmp_path / "samples.jsonl").write_text("".join(line + "\n" for line in reversed(lines)))
    assert Results.load(tmp_path).records == results.records


def test_what_is_no_evaluation_is_told(tmp_path):
    with pytest.raises(DataError, match="holds no evaluation"):
        Results.load(tmp_path)
    evaluate(small_task(3), MockModel(), out=tmp_path)
    (tmp_path / "samples.jsonl").write_text('{"id": "a"}\n')
    with pytest.raises(DataError, match="no finished sample"):
        Results.load(tmp_path)
    (tmp_path / "evaluation.json").write_text("{}")
    with pytest.raises(DataError, match="format 1"):
        Results.load(tmp_path)


class Page(HTMLParser):
    """Elements and texts of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.texts = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += attributes

    def handle_data(self, data):
        self.texts.append(data)


HOSTILE = [
    '<img src="http://127.0.0.1/x" onerror=alert(1)>',
    "</pre></style><script>alert(1)</script>",
    "\" onclick='x' <a href='javascript:alert(1)'>",
    "\ud800 {{ 7 * 7 }} &lt;",
]


def test_a_page_shows_hostile_text_as_text_and_asks_nobody(tmp_path):
    class Echo(Ask):
        def __call__(self, samples, models, seeds):
            return [
                Output(prompt=sample.input, text=sample.input, refused=True, extra={sample.input: sample.input})
                if place != 1
                else Output(error=sample.input)
                for place, sample in enumerate(samples)
            ]

    samples = [
        Sample(f"{place} {text}", text, 0, (text, "b"), {text: text}, cluster=text)
        for place, text in enumerate(HOSTILE)
    ]
    results = evaluate(
        small_task(dataset=samples, solver=Echo(), name=HOSTILE[0]), MockModel(HOSTILE[1], name=HOSTILE[2])
    )
    path = results.page(tmp_path / "page.html")
    text = path.read_text()
    page = Page(text)
    assert not {"script", "img", "a", "link", "iframe", "object"} & set(page.tags)
    assert not [name for name, _ in page.attributes if name.startswith("on") or name in ("src", "href", "style")]
    for hostile in HOSTILE[:3]:
        assert sum(hostile in each for each in page.texts) >= 3
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', text).group(1)
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy
    with pytest.raises(UsageError, match="in memory only"):
        results.page()


def test_the_policy_of_a_page_allows_its_own_style(tmp_path):
    import base64
    import hashlib

    text = evaluate(small_task(3), MockModel(right), out=tmp_path).page().read_text()
    style = re.search(r"<style>(.*?)</style>", text, re.DOTALL).group(1)
    assert f"'sha256-{base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()}'" in text
    assert (tmp_path / "samples.html").exists()
    assert text.count('class="sample right"') == 3


def test_a_long_page_says_what_it_leaves_out(tmp_path):
    from windtunnel.evaluation.pages import render

    text = render(evaluate(small_task(7), MockModel(right)), most=5)
    assert text.count('class="sample ') == 5
    assert "The first 5 of 7" in text
