import json
import threading
import time

import pytest

from windtunnel.laboratory.errors import UsageError
from windtunnel.laboratory.progress import FILE_NAME, Progress


@pytest.fixture
def fast_files(monkeypatch):
    monkeypatch.setattr("windtunnel.laboratory.progress.FILE_SECONDS", 0.02)


def wait_until(happened, seconds=5.0):
    """Poll instead of sleeping a guessed time: a busy machine is slow, not wrong."""
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.01)


def test_plain_lines_tell_first_and_last_and_not_every_step(capsys):
    progress = Progress("plain")
    with progress.task("training", 1000) as task:
        for step in range(1000):
            task.update(step + 1, loss=2.5, tokens_per_s=12345.6)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "training: 0/1000"
    assert lines[-1].startswith("training: 1000/1000  ")
    assert lines[-1].endswith("/s  took 0:00  loss 2.5  tokens/s 12346")
    assert len(lines) <= 3


def test_silence_is_silent(capsys):
    progress = Progress("silent")
    with progress.task("training", 2) as task, progress.watch([]):
        task.update(1)
        progress.note("a word")
    assert capsys.readouterr() == ("", "")


def test_standard_output_stays_clean(capsys):
    for mode in ("live", "plain"):
        progress = Progress(mode)
        with progress.task("training", 1) as task:
            task.update(1)
            progress.note("a word")
    assert capsys.readouterr().out == ""


def test_a_terminal_gets_a_bar_with_text_taken_literally(monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")
    progress = Progress("live")
    with progress.task("[red]odd[/red] :warning: label", 10) as task:
        task.next_showing = 0.0
        task.update(5, loss="[bold]x")
        progress.note("[blue]a note")
    err = capsys.readouterr().err
    assert "[red]odd[/red] :warning: label" in err
    assert "[bold]x" in err
    assert "[blue]a note" in err


@pytest.mark.parametrize("mode", ["live", "plain"])
def test_text_cannot_steer_the_terminal(mode, capsys):
    progress = Progress(mode)
    with progress.task("evil\x1b[2J\nlabel", 1):
        progress.note("note\x07\rover")
    err = capsys.readouterr().err
    assert "evil�[2J�label: 0/1" in err
    assert "note��over" in err


def test_bars_of_finished_tasks_make_room(capsys):
    progress = Progress("live")
    with progress.task("all", 30) as outer:
        for number in range(30):
            with progress.task(f"model {number}", 1) as task:
                task.update(1)
            outer.update(number + 1)
        assert len(progress._bars) == 1
    assert "model 7: 1/1" in capsys.readouterr().err


def test_tasks_from_several_threads(capsys):
    progress = Progress("live")

    def work(name):
        for _ in range(20):
            with progress.task(name, 50) as task:
                for step in range(50):
                    task.next_showing = 0.0 if step % 10 == 0 else task.next_showing
                    task.update(step + 1)

    threads = [threading.Thread(target=work, args=(f"thread {number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert capsys.readouterr().err.count("50/50") >= 80


def test_a_worker_tells_through_a_file_and_the_parent_shows_it(tmp_path, capsys, fast_files):
    directory = tmp_path / "two-layers"
    parent, worker = Progress("plain"), Progress("file", directory=directory)
    shown = ""

    def parent_said(text):
        nonlocal shown
        shown += capsys.readouterr().err
        return text in shown

    with parent.watch([directory]):
        with worker.task("training", 10) as task:
            task.next_showing = 0.0
            task.update(7, loss=1.25, best=float("nan"))
            (state,) = json.loads((directory / FILE_NAME).read_text())
            assert state["label"] == "training"
            assert (state["done"], state["total"], state["over"]) == (7, 10, False)
            wait_until(lambda: parent_said("two-layers: training: 7/10  loss 1.25  best nan"))
            task.update(10, loss=1.0)
        wait_until(lambda: parent_said("training: 10/10"))
        with worker.task("training", 4):  # the same name again is another task
            wait_until(lambda: parent_said("training: 0/4"))
    assert not list(directory.iterdir())
    assert shown.count("10/10") == 1


def test_the_file_is_written_at_most_twice_a_second(tmp_path):
    worker = Progress("file", directory=tmp_path)
    with worker.task("training", 10_000) as task:
        written = set()
        began = time.monotonic()
        for step in range(10_000):
            task.update(step)
            if step % 10 == 0:
                written.add((tmp_path / FILE_NAME).stat().st_mtime_ns)
        assert len(written) <= 2 + (time.monotonic() - began) / 0.5


def test_what_a_killed_run_left_is_not_shown(tmp_path, capsys, fast_files):
    with Progress("file", directory=tmp_path).task("old", 3):
        left = (tmp_path / FILE_NAME).read_text()
    (tmp_path / FILE_NAME).write_text(left)
    with Progress("plain").watch([tmp_path]):
        time.sleep(0.1)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("content", ['[{"label": "x"}, 3, {"lab', '[{"label": "x"}]', "3", "null", "\x00"])
def test_a_broken_progress_file_is_passed_over(tmp_path, capsys, fast_files, content):
    with Progress("plain").watch([tmp_path]):
        (tmp_path / FILE_NAME).write_text(content)
        time.sleep(0.1)
    assert capsys.readouterr().err == ""


def test_work_goes_on_where_progress_cannot_be_written(tmp_path):
    (tmp_path / "taken").write_text("a file where the directory should be")
    with Progress("file", directory=tmp_path / "taken").task("training", 2) as task:
        task.update(2)
    assert task.done == 2


def test_the_end_is_estimated_from_the_pace_since_the_first_update():
    with Progress("silent").task("training", 1000) as task:
        assert task.seconds_left is None
        task.update(900)  # a resumed run begins far along
        assert task.seconds_left is None
        task.first = (900, time.monotonic() - 5.0)
        task.update(950)
        assert task.rate == pytest.approx(10.0, rel=0.05)
        assert task.seconds_left == pytest.approx(5.0, rel=0.05)


def test_unknown_modes_are_refused():
    with pytest.raises(UsageError, match="'loud' is none of auto"):
        Progress("loud")
    with pytest.raises(UsageError, match="needs a directory"):
        Progress("file")
