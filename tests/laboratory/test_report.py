"""The report: complete, escaped, self-contained."""

import base64
import re
from html.parser import HTMLParser

import pytest
import tiny_study

from windtunnel.laboratory import report
from windtunnel.laboratory.errors import DataError
from windtunnel.laboratory.study import execute


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return execute(tiny_study.STUDY, out=tmp_path_factory.mktemp("runs") / "tiny", settings={"stages": 2})


class Page(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.addresses, self.open = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.addresses += [value for name, value in attributes if name in ("src", "href", "action", "data")]
        if tag not in ("meta", "img", "rect", "line", "circle"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in ("meta", "img", "rect", "line", "circle"):
            assert self.open.pop() == tag


def test_the_page_shows_everything_and_asks_nobody(run):
    text = (run.directory / "report.html").read_text()
    page = Page(text)
    assert page.open == []
    assert "script" not in page.tags
    assert all(address.startswith(("#", "data:image/svg+xml;base64,")) for address in page.addresses)
    for shown in ("A &lt;tiny&gt; study", "Drawing &lt;samples&gt;", "is &lt; 3 &amp;", "Something else holds."):
        assert shown in text
    assert "windtunnel run tiny --preset quick" in text
    assert text.count('class="verdict') >= 3


def test_the_figure_follows_the_page_and_runs_nothing(run):
    text = (run.directory / "report.html").read_text()
    svg = base64.b64decode(re.search(r"base64,([A-Za-z0-9+/=]+)", text)[1]).decode()
    assert svg == (run.directory / "figures" / "means.svg").read_text()
    assert "currentColor" in svg
    assert "#000000" not in svg
    assert "<script" not in svg
    assert not re.search(r'(?:href|src)="(?!#|data:)', svg)


def test_the_same_run_gives_the_same_page_again(run):
    before = (run.directory / "report.html").read_bytes()
    report.write_report(run.directory)
    assert (run.directory / "report.html").read_bytes() == before


def test_a_folder_of_runs_makes_one_page(run, tmp_path):
    page = report.write_report(run.directory.parent, tmp_path / "all.html")
    assert page.read_text().count("<article") == 1


def test_an_empty_folder_is_explained(tmp_path):
    with pytest.raises(DataError, match="no finished run"):
        report.write_report(tmp_path)


def test_hostile_text_in_stored_files_stays_text(run, tmp_path):
    import json
    import shutil

    shutil.copytree(run.directory, tmp_path / "run")
    contents = json.loads((tmp_path / "run" / "contents.json").read_text())
    evil = '"><script>alert(1)</script><img src=x onerror=alert(1)>'
    for item in contents:
        item.update({key: evil for key in ("title", "text", "caption") if key in item})
    (tmp_path / "run" / "contents.json").write_text(json.dumps(contents))
    text = report.write_report(tmp_path / "run").read_text()
    assert "<script" not in text
    assert "onerror" not in {
        name
        for tag in re.findall(r"<[a-z][^>]*>", text)
        for name in re.findall(r"\s(\w+)=", re.sub(r'"[^"]*"', '""', tag))
    }


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "–"),
        (0.123456, "0.1235"),
        (1234567, "1\u202f234\u202f567"),
        (1e-7, "1e-07"),
        (True, "yes"),
        ([1, 2.5], "1, 2.5"),
    ],
)
def test_numbers_are_shown_for_people(value, shown):
    assert report.number(value) == shown


def test_the_gauge_puts_the_value_where_it_is():
    claim = {"value": 2.0, "interval": [1.0, 3.0], "bar_ends": [0.0, None]}
    gauge = report.gauge(claim)
    assert 0 < gauge["accepted_from"] < gauge["low"] < gauge["value"] < gauge["high"] < gauge["accepted_to"] == 120.0
    assert report.gauge({"value": None, "interval": None, "bar_ends": [0.0, None]}) is None
