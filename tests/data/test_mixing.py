from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from windtunnel.data.finite import FiniteRows
from windtunnel.data.mixing import GPT3_MIX, GPT3_TOKENS, Mix, apportion
from windtunnel.data.worlds.entropy import Unigram
from windtunnel.data.worlds.episodes import Episodes
from windtunnel.laboratory.errors import UsageError


def finite(first, count, vocabulary=100):
    return FiniteRows(torch.arange(first, first + count)[:, None].expand(-1, 4).contiguous(), vocabulary, seed=first)


def mix(**options):
    return Mix({"a": finite(0, 60), "b": finite(60, 7)}, {"a": 3, "b": 1}, seed=1, period=20, **options)


def test_shares_come_out_exactly_and_nothing_is_drawn_twice_in_an_epoch():
    source = mix()
    tokens = source.rows(0, 80)["tokens"][:, 0]
    assert source.shares == {"a": 0.75, "b": 0.25}
    for start in range(0, 80, 20):
        assert int((tokens[start : start + 20] < 60).sum()) == 15
    from_a, from_b = tokens[tokens < 60], tokens[tokens >= 60]
    assert sorted(from_a.tolist()) == list(range(60))
    for start in (0, 7):
        assert sorted(from_b[start : start + 7].tolist()) == list(range(60, 67))
    assert source.epochs(80) == {"a": 1.0, "b": pytest.approx(20 / 7)}


def test_rows_are_a_function_of_their_number():
    whole = mix().rows(0, 90)["tokens"]
    pieces = mix()
    back = {start: pieces.rows(start, 15)["tokens"] for start in (75, 0, 45, 60, 15, 30)}
    assert torch.equal(whole, torch.cat([back[start] for start in sorted(back)]))
    assert not torch.equal(
        whole, Mix({"a": finite(0, 60), "b": finite(60, 7)}, {"a": 3, "b": 1}, seed=2, period=20).rows(0, 90)["tokens"]
    )


def test_what_some_rows_say_is_filled_in_for_others():
    episodes = Episodes(3, 4, "shifts", 0)
    plain = Unigram(torch.ones(episodes.vocabulary), episodes.context, 0)
    source = Mix({"episodes": episodes, "plain": plain}, {"episodes": 1, "plain": 1}, seed=0, period=4)
    rows = source.rows(0, 8)
    counted = rows["mask"].sum(dim=1).tolist()
    assert Counter(counted) == {4: 4, episodes.context + 1: 4}
    assert source.epochs(10) == {"episodes": None, "plain": None}


@given(st.lists(st.floats(0.01, 100), min_size=1, max_size=8), st.integers(1, 500))
def test_seats_are_whole_and_near_their_share(weights, seats):
    counts = apportion(weights, seats)
    assert sum(counts) == seats
    assert all(abs(count - weight / sum(weights) * seats) < 1 for count, weight in zip(counts, weights, strict=True))


def test_the_mix_of_the_paper_and_its_oddities():
    computed = {each.name: each.computed_epochs(GPT3_TOKENS) for each in GPT3_MIX}
    assert computed["Common Crawl (filtered)"] == pytest.approx(0.44, abs=0.005)
    assert computed["Books2"] == pytest.approx(0.436, abs=0.001)
    assert computed["WebText2"] == pytest.approx(3.474, abs=0.001)
    assert computed["Wikipedia"] == pytest.approx(3.0)
    assert sum(each.weight for each in GPT3_MIX) == pytest.approx(1.01)


def test_a_mix_that_cannot_be_is_explained():
    one, other = finite(0, 5), finite(0, 5, vocabulary=50)
    for sources, weights, said in (
        ({"a": one}, {"b": 1}, "name the same"),
        ({}, {}, "name the same"),
        ({"a": one, "b": other}, {"a": 1, "b": 1}, "one vocabulary"),
        ({"a": one, "b": one}, {"a": 1, "b": 0}, "above 0"),
        ({"a": one, "b": one}, {"a": 1, "b": 1e-6}, "no row in 1000"),
    ):
        with pytest.raises(UsageError, match=said):
            Mix(sources, weights, 0)
    with pytest.raises(UsageError, match="Row -1"):
        mix().places(-1, 1)
