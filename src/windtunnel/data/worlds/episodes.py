"""Episodes of tasks drawn from a class: what makes a small model learn to learn from its context.

A row is one episode of the game that few-shot prompts play: `name x₁ y₁ x₂ y₂ ... x_P y_P`, where y = f(x) for a
function f that is drawn anew for each episode, so that nothing but the examples before a question tells its answer.
The answer to question k + 1 is a k-shot answer, and a row has all of them from zero shots on. Some functions are fixed
for good and announced by a name of their own; these can be known by heart, without examples. What the best possible
answer is worth is known exactly.

Such streams teach in-context learning on purpose (Garg et al., 2022, arXiv:2208.01066; Chan et al., 2022,
arXiv:2205.05055; Kirsch et al., 2022, arXiv:2212.04458). In Brown et al. (2020, Section 1.1) it comes of natural text:
a model trained here is an organism for that effect and no evidence of how it arises in text.
"""

import itertools
from collections.abc import Sequence
from functools import cached_property
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray
from torch import Tensor

from windtunnel.data.sources import BlockSource, Rows, derived_seed
from windtunnel.laboratory.errors import UsageError

Part = Literal["all", "learned", "held-out"]
"""Which functions without a name occur."""

Family = Literal["permutations", "shifts", "affine"]
"""`permutations`: any one-to-one function of the symbols; `shifts`: x + b; `affine`: a x + b with a ≠ 0, both modulo
the number of symbols, which is a prime for `affine`."""


MOST_COUNTED = 7
"""Symbols up to which all classes of permutations are counted (720)."""


