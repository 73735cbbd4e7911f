"""What the documentation site makes of the code when it is built, so that no page can fall behind it.

A page per study, from its docstring, config, presets and claims; and a page of reference per package.
"""

import html
import inspect
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from windtunnel.laboratory.study import Study, StudyModule
from windtunnel.studies import STUDIES

SOURCE = Path(__file__).parent.parent / "src"
READY = [study for study in STUDIES if not study.planned]


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Fill the two generated parts of the navigation."""
    for entry in config["nav"]:
        if "Studies" in entry:
            entry["Studies"] = ["studies/index.md", *({study.title: f"studies/{study.id}.md"} for study in READY)]
        if "Reference" in entry:
            entry["Reference"] = ["reference/index.md", *({name: f"reference/{name}.md"} for name in _packages())]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages."""
    pages = {"studies/index.md": _contents(), "reference/index.md": _reference_index()}
    pages |= {f"studies/{study.id}.md": _study(study) for study in READY}
    pages |= {f"reference/{name}.md": _reference(modules) for name, modules in _packages().items()}
    for path, content in pages.items():
        files.append(File.generated(config, path, content=content))
    return files


def _contents() -> str:
    lines = [
        "# Studies",
        "",
        "Each study is one paper: a config with three presets, claims whose bars are written before any run, and one",
        "function that reads like the paper's method section.",
        "",
        "| study | paper | status |",
        "|---|---|---|",
    ]
    for study in STUDIES:
        name = f"`{study.id}`" if study.planned else f"[`{study.id}`]({study.id}.md)"
        paper = f"[{_cell(study.title)}](https://arxiv.org/abs/{study.paper}) ({_cell(study.authors)})"
        lines.append(f"| {name} | {paper} | {'planned' if study.planned else 'ready'} |")
    return "\n".join(lines) + "\n"


def _study(study: Study) -> str:
    module = study.load()
    _, _, body = inspect.cleandoc(module.__doc__ or "").partition("\n\n")
    return "\n".join(
        [
            f"# {study.title}",
            "",
            f"{study.authors}, [arXiv:{study.paper}](https://arxiv.org/abs/{study.paper})",
            "",
            html.escape(body, quote=False),
            "",
            "```",
            f"windtunnel run {study.id}",
            f"windtunnel run {study.id} --preset full",
            f"windtunnel run {study.id} --null  # the cause removed",
            "```",
            "",
            "## Claims",
            "",
            "A bar is part of the claim, not of a run. Claims marked ○ hold without their cause as well, so the null",
            "control may replicate them; the others are effects, and must not come out replicated there.",
            "",
            *_claims(module),
            "",
            "## Config",
            "",
            "Change a field with `--set field=value`. A preset's value is shown where it differs from `quick`.",
            "",
            *_fields(module),
            "",
        ]
    )


def _claims(module: StudyModule) -> list[str]:
    rows = [
        f"| `{claim.id}`{'' if claim.effect else ' ○'} | {_cell(claim.statement)} | {_cell(claim.where)} "
        f"| {_cell(str(claim.bar))} |"
        for claim in module.CLAIMS
    ]
    return ["| claim | statement | in the paper | bar |", "|---|---|---|---|", *rows]


def _fields(module: StudyModule) -> list[str]:
    rows = ["| field | what | quick | full | paper |", "|---|---|---|---|---|"]
    for name, field in module.Config.model_fields.items():
        values = [_value(getattr(module.PRESETS[preset], name)) for preset in ("quick", "full", "paper")]
        shown = [values[0], *("" if value == values[0] else value for value in values[1:])]
        rows.append(f"| `{name}` | {_cell(field.description or '')} | {' | '.join(shown)} |")
    return rows


def _value(value: Any) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
    return _cell(text if len(text) < 60 else f"{text[:50]} …")


def _cell(text: str) -> str:
    """Text that is safe in a cell of a table."""
    return html.escape(text, quote=False).replace("|", "\\|").replace("\n", " ")


def _packages() -> dict[str, list[str]]:
    """Modules by the folder of the house they are in, in the order of their names."""
    found: dict[str, list[str]] = {}
    for path in sorted((SOURCE / "windtunnel").rglob("*.py")):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        parts = parts[:-1] if parts[-1] == "__init__" else parts
        if len(parts) > 1:
            found.setdefault(parts[1], []).append(".".join(parts))
    return {"windtunnel": ["windtunnel"], **found}


def _reference_index() -> str:
    lines = ["# Reference", "", "Everything public, by the folders of the house.", ""]
    return "\n".join([*lines, *(f"- [{name}]({name}.md)" for name in _packages())]) + "\n"


def _reference(modules: list[str]) -> str:
    title = modules[0].split(".")[-1] if len(modules) > 1 else modules[0]
    only = "\n    options:\n      members: [load, run]" if modules == ["windtunnel"] else ""
    return "\n\n".join([f"# {title}", *(f"::: {module}{only}" for module in modules)]) + "\n"
