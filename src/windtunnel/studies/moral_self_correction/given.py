"""The model that the user names."""

from typing import Any


def ask_given(config: Any, run: Any) -> None:
    """To come."""
