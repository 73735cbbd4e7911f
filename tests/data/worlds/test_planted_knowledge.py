"""Planted knowledge and lettered choices: the text says what the world says it does."""

import pytest
import torch

from windtunnel.data.worlds.lettered_choices import (
    ASKED,
    NONE,
    LetteredChoices,
    reordered,
    without_the_last,
)
from windtunnel.data.worlds.planted_knowledge import (
    FALSE,
    IDEAS,
    JUDGED,
    LONGEST,
    PASS,
    PROPOSED,
    QUESTION,
    ROW,
    SOURCE,
    STATEMENTS,
    TRUE,
    PlantedKnowledge,
    judgements,
    plant,
    questions,
    split,
)
from windtunnel.laboratory.errors import UsageError

FACTS = plant(12, 3, 5, seed=1)
PAIRS = torch.cartesian_prod(torch.arange(12), torch.arange(3))


def told(source, rows=2_000):
    """Entity, relation and answer of every question with its answer, by document."""
    batch = source.rows(0, rows)
    tokens, mask = batch["tokens"], batch["mask"]
    row, place = torch.nonzero(mask, as_tuple=True)
    asked = tokens[row, place - 3] == QUESTION
    row, place = row[asked], place[asked]
    relation, entity, answer = (tokens[row, place - back] for back in (2, 1, 0))
    relation = relation - FACTS.relation_token(torch.tensor(0))
    answer = answer - FACTS.answer_token(relation, torch.tensor(0))
    return row, place, entity - FACTS.entity_token(torch.tensor(0)), relation, answer


def test_facts_are_told_by_their_exposure_and_with_their_noise():
    source = PlantedKnowledge(FACTS, 0, noise=0.2, copying=0.0, judging=0.0, passing=0.0)
    _, _, entity, relation, answer = told(source)
    counts = torch.zeros(12, 3).index_put((entity, relation), torch.ones(len(entity)), accumulate=True)
    share = FACTS.exposure / FACTS.exposure.sum()
    assert (counts / counts.sum() - share).abs().max() < 0.02
    assert counts[FACTS.exposure == 0].sum() == 0
    right = (answer == FACTS.answer[entity, relation]).float().mean()
    assert right == pytest.approx(0.8 + 0.2 / 5, abs=0.02)
    assert ((answer >= 0) & (answer < 5)).all()


def test_questions_are_passed_where_they_are_rarely_told():
    source = PlantedKnowledge(FACTS, 0, copying=0.5, judging=0.0, passing=4.0)
    batch = source.rows(0, 4_000)
    tokens, mask, documents = batch["tokens"], batch["mask"], batch["documents"]
    row, place = torch.nonzero(mask, as_tuple=True)
    plain = (tokens[row, 0] == QUESTION) & (documents[row, place] >= 0)
    row, place = row[plain], place[plain]
    relation = tokens[row, place - 2] - FACTS.relation_token(torch.tensor(0))
    entity = tokens[row, place - 1] - FACTS.entity_token(torch.tensor(0))
    passed = tokens[row, place] == PASS
    for level in (0, 4, 64):
        chosen = FACTS.exposure[entity, relation] == level
        assert passed[chosen].float().mean() == pytest.approx(4 / (level + 4), abs=0.03)
    null = PlantedKnowledge(FACTS, 0, copying=0.0, judging=0.0, passing=4.0, shuffled=True).rows(0, 4_000)["tokens"]
    asked, follows = null[:, 2::4].flatten(), null[:, 3::4].flatten()
    entities = asked - FACTS.entity_token(torch.tensor(0))
    rates = torch.stack([(follows[entities == each] == PASS).float().mean() for each in range(12)])
    assert rates.max() - rates.min() < 0.08


def test_nothing_is_to_be_known_in_the_null():
    source = PlantedKnowledge(FACTS, 0, copying=0.4, judging=0.3, passing=0.0, shuffled=True)
    _, _, entity, relation, answer = told(source)
    assert (answer == FACTS.answer[entity, relation]).float().mean() == pytest.approx(0.2, abs=0.03)
    batch = source.rows(0, 2_000)
    judged = torch.isin(batch["tokens"], torch.tensor([TRUE, FALSE]))
    assert (batch["tokens"][judged] == TRUE).float().mean() == pytest.approx(0.5, abs=0.04)


def test_answers_behind_a_source_are_copied_from_it_or_known():
    source = PlantedKnowledge(FACTS, 0, noise=0.0, copying=1.0, judging=0.0)
    tokens = source.rows(0, 500)["tokens"]
    assert (tokens[:, [4 * k for k in range(STATEMENTS)]] == SOURCE).all()
    copied = 0
    for row in tokens.tolist():
        stated = {tuple(row[4 * k + 1 : 4 * k + 3]): row[4 * k + 3] for k in range(STATEMENTS)}
        assert len(stated) == STATEMENTS
        for k in range(STATEMENTS, 2 * STATEMENTS):
            asked, answer = tuple(row[4 * k + 1 : 4 * k + 3]), row[4 * k + 3]
            copied += stated.get(asked) == answer
    assert copied / (500 * STATEMENTS) == pytest.approx(0.65, abs=0.06)


def test_judgements_are_right_and_of_judged_entities_only():
    source = PlantedKnowledge(FACTS, 0, noise=0.0, copying=0.0, judging=1.0, judged=6)
    batch = source.rows(0, 500)
    tokens, documents = batch["tokens"], batch["documents"]
    assert (documents[:, :7] == 0).all()
    assert (documents[:, 7:20] == 1).all()
    for row in tokens.tolist():
        for start, length in ((0, 7), (7, 13)):
            part = row[start : start + length]
            assert part[0] == QUESTION
            assert part[-4] == PROPOSED
            assert part[-2] == JUDGED
            relation = part[1] - int(FACTS.relation_token(torch.tensor(0)))
            entity = part[2] - int(FACTS.entity_token(torch.tensor(0)))
            assert entity < 6
            right = int(FACTS.answer_token(torch.tensor(relation), FACTS.answer[entity, relation]))
            assert part[-1] == (TRUE if part[-3] == right else FALSE)
            if length == 13:
                assert part[-3] in part[4 : 4 + IDEAS]


