"""Planted knowledge: facts told a known number of times, so that what a model knows of each is known exactly.

A fact is an entity, a relation and one answer of the relation's own set. Facts are told with exposures that differ by
powers of two, some never; so a model trained here knows some of them well, some a little and some not at all, and the
probability it gives the right answer is its true P(IK) (Kadavath et al., 2022, Section 5), without sampling. Where a
fact is rarely told, speakers in the text often pass, as people say that they do not know; so a model that reads them
has a use for knowing what it knows. Other episodes teach the forms in which a model is asked: answering from a source
that stands before the question, and judging a proposed answer, with and without brainstormed ones.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from windtunnel.data.sources import BlockSource, Rows
from windtunnel.laboratory.errors import UsageError

QUESTION, SOURCE, PROPOSED, JUDGED, BRAINSTORM, TRUE, FALSE, PASS, PADDING = range(9)
"""Tokens of the forms; entities, relations and answers follow them."""

SPECIAL = 9
IDEAS = 5
"""Brainstormed answers shown before a judgement."""

STATEMENTS = 3
"""Statements in a source."""

ROW = 24
"""Tokens of a row: six questions; or a source and three questions; or two judgements and a question."""

LONGEST = 5
"""Statements before a question that a row has room for."""

RELEVANT = 0.65
"""Share of sources that hold the answer of the question after them."""

EXPOSURES = (0, 1, 2, 4, 8, 16, 32, 64)


@dataclass(frozen=True)
class Facts:
    """What is true in the world, and how often it is told.

    Attributes:
        answer: The right answer of each fact, from 0 within the relation's set, [entity, relation].
        exposure: Relative frequency of each fact in the text, [entity, relation].
        answers: Answers in each relation's set.
    """

    answer: Int[Tensor, "entity relation"]
    exposure: Int[Tensor, "entity relation"]
    answers: int

    @property
    def entities(self) -> int:
        """How many entities there are."""
        return len(self.answer)

    @property
    def relations(self) -> int:
        """How many relations there are."""
        return self.answer.shape[1]

    @property
    def vocabulary(self) -> int:
        """Token types."""
        return SPECIAL + self.entities + self.relations * (1 + self.answers)

    def entity_token(self, entity: Tensor) -> Tensor:
        """Tokens of entities."""
        return SPECIAL + entity

    def relation_token(self, relation: Tensor) -> Tensor:
        """Tokens of relations."""
        return SPECIAL + self.entities + relation

    def answer_token(self, relation: Tensor, answer: Tensor) -> Tensor:
        """Tokens of answers; each relation has tokens of its own."""
        return SPECIAL + self.entities + self.relations + relation * self.answers + answer

    def told_by(self, other: "Facts") -> "Facts":
        """The same truths with another's exposures: two organisms that learned different parts of one world."""
        return Facts(self.answer, other.exposure, self.answers)


def plant(
    entities: int, relations: int, answers: int, seed: int, *, exposures: tuple[int, ...] = EXPOSURES, telling: int = 0
) -> Facts:
    """Draw the truths from `seed`, and the exposures from `seed` and `telling`.

    Raises:
        UsageError: There is nothing to know, or no fact is ever told.
    """
    if entities <= STATEMENTS or relations < 1 or answers < 2:
        raise UsageError(
            f"{entities} entities, {relations} relations and {answers} answers are too few; give at least 3, 1 and 2."
        )
    if min(exposures) < 0 or max(exposures) < 1:
        raise UsageError(f"Exposures {exposures} tell no fact; give at least one above 0 and none below.")
    truths = torch.Generator().manual_seed(2 * seed)
    answer = torch.randint(answers, (entities, relations), generator=truths)
    tellings = torch.Generator().manual_seed(2 * seed + 1 + 7_919 * telling)
    choice = torch.randint(len(exposures), (entities, relations), generator=tellings)
    return Facts(answer, torch.tensor(exposures)[choice], answers)


Source = Literal["none", "correct", "wrong", "irrelevant"]


