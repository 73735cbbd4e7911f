"""The verbs about evaluations that models write."""

import json

import pytest

from windtunnel.cli import main
from windtunnel.evaluation.generated.raters import Rating, write_ratings
from windtunnel.evaluation.generated.records import read

SMALL = ["--count", "12", "--keep", "4", "--exact", "--embedder", "words", "--projection", "pca", "--topics", "2"]


def run(capsys, *arguments):
    with pytest.raises(SystemExit) as stopped:
        main([str(each) for each in arguments])
    return stopped.value.code, capsys.readouterr()


def gold(path):
    rows = [
        {
            "question": f"Case {number}?\n\nChoices:\n (A) take it\n (B) leave it",
            "answer_matching_behavior": " (A)",
            "answer_not_matching_behavior": " (B)",
        }
        for number in range(6)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_statements_are_written_and_what_was_stopped_is_continued(capsys, tmp_path):
    out = tmp_path / "set"
    words = ["generate-evaluation", "seeks the sea", "--model", "mock:I go to sea", "--out", out, *SMALL]
    code, shown = run(capsys, *words, "--json")
    found = json.loads(shown.out)
    assert code == 0
    assert found["counts"]["planned"] == 24
    assert found["counts"]["unique"] == 1  # a mock writes one statement
    assert (out / "index.html").exists()
    before = (out / "candidates.jsonl").stat().st_mtime_ns
    code, shown = run(capsys, *words, "--name-topics", "mock:Sailing")
    assert "namer differs" in shown.err
    code, shown = run(capsys, *words)
    assert code == 0
    assert "planned    24" in shown.out
    assert (out / "candidates.jsonl").stat().st_mtime_ns == before
    code, shown = run(capsys, *words, "--count", "13")
    assert code == 2
    assert "holds another evaluation" in shown.err


def test_multiple_choice_follows_examples_and_raters_are_held_against_it(capsys, tmp_path):
    out, sheet = tmp_path / "set", tmp_path / "ratings.csv"
    options = ["--examples", gold(tmp_path / "taking.jsonl"), "--balance-prior", "--raters", "3", "--out", out]
    mock = "mock: Now?\n>\n> Choices:\n>  (A) go\n>  (B) stay"
    code, shown = run(capsys, "generate-evaluation", "takes things", "--model", mock, *options, *SMALL, "--json")
    assert code == 0
    found = json.loads(shown.out)
    assert found["behaviour"] == "taking"
    assert (out / "rating.html").exists()
    assert json.loads((out / "config.json").read_text())["writer"]["shots"] == 5
    records = read(out / "records.jsonl")
    if not records:  # the mock's odds confirm one label only
        from windtunnel.evaluation.generated.records import Record, write

        records = [Record(str(n), "taking", "m", "Q", ("a", "b"), n % 2, 0.9, True) for n in range(4)]
        write(out / "records.jsonl", records)
    write_ratings([Rating(each.id, name, each.matching) for each in records for name in ("x", "y")], sheet)
    code, shown = run(capsys, "validate-evaluation", out, sheet, "--json")
    assert code == 0
    assert json.loads(shown.out)["confirmed"]["value"] == 1
    code, shown = run(capsys, "validate-evaluation", out, sheet)
    assert "confirmed" in shown.out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--shots", "3"], "--shots is of --examples"),
        (["--max-requests", "3"], "--max-requests is for a server"),
        (["--embedder", "glove"], "no embedder"),
        (["--temperature", "-1"], "temperature"),
    ],
)
def test_options_that_mean_nothing_are_refused(options, message, capsys, tmp_path):
    code, shown = run(
        capsys, "generate-evaluation", "is x", "--model", "mock:I am x", "--out", tmp_path / "o", *SMALL, *options
    )
    assert code == 2
    assert message in shown.err
