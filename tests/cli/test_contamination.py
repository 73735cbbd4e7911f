import json

import pytest

from windtunnel.cli import main


@pytest.fixture
def task(tmp_path):
    rows = [
        {"input": f"which river runs past the old mill number {n} of the northern valley road", "target": f"answer {n}"}
        for n in range(4)
    ]
    path = tmp_path / "rivers.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def run(capsys, *arguments):
    with pytest.raises(SystemExit) as stopped:
        main(["contamination", *map(str, arguments)])
    shown = capsys.readouterr()
    return stopped.value.code, shown.out, shown.err


def test_a_leak_in_a_file_is_told(task, tmp_path, capsys):
    corpus = tmp_path / "corpus.txt"
    corpus.write_text("Which river runs past the old mill, number 2, of the northern valley road? Answer 2.\nMore.")
    code, out, err = run(capsys, task, "--corpus", corpus, "--json")
    assert (code, err) == (0, "")
    (report,) = json.loads(out)
    assert (report["samples"], report["dirty"], report["words_in_a_run"]) == (4, 1, 13)
    (match,) = report["matches"].values()
    assert "mill number 2" in match["words"]
    code, out, _ = run(capsys, task, "--corpus", corpus)
    assert code == 0
    assert "1 of 4 samples share 13 words" in out
    code, out, _ = run(capsys, task, "--corpus", corpus, "--length", 5, "--json")
    assert json.loads(out)[0]["dirty"] == 4


def test_scores_stand_beside_the_split(task, tmp_path, capsys):
    corpus = tmp_path / "corpus.txt"
    corpus.write_text("which river runs past the old mill number 1 of the northern valley road answer 1")
    out = tmp_path / "results"
    with pytest.raises(SystemExit):
        main(["evaluate", str(task), "--model", "mock:answer 1", "--out", str(out), "--json"])
    capsys.readouterr()
    code, shown, _ = run(capsys, task, "--corpus", corpus, "--results", out, "--json")
    scores = json.loads(shown)[0]["scores"]
    assert code == 0
    assert scores["dirty"]["value"] == 1.0
    assert scores["clean"]["value"] == 0.0
    assert "difference" in run(capsys, task, "--corpus", corpus, "--results", out)[1]


def test_wrong_use_is_one_sentence(task, tmp_path, capsys):
    corpus = tmp_path / "corpus.txt"
    corpus.write_text("text")
    for arguments, said in (
        ((task, "--corpus", corpus, "--results", "a", "--results", "b"), "2 evaluations were given for 1"),
        ((task, "--corpus", corpus, "--metric", "accuracy"), "--results"),
        ((task, "--corpus", tmp_path / "none.txt"), "no file"),
    ):
        code, out, err = run(capsys, *arguments)
        assert (code, out) == (2, "")
        assert said in err
        assert err.count("\n") == 1
