import json
import time

import pytest

from windtunnel.laboratory.progress import FILE_NAME, Progress


def test_plain_lines_tell_first_and_last_and_not_every_step(capsys):
    progress = Progress("plain")
    with progress.task("training", 1000) as task:
        for step in range(1000):
            task.update(step + 1, loss=2.5, tokens_per_s=12345.6)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "training: 0/1000"
    assert lines[-1] == "training: 1000/1000  loss 2.5  tokens/s 12346"
    assert len(lines) <= 3


def test_silence_is_silent(capsys):
    progress = Progress("silent")
    with progress.task("training", 2) as task, progress.watch([]):
        task.update(1)
        progress.note("a word")
    assert capsys.readouterr() == ("", "")


def test_a_terminal_gets_a_bar_with_text_taken_literally(monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")
    progress = Progress("live")
    with progress.task("[red]odd[/red] label", 10) as task:
        task.update(5, loss="[bold]x")
        time.sleep(0.15)
        task.update(10, loss="[bold]x")
        progress.note("[blue]a note")
    err = capsys.readouterr().err
    assert "[red]odd[/red] label" in err
    assert "[bold]x" in err
    assert "[blue]a note" in err


def test_a_worker_tells_through_a_file_and_the_parent_shows_it(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("windtunnel.laboratory.progress.FILE_SECONDS", 0.02)
    parent, worker = Progress("plain"), Progress("file", directory=tmp_path / "two-layers")
    with parent.watch([tmp_path / "two-layers"]), worker.task("training", 10) as task:
        time.sleep(0.1)
        task.update(7, loss=1.25)
        state = json.loads((tmp_path / "two-layers" / FILE_NAME).read_text())
        time.sleep(0.1)
    assert state == [{"label": "training", "total": 10, "done": 7, "shown": {"loss": 1.25}}]
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1] == "two-layers: training: 7/10  loss 1.25" or "7/10" in lines[-1]
    assert not (tmp_path / "two-layers" / FILE_NAME).exists()


def test_a_broken_progress_file_is_passed_over(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("windtunnel.laboratory.progress.FILE_SECONDS", 0.02)
    (tmp_path / FILE_NAME).write_text('[{"label": "x"}, 3, {"lab')
    with Progress("plain").watch([tmp_path]):
        time.sleep(0.1)
    assert capsys.readouterr().err == ""


def test_the_end_is_estimated_from_the_pace(capsys):
    with Progress("silent").task("training", 10) as task:
        assert task.seconds_left is None
        task.started -= 5.0
        task.update(5)
        assert task.seconds_left == pytest.approx(5.0, abs=0.1)


def test_an_unknown_mode_is_refused():
    with pytest.raises(ValueError, match="none of auto"):
        Progress("loud")
