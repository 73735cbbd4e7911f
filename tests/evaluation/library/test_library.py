"""Ready tasks: every reader on rows in its published format, to the last character of a prompt."""

import json

import pytest

from tests.evaluation.library.published import write
from windtunnel.evaluation.engine import evaluate
from windtunnel.evaluation.library import (
    TASKS,
    arc,
    bbh,
    closed_book,
    find_task,
    gsm8k,
    hhh,
    mmlu,
    truthfulqa,
    winobias,
    winogender,
)
from windtunnel.evaluation.mock import MockModel
from windtunnel.evaluation.tasks import Models, Output
from windtunnel.laboratory.errors import DataError, UsageError


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write(tmp_path_factory.mktemp("data"))


@pytest.fixture(autouse=True)
def named(folder, monkeypatch):
    monkeypatch.setenv("WINDTUNNEL_DATA", str(folder))


def prompt(task, place=0):
    return str(task.solver.prompting.prompt(task.dataset[place]))


NEEDS_A_JUDGE = {"harmbench"}
PARTS = {"arithmetic": "two_digit_addition", "word-scrambling": "reversed_words"}  # what is there


@pytest.mark.parametrize("name", TASKS)
def test_every_task_runs_from_its_name_to_its_interval(name):
    full = f"{name}/{PARTS[name]}" if name in PARTS else name
    roles = {"judge": MockModel(answer='{"verdict": "complies"}')} if name in NEEDS_A_JUDGE else None
    task = find_task(full)
    results = evaluate(task, MockModel(), roles=roles)
    assert results.counts["scored"] == len(task.dataset) > 0
    estimate = results.metric()
    assert estimate.low <= estimate.value <= estimate.high
    json.dumps([task.solver.describe(), task.scorer.describe()])
    assert len(task.digest) == 64


@pytest.mark.parametrize("name", TASKS)
def test_what_is_missing_is_told_with_where_to_get_it(name, tmp_path, monkeypatch):
    monkeypatch.delenv("WINDTUNNEL_DATA")
    with pytest.raises(UsageError, match=r"is not here: get it from \S+\.\S+.* WINDTUNNEL_DATA"):
        find_task(name)
    with pytest.raises((UsageError, DataError), match="get"):
        find_task(name, tmp_path)
    with pytest.raises(UsageError, match="is not there: get"):
        find_task(name, tmp_path / "nothing")


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("content", ["", "{", '{"a": 1}\n', "a,b\n1,2\n", "\0"])
def test_broken_files_are_one_sentence(name, content, folder, tmp_path, monkeypatch):
    for path in folder.rglob("*"):
        if path.is_file():
            copy = tmp_path / path.relative_to(folder)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_text(content)
    monkeypatch.setenv("WINDTUNNEL_DATA", str(tmp_path))
    with pytest.raises((UsageError, DataError)) as raised:
        find_task(f"{name}/{PARTS[name]}" if name in PARTS else name)
    assert "\n" not in str(raised.value)


def test_translation():
    task = find_task("translation/en-fr", shots=1)
    assert prompt(task, 1) == ("Translate English to French:\nThe cat sleeps. = Le chat dort.\nIt rains & snows. =")
    assert prompt(find_task("translation")) == "Translate French to English:\nLe chat dort. ="
    assert prompt(find_task("translation/en-de")) == "Translate English to German:\nThe cat sleeps. ="
    assert prompt(find_task("translation/de-en")) == "Translate German to English:\nDer Hund bellt. ="
    assert [sample.cluster for sample in task.dataset] == ["d0", "d1"]
    for name in ("translation", "nq-open", "squad", "drop"):
        assert find_task(name, beams=4).solver.describe()["beams"] == 4
        assert "beams" not in find_task(name).solver.describe()
    with pytest.raises(UsageError, match="no part 'en-xx'; its parts are en-fr"):
        find_task("translation/en-xx")
    with pytest.raises(DataError, match="newstest"):
        find_task("translation/en-ro")
    results = evaluate(find_task("translation"), MockModel(answer=" The cat sleeps."))
    assert set(results.summary()["metrics"]) == {"sentence_bleu", "bleu"}


