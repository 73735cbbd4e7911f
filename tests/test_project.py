"""The project as a whole: docstrings, sizes, pins, light imports, and nothing of anybody's machine."""

import ast
import re
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import windtunnel

ROOT = Path(__file__).parent.parent
MODULES = sorted((ROOT / "src").rglob("*.py"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PINS = {
    canonicalize_name(requirement.name): requirement
    for line in (ROOT / "requirements.txt").read_text().splitlines()
    if line.strip() and not line.startswith(("#", "-"))
    for requirement in [Requirement(line.split(" #")[0].strip())]
}


def tracked():
    try:
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("needs a git checkout")
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(ROOT / "src")))
def test_everything_public_says_what_it_is(module):
    def check(node, place):
        assert ast.get_docstring(node), f"{place} has no docstring"
        inside = node.body if isinstance(node, ast.Module | ast.ClassDef) else ()
        for inner in inside:
            is_named = isinstance(inner, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
            if is_named and not inner.name.startswith("_"):
                check(inner, f"{place}.{inner.name}")

    check(ast.parse(module.read_text()), module.stem)


def test_files_stay_readable():
    long = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in MODULES}
    assert not {path: lines for path, lines in long.items() if lines > 500}


def test_pins_satisfy_the_ranges_and_are_exact():
    extras = PROJECT["optional-dependencies"]
    developed = next(Requirement(line).extras for line in extras["dev"] if Requirement(line).name == "windtunnel")
    assert developed == extras.keys() - {"dev", "inspect", "maps"}  # these two are tested where they are installed
    for text in [*PROJECT["dependencies"], *(line for extra in {"dev", *developed} for line in extras[extra])]:
        requirement = Requirement(text)
        if requirement.name == "windtunnel":
            continue
        pin = PINS[canonicalize_name(requirement.name)]
        (exact,) = pin.specifier
        assert exact.operator == "=="
        assert requirement.specifier.contains(exact.version, prereleases=True), f"{pin} is outside {requirement}"


def test_the_versions_agree():
    assert windtunnel.__version__ == PROJECT["version"] == version("windtunnel")
    assert f"version: {windtunnel.__version__}\n" in (ROOT / "CITATION.cff").read_text()
    assert f"## {windtunnel.__version__}" in (ROOT / "CHANGELOG.md").read_text()


@pytest.mark.parametrize("act", ["import windtunnel", "import windtunnel.cli; windtunnel.cli.main(['--help'])"])
def test_what_is_heavy_is_not_loaded_before_it_is_needed(act):
    heavy = ("torch", "transformers", "numpy", "scipy", "matplotlib", "sklearn", "datasets", "starlette")
    code = f"import sys\ntry:\n    exec({act!r})\nexcept SystemExit:\n    pass\n"
    code += f"print('loaded', [name for name in {heavy!r} if name in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60).stdout
    assert out.splitlines()[-1] == "loaded []"


def test_nothing_tells_of_one_machine():
    place = re.compile(r"(?<![\w.$}])/(home|Users|root|work|mnt|opt)/\w")
    for path in tracked():
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue
        found = place.search(text)
        assert found is None or path == Path(__file__), f"{path.relative_to(ROOT)} names {found.group()}"


def test_no_weights_or_data_are_kept():
    kinds = {".safetensors", ".gguf", ".bin", ".pt", ".pkl", ".npz", ".parquet", ".gz"}
    files = tracked()
    assert not [path for path in files if path.suffix in kinds]
    assert not [path for path in files if path.stat().st_size > 500_000]
