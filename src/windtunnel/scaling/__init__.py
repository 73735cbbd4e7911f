"""Scaling: laws, fitting them to runs, planning from them.

from windtunnel.scaling import fit

The names below load what they need when first used.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from windtunnel.scaling.fitting import Fit, fit
    from windtunnel.scaling.laws import LAWS, find_law

__all__ = ["LAWS", "Fit", "find_law", "fit"]

_HOMES = {
    "Fit": "windtunnel.scaling.fitting",
    "fit": "windtunnel.scaling.fitting",
    "LAWS": "windtunnel.scaling.laws",
    "find_law": "windtunnel.scaling.laws",
}


def __getattr__(name: str) -> object:
    """Import what is used when it is used."""
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