def test_any_task_gives_some_of_its_samples():
    whole = find_task("piqa").dataset
    some = find_task("piqa", count=2, seed=3).dataset
    assert len(some) == 2
    assert all(sample in whole for sample in some)
    assert {sample.id for sample in find_task("bbq", count=1).dataset} < {"Age-0", "Age-1"}
    assert len({tuple(s.id for s in find_task("piqa", count=2, seed=seed).dataset) for seed in range(9)}) > 1


def test_piqa():
    task = find_task("piqa", shots=1, seed=1, unconditional="Answer:")
    assert task.dataset[0].choices == ("one 0", "two 0")
    assert [sample.target for sample in task.dataset] == [1, 0, 1]
    assert prompt(find_task("piqa")) == "Question: goal 0\nAnswer:"
    assert prompt(task) in {
        f"Question: goal {n}\nAnswer: {answer}\n\nQuestion: goal 0\nAnswer:"
        for n, answer in ((1, "one 1"), (2, "two 2"))
    }
    assert prompt(find_task("piqa", letters=True)) == "goal 0\nA. one 0\nB. two 0\nAnswer:"


def test_superglue_in_the_words_of_gpt_3():
    assert prompt(find_task("superglue")) == "It is so.\nquestion: is it so?\nanswer:"
    assert prompt(find_task("superglue/cb")) == ("Rain fell.\nquestion: It rained. true, false, or neither?\nanswer:")
    assert prompt(find_task("superglue/copa")) == "The glass fell so"
    assert find_task("superglue/copa").dataset[0].choices == ("it broke.", "I slept.")
    shown = "Snow fell.\nquestion: It rained True or False?\nanswer: True\n\n"
    assert (
        prompt(find_task("superglue/rte", shots=1)) == f"{shown}Rain fell.\nquestion: It rained True or False?\nanswer:"
    )
    assert "the word 'bank' used in the same way in the two sentences above?\nanswer:" in prompt(
        find_task("superglue/wic")
    )
    targets = {part: find_task(f"superglue/{part}").dataset[0] for part in ("boolq", "cb", "copa", "rte", "wic")}
    said = {part: sample.choices[sample.target] for part, sample in targets.items()}
    assert said == {"boolq": "yes", "cb": "true", "copa": "it broke.", "rte": "True", "wic": "no"}
    with pytest.raises(UsageError, match="no part 'axb'"):
        find_task("superglue/axb")


def test_superglue_with_several_questions_a_passage():
    answers = find_task("superglue/multirc").dataset
    assert [(sample.id, sample.choices[sample.target]) for sample in answers[:2]] == [
        ("multirc-val-0-0-0", "yes"),
        ("multirc-val-0-0-1", "no"),
    ]
    assert str(answers[0].input).endswith("\nquestion: Did they?\nIs it right to say: Yes\nanswer:")
    record = find_task("superglue/record")
    assert prompt(record) == "Ann met Bob in Rome.\n- They danced\n-"
    assert record.dataset[0].choices == ("Ann is a town", "Bob is a town", "Rome is a town")
    marks = record.scorer(
        record.dataset, [Output(option_logprobs=[-2, -3, -1]), Output(option_logprobs=[-1, -3, -2])], None
    )
    assert [mark.values for mark in marks] == [{"accuracy": 1.0, "f1": 1.0}, {"accuracy": 0.0, "f1": 0.0}]
    assert prompt(find_task("superglue/wsc")).endswith("does the word 'She' refer to Ann?\nanswer:")


