"""Jinja templates of other people's tasks: rendered in a sandbox, so that they are words and never code."""

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from jinja2 import StrictUndefined, TemplateError
from jinja2.exceptions import SecurityError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from windtunnel.laboratory.errors import DataError, UsageError

LARGEST = 10**6
"""Most characters or items that a repetition in a template may make."""


class _Sandbox(ImmutableSandboxedEnvironment):
    """No attribute that begins with an underscore, no change of a value, no huge repetition or power."""

    intercepted_binops = frozenset(("*", "**", "%"))

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """Multiply where the result stays small."""
        if operator == "**" and max(abs(left), abs(right)) > 1000:
            raise SecurityError("a power in a template is too large")
        if operator == "%" and isinstance(left, str):
            raise SecurityError("a template formats text with filters, not with %")
        if operator == "*":
            sizes = [len(each) if hasattr(each, "__len__") else each for each in (left, right)]
            if any(hasattr(each, "__len__") for each in (left, right)) and sizes[0] * sizes[1] > LARGEST:
                raise SecurityError("a repetition in a template is too long")
        return super().call_binop(context, operator, left, right)


@cache
def _environment() -> _Sandbox:
    sandbox = _Sandbox(undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False)
    sandbox.filters["regex_replace"] = lambda text, pattern, repl="": re.sub(pattern, repl, text)
    return sandbox


@cache
def _compiled(text: str) -> Any:
    return _environment().from_string(text)


def check(text: str, key: str) -> None:
    """See that a template can be read.

    Raises:
        UsageError: It cannot.
    """
    try:
        _compiled(text)
    except TemplateError as error:
        raise UsageError(f"The key {key} holds a template that cannot be read ({error}); mend it.") from error


def render(text: str, row: Mapping[str, Any], key: str) -> str:
    """A template filled with a row.

    Raises:
        DataError: A name in it is no column, or it does what a template may not.
    """
    try:
        return str(_compiled(text).render(**row))
    except (TemplateError, TypeError, ValueError, LookupError, ArithmeticError, re.error) as error:
        raise DataError(
            f"The template of {key} cannot be filled ({error}); the columns of the row are {', '.join(row)}."
        ) from error
