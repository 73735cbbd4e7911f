"""Tasks in YAML: the words of lm-evaluation-harness give its prompts; code and unknown keys are refused by name."""

import json
import time

import pytest
import yaml

from windtunnel.evaluation.declared import read_yaml
from windtunnel.evaluation.engine import evaluate
from windtunnel.evaluation.library import find_task
from windtunnel.evaluation.mock import MockModel
from windtunnel.evaluation.tasks import Models
from windtunnel.evaluation.templates import render
from windtunnel.laboratory.errors import DataError, UsageError

ROWS = [
    {"goal": "open a tin", "sol1": "with a key", "sol2": "with an opener", "label": 1},
    {"goal": "{{ boil }} water", "sol1": "in a pan", "sol2": "in a net", "label": 0},
    {"goal": "dry hair", "sol1": "with soap", "sol2": "with a towel", "label": 1},
]

PIQA = {
    "task": "ways",
    "tag": ["commonsense"],
    "dataset_path": "json",
    "dataset_name": None,
    "dataset_kwargs": {"data_files": {"validation": "rows.jsonl"}},
    "output_type": "multiple_choice",
    "validation_split": "validation",
    "doc_to_text": "Question: {{goal}}\nAnswer:",
    "doc_to_target": "label",
    "doc_to_choice": "{{[sol1, sol2]}}",
    "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}, {"metric": "acc_norm"}],
    "metadata": {"version": 1.0},
}


def declare(folder, rows=ROWS, text=None, **changes):
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    keys = {key: value for key, value in (PIQA | changes).items() if value is not None}
    path = folder / "task.yaml"
    path.write_text(yaml.safe_dump(keys, sort_keys=False) if text is None else text)
    return path


def test_a_multiple_choice_task_as_it_is_written(tmp_path):
    task = find_task(str(declare(tmp_path)))
    assert (task.name, task.version, task.metric) == ("ways", "1.0", "acc")
    first, second, _ = task.dataset
    assert (first.id, first.input, first.target) == ("validation-0", "Question: open a tin\nAnswer:", 1)
    assert first.choices == ("with a key", "with an opener")
    assert second.input == "Question: {{ boil }} water\nAnswer:"  # what a row holds is not a template
    asked = []
    model = MockModel(logprob=lambda before, after: asked.append((before, after)) or -len(after) * 1.0)
    results = evaluate(task, model)
    assert asked[:2] == [
        ("Question: open a tin\nAnswer:", " with a key"),
        ("Question: open a tin\nAnswer:", " with an opener"),
    ]
    assert results.metric("acc").value == pytest.approx(1 / 3)  # the shorter one always wins
    assert {name for record in results.records for name in record["mark"]["values"]} == {"acc", "acc_norm"}
    assert task.scorer.describe()["declared"]["tag"] == ["commonsense"]


def test_examples_delimiters_and_description(tmp_path):
    path = declare(
        tmp_path,
        rows=ROWS[:2],
        description="Choose {well}.\n\n",
        fewshot_delimiter="\n##\n",
        target_delimiter=" -> ",
        num_fewshot=1,
        doc_to_text="goal",
        doc_to_choice=["no", "yes"],
    )
    task = read_yaml(path)
    prompts = [task.solver.prompting.prompt(sample).text for sample in task.dataset]
    assert prompts[0] == "Choose {well}.\n\n{{ boil }} water -> no\n##\nopen a tin"
    assert task.solver.prompting.lead == " -> "
    assert read_yaml(path, shots=0).solver.prompting.prompt(task.dataset[0]).text == "Choose {well}.\n\nopen a tin"


def test_few_shot_examples_come_from_the_split_that_is_named(tmp_path):
    (tmp_path / "train.jsonl").write_text(json.dumps(ROWS[0] | {"goal": "train"}) + "\n")
    files = {"data_files": {"validation": "rows.jsonl", "train": ["train.jsonl"]}}
    path = declare(tmp_path, dataset_kwargs=files, training_split="train", num_fewshot=1)
    task = read_yaml(path)
    assert all(task.solver.prompting.prompt(sample).text.startswith("Question: train\n") for sample in task.dataset)
    path = declare(tmp_path, dataset_kwargs=files, fewshot_split="dev", num_fewshot=1)
    with pytest.raises(UsageError, match="no split 'dev'; its splits are validation, train"):
        read_yaml(path)