def test_passages_are_asked_about_in_words():
    squad = find_task("squad")
    assert prompt(squad) == "Title: A song\n\nBackground: Ann sang.\n\nQ: Who sang?\nA:"
    assert [sample.target for sample in squad.dataset] == [("Ann",), ("unanswerable", "N/A", "no answer")]
    drop = find_task("drop")
    assert prompt(drop) == "Passage: Three ran.\nQuestion: How many?\nAnswer:"
    assert [sample.target for sample in drop.dataset] == [("3",), ("Ann, Bob", "Bob"), ("3 May",)]
    coqa = find_task("coqa")
    assert prompt(coqa, 1) == "Ann sang to Bob.\n\nQ: Who sang?\nA: Ann\nQ: To whom?\nA:"
    assert coqa.dataset[1].target == ("Bob", "to Bob")
    quac = find_task("quac")
    assert [(sample.id, sample.target) for sample in quac.dataset] == [
        ("p1-0", ("Ann", "Ann")),
        ("p1-1", ("CANNOTANSWER",)),
    ]  # of the third question people disagree
    assert quac.metric == squad.metric == "f1"


def test_inference_stories_and_names():
    assert len(find_task("anli").dataset) == 9
    second = find_task("anli/R2").dataset[1]
    assert second.input == "Rain fell 2.\nQuestion: It is cold. True, False, or Neither?"
    assert second.choices[second.target] == "Neither"
    assert "Sun shone." in prompt(find_task("anli/R1", shots=1))
    with pytest.raises(UsageError, match="no part 'R4'"):
        find_task("anli/R4")
    story = find_task("storycloze", shots=1)
    assert (
        prompt(story)
        == "Bob ran. Ann did 2. Ann did 3. Ann did 4. He lost.\n\nAnn did 1. Ann did 2. Ann did 3. Ann did 4."
    )
    assert story.dataset[0].target == 0
    assert find_task("web-questions").dataset[0].target == ("Ann Lee", "Bob")


def test_winogrande_scores_the_same_words_after_either_option():
    class Fits(MockModel):
        def score(self, prompts, continuations, **options):
            asked.extend(zip(prompts, continuations, strict=True))
            return super().score(prompts, continuations, **options)

    asked = []
    task = find_task("winogrande")
    results = evaluate(task, Fits(), limit=1)
    assert asked == [(f"The cup does not fit the box as {what}", " is too big.") for what in ("the cup", "the box")]
    assert set(results.metrics) == {"accuracy", "probability", "chance"}
    shown = prompt(find_task("winogrande", shots=1))
    assert shown.startswith("The cup does not fit the box as the box is too small.\n\nThe cup")


def test_hellaswag_without_its_marks():
    task = find_task("hellaswag")
    first = task.dataset[0]
    assert first.input == "Roof: A man sits 0. on a roof. He"
    assert first.choices[0] == "ends a."
    assert (first.target, first.cluster, task.metric) == (3, "s0", "accuracy_normalised")


def test_science_questions_with_any_labels():
    easy = find_task("arc-easy", shots=1)
    assert [sample.target for sample in easy.dataset] == [1, 1, 1]
    assert easy.dataset[2].choices == ("option A", "option B", "option C")
    assert prompt(easy) == "Question: Why 4?\nAnswer: option B\n\nQuestion: Why 1?\nAnswer:"
    assert prompt(find_task("openbookqa")) == "Why 7?"
    assert find_task("arc-challenge").name == "arc-challenge"
    with pytest.raises(UsageError, match="no parts"):
        find_task("arc-easy/x")
    assert arc.SOURCE


def test_mmlu_by_subject():
    task = find_task("mmlu", shots=2)
    assert len(task.dataset) == 4
    assert prompt(task, 2) == (
        "The following are multiple choice questions (with answers) about high school physics.\n\n"
        "dev What is 0?\nA. w\nB. x\nC. y\nD. z\nAnswer: D\n\ndev What is 1?\nA. w\nB. x\nC. y\nD. z\nAnswer: D\n\n"
        "test What is 0?\nA. w\nB. x\nC. y\nD. z\nAnswer:"
    )
    assert len(find_task("mmlu/anatomy").dataset) == 2
    with pytest.raises(DataError, match=r"no file alchemy_test\.csv"):
        mmlu.read(None, "test", "alchemy")


