"""The verbs about repeated data."""

import json

import pytest

from windtunnel.cli import main


def run(capsys, *arguments):
    with pytest.raises(SystemExit) as stopped:
        main(list(arguments))
    return stopped.value.code, capsys.readouterr()


def test_repetition_says_where_a_stream_lies(capsys):
    options = ["--fraction", "0.1", "--repeats", "100", "--loss", "2.0", "--damaged-loss", "2.2"]
    code, shown = run(capsys, "repetition", "--parameters", "8e8", *options, "--json")
    found = json.loads(shown.out)
    assert code == 0
    assert found["place"] == "inside"
    assert found["band"] == pytest.approx([43, 1800], rel=0.02)
    assert found["break_even_share"] == pytest.approx(0.0909, abs=1e-3)
    code, shown = run(capsys, "repetition", "--parameters", "8e8", *options)
    assert "inside" in shown.out


def test_duplicates_of_a_corpus_are_counted_and_read_back(capsys, tmp_path):
    pytest.importorskip("datasketch")
    corpus = tmp_path / "corpus.jsonl"
    long = " ".join(f"word{number}" for number in range(300))
    texts = [long, long.replace("word7 ", "other "), "one thing", "One  thing", "another"]
    corpus.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    code, shown = run(capsys, "deduplicate", str(corpus), "--out", str(tmp_path / "kept.jsonl"), "--json")
    found = json.loads(shown.out)
    assert code == 0
    assert (found["exact_duplicates"], found["near_duplicates"], found["kept"]) == (1, 1, 3)
    assert found["histogram"] == {"1": 1, "2": 2}
    kept = [json.loads(line)["text"] for line in (tmp_path / "kept.jsonl").read_text().splitlines()]
    assert kept == [long, "one thing", "another"]
    (tmp_path / "found.json").write_text(shown.out)
    code, shown = run(
        capsys, "repetition", "--parameters", "8e8", "--histogram", str(tmp_path / "found.json"), "--json"
    )
    assert json.loads(shown.out)["repeated_share"] == pytest.approx(0.8)
    code, shown = run(capsys, "deduplicate", str(corpus), "--exact")
    assert "clusters by size" in shown.out


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        (["repetition", "--parameters", "8e8"], 2, "--fraction"),
        (["repetition", "--parameters", "8e8", "--fraction", "0.1", "--repeats", "4", "--loss", "2"], 2, "damaged"),
        (["repetition", "--parameters", "8e8", "--fraction", "0.1", "--repeats", "4", "--epochs", "2"], 2, "epochs"),
        (["repetition", "--parameters", "8e8", "--fraction", "2", "--repeats", "4"], 2, "fraction"),
        (["deduplicate", "nowhere.txt"], 2, "nowhere"),
    ],
)
def test_bad_arguments_are_one_sentence(capsys, arguments, code, word):
    found, shown = run(capsys, *arguments)
    assert found == code
    assert word in shown.err
