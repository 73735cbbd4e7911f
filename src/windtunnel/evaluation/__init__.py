"""What models can do, what they know they know, and how they behave.

from windtunnel.evaluation import Sample, Task, evaluate

The names below load what they need when first used.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from windtunnel.evaluation.comparing import compare
    from windtunnel.evaluation.engine import evaluate
    from windtunnel.evaluation.mock import MockModel
    from windtunnel.evaluation.rescoring import rescore
    from windtunnel.evaluation.results import Results
    from windtunnel.evaluation.tasks import Mark, Models, Output, Sample, Scorer, Solver, Task

__all__ = [
    "Mark",
    "MockModel",
    "Models",
    "Output",
    "Results",
    "Sample",
    "Scorer",
    "Solver",
    "Task",
    "compare",
    "evaluate",
    "rescore",
]

_HOMES = {
    "comparing": ("compare",),
    "engine": ("evaluate",),
    "mock": ("MockModel",),
    "rescoring": ("rescore",),
    "results": ("Results",),
    "tasks": ("Mark", "Models", "Output", "Sample", "Scorer", "Solver", "Task"),
}


def __getattr__(name: str) -> object:
    """Import what is used when it is used."""
    from importlib import import_module

    for module, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"windtunnel.evaluation.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
