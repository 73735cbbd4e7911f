"""Results kept on disk: nested values with NumPy arrays as JSON beside one safetensors file, never pickle."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from windtunnel.laboratory.errors import DataError
from windtunnel.laboratory.files import read_json, write_atomic

ARRAY = "__array__"


def _split(value: Any, arrays: dict[str, np.ndarray], path: str) -> Any:
    """Replace every array inside `value` by a placeholder and collect it in `arrays`."""
    if hasattr(value, "detach"):  # a torch tensor, without importing torch here
        value = value.detach().cpu().numpy()
    if isinstance(value, np.ndarray) and value.ndim > 0:
        arrays[path] = np.ascontiguousarray(value)
        return {ARRAY: path}
    if isinstance(value, np.ndarray | np.generic):
        return value.item()
    if isinstance(value, dict):
        return {str(key): _split(item, arrays, f"{path}/{key}") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_split(item, arrays, f"{path}/{index}") for index, item in enumerate(value)]
    if value is None or isinstance(value, str | int | float | bool):
        return value
    raise TypeError(f"a stage may return numbers, text, lists, dicts and arrays, not {type(value).__name__}")


def _join(value: Any, arrays: dict[str, np.ndarray]) -> Any:
    """Put the arrays back in place of their placeholders."""
    if isinstance(value, dict):
        return (
            arrays[value[ARRAY]] if set(value) == {ARRAY} else {key: _join(item, arrays) for key, item in value.items()}
        )
    if isinstance(value, list):
        return [_join(item, arrays) for item in value]
    return value


def store(stem: Path, value: Any) -> Any:
    """Write a nested value to `<stem>.json` and `<stem>.safetensors`; the JSON is written last and marks it whole.

    Returns:
        The value as a later `fetch` gives it, so that a resumed run sees the very same types.
    """
    arrays: dict[str, np.ndarray] = {}
    skeleton = _split(value, arrays, "value")
    if arrays:
        write_atomic(stem.with_name(stem.name + ".safetensors"), save(arrays))
    text = json.dumps(skeleton)
    write_atomic(stem.with_name(stem.name + ".json"), text)
    return _join(json.loads(text), arrays)


def stored(stem: Path) -> bool:
    """Whether a whole value lies at `stem`."""
    return stem.with_name(stem.name + ".json").exists()


def fetch(stem: Path) -> Any:
    """Read what `store` wrote.

    Raises:
        DataError: A file is missing, truncated or does not fit the other.
    """
    skeleton = read_json(stem.with_name(stem.name + ".json"))
    path = stem.with_name(stem.name + ".safetensors")
    try:
        arrays = load_file(path) if path.exists() else {}
        return _join(skeleton, arrays)
    except (SafetensorError, OSError, KeyError) as error:
        raise DataError(f"{path} is damaged ({error}); delete {stem}.* and run again with --resume.") from error
