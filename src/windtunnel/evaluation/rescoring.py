"""Judge stored answers again, with another judge or another scorer, without asking the subject."""

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from windtunnel.evaluation.engine import Item, results_of, seed_for, work
from windtunnel.evaluation.log import Log
from windtunnel.evaluation.provenance import command, describe_model, surroundings
from windtunnel.evaluation.results import Results
from windtunnel.evaluation.subjects import open_models
from windtunnel.evaluation.tasks import MissingRole, Models, Output, Sample, Scorer
from windtunnel.laboratory.errors import DataError
from windtunnel.laboratory.files import strict

if TYPE_CHECKING:
    from windtunnel.models.interface import LanguageModel


class _Judges(Models):
    """Models of a rescoring, in which the subject is not there to be asked."""

    def __missing__(self, role: str) -> "LanguageModel":
        if role == "subject":
            raise MissingRole("This scorer asks the subject itself, so stored answers cannot be judged without it.")
        return super().__missing__(role)


def rescore(
    results: Results | str | Path,
    scorer: Scorer,
    *,
    out: str | Path | None = None,
    roles: "Mapping[str, LanguageModel | str] | None" = None,
    metric: str | None = None,
    chunk: int | None = None,
    resume: bool = True,
    progress: str = "silent",
) -> Results:
    """Judge the answers of an evaluation again.

    The new evaluation holds the same samples and outputs with new marks, so the two can be compared sample by sample.
    Answers that failed stay failed.

    Args:
        results: The evaluation, or its directory.
        scorer: Judges: the task's own, for another judge, or another one.
        out: A directory for the new log; None keeps it in memory only.
        roles: The models that the scorer asks, by role.
        metric: The headline metric; None: the one it was.
        chunk: Samples judged together; by default 64.
        resume: False refuses a directory that holds an evaluation.
        progress: `auto`, `live`, `plain` or `silent`.

    Raises:
        DataError: The evaluation has no samples.
        MissingRole: The scorer asks a model in a role that none plays.
        UsageError: The directory holds another evaluation.
    """
    if not isinstance(results, Results):
        results = Results.load(results)
    if not results.records:
        raise DataError(f"{results.directory} holds no finished sample to judge; finish the evaluation first.")
    directory = None if out is None else Path(out)
    judges = _Judges(open_models("mock:", roles, directory))
    del judges["subject"]
    stored = {(record["id"], record["epoch"]): Output.from_dict(record["output"]) for record in results.records}
    seed = int(results.header["seed"])
    plan = [
        Item(record["index"], Sample.from_dict(record["sample"]), record["epoch"], seed_for(seed, *key))
        for key, record in zip(stored, results.records, strict=True)
    ]

    def recall(items: Sequence[Item]) -> list[Output]:
        return [stored[item.key] for item in items]

    header = _header(results, scorer, judges, len(plan), metric)
    with Log(directory) as log:
        log.open(header, resume)
        work(log, plan, recall, scorer, judges, chunk=chunk, progress=progress)
        return results_of(log, plan)


def _header(results: Results, scorer: Scorer, judges: Models, planned: int, metric: str | None) -> dict[str, Any]:
    """The header of the evaluation that was, with the new judges; a new digest where the scorer is another one."""
    before = results.header
    described = strict(scorer.describe())
    digest = before["digest"]
    if described != before["scorer"]:
        digest = hashlib.sha256(json.dumps([digest, described], sort_keys=True).encode()).hexdigest()
    whole = hashlib.sha256()
    for record in results.records:
        whole.update(json.dumps([record["id"], record["epoch"], record["output"]], sort_keys=True).encode())
    return {
        **before,
        "digest": digest,
        "metric": metric or before["metric"],
        "planned": planned,
        "models": {
            "subject": before["models"]["subject"],
            **{role: describe_model(judge) for role, judge in judges.items()},
        },
        "scorer": described,
        "rescored": {"outputs": whole.hexdigest()},
        "rescored_from": None if results.directory is None else str(results.directory),
        **surroundings(),
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "seconds": 0.0,
        "command": command(),
    }
