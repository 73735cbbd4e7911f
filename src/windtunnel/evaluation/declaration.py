"""What a YAML file may declare: the part of lm-evaluation-harness's language that is data and not code.

A file is read by a safe loader. A key that is not known, a value that is not supported and a `!function`, which names
Python code, are refused with the key's name, since a task that ignores part of its file gives numbers of another task.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import yaml  # type: ignore[import-untyped]
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from windtunnel.evaluation.templates import check
from windtunnel.laboratory.errors import DataError, UsageError

DEEPEST = 8
"""Files that may include one another."""

MOST_NODES = 100_000
"""Values that a file may hold."""

LOCAL = ("json", "csv", "parquet")
"""Values of `dataset_path` that mean files."""

METRICS = {
    "multiple_choice": ("acc", "acc_norm"),
    "loglikelihood": ("acc",),
    "generate_until": ("exact_match",),
}
"""Metrics by output type, all of them the default."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Metric(_Strict):
    """An entry of `metric_list`."""

    metric: Literal["acc", "acc_norm", "exact_match"]
    aggregation: Literal["mean"] = "mean"
    higher_is_better: Literal[True] = True
    ignore_case: bool = False
    ignore_punctuation: bool = False


class GenerationOptions(_Strict):
    """The value of `generation_kwargs`."""

    until: list[str] | str | None = None
    max_gen_toks: int = Field(256, ge=1)
    do_sample: bool = False
    temperature: float | int | None = None
    top_p: float | None = None


class Files(_Strict):
    """The value of `dataset_kwargs`."""

    data_files: str | list[str] | dict[str, str | list[str]]


class Sampling(_Strict):
    """The value of `fewshot_config`."""

    sampler: Literal["default", "first_n"] = "default"


class Facts(BaseModel):
    """The value of `metadata`, of which the version counts."""

    model_config = ConfigDict(extra="allow")
    version: str | float | int = 1


class Declaration(_Strict):
    """What a file may hold."""

    task: str
    dataset_path: str
    output_type: Literal["multiple_choice", "loglikelihood", "generate_until"]
    doc_to_text: str
    doc_to_target: str | int
    doc_to_choice: str | list[str] | None = None
    dataset_name: str | None = None
    dataset_kwargs: Files | None = None
    test_split: str | None = None
    validation_split: str | None = None
    training_split: str | None = None
    fewshot_split: str | None = None
    num_fewshot: int = Field(0, ge=0)
    fewshot_config: Sampling = Sampling()
    fewshot_delimiter: str = "\n\n"
    target_delimiter: str = " "
    description: str = ""
    metric_list: list[Metric] | None = None
    generation_kwargs: GenerationOptions | None = None
    metadata: Facts = Facts()
    tag: str | list[str] | None = None
    should_decontaminate: bool = False
    doc_to_decontamination_query: str | None = None


def parse(path: Path) -> Declaration:
    """The declaration in a file.

    Raises:
        UsageError: A key is unknown, a value is not supported, or a key holds code.
        DataError: The file cannot be read.
    """
    value = _loaded(path, DEEPEST)
    try:
        declared = Declaration.model_validate(value)
    except ValidationError as error:
        raise UsageError(f"{path}: {_reason(error)}") from error
    _refuse_contradictions(declared, path)
    return declared


def _loaded(path: Path, depth: int) -> dict[str, Any]:
    """The keys of a file over those of the files that it includes."""
    try:
        text = path.read_text(encoding="utf-8")
        _refuse_tags(yaml.compose(text, Loader=yaml.SafeLoader), path)
        value = yaml.safe_load(text)
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        raise DataError(f"{path} cannot be read as YAML ({error}); mend it.") from error
    if not isinstance(value, dict):
        raise DataError(f"{path} holds no keys; write task, dataset_path, output_type and what goes with them.")
    included = value.pop("include", [])
    names = [included] if isinstance(included, str) else included
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names) or (names and not depth):
        raise UsageError(f"{path}: the key include holds {included!r}; name files that do not lead back here.")
    base: dict[str, Any] = {}
    for name in names:
        base |= _loaded(path.parent / name, depth - 1)
    return base | value


