"""Scaling: laws, fitting them to runs, planning from them.

from windtunnel.scaling import fit

The names below load what they need when first used.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from windtunnel.scaling.fitting import Fit, fit
    from windtunnel.scaling.laws import LAWS, find_law
    from windtunnel.scaling.profiling import Profile, profile
    from windtunnel.scaling.saving import load_law, save_law
    from windtunnel.scaling.selection import Scored, compare, select
    from windtunnel.scaling.tables import Table, read_table

__all__ = [
    "LAWS",
    "Fit",
    "Profile",
    "Scored",
    "Table",
    "compare",
    "find_law",
    "fit",
    "load_law",
    "profile",
    "read_table",
    "save_law",
    "select",
]

_HOMES = {
    "fitting": ("Fit", "fit"),
    "laws": ("LAWS", "find_law"),
    "profiling": ("Profile", "profile"),
    "saving": ("load_law", "save_law"),
    "selection": ("Scored", "compare", "select"),
    "tables": ("Table", "read_table"),
}


def __getattr__(name: str) -> object:
    """Import what is used when it is used."""
    from importlib import import_module

    for module, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"windtunnel.scaling.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
