"""The verbs evaluate, compare and rescore, as they are typed."""

import json

import pytest

from windtunnel.cli import main
from windtunnel.evaluation.results import Results

OWN = """
from windtunnel.evaluation import Sample, Task
from windtunnel.evaluation.answers import generate, match
from windtunnel.evaluation.judging import judged


def capitals(count=6):
    samples = [Sample(f"q{n}", f"Letter {n}?", "AB"[n % 2], cluster=str(n // 2)) for n in range(count)]
    return Task("capitals", samples, generate(max_new_tokens=8), match("exact"), metric="exact")


def judged_capitals():
    return Task("capitals", capitals().dataset, generate(max_new_tokens=8), judged())


def nothing():
    return 1
"""


def run(*arguments):
    with pytest.raises(SystemExit) as stopped:
        main([str(argument) for argument in arguments])
    return stopped.value.code


def answer(capsys, *arguments):
    assert run(*arguments, "--json") == 0, capsys.readouterr().err
    return json.loads(capsys.readouterr().out)


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.py").write_text(OWN)
    rows = [{"question": f"Letter {place}?", "choices": ["A", "B"], "answer": place % 2} for place in range(8)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def test_a_function_is_a_task_and_the_same_command_continues(here, capsys):
    found = answer(capsys, "evaluate", "own.py:capitals", "--model", "mock:A", "--set", "count=4")
    (row,) = found["evaluations"]
    assert row["counts"] == {"planned": 4, "scored": 4, "refused": 0, "failed": 0, "unasked": 0}
    assert row["metrics"]["exact"]["value"] == 0.5
    assert row["clusters"] == 2
    lines = (here / row["directory"] / "samples.jsonl").read_text()
    again = answer(capsys, "evaluate", "own.py:capitals", "--model", "mock:A", "--set", "count=4")
    assert again == found
    assert (here / row["directory"] / "samples.jsonl").read_text() == lines
    other = answer(capsys, "evaluate", "own.py:capitals", "--model", "mock:A")["evaluations"][0]
    assert other["directory"] != row["directory"]


def test_files_are_tasks_and_several_models_are_compared(here, capsys):
    arguments = ["evaluate", "rows.jsonl", "own.py:capitals", "--model", "mock:A", "--model", "mock:B", "--out", "all"]
    found = answer(capsys, *arguments, "--limit", "4")
    assert [(row["task"], row["model"]) for row in found["evaluations"]] == [
        ("rows", "mock:A"),
        ("rows", "mock:B"),
        ("capitals", "mock:A"),
        ("capitals", "mock:B"),
    ]
    assert [pair["matched"] for pair in found["comparisons"]] == [4, 4]
    assert len(list((here / "all").iterdir())) == 4
    assert run(*arguments, "--limit", "4", "--page", "--inspect") == 0
    shown = capsys.readouterr()
    assert "capitals on mock:A: scored 4 of 4 in 2 clusters" in shown.out
    assert "4 samples matched" in shown.out
    assert len(list((here / "all").glob("*/samples.html"))) == 4
    assert len(list((here / "all").glob("*/*_*.json"))) == 4
    assert "capitals on mock:B: 4/4" in shown.err


def test_epochs_seed_and_one_directory(here, capsys):
    arguments = ["evaluate", "own.py:capitals", "--model", "mock:", "--out", "one", "--epochs", "3"]
    found = answer(capsys, *arguments, "--seed", "5")["evaluations"][0]
    assert (found["directory"], found["epochs"], found["counts"]["planned"]) == ("one", 3, 18)
    assert Results.load(here / "one").header["seed"] == 5
    assert run(*arguments, "--seed", "6") == 2
    assert "seed is 5 and this asks for 6" in capsys.readouterr().err


def test_compare_reads_directories_and_logs_of_inspect(here, capsys):
    for name in ("A", "B"):
        assert run("evaluate", "own.py:capitals", "--model", f"mock:{name}", "--out", name, "--inspect") == 0
    capsys.readouterr()
    found = answer(capsys, "compare", "A", "B")
    assert (found["matched"], found["clusters"], found["difference"]["value"]) == (6, 3, 0)
    log = next((here / "B").glob("*_*.json"))
    assert answer(capsys, "compare", "A", log) == found
    assert run("compare", "A", "B", "--metric", "exact") == 0
    assert "6 samples matched in 3 clusters" in capsys.readouterr().out
    assert run("evaluate", "rows.jsonl", "--model", "mock:A", "--out", "C") == 0
    assert run("compare", "A", "C") == 2
    assert "not of the same task" in capsys.readouterr().err
    assert run("compare", "A", "nowhere") == 1
    assert "holds no evaluation" in capsys.readouterr().err


def test_rescore_asks_another_judge_and_not_the_subject(here, capsys):
    yes, no = ("mock:" + json.dumps({"verdict": word}) for word in ("correct", "incorrect"))
    first = answer(
        capsys,
        "evaluate",
        "own.py:judged_capitals",
        "--model",
        "mock:A",
        "--model-role",
        f"judge={yes}",
        "--out",
        "run",
    )
    assert first["evaluations"][0]["metrics"]["accuracy"]["value"] == 1
    found = answer(capsys, "rescore", "run", "--model-role", f"judge={no}", "--out", "again")
    assert found["evaluation"]["metrics"]["accuracy"]["value"] == 0
    assert found["against_before"]["difference"]["value"] == -1
    assert answer(capsys, "rescore", "run", "--task", "own.py:capitals", "--metric", "exact")["evaluation"]["metrics"][
        "exact"
    ]["value"] == pytest.approx(0.5)
    assert run("rescore", "run", "--out", "third") == 2
    assert "--model-role judge=MODEL" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["own.py:missing"], "cannot be made"),
        (["own.py:nothing"], "returned int, not a Task"),
        (["nowhere.py:capitals"], "there is no file nowhere.py"),
        (["no_such_module:capitals"], "cannot be made"),
        (["own.py:capitals", "--shots", "2"], "cannot be made"),
        (["own.py:capitals", "--data", "x"], "leave out the directory"),
        (["piqqa"], "There is no task 'piqqa'"),
        (["own.py:capitals", "--model-role", "judge"], "not of the form ROLE=MODEL"),
        (["own.py:capitals", "--max-connections", "3"], "--max-connections is for a server's model"),
        (["own.py:judged_capitals"], "--model-role judge=MODEL"),
    ],
)
def test_mistakes_are_one_sentence(here, capsys, arguments, said):
    assert run("evaluate", *arguments, "--model", "mock:") == 2
    error = capsys.readouterr().err
    assert said in error
    assert "Traceback" not in error


def test_options_of_a_server_reach_it(here, capsys, monkeypatch):
    from windtunnel.inference import remote

    seen = []

    def ask(self, path, requests, check):
        seen.append((self.concurrency, self.budget.max_requests, self.budget.max_tokens, self.cache))
        reply = {"choices": [{"text": "A", "finish_reason": "stop"}]}
        return [check(reply) for _ in requests]

    monkeypatch.setattr(remote.Client, "ask", ask)
    arguments = ["own.py:capitals", "--model", "openai:m@http://127.0.0.1:1/v1", "--out", "served"]
    limits = ["--max-connections", "7", "--max-requests", "90", "--max-tokens-total", "5000"]
    found = answer(capsys, "evaluate", *arguments, *limits)
    assert found["evaluations"][0]["metrics"]["exact"]["value"] == 0.5
    assert [(*each[:3], str(each[3])) for each in seen] == [(7, 90, 5000, "served/calls-subject.jsonl")]
