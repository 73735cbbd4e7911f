"""Evaluate: ask every sample of a task, judge the outputs, and lose nothing on the way.

Samples are asked in chunks in the order of the dataset. A chunk is judged and written before the next one is asked, so
that a process killed at any moment has lost that chunk at most, and the same call asks what is missing when it is made
again. A sample that cannot be asked or judged is recorded with its error and stays counted; it is asked again on
resuming, since the server may answer by then.
"""

import contextlib
import hashlib
import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from windtunnel.evaluation.log import FORMAT, Log
from windtunnel.evaluation.provenance import command, describe_model, surroundings
from windtunnel.evaluation.results import Results, is_failed
from windtunnel.evaluation.subjects import open_models
from windtunnel.evaluation.tasks import Mark, MissingRole, Models, Output, Sample, Scorer, Solver, Task
from windtunnel.inference.remote import OutOfReach
from windtunnel.laboratory.errors import Unsupported, UsageError, WindtunnelError
from windtunnel.laboratory.progress import Progress
from windtunnel.laboratory.progress import Task as Shown

if TYPE_CHECKING:
    from windtunnel.models.interface import LanguageModel

CHUNK = 64
"""Samples asked at once of a model loaded here: enough that a shared prefix costs little, few enough to lose."""

CHUNK_PER_CONNECTION = 16
"""Samples asked at once of a server, times its connections: few enough waits for the slowest answer of a chunk."""

GAP_PROMPTS = 4
"""Prompts after which sampling and scoring are held against each other."""

PATIENCE = 3
"""Samples in a row that a server fails, each asked alone and with all its tries, before an evaluation stops."""

SECONDS_BETWEEN_COUNTS = 1.0
"""Seconds between two looks at how many requests were sent."""

Found = TypeVar("Found")


class Item(NamedTuple):
    """A sample to be asked in one epoch.

    Attributes:
        place: The sample's place in the dataset.
        sample: The sample.
        epoch: From 1.
        seed: It depends on the evaluation's seed, the sample's id and the epoch only.
    """

    place: int
    sample: Sample
    epoch: int
    seed: int

    @property
    def key(self) -> tuple[str, int]:
        """What identifies its record."""
        return self.sample.id, self.epoch


def evaluate(
    task: Task,
    model: "LanguageModel | str",
    *,
    out: str | Path | None = None,
    roles: "Mapping[str, LanguageModel | str] | None" = None,
    limit: int | None = None,
    epochs: int = 1,
    seed: int = 0,
    chunk: int | None = None,
    resume: bool = True,
    progress: str = "silent",
    source: Mapping[str, Any] | None = None,
) -> Results:
    """Ask a model every sample of a task and judge what it answers.

    Args:
        task: What is asked, and how.
        model: The subject: a model or its name as for `windtunnel.load`; `mock:TEXT` is one that always writes TEXT,
            `mock:` one that guesses.
        out: A directory for the log, which is continued if it holds this very evaluation; None keeps results in memory
            only. Calls of servers are kept there too, so that none that finished is made twice.
        roles: Other models that solver or scorer ask, by role, such as `judge`.
        limit: Only so many samples, the first ones. A later call may ask for more of them in the same directory.
        epochs: Times that each sample is asked, with a seed of its own. Its results are averaged.
        seed: Decides the seed of every sample and epoch, and resampling.
        chunk: Samples asked together; by default 64, or 16 for each connection of a server.
        resume: False refuses a directory that holds an evaluation.
        progress: `auto`, `live`, `plain` or `silent`.
        source: Where the task was found, JSON-ready, for the log's header.

    Returns:
        The results, failed samples included.

    Raises:
        UsageError: A number is out of range, a role has no model, or the directory holds another evaluation.
        Unsupported: The model cannot do what the solver needs.
        WindtunnelError: A server gives no more answers, or nothing can be written. What was finished is kept.
        Exception: Whatever a solver or scorer raises on every sample of the very first chunk.
    """
    for name, value in (("limit", limit), ("epochs", epochs), ("chunk", chunk)):
        if value is not None and value < 1:
            raise UsageError(f"{name} must be at least 1, not {value}.")
    directory = None if out is None else Path(out)
    models = open_models(model, roles, directory)
    plan = [
        Item(place, sample, epoch, seed_for(seed, sample.id, epoch))
        for place, sample in enumerate(islice(task.dataset, limit))
        for epoch in range(1, epochs + 1)
    ]
    header = header_of(task, models, planned=len(plan), epochs=epochs, seed=seed)
    header |= {"limit": limit, "source": dict(source) if source else None}
    with Log(directory) as log:
        log.open(header, resume)
        work(log, plan, asking(task.solver, models), task.scorer, models, chunk=chunk, progress=progress)
        return results_of(log, plan)


