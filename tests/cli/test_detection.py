import json

import numpy as np
import pytest

from windtunnel.cli import main
from windtunnel.evaluation.detection.raters import Raters, simulate
from windtunnel.evaluation.detection.ratings import export


def run(capsys, *arguments):
    with pytest.raises(SystemExit) as stopped:
        main(list(map(str, arguments)))
    shown = capsys.readouterr()
    return stopped.value.code, shown.out, shown.err


@pytest.fixture
def topics(tmp_path):
    rows = [
        {"id": f"t{n}", "title": "T", "human": f"human {n}", "generated": {"control": f"c {n}", "large": f"l {n}"}}
        for n in range(10)
    ]
    path = tmp_path / "topics.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)) + "\n\n")
    return path


def test_from_topics_to_scores(topics, tmp_path, capsys):
    pages = tmp_path / "pages"
    options = ("--participants", "control=6", "--participants", "large=6")
    code, out, _ = run(capsys, "rating-pages", topics, "--out", pages, *options, "--json")
    assert code == 0
    assert len(json.loads(out)["pages"]) == len(list(pages.glob("*.html"))) == 12
    key = json.loads((pages / "key.json").read_text())
    sheets = simulate(key, {"control": Raters(4.0), "large": Raters(0.0)}, np.random.default_rng(0))
    for sheet in sheets:
        (tmp_path / f"{sheet.participant}.json").write_text(export(sheet))
    files = [tmp_path / f"{sheet.participant}.json" for sheet in sheets]
    asked = ("rating-scores", *files, "--key", pages / "key.json", "--control", "control")
    code, out, _ = run(capsys, *asked, "--json")
    models = json.loads(out)["models"]
    assert code == 0
    assert models["control"]["accuracy"]["value"] > 0.9 > models["large"]["accuracy"]["value"]
    assert models["large"]["t"] > 2
    assert "t against control" in run(capsys, *asked)[1]


def test_wrong_use_is_one_sentence(topics, tmp_path, capsys):
    (tmp_path / "bad.jsonl").write_text('{"id": 1}\n')
    (tmp_path / "a.json").write_text("{}")
    pages = ("--out", tmp_path / "pages")
    for arguments, status, said in (
        (("rating-pages", topics, *pages, "--participants", "control"), 2, "MODEL=NUMBER"),
        (("rating-pages", topics, *pages, "--participants", "control=0"), 2, "MODEL=NUMBER"),
        (("rating-pages", topics, *pages, "--participants", "other=2"), 2, "no text of 'other'"),
        (("rating-pages", tmp_path / "bad.jsonl", *pages, "--participants", "control=1"), 1, "Line 1"),
        (("rating-pages", tmp_path / "none.jsonl", *pages, "--participants", "control=1"), 1, "cannot be read"),
        (("rating-scores", tmp_path / "a.json", "--key", tmp_path / "a.json"), 1, "not the key"),
    ):
        code, out, err = run(capsys, *arguments)
        assert (code, out) == (status, "")
        assert said in err
        assert err.count("\n") == 1
