"""Laws that others published, by name, with where they stand and what to beware of.

Constants of a law are no better than the runs behind them: another tokenizer moves the loss, another count of
parameters the exponents. Each entry says what it counts and over which range it was fitted.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from windtunnel.laboratory.errors import UsageError
from windtunnel.laboratory.study import nearest
from windtunnel.scaling.laws.chinchilla import Chinchilla
from windtunnel.scaling.laws.deployment import DownstreamError, OverTraining
from windtunnel.scaling.laws.hyperparameters import BatchSize, LearningRate
from windtunnel.scaling.laws.interface import Law
from windtunnel.scaling.laws.kaplan import (
    PF_DAY,
    CriticalBatch,
    LossOfFlops,
    LossOfMinimumFlops,
    LossOfParameters,
    LossOfParametersAndSteps,
    LossOfParametersAndTokens,
    LossOfTokens,
)
from windtunnel.scaling.laws.repetition import DataConstrained


@dataclass(frozen=True)
class Published:
    """A law as it was published.

    Attributes:
        name: By which it is asked for.
        law: With the published constants.
        source: Paper, and place in it.
        counts: Which parameters it counts: `total`, `non-embedding`, or `none`.
        caveat: What a user should know.
        fitted: By variable, the smallest and largest value among the runs it was fitted to, where known.
        standard_errors: Published ones by symbol; without the correlations they give no interval of a plan.
    """

    name: str
    law: Law
    source: str
    counts: str
    caveat: str
    fitted: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    standard_errors: Mapping[str, float] = field(default_factory=dict)

    def extrapolations(self, **values: float) -> list[str]:
        """A sentence for each value that lies outside the range of the runs behind the law."""
        found = []
        for variable, value in values.items():
            low, high = self.fitted.get(variable, (0.0, np.inf))
            if not low <= value <= high:
                far = f"{value / high:.3g} times above" if value > high else f"{low / value:.3g} times below"
                found.append(f"{value:.3g} {variable} lie {far} what {self.name} was fitted to.")
        return found

    def report(self) -> dict[str, Any]:
        """All of it, ready for JSON."""
        return {
            "name": self.name,
            "law": self.law.name,
            "parameters": {symbol: float(value) for symbol, value in self.law.parameters.items()},
            "units": self.law.units(),
            "source": self.source,
            "counts": self.counts,
            "caveat": self.caveat,
            "fitted": {variable: list(ends) for variable, ends in self.fitted.items()},
            "standard_errors": dict(self.standard_errors),
        }


HOFFMANN = "Hoffmann et al. (2022; arXiv:2203.15556)"
KAPLAN = "Kaplan et al. (2020; arXiv:2001.08361)"
CHINCHILLA_RUNS = {"parameters": (4.4e7, 1.62e10)}
KAPLAN_RUNS = {"parameters": (768.0, 1.5e9), "tokens": (2.2e7, 2.3e10)}
GADRE = "Gadre et al. (2024; arXiv:2403.08540)"
GADRE_RUNS = {"flops": (1.34e16, 2.04e19), "tokens_per_parameter": (20.0, 320.0)}
GADRE_LOSS = "Loss on C4, per token of GPT-NeoX's tokenizer, whatever was trained on; five runs of four sizes."
GADRE_ERROR = "Mean error of the 17 tasks on which their models beat chance, over the loss on C4; six models."
SCALES = "The scale constants depend on the vocabulary and have no meaning of their own; compare predictions."

_TABLE = (
    Published(
        "besiroglu-2024",
        Chinchilla(1.8172, 482.01, 2085.43, 0.3478, 0.3658),
        "Besiroglu et al. (2024; arXiv:2404.10102), from 240 points read off a figure of Hoffmann et al.",
        "total",
        "A refit of Hoffmann et al.'s own runs; their loss is per token of their tokenizer. a = 0.513 ± 0.018.",
        CHINCHILLA_RUNS,
        {"E": 0.03, "A": 124.6, "B": 1293.0, "alpha": 0.02, "beta": 0.02},
    ),
    Published(
        "hoffmann-2022",
        Chinchilla(1.69, 406.4, 410.7, 0.34, 0.28),
        f"{HOFFMANN}, approach 3, as printed",
        "total",
        "Rounding beta to 0.28 alone moves the best size at Chinchilla's budget by a fifth, and the fit itself ended "
        "early, since its loss was averaged (Besiroglu et al., 2024); use besiroglu-2024.",
        CHINCHILLA_RUNS,
    ),
    Published(
        "hoffmann-2022-tex",
        Chinchilla(1.6934, 406.4, 410.7, 0.3392, 0.2849),
        f"{HOFFMANN}, approach 3, with the digits of its TeX source",
        "total",
        "Unrounded, but the fit ended early, since its loss was averaged (Besiroglu et al., 2024); use besiroglu-2024.",
        CHINCHILLA_RUNS,
    ),
    Published(
        "muennighoff-2023",
        DataConstrained(
            np.exp(0.6254804), np.exp(6.255414), np.exp(7.3049974), 0.3526596, 0.3526596, 15.387756, 5.309743
        ),
        "Muennighoff et al. (2023; arXiv:2305.16264), equations 16 to 20",
        "total",
        "C4; both exponents were tied to be equal. Runs in which more epochs or parameters did harm were left out.",
        {"parameters": (7e6, 9e9), "tokens": (0.0, 9e11)},
    ),
    Published(
        "kaplan-2020-parameters",
        LossOfParameters(8.8e13, 0.076),
        f"{KAPLAN}, equation 1.1 and Table 5",
        "non-embedding",
        SCALES,
        {"parameters": KAPLAN_RUNS["parameters"]},
    ),
    Published(
        "kaplan-2020-tokens",
        LossOfTokens(5.4e13, 0.095),
        f"{KAPLAN}, equation 1.2 and Table 5",
        "none",
        SCALES,
        {"tokens": KAPLAN_RUNS["tokens"]},
    ),
    Published(
        "kaplan-2020-flops",
        LossOfFlops(1.6e7 * PF_DAY, 0.057),
        f"{KAPLAN}, Table 5",
        "non-embedding",
        "At a fixed batch of 2^19 tokens; FLOPs are 6 N B S without the unembedding.",
    ),
    Published(
        "kaplan-2020-minimum-flops",
        LossOfMinimumFlops(3.1e8 * PF_DAY, 0.050),
        f"{KAPLAN}, equation 1.3 and Table 5",
        "non-embedding",
        "The legend of Figure 1 prints 2.3e8 PF-days instead of 3.1e8. FLOPs are 6 N B S without the unembedding.",
    ),
    Published(
        "kaplan-2020-parameters-tokens",
        LossOfParametersAndTokens(6.4e13, 0.076, 1.8e13, 0.103),
        f"{KAPLAN}, equation 1.5 and Table 2",
        "non-embedding",
        "Its constants differ from those of the laws of one variable; do not mix them.",
        KAPLAN_RUNS,
    ),
    Published(
        "kaplan-2020-parameters-steps",
        LossOfParametersAndSteps(6.5e13, 0.077, 2.1e3, 0.76),
        f"{KAPLAN}, equation 1.6 and Table 3",
        "non-embedding",
        "After warm-up, in steps corrected to a huge batch. Behind the exponent 0.73, which has not held up: no "
        "irreducible loss, no unembedding in the FLOPs, one long warm-up for all sizes.",
        {"parameters": KAPLAN_RUNS["parameters"]},
    ),
    Published(
        "kaplan-2020-critical-batch",
        CriticalBatch(2.1e8, 0.21),
        f"{KAPLAN}, equation 1.4 and Table 5",
        "none",
        "Of WebText2 and its tokenizer; batches at another loss per token follow another curve.",
    ),
    Published(
        "porian-2024-batch-size",
        BatchSize(0.00037 * 2048, 0.703, 0.0),
        "Porian et al. (2024; arXiv:2406.19146)",
        "total",
        "For compute-optimal runs, in which size decides the tokens; published in sequences of 2048 tokens.",
    ),
    Published(
        "porian-2024-learning-rate",
        LearningRate(3.7, -0.36, 0.0),
        "Porian et al. (2024; arXiv:2406.19146)",
        "total",
        "For compute-optimal runs; needs beta_2 of 0.99 or more at batches of 128 sequences or fewer.",
    ),
    Published(
        "deepseek-2024-batch-size",
        BatchSize(0.292 * 6**0.3271, 0.3271, 0.3271),
        "Bi et al. (2024; arXiv:2401.02954), section 3.1",
        "non-embedding",
        "Published for FLOPs, C = M D with M FLOPs per token of everything but the embeddings; read here with M = 6 N.",
    ),
    Published(
        "deepseek-2024-learning-rate",
        LearningRate(0.3118 * 6**-0.125, -0.125, -0.125),
        "Bi et al. (2024; arXiv:2401.02954), section 3.1",
        "non-embedding",
        "As deepseek-2024-batch-size.",
    ),
    Published(
        "step-law-2025-batch-size",
        BatchSize(0.58, 0.0, 0.571),
        'Li et al. (2025; arXiv:2503.04715), the "Step Law"',
        "non-embedding",
        "Losses change little within a factor of two of the best batch.",
        {"tokens": (0.0, 1e11)},
    ),
    Published(
        "step-law-2025-learning-rate",
        LearningRate(1.79, -0.713, 0.307),
        'Li et al. (2025; arXiv:2503.04715), the "Step Law"',
        "non-embedding",
        "For a schedule that ends at 1e-5, not at a share of the peak.",
        {"parameters": (0.0, 1e9), "tokens": (0.0, 1e11)},
    ),
    *(
        Published(
            f"gadre-2024-{data}",
            OverTraining(*loss),
            f"{GADRE}, equation 4, {text}: a refit of the runs they publish",
            "total",
            GADRE_LOSS,
            GADRE_RUNS,
        )
        for data, text, loss in (
            ("c4", "C4", (1.50826, 141.277, 189.516, 0.121236)),
            ("redpajama", "RedPajama", (1.83665, 212.236, 366.687, 0.136425)),
            ("refinedweb", "RefinedWeb", (1.73446, 157.116, 246.207, 0.127197)),
        )
    ),
    *(
        Published(
            f"gadre-2024-{data}-error",
            DownstreamError(*error),
            f"{GADRE}, equation 5, {text}: a refit of the runs they publish",
            "none",
            GADRE_ERROR,
            {"loss": range_of},
        )
        for data, text, error, range_of in (
            ("c4", "C4", (0.849742, 2.07891, 0.756121), (2.66, 5.22)),
            ("redpajama", "RedPajama", (0.856992, 2.20649, 0.714591), (2.77, 5.39)),
            ("refinedweb", "RefinedWeb", (0.865280, 2.21481, 0.707049), (2.76, 5.27)),
        )
    ),
)
PUBLISHED = {item.name: item for item in _TABLE}
"""Published laws by name."""


def find_published(name: str) -> Published:
    """The published law of that name.

    Raises:
        UsageError: There is none.
    """
    if name not in PUBLISHED:
        raise UsageError(f"No published law is named {name!r}; {nearest(name, list(PUBLISHED))}")
    return PUBLISHED[name]