def header_of(task: Task, models: Models, *, planned: int, epochs: int, seed: int) -> dict[str, Any]:
    """What the log says before the first sample."""
    return {
        "format": FORMAT,
        "task": task.name,
        "version": task.version,
        "digest": task.digest,
        "metric": task.metric,
        "samples": len(task.dataset),
        "planned": planned,
        "epochs": epochs,
        "seed": seed,
        "model": models["subject"].name,
        "models": {role: describe_model(each) for role, each in models.items()},
        "solver": task.solver.describe(),
        "scorer": task.scorer.describe(),
        **surroundings(),
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "command": command(),
    }


def seed_for(seed: int, sample: str, epoch: int) -> int:
    """The seed of one sample in one epoch, in [0, 2^31)."""
    digest = hashlib.sha256(f"{seed}\0{sample}\0{epoch}".encode("utf-8", "backslashreplace")).digest()
    return int.from_bytes(digest[:4], "big") >> 1


def asking(solver: Solver, models: Models) -> Callable[[Sequence[Item]], list[Output]]:
    """Asks the subject, one output per item."""

    def ask(items: Sequence[Item]) -> list[Output]:
        return solver([item.sample for item in items], models, [item.seed for item in items])

    return ask


def work(
    log: Log,
    plan: Sequence[Item],
    answer: Callable[[Sequence[Item]], list[Output]],
    scorer: Scorer,
    models: Models,
    *,
    chunk: int | None,
    progress: str,
) -> None:
    """Answer, judge and write all items that the log lacks or that failed.

    Args:
        log: An open log.
        plan: All items.
        answer: Gives one output per item.
        scorer: Judges them.
        models: The models by role.
        chunk: Items at once; None: by the subject.
        progress: How it is shown.
    """
    began = time.monotonic()
    before = float(log.header.get("seconds", 0.0))
    finished = {key for key, record in log.records.items() if not is_failed(record)}
    missing = [item for item in plan if item.key not in finished]
    tally = Tally(log, plan, finished)
    label = f"{log.header['task']} on {log.header['model']}"
    with Progress(progress).task(label, len(plan)) as shown, _requests_shown(shown, tally, models):
        try:
            for items in chunks(missing, chunk or _chunk(models)):
                first = tally.done == 0
                outputs = each_if_not_all(answer, items, lambda error: Output(error=error), first)
                marks = _judge(scorer, models, items, outputs, first)
                records = [_record(*found) for found in zip(items, outputs, marks, strict=True)]
                log.append(records)
                tally.add(records)
                shown.update(tally.done, **tally.shown())
        finally:
            log.note(seconds=round(before + time.monotonic() - began, 3))
    prompts = hashlib.sha256()
    for item in plan:
        prompts.update(f"{log.records[item.key]['output'].get('prompt', '')}\0".encode("utf-8", "backslashreplace"))
    log.note(prompts_sha256=prompts.hexdigest(), finished=time.strftime("%Y-%m-%dT%H:%M:%S%z"))
    gap = _sampling_gap(models, [log.records[item.key]["output"] for item in plan[:GAP_PROMPTS]])
    if gap is not None:
        log.note(sampling_gap=gap)


def _sampling_gap(models: Models, outputs: Sequence[Mapping[str, Any]]) -> float | None:
    """By how many nats sampling and scoring of the subject differ, if it was asked for both and is loaded here."""
    subject = models.get("subject")
    prompts = [output["prompt"] for output in outputs if output.get("prompt")]
    if subject is None or not prompts or not {"generate", "score"} <= getattr(subject, "used", set()):
        return None
    with contextlib.suppress(WindtunnelError):  # a prompt that leaves no room for more tokens
        return subject.sampling_gap(prompts)
    return None


def results_of(log: Log, plan: Sequence[Item]) -> Results:
    """The results of a plan."""
    return Results(log.directory, log.header, [log.records[item.key] for item in plan if item.key in log.records])