def test_included_files_and_examples_in_their_order(tmp_path):
    base = {key: PIQA[key] for key in ("dataset_path", "dataset_kwargs", "output_type", "validation_split")}
    (tmp_path / "_base_yaml").write_text(yaml.safe_dump(base | {"num_fewshot": 1, "description": "Base. "}))
    (tmp_path / "_more").write_text("include: _base_yaml\ndoc_to_text: goal\nfewshot_config: {sampler: first_n}\n")
    own = {"task": "ways", "include": "_more", "description": "Own. ", "doc_to_target": "label"}
    own |= {
        "doc_to_choice": "{{[sol1, sol2]}}",
        "should_decontaminate": True,
        "doc_to_decontamination_query": "{{goal}}!",
    }
    task = read_yaml(declare(tmp_path, text=yaml.safe_dump(own)))
    prompts = [task.solver.prompting.prompt(sample).text for sample in task.dataset]
    assert prompts[2] == "Own. open a tin with an opener\n\ndry hair"
    assert prompts[0] == "Own. {{ boil }} water in a pan\n\nopen a tin"  # the first one that is not the sample itself
    assert task.dataset[0].metadata["decontamination_query"] == "open a tin!"
    (tmp_path / "_base_yaml").write_text("process_docs: !function utils.f\n")
    with pytest.raises(UsageError, match="_base_yaml: the key process_docs has the tag !function"):
        read_yaml(tmp_path / "task.yaml")


def test_answers_in_words(tmp_path):
    rows = [{"q": "2+2", "a": ["4", "Four!"]}, {"q": "3+3", "a": ["6"]}]
    path = declare(
        tmp_path,
        rows,
        output_type="generate_until",
        doc_to_text="{{q}} =",
        doc_to_target="a",
        doc_to_choice=None,
        metric_list=[{"metric": "exact_match", "ignore_case": True, "ignore_punctuation": True}],
        generation_kwargs={"until": ["\n"], "max_gen_toks": 8, "do_sample": False, "temperature": 0.0},
    )
    task = read_yaml(path)
    assert evaluate(task, MockModel(answer=" four\nnext")).metric().value == 0.5
    assert (task.solver.max_new_tokens, task.solver.stop, task.solver.temperature) == (8, ("\n",), 0.0)
    default = declare(
        tmp_path,
        rows,
        output_type="generate_until",
        doc_to_text="q",
        doc_to_target="a",
        doc_to_choice=None,
        metric_list=None,
    )
    solver = read_yaml(default).solver
    assert (solver.max_new_tokens, solver.stop, read_yaml(default).metric) == (256, ("\n\n",), "exact_match")


def test_a_continuation(tmp_path):
    path = declare(
        tmp_path,
        [{"text": "the cat sat on the mat"}],
        output_type="loglikelihood",
        doc_to_text="{{text.split(' ')[:-1]|join(' ')}}",
        doc_to_target="{{text.split(' ')|last}}",
        doc_to_choice=None,
        metric_list=[{"metric": "acc"}],
    )
    task = read_yaml(path)
    (sample,) = task.dataset
    assert (sample.input, sample.target) == ("the cat sat on the", "mat")
    (output,) = task.solver([sample], Models(subject=MockModel()), [0])
    assert output.extra["continuations"] == [" mat"]


@pytest.mark.parametrize(
    ("target", "right"), [("{{label}}", 1), ("{{sol2}}", 1), (0, 0), ("{{[sol1, sol2].index(sol2)}}", 1), ("label", 1)]
)
def test_the_right_option_by_index_or_text(tmp_path, target, right):
    assert read_yaml(declare(tmp_path, ROWS[:1], doc_to_target=target)).dataset[0].target == right


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"process_docs": "x"}, "the key process_docs is not in the part of the language"),
        ({"filter_list": []}, "the key filter_list"),
        ({"include": 3}, "the key include holds 3"),
        ({"include": "task.yaml"}, "lead back here"),
        ({"include": "nowhere"}, "nowhere cannot be read"),
        ({"should_decontaminate": True}, "go together"),
        ({"fewshot_config": {"sampler": "balanced"}}, "the key fewshot_config.sampler holds 'balanced'"),
        ({"output_type": "loglikelihood_rolling"}, "the key output_type holds 'loglikelihood_rolling'"),
        ({"metric_list": [{"metric": "bleu"}]}, "the key metric_list.0.metric holds 'bleu'"),
        ({"metric_list": [{"metric": "exact_match"}]}, "which multiple_choice does not give"),
        ({"metric_list": [{"metric": "acc"}, {"metric": "acc"}]}, "acc, twice"),
        ({"metric_list": [{"metric": "acc", "aggregation": "median"}]}, "aggregation holds 'median'"),
        ({"metric_list": [{"metric": "acc", "ignore_case": True}]}, "go with exact_match"),
        ({"metric_list": [{"metric": "acc", "weight": 2}]}, "the key metric_list.0.weight"),
        ({"doc_to_choice": None}, "doc_to_choice is missing"),
        ({"doc_to_text": None}, "the key doc_to_text is missing"),
        ({"generation_kwargs": {"until": ["x"]}}, "generation_kwargs goes with generate_until"),
        ({"doc_to_text": "{{goal"}, "doc_to_text holds a template that cannot be read"),
        ({"doc_to_text": "{{nothing}}"}, "'nothing' is undefined.*goal, sol1"),
        ({"doc_to_target": "{{goal}}"}, "none of its 2 options"),
        ({"doc_to_choice": "{{goal}}"}, "no list of options"),
        ({"validation_split": None}, "names no split"),
        ({"validation_split": "dev"}, "no split 'dev'"),
        ({"dataset_kwargs": None}, "those|which need it"),
        (
            {"dataset_kwargs": {"data_files": "rows.jsonl", "trust_remote_code": True}},
            "dataset_kwargs.trust_remote_code",
        ),
        ({"dataset_kwargs": {"data_files": {"validation": []}}}, "give a file's name"),
        ({"doc_to_choice": [False, True]}, "the key doc_to_choice"),
        ({"num_fewshot": -1}, "num_fewshot holds -1"),
        ({"num_fewshot": "5"}, "num_fewshot holds '5'"),
    ],
)
def test_what_is_not_supported_is_refused_by_its_key(tmp_path, changes, message):
    with pytest.raises((UsageError, DataError), match=message):
        read_yaml(declare(tmp_path, **changes))