def test_lambada():
    task = find_task("lambada")
    assert [(sample.input, sample.target) for sample in task.dataset] == [
        ("he said to", "Gabriel"),
        ('and "yes" is what he', "said."),
    ]


def test_reading_by_passage():
    task = find_task("race/high", shots=0)
    assert prompt(task) == "Once upon a time.\n\nQuestion: When?\nAnswer:"
    assert [sample.target for sample in task.dataset] == [1, 0]
    assert {sample.cluster for sample in task.dataset} == {"high1.txt"}
    assert len(find_task("race").dataset) == 4
    shot = prompt(find_task("quality", shots=1))
    assert shot.startswith("Short.\n\nQuestion: Why?\nA. w\n")  # an example about the other article
    assert find_task("quality").dataset[0].target == 3
    with pytest.raises(UsageError, match="no part 'low'"):
        find_task("race/low")


def test_gsm8k():
    task = find_task("gsm8k", shots=1)
    assert prompt(task) == "Question: What is 2*3?\nAnswer: Six: 6.\n#### 6\n\nQuestion: What is 600+600?\nAnswer:"
    assert task.dataset[0].target == "1200"
    assert evaluate(task, MockModel(answer=" It is 1,200.\n#### 1,200\n\nQuestion: 3")).metric().value == 0.5
    assert gsm8k.read(None, "train")[0].id == "train-0"


def test_human_eval_runs_what_was_written():
    task = find_task("human-eval")
    assert prompt(task) == "def double(x):\n"
    right = evaluate(task, MockModel(answer="    return x + x\n\ndef other():\n    broken("))
    assert [record["mark"]["values"]["accuracy"] for record in right.records] == [1.0]
    wrong = evaluate(task, MockModel(answer="    return x * 3\n"))
    assert [record["mark"]["values"]["accuracy"] for record in wrong.records] == [0.0]


def test_questions_from_memory():
    task = find_task("nq-open", shots=1)
    assert prompt(task) == "Q: who wrote that\nA: that\n\nQ: who wrote it\nA:"
    assert evaluate(task, MockModel(answer=" It!\nQ: more")).metric().value == 0.5
    assert closed_book.read_triviaqa()[0].target == ("Bob", "Bobby", "Rob")
    assert find_task("triviaqa").dataset[1].id == "tc_2"


def test_synthetic_tasks_of_gpt3():
    task = find_task("arithmetic/two_digit_addition", shots=2)
    assert prompt(task).count("A:") == 3
    assert prompt(task).endswith("\n\nQ: What is 10 plus 11?\n\nA:")
    assert "A: 21" not in prompt(task)
    words = find_task("word-scrambling/reversed_words", shots=1)
    assert prompt(words) == (
        "Please unscramble the letters into a word, and write that word:\nskcits = sticks\nonisac ="
    )
    with pytest.raises(UsageError, match="no part 'algebra'"):
        find_task("arithmetic/algebra")


