"""Prompts: every character where it should be, no example that gives the answer away, the same words the same hash."""

import json

import pytest

from windtunnel.evaluation import asking
from windtunnel.evaluation.mock import MockModel
from windtunnel.evaluation.prompting import (
    LETTERED,
    PARENTHESISED,
    QUESTION,
    FewShot,
    Format,
    Prompt,
    Prompting,
    few_shot,
)
from windtunnel.evaluation.tasks import Sample
from windtunnel.laboratory.errors import DataError, Unsupported, UsageError


def question(number, cluster=None, **fields):
    fields = {"choices": ("red", "blue", "green"), "target": number % 3} | fields
    return Sample(f"q{number}", f"What colour is {number}?", cluster=cluster, **fields)


POOL = tuple(question(number, cluster=f"c{number // 2}") for number in range(10))


def test_zero_and_few_shot_text_character_by_character():
    asked = question(20)
    assert Prompting().prompt(asked).text == "Question: What colour is 20?\nAnswer:"
    listed = few_shot(POOL, 2, shuffle=False)
    assert Prompting(shots=listed).prompt(asked).text == (
        "Question: What colour is 0?\nAnswer: red\n\nQuestion: What colour is 1?\nAnswer: blue\n\n"
        "Question: What colour is 20?\nAnswer:"
    )
    lettered = Prompting(LETTERED, few_shot(POOL, 1, shuffle=False), letters=True)
    assert lettered.prompt(asked).text == (
        "What colour is 0?\nA. red\nB. blue\nC. green\nAnswer: A\n\n"
        "What colour is 20?\nA. red\nB. blue\nC. green\nAnswer:"
    )
    assert lettered.lead == " "
    forced = Prompting(PARENTHESISED, few_shot(POOL, 1, shuffle=False), letters=True)
    assert forced.prompt(asked).text == (
        "What colour is 0?\n(A) red\n(B) blue\n(C) green\nAnswer: (A)\n\n"
        "What colour is 20?\n(A) red\n(B) blue\n(C) green\nAnswer: ("
    )
    assert forced.lead == ""


def test_a_format_of_ones_own_with_metadata_functions_braces_and_instruction():
    form = Format(
        "{{{topic}}} {input} =>",
        answer=lambda sample: sample.metadata["topic"].upper(),
        separator="\n",
        instruction="Say the topic.\n\n",
    )
    pool = [question(number, metadata={"topic": f"t{number}"}) for number in range(2)]
    asked = question(5, metadata={"topic": "t5"})
    assert Prompting(form, few_shot(pool, 1, shuffle=False)).prompt(asked).text == (
        "Say the topic.\n\n{t0} What colour is 0? => T0\n{t5} What colour is 5? =>"
    )
    with pytest.raises(DataError, match="topic"):
        Prompting(form).prompt(question(6))


def test_a_question_that_holds_its_answer_is_refused():
    with pytest.raises(UsageError, match="give the answer away"):
        Prompting(Format("{input} Hint: {answer}")).prompt(question(1))


def test_text_of_a_sample_with_braces_is_not_a_template():
    odd = Sample("odd", "What is {input} and {0}?", "a {brace}")
    assert Prompting(shots=few_shot([odd], 1)).prompt(Sample("a", "{}", "b")).text == (
        "Question: What is {input} and {0}?\nAnswer: a {brace}\n\nQuestion: {}\nAnswer:"
    )


@pytest.mark.parametrize("each", [False, True])
def test_no_example_is_the_sample_or_of_its_cluster_or_its_twin(each):
    twin = Sample("other-id", POOL[3].input, POOL[3].target, POOL[3].choices)
    shots = few_shot((*POOL, twin), 8, seed=3, each=each)
    for asked in (*POOL, twin):
        chosen = shots.choose(asked)
        assert len({example.id for example in chosen}) == 8
        assert asked.id not in {example.id for example in chosen}
        assert asked.input not in {example.input for example in chosen}
        if asked.cluster:
            assert asked.cluster not in {example.cluster for example in chosen}
    with pytest.raises(DataError, match="8 examples"):
        few_shot(POOL, 9, each=each).choose(POOL[0])
    assert len(few_shot(POOL, 9, each=each).choose(question(50))) == 9


def test_shared_examples_are_the_same_for_all_and_drawn_ones_are_not():
    asked = [question(number) for number in range(100, 130)]
    shared = few_shot(POOL, 3, seed=1)
    assert len({tuple(example.id for example in shared.choose(each)) for each in asked}) == 1
    drawn = few_shot(POOL, 3, seed=1, each=True)
    assert len({tuple(example.id for example in drawn.choose(each)) for each in asked}) > 20
    assert [example.id for example in drawn.choose(asked[0])] == [example.id for example in drawn.choose(asked[0])]
    seeds = {tuple(example.id for example in few_shot(POOL, 3, seed=seed).choose(asked[0])) for seed in range(20)}
    assert len(seeds) > 15


