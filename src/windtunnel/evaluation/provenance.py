"""What an evaluation was made with: models, packages, machine."""

import hashlib
import sys
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from windtunnel.laboratory.errors import Unsupported, WindtunnelError
from windtunnel.laboratory.study import RECORDED_PACKAGES, hardware

if TYPE_CHECKING:
    from torch import nn

    from windtunnel.models.interface import LanguageModel

PER_TENSOR = 64
"""Numbers of each tensor that go into a fingerprint."""


def describe_model(model: "LanguageModel") -> dict[str, Any]:
    """What tells a model from others, JSON-ready.

    Returns:
        `name`; of a model loaded here `weights` (see `fingerprint`), `dtype`, `device` and what its `probe` chose; of
        one behind a server `url`; `chat_template`, the SHA-256 of how it renders a short conversation, where it can.
    """
    found: dict[str, Any] = {"name": model.name}
    client = getattr(model, "client", None)
    if client is not None:
        found["url"] = client.url
    with suppress(Unsupported):  # it is behind a server, or a mock
        found["weights"] = fingerprint(model.module)
        found["dtype"] = str(next(model.module.parameters()).dtype).removeprefix("torch.")
        found["device"] = str(model.device)
        found["probe"] = None if model.probe is None else str(model.probe)
    render = getattr(model.tokenizer, "render", None)
    if render is not None:
        turns = [{"role": "user", "content": "1"}, {"role": "assistant", "content": "2"}]
        with suppress(WindtunnelError):  # no chat model, or one that allows no such conversation
            found["chat_template"] = hashlib.sha256(render([*turns, turns[0]]).encode()).hexdigest()
    return found


def fingerprint(module: "nn.Module") -> str:
    """SHA-256 over the name and shape of every parameter and 64 of its numbers, evenly spaced.

    It takes milliseconds and does not depend on the precision in which the same numbers are held; another training
    step, another checkpoint or an adapter changes it.
    """
    import torch

    whole = hashlib.sha256()
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            flat = parameter.reshape(-1)
            some = flat[:: max(1, len(flat) // PER_TENSOR)].to("cpu", torch.float32)
            whole.update(f"{name}{tuple(parameter.shape)}".encode() + some.numpy().tobytes())
    return whole.hexdigest()


def surroundings() -> dict[str, Any]:
    """Versions of the packages that matter, and the machine."""
    return {"versions": {name: _version(name) for name in RECORDED_PACKAGES}, "hardware": hardware()}


def command() -> str | None:
    """The command line, where this is one."""
    import shlex

    name = sys.argv[0].rsplit("/", 1)[-1]
    return shlex.join([name, *sys.argv[1:]]) if name == "windtunnel" else None


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
