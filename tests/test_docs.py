"""What the documentation shows works: Python blocks run, commands and their settings exist, links lead somewhere."""

import itertools
import re
import shlex
import sys
from pathlib import Path

import pytest

from windtunnel.cli import main
from windtunnel.laboratory.study import configure, preset, read_settings
from windtunnel.studies import STUDIES, find

ROOT = Path(__file__).parent.parent
PAGES = sorted((ROOT / "docs").rglob("*.md"))
TEXTS = [*PAGES, ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "benchmarks" / "README.md"]


def name_of(path):
    return str(path.relative_to(ROOT))


def blocks(path, language):
    found = re.findall(r"^```(\w*)\n(.*?)^```$", path.read_text(), re.MULTILINE | re.DOTALL)
    return [body for kind, body in found if kind == language]


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")], ids=name_of)
def test_python_on_a_page_runs(page, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("WINDTUNNEL_DATA", raising=False)
    modules = set(sys.modules)
    scope = {"__name__": "page"}
    for number, block in enumerate(blocks(page, "python")):
        exec(compile(block, f"{page.name}, block {number}", "exec"), scope)  # noqa: S102
    for added in {"coins"} - modules:
        sys.modules.pop(added, None)
    assert "Error" not in capsys.readouterr().err


def commands():
    found = {}
    for page in TEXTS:
        for block in blocks(page, ""):
            for line in block.splitlines():
                if line.startswith("windtunnel "):
                    found.setdefault(line.partition(" #")[0].strip(), page)
    return sorted(found)


@pytest.mark.parametrize("command", commands())
def test_commands_exist_as_they_are_shown(command, capsys):
    _, verb, *arguments = shlex.split(command)
    with pytest.raises(SystemExit) as stopped:
        main([verb, "--help"])
    assert stopped.value.code == 0
    shown = capsys.readouterr().out
    for option in (argument for argument in arguments if argument.startswith("--")):
        assert option in shown
    if verb == "run":
        study = find(arguments[0])
        settings = [value for flag, value in itertools.pairwise(arguments) if flag == "--set"]
        configure(preset(study, "quick"), read_settings(settings))


@pytest.mark.parametrize("page", TEXTS, ids=name_of)
def test_links_and_pictures_lead_to_files(page):
    generated = {"studies/index.md", "reference/index.md"}
    generated |= {f"reference/{path.name}.md" for path in (ROOT / "src" / "windtunnel").iterdir()}
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text()):
        if "://" in target:
            continue
        path = (page.parent / target).resolve()
        inside = path.is_relative_to(ROOT / "docs") and str(path.relative_to(ROOT / "docs")) in generated
        assert inside or path.exists(), f"{name_of(page)} links to {target}"


def test_the_readme_lists_every_study_as_it_is():
    rows = dict(re.findall(r"^\| `([\w-]+)` \|.*\| (\w+) \|$", (ROOT / "README.md").read_text(), re.MULTILINE))
    assert rows == {study.id: "planned" if study.planned else "ready" for study in STUDIES}
