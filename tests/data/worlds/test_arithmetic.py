import re

import numpy as np
import pytest
import torch

from windtunnel.data.worlds.arithmetic import Arithmetic, answers, decode, encode
from windtunnel.laboratory.errors import UsageError


def solved(text, reverse=False):
    """Whether each whole problem of a text is answered rightly, by plain arithmetic."""
    found = []
    for question, answer in re.findall(r"([^;=]+)=(\d+);", text):
        if question.startswith("L"):
            right = str(max(map(int, question[1:].split(","))))
        elif question.startswith("D"):
            place, number = question[1:].split(",")
            right = number[int(place) - 1]
        else:
            right = str(sum(map(int, question.split("+"))))
            right = right[::-1] if reverse else right
        found.append(answer == right)
    return found


@pytest.mark.parametrize("reverse", [False, True])
def test_every_answer_is_right(reverse):
    world = Arithmetic(64, (1, 4), 0, reversed_sums=reverse)
    text = [decode(row) for row in world.rows(0, 200)["tokens"]]
    results = [right for row in text for right in solved(row, reverse)]
    assert len(results) > 800
    assert all(results)
    assert {letter for row in text for letter in row} >= set("LD+")


def test_the_mask_counts_answers_and_nothing_else():
    for text in ("12+7=19;L3,5=5;4+", ";12+7=19;;L3,5=5;;"):
        counted = answers(encode(text)[None])[0]
        assert "".join(letter for letter, one in zip(text, counted, strict=True) if one) == "19;5;"
    rows = Arithmetic(40, (2, 3), 1).rows(0, 10)
    assert torch.equal(rows["mask"], answers(rows["tokens"]))


def test_numbers_have_as_many_digits_as_asked():
    world = Arithmetic(64, (1, 3), 0)
    draws = np.random.default_rng(0)
    for digits in (1, 3, 7):
        for module in world.modules:
            numbers = re.findall(r"\d+", world.problem(draws, module, digits)[0])
            assert all(len(number) == digits for number in numbers[1 if module == "digit" else 0 :])


def test_answers_of_other_problems_are_mostly_wrong():
    world = Arithmetic(64, (3, 3), 0, answered=False)
    results = [right for row in world.rows(0, 100)["tokens"] for right in solved(decode(row))]
    assert np.mean(results) < 0.2
    lengths = {
        len(answer) for row in world.rows(0, 100)["tokens"] for answer in re.findall(r"L.*?=(\d+);", decode(row))
    }
    assert lengths == {3}


@pytest.mark.parametrize(
    "options", [{"modules": ("divide",)}, {"digits": (3, 2)}, {"context": 10}, {"digits": (1, 40), "context": 200}]
)
def test_what_cannot_be_set_is_one_sentence(options):
    with pytest.raises(UsageError) as caught:
        Arithmetic(**{"context": 64, "digits": (1, 4), "seed": 0, **options})
    assert "\n" not in str(caught.value)
