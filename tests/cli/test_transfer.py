"""The verb `transfer`: the published law, the law of a table of runs, and what is wrong with one."""

import json

import numpy as np
import pytest

from windtunnel.cli import main
from windtunnel.scaling.laws.kaplan import LossOfParametersAndTokens
from windtunnel.scaling.laws.transfer import DataTransferred

KAPLAN = LossOfParametersAndTokens(6.4e13, 0.076, 1.8e13, 0.103)
LAW = DataTransferred(300.0, 0.25, 0.4)


def told(capsys, *arguments):
    with pytest.raises(SystemExit) as stopped:
        main(["transfer", *arguments])
    return stopped.value.code, capsys.readouterr()


@pytest.fixture
def table(tmp_path):
    """Runs that follow the law, as a table."""
    lines = ["parameters,data,loss,pretrained,seed"]
    for size in np.geomspace(1e5, 1e8, 4):
        for data in np.geomspace(1e4, 1e10, 13):
            lines.append(f"{size},{data},{KAPLAN.predict(parameters=size, tokens=data)},,0")
        for data in np.geomspace(1e4, 1e6, 4):
            loss = KAPLAN.predict(parameters=size, tokens=LAW.effective_data(size, data))
            lines.append(f"{size},{data},{loss},text,0")
    path = tmp_path / "runs.csv"
    path.write_text("\n".join(lines))
    return path


@pytest.mark.parametrize(("law", "effective"), [("text", 3.56e8), ("mixture", 3.93e9)])
def test_the_published_few_shot_numbers(law, effective, capsys):
    code, streams = told(capsys, "--parameters", "1.75e11", "--finetuning-data", "1", "--law", law, "--json")
    assert code == 0
    found = json.loads(streams.out)
    assert found["effective"] == pytest.approx(effective, rel=0.02)
    assert found["beta"] == 0.38


def test_people_read_the_same(capsys):
    code, streams = told(capsys, "--parameters", "4e7", "--finetuning-data", "3e5", "--enough", "1e6")
    assert code == 0
    for part in ("475", "129.2x data", "above a tenth"):
        assert part in streams.out


def test_the_law_of_a_table_of_runs(table, capsys):
    arguments = ("--parameters", "1e7", "--finetuning-data", "1e5", "--law", str(table), "--bootstrap", "20", "--json")
    code, streams = told(capsys, *arguments)
    assert code == 0
    found = json.loads(streams.out)
    assert found["alpha"] == pytest.approx(0.25, abs=0.03)
    assert found["transferred"] == pytest.approx(LAW.predict(parameters=1e7, finetuning_data=1e5), rel=0.1)
    assert found["intervals"]["transferred"][0] <= found["transferred"] * 1.01
    assert found["fit"]["low_data_cells"] == 16


@pytest.mark.parametrize(
    ("change", "word", "code"),
    [
        (lambda text: text.replace("pretrained", "origin", 1), "'pretrained'", 1),
        (lambda text: text.replace(",text,", ",,"), "one pre-training", 1),
        (lambda text: text.replace(",text,", ",code,", 1), "one pre-training", 1),
        (lambda text: text + "\n1e5,many,3.0,text,0", "Row 69 of column 'data'", 1),
        (lambda text: text + "\n1e5,-4,3.0,text,0", "positive", 1),
        (lambda text: text + "\n1e9,1e4,3.0,text,0", "from scratch", 1),
        (lambda text: "", "is empty", 1),
    ],
)
def test_a_wrong_table_is_one_sentence(change, word, code, table, capsys):
    table.write_text(change(table.read_text()))
    found, streams = told(capsys, "--parameters", "1e7", "--finetuning-data", "1e5", "--law", str(table))
    assert found == code
    assert word in streams.err
    assert streams.err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "word"),
    [(("--law", "texts"), "texts"), (("--law", "runs.csv", "--enough", "3"), "--enough")],
)
def test_wrong_usage_is_one_sentence(arguments, word, capsys):
    code, streams = told(capsys, "--parameters", "1e7", "--finetuning-data", "1e5", *arguments)
    assert code == 2
    assert word in streams.err


def test_what_is_not_positive_is_one_sentence(capsys):
    code, streams = told(capsys, "--parameters", "0", "--finetuning-data", "1e5")
    assert code == 1
    assert "positive" in streams.err