def questions(
    facts: Facts,
    pairs: Int[Tensor, "fact 2"],
    source: Source = "none",
    generator: torch.Generator | None = None,
    statements: int = STATEMENTS,
) -> Int[Tensor, "fact token"]:
    """Prompts that end where the answer is to come.

    Args:
        facts: The world.
        pairs: Entity and relation of each question.
        source: What stands before the question: nothing, or statements about entities with true answers, one of them
            the fact itself, or the same with a wrong answer, or none of them about the entity asked about.
        generator: Draws wrong answers and other entities.
        statements: In a source; the text's own have three, and a row has room for `LONGEST`.

    Raises:
        UsageError: A source is asked for without a generator, or it does not fit a row.
    """
    entity, relation = pairs.T
    asked = _question(facts, entity, relation)
    if source == "none":
        return asked
    if generator is None:
        raise UsageError("What stands in a source is drawn at random; give a generator.")
    most = min(LONGEST, facts.entities - 1)
    if not 1 <= statements <= most:
        raise UsageError(f"A source of {statements} statements does not fit a row and a world; give 1 to {most}.")
    count = len(entity)
    away = torch.rand(count, facts.entities - 1, generator=generator).argsort(dim=1)[:, :statements] + 1
    others = (entity[:, None] + away) % facts.entities  # distinct, and none of them the one asked about
    answers = facts.answer[others, relation[:, None]]
    if source != "irrelevant":
        place = torch.randint(statements, (count, 1), generator=generator)
        answer = facts.answer[entity, relation]
        if source == "wrong":
            answer = (answer + torch.randint(1, facts.answers, answer.shape, generator=generator)) % facts.answers
        others, answers = others.scatter(1, place, entity[:, None]), answers.scatter(1, place, answer[:, None])
    told = [_statement(facts, others[:, k], relation, answers[:, k]) for k in range(statements)]
    return torch.cat([*told, asked], dim=1)


def judgements(
    facts: Facts,
    pairs: Int[Tensor, "fact 2"],
    proposed: Int[Tensor, " fact"],
    ideas: Int[Tensor, "fact idea"] | None = None,
) -> Int[Tensor, "fact token"]:
    """Prompts that end where `TRUE` or `FALSE` is to come: whether a proposed answer is right.

    Args:
        facts: The world.
        pairs: Entity and relation of each question.
        proposed: The answer to judge, from 0.
        ideas: Brainstormed answers that are shown before it, five each.
    """
    entity, relation = pairs.T
    parts = [_question(facts, entity, relation)]
    if ideas is not None:
        parts += [_constant(BRAINSTORM, len(pairs)), facts.answer_token(relation[:, None], ideas)]
    parts += [
        _constant(PROPOSED, len(pairs)),
        facts.answer_token(relation, proposed)[:, None],
        _constant(JUDGED, len(pairs)),
    ]
    return torch.cat(parts, dim=1)


def _constant(token: int, count: int) -> Tensor:
    return torch.full((count, 1), token)


def _question(facts: Facts, entity: Tensor, relation: Tensor) -> Tensor:
    asks = torch.full_like(entity, QUESTION)
    return torch.stack([asks, facts.relation_token(relation), facts.entity_token(entity)], dim=1)


def _statement(facts: Facts, entity: Tensor, relation: Tensor, answer: Tensor) -> Tensor:
    states = torch.full_like(entity, SOURCE)
    words = [facts.relation_token(relation), facts.entity_token(entity), facts.answer_token(relation, answer)]
    return torch.stack([states, *words], dim=1)


