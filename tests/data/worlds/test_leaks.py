import numpy as np
import pytest

from windtunnel.data.worlds.leaks import Leaks, WordCodec
from windtunnel.laboratory.errors import UsageError


def test_leaked_questions_stand_in_the_corpus_with_their_answers_and_others_do_not():
    world = Leaks(50, 0.2, np.random.default_rng(0))
    documents = world.documents(60, 30, 4, np.random.default_rng(1))
    assert len(world.leaked) == 10
    for number, question in enumerate(world.questions):
        text = question.context + question.choices[question.target]
        found = sum(text in document for document in documents)
        assert found == (4 if number in world.leaked else 0)
    assert len(documents) == 60
    rows = world.rows(documents)
    assert rows.shape == (60, 31)
    assert world.codec.decode(rows[7, 1:].tolist()) == documents[7]
    clean = world.documents(60, 30, 4, np.random.default_rng(1), planted=False)
    assert not any(question.context in document for question in world.questions for document in clean)


def test_words_are_tokens():
    codec = WordCodec(["ab", "cd"])
    assert codec.encode("cd ab  zz") == [1, 0, 2]
    assert codec.decode([3, 1, 2]) == "^ cd ?"


def test_leaks_that_do_not_fit_are_explained():
    world = Leaks(10, 0.5, np.random.default_rng(0))
    with pytest.raises(UsageError, match="do not hold"):
        world.documents(5, 30, 4, np.random.default_rng(0))
    with pytest.raises(UsageError, match="some leak"):
        Leaks(10, 0.0, np.random.default_rng(0))
