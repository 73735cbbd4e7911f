"""Ready tasks: published evaluations in their publishers' formats, by name."""

import importlib
import inspect
from pathlib import Path
from typing import Any

from windtunnel.evaluation.tasks import Task
from windtunnel.laboratory.errors import UsageError

TASKS = {
    "bbq": "social bias in question answering (BBQ), 11 categories",
}
"""Names of the ready tasks and what each is. Task `a-b` is the function `a_b` of the module `a_b`, unless `_PLACES`
says otherwise."""

_PLACES: dict[str, str] = {}
"""Modules of the tasks that share one."""


def find_task(name: str, directory: str | Path | None = None, **options: Any) -> Task:
    """A task by name.

    Args:
        name: A name of `TASKS`, with `/` and a part of it where it has parts, as `bbh/navigate`; or a file that
            `evaluation.declared` reads: `.yaml`, `.jsonl`, `.csv`, `.parquet`.
        directory: The data set's folder; by default its own under the directory that `WINDTUNNEL_DATA` names.
        **options: As the task's function takes them, as `shots`.

    Raises:
        UsageError: There is no such task, option or data set.
        DataError: The data set is not in the published format.
    """
    base, _, part = name.partition("/")
    if base not in TASKS:
        raise UsageError(f"There is no task {name!r}; tasks are {', '.join(TASKS)}, and files .yaml, .jsonl and .csv.")
    identifier = base.replace("-", "_")
    module = importlib.import_module(f"{__name__}.{_PLACES.get(base, identifier)}")
    function = getattr(module, identifier)
    if part:
        options = {"part": part, **options}
    known = [parameter for parameter in inspect.signature(function).parameters if parameter != "directory"]
    unknown = [option for option in options if option not in known]
    if unknown:
        what = "parts" if unknown[0] == "part" else f"option {unknown[0]!r}"
        raise UsageError(f"The task {base} has no {what}; its options are {', '.join(known)}.")
    task: Task = function(directory, **options)
    return task