def _refuse_tags(root: Any, path: Path) -> None:
    """No `!function`, no other tag of anyone's own, and no aliases that make a small file a huge one."""
    for number, (node, key) in enumerate(_nodes(root, "")):
        if number == MOST_NODES:
            raise UsageError(
                f"{path} has more than {MOST_NODES} values, aliases counted as often as they stand; cut it."
            )
        if node.tag.startswith("!"):
            why = "which names Python code, and none is run" if node.tag == "!function" else "which is not known"
            raise UsageError(
                f"{path}: the key {key or 'at the top'} has the tag {node.tag}, {why}; write it in Python."
            )


def _nodes(node: Any, key: str) -> Iterator[tuple[Any, str]]:
    """A node of YAML and all below it, with their keys."""
    if node is None:
        return
    yield node, key
    if isinstance(node, yaml.MappingNode):
        for name, value in node.value:
            yield from _nodes(name, key)
            yield from _nodes(value, f"{key}.{name.value}" if key else str(name.value))
    if isinstance(node, yaml.SequenceNode):
        for number, value in enumerate(node.value):
            yield from _nodes(value, f"{key}[{number}]")


def _reason(error: ValidationError) -> str:
    first = sorted(error.errors(), key=lambda each: each["type"] != "extra_forbidden")[0]
    kinds = ("str", "int", "float", "none")  # pydantic adds which kind of a union it tried
    parts = [str(part) for part in first["loc"] if part not in kinds and "[" not in str(part)]
    key = ".".join(parts)
    if first["type"] == "extra_forbidden":
        return (
            f"the key {key} is not in the part of the language that is read here, and leaving it out would change the "
            "task; write the task in Python instead."
        )
    if first["type"] == "missing":
        return f"the key {key} is missing; add it."
    return f"the key {key} holds {first['input']!r}, which is not supported ({first['msg']})."


def _refuse_contradictions(declared: Declaration, path: Path) -> None:
    known, listed = METRICS[declared.output_type], [each.metric for each in declared.metric_list or ()]
    for each in declared.metric_list or ():
        if each.metric not in known or listed.count(each.metric) > 1:
            why = "twice" if each.metric in known else f"which {declared.output_type} does not give"
            raise UsageError(f"{path}: the key metric_list has {each.metric}, {why}.")
        if each.metric != "exact_match" and (each.ignore_case or each.ignore_punctuation):
            raise UsageError(f"{path}: the keys ignore_case and ignore_punctuation go with exact_match.")
    options = declared.generation_kwargs
    if options is not None and not options.do_sample and (options.temperature or options.top_p not in (None, 1)):
        raise UsageError(f"{path}: the key generation_kwargs has a temperature or top_p without do_sample: true.")
    if declared.output_type == "multiple_choice" and declared.doc_to_choice is None:
        raise UsageError(f"{path}: the key doc_to_choice is missing; multiple_choice needs it.")
    if declared.output_type != "multiple_choice" and declared.doc_to_choice is not None:
        raise UsageError(f"{path}: the key doc_to_choice goes with multiple_choice, not with {declared.output_type}.")
    if declared.output_type != "generate_until" and declared.generation_kwargs is not None:
        raise UsageError(
            f"{path}: the key generation_kwargs goes with generate_until, not with {declared.output_type}."
        )
    if (declared.dataset_path in LOCAL) != (declared.dataset_kwargs is not None):
        raise UsageError(
            f"{path}: the key dataset_kwargs (with data_files) goes with a dataset_path of {', '.join(LOCAL)}, which "
            "need it."
        )
    if declared.should_decontaminate != (declared.doc_to_decontamination_query is not None):
        raise UsageError(f"{path}: the keys should_decontaminate and doc_to_decontamination_query go together.")
    for key in ("doc_to_text", "doc_to_target", "doc_to_choice", "description", "doc_to_decontamination_query"):
        value = getattr(declared, key)
        if isinstance(value, str):
            check(value, key)