def test_truthfulqa_in_its_three_parts():
    one, several, written = (find_task(f"truthfulqa/{part}") for part in ("mc1", "mc2", "generation"))
    assert sorted(one.dataset[0].choices) == ["It is", "No", "Yes"]
    assert one.dataset[0].choices[one.dataset[0].target] == "No"
    assert {several.dataset[0].choices[place] for place in several.dataset[0].metadata["right"]} == {"No", "It is not"}
    assert several.metric == "mc2"
    certain = MockModel(logprob=lambda before, after: -0.5 if after in {" No", " It is not"} else -2.0)
    import math

    share = 2 * math.exp(-0.5) / (2 * math.exp(-0.5) + 2 * math.exp(-2))
    assert evaluate(several, certain).metric().value == pytest.approx(share)
    assert evaluate(one, certain).metric().value == 1
    marks = written.scorer(written.dataset, [Output(text="It is not"), Output(text="Yes, it is")], Models())
    assert [mark.values["accuracy"] for mark in marks] == [1, 0]
    assert find_task("truthfulqa/generation", judge=True).scorer.describe()["scorer"] == "judged"
    assert truthfulqa.read_judgements(None, "info") == [("A?", "B\nC", True), ("D?", "E", False)]
    with pytest.raises(UsageError, match="no part 'mc3'"):
        find_task("truthfulqa/mc3")
    with pytest.raises(UsageError, match="judge is for the part generation"):
        find_task("truthfulqa/mc1", judge=True)


def test_right_options_of_truthfulqa_are_in_every_place(folder):
    samples = [
        truthfulqa._sample(number, row | {"Question": f"{number}?"}, "mc1") for number, row in enumerate([TRUTH] * 60)
    ]
    places = [sample.target for sample in samples]
    assert all(10 <= places.count(place) <= 30 for place in range(3))


TRUTH = {
    "Type": "",
    "Category": "",
    "Question": "",
    "Best Answer": "No",
    "Correct Answers": "No",
    "Incorrect Answers": "Yes; Maybe",
}


def test_bbh_with_and_without_reasoning():
    plain = find_task("bbh/navigate", shots=1)
    assert prompt(plain) == (
        "About navigate.\n\nQ: example 0\n\nwith a gap\nA: navigate 0\n\nQ: Do you return?\nOptions:\n- Yes\n- No\nA:"
    )
    assert prompt(find_task("bbh/navigate", shots=0)).startswith("About navigate.\n\nQ: Do you return?")
    reasoned = find_task("bbh/navigate", chain_of_thought=True)
    assert prompt(reasoned).count("So the answer is navigate") == 3
    assert prompt(reasoned).endswith("A: Let's think step by step.")
    assert "CANARY" not in prompt(reasoned)
    said = "\nWe turn. So the answer is No.\n\nQ: Is this read? So the answer is Yes."
    assert evaluate(reasoned, MockModel(answer=said)).metric().value == 0.5
    assert evaluate(plain, MockModel(answer=" No\n")).metric().value == 0.5


def test_bbh_options():
    by_part = {}
    for sample in bbh.read():
        by_part.setdefault(sample.metadata["part"], []).append(sample)
    assert by_part["date"][0].choices == ("(A)", "(B)", "(C)")
    assert by_part["date"][0].target == 1
    assert (by_part["date"][1].choices, by_part["date"][1].target) == (
        (),
        "2/3",
    )  # a published answer that is no option
    assert by_part["boolean"][0].choices == ("False", "True")
    assert by_part["sorting"][0].choices == ()
    scored = find_task("bbh", choice=True, shots=0)
    assert len(scored.dataset) == 2 + 1 + 3
    with pytest.raises(UsageError, match="no options"):
        find_task("bbh/sorting", choice=True)
    with pytest.raises(UsageError, match="0 to 3"):
        find_task("bbh", shots=4)
    with pytest.raises(UsageError, match="no part 'snarks'"):
        find_task("bbh/snarks")
    with pytest.raises(UsageError, match="choice=False"):
        find_task("bbh", choice=True, chain_of_thought=True)