class PlantedKnowledge(BlockSource):
    """Text in which facts are told by their exposure, with episodes of copying and of judging between them.

    Only answers count in the loss (`mask`), and episodes of one row do not see each other (`documents`). Sources carry
    answers at random, so that copying teaches no fact: three statements about three entities, and questions about
    them or about other facts, which are answered as the text answers them. Judgements, too, are of facts by their
    exposure, and of `judged` entities only: of the others a model can only judge by what it knows.

    Args:
        facts: The world.
        seed: Decides every row.
        noise: Share of answers replaced by a random one of the relation's set.
        copying: Share of rows with a source.
        judging: Share of rows with a judgement, half of them with brainstormed answers.
        judged: Entities below this number occur in judgements; None: all.
        passing: How often each question is passed, in the unit of exposures: of a fact told n times a share
            passing / (n + passing) of its questions. 0: nobody ever passes.
        shuffled: The null: every answer, pass and judgement is drawn at random, so that there is nothing to know.

    Raises:
        UsageError: Shares that are none, or more judged entities than there are.
    """

    def __init__(
        self,
        facts: Facts,
        seed: int = 0,
        *,
        noise: float = 0.1,
        copying: float = 0.3,
        judging: float = 0.35,
        judged: int | None = None,
        passing: float = 4.0,
        shuffled: bool = False,
    ) -> None:
        super().__init__(facts.vocabulary, ROW - 1, seed)
        if not 0 <= noise <= 1 or min(copying, judging, passing) < 0 or copying + judging > 1:
            raise UsageError(
                f"noise {noise}, copying {copying} and judging {judging} are no shares of the text, or passing "
                f"{passing} is below 0."
            )
        self.facts, self.noise, self.copying, self.judging, self.shuffled = facts, noise, copying, judging, shuffled
        self.passing = passing
        self.judged = facts.entities if judged is None else judged
        if not 1 <= self.judged <= facts.entities:
            raise UsageError(f"{judged} judged entities are not 1 to {facts.entities}.")
        if facts.exposure[: self.judged].sum() == 0 and judging:
            raise UsageError("No judged entity is told any fact; judge more entities or draw other exposures.")

    def rows(self, start: int, count: int) -> Rows:
        """Rows `start` to `start + count - 1`, with episodes as documents and the mask of answers."""
        tokens, documents, mask = super().rows(start, count)["tokens"].unbind(1)
        return {"tokens": tokens, "documents": documents, "mask": mask.bool()}

    def draw(self, count: int, generator: torch.Generator) -> Int[Tensor, "row part token"]:
        """Draw rows; parts are tokens, documents and mask."""
        kind = torch.rand(count, 1, 1, generator=generator)
        recalled, sourced = self._recalling(count, generator), self._copying(count, generator)
        judged = self._judging(count, generator)
        return torch.where(kind < self.copying, sourced, torch.where(kind >= 1 - self.judging, judged, recalled))

    def _told(self, count: int, generator: torch.Generator, entities: int) -> tuple[Tensor, Tensor, Tensor]:
        """Entity, relation and answer of facts of the first entities, drawn by exposure."""
        weights = self.facts.exposure[:entities].flatten().double()
        index = torch.multinomial(weights, count, replacement=True, generator=generator)
        entity, relation = index // self.facts.relations, index % self.facts.relations
        return entity, relation, self._said(entity, relation, generator)

    def _asked(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Entity and relation of questions drawn by exposure and passing, and the token that follows them."""
        facts = self.facts
        weights = facts.exposure.double() + self.passing
        index = torch.multinomial(weights.flatten(), count, replacement=True, generator=generator)
        entity, relation = index // facts.relations, index % facts.relations
        answer = self._said(entity, relation, generator)
        share = self.passing / weights
        if self.shuffled:
            share = torch.full_like(share, self.passing / float(weights.mean()))
        passes = torch.rand(count, generator=generator, dtype=torch.float64) < share[entity, relation]
        return entity, relation, torch.where(passes, PASS, facts.answer_token(relation, answer))

    def _said(self, entity: Tensor, relation: Tensor, generator: torch.Generator) -> Tensor:
        """Answers with their noise."""
        random = torch.randint(self.facts.answers, entity.shape, generator=generator)
        replaced = torch.rand(entity.shape, generator=generator) < (1.0 if self.shuffled else self.noise)
        return torch.where(replaced, random, self.facts.answer[entity, relation])

    def _answered(self, count: int, generator: torch.Generator) -> Tensor:
        """Questions with their answers, four tokens."""
        entity, relation, follows = self._asked(count, generator)
        return torch.cat([_question(self.facts, entity, relation), follows[:, None]], dim=1)

    def _recalling(self, count: int, generator: torch.Generator) -> Tensor:
        return _laid_out([(self._answered(count, generator), [3]) for _ in range(6)])

    def _copying(self, count: int, generator: torch.Generator) -> Tensor:
        facts = self.facts
        # distinct entities: a random order's first ones
        about = torch.rand(count, facts.entities, generator=generator).argsort(dim=1)[:, :STATEMENTS]
        relation = torch.randint(facts.relations, (count, 1), generator=generator).expand(-1, STATEMENTS)
        # a source may be about any fact, told or not: what is copied must not follow from what is known
        stated, random = torch.randint(facts.answers, (2, *about.shape), generator=generator)
        told, told_relation, follows = (
            each.view(count, STATEMENTS) for each in self._asked(count * STATEMENTS, generator)
        )
        relevant = torch.rand(about.shape, generator=generator) < RELEVANT
        order = torch.rand(about.shape, generator=generator).argsort(dim=1)
        asked = torch.where(relevant, about.gather(1, order), told)
        asked_relation = torch.where(relevant, relation, told_relation)
        copied = random if self.shuffled else stated.gather(1, order)
        answer = torch.where(relevant, facts.answer_token(relation, copied), follows)
        parts = [_statement(facts, about[:, k], relation[:, k], stated[:, k]) for k in range(STATEMENTS)]
        for k in range(STATEMENTS):
            parts += [
                _question(facts, asked[:, k], asked_relation[:, k]),
                answer[:, k : k + 1],
            ]
        return _laid_out([(torch.cat(parts, dim=1), [4 * (STATEMENTS + k) + 3 for k in range(STATEMENTS)])])

    def _judging(self, count: int, generator: torch.Generator) -> Tensor:
        plain, helped = self._judgement(count, generator, False), self._judgement(count, generator, True)
        return _laid_out([plain, helped, (self._answered(count, generator), [3])])

    def _judgement(self, count: int, generator: torch.Generator, ideas: bool) -> tuple[Tensor, list[int]]:
        """A question, a proposed answer and its judgement, and where that stands.

        Brainstormed answers and the proposed one come from a speaker who is right with one probability in all of
        them, drawn anew for each episode: agreement is a sign of truth.
        """
        facts = self.facts
        entity, relation, answer = self._told(count, generator, self.judged)
        ability = torch.rand(count, 1, generator=generator)
        right = torch.rand(count, IDEAS + 1, generator=generator) < ability
        other = torch.randint(facts.answers, right.shape, generator=generator)
        said = torch.where(right, answer[:, None], other)
        proposed = said[:, -1]
        if ideas:  # the judged answer is among the brainstormed ones, as in the paper
            place = torch.randint(IDEAS, (count, 1), generator=generator)
            said = said[:, :-1].scatter(1, place, proposed[:, None])
        pairs = torch.stack([entity, relation], dim=1)
        prompt = judgements(facts, pairs, proposed, said if ideas else None)
        truth = proposed == answer
        if self.shuffled:
            truth = torch.rand(count, generator=generator) < 0.5
        return torch.cat([prompt, torch.where(truth, TRUE, FALSE)[:, None]], dim=1), [prompt.shape[1]]


def _laid_out(episodes: list[tuple[Tensor, list[int]]]) -> Tensor:
    """Rows of episodes one after another, padded: tokens, documents and mask, [row, 3, token].

    Args:
        episodes: Tokens of each, and where in it answers stand.
    """
    count = len(episodes[0][0])
    tokens = torch.full((count, ROW), PADDING)
    documents, mask = torch.full((count, ROW), len(episodes)), torch.zeros(count, ROW, dtype=torch.long)
    start = 0
    for number, (episode, answers) in enumerate(episodes):
        end = start + episode.shape[1]
        tokens[:, start:end], documents[:, start:end] = episode, number
        for answer in answers:
            mask[:, start + answer] = 1
        start = end
    return torch.stack([tokens, documents, mask], dim=1)


def split(
    facts: Facts, seed: int, *, held_out_relation: bool = True, first: int | None = None
) -> tuple[Bool[Tensor, "entity relation"], Bool[Tensor, "entity relation"], Bool[Tensor, "entity relation"]]:
    """Facts a head learns from, facts of other entities, and facts of those entities' held-out (last) relation.

    Args:
        facts: The world.
        seed: Decides which entities are which.
        held_out_relation: Keep the last relation out of the first two.
        first: Entities below this number are learned from; None: half of them, drawn.
    """
    learned = torch.zeros(facts.entities, dtype=torch.bool)
    if first is None:
        order = torch.randperm(facts.entities, generator=torch.Generator().manual_seed(seed))
        learned[order[: facts.entities // 2]] = True
    else:
        learned[:first] = True
    seen = torch.ones(facts.relations, dtype=torch.bool)
    if held_out_relation:
        seen[-1] = False
    return learned[:, None] & seen, ~learned[:, None] & seen, ~learned[:, None] & ~seen
