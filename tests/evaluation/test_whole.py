"""Metrics of whole sets against other people's implementations."""

import json
from dataclasses import replace

import numpy as np
import pytest
from sacrebleu import corpus_bleu
from sklearn.metrics import f1_score

from windtunnel.evaluation.bleu import BleuScorer
from windtunnel.evaluation.engine import evaluate
from windtunnel.evaluation.inspect_logs import read_inspect_log, write_inspect_log
from windtunnel.evaluation.labels import LabelScorer
from windtunnel.evaluation.mock import MockModel
from windtunnel.evaluation.results import Results
from windtunnel.evaluation.tasks import Models, Output, Sample, Task
from windtunnel.evaluation.whole import all_right, whole_metric
from windtunnel.laboratory.errors import UsageError

WORDS = ["the", "cat", "sat", "on", "a", "mat", "dog", "and", "ran", "."]


class Written:
    """A solver that has the answers at hand, some of which fail."""

    def __init__(self, outputs):
        self.outputs = outputs

    def __call__(self, samples, models, seeds):
        return [self.outputs[sample.id] for sample in samples]

    def describe(self):
        return {"solver": "written"}


def asked(samples, outputs, scorer, metric):
    solver = Written({sample.id: output for sample, output in zip(samples, outputs, strict=True)})
    return evaluate(Task("told", samples, solver, scorer, metric), MockModel())


def sentences(count, seed=0):
    generator = np.random.default_rng(seed)
    told = [" ".join(generator.choice(WORDS, generator.integers(3, 12))) for _ in range(count)]
    said = [
        " ".join(word if generator.random() < 0.8 else str(generator.choice(WORDS)) for word in each.split())
        for each in told
    ]
    return told, said


def test_bleu_is_that_of_sacrebleu():
    told, said = sentences(40)
    samples = [Sample(str(n), "", (each, each.replace("cat", "dog"))) for n, each in enumerate(told)]
    results = asked(samples, [Output(text=f" {each}\nmore") for each in said], BleuScorer(), "sentence_bleu")
    theirs = corpus_bleu(said, [told, [each.replace("cat", "dog") for each in told]]).score / 100
    found = whole_metric(results, "bleu")
    assert found.value == pytest.approx(theirs, abs=1e-12)
    assert found.low < found.value < found.high
    assert results.summary()["metrics"]["bleu"]["value"] == found.value
    assert found == whole_metric(Results(None, results.header, results.records), "bleu")
    assert 0.5 < results.metric().value < 1


def test_a_failed_translation_counts_as_none_written():
    told, said = sentences(12)
    samples = [Sample(str(n), "", (each,)) for n, each in enumerate(told)]
    outputs = [Output(error="lost") if n < 3 else Output(text=each) for n, each in enumerate(said)]
    found = whole_metric(asked(samples, outputs, BleuScorer(), "sentence_bleu"), "bleu")
    theirs = corpus_bleu(["" if n < 3 else each for n, each in enumerate(said)], [told]).score / 100
    assert found.value == pytest.approx(theirs, abs=1e-12)


@pytest.mark.parametrize(("labels", "average"), [((1,), "binary"), ((0, 1, 2), "macro")])
def test_f1_of_labels_is_that_of_scikit_learn(labels, average):
    generator = np.random.default_rng(1)
    kinds = 2 if average == "binary" else 3
    right, said = generator.integers(0, kinds, (2, 60))
    samples = [Sample(str(n), "", int(target), tuple("abc"[:kinds])) for n, target in enumerate(right)]
    outputs = [Output(option_logprobs=tuple(np.log(np.eye(kinds)[each] + 0.1))) for each in said]
    outputs = [replace(output, option_tokens=(1,) * kinds) for output in outputs]
    results = asked(samples, outputs, LabelScorer(labels), "accuracy")
    found = whole_metric(results, "f1_of_labels")
    assert found.value == pytest.approx(f1_score(right, said, average=average), abs=1e-12)
    assert found.low < found.value < found.high
    assert results.metric().value == pytest.approx(float((right == said).mean()))


