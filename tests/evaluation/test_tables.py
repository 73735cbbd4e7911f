"""Tasks from tables: columns guessed as a person would, and what cannot be guessed told."""

import csv
import json

import pytest

from windtunnel.evaluation import records
from windtunnel.evaluation.engine import evaluate
from windtunnel.evaluation.library import find_task
from windtunnel.evaluation.mock import MockModel
from windtunnel.evaluation.records import hub_rows, read_rows
from windtunnel.evaluation.tables import read_table
from windtunnel.laboratory.errors import DataError, UsageError


def lines(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_a_file_of_questions_and_answers(tmp_path):
    path = lines(
        tmp_path / "capitals.jsonl",
        [{"question": "France?", "answer": "Paris"}, {"question": "Peru?", "answer": ["Lima"]}],
    )
    task = find_task(str(path))
    assert task.name == "capitals"
    assert [(sample.id, sample.input, sample.target) for sample in task.dataset] == [
        ("1", "France?", "Paris"),
        ("2", "Peru?", ("Lima",)),
    ]
    results = evaluate(task, MockModel(answer=" paris."))
    assert results.metric().value == 0.5


@pytest.mark.parametrize(
    "row",
    [
        {"input": "?", "choices": ["x", "y"], "target": "B"},
        {"input": "?", "choices": ["x", "y"], "target": "(b)"},
        {"input": "?", "choices": ["x", "y"], "target": 1},
        {"input": "?", "choices": ["x", "y"], "target": "1"},
        {"input": "?", "choices": ["x", "y"], "target": "y"},
        {"query": "?", "choices": '["x", "y"]', "label": "1"},
        {"Question": "?", "A": "x", "B": "y", "C": "", "D": None, "Answer": "B"},
        {"goal": "?", "sol1": "x", "sol2": "y", "label": 1},
        {"question": "?", "choices": {"text": ["x", "y"], "label": ["1", "2"]}, "answerKey": "2"},
        {"prompt": "?", "option_a": "x", "option_b": "y", "gold": "b"},
    ],
)
def test_options_and_the_right_one(tmp_path, row):
    (sample,) = read_table(lines(tmp_path / "t.jsonl", [row])).dataset
    assert (sample.input, sample.choices, sample.target) == ("?", ("x", "y"), 1)


def test_digits_that_are_options_are_options(tmp_path):
    (sample,) = read_table(
        lines(tmp_path / "t.jsonl", [{"question": "1+1", "choices": ["2", "1"], "answer": "1"}])
    ).dataset
    assert sample.target == 1


def test_context_cluster_id_and_facts(tmp_path):
    row = {
        "id": 7,
        "passage": "Once.",
        "question": "When?",
        "answer": "once",
        "cluster": 3,
        "level": "easy",
        "n": 2,
        "x": [],
    }
    (sample,) = read_table(lines(tmp_path / "t.jsonl", [row])).dataset
    assert (sample.id, sample.input, sample.cluster) == ("7", "Once.\nWhen?", "3")
    assert sample.metadata == {"level": "easy", "n": 2}
    (sample,) = read_table(tmp_path / "t.jsonl", question="passage", answer="level", cluster="n").dataset
    assert (sample.input, sample.target, sample.cluster) == ("Once.", "easy", "2")


def test_every_kind_of_file_gives_the_same_task(tmp_path):
    rows = [{"question": f"q{number}", "A": "x", "B": "y", "answer": "AB"[number % 2]} for number in range(4)]
    lines(tmp_path / "t.jsonl", rows)
    (tmp_path / "t.json").write_text(json.dumps({"data": rows}))
    for ending, delimiter in (("csv", ","), ("tsv", "\t")):
        with (tmp_path / f"t.{ending}").open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]), delimiter=delimiter)
            writer.writeheader()
            writer.writerows(rows)
    pytest.importorskip("pyarrow")
    import pyarrow
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "t.parquet")
    digests = {find_task(str(path), shots=1, letters=True).digest for path in tmp_path.iterdir()}
    assert len(digests) == 1


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"foo": "?", "answer": "x"}], r"plainly the question; name it \(question=COLUMN\), one of foo, answer"),
        ([{"question": "?", "foo": "x"}], "plainly the answer"),
        ([{"question": "?", "choices": ["x", "y"], "answer": "z"}], "Row 1 .* none of its 2 options"),
        ([{"question": "?", "choices": ["x", "y"], "answer": 2}], "none of its 2 options"),
        ([{"question": "?", "choices": "x;y", "answer": 1}], "no list"),
        ([], "no rows"),
        ([{"question": "?", "answer": "x"}, {"question": "!"}], "Row 2 .* nothing in the column 'answer'"),
        ([{"question": "", "answer": "x"}], "Row 1 .* nothing in the column 'question'"),
    ],
)
def test_what_cannot_be_guessed_is_told(tmp_path, rows, message):
    with pytest.raises((UsageError, DataError), match=message):
        read_table(lines(tmp_path / "t.jsonl", rows))


def test_wrong_files_and_options_are_told(tmp_path):
    path = lines(tmp_path / "t.jsonl", [{"question": "?", "answer": "x"}])
    with pytest.raises(UsageError, match="no column 'quest'"):
        read_table(path, question="quest")
    with pytest.raises(UsageError, match="no letters"):
        read_table(path, letters=True)
    with pytest.raises(UsageError, match="no option 'colour'"):
        find_task(str(path), colour=1)
    with pytest.raises(UsageError, match="directory"):
        find_task(str(path), tmp_path)
    with pytest.raises(DataError, match="cannot be read"):
        read_table(tmp_path / "missing.jsonl")
    (tmp_path / "wide.csv").write_text("question,answer\n1,2,3\n")
    with pytest.raises(DataError, match="line 2 has more fields"):
        read_table(tmp_path / "wide.csv")
    (tmp_path / "bad.json").write_text("[1]")
    with pytest.raises(DataError, match="no list of JSON objects"):
        read_rows(tmp_path / "bad.json")
    (tmp_path / "bad.parquet").write_bytes(b"nothing")
    with pytest.raises(DataError, match="Parquet"):
        read_rows(tmp_path / "bad.parquet")
    with pytest.raises(UsageError, match="none of"):
        read_rows("t.xlsx")


def test_a_data_set_of_the_hub_by_its_first_split(monkeypatch):
    datasets = pytest.importorskip("datasets")
    table = {"train": [{"question": "t", "answer": "x"}], "validation": [{"question": "v", "answer": "x"}]}
    seen = []
    monkeypatch.setattr(datasets, "load_dataset", lambda *name: seen.append(name) or table)
    assert find_task("hf:owner/name", config="c").dataset[0].input == "v"
    assert seen == [("owner/name", "c")]
    assert find_task("hf:owner/name", split="train").dataset[0].input == "t"
    with pytest.raises(UsageError, match="no split 'dev'; its splits are train, validation"):
        hub_rows("owner/name", None, "dev")

    def offline(*_):
        raise OSError("no network")

    monkeypatch.setattr(datasets, "load_dataset", offline)
    with pytest.raises(DataError, match="no network"):
        hub_rows("owner/name")
    assert records.HUB == "hf:"
