import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from windtunnel.data.tokenizers import BytePairTokenizer, ByteTokenizer, fingerprint, load
from windtunnel.laboratory.errors import DataError, UsageError

TEXTS = ["the cat sat on the mat, and the other cat sat too\n", "naïve café: über-große Straße 東京 🚀\n"] * 5
PAIRS = BytePairTokenizer.train(TEXTS, 300)
TOKENIZERS = pytest.mark.parametrize("tokenizer", [ByteTokenizer(), PAIRS], ids=["bytes", "pairs"])


@TOKENIZERS
@given(text=st.text())
def test_any_text_comes_back(tokenizer, text):
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    assert all(0 <= one < tokenizer.vocabulary for one in ids)
    assert not {tokenizer.bos, tokenizer.eos, tokenizer.pad} & set(ids)


@TOKENIZERS
def test_specials_are_distinct_and_shown_by_name_but_not_read_from_text(tokenizer):
    specials = [tokenizer.bos, tokenizer.eos, tokenizer.pad]
    assert len(set(specials)) == 3
    named = tokenizer.decode([tokenizer.bos, *tokenizer.encode("hi"), tokenizer.eos])
    assert named == "<|bos|>hi<|eos|>"
    assert not set(specials) & set(tokenizer.encode(named))
    assert tokenizer.decode(tokenizer.encode(named)) == named


@TOKENIZERS
def test_saved_and_loaded_is_the_same(tokenizer, tmp_path):
    mark = fingerprint(tokenizer)
    tokenizer.save(tmp_path)
    again = load(tmp_path)
    assert type(again) is type(tokenizer)
    assert (again.vocabulary, again.bos, again.eos, again.pad) == (
        tokenizer.vocabulary,
        tokenizer.bos,
        tokenizer.eos,
        tokenizer.pad,
    )
    for text in [*TEXTS, "<|eos|> \x00\t  spaces "]:
        assert again.encode(text) == tokenizer.encode(text)
    assert fingerprint(again) == mark == fingerprint(tokenizer)


@TOKENIZERS
def test_transformers_reads_it(tokenizer, tmp_path):
    from transformers import AutoTokenizer

    tokenizer.save(tmp_path)
    theirs = AutoTokenizer.from_pretrained(tmp_path)
    assert (theirs.bos_token_id, theirs.eos_token_id, theirs.pad_token_id) == (
        tokenizer.bos,
        tokenizer.eos,
        tokenizer.pad,
    )
    assert len(theirs) == tokenizer.vocabulary
    for text in [*TEXTS, "say <|eos|> , please ."]:
        assert theirs.encode(text, add_special_tokens=False) == tokenizer.encode(text)
        assert theirs.decode(tokenizer.encode(text)) == text


def test_training_merges_what_is_common_and_is_deterministic():
    assert PAIRS.vocabulary == 300
    assert len(PAIRS.encode("the cat sat")) < 11
    again = BytePairTokenizer.train(iter(TEXTS), 300)
    assert fingerprint(again) == fingerprint(PAIRS)
    assert fingerprint(BytePairTokenizer.train(TEXTS, 290)) != fingerprint(PAIRS)
    assert BytePairTokenizer.train(["ab"], 1000).vocabulary == 259


def test_too_small_a_vocabulary_is_refused():
    with pytest.raises(UsageError, match="at least 259"):
        BytePairTokenizer.train(TEXTS, 258)


@TOKENIZERS
def test_half_a_surrogate_pair_and_foreign_ids_are_refused(tokenizer):
    with pytest.raises(UsageError, match="character 2"):
        tokenizer.encode("ab\ud800")
    for wrong in (-1, tokenizer.vocabulary):
        with pytest.raises(UsageError, match=f"Token id {wrong} is outside"):
            tokenizer.decode([1, wrong])


def test_a_foreign_tokenizer_without_specials_is_read(tmp_path):
    PAIRS.save(tmp_path)
    (tmp_path / "tokenizer_config.json").unlink()
    foreign = load(tmp_path)
    assert (foreign.bos, foreign.eos, foreign.pad) == (None, None, None)
    assert foreign.encode(TEXTS[1]) == PAIRS.encode(TEXTS[1])


def test_nothing_to_load_is_explained(tmp_path):
    with pytest.raises(DataError, match=r"has no tokenizer\.json"):
        load(tmp_path)


@settings(max_examples=60, deadline=None)
@given(
    broken=st.one_of(st.binary(max_size=200), st.text(max_size=50).map(lambda text: f'{{"model": "{text}"}}'.encode()))
)
def test_any_other_file_is_an_explained_error(tmp_path_factory, broken):
    directory = tmp_path_factory.mktemp("broken")
    (directory / "tokenizer.json").write_bytes(broken)
    with pytest.raises(DataError, match="is not a tokenizer"):
        load(directory)


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_a_truncated_file_is_an_explained_error(tmp_path_factory, data):
    directory = tmp_path_factory.mktemp("cut")
    PAIRS.save(directory)
    path = directory / "tokenizer.json"
    whole = path.read_bytes().rstrip()
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    with pytest.raises(DataError, match="is not a tokenizer"):
        load(directory)