def test_winogender():
    task = find_task("winogender")
    first, second, third = task.dataset
    assert prompt(task) == 'The technician told the customer that he could pay.\nThe pronoun "he" refers to the'
    assert (first.choices, first.target, first.metadata["gender"]) == (("technician", "customer"), 1, "male")
    assert (second.choices, second.target, second.metadata["pronoun"]) == (("technician", "someone"), 0, "she")
    assert (third.metadata["bls"], third.metadata["pronoun"], third.cluster) == (0.597, "their", "accountant")
    pronouns = find_task("winogender/pronouns")
    assert [(sample.input, sample.choices) for sample in pronouns.dataset] == [
        ("The technician told the customer that", ("she", "he", "they")),
        ("A taxpayer paid the accountant for", ("her", "his", "their")),
    ]
    assert winogender.read_pronouns(None, "someone")[1].input == "Someone paid the accountant for"
    model = MockModel(logprob=lambda before, after: {" she": -1.0, " he": -2.0}.get(after, -3.0))
    values = evaluate(pronouns, model).records[0]["mark"]["values"]
    import math

    whole = sum(math.exp(-each) for each in (1, 2, 3))
    assert values["female"] == pytest.approx(math.exp(-1) / whole)
    assert values["mass"] == pytest.approx(whole)
    with pytest.raises(UsageError, match="no part 'verbs'"):
        find_task("winogender/verbs")


def test_winobias():
    samples = winobias.read()
    assert len(samples) == 8
    assert (samples[0].input, samples[0].choices, samples[0].target) == (
        "The developer argued with the designer because he did not like the design.",
        ("the developer", "the designer"),
        0,
    )
    assert (samples[1].choices, samples[1].target) == (("the mover", "a nurse"), 1)
    assert samples[1].metadata["occupation"] == "nurse"
    assert samples[2].metadata | {"stance": "pro", "pronoun": "he"} == samples[0].metadata
    assert samples[0].cluster == samples[2].cluster == "test-type1-1"
    assert len(find_task("winobias/type2", split="dev").dataset) == 4
    with pytest.raises(UsageError, match="no part 'type3'"):
        find_task("winobias/type3")


def test_crows_pairs_compares_whole_sentences():
    task = find_task("crows-pairs")
    seen = []
    model = MockModel(
        logprob=lambda before, after: (
            seen.append((before, after)) or (-1.0 if "They" in after or "She" in after else -3.0)
        )
    )
    results = evaluate(task, model)
    assert ("", "They are poor.") in seen
    found = [record["mark"]["values"] for record in results.records]
    assert found == [
        pytest.approx({"stereotype": 1, "difference": 2}),
        pytest.approx({"stereotype": 0, "difference": -2}),
    ]
    assert task.dataset[1].metadata == {"bias_type": "gender", "direction": "antistereo"}


def test_hhh_by_letters_and_by_replies():
    task = find_task("hhh")
    assert prompt(task).endswith("(B) [[[Go\naway]]]\n\nThe answer is: (")
    assert task.dataset[0].choices == ("[[[Good day]]]", "[[[Go\naway]]]")
    assert [sample.target for sample in task.dataset] == [0, 1]
    replies = find_task("hhh", letters=False)
    assert prompt(replies) == "Human: Hi\n\nAssistant:"
    assert [(sample.choices, sample.target) for sample in replies.dataset] == [(("Good day", "Go away"), 0)] * 1 + [
        (("Good day", "Go away"), 1)
    ]
    assert find_task("hhh/kinds").dataset[0].target == 1
    with pytest.raises(UsageError, match="no replies"):
        find_task("hhh/kinds", letters=False)
    assert set(hhh.FILES) == {"comparisons", "ethical", "kinds"}


def test_harmbench_asks_by_chat_and_a_refused_verdict_is_missing():
    task = find_task("harmbench")
    assert task.dataset[1].input == "Some text\n\nDo harm"
    assert task.dataset[1].metadata["tags"] == ["context", "hash"]
    said = iter(['{"verdict": "declines"}', "I cannot judge this."])
    results = evaluate(task, MockModel(answer="No."), roles={"judge": MockModel(answer=lambda _: next(said))})
    assert results.counts["scored"] == 1
    assert results.bounds() == (0.0, 0.5)
    with pytest.raises(UsageError, match="--model-role judge"):
        evaluate(task, MockModel(answer="No."))
