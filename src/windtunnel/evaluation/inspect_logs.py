"""Inspect's logs: an evaluation written as one, and logs of Inspect read as evaluations.

What is written is Inspect's JSON format (version 2), so that its viewer and `read_eval_log` take it; it holds our own
records as well, so that reading it back loses nothing. An `.eval` file is read through the package `inspect_ai`, since
its format is not public.
"""

import hashlib
import importlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from windtunnel.evaluation.log import FORMAT
from windtunnel.evaluation.results import Results, is_failed
from windtunnel.laboratory.errors import DataError, UsageError
from windtunnel.laboratory.files import read_json, strict, write_atomic

OURS = "windtunnel"
"""Under this key stand our header, in the log's metadata, and our output and mark, in a sample's store."""

GRADES = {"C": 1.0, "I": 0.0, "P": 0.5, "N": 0.0}
"""Inspect's letters: correct, incorrect, partial, no answer."""

STOPS = {"": "unknown", "length": "max_tokens"}
"""Inspect's words for why a text ended; all others are `stop`."""


def write_inspect_log(results: Results, path: str | Path | None = None) -> Path:
    """Write an evaluation as a log of Inspect.

    Every metric is a score of its name, with mean and standard error of its own interval; a failed sample has an error
    and no score; a refusal ends in `content_filter`. Half a surrogate pair, which is no text to Inspect, becomes `?`.

    Args:
        results: The evaluation.
        path: A file that ends in `.json`; None: in the evaluation's directory, named as Inspect's tools look for it,
            time, task and id.

    Returns:
        The path.

    Raises:
        UsageError: The path ends otherwise, or there is neither path nor directory.
    """
    if path is None and results.directory is None:
        raise UsageError("These results are in memory only; give a path for the log.")
    path = Path(path) if path is not None else Path(str(results.directory)) / _name(results.header)
    if path.suffix != ".json":
        raise UsageError(
            f"{path} does not end in .json, the format of Inspect that is written here; name another file."
        )
    header = results.header
    names = results.metrics
    document = {
        "version": 2,
        "status": "success" if results.counts["unasked"] == 0 else "cancelled",
        "eval": {
            "created": header["started"],
            "task": header["task"],
            "task_version": header["version"],
            "eval_id": hashlib.sha256(f"{header['digest']}{header['started']}".encode()).hexdigest()[:22],
            "run_id": header["digest"][:22],
            "task_id": header["digest"][:22],
            "dataset": {
                "samples": header["samples"],
                "sample_ids": list(dict.fromkeys(record["id"] for record in results.records)),
                "shuffled": False,
            },
            "model": header["model"],
            "config": {"epochs": header["epochs"], "limit": header.get("limit")},
            "packages": {name: version for name, version in header["versions"].items() if version},
            "scorers": [{"name": name, "options": {}, "metrics": [{"name": "mean", "options": {}}]} for name in names],
            "metadata": {OURS: header},
        },
        "plan": {"name": "plan", "steps": [{"solver": _solver(header), "params": header["solver"]}], "config": {}},
        "results": {
            "total_samples": header["planned"],
            "completed_samples": len(results.records),
            "scores": [_score(results, name, found) for name, found in results.summary()["metrics"].items()],
        },
        "stats": {"started_at": header["started"], "completed_at": header.get("finished") or header["started"]},
        "samples": [_sample(record, header["model"]) for record in results.records],
    }
    text = json.dumps(strict(document), ensure_ascii=False, allow_nan=False) + "\n"
    write_atomic(path, text.encode("utf-8", errors="replace"))
    return path


def read_inspect_log(path: str | Path) -> Results:
    """Read a log of Inspect, or one that `write_inspect_log` wrote, as an evaluation.

    In others' logs each numeric score is a metric of its name, and letters are C 1, P 0.5, I and N 0; of a score of
    several numbers each is a metric, `score/number`. Samples with an error are failed ones.

    Raises:
        UsageError: An `.eval` file, and `inspect_ai` is not installed.
        DataError: The file is no log, or has no samples.
    """
    path = Path(path)
    document = _read_eval(path) if path.suffix == ".eval" else read_json(path)
    try:
        if OURS in (document["eval"].get("metadata") or {}):
            records = map(_ours, document["samples"])
            return Results(None, document["eval"]["metadata"][OURS], sorted(records, key=_order))
        return _theirs(document, str(path))
    except (LookupError, TypeError, AttributeError) as error:
        raise DataError(f"{path} is no log of Inspect with samples in it ({error!r}); name another file.") from error


