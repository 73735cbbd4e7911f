"""The command line: exit codes, strict JSON, nothing else on standard output."""

import json

import pytest
import tiny_study

from windtunnel import cli, studies


@pytest.fixture(autouse=True)
def with_tiny_study(monkeypatch):
    monkeypatch.setattr(studies, "STUDIES", (*studies.STUDIES, tiny_study.STUDY))


def call(capsys, *arguments):
    with pytest.raises(SystemExit) as stopped:
        cli.main(list(map(str, arguments)))
    out, err = capsys.readouterr()
    return stopped.value.code, out, err


def test_list_shows_all_studies(capsys):
    code, out, _ = call(capsys, "list", "--json")
    rows = json.loads(out)
    assert code == 0
    assert len(rows) == 20
    assert {row["status"] for row in rows} == {"ready", "planned"}
    code, out, _ = call(capsys, "list")
    assert "planned" in out
    assert "toy-models-of-superposition" in out


def test_run_prints_one_json_document_and_nothing_else(capsys, tmp_path):
    code, out, err = call(capsys, "run", "tiny", "--out", tmp_path / "run", "--json", "--set", "stages=2")
    findings = json.loads(out)
    assert (code, err) == (0, "")
    assert {"study", "paper", "preset", "model", "seed", "seconds", "claims"} <= findings.keys()
    needed = {"id", "statement", "where", "bar", "value", "interval", "unit", "verdict", "evidence"}
    assert all(needed <= claim.keys() for claim in findings["claims"])
    assert findings == json.loads((tmp_path / "run" / "findings.json").read_text())
    assert (tmp_path / "run" / "figures" / "means.svg").exists()


def test_run_shows_progress_and_the_report_to_a_person(capsys, tmp_path):
    code, out, err = call(capsys, "run", "tiny", "--out", tmp_path / "run")
    assert code == 0
    assert "report.html" in out
    assert "drawing" in err


def test_claims_and_report_read_back_what_a_run_stored(capsys, tmp_path):
    call(capsys, "run", "tiny", "--out", tmp_path / "run", "--json")
    code, out, _ = call(capsys, "claims", tmp_path, "--json")
    assert code == 0
    assert [len(run["claims"]) for run in json.loads(out)] == [3]
    code, out, _ = call(capsys, "claims", tmp_path / "run")
    assert "not tested" in out
    code, out, _ = call(capsys, "report", tmp_path / "run", "--json")
    assert json.loads(out)["report"].endswith("report.html")


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["run", "nope"], 2, "no study 'nope'"),
        (["run", "red-teaming"], 2, "is planned"),
        (["run"], 2, "Name one or more studies"),
        (["run", "tiny", "--all"], 2, "Name one or more studies"),
        (["run", "tiny", "--preset", "fast"], 2, "no preset 'fast'"),
        (["run", "tiny", "--set", "steps=1"], 2, "did you mean 'stages'"),
        (["run", "tiny", "--set", "stages=-1"], 2, "stages=-1 is not accepted"),
        (["run", "tiny", "--workers", "0"], 2, "--workers 0"),
        (["run", "tiny", "--seed", "x"], 2, "seed"),
        (["claims", "missing"], 1, "holds no finished run"),
        (["report", "missing"], 1, "holds no finished run"),
        (["bogus"], 2, "bogus"),
    ],
)
def test_bad_usage_is_one_sentence_and_an_exit_code(capsys, tmp_path, monkeypatch, arguments, code, said):
    monkeypatch.chdir(tmp_path)
    got, out, err = call(capsys, *arguments)
    assert got == code
    assert said in err
    assert "Traceback" not in err
    assert out == ""


def test_findings_of_an_older_version_are_refused(capsys, tmp_path):
    call(capsys, "run", "tiny", "--out", tmp_path / "run", "--json")
    path = tmp_path / "run" / "findings.json"
    document = json.loads(path.read_text())
    del document["format"]
    path.write_text(json.dumps(document))
    code, _, err = call(capsys, "claims", tmp_path / "run")
    assert code == 1
    assert "run the study again" in err
    assert json.loads(path.read_text()) == document


def test_several_studies_make_one_page(capsys, tmp_path, monkeypatch):
    from dataclasses import replace

    twin = replace(tiny_study.STUDY, id="tiny-twin")
    monkeypatch.setattr(studies, "STUDIES", (tiny_study.STUDY, twin))
    code, out, _ = call(capsys, "run", "--all", "--out", tmp_path / "all", "--json")
    assert code == 0
    assert [run["study"] for run in json.loads(out)] == ["tiny", "tiny-twin"]
    assert (tmp_path / "all" / "report.html").read_text().count("<article") == 2
