"""Generate, filter, balance, look: an evaluation written into a directory, which a killed run continues.

config.json       what was asked for: writer, discriminator, numbers
candidates.jsonl  what was written, appended as it comes, with what could not be read as a question
judged.jsonl      what the discriminator and the requirements say of each, appended likewise
records.jsonl     the evaluation: the surest, without duplicates, as many of either label
summary.json      counts of every step, confidence, diversity
index.html        a page to look through them; map.svg, the map on it
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from windtunnel.data.deduplication import deduplicate
from windtunnel.evaluation.generated import diversity, records
from windtunnel.evaluation.generated.discriminating import Discriminator, without_prior
from windtunnel.evaluation.generated.diversity import Embedder, Projection
from windtunnel.evaluation.generated.filtering import Selection, select
from windtunnel.evaluation.generated.naming import name_topics
from windtunnel.evaluation.generated.records import Record
from windtunnel.evaluation.generated.writing import Writer
from windtunnel.laboratory.errors import UsageError, WindtunnelError
from windtunnel.laboratory.files import append_line, explained, read_json, read_lines, write_json
from windtunnel.laboratory.progress import Progress
from windtunnel.statistics.intervals import Floats

if TYPE_CHECKING:
    from windtunnel.models.interface import LanguageModel

CHUNK = 32
"""Candidates written or judged between two appends: what a killed run may lose."""


@dataclass(frozen=True)
class Settings:
    """How an evaluation is made; the defaults are the paper's.

    Attributes:
        candidates: Written of each label.
        keep: Most kept of each label.
        balance_prior: Take out the discriminator's own preference for an answer (`discriminating.without_prior`).
        near: Drop near duplicates too.
        diversity: From 0 to 1: how much unlikeness counts beside confidence.
        topics: Clusters of meaning that the kept questions are sorted into.
        embedder: As for `diversity.embed`.
        projection: As for `diversity.project`.
        seed: Of clusters and map; the writer has its own.
    """

    candidates: int = 5_000
    keep: int = 500
    balance_prior: bool = False
    near: bool = True
    diversity: float = 0.0
    topics: int = 12
    embedder: Embedder = "auto"
    projection: Projection = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("candidates", "keep", "topics"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} must be at least 1, not {getattr(self, name)}.")


@dataclass(frozen=True)
class Generated:
    """A finished evaluation.

    Attributes:
        directory: Where it lies.
        records: Its questions, the surest first.
        summary: What `summary.json` holds.
    """

    directory: Path
    records: list[Record]
    summary: dict[str, Any]

    @classmethod
    def load(cls, directory: str | Path) -> "Generated":
        """Read a finished evaluation.

        Raises:
            DataError: It is not there, not finished or damaged.
        """
        directory = Path(directory)
        return cls(directory, records.read(directory / "records.jsonl"), read_json(directory / "summary.json"))


def generate_evaluation(
    writer: Writer,
    discriminator: Discriminator,
    out: str | Path,
    settings: Settings | None = None,
    *,
    requirements: Mapping[str, Discriminator] | None = None,
    namer: "LanguageModel | None" = None,
    progress: str = "silent",
) -> Generated:
    """Have an evaluation written, filtered and laid out.

    Args:
        writer: Writes candidates.
        discriminator: Says which label each matches.
        out: The directory; what it holds of this very evaluation is gone on from.
        settings: How many, and how they are chosen.
        requirements: Others that rank candidates with the label's confidence, by name, as `relevance`.
        namer: A model that names topics; by default they are named by the words that set them apart.
        progress: `auto`, `live`, `plain` or `silent`.

    Raises:
        UsageError: The directory holds another evaluation, or a package is missing that the settings need.
        WindtunnelError: Another process holds it, or it cannot be written.
    """
    settings = settings or Settings()
    diversity.check(settings.embedder, settings.projection)  # what is missing is said before anything is asked
    deduplicate([], near=settings.near)
    directory = Path(out)
    judges = {"label": discriminator, **(requirements or {})}
    identity = {
        "behaviour": writer.behaviour,
        "writer": writer.describe(),
        "judges": {name: judge.describe() for name, judge in judges.items()},
        "settings": asdict(settings),
        "namer": None if namer is None else namer.name,
    }
    with _held(directory):
        _open(directory / "config.json", json.loads(json.dumps(identity)))
        with closing(Progress(progress)) as shown:
            written = _write(writer, settings.candidates, directory / "candidates.jsonl", shown)
            judged = _judge(judges, written, directory / "judged.jsonl", shown)
        return _lay_out(directory, writer, written, judged, settings, namer)


def _write(writer: Writer, count: int, path: Path, shown: Progress) -> list[Record]:
    """All candidates that can be read, those of the first label first."""
    rows = {(row["wanted"], row["number"]): row for row in read_lines(path)}
    missing = [(wanted, number) for number in range(count) for wanted in (0, 1) if (wanted, number) not in rows]
    with shown.task("writing", 2 * count) as task:
        for start in range(0, len(missing), CHUNK):
            task.update(2 * count - len(missing) + start)
            chunk = missing[start : start + CHUNK]
            for wanted in (0, 1):
                numbers = [number for label, number in chunk if label == wanted]
                for number, found in zip(numbers, writer.write(wanted, numbers) if numbers else [], strict=True):
                    row: dict[str, Any] = {"wanted": wanted, "number": number}
                    row |= {"unread": found} if isinstance(found, str) else {"record": found.as_dict()}
                    append_line(path, json.dumps(row, ensure_ascii=False))
                    rows[wanted, number] = row
        task.update(2 * count)
    ordered = [rows[wanted, number] for wanted in (0, 1) for number in range(count)]
    return [Record.from_dict(row["record"]) for row in ordered if "record" in row]


def _judge(
    judges: Mapping[str, Discriminator], written: Sequence[Record], path: Path, shown: Progress
) -> dict[str, list[float]]:
    """What every judge says of every candidate."""
    known = {(row["judge"], row["id"]): float(row["probability"]) for row in read_lines(path)}
    found: dict[str, list[float]] = {}
    with shown.task("judging", len(judges) * len(written)) as task:
        done = 0
        for name, judge in judges.items():
            missing = [each for each in written if (name, each.id) not in known]
            done += len(written) - len(missing)
            for start in range(0, len(missing), CHUNK):
                chunk = missing[start : start + CHUNK]
                for record, probability in zip(chunk, judge(chunk), strict=True):
                    append_line(path, json.dumps({"judge": name, "id": record.id, "probability": probability}))
                    known[name, record.id] = probability
                done += len(chunk)
                task.update(done)
            found[name] = [known[name, each.id] for each in written]
    return found


def _lay_out(
    directory: Path,
    writer: Writer,
    written: list[Record],
    judged: dict[str, list[float]],
    settings: Settings,
    namer: "LanguageModel | None",
) -> Generated:
    """Choose, embed, name topics, and write everything."""
    from windtunnel.evaluation.generated.page import draw_map, write_page

    said = judged["label"]
    first = [float(each) for each in without_prior(said)] if settings.balance_prior and said else said
    others = [values for name, values in judged.items() if name != "label"]
    vectors = None
    embedder = ""
    if settings.diversity and written:
        vectors, embedder = diversity.embed([each.text for each in written], settings.embedder)
    chosen = select(
        written,
        first,
        keep=settings.keep,
        requirements=others,
        near=settings.near,
        vectors=vectors,
        diversity=settings.diversity,
    )
    kept = [replace(written[place], label_confidence=float(chosen.confidence[place])) for place in chosen.kept]
    summary = _summary(writer, written, first, chosen, settings)
    places: Floats = np.zeros((0, 2))
    if kept:
        texts = [each.text for each in kept]
        if vectors is None:
            vectors, embedder = diversity.embed(texts, settings.embedder)
        else:
            vectors = vectors[chosen.kept]
        names = diversity.topics(texts, vectors, settings.topics, seed=settings.seed)
        if namer is not None:
            names = name_topics(namer, texts, vectors, names)
        kept = [replace(each, topic=name) for each, name in zip(kept, names, strict=True)]
        places, projection = diversity.project(vectors, settings.projection, seed=settings.seed)
        summary["diversity"] = {
            "embedder": embedder,
            "projection": projection,
            "topics": len(set(names)),
            "entropy_bits": diversity.entropy(names),
            "spread": diversity.spread(vectors),
            "first_answer_matches_by_topic": diversity.imbalance(names, [each.matching for each in kept]),
        }
    records.write(directory / "records.jsonl", kept)
    write_json(directory / "summary.json", summary)
    picture = draw_map(kept, places, directory / "map.svg")
    write_page(kept, summary, directory / "index.html", picture)
    return Generated(directory, kept, summary)


def _summary(
    writer: Writer, written: Sequence[Record], first: Sequence[float], chosen: Selection, settings: Settings
) -> dict[str, Any]:
    """Counts of every step, and what confidence says of the labels."""
    confidence = chosen.confidence[chosen.kept]
    mean = float(confidence.mean()) if len(confidence) else None
    return {
        "behaviour": writer.behaviour,
        "counts": {"planned": 2 * settings.candidates, "readable": len(written)}
        | {name: count for name, count in chosen.counts.items() if name != "candidates"},
        "confirmed_by_label": {
            name: float(np.mean([chosen.confidence[place] > 0.5 for place in mine])) if mine else None
            for label, name in ((0, "first"), (1, "second"))
            for mine in [[place for place, each in enumerate(written) if each.matching == label]]
        },
        "first_answer_said": float(np.mean(np.asarray(first) > 0.5)) if len(first) else None,
        "mean_confidence": mean,
        "ceiling_if_calibrated": mean,
        "floor_if_calibrated": None if mean is None else 1 - mean,
    }


def _open(path: Path, identity: dict[str, Any]) -> None:
    if not path.exists():
        write_json(path, identity)
        return
    before = read_json(path)
    for name, value in identity.items():
        if before.get(name) != value:
            raise UsageError(
                f"{path.parent} holds another evaluation (its {name} differs); repeat what it was begun with, or "
                "choose another directory."
            )


@contextmanager
def _held(directory: Path) -> Iterator[None]:
    """One process at a time."""
    from filelock import FileLock, Timeout

    with explained(directory):
        directory.mkdir(parents=True, exist_ok=True)
        lock = FileLock(directory / ".lock", blocking=False)
        try:
            lock.acquire()
        except Timeout:
            raise WindtunnelError(
                f"{directory} is in use by another process; wait for it or choose another directory."
            ) from None
    try:
        yield
    finally:
        lock.release()
