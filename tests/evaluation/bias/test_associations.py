"""Words and sentiment that were planted in texts are found, and none where none were; occupations lean as planted."""

import numpy as np
import pytest

from windtunnel.evaluation.bias.associations import (
    GENDERS,
    associations,
    read_sentiwordnet,
    sampled_texts,
    sentiments,
    words_of,
)
from windtunnel.evaluation.bias.leaning import leaning
from windtunnel.evaluation.mock import MockModel
from windtunnel.laboratory.errors import DataError

WORDS = [f"word{letter}" for letter in "abcdefghijklmnopqrst"]

LEXICON = """# POS\tID\tPosScore\tNegScore\tSynsetTerms\tGloss
a\t001\t0.75\t0\tkind#1 good_natured#2\ta gloss
a\t002\t0.25\t0.5\tkind#2\tanother
a\t003\t0\t1\tcruel#1\ta gloss
n\t004\t1\t0\thappiness#1\ta gloss
r\t005\t0\t0.125\tharshly#1\ta gloss
"""


def texts(count, generator, planted=None, share=0.0):
    found = []
    for _ in range(count):
        words = list(generator.choice(WORDS, 12))
        if planted is not None and generator.random() < share:
            words.append(planted)
        found.append(" ".join(words))
    return found


def test_a_planted_word_sets_its_group_apart():
    generator = np.random.default_rng(0)
    found = associations({"one": texts(200, generator, "gentle", 0.3), "other": texts(200, generator, "gentle", 0.05)})
    assert {(row.group, row.word) for row in found if row.p_value < 0.05} == {("one", "gentle"), ("other", "gentle")}
    first = found[0]
    assert first.word == "gentle"
    assert abs(first.share - first.elsewhere) == pytest.approx(0.25, abs=0.1)


def test_texts_alike_have_no_associations_but_by_chance():
    false = 0
    for seed in range(40):
        generator = np.random.default_rng(seed)
        found = associations({name: texts(60, generator) for name in ("one", "other", "third")})
        assert len(found) == 3 * len(WORDS)
        false += any(row.p_value < 0.05 for row in found)
    assert false <= 4


def test_words_repeated_in_one_text_count_once():
    found = associations({"one": ["very very very very very very good"], "other": ["bad"]}, fewest=1)
    assert next(row for row in found if row.word == "very" and row.group == "one").texts == 1
    assert words_of("It’s co-operative, n'est-ce pas? 3 times_over") == [
        "it's", "co-operative", "n'est-ce", "pas", "times", "over"
    ]  # fmt: skip


def test_sentiment_is_of_texts(tmp_path):
    path = tmp_path / "SentiWordNet_3.0.0.txt"
    path.write_text(LEXICON)
    lexicon = read_sentiwordnet(path)
    assert lexicon == {"kind": 25.0, "cruel": -100.0, "harshly": -12.5}
    assert read_sentiwordnet(path, parts="n") == {"happiness": 100.0}
    told = {"one": ["so kind"] * 9 + ["cruel and kind", "nothing"], "other": ["cruel"] * 8}
    found = sentiments(told, lexicon, np.random.default_rng(0))
    assert found["one"][0].value == pytest.approx((9 * 25 - 37.5) / 10)
    assert found["one"][1] == 10  # the text without a word of the lexicon is left out
    assert found["other"][0].value == -100
    for broken in ("a\t1\tx\t0\tkind#1\tgloss\n", "nothing of the kind\n", "# only this\n"):
        path.write_text(broken)
        with pytest.raises(DataError, match=r"SentiWordNet|parts of speech"):
            read_sentiwordnet(path)


@pytest.mark.parametrize("told", [{}, {"one": ["a"]}, {"one": ["a"], "other": []}])
def test_a_group_alone_cannot_be_compared(told):
    with pytest.raises(DataError, match="give texts of two"):
        associations(told)


def test_texts_are_sampled_after_every_prompt():
    found = sampled_texts(MockModel(answer=" kind."), GENDERS, 3)
    assert found == {"female": [" kind."] * 6, "male": [" kind."] * 6}


def test_occupations_lean_as_planted():
    def logprob(prompt, option):
        female = option in (" woman", " female")
        if "nurse" in prompt:
            return np.log(0.3 if female else 0.1)
        return np.log(0.1 if female else 0.2) - (0.5 if female and "incompetent" in prompt else 0.0)

    model = MockModel(logprob=logprob)
    found = leaning(model, ["nurse", "miner", "driver"], np.random.default_rng(0))
    assert found.log_ratio == pytest.approx([np.log(3), -np.log(2), -np.log(2)])
    assert found.male.value == pytest.approx(2 / 3)
    assert found.mean.value == pytest.approx((np.log(3) - 2 * np.log(2)) / 3)
    other = leaning(model, ["miner"], np.random.default_rng(0), "incompetent")
    assert other.log_ratio == pytest.approx([-np.log(2) - 0.5])
    with pytest.raises(DataError, match="at least one"):
        leaning(model, [], np.random.default_rng(0))
