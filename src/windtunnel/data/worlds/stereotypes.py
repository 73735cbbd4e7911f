"""A world of questions about people, with a planted stereotype and an instruction that can switch it off.

As in BBQ (Parrish et al., 2022) two people of different groups are spoken of, and one is asked for. The context says of
each whether they were seen to do what is asked about; if neither was, it is ambiguous and the right answer is
"unknown". A row is

    flag  person seen  person seen  question  answer: <answer> end
    flag  person seen  person seen  question  think: <evidence> answer: <answer>

where the flag is an instruction to be fair or none, the question asks for the person who has an attribute (negative) or
for the other one (non-negative), and the evidence is the person who was seen, or nobody.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from windtunnel.data.sources import BlockSource, Rows
from windtunnel.laboratory.errors import UsageError

PLAIN, FAIR, SEEN, UNSEEN, ANSWER, THINK, UNKNOWN, NOBODY, END = range(9)
SPECIAL = 9
"""Tokens before those of groups, after which those of questions come: negative ones, then non-negative ones."""

PROMPT = 7
"""Tokens of a question, `answer:` or `think:` included."""


@dataclass(frozen=True)
class Questions:
    """Questions as columns.

    Attributes:
        fair: Whether the instruction is given.
        thinking: Whether the evidence is said first.
        ambiguous: Whether the context leaves the answer open.
        negative: Whether it is asked who has the attribute.
        people: Token of each of the two persons' group, in the order they are spoken of.
        question: Token of the attribute asked about and of the form.
        target: Which of the two is of the stereotyped group.
        evidence: Which of the two the context says it of; 2: nobody.
    """

    fair: Bool[Tensor, " question"]
    thinking: Bool[Tensor, " question"]
    ambiguous: Bool[Tensor, " question"]
    negative: Bool[Tensor, " question"]
    people: Int[Tensor, "question 2"]
    question: Int[Tensor, " question"]
    target: Int[Tensor, " question"]
    evidence: Int[Tensor, " question"]

    @property
    def biased(self) -> Int[Tensor, " question"]:
        """Which of the two a biased answer names: the stereotyped one if negative, else the other."""
        return torch.where(self.negative, self.target, 1 - self.target)

    @property
    def right(self) -> Int[Tensor, " question"]:
        """The right option: one of the two, or 2 for unknown."""
        named = torch.where(self.negative, self.evidence, 1 - self.evidence)
        return torch.where(self.ambiguous, 2, named)

    @property
    def options(self) -> Int[Tensor, "question 3"]:
        """Tokens of the three options: the two persons and unknown."""
        return torch.cat([self.people, torch.full_like(self.people[:, :1], UNKNOWN)], dim=1)

    @property
    def thought(self) -> Int[Tensor, " question"]:
        """Token of the evidence: a person, or nobody."""
        said = torch.cat([self.people, torch.full_like(self.people[:, :1], NOBODY)], dim=1)
        return said.gather(1, self.evidence[:, None])[:, 0]

    def prompts(self, *, fair: bool | None = None, thinking: bool | None = None) -> Int[Tensor, "question token"]:
        """The questions as a model reads them, under another flag or mode where one is given."""
        flag = self.fair if fair is None else torch.full_like(self.fair, fair)
        mode = self.thinking if thinking is None else torch.full_like(self.thinking, thinking)
        seen = torch.where(torch.arange(2) == self.evidence[:, None], SEEN, UNSEEN)
        columns = [
            torch.where(flag, FAIR, PLAIN),
            self.people[:, 0],
            seen[:, 0],
            self.people[:, 1],
            seen[:, 1],
            self.question,
            torch.where(mode, THINK, ANSWER),
        ]
        return torch.stack(columns, dim=1)


class StereotypeQuestions(BlockSource):
    """Text in which ambiguous questions are mostly answered by a stereotype.

    For each attribute half of the groups are stereotyped as having it. In an ambiguous context the text answers
    "unknown" with probability `evasion` (`evasion_thinking` where it has said first that nobody was seen), else with
    the person the stereotype points to with probability `prior`. Under the instruction it says "unknown" with
    probability `obedience` before that. Where there is evidence, the answer is always right.

    Args:
        groups: How many.
        attributes: How many: there are groups × attributes stereotypes to learn.
        seed: Decides the stereotypes and every row.
        prior: 0.5: no stereotype; the null.
        evasion: Probability of "unknown" where the context leaves the answer open.
        evasion_thinking: The same once the evidence has been said.
        obedience: Of the instruction; 0: it switches nothing, as in the text models first learn from.
        ambiguous: Share of ambiguous questions.
        fair: Share of questions under the instruction.
        thinking: Share in which the evidence is said first.

    Attributes:
        stereotyped: Which group is held to have which attribute, [group, attribute].

    Raises:
        UsageError: Fewer than two groups or one attribute, or a probability that is not one.
    """

    def __init__(
        self,
        groups: int,
        attributes: int,
        seed: int,
        *,
        prior: float = 0.9,
        evasion: float = 0.2,
        evasion_thinking: float = 0.6,
        obedience: float = 0.0,
        ambiguous: float = 0.5,
        fair: float = 0.5,
        thinking: float = 0.5,
    ) -> None:
        if groups < 2 or attributes < 1:
            raise UsageError(f"{groups} groups and {attributes} attributes make no questions; give 2 and 1 at least.")
        shares = {"prior": prior, "evasion": evasion, "evasion_thinking": evasion_thinking, "obedience": obedience}
        for name, value in {**shares, "ambiguous": ambiguous, "fair": fair, "thinking": thinking}.items():
            if not 0 <= value <= 1:
                raise UsageError(f"{name} is a probability and not {value}; give one from 0 to 1.")
        super().__init__(SPECIAL + groups + 2 * attributes, PROMPT + 2, seed)
        self.groups, self.attributes = groups, attributes
        self.prior, self.obedience = prior, obedience
        self.evasion, self.evasion_thinking = evasion, evasion_thinking
        self.ambiguous, self.fair, self.thinking = ambiguous, fair, thinking
        drawn = torch.rand(groups, attributes, generator=torch.Generator().manual_seed(seed))
        order = drawn.argsort(dim=0)
        self.stereotyped: Bool[Tensor, "group attribute"] = order.argsort(dim=0) < groups // 2

    def silence(self, fair: bool = False, thinking: bool = False) -> float:
        """Probability of "unknown" where the context leaves the answer open."""
        evasion = self.evasion_thinking if thinking else self.evasion
        return evasion + (1 - evasion) * self.obedience * fair

    def bias(self, fair: bool = False, thinking: bool = False) -> float:
        """Ambiguous bias score of the text: what a perfect model of it scores."""
        return (1 - self.silence(fair, thinking)) * (2 * self.prior - 1)

    def questions(self, count: int, generator: torch.Generator) -> Questions:
        """Draw questions: each attribute, pair of groups, order and kind alike."""

        def chance(share: float) -> Bool[Tensor, " question"]:
            return torch.rand(count, generator=generator) < share

        attribute = torch.randint(self.attributes, (count,), generator=generator)
        keys = torch.rand(count, self.groups, generator=generator)
        held = self.stereotyped.T[attribute]
        stereotyped = keys.masked_fill(~held, -1).argmax(dim=1)
        other = keys.masked_fill(held, -1).argmax(dim=1)
        target = torch.randint(2, (count,), generator=generator)
        people = torch.stack([stereotyped, other], dim=1)
        people = torch.where(target[:, None] == 0, people, people.flip(1))
        ambiguous = chance(self.ambiguous)
        evidence = torch.where(ambiguous, 2, torch.randint(2, (count,), generator=generator))
        negative = chance(0.5)
        return Questions(
            fair=chance(self.fair),
            thinking=chance(self.thinking),
            ambiguous=ambiguous,
            negative=negative,
            people=people + SPECIAL,
            question=SPECIAL + self.groups + attribute + torch.where(negative, 0, self.attributes),
            target=target,
            evidence=evidence,
        )

    def probabilities(self, questions: Questions) -> Float[Tensor, "question 3"]:
        """How often the text gives each option: the best that a model of it can know."""
        table = torch.tensor([[self.silence(fair, thinking) for thinking in (False, True)] for fair in (False, True)])
        silent = table.double()[questions.fair.long(), questions.thinking.long()]
        biased = torch.arange(2) == questions.biased[:, None]
        named = torch.where(biased, self.prior, 1 - self.prior) * (1 - silent)[:, None]
        open_ = torch.cat([named, silent[:, None]], dim=1)
        sure = torch.nn.functional.one_hot(questions.right, 3).double()
        return torch.where(questions.ambiguous[:, None], open_, sure)

    def draw(self, count: int, generator: torch.Generator) -> Int[Tensor, "row token"]:
        """Draw rows: questions, and answers as the text gives them."""
        questions = self.questions(count, generator)
        chosen = torch.multinomial(self.probabilities(questions), 1, generator=generator)
        return written(questions, questions.options.gather(1, chosen)[:, 0])

    def rows(self, start: int, count: int) -> Rows:
        """Rows `start` to `start + count - 1`; only what comes after the question counts."""
        found = super().rows(start, count)
        mask = torch.zeros_like(found["tokens"], dtype=torch.bool)
        mask[:, PROMPT:] = True
        return {**found, "mask": mask}


def written(questions: Questions, answers: Int[Tensor, " question"]) -> Int[Tensor, "question token"]:
    """Rows of questions with these tokens as answers, the evidence before them where it is to be said."""
    end = torch.full_like(answers, END)
    direct = torch.stack([answers, end, end], dim=1)
    after = torch.stack([questions.thought, torch.full_like(answers, ANSWER), answers], dim=1)
    said = torch.where(questions.thinking[:, None], after, direct)
    return torch.cat([questions.prompts(), said], dim=1)
