"""What the documentation shows works: Python blocks run, commands and their settings exist, links lead somewhere."""

import html
import importlib.util
import itertools
import re
import shlex
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from windtunnel.cli import main
from windtunnel.laboratory.study import configure, preset, read_settings
from windtunnel.studies import STUDIES, find
from windtunnel.training.pretraining import Pretraining

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
    settings = read_settings([value for flag, value in itertools.pairwise(arguments) if flag == "--set"])
    if verb == "run":
        configure(preset(find(arguments[0]), "quick"), settings)
    if verb == "train":
        configure(Pretraining(), settings)
    if verb == "list":
        with pytest.raises(SystemExit) as stopped:
            main([verb, *arguments])
        assert stopped.value.code == 0
        assert STUDIES[0].id in capsys.readouterr().out


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


@pytest.fixture(scope="module")
def hooks():
    pytest.importorskip("mkdocs", reason="needs the docs extra")
    found = importlib.util.spec_from_file_location("documentation_hooks", ROOT / "docs" / "hooks.py")
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    pytest.importorskip("material", reason="needs the docs extra")
    from mkdocs.commands.build import build
    from mkdocs.config import load_config

    folder = tmp_path_factory.mktemp("site")
    build(load_config(str(ROOT / "mkdocs.yml"), site_dir=str(folder), strict=True))
    return folder


class Requests(HTMLParser):
    """What a browser fetches when it opens a page."""

    def __init__(self, page):
        super().__init__()
        self.found = []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        named = dict(attributes)
        if tag == "link" and named.get("rel") not in {"canonical", "next", "prev"}:
            self.found.append(named.get("href"))
        elif tag != "a":
            self.found += [named[key] for key in ("src", "srcset", "data", "poster") if key in named]


def test_opening_the_site_asks_no_other_host(site):
    pages = sorted(site.rglob("*.html"))
    wanted = {address for page in pages for address in Requests(page.read_text()).found}
    assert any(address.endswith(".css") for address in wanted)
    assert not [address for address in wanted if "//" in address]
    for sheet in site.rglob("*.css"):
        assert not re.search(r"(url\(|@import)\s*[\"']?(https?:)?//", sheet.read_text()), sheet.name


def test_the_site_has_every_study_claim_and_field(site):
    contents = (site / "studies" / "index.html").read_text()
    for study in STUDIES:
        assert f">{study.id}<" in contents
        page = site / "studies" / study.id / "index.html"
        assert page.exists() != study.planned
        if not study.planned:
            text, module = page.read_text(), study.load()
            for claim in module.CLAIMS:
                assert f"<code>{claim.id}</code>" in text
                assert f"<td>{html.escape(str(claim.bar), quote=False)}</td>" in text
            for name in module.Config.model_fields:
                assert f"<code>{name}</code>" in text


def test_the_reference_has_every_module(site):
    text = "".join(page.read_text() for page in (site / "reference").rglob("*.html"))
    source = ROOT / "src"
    for path in source.rglob("*.py"):
        parts = path.relative_to(source).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        assert f'id="{name}"' in text


def cells(rows):
    import markdown

    page = markdown.markdown("\n".join(rows), extensions=["tables"])
    return [html.unescape(cell) for cell in re.findall(r"<td>(.*?)</td>", page, re.DOTALL)]


@pytest.mark.parametrize(
    "text",
    ["a | b", "x < 3 & y > 2", "<script>alert(1)</script>", "2*x*y", "_a_", "[a](b)", "a\\b", "&lt;", "one\ntwo"],
)
def test_text_in_a_table_is_shown_as_it_is(hooks, text):
    assert cells(["| a | b |", "|---|---|", f"| {hooks._cell(text)} | end |"]) == [text.replace("\n", " "), "end"]


def test_code_in_a_table_is_shown_as_it_is(hooks):
    rows = ["| a | b |", "|---|---|", f"| {hooks._cell('use `a|<b>` here')} | {hooks._code('x | None')} |"]
    assert cells(rows) == ["use <code>a|<b></code> here", "<code>x | None</code>"]
    assert hooks._prose("m < n, `m < n`") == "m &lt; n, `m < n`"
