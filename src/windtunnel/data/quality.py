"""Which documents of a crawl are worth learning from (Brown et al., 2020, Appendix A).

A logistic regression over hashed words tells documents that are known to be good from those of the crawl, and a
document is kept if a draw from a Pareto distribution is above 1 − its score: nearly all that look good, and a few of
the others. The paper's tokenizer and features are Spark's (`Tokenizer`, `HashingTF`: small letters, white space, counts
of hashed words); these are scikit-learn's of the same kind.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from windtunnel.laboratory.errors import DataError, UsageError

ALPHA = 9.0
"""Of the Pareto distribution, as in the paper, chosen there to match the scores of the good documents."""

BATCH = 256
"""Documents scored together."""


@dataclass(frozen=True)
class QualityFilter:
    """A classifier of documents.

    Attributes:
        weights: Of each hashed word.
        intercept: Of the logistic regression.
    """

    weights: NDArray[np.float64]
    intercept: float

    @classmethod
    def fit(
        cls, good: Iterable[str], crawled: Iterable[str], *, features: int = 2**18, penalty: float = 1.0
    ) -> "QualityFilter":
        """Learn to tell good documents from crawled ones.

        Args:
            good: Curated documents: the positive examples.
            crawled: Documents as they come: the negative ones, some of which are good as well.
            features: Different hashes of words.
            penalty: Inverse strength of the L2 penalty, scikit-learn's C.

        Raises:
            DataError: Either has no document.
        """
        from scipy.sparse import vstack
        from sklearn.linear_model import LogisticRegression

        hashed = [_hashed(texts, features) for texts in (good, crawled)]
        if any(part.shape[0] == 0 for part in hashed):
            raise DataError("A quality filter learns from good documents and from crawled ones; give some of both.")
        labels = np.repeat([1, 0], [part.shape[0] for part in hashed])
        model = LogisticRegression(C=penalty, max_iter=1_000).fit(vstack(hashed), labels)
        return cls(np.asarray(model.coef_[0], np.float64), float(model.intercept_[0]))

    def score(self, texts: Iterable[str]) -> NDArray[np.float64]:
        """The probability that each document is a good one."""
        raw = _hashed(texts, len(self.weights)) @ self.weights + self.intercept
        return np.asarray(1 / (1 + np.exp(-np.clip(raw, -700, 700))))

    def keep(self, texts: Iterable[str], generator: np.random.Generator, alpha: float = ALPHA) -> Iterator[str]:
        """The documents that are kept, in order, from a stream of any length.

        Args:
            texts: The crawl.
            generator: Of the draws; one per document, so that the choice does not depend on how many are scored at a
                time.
            alpha: Of the Pareto distribution.
        """
        iterator = iter(texts)
        while batch := list(islice(iterator, BATCH)):
            kept = pareto_keep(self.score(batch), generator, alpha)
            yield from (text for text, one in zip(batch, kept, strict=True) if one)


def pareto_keep(scores: ArrayLike, generator: np.random.Generator, alpha: float = ALPHA) -> NDArray[np.bool_]:
    """Which documents are kept: `np.random.pareto(alpha) > 1 - score` (Appendix A), with a generator of one's own.

    Raises:
        UsageError: A score is not between 0 and 1, or alpha is not positive.
    """
    values = np.asarray(scores, dtype=np.float64)
    if alpha <= 0 or not ((values >= 0) & (values <= 1)).all():
        raise UsageError(f"Scores are probabilities and alpha is above 0; got alpha {alpha:g} and scores {values}.")
    return np.asarray(generator.pareto(alpha, size=values.shape) > 1 - values)


def keep_probability(scores: ArrayLike, alpha: float = ALPHA) -> NDArray[np.float64]:
    """How probably a document is kept: (2 − score)^−alpha, from 2^−alpha of the worst to 1 of the best."""
    return np.asarray((2 - np.asarray(scores, dtype=np.float64)) ** -alpha)


def _hashed(texts: Iterable[str], features: int) -> Any:
    from scipy.sparse import csr_matrix
    from sklearn.feature_extraction.text import HashingVectorizer

    documents = list(texts)
    if not documents:
        return csr_matrix((0, features))
    vectorizer = HashingVectorizer(
        n_features=features, tokenizer=str.split, token_pattern=None, alternate_sign=False, norm="l2"
    )
    return vectorizer.transform(documents)
