"""The mock model: always the same answers, and nothing inside."""

import numpy as np
import pytest

from windtunnel.evaluation.mock import MockModel
from windtunnel.laboratory.errors import Unsupported, UsageError

PROMPTS = [f"Question {number}" for number in range(400)]


def texts(samples):
    return [sample.text for sample in samples]


def test_it_guesses_evenly_and_always_the_same():
    found = texts(MockModel().generate(PROMPTS, seed=1))
    assert found == texts(MockModel().generate(PROMPTS, seed=1))
    assert found != texts(MockModel().generate(PROMPTS, seed=2))
    greedy = texts(MockModel().generate(PROMPTS, temperature=0, seed=1))
    assert greedy == texts(MockModel().generate(PROMPTS, temperature=0, seed=2))
    shares = np.array([found.count(letter) for letter in "ABCD"]) / len(found)
    assert (abs(shares - 0.25) < 0.08).all()


def test_it_says_what_it_is_told():
    assert texts(MockModel("yes").generate(["a", "b"], samples_per_prompt=2)) == ["yes"] * 4
    assert texts(MockModel(str.upper).generate(["a", "b"])) == ["A", "B"]
    turns = [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}]
    assert MockModel(lambda prompt: prompt).chat(turns).text == "system: s\nuser: u\nassistant:"
    assert MockModel.named("mock:no").generate(["a"])[0].text == "no"


def test_it_stops_where_models_stop():
    (sample,) = MockModel("one two three").generate(["?"], stop=[" three", "w"])
    assert (sample.text, sample.stop_reason) == ("one t", "stop")
    (sample,) = MockModel("one two").generate(["?"], max_new_tokens=3)
    assert (sample.text, sample.stop_reason, len(sample.token_ids)) == ("one", "length", 3)
    assert MockModel("one").generate(["?"])[0].stop_reason == "end"


def test_its_scores():
    first, second = MockModel().score(["a", "a"], [" x", " yy"])
    assert -9 <= first.logprob < -1
    assert first.logprob != second.logprob
    assert (len(first.token_ids), len(second.token_ids)) == (2, 3)
    assert MockModel(logprob=lambda prompt, after: -float(len(after))).score(["p"], ["four"])[0].logprob == -4.0
    assert MockModel().score(["a"], [""])[0].logprob == 0
    with pytest.raises(UsageError, match="as many continuations"):
        MockModel().score(["a"], [])


def test_nothing_is_inside():
    model = MockModel()
    for name in ("module", "sites", "record", "shape"):
        with pytest.raises(Unsupported, match=f"no {name}"):
            getattr(model, name)
    with pytest.raises(Unsupported, match="no logits"):
        model([1, 2])
    assert model.tokenize("hé") == [104, 195, 169]