def test_sampling_options_that_would_be_ignored_are_refused(tmp_path):
    words = {"output_type": "generate_until", "doc_to_choice": None, "metric_list": None}
    with pytest.raises(UsageError, match="without do_sample"):
        read_yaml(declare(tmp_path, generation_kwargs={"temperature": 0.7}, **words))
    path = declare(tmp_path, generation_kwargs={"do_sample": True, "temperature": 0.7, "top_p": 0.9}, **words)
    assert (read_yaml(path).solver.temperature, read_yaml(path).solver.top_p) == (0.7, 0.9)


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ("process_docs: !function utils.process", "process_docs has the tag !function, which names Python code"),
        ("metric_list: [{metric: !function utils.f}]", r"metric_list\[0\].metric"),
        ("dataset_kwargs: {a: {b: !function x.y}}", "dataset_kwargs.a.b"),
        ("task: !!python/object/apply:os.system ['touch hacked']", "cannot be read"),
        ("task: !mine x", "task has the tag !mine, which is not known"),
    ],
)
def test_code_is_refused_and_not_run(tmp_path, monkeypatch, line, key):
    monkeypatch.chdir(tmp_path)
    with pytest.raises((UsageError, DataError), match=key):
        read_yaml(declare(tmp_path, text=f"{line}\n"))
    assert not (tmp_path / "hacked").exists()


def test_a_small_file_that_is_huge_is_refused(tmp_path):
    lines = ["metadata:", "  a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"  a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]" for level in range(1, 9)]
    began = time.monotonic()
    with pytest.raises(UsageError, match="more than 100000 values"):
        read_yaml(declare(tmp_path, text="\n".join(lines)))
    assert time.monotonic() - began < 20


@pytest.mark.parametrize("text", ["", "- a\n- b\n", "a: [", "\0", "a: &x [*x]", "task: {"])
def test_files_that_are_no_declarations(tmp_path, text):
    with pytest.raises((UsageError, DataError)):
        read_yaml(declare(tmp_path, text=text))
    with pytest.raises(DataError, match="cannot be read"):
        read_yaml(tmp_path / "missing.yaml")


@pytest.mark.parametrize(
    "template",
    [
        "{{ ''.__class__.__mro__ }}",
        "{{ cycler.__init__.__globals__ }}",
        "{{ self._TemplateReference__context }}",
        "{{ x.append(1) }}",
        "{{ 'a' * 10**9 }}",
        "{{ [0] * 100000000 }}",
        "{{ 9**9**9 }}",
        "{{ '%1000000000d' % 1 }}",
        "{% for i in range(10**9) %}a{% endfor %}",
        "{{ 1 / 0 }}",
    ],
)
def test_templates_are_in_a_sandbox(template):
    began = time.monotonic()
    with pytest.raises(DataError, match="doc_to_text"):
        assert not render(template, {"x": []}, "doc_to_text")
    assert time.monotonic() - began < 5


def test_templates_do_what_they_may():
    assert render("{{ a|regex_replace('[0-9]', '#') }} {{ a * 3 }} {{ 2**8 }}\n", {"a": "x1"}, "k") == "x# x1x1x1 256\n"
    assert render("{{ '%s'|format(a) }}", {"a": 1}, "k") == "1"
