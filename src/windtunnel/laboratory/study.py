"""A study: one paper as a config, presets, claims and one function; and how it is run."""

import difflib
import importlib
import json
import os
import platform
import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Protocol, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from windtunnel.laboratory.claims import Claim
from windtunnel.laboratory.errors import UsageError
from windtunnel.laboratory.run import Run

RECORDED_PACKAGES = ("windtunnel", "torch", "transformers", "numpy", "scipy", "tokenizers")


class StudyConfig(BaseModel):
    """What every study's config shares; fields are checked, unknown ones refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    seed: int = Field(0, ge=0, lt=2**31, description="the one seed from which every generator is derived")


class StudyModule(Protocol):
    """What a module in `studies/` offers."""

    Config: type[StudyConfig]
    PRESETS: Mapping[str, StudyConfig]
    CLAIMS: Sequence[Claim]

    def run(self, config: Any, run: Run) -> None:
        """The paper's method, writing through `run`."""


@dataclass(frozen=True)
class Study:
    """One line of the table of contents: a paper, and the module that runs it once it is built.

    Attributes:
        id: Name used on the command line.
        title: Title of the paper.
        authors: First authors and year.
        paper: arXiv identifier.
        module: Importable module, or None while the study is planned.
    """

    id: str
    title: str
    authors: str
    paper: str
    module: str | None = None

    @property
    def planned(self) -> bool:
        """Whether the study is still to come."""
        return self.module is None

    def load(self) -> StudyModule:
        """Import the study's module.

        Raises:
            UsageError: The study is planned and cannot be run yet.
        """
        if self.module is None:
            raise UsageError(
                f"{self.id} is planned and cannot be run yet; `windtunnel list` shows the studies that can."
            )
        return cast(StudyModule, importlib.import_module(self.module))


def nearest(name: str, known: Sequence[str]) -> str:
    """A hint for a mistyped name: the closest known one, or all of them."""
    close = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"choose one of: {', '.join(known)}."


def preset(study: Study, name: str) -> StudyConfig:
    """The study's config of that preset.

    Raises:
        UsageError: No such preset.
    """
    presets = study.load().PRESETS
    if name not in presets:
        raise UsageError(f"{study.id} has no preset {name!r}; {nearest(name, list(presets))}")
    return presets[name]


def read_settings(texts: Sequence[str]) -> dict[str, Any]:
    """The settings in `field=value` texts; a value is read as JSON where it is JSON, else as text.

    Raises:
        UsageError: A text is not of that form.
    """
    settings = {}
    for text in texts:
        field, separator, value = text.partition("=")
        if not separator or not field:
            raise UsageError(f"--set {text!r} is not of the form field=value; write for example --set seed=1.")
        settings[field] = _parse(value)
    return settings


def configure(base: StudyConfig, settings: Mapping[str, Any], seed: int | None = None) -> StudyConfig:
    """Change fields of a config; a dotted name reaches into a nested config, and `1,2` into a field of several values.

    Args:
        base: The preset to start from.
        settings: New values by field.
        seed: Replaces the seed when given.

    Raises:
        UsageError: A name is no field, or a value is out of range.
    """
    values = base.model_dump()
    for field, value in settings.items():
        _place(values, field, value)
    if seed is not None:
        values["seed"] = seed
    try:
        return type(base).model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"])) or "config"
        reason = first["msg"].removeprefix("Value error, ")
        raise UsageError(
            f"{field}={first.get('input')!r} is not accepted: {reason[:1].lower()}{reason[1:]}; set another value."
        ) from error


def _place(values: dict[str, Any], field: str, value: Any) -> None:
    *path, last = field.split(".")
    for name in path:
        if not isinstance(values.get(name), dict):
            raise UsageError(f"There is no field {field!r} to set; {nearest(name, list(values))}")
        values = values[name]
    if last not in values:
        raise UsageError(f"There is no field {field!r} to set; {nearest(last, list(values))}")
    values[last] = _several(value) if isinstance(values[last], tuple | list) else value


def _several(value: Any) -> Any:
    """What a field of several values is set to: `1,2` and a single `1` are taken as well as `[1, 2]`."""
    if isinstance(value, str):
        return [_parse(part.strip()) for part in value.split(",")]
    return [value] if isinstance(value, int | float) else value


def _parse(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def execute(
    study: Study,
    *,
    preset_name: str = "quick",
    settings: Mapping[str, Any] | None = None,
    seed: int | None = None,
    model: str | None = None,
    device: str = "cpu",
    out: str | Path | None = None,
    resume: bool = False,
    null: bool = False,
    workers: int | None = None,
    progress: str = "silent",
) -> Run:
    """Run a study from the top to its report.

    Args:
        study: Which one.
        preset_name: `quick`, `full` or `paper`.
        settings: Changes to the preset, by field.
        seed: Replaces the preset's seed.
        model: A model to study instead of the study's own, where the study allows it.
        device: Torch device name.
        out: The run's directory; by default a new one under `runs/`.
        resume: Continue a killed run in `out`.
        null: Run the null control: the study with its cause removed.
        workers: Worker processes for sweeps; by default one per core.
        progress: `auto`, `plain` or `silent`.

    Returns:
        The finished run.

    Raises:
        UsageError: Unknown preset or field, a value out of range, or a directory that cannot be used so.
        WindtunnelError: The run failed in a way that can be explained.
    """
    module = study.load()
    settings = dict(settings or {})
    config = configure(preset(study, preset_name), settings, seed)
    directory = Path(out) if out is not None else default_directory(study.id, preset_name, null, resume)
    run = Run(
        directory,
        claims=module.CLAIMS,
        seed=config.seed,
        null=null,
        device=device,
        model=model,
        workers=workers or available_cores(),
        progress=progress,
    )
    identity = {
        "study": study.id,
        "title": study.title,
        "paper": study.paper,
        "preset": preset_name,
        "model": model,
        "seed": config.seed,
        "null": null,
        "config": config.model_dump(mode="json"),
        "command": _command(study, preset_name, settings, config.seed, model, device, null),
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "versions": {name: _version(name) for name in RECORDED_PACKAGES},
        "hardware": hardware(),
        "device": device,
    }
    run.open(identity, resume=resume)
    with run:
        module.run(config, run)
        run.finish()
    return run


def default_directory(study: str, preset_name: str, null: bool, resume: bool) -> Path:
    """A directory under `runs/`: the newest of its name to resume, otherwise the first unused one."""
    base = f"{study}-{preset_name}" + ("-null" if null else "")
    candidates = [Path("runs") / (base if number == 1 else f"{base}-{number}") for number in range(1, 10_000)]
    unused = next(index for index, path in enumerate(candidates) if not path.exists())
    return candidates[max(unused - 1, 0)] if resume else candidates[unused]


def available_cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def hardware() -> dict[str, Any]:
    """What the run is made on, without loading torch: system, processor kind, cores."""
    return {
        "system": platform.system(),
        "processor": platform.machine(),
        "cores": available_cores(),
        "python": sys.version.split()[0],
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _command(
    study: Study,
    preset_name: str,
    settings: Mapping[str, Any],
    seed: int,
    model: str | None,
    device: str,
    null: bool,
) -> str:
    """The command line that repeats the run."""
    words = ["windtunnel", "run", study.id, "--preset", preset_name, "--seed", str(seed)]
    for field, value in settings.items():
        words += ["--set", f"{field}={json.dumps(value)}"]
    if model is not None:
        words += ["--model", model]
    if device != "cpu":
        words += ["--device", device]
    if null:
        words.append("--null")
    return shlex.join(words)
