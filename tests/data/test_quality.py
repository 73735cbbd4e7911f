import numpy as np
import pytest

from windtunnel.data.quality import ALPHA, BATCH, QualityFilter, keep_probability, pareto_keep
from windtunnel.laboratory.errors import DataError, UsageError

GOOD = ["the", "essay", "considers", "the", "history", "of", "the", "river", "and", "its", "bridges"]
BAD = ["click", "here", "free", "login", "cookie", "banner", "subscribe", "now", "share", "menu"]


def documents(words, count, seed):
    draw = np.random.default_rng(seed)
    return [" ".join(draw.choice(words, 30)) for _ in range(count)]


def test_the_filter_tells_what_it_learned():
    crawl = documents(BAD, 80, 1) + documents(GOOD, 20, 2)
    found = QualityFilter.fit(documents(GOOD, 100, 0), crawl, features=2**12)
    good, bad = found.score(documents(GOOD, 50, 3)), found.score(documents(BAD, 50, 4))
    assert good.min() > bad.max()
    assert found.score(["The ESSAY"])[0] == found.score(["the essay"])[0]
    assert 0 < found.score([""])[0] < 1


def test_a_stream_is_kept_document_by_document():
    found = QualityFilter.fit(documents(GOOD, 100, 0), documents(BAD, 100, 1), features=2**12)
    crawl = documents(GOOD, BATCH, 3) + documents(BAD, BATCH, 4)
    kept = list(found.keep(iter(crawl), np.random.default_rng(0)))
    expected = pareto_keep(found.score(crawl), np.random.default_rng(0))
    assert kept == [text for text, one in zip(crawl, expected, strict=True) if one]
    assert np.mean([text in set(kept) for text in crawl[:BATCH]]) > 3 * np.mean(
        [text in set(kept) for text in crawl[BATCH:]]
    )


@pytest.mark.parametrize("score", [0.0, 0.5, 0.9, 1.0])
def test_the_rule_keeps_with_the_probability_of_its_closed_form(score):
    trials = 100_000
    kept = pareto_keep(np.full(trials, score), np.random.default_rng(1))
    expected = float(keep_probability(score))
    assert kept.mean() == pytest.approx(expected, abs=4 * (expected * (1 - expected) / trials) ** 0.5 + 1e-9)
    assert expected == pytest.approx((2 - score) ** -ALPHA)


def test_what_cannot_be_filtered_is_explained():
    with pytest.raises(DataError, match="some of both"):
        QualityFilter.fit([], ["text"])
    for scores, alpha in (([1.5], 9), ([float("nan")], 9), ([0.5], 0)):
        with pytest.raises(UsageError, match="probabilities"):
            pareto_keep(scores, np.random.default_rng(0), alpha)
