"""Tasks by name, and names for the directories of evaluations."""

import hashlib
import importlib
import importlib.util
import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from windtunnel.evaluation.library import find_task
from windtunnel.evaluation.log import identity_of
from windtunnel.evaluation.provenance import describe_model
from windtunnel.evaluation.tasks import Task
from windtunnel.laboratory.errors import UsageError

if TYPE_CHECKING:
    from windtunnel.models.interface import LanguageModel


def named_task(name: str, directory: str | Path | None = None, **options: Any) -> Task:
    """The task that a name means.

    Args:
        name: As for `evaluation.library.find_task`, or `module:function` or `file.py:function`, a function of your own
            that returns a `Task`. It is imported, so it may do anything.
        directory: Where a library task's data set lies.
        **options: Passed on.

    Raises:
        UsageError: There is no such task, or it does not take an option.
    """
    place, _, function = name.rpartition(":")
    if not place or not function.isidentifier() or place == "hf":
        return find_task(name, directory, **options)
    if directory is not None:
        raise UsageError(f"{name} says itself where its data are; leave out the directory.")
    try:
        made = getattr(_imported(place), function)(**options)
    except (ImportError, AttributeError, TypeError) as error:
        raise UsageError(
            f"The task {name!r} cannot be made ({error}); write module:function or file.py:function."
        ) from error
    if not isinstance(made, Task):
        raise UsageError(f"{name} returned {type(made).__name__}, not a Task; return windtunnel.evaluation.Task(...).")
    return made


def directory_name(task: Task, models: "Mapping[str, LanguageModel]", seed: int, epochs: int) -> str:
    """A directory's name for an evaluation: readable, and different for every task, model, seed and epochs.

    So the same command continues what it began, and another one, or one after further training, begins anew.
    """
    described = {role: identity_of(describe_model(model)) for role, model in models.items()}
    identity = json.dumps([task.digest, described, seed, epochs], sort_keys=True)
    return f"{slug(task.name)}-{slug(models['subject'].name)}-{hashlib.sha256(identity.encode()).hexdigest()[:8]}"


def slug(name: str) -> str:
    """A name with nothing in it that a file name should not have; of a path its last part."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name.rstrip("/").rpartition("/")[2]).strip("-.") or "unnamed"


def _imported(place: str) -> ModuleType:
    """A module by its name, the working directory included, or by its file."""
    if not place.endswith(".py"):
        sys.path.insert(0, str(Path.cwd()))
        try:
            return importlib.import_module(place)
        finally:
            sys.path.pop(0)
    path = Path(place)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None or not path.exists():
        raise ImportError(f"there is no file {place}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module
