"""What P(True) and P(IK) are compared with: losses, entropies, and asking in words (Appendix B and Section 5.1).

All are scores of confidence: larger where the model should be surer, so that `statistics.auroc` reads them alike.
"""

from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from windtunnel.evaluation.self_knowledge.formats import WORDS, confidence_prompt
from windtunnel.laboratory.errors import DataError
from windtunnel.statistics.intervals import Floats

if TYPE_CHECKING:
    from windtunnel.models.interface import LanguageModel


def mean_token_logprob(logprobs: ArrayLike, lengths: ArrayLike) -> Floats:
    """Log-probability per token of each answer, in nats: minus the mean-token loss of the greedy sample.

    Raises:
        DataError: An answer has no tokens.
    """
    sums, counts = np.asarray(logprobs, dtype=np.float64), np.asarray(lengths, dtype=np.float64)
    if not (counts > 0).all():
        raise DataError("An answer without tokens has no loss per token; leave it out, or count its end as a token.")
    return np.asarray(sums / counts)


def predictive_entropy(logprobs: ArrayLike) -> Floats:
    """Entropy of the answer given the question, H = −(1/N) Σ ln P(aᵢ|Q), from samples [question, sample], in nats.

    Log-probabilities are of whole answers, summed over their tokens, sampled at temperature 1.
    """
    return np.asarray(-np.asarray(logprobs, dtype=np.float64).mean(axis=-1))


def classes_of(answers: Sequence[str], same: Callable[[str, str], bool]) -> list[int]:
    """Numbers of equivalence classes: each answer joins the first class whose first member it is the same as.

    Args:
        answers: Sampled answers of one question.
        same: Whether two mean the same; ask a judge here where text alone does not say.
    """
    first: list[str] = []
    numbers = []
    for answer in answers:
        number = next((index for index, known in enumerate(first) if same(known, answer)), len(first))
        if number == len(first):
            first.append(answer)
        numbers.append(number)
    return numbers


def semantic_entropy(classes: Sequence[Sequence[Hashable]], logprobs: ArrayLike | None = None) -> Floats:
    """Entropy over equivalence classes of sampled answers, −Σ p_c ln p_c, in nats (Farquhar et al., 2024).

    Args:
        classes: The class of each sample of each question.
        logprobs: Log-probability of each whole answer: a class weighs the sum of its answers' probabilities, so give
            equal answers once. None: it weighs its share of the samples (the discrete variant).
    """
    found = []
    weights = None if logprobs is None else np.asarray(logprobs, dtype=np.float64)
    for place, kinds in enumerate(classes):
        number = {kind: index for index, kind in enumerate(dict.fromkeys(kinds))}
        member = np.array([number[kind] for kind in kinds])
        weight = np.ones(len(member)) if weights is None else np.exp(weights[place] - weights[place].max())
        share = np.bincount(member, weights=weight) / weight.sum()
        found.append(-(share[share > 0] * np.log(share[share > 0])).sum() + 0.0)
    return np.array(found)


def stuffed_logprob(
    model: "LanguageModel", prompts: Sequence[str], answers: Sequence[Sequence[str]], *, batch_size: int = 8
) -> Floats:
    """Mean log-probability per token of many answers of one question in one context (Appendix B).

    After some answers the model expects more of the same: a small loss says that they agree.

    Raises:
        UsageError: They do not fit the model's context.
    """
    texts = ["".join(f" {answer}\n" for answer in each) for each in answers]
    scores = model.score(list(prompts), texts, batch_size=batch_size)
    return np.array([score.logprob / max(len(score.token_logprobs), 1) for score in scores])


def verbalised_confidence(model: "LanguageModel", questions: Sequence[str], *, batch_size: int = 16) -> Floats:
    """Confidence that the model states in words: the mean of the levels 0 %, 10 %, ... by their probability.

    The levels compete as continuations of one prompt, renormalised among themselves.
    """
    levels = [f" {level}" for level in WORDS["levels"]]
    prompts = [confidence_prompt(question) for question in questions for _ in levels]
    scores = model.score(prompts, levels * len(questions), batch_size=batch_size)
    logprobs = np.array([score.logprob for score in scores]).reshape(len(questions), len(levels))
    weights = np.exp(logprobs - logprobs.max(axis=1, keepdims=True))
    values = np.array([float(level.rstrip("%")) / 100 for level in WORDS["levels"]])
    return np.asarray((weights * values).sum(axis=1) / weights.sum(axis=1))