def test_a_failed_label_counts_as_a_wrong_one():
    samples = [Sample(str(n), "", n % 2, ("no", "yes")) for n in range(12)]
    right = [Output(option_logprobs=tuple(np.log(np.eye(2)[n % 2] + 0.1)), option_tokens=(1, 1)) for n in range(12)]
    outputs = [Output(error="lost") if n < 4 else output for n, output in enumerate(right)]
    found = whole_metric(asked(samples, outputs, LabelScorer((1,)), "accuracy"), "f1_of_labels")
    assert found.value == pytest.approx(
        f1_score([n % 2 for n in range(12)], [1, 0, 1, 0, *[n % 2 for n in range(4, 12)]])
    )


def test_intervals_keep_clusters_together_and_few_have_none():
    told, said = sentences(60)
    outputs = [Output(text=each) for each in said]
    alone = [Sample(str(n), "", (each,)) for n, each in enumerate(told)]
    # each sentence five times over: as many independent ones as before, and so an interval as wide
    copies = [replace(sample, id=f"{sample.id}-{k}", cluster=sample.id) for sample in alone for k in range(5)]
    one = whole_metric(asked(alone, outputs, BleuScorer(), "sentence_bleu"), "bleu")
    five = whole_metric(
        asked(copies, [each for each in outputs for _ in range(5)], BleuScorer(), "sentence_bleu"), "bleu"
    )
    assert five.value == pytest.approx(one.value)
    assert five.high - five.low == pytest.approx(one.high - one.low, rel=0.15)
    few = whole_metric(asked(alone[:5], outputs[:5], BleuScorer(), "sentence_bleu"), "bleu")
    assert few.low == -np.inf


def test_parts_are_kept_in_logs_and_in_those_of_inspect(tmp_path):
    told, said = sentences(8)
    samples = [Sample(str(n), "", (each,)) for n, each in enumerate(told)]
    solver = Written({sample.id: Output(text=each) for sample, each in zip(samples, said, strict=True)})
    task = Task("told", samples, solver, BleuScorer(), "sentence_bleu")
    found = whole_metric(evaluate(task, MockModel(), out=tmp_path / "run"), "bleu")
    assert whole_metric(Results.load(tmp_path / "run"), "bleu") == found
    path = write_inspect_log(Results.load(tmp_path / "run"))
    assert whole_metric(read_inspect_log(path), "bleu") == found
    assert "bleu" in {score["scorer"] for score in json.loads(path.read_text())["results"]["scores"]}


def test_a_question_is_right_if_all_its_answers_are():
    targets = [0, 1, 1, 0, 0, 1]
    samples = [
        Sample(str(n), "", target, ("no", "yes"), {"question": f"q{n // 2}"}, f"passage {n // 4}")
        for n, target in enumerate(targets)
    ]
    said = [0, 1, 1, 1, 0, 1]
    outputs = [Output(option_logprobs=tuple(np.log(np.eye(2)[each] + 0.1)), option_tokens=(1, 1)) for each in said]
    outputs[-1] = Output(error="lost")
    found = all_right(asked(samples, outputs, LabelScorer((1,)), "accuracy"), "question")
    assert found.value == pytest.approx(1 / 3)  # the first; the second has one wrong, of the third one is lost
    with pytest.raises(UsageError, match="no metadata 'passage'"):
        all_right(asked(samples, outputs, LabelScorer((1,)), "accuracy"), "passage")


def test_parts_that_are_not_there_are_told():
    samples = [Sample("a", "", 0, ("no", "yes"))]
    output = Output(option_logprobs=(0.0, -1.0), option_tokens=(1, 1))
    results = asked(samples, [output], LabelScorer((1,)), "accuracy")
    with pytest.raises(UsageError, match="no parts of a metric 'bleu'; metrics of whole sets: bleu, f1_of_labels"):
        whole_metric(results, "bleu")
    assert BleuScorer()(samples=[], outputs=[], models=Models()) == []