def test_prompts_end_where_the_answer_comes():
    draws = torch.Generator().manual_seed(0)
    plain = questions(FACTS, PAIRS)
    assert plain.shape == (36, 3)
    correct, wrong, irrelevant = (questions(FACTS, PAIRS, each, draws) for each in ("correct", "wrong", "irrelevant"))
    gold = FACTS.answer_token(PAIRS[:, 1], FACTS.answer[PAIRS[:, 0], PAIRS[:, 1]])
    entity = FACTS.entity_token(PAIRS[:, 0])
    for prompts, mentions, says in ((correct, 1, 1), (wrong, 1, 0), (irrelevant, 0, None)):
        assert prompts.shape == (36, 4 * STATEMENTS + 3)
        assert (prompts[:, -3:] == plain).all()
        about = prompts[:, 2 : 4 * STATEMENTS : 4] == entity[:, None]
        assert (about.sum(dim=1) == mentions).all()
        if says is not None:
            assert ((prompts[:, 3 : 4 * STATEMENTS : 4] == gold[:, None]) & about).any(dim=1).float().mean() == says
    for statements in (1, LONGEST):
        prompts = questions(FACTS, PAIRS, "correct", draws, statements)
        assert prompts.shape == (36, 4 * statements + 3)
        assert prompts.shape[1] + 1 <= ROW
        told = (prompts[:, 2:-3:4] == entity[:, None]) & (prompts[:, 3:-3:4] == gold[:, None])
        assert (told.sum(dim=1) == 1).all()
    judged = judgements(FACTS, PAIRS, FACTS.answer.flatten(), FACTS.answer.flatten()[:, None].expand(-1, IDEAS))
    assert judged.shape[1] + 1 == 13
    assert (judged[:, -2] == gold).all()


def test_worlds_are_reproducible_and_organisms_share_their_truths():
    other = plant(12, 3, 5, seed=1, telling=1)
    assert torch.equal(other.answer, FACTS.answer)
    assert not torch.equal(other.exposure, FACTS.exposure)
    source = PlantedKnowledge(FACTS, 5)
    whole = source.rows(0, 600)
    assert torch.equal(source.rows(250, 20)["tokens"], whole["tokens"][250:270])
    assert whole["tokens"].shape == (600, ROW)
    assert whole["tokens"].max() < FACTS.vocabulary
    learned, held, unseen = split(FACTS, 0, first=6)
    assert not (learned & held).any()
    assert not (held & unseen).any()
    assert learned[:6, :2].all()
    assert not learned[:, 2].any()
    assert held[6:, :2].all()
    assert unseen.sum() == 6
    assert split(FACTS, 0)[0].sum() == 12


def test_lettered_questions_have_their_planted_doubt():
    world = LetteredChoices(8, 10, seed=2)
    tokens = world.rows(0, 8_000)["tokens"]
    assert (tokens[:, -2] == ASKED).all()
    assert (tokens[:, 1:9:2] == torch.arange(4)).all()
    options = tokens[:, 2:9:2]
    assert all(len(set(row)) == 4 for row in options[:200].tolist())
    best = world.best(tokens)
    assert torch.allclose(best.sum(dim=1), torch.ones(8_000, dtype=torch.float64))
    top = best.argmax(dim=1) == tokens[:, -1]
    for level in (0.4, 0.6, 0.8, 0.95):
        chosen = best.max(dim=1).values == level
        assert top[chosen].float().mean() == pytest.approx(level, abs=0.04)
    assert (world.rows(0, 8_000)["tokens"] == tokens).all()
    other = LetteredChoices(8, 10, seed=2, rows_seed=9)
    assert torch.equal(other.canonical, world.canonical)
    assert not torch.equal(other.rows(0, 8_000)["tokens"], tokens)


def test_lettered_questions_change_as_they_are_said_to():
    world = LetteredChoices(8, 10, seed=2)
    tokens = world.rows(0, 100)["tokens"]
    assert (without_the_last(tokens)[:, 8] == NONE).all()
    assert (tokens != NONE).all()
    moved = reordered(tokens, 1)
    right = tokens[torch.arange(100), 2 + 2 * tokens[:, -1]]
    assert (moved[torch.arange(100), 2 + 2 * moved[:, -1]] == right).all()
    null = LetteredChoices(8, 10, seed=2, shuffled=True)
    assert (null.best(tokens) == 0.25).all()


@pytest.mark.parametrize(
    ("call", "word"),
    [
        (lambda: plant(3, 1, 2, 0), "too few"),
        (lambda: plant(12, 1, 2, 0, exposures=(0, 0)), "Exposures"),
        (lambda: PlantedKnowledge(FACTS, copying=0.8, judging=0.5), "shares"),
        (lambda: PlantedKnowledge(FACTS, judged=13), "judged"),
        (lambda: questions(FACTS, PAIRS, "wrong"), "generator"),
        (lambda: questions(FACTS, PAIRS, "wrong", torch.Generator(), LONGEST + 1), "does not fit a row"),
        (lambda: LetteredChoices(0, 10, 0), "questions"),
    ],
)
def test_bad_worlds_are_one_sentence(call, word):
    with pytest.raises(UsageError, match=word):
        call()
