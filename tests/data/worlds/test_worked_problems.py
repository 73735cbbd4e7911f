"""Problems are worked out rightly, hints are what they are said to be, and rows hold nothing else."""

import pytest
import torch

from windtunnel.data.worlds.worked_problems import ANSWER, FIRST, PADDING, WorkedProblems
from windtunnel.laboratory.errors import UsageError


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def read(world, tokens):
    """Number, operations, the results shown after them, by a parser of its own."""
    *body, last = [token for token in tokens if token != PADDING]
    assert last == ANSWER
    start, *rest = (token - FIRST for token in body)
    operations, shown = [], []
    for token in rest:
        if token >= world.numbers:
            operations.append(token - world.numbers)
        else:
            assert len(shown) == len(operations) - 1  # right after its operation, and after all earlier results
            shown.append(token)
    return start, operations, shown


def worked(world, start, operations):
    results = []
    for operation in operations:
        start = int(world.tables[operation, start])
        results.append(start)
    return results


def test_answers_follow_from_the_problem():
    world = WorkedProblems(3, hinted=0.6, mistaken=0.3, irrelevant=0.2)
    lengths, hints, good = [], [], []
    for row in world.draw(4_000, generator()).tolist():
        start, operations, shown = read(world, row[:-1])
        results = worked(world, start, operations)
        assert row[-1] == FIRST + results[-1]
        lengths.append(len(operations))
        hints.append(bool(shown))
        if shown:
            good.append(shown == results[: len(shown)])
    counts = torch.bincount(torch.tensor(lengths), minlength=5)[1:] / 4_000
    assert torch.allclose(counts, torch.full((4,), 0.25), atol=0.03)
    assert sum(hints) / len(hints) == pytest.approx(0.6, abs=0.03)
    # half of the hints are good, and of the others' first steps some agree by chance
    assert 0.49 < sum(good) / len(good) < 0.58
    assert all(torch.equal(table.sort().values, torch.arange(world.numbers)) for table in world.tables)


@pytest.mark.parametrize("shown", [0, 1, 3, 4])
def test_hints_are_what_they_are_said_to_be(shown):
    world = WorkedProblems(0)
    problems = world.problems(300, generator(), length=4)
    steps = torch.full((300,), shown)
    prompts = {
        kind: [read(world, row) for row in world.prompts(problems, steps, kind, generator(1)).tolist()]
        for kind in ("good", "mistaken", "irrelevant")
    }
    agreeing = 0
    for good, mistaken, irrelevant, answer in zip(*prompts.values(), problems.answer.tolist(), strict=True):
        assert good[:2] == mistaken[:2] == irrelevant[:2]
        results = worked(world, *good[:2])
        assert results[-1] == answer
        assert good[2] == results[:shown]
        assert len(mistaken[2]) == len(irrelevant[2]) == shown
        if shown:
            place = next(k for k in range(shown) if mistaken[2][k] != results[k])
            rest = worked(world, mistaken[2][place], good[1][place + 1 : shown])
            assert mistaken[2][place + 1 :] == rest  # the mistake is carried on
            agreeing += irrelevant[2] == results[:shown]
    assert agreeing < 100


def test_only_the_answer_counts_and_in_the_null_it_is_drawn():
    world = WorkedProblems(0, shuffled=True)
    rows = world.rows(0, 4_000)
    assert rows["mask"].sum().item() == 4_000
    assert rows["mask"][:, -1].all()
    right = 0
    for row in rows["tokens"].tolist():
        start, operations, _ = read(world, row[:-1])
        right += row[-1] - FIRST == worked(world, start, operations)[-1]
    assert right / 4_000 == pytest.approx(1 / 8, abs=0.02)
    assert torch.equal(rows["tokens"], WorkedProblems(0, shuffled=True).rows(0, 4_000)["tokens"])


@pytest.mark.parametrize(
    "options", [{"numbers": 1}, {"steps": 0}, {"hinted": 1.5}, {"mistaken": 0.7, "irrelevant": 0.4}]
)
def test_values_out_of_range_are_refused(options):
    with pytest.raises(UsageError):
        WorkedProblems(0, **options)
    world = WorkedProblems(0)
    with pytest.raises(UsageError, match="give a generator"):
        world.prompts(world.problems(3, generator()), torch.ones(3, dtype=torch.long), "mistaken")
