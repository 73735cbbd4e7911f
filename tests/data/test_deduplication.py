"""Planted duplicates are found, and nothing else."""

import random
import sys

import pytest

from windtunnel.data.deduplication import deduplicate
from windtunnel.laboratory.errors import UsageError


def texts(count, length=120, seed=0):
    chance = random.Random(seed)
    words = [f"w{number}" for number in range(3_000)]
    return [" ".join(chance.choices(words, k=length)) for _ in range(count)]


def edited(text, share, chance):
    words = text.split()
    for place in chance.sample(range(len(words)), round(share * len(words))):
        words[place] = "changed"
    return " ".join(words)


def test_unrelated_documents_are_left_alone():
    pytest.importorskip("datasketch")
    found = deduplicate(texts(200))
    assert found.exact == found.near == 0
    assert found.kept == list(range(200))
    assert found.histogram == {1: 200}


def test_exact_duplicates_are_found_whatever_their_case_and_space():
    corpus = ["One wind tunnel.", "Another.", "one  WIND\ntunnel.", "Another.", "Another."]
    found = deduplicate(corpus, near=False)
    assert (found.exact, found.near) == (3, 0)
    assert found.clusters == [[1, 3, 4], [0, 2]]
    assert found.kept == [0, 1]
    assert found.histogram == {2: 1, 3: 1}


def test_planted_near_duplicates_are_found_in_their_clusters():
    pytest.importorskip("datasketch")
    chance = random.Random(1)
    base = texts(60, 200)
    # one word of 200 changed alters 5 of 196 runs: Jaccard similarity 191 / 201 = 0.95
    corpus = [*base, *(edited(text, 0.005, chance) for text in base[:20]), edited(base[0], 0.005, chance), base[1]]
    found = deduplicate(corpus)
    assert found.near == 21
    assert found.exact == 1
    assert found.clusters[:2] == [[0, 60, 80], [1, 61, 81]]
    assert found.clusters[2:] == [[place, 60 + place] for place in range(2, 20)]
    assert found.histogram == {1: 40, 2: 18, 3: 2}
    assert found.kept == list(range(60))
    report = found.report()
    assert report["kept"] == 60
    assert 0 < report["kept_share_of_characters"] < 1
    assert sum(int(size) * count for size, count in report["histogram"].items()) == report["documents"] == 82


def test_what_is_alike_but_not_enough_stays():
    pytest.importorskip("datasketch")
    chance = random.Random(2)
    base = texts(30, 200)
    # 16 words changed alter about 75 of 196 runs: similarity about 0.45
    found = deduplicate([*base, *(edited(text, 0.08, chance) for text in base)])
    assert found.near == 0
    assert deduplicate([*base, *(edited(text, 0.08, chance) for text in base)], threshold=0.3).near > 25


def test_clusters_are_joined_by_chains():
    pytest.importorskip("datasketch")
    words = texts(1, 400)[0].split()
    steps = [" ".join([*(f"new{place}" for place in range(cut)), *words[cut:]]) for cut in (0, 30, 60, 90)]
    found = deduplicate(steps)
    assert found.clusters == [[0, 1, 2, 3]]


def test_a_missing_library_and_bad_values_are_one_sentence(monkeypatch):
    with pytest.raises(UsageError, match="threshold"):
        deduplicate(["a"], threshold=1.5)
    monkeypatch.setitem(sys.modules, "datasketch", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UsageError, match="datasketch"):
        deduplicate(["a"])
    assert deduplicate(["a", "a"], near=False).exact == 1
