"""What the documentation site makes of the code when it is built, so that no page can fall behind it.

A page per study, from its docstring, config, presets and claims; and a page of reference per package.
"""

import html
import inspect
import json
import re
from collections.abc import Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from windtunnel.laboratory.study import Study, StudyModule
from windtunnel.studies import STUDIES

SOURCE = Path(__file__).parent.parent / "src"
PICTURES = Path(__file__).parent / "pictures" / "studies"
READY = [study for study in STUDIES if not study.planned]
WIDE = ["---", "hide: [toc]", "---"]  # room for tables instead of a short table of contents


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
        *WIDE,
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
            *WIDE,
            f"# {study.title}",
            "",
            f"{study.authors}, [arXiv:{study.paper}](https://arxiv.org/abs/{study.paper})",
            "",
            _prose(body),
            "",
            "```",
            f"windtunnel run {study.id}",
            f"windtunnel run {study.id} --preset full",
            f"windtunnel run {study.id} --null  # the cause removed",
            "```",
            "",
            *_figures(study),
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


def _figures(study: Study) -> list[str]:
    """Figures of the quick preset, kept under `pictures/studies/` with what they show."""
    shown = json.loads((PICTURES / "captions.json").read_text(encoding="utf-8")).get(study.id, {})
    lines = []
    for name, caption in shown.items():
        text = _cell(caption)
        lines += [f"![{text}](../pictures/studies/{study.id}.{name}.svg)", "", f"*{text}*", ""]
    return ["## Figures", "", "From the quick preset, seed 0.", "", *lines] if lines else []


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
        kind = _code(_type(field.annotation) + _limits(field.metadata))
        rows.append(f"| `{name}` | {_cell(field.description or '')}<br>{kind} | {' | '.join(shown)} |")
    return rows


def _type(annotation: Any) -> str:
    """A field's type as it is written in Python, with the limits of each part beside it."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type(parts[0]) + _limits(parts[1:])
    if origin is Literal:
        return " | ".join(map(repr, parts))
    if origin in (Union, UnionType):
        return " | ".join(map(_type, parts))
    if origin is not None:
        return f"{origin.__name__}[{', '.join(map(_type, parts))}]"
    return {Ellipsis: "...", NoneType: "None"}.get(annotation) or annotation.__name__


def _limits(metadata: Sequence[Any]) -> str:
    signs = {"gt": ">", "ge": "≥", "lt": "<", "le": "≤"}
    found = [f"{signs[name]} {getattr(limit, name)}" for limit in metadata for name in signs if hasattr(limit, name)]
    return f" {', '.join(found)}" if found else ""


def _value(value: Any) -> str:
    if not isinstance(value, tuple):
        return _code(str(value))
    shown = map(str, value if len(value) <= 7 else (*value[:3], "…", value[-1]))
    return _code(", ".join(shown)) + (f" ({len(value)} values)" if len(value) > 7 else "")


def _code(text: str) -> str:
    """A code span, in which Markdown itself escapes what is special to HTML and to tables."""
    return f"`{text}`" if text else ""


def _prose(text: str) -> str:
    """Markdown whose angle brackets are no HTML; those in its code spans Markdown escapes itself."""
    parts = re.split(r"(`[^`]+`)", text)
    return "".join(part if index % 2 else html.escape(part, quote=False) for index, part in enumerate(parts))


def _cell(text: str) -> str:
    """Plain text, with code spans, as one cell of a table: nothing else in it is Markdown or HTML."""
    parts = re.split(r"(`[^`]+`)", " ".join(text.split()))
    return "".join(
        part if index % 2 else html.escape(re.sub(r"([\\*_\[\]|])", r"\\\1", part), quote=False)
        for index, part in enumerate(parts)
    )


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