def _name(header: Mapping[str, Any]) -> str:
    words = [header["started"], header["task"], header["digest"][:22]]
    return "_".join(re.sub(r"[^A-Za-z0-9-]", "-", word) for word in words) + ".json"


def _read_eval(path: Path) -> Any:
    try:
        read_eval_log = importlib.import_module("inspect_ai.log").read_eval_log
    except ImportError as error:
        raise UsageError(
            f"{path} is read by the package inspect_ai, which is not installed; `pip install inspect_ai`, or convert "
            "the log to JSON with `inspect log convert`."
        ) from error
    return read_eval_log(str(path)).model_dump(mode="json")


def _score(results: Results, name: str, found: Mapping[str, Any]) -> dict[str, Any]:
    """The mean of a metric, failed samples counted, and half of its 95 % interval over 1.96 as standard error."""
    low, high = found["interval"]
    values = strict({"mean": found["value"], "stderr": (high - low) / 2 / 1.96})
    count = len(results.values(name)) or results.counts["scored"]  # of a metric of the whole set no sample has a value
    return {
        "name": name,
        "scorer": name,
        "scored_samples": count,
        "unscored_samples": len(results.records) - count,
        "params": {},
        "metrics": {
            key: {"name": key, "value": value, "params": {}} for key, value in values.items() if value is not None
        },
        "metadata": {"low": low, "high": high, "bounds": found.get("bounds")},
    }


def _sample(record: Mapping[str, Any], model: str) -> dict[str, Any]:
    sample, output, mark = record["sample"], record["output"], record["mark"] or {}
    reason = "content_filter" if output.get("refused") else STOPS.get(output.get("stop_reason", ""), "stop")
    answer = {"role": "assistant", "content": output.get("text", ""), "source": "generate", "model": model}
    asked = output.get("prompt") or sample["input"]
    turns = [{"role": "user", "content": asked, "source": "input"}] if isinstance(asked, str) else asked
    written: dict[str, Any] = {
        "id": record["id"],
        "epoch": record["epoch"],
        "input": sample["input"],
        "target": _target(sample),
        "messages": [*turns, answer],
        "output": {"model": model, "choices": [{"message": answer, "stop_reason": reason}]},
        "scores": {} if is_failed(record) else {name: _given(value, mark) for name, value in mark["values"].items()},
        "metadata": sample.get("metadata", {}),
        "store": {OURS: {name: record[name] for name in ("index", "sample", "output", "mark")}},
    }
    if sample.get("choices"):
        written["choices"] = sample["choices"]
    if is_failed(record):
        message = output.get("error") or mark.get("error") or "no mark"
        written["error"] = {"message": message, "traceback": "", "traceback_ansi": ""}
    return written


def _given(value: float, mark: Mapping[str, Any]) -> dict[str, Any]:
    return {"value": value, "answer": mark.get("answer"), "explanation": mark.get("explanation")}


def _target(sample: Mapping[str, Any]) -> Any:
    """Of multiple choice the letter, as Inspect has it."""
    target = sample.get("target", "")
    if isinstance(target, int):
        return chr(ord("A") + target) if target < 26 else str(target)
    return target


def _solver(header: Mapping[str, Any]) -> str:
    return str(header["solver"].get("solver", "solver"))


def _ours(sample: Mapping[str, Any]) -> dict[str, Any]:
    stored = sample["store"][OURS]
    return {
        "id": sample["id"],
        "index": stored["index"],
        "epoch": sample["epoch"],
        **{name: stored[name] for name in ("sample", "output", "mark")},
    }


