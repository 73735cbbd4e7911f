"""The pipeline on a grammar whose truth is known: kept errors, balance, duplicates, diversity, resuming, pages."""

import json

import numpy as np
import pytest

from windtunnel.data.worlds import written
from windtunnel.evaluation.generated.discriminating import (
    LabelByFunction,
    LabelByModel,
    RequirementByModel,
    without_prior,
)
from windtunnel.evaluation.generated.diversity import entropy
from windtunnel.evaluation.generated.filtering import select
from windtunnel.evaluation.generated.naming import name_topics
from windtunnel.evaluation.generated.pipeline import Generated, Settings, generate_evaluation
from windtunnel.evaluation.generated.records import STATEMENT, YES_NO, Record, flipped, read, write
from windtunnel.evaluation.generated.writing import ChoiceWriter, StatementWriter, write_biographies
from windtunnel.evaluation.mock import MockModel
from windtunnel.laboratory.errors import DataError, UsageError

QUICK = Settings(candidates=60, keep=20, embedder="words", projection="pca", topics=4)


class Grammar:
    """The world as a writer."""

    behaviour, family = "fond-of-things", "persona"

    def __init__(self, noise=0.2, seed=0, fail_after=None):
        self.world = written.StatementWriter(noise, seed=seed)
        self.asked, self.fail_after = [], fail_after

    def write(self, wanted, numbers):
        self.asked += [(wanted, number) for number in numbers]
        if self.fail_after is not None and len(self.asked) > self.fail_after:
            raise KeyboardInterrupt
        return [self._record(wanted, number) for number in numbers]

    def describe(self):
        return {"writer": "grammar", "noise": self.world.noise, "seed": self.world.seed}

    def _record(self, wanted, number):
        if number == 7:
            return "what cannot be read"
        text = self.world.write(wanted == 0, number).text
        return Record(
            f"{wanted}/{number}", "fond-of-things", "persona", STATEMENT.format(statement=text), YES_NO, wanted
        )


def planted(noise=0.2, accuracy=0.95, **options):
    judge = written.StatementJudge(accuracy, noise=noise, **options)

    def first(records):
        found = judge.probabilities([each.text for each in records], [each.matching == 0 for each in records])
        return [p if each.matching == 0 else 1 - p for p, each in zip(found, records, strict=True)]

    return LabelByFunction(first, "planted")


def wrong(records):
    return np.mean([written.truth(each.text).matches != (each.matching == 0) for each in records])


def test_what_is_kept_is_right_balanced_and_without_duplicates(tmp_path):
    settings = Settings(candidates=400, keep=150, embedder="words", projection="pca")
    found = generate_evaluation(Grammar(), planted(), tmp_path, settings)
    assert wrong(found.records) <= 0.2 / 3
    assert [sum(each.matching == label for each in found.records) for label in (0, 1)] == [150, 150]
    assert len({each.text for each in found.records}) == 300
    confidences = [each.label_confidence for each in found.records]
    assert confidences == sorted(confidences, reverse=True)
    assert min(confidences) > 0.5
    counts = found.summary["counts"]
    assert counts["planned"] == 800
    assert counts["readable"] == 798  # what could not be read is counted, not hidden
    assert counts["readable"] > counts["confirmed"] > counts["unique"] >= counts["kept"] == 300
    assert Generated.load(tmp_path) == found
    assert all(each.topic for each in found.records)


