"""The models of an evaluation: opened by name, and those behind servers given a file of finished calls."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from windtunnel.evaluation.tasks import Models
from windtunnel.laboratory.errors import UsageError

if TYPE_CHECKING:
    from windtunnel.models.interface import LanguageModel


def open_models(
    subject: "LanguageModel | str",
    roles: "Mapping[str, LanguageModel | str] | None" = None,
    directory: Path | None = None,
) -> Models:
    """The models by role.

    Args:
        subject: The model asked, or its name.
        roles: The others.
        directory: Where finished calls of servers are kept, in `calls-ROLE.jsonl`, unless a model keeps them already.

    Raises:
        UsageError: A role is called `subject`, or a name means nothing.
    """
    if roles and "subject" in roles:
        raise UsageError("The role of subject is the model's that is asked; give --model for it.")
    asked = {"subject": subject, **(roles or {})}
    opened = {role: open_model(each) for role, each in asked.items()}
    return Models({role: _keeping_calls(each, role, directory) for role, each in opened.items()})


def open_model(model: "LanguageModel | str") -> "LanguageModel":
    """A model by name, `mock:` among them; a model is what it is.

    Raises:
        UsageError: The name means nothing.
    """
    if not isinstance(model, str):
        return model
    if model.startswith("mock:"):
        from windtunnel.evaluation.mock import MockModel

        return MockModel.named(model)
    from windtunnel.models.interface import load

    return load(model)


def _keeping_calls(model: "LanguageModel", role: str, directory: Path | None) -> "LanguageModel":
    if directory is None or not hasattr(model, "client"):
        return model
    from windtunnel.models.endpoint import Endpoint

    if not isinstance(model, Endpoint) or model.client.cache is not None:
        return model
    return Endpoint(model.model, replace(model.client, cache=directory / f"calls-{role}.jsonl"))