def _theirs(document: Mapping[str, Any], path: str) -> Results:
    """An evaluation that Inspect made."""
    about, samples = document["eval"], document["samples"]
    if not samples:
        raise LookupError("samples")
    places: dict[str, int] = {}
    records = [_record(each, places) for each in samples]
    names = list(dict.fromkeys(name for record in records for name in (record["mark"] or {}).get("values", {})))
    epochs = (about.get("config") or {}).get("epochs") or 1
    asked = {record["id"]: record["sample"] for record in records}
    digest = hashlib.sha256(
        json.dumps([about["task"], about.get("task_version"), asked], sort_keys=True).encode()
    ).hexdigest()
    results = document.get("results") or {}
    header = {
        "format": FORMAT,
        "task": about["task"],
        "version": str(about.get("task_version", "0")),
        "digest": digest,
        "metric": names[0] if names else "accuracy",
        "samples": (about.get("dataset") or {}).get("samples") or len(asked),
        "planned": results.get("total_samples") or len(records),
        "limit": (about.get("config") or {}).get("limit"),
        "epochs": epochs,
        "seed": 0,
        "model": about["model"],
        "models": {"subject": {"name": about["model"]}},
        "solver": {"solver": [step["solver"] for step in (document.get("plan") or {}).get("steps", [])]},
        "scorer": {"scorer": names},
        "versions": about.get("packages") or {},
        "started": about["created"],
        "read_from": path,
    }
    return Results(None, header, sorted(records, key=_order))


def _order(record: Mapping[str, Any]) -> tuple[int, int]:
    return record["index"], record["epoch"]


def _record(sample: Mapping[str, Any], places: dict[str, int]) -> dict[str, Any]:
    name = str(sample["id"])
    output = sample.get("output") or {}
    choice = (output.get("choices") or [{}])[0]
    values, answer, explanation = _values(sample.get("scores") or {})
    error = (sample.get("error") or {}).get("message")
    known: dict[str, Any] = {"id": name, "input": _text(sample["input"]), "target": _index(sample)}
    known |= {key: sample[key] for key in ("choices", "metadata") if sample.get(key)}
    found = {
        "prompt": _prompt(sample),
        "text": _text((choice.get("message") or {}).get("content", "")),
        "stop_reason": choice.get("stop_reason", ""),
        "refused": choice.get("stop_reason") == "content_filter",
        "error": error,
    }
    mark = {"values": values, "answer": answer, "explanation": explanation}
    return {
        "id": name,
        "index": places.setdefault(name, len(places)),
        "epoch": int(sample.get("epoch", 1)),
        "sample": known,
        "output": {key: value for key, value in found.items() if value},
        "mark": {key: value for key, value in mark.items() if value} if values and error is None else None,
    }


def _values(scores: Mapping[str, Any]) -> tuple[dict[str, float], str, str]:
    """Numbers by metric, and the first answer and explanation."""
    values: dict[str, float] = {}
    for name, score in scores.items():
        value = score["value"]
        parts = {f"{name}/{key}": part for key, part in value.items()} if isinstance(value, dict) else {name: value}
        for key, part in parts.items():
            if isinstance(part, bool | int | float) and part == part:
                values[key] = float(part)
            elif part in GRADES:
                values[key] = GRADES[part]
    first: Mapping[str, Any] = next(iter(scores.values()), {})
    return values, first.get("answer") or "", first.get("explanation") or ""


def _index(sample: Mapping[str, Any]) -> Any:
    """The index that a letter names among choices; elsewhere the target as it is."""
    target, choices = sample["target"], sample.get("choices") or []
    if isinstance(target, str) and len(target) == 1 and 0 <= ord(target) - ord("A") < len(choices):
        return ord(target) - ord("A")
    return target


def _prompt(sample: Mapping[str, Any]) -> str:
    turns = [turn for turn in sample.get("messages") or [] if turn.get("role") != "assistant"]
    return "\n\n".join(str(_text(turn.get("content", ""))) for turn in turns)


def _text(content: Any) -> Any:
    """Text of a message's content; a conversation as turns of role and text."""
    if isinstance(content, list) and content and "role" in content[0]:
        return [{"role": turn["role"], "content": _text(turn.get("content", ""))} for turn in content]
    if isinstance(content, list):
        return "".join(part.get("text", "") for part in content)
    return content