class Episodes(BlockSource):
    """Rows of episodes, whose mask counts the answers alone.

    Token ids: inputs from 0, answers from `symbols`, then the name of an unnamed function, then the others' names.

    Args:
        symbols: Different inputs, and different answers.
        pairs: Examples in a row; the last is a question after `pairs` − 1 shots.
        family: The class of functions.
        seed: Decides every row.
        named: Functions that are fixed for good and have names.
        named_share: Of the episodes are of named functions.
        language: Decides the fixed functions: shared by sources of one language.
        part: Of the functions without a name: `all` of the class; or the three quarters that are `learned`, and the
            quarter `held-out`, chosen at random for the language, so that what is asked after training was never seen.
        carried: False: each example is of another function of the class than all others, so that the context (and the
            name) tells nothing about the question: the null.

    Attributes:
        chance: Share of right answers of who knows nothing.

    Raises:
        UsageError: A value is out of range, or `affine` with a number of symbols that is no prime.
    """

    def __init__(
        self,
        symbols: int,
        pairs: int,
        family: Family,
        seed: int,
        *,
        named: int = 0,
        named_share: float = 0.0,
        language: int = 0,
        part: Part = "all",
        carried: bool = True,
    ) -> None:
        if symbols < 2 or pairs < 1 or named < 0 or not 0 <= named_share <= 1 or (named_share > 0 and not named):
            raise UsageError(
                f"Episodes of {pairs} pairs over {symbols} symbols with {named} named functions in a share of "
                f"{named_share:g} cannot be drawn; there are two symbols and one pair at least, and a share of named "
                "functions needs some."
            )
        if family == "affine" and any(symbols % divisor == 0 for divisor in range(2, symbols)):
            raise UsageError(f"Affine functions need a prime number of symbols, not {symbols}; use 7, 11 or 13.")
        if part != "all" and (family == "shifts" or symbols < 5):
            raise UsageError(f"There are too few {family} of {symbols} symbols to hold some out; use more symbols.")
        super().__init__(2 * symbols + 1 + named, 2 * pairs, seed)
        self.symbols, self.pairs, self.family = symbols, pairs, family
        self.named_share, self.carried = named_share, carried
        self._named = self._fixed(named, language, "named")
        self._part, self._language = part, language
        self.chance = 1 / symbols

    def draw(self, count: int, generator: torch.Generator) -> Int[Tensor, "row token"]:
        """Draw episodes."""
        symbols, pairs = self.symbols, self.pairs
        if self.carried:
            functions = self._functions_of_part(count, generator)
        is_named = torch.rand(count, generator=generator) < self.named_share
        which = torch.randint(max(len(self._named), 1), (count,), generator=generator)
        inputs = torch.randint(symbols, (count, pairs), generator=generator)
        if self.carried:
            if len(self._named):
                functions = torch.where(is_named[:, None], self._named[which], functions)
            answers = functions.gather(1, inputs)
        else:  # a uniform answer is the answer of a function of its own: every class takes all values equally often
            answers = torch.randint(symbols, (count, pairs), generator=generator)
        names = 2 * symbols + torch.where(is_named, 1 + which, 0)
        examples = torch.stack([inputs, symbols + answers], dim=2).flatten(1)
        return torch.cat([names[:, None], examples], dim=1)

    def rows(self, start: int, count: int) -> Rows:
        """Rows `start` to `start + count - 1`, with the mask of answers."""
        found = super().rows(start, count)
        mask = torch.zeros_like(found["tokens"], dtype=torch.bool)
        mask[:, 2::2] = True
        return {**found, "mask": mask}

    def best_accuracy(self) -> Float[Tensor, " shots"]:
        """Expected share of right answers after 0, 1, ... `pairs` − 1 shots, of the best possible answers.

        Of a function without a name: Bayes' rule over the whole class (which of it are held out is not known to who
        answers). Float64.
        """
        if not self.carried:
            raise UsageError("The best possible accuracy is known of examples of one function.")
        right, _ = self._best()
        return torch.from_numpy(right)

    def best_loss(self) -> Float[Tensor, " shots"]:
        """Expected loss of the best possible predictions after 0, 1, ... shots, in nats: the entropy of the answer."""
        if not self.carried:
            raise UsageError("The best possible loss is known of examples of one function.")
        _, loss = self._best()
        return torch.from_numpy(loss)

    def _best(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        symbols, shots = self.symbols, np.arange(self.pairs)
        if self.family == "shifts":  # one example tells all
            return np.where(shots > 0, 1.0, 1 / symbols), np.where(shots > 0, 0.0, np.log(symbols))
        distinct = distinct_draws(symbols, self.pairs)
        if self.family == "affine":  # two different examples tell all; after one, another input has p − 1 answers left
            alone = distinct[:, 1]
            right = alone * 2 / symbols + distinct[:, 2:].sum(axis=1)
            right[0] = 1 / symbols
            loss = alone * (1 - 1 / symbols) * np.log(symbols - 1)
            loss[0] = np.log(symbols)
            return right, loss
        # An input seen before has its answer; of d different ones seen, another has one of the other symbols − d.
        seen = np.arange(symbols + 1)
        right = distinct @ (np.minimum(seen + 1, symbols) / symbols)
        loss = distinct @ ((1 - seen / symbols) * np.log(np.maximum(symbols - seen, 1)))
        return right, loss

    def _functions(self, count: int, generator: torch.Generator) -> Int[Tensor, "row input"]:
        symbols = self.symbols
        if self.family == "permutations":
            return torch.rand(count, symbols, generator=generator).argsort(dim=1)
        slope = torch.ones(count, dtype=torch.long)
        if self.family == "affine":
            slope = torch.randint(1, symbols, (count,), generator=generator)
        intercept = torch.randint(symbols, (count,), generator=generator)
        found: Tensor = (slope[:, None] * torch.arange(symbols) + intercept[:, None]) % symbols
        return found

    def _functions_of_part(self, count: int, generator: torch.Generator) -> Int[Tensor, "row input"]:
        functions = self._functions(count, generator)
        while self._part != "all":
            wrong = self._held_out(functions) != (self._part == "held-out")
            if not bool(wrong.any()):
                break
            functions[wrong] = self._functions(int(wrong.sum()), generator)
        return functions

    def _held_out(self, functions: Int[Tensor, "row input"]) -> Bool[Tensor, " row"]:
        """A pseudo-random quarter of all functions; f and f + b are both in it or both not.

        So each answer is as frequent as any other among the functions held out and among those learned, and what is
        learned of frequencies neither helps nor harms on what was held out.
        """
        return self._code(functions) < self._threshold

    def _code(self, functions: Int[Tensor, "row input"]) -> Int[Tensor, " row"]:
        """A hash of the differences of a function's values."""
        code = torch.full((len(functions),), derived_seed("held out", self._language) % 2**31)
        for values in ((functions - functions[:, :1]) % self.symbols).T:
            code = ((code ^ values) * 1_103_515_245 + 12_345) % 2**31
            code = code ^ (code >> 15)
        return code

    @cached_property
    def _threshold(self) -> int:
        """Where the quarter ends: exactly where functions are few, by the range of the hash where they are many."""
        symbols = self.symbols
        if self.family == "affine":
            classes = torch.arange(1, symbols)[:, None] * torch.arange(symbols) % symbols
        elif symbols <= MOST_COUNTED:
            classes = torch.tensor([(0, *rest) for rest in itertools.permutations(range(1, symbols))])
        else:
            return 2**31 // 4
        codes = self._code(classes).sort().values
        return int(codes[max(len(codes) // 4, 1)])

    def _fixed(self, count: int, language: int, part: str) -> Int[Tensor, "function input"]:
        generator = torch.Generator().manual_seed(derived_seed("episodes", language, part))
        return self._functions(count, generator)


def distinct_draws(symbols: int, draws: int) -> NDArray[np.float64]:
    """Probability [draw, d] that 0, 1, ... `draws` − 1 uniform draws have d = 0 ... `symbols` different values."""
    table = np.zeros((draws, symbols + 1))
    table[0, 0] = 1
    share = np.arange(symbols + 1) / symbols
    for draw in range(1, draws):
        table[draw] = table[draw - 1] * share
        table[draw, 1:] += table[draw - 1, :-1] * (1 - share[:-1])
    return table


def in_context_slope(accuracy: Sequence[float] | NDArray[np.float64]) -> float:
    """Least-squares slope of accuracy over log₂(shots + 1), from zero shots on: how much each doubling brings."""
    values = np.asarray(accuracy, dtype=np.float64)
    return float(np.polyfit(np.log2(np.arange(len(values)) + 1), values, 1)[0])