def test_a_leaking_example_is_replaced_and_the_others_stay():
    shots = few_shot(POOL, 3, seed=1)
    usual = shots.choose(question(100))
    instead = shots.choose(usual[1])
    assert instead[0] == usual[0]
    assert usual[1] not in instead
    assert len(instead) == 3


def test_examples_stay_within_a_part():
    pool = [question(number, metadata={"part": "ab"[number % 2]}) for number in range(12)]
    shots = few_shot(pool, 4, within="part", seed=2)
    for asked in pool:
        assert {example.metadata["part"] for example in shots.choose(asked)} == {asked.metadata["part"]}
    assert shots.describe() != few_shot(pool, 4, seed=2).describe()


def test_a_function_with_a_description_is_told_by_it():
    class Asked:
        def __init__(self, word):
            self.word = word

        def __call__(self, sample):
            return f"{self.word} {sample.input}"

        def describe(self):
            return {"asked with": self.word}

    assert Format(Asked("Say")).ask(question(1)) == "Say What colour is 1?"
    assert Format(Asked("Say")).describe()["question"] == {"asked with": "Say"}
    assert Format(lambda sample: "").describe()["question"].endswith("<lambda>")


def test_the_training_split_is_preferred():
    train = [question(number) for number in range(200, 205)]
    assert all(example in train for example in few_shot(train, 3, test=POOL).choose(POOL[0]))
    assert all(example in POOL for example in few_shot([], 3, test=POOL).choose(POOL[0]))
    assert few_shot(train, 0) is None
    with pytest.raises(UsageError, match="-1"):
        few_shot(train, -1)
    with pytest.raises(DataError, match="there are 5 samples"):
        few_shot(train, 6, test=POOL)


def test_conversations_have_examples_as_turns_or_as_text():
    shots = few_shot(POOL, 1, shuffle=False)
    form = Format("{input}", instruction="Be brief. ", opening="(", answer="{answer})")
    turns = Prompting(form, shots, chat=True).prompt(question(20))
    assert turns == Prompt(
        turns=(
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "What colour is 0?"},
            {"role": "assistant", "content": "(red)"},
            {"role": "user", "content": "What colour is 20?"},
        ),
        opening="(",
    )
    text = Prompting(form, shots, chat=True, turns=False).prompt(question(20))
    assert [turn["role"] for turn in text.turns] == ["system", "user"]
    assert text.turns[1]["content"] == "What colour is 0? (red)\n\nWhat colour is 20?"
    said = (
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Hi"},
        {"role": "user", "content": "?"},
    )
    talked = Prompting(Format("{input}!"), chat=True).prompt(Sample("talk", said))
    assert talked.turns == (*said[:2], {"role": "user", "content": "?!"})
    with pytest.raises(UsageError, match="chat"):
        Prompting().prompt(Sample("talk", said))


def test_the_hash_changes_with_every_word_and_the_description_with_every_choice():
    asked = [question(number) for number in range(3)]
    usual = Prompting(QUESTION, few_shot(POOL, 2, seed=1))
    others = [
        Prompting(QUESTION, few_shot(POOL, 2, seed=2)),
        Prompting(QUESTION, few_shot(POOL, 1, seed=1)),
        Prompting(Format("Question: {input}\nAnswer: "), few_shot(POOL, 2, seed=1)),
        Prompting(QUESTION, few_shot(POOL, 2, seed=1), chat=True),
        Prompting(QUESTION, few_shot(POOL, 2, seed=1), chat=True, turns=False),
    ]
    assert usual.hash(asked) == Prompting(QUESTION, few_shot(POOL, 2, seed=1)).hash(asked)
    assert len({prompting.hash(asked) for prompting in [usual, *others]}) == 6
    assert len({json.dumps(prompting.describe()) for prompting in [usual, *others]}) == 6
    changed = FewShot((*POOL[:-1], question(99)), 2, 1)
    assert changed.describe() != few_shot(POOL, 2, seed=1).describe()


def test_a_chat_prompt_is_written_by_the_models_own_template_and_opened():
    model = MockModel(answer=lambda prompt: f"<{prompt}>")
    prompt = Prompt(turns=({"role": "user", "content": "the cat"},), opening="(")
    written = "user: the cat\nassistant:("
    assert asking.shown(model, prompt) == written
    seen = []
    model.logprob = lambda before, after: seen.append((before, after)) or -1.0
    asking.score(model, [prompt], [["A", "B"]])
    assert [before + after for before, after in seen] == [written + "A", written + "B"]
    assert asking.generate(model, [prompt], [0])[0].text == f"<{written}>"
    model.tokenizer = None
    with pytest.raises(Unsupported, match="chat"):
        asking.score(model, [prompt], [["A"]])