def chunks(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    """So many items at a time."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def each_if_not_all(
    act: Callable[[Sequence[Item]], Sequence[Found]],
    items: Sequence[Item],
    failed: Callable[[str], Found],
    first: bool,
) -> list[Found]:
    """What `act` finds for items, together; or where that raises, for each alone, so that one fails only itself.

    Args:
        act: One result per item, in order.
        items: The items.
        failed: The result of an item on which it raises.
        first: Whether nothing has worked before: then an error on every item is raised, since it is not theirs.

    Raises:
        Unsupported: As raised; another sample would fare the same.
        MissingRole: As raised.
        OutOfReach: As raised by several items in a row.
        TypeError: There is not one result per item.
    """
    try:
        return _matched(act(items), items)
    except (Unsupported, MissingRole, _NotOnePerItem):
        raise
    except Exception as error:
        together = error
    found: list[Found] = []
    errors: list[Exception] = []
    in_a_row = 0
    for item in items:
        try:
            if len(items) == 1:
                raise together
            found += _matched(act([item]), [item])
            in_a_row = 0
        except (Unsupported, MissingRole, _NotOnePerItem):
            raise
        except Exception as error:
            in_a_row = in_a_row + 1 if isinstance(error, OutOfReach) else 0
            if in_a_row == PATIENCE:
                raise
            errors.append(error)
            known = isinstance(error, WindtunnelError)
            found.append(failed(str(error) if known else f"{type(error).__name__}: {error}"))
    if first and len(errors) == len(items):
        raise errors[0]
    return found


class _NotOnePerItem(TypeError):
    """A solver or scorer lost count."""


def _matched(found: Sequence[Found], items: Sequence[Item]) -> list[Found]:
    if len(found) != len(items):
        raise _NotOnePerItem(
            f"A solver or scorer gave {len(found)} results for {len(items)} samples; it owes one each."
        )
    return list(found)


def _judge(
    scorer: Scorer, models: Models, items: Sequence[Item], outputs: Sequence[Output], first: bool
) -> list[Mark | None]:
    """A mark for every output without an error."""
    marks: list[Mark | None] = [None] * len(items)
    answered = {item.key: place for place, item in enumerate(items) if outputs[place].error is None}
    if not answered:
        return marks

    def judge(some: Sequence[Item]) -> list[Mark]:
        return scorer([item.sample for item in some], [outputs[answered[item.key]] for item in some], models)

    worth = [items[place] for place in answered.values()]
    for item, mark in zip(worth, each_if_not_all(judge, worth, lambda error: Mark(error=error), first), strict=True):
        marks[answered[item.key]] = _finite(mark)
    return marks


def _finite(mark: Mark) -> Mark:
    broken = [name for name, value in mark.values.items() if not math.isfinite(value)]
    return Mark(error=f"The scorer's {broken[0]} is not a finite number.") if broken else mark


def _record(item: Item, output: Output, mark: Mark | None) -> dict[str, Any]:
    return {
        "id": item.sample.id,
        "index": item.place,
        "epoch": item.epoch,
        "sample": item.sample.as_dict(),
        "output": output.as_dict(),
        "mark": None if mark is None else mark.as_dict(),
    }


def _chunk(models: Models) -> int:
    asked = [models["subject"]] if "subject" in models else models.values()  # of a rescoring: the judges
    connections = [model.client.concurrency for model in asked if hasattr(model, "client")]
    return CHUNK_PER_CONNECTION * max(connections) if connections else CHUNK


@contextmanager
def _requests_shown(shown: Shown, tally: "Tally", models: Models) -> Iterator[None]:
    """Show how many requests servers have been sent while the `with` lasts, since a chunk of them takes long."""
    clients = [model.client for model in models.values() if hasattr(model, "client")]
    over = threading.Event()

    def watch() -> None:
        while not over.wait(SECONDS_BETWEEN_COUNTS):
            shown.update(tally.done, **tally.shown(), requests=str(sum(client.budget.requests for client in clients)))

    shown.update(tally.done, **tally.shown())
    thread = threading.Thread(target=watch, daemon=True)
    if clients:
        thread.start()
    try:
        yield
    finally:
        over.set()
        if clients:
            thread.join()


class Tally:
    """Counts while an evaluation runs.

    Attributes:
        done: Items that are answered and judged.
    """

    def __init__(self, log: Log, plan: Sequence[Item], finished: set[tuple[str, int]]) -> None:
        self.metric = log.header["metric"]
        self.done = self.scored = self.refused = self.failed = 0
        self.sum = 0.0
        self.add([log.records[item.key] for item in plan if item.key in finished])

    def add(self, records: Sequence[dict[str, Any]]) -> None:
        """Count records."""
        for record in records:
            self.done += 1
            failed = is_failed(record)
            self.failed += failed
            self.scored += not failed
            self.refused += bool(record["output"].get("refused"))
            if not failed:
                self.sum += record["mark"].get("values", {}).get(self.metric, 0.0)

    def shown(self) -> dict[str, float | str]:
        """What the progress line tells."""
        found: dict[str, float | str] = {"scored": str(self.scored)}
        found |= {name: str(count) for name, count in (("refused", self.refused), ("failed", self.failed)) if count}
        if self.done:
            found[self.metric] = self.sum / self.done
        return found