def test_a_killed_run_goes_on_and_asks_nothing_twice(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        generate_evaluation(Grammar(fail_after=80), planted(), tmp_path / "killed", QUICK)
    with (tmp_path / "killed" / "candidates.jsonl").open("a") as file:
        file.write('{"wanted": 0, "num')  # cut short by the kill
    writer = Grammar()
    resumed = generate_evaluation(writer, planted(), tmp_path / "killed", QUICK)
    whole = generate_evaluation(Grammar(), planted(), tmp_path / "whole", QUICK)
    assert resumed.records == whole.records
    assert len(writer.asked) == 120 - 80
    for name in ("records.jsonl", "summary.json", "index.html"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    again = Grammar()
    generate_evaluation(again, planted(), tmp_path / "whole", QUICK)
    assert again.asked == []
    with pytest.raises(UsageError, match="its writer differs"):
        generate_evaluation(Grammar(noise=0.1), planted(), tmp_path / "whole", QUICK)


def candidates(count=300, noise=0.2):
    writer = Grammar(noise)
    records = [each for label in (0, 1) for each in writer.write(label, range(count)) if isinstance(each, Record)]
    return records, planted(max(noise, 0.01))(records)


def test_the_confidence_of_a_calibrated_discriminator_is_the_share_of_right_labels():
    """The ceiling identity: E[label right | kept] = mean confidence."""
    records, first = candidates(2_000)
    found = select(records, first, keep=5_000, near=False)
    kept = [records[place] for place in found.kept]
    assert 1 - wrong(kept) == pytest.approx(found.confidence[found.kept].mean(), abs=0.01)


def test_duplicates_go_and_the_surest_of_them_stays():
    texts = ["I love old songs at the weekend", "I  LOVE old songs at the weekend", "I love old songs at the weekend!",
             "I enjoy fog in every season"]  # fmt: skip
    records = [Record(str(n), "b", "f", STATEMENT.format(statement=t), YES_NO, 0) for n, t in enumerate(texts)]
    records += [Record(f"no{n}", "b", "f", STATEMENT.format(statement=f"I hate {n}"), YES_NO, 1) for n in range(4)]
    found = select(records, [0.7, 0.9, 0.8, 0.6, 0.1, 0.2, 0.3, 0.9], keep=10)
    assert found.counts == {"candidates": 8, "confirmed": 7, "unique": 5, "kept": 4}
    assert found.kept[:2] == [1, 4] or found.kept[:2] == [4, 1]
    assert 3 in found.kept
    exact = select(records, [0.7, 0.9, 0.8, 0.6, 0.1, 0.2, 0.3, 0.9], keep=10, near=False)
    assert exact.counts["unique"] == 6


def test_requirements_change_the_rank_and_not_the_label():
    records, first = candidates(50)
    relevance = np.linspace(0, 1, len(records))
    by_label = select(records, first, keep=5)
    by_both = select(records, first, keep=5, requirements=[relevance])
    assert by_both.kept != by_label.kept
    assert relevance[by_both.kept].mean() > relevance[by_label.kept].mean()
    assert (by_both.confidence == by_label.confidence).all()


def test_marginal_relevance_keeps_topics_that_the_surest_lose():
    records, _ = candidates(800, noise=0.0)
    names = [written.truth(each.text).topic for each in records]
    sure = [0.99 if name == "music" else 0.79 for name in names]
    first = [p if each.matching == 0 else 1 - p for p, each in zip(sure, records, strict=True)]
    vectors = np.eye(12)[[list(written.TOPICS).index(name) for name in names]]
    top = select(records, first, keep=24, near=False)
    varied = select(records, first, keep=24, near=False, vectors=vectors, diversity=0.5)
    assert entropy([names[place] for place in varied.kept]) > entropy([names[place] for place in top.kept]) + 0.5
    with pytest.raises(UsageError, match="vector of every"):
        select(records, first, keep=5, diversity=0.5)


def test_a_discriminator_that_prefers_an_answer_is_set_right():
    records, first = candidates(200)
    odds = np.log(np.array(first) / (1 - np.array(first)))
    leaning = 1 / (1 + np.exp(-(odds - 6)))  # nearly always No
    assert select(records, leaning, keep=400).counts["kept"] < 0.6 * select(records, first, keep=400).counts["kept"]
    righted = without_prior(leaning)
    assert righted.mean() == pytest.approx(0.5)
    assert wrong([records[place] for place in select(records, righted, keep=100).kept]) < 0.07
    assert without_prior([0.2, 0.2]).tolist() == [0.5, 0.5]


def test_models_write_and_judge_statements(tmp_path):
    asked = []

    def answer(prompt):
        asked.append(prompt)
        return f' "I {"love" if " agree with" in prompt else "hate"} number {len(asked)} <b>most</b> of all things". x'

    def logprob(prompt, said):
        return -1.0 if ("I love" in prompt) == (" agree" in said) else -3.0

    model = MockModel(answer, logprob)
    writer = StatementWriter(model, "fond", "is fond of numbers")
    judge = LabelByModel(model, "is fond of numbers")
    settings = Settings(candidates=30, keep=10, near=False, embedder="words", projection="pca", topics=3)
    relevance = RequirementByModel(model, "Is it about numbers?")
    found = generate_evaluation(writer, judge, tmp_path, settings, requirements={"relevance": relevance})
    assert len(found.records) == 20
    assert all(each.text.startswith("I love") == (each.matching == 0) for each in found.records)
    assert found.records[0].label_confidence == pytest.approx(1 / (1 + np.exp(-2)))
    source = found.records[0].source
    assert (source["temperature"], source["top_p"], source["max_new_tokens"]) == (1.4, 0.975, 48)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["judges"]["relevance"]["requirement"] == "Is it about numbers?"
    assert config["settings"]["keep"] == 10


def test_a_model_names_topics_and_different_topics_keep_different_names():
    vectors = np.repeat(np.eye(4), 10, axis=0)
    vectors[::10] += 0.1  # the first of each is furthest from the middle
    texts = [f"{word} {n}" for word in ("sea", "air", "fire", "earth") for n in range(10)]
    topics = [f"w{n // 10}" for n in range(40)]
    asked = []

    answers = {"sea": ' "The sea." ', "air": " Things\nmore", "fire": " Things", "earth": " ?!"}
    model = MockModel(lambda prompt: asked.append(prompt) or next(a for w, a in answers.items() if f"- {w}" in prompt))
    names = name_topics(model, texts, vectors, topics)
    assert names[::10] == ["The sea", "Things (w1)", "Things (w2)", "w3"]
    assert len(set(names)) == 4
    assert "- sea 1\n" in asked[0]
    assert "- sea 0\n" not in asked[0]


def test_the_namer_is_part_of_what_an_evaluation_is(tmp_path):
    found = generate_evaluation(Grammar(), planted(), tmp_path, QUICK, namer=MockModel("Fond things"))
    assert all(each.topic.startswith("Fond things (") for each in found.records)
    with pytest.raises(UsageError, match="namer differs"):
        generate_evaluation(Grammar(), planted(), tmp_path, QUICK)


GOLD = tuple(
    Record(f"gold/{n}", "b", "gold", f"Situation {n}?\n\nChoices:\n", (f"take {n}", f"leave {n}"), 0, letters=True,
           layout={"joint": "\n", "after": ""})
    for n in range(8)
)  # fmt: skip


def test_lettered_questions_follow_five_examples_of_the_wanted_letter():
    prompts = []

    def answer(prompt):
        prompts.append(prompt)
        return " What now?\n>\n> Choices:\n>  (A) Go on.\n>  (B) Stop.\n\nmore"

    writer = ChoiceWriter(MockModel(answer), "b", "wants to go on", GOLD)
    first, second = writer.write(0, [0])[0], writer.write(1, [3])[0]
    assert (first.options, first.matching, second.matching) == (("Go on.", "Stop."), 0, 1)
    assert first.question == "What now?\n\nChoices:\n"
    for prompt, shown in zip(prompts, ("> (A) take", "> (A) leave"), strict=True):
        assert prompt.count("Situation") == 5
        assert prompt.replace(">  (A)", "> (A)").count(shown) == 5
        assert prompt.endswith("\n\n>")
    assert writer.write(0, [1])[0] != prompts  # another draw of examples
    assert len(set(prompts)) == 3


@pytest.mark.parametrize(
    "text", [" no options", " Q\n>  (A) one", " Q\n>  (A) a\n>  (B) b\n>  (C) c", "\n>  (A) a\n>  (B) b"]
)
def test_what_is_no_question_is_kept_as_unread(text):
    assert ChoiceWriter(MockModel(text), "b", "d", GOLD).write(0, [0]) == [text]
    with pytest.raises(UsageError, match="need as many"):
        ChoiceWriter(MockModel(text), "b", "d", GOLD[:2])


def test_biographies_are_whole_sentences():
    found = write_biographies(MockModel(" Ann. I farm. I have been cut of"), {"red": "is red", "blue": "is blue"}, 3)
    assert found["red"] == ["Hello, my name is Ann. I farm."] * 3


def test_records_are_read_as_written_and_changes_are_noticed(tmp_path):
    records, _ = candidates(5)
    write(tmp_path / "r.jsonl", [*records, *GOLD])
    assert read(tmp_path / "r.jsonl") == [*records, *GOLD]
    assert flipped(flipped(GOLD[0])) == GOLD[0]
    assert flipped(GOLD[0]).matching == 1
    text = (tmp_path / "r.jsonl").read_text()
    (tmp_path / "r.jsonl").write_text(text.replace("take 3", "take 33"))
    with pytest.raises(DataError, match="changed after it was written"):
        read(tmp_path / "r.jsonl")
    with pytest.raises(DataError, match="two or more"):
        Record("x", "b", "f", "q", ("only",), 0)
